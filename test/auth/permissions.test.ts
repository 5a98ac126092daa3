import t from 'tap'
import type { Action } from '../../src/auth/caller.js'
import { type ExternalAuth, readExternalAuth, wholeName, wholeText } from '../../src/auth/external-auth.js'
import { ADMIN_EAUTH, callerFor, coversPattern, minionCaller, permissionsOf, REACTOR } from '../../src/auth/permissions.js'
import { brineError } from '../../src/errors.js'
import { compileFilter } from '../../src/tags/glob.js'

const MINIONS = ['m1', 'm2', 'web1', 'web2']

/** Globs and lists over the four minions, as targeting does it. */
function minionsMatching(tgt: unknown, tgtType: string): string[] {
  if (Array.isArray(tgt)) return MINIONS.filter(id => tgt.includes(id))
  if (String(tgt).startsWith('(')) throw brineError('TARGET_SYNTAX', String(tgt), 'parenthesis')
  if (tgtType === 'grain') return tgt === 'role:web' ? ['web1', 'web2'] : []
  const glob = new RegExp(`^${String(tgt).replaceAll('*', '.*')}$`)
  return MINIONS.filter(id => glob.test(id))
}

function auth(value: unknown): ExternalAuth {
  const read = readExternalAuth(value)
  if ('faults' in read) throw new Error(JSON.stringify(read.faults))
  return read.value
}

function caller(entries: unknown, more: { user?: string; groups?: string[]; scope?: 'full' | 'stream' } = {}) {
  const { user = 'u', groups = [], scope = 'full' } = more
  const identity = { user, eauth: 'file', groups, scope, jti: 'x', expiresUs: Number.POSITIVE_INFINITY }
  return callerFor(identity, auth({ file: { u: entries } }), minionsMatching)
}

function local(fun: string, more: { tgt?: unknown; tgtType?: string; args?: unknown[]; kwargs?: Record<string, unknown> } = {}): Action {
  return { kind: 'local', fun, args: [], kwargs: {}, tgt: '*', tgtType: 'glob', ...more }
}
const call = (kind: 'runner' | 'wheel', fun: string, args: unknown[] = [], kwargs = {}): Action => ({ kind, fun, args, kwargs })
const fire = (tag: string): Action => ({ kind: 'fire', tag })

t.test('without an entry nothing is permitted', async t => {
  const nobody = caller([])
  for (const action of [
    local('test.ping'),
    local('saltutil.find_job'),
    call('runner', 'jobs.list_jobs'),
    call('wheel', 'key.list_all'),
    fire('a'),
    fire('salt/netapi/hook/a'),
    { kind: 'jobs' },
    { kind: 'read' },
    { kind: 'rules', write: false }
  ] as Action[]) {
    t.equal(nobody.may(action), false, JSON.stringify(action))
  }
  t.equal(nobody.readable, null)
  t.strictSame(nobody.perms, [])
})

t.test('a pattern matches the whole name of a function, and the dot behind the module is a dot', async t => {
  const cases: [pattern: string, name: string, matches: boolean][] = [
    ['test.*', 'test.ping', true],
    ['test.*', 'testinfra.ping', false],
    ['test.*', 'xtest.ping', false],
    ['test.ping', 'test.ping', true],
    ['test.ping', 'test.pingx', false],
    ['test.ping', 'testxping', false],
    ['test.p.*', 'test.ping', true],
    ['test\\.ping', 'test.ping', true],
    ['.*', 'cmd.run', true],
    ['.*info.*', 'network.info_all', true],
    ['^test.ping$', 'test.ping', true],
    ['^test.ping$', 'test.pings', false],
    ['pkg.list_.*', 'pkg.list_pkgs', true],
    ['pkg.(install|remove)', 'pkg.install', true],
    ['pkg.(install|remove)', 'pkg.installx', false],
    ['(test|grains).*', 'grains.items', true],
    ['(test|grains).*', 'grainsx.items', false],
    ['test.*|cmd.run', 'cmd.run', true],
    ['test.*|cmd.run', 'cmdxrun', false],
    ['test.*|cmd.run', 'cmd.run_all', false],
    ['(test.*|cmd.run)', 'testinfra.x', false],
    ['(test.*|cmd.run)', 'test.x', true],
    ['(?:a|b).x|(c|d).y', 'd.y', true],
    ['(a.x)|(b.y)', 'b.y', true],
    ['(?i)Test.Ping', 'test.ping', true],
    ['test.[|]x', 'test.|x', true],
    ['test', 'test.ping', false]
  ]
  for (const [pattern, name, matches] of cases) t.equal(wholeName(pattern).test(name), matches, `${pattern} ~ ${name}`)
  t.ok(wholeText('a.*').test('a\nb'), 'a dot is any character, as with re.DOTALL: no way past a pattern with a newline')
  t.notOk(wholeText('a').test('a\n'))
})

t.test('functions for all minions need no look at the target', async t => {
  const ro = caller(['test.*', 'grains.*', '@jobs'])
  t.equal(ro.may(local('test.ping')), true)
  t.equal(ro.may(local('cmd.run', { args: ['true'] })), false)
  t.equal(ro.may(call('runner', 'jobs.active')), true, '@jobs is every function of the runner jobs')
  t.equal(ro.may(call('runner', 'test.arg')), false)
  t.equal(ro.may(call('wheel', 'key.list_all')), false)
  t.equal(ro.may({ kind: 'jobs' }), true)
})

t.test('a function pattern gives no runner and no wheel function, and @runner no execution function', async t => {
  t.equal(caller(['.*']).may(call('runner', 'jobs.active')), false)
  t.equal(caller(['.*']).may(call('wheel', 'key.delete')), false)
  t.equal(caller(['@runner', '@wheel']).may(local('test.ping')), false)
  t.equal(caller(['@runner']).may(call('wheel', 'key.delete')), false)
})

t.test('a permission for some minions holds when the request means no others', async t => {
  const limited = caller([{ 'web*': ['test.ping'] }, { m1: ['cmd.*'] }])
  t.equal(limited.may(local('test.ping', { tgt: 'web1' })), true)
  t.equal(limited.may(local('test.ping', { tgt: 'web*' })), true)
  t.equal(limited.may(local('test.ping', { tgt: ['web1', 'web2'], tgtType: 'list' })), true)
  t.equal(limited.may(local('test.ping', { tgt: 'role:web', tgtType: 'grain' })), true)
  t.equal(limited.may(local('test.ping', { tgt: '*' })), false, 'a wider target is refused as a whole')
  t.equal(limited.may(local('test.ping', { tgt: ['web1', 'm1'], tgtType: 'list' })), false)
  t.equal(limited.may(local('cmd.run', { tgt: 'web1' })), false)
  t.equal(limited.may(local('cmd.run', { tgt: 'm1' })), true)
})

t.test('a permitted target that does not parse permits nobody', async t => {
  t.equal(caller([{ '(web': ['test.ping'] }]).may(local('test.ping', { tgt: 'web1' })), false)
})

t.test('argument conditions: what they speak of must be there and match from end to end', async t => {
  const limited = caller([
    { m1: [{ 'test.echo': { args: ['^hello$'] } }, { 'state.apply': { args: [null, 'x.*'], kwargs: { test: 'True' } } }] }
  ])
  const on = (fun: string, args: unknown[], kwargs = {}) => limited.may(local(fun, { tgt: 'm1', args, kwargs }))
  t.equal(on('test.echo', ['hello']), true)
  t.equal(on('test.echo', ['hello world']), false)
  t.equal(on('test.echo', ['hello\n']), false)
  t.equal(on('test.echo', []), false)
  t.equal(on('test.echo', ['hello', 'more']), true, 'arguments that it does not speak of are free')
  t.equal(on('state.apply', ['a', 'xy'], { test: true }), true)
  t.equal(on('state.apply', ['a', 'xy'], { test: false }), false)
  t.equal(on('state.apply', ['a', 'xy']), false)
  t.equal(on('state.apply', ['a', 'y'], { test: true }), false)
  const either = caller([{ '*': [{ 'test.echo': [{ args: ['a'] }, { args: ['b'] }] }] }])
  t.equal(either.may(local('test.echo', { args: ['b'] })), true)
  t.equal(either.may(local('test.echo', { args: ['c'] })), false)
})

t.test('an argument condition cannot be met by a key of the prototype', async t => {
  const limited = caller([{ '*': [{ 'test.kwarg': { kwargs: { toString: null } } }] }])
  t.equal(limited.may(local('test.kwarg')), false)
})

t.test('saltutil.find_job alone is for those who may run something on those minions', async t => {
  const find = (tgt: string) => local('saltutil.find_job', { tgt, args: ['20200101000000000000'] })
  t.equal(caller(['test.ping']).may(find('*')), true)
  t.equal(caller([{ 'web*': ['test.ping'] }, { m1: ['test.ping'] }]).may(find('web*')), true)
  t.equal(caller([{ 'web*': ['test.ping'] }]).may(find('*')), false)
  t.equal(caller([{ 'web*': [] }]).may(find('web*')), false)
  t.equal(caller(['@jobs', '@events', '@runner']).may(find('m1')), false)
})

t.test('runner and wheel permissions: whole, by list, by module, with arguments', async t => {
  const limited = caller([
    { '@runner': ['jobs.list_jobs', 'test.arg'] },
    { '@wheel': ['key.list_all'] },
    { '@cache': ['grains', { pillar: { args: ['m1'] } }] },
    '@manage'
  ])
  t.equal(limited.may(call('runner', 'test.arg')), true)
  t.equal(limited.may(call('runner', 'jobs.active')), false)
  t.equal(limited.may(call('wheel', 'key.list_all')), true)
  t.equal(limited.may(call('wheel', 'key.delete')), false)
  t.equal(limited.may(call('runner', 'cache.grains')), true)
  t.equal(limited.may(call('runner', 'cache.pillar', ['m1'])), true)
  t.equal(limited.may(call('runner', 'cache.pillar', ['m2'])), false)
  t.equal(limited.may(call('runner', 'manage.up')), true)
  t.equal(limited.may({ kind: 'jobs' }), true)
  t.equal(limited.may(call('runner', 'jobs')), false, 'a name without a module')
  t.equal(limited.may(call('runner', 'manage.up.x')), false)
  t.equal(caller(['@runners']).may(call('runner', 'a.b')), true)
  t.equal(caller(['@wheel']).may({ kind: 'rules', write: true }), true)
  t.equal(caller(['@runner', '.*']).may({ kind: 'rules', write: true }), false)
})

t.test('tags are read as permitted: @events all, its globs some, @jobs the events of jobs', async t => {
  t.strictSame(caller(['@events']).readable, {})
  t.equal(caller(['test.*']).readable, null)
  const reads = (entries: unknown, tag: string) => {
    const { readable } = caller(entries)
    return readable !== null && compileFilter(readable)(tag)
  }
  const ci = [{ '@events': ['ci/*', { read: ['salt/job/*/ret/*'] }, { fire: ['out/*'] }] }]
  t.equal(reads(ci, 'ci/a'), true)
  t.equal(reads(ci, 'salt/job/1/ret/m1'), true)
  t.equal(reads(ci, 'out/a'), false)
  t.equal(reads(ci, 'salt/key'), false)
  t.equal(reads(['@jobs'], 'salt/job/20261122203758556109/new'), true)
  t.equal(reads(['@jobs'], '20261122203758556109'), true)
  t.equal(reads(['@jobs'], 'salt/netapi/hook/deploy'), false)
  t.equal(reads(['@wheel'], 'salt/key'), true)
  t.equal(reads([{ '@wheel': ['key.list_all'] }], 'salt/key'), false)
  t.equal(reads([{ '@events': [] }], 'a'), false)
  t.equal(caller([{ '@events': [] }]).may({ kind: 'read' }), false)
})

t.test('tags are fired as permitted; those under salt/ belong to the server, hooks are for everyone with a permission', async t => {
  const ci = caller([{ '@events': ['ci/*', { fire: 'out/*' }, { read: 'in/*' }] }])
  t.equal(ci.may(fire('ci/a')), true)
  t.equal(ci.may(fire('out/a')), true)
  t.equal(ci.may(fire('in/a')), false)
  t.equal(ci.may(fire('salt/netapi/hook/x')), true)
  t.equal(ci.may(fire('salt/netapi/hook')), true)
  t.equal(ci.may(fire('salt/netapi/hookx')), false)
  const all = caller(['@events', '.*', '@wheel', '@runner'])
  t.equal(all.may(fire('anything')), true)
  for (const tag of ['salt/job/20261122203758556109/ret/m1', 'salt/key', 'salt/', 'salt']) t.equal(all.may(fire(tag)), false, tag)
  t.equal(caller(['test.ping']).may(fire('ci/a')), false)
})

t.test('entries come from the name, a glob of it, the groups, and from * where no name matches', async t => {
  const users = auth({ file: { alice: ['a.x'], 'al*': ['b.x'], 'ops%': ['c.x'], '*': ['d.x'] } }).file!
  const names = (user: string, groups: string[]) =>
    permissionsOf(user, groups, users)?.map(each => (each.kind === 'all' ? each.name : '')) ?? null
  t.strictSame(names('alice', []), ['a.x', 'b.x'])
  t.strictSame(names('alice', ['ops']), ['a.x', 'b.x', 'c.x'])
  t.strictSame(names('bob', ['ops']), ['d.x', 'c.x'])
  t.strictSame(names('bob', []), ['d.x'])
  t.equal(permissionsOf('bob', [], auth({ file: { alice: [] } }).file!), null, 'no entry is not the same as an empty one')
  t.strictSame(permissionsOf('alice', [], auth({ file: { alice: [] } }).file!), [])
  t.equal(permissionsOf('toString', [], auth({ file: { alice: [] } }).file!), null)
  t.equal(permissionsOf('aliceX', [], auth({ file: { 'a.*e': ['a.x'] } }).file!), null, 'the name of a user is no regular expression')
})

t.test('perms are shown as Salt shows them: texts sorted and once, then mappings by their key', async t => {
  t.strictSame(caller(['@wheel', '.*', '@jobs', '.*', '@events', '@runner']).perms, ['.*', '@events', '@jobs', '@runner', '@wheel'])
  const limited = [
    { m1: ['test.ping', { 'test.echo': { args: ['^hello$'] } }] },
    { '@runner': ['jobs.list_jobs', 'test.arg'] },
    { '@events': ['a/*'] }
  ]
  t.strictSame(caller(limited).perms, [...limited].reverse())
})

t.test('a ticket reads events and does nothing else', async t => {
  const ticket = caller(['.*', '@events', '@runner', '@wheel', '@jobs'], { scope: 'stream' })
  t.equal(ticket.may({ kind: 'read' }), true)
  for (const action of [local('test.ping'), call('runner', 'a.b'), call('wheel', 'a.b'), fire('a'), { kind: 'jobs' } as Action])
    t.equal(ticket.may(action), false)
})

t.test('the administrator may everything but fire tags of the server; the name alone gives nothing', async t => {
  const identity = { user: 'admin', jti: 'x', expiresUs: 1 }
  const admin = callerFor({ ...identity, eauth: ADMIN_EAUTH }, {}, minionsMatching)
  for (const action of [local('cmd.run'), call('runner', 'a.b'), call('wheel', 'a.b'), fire('a'), { kind: 'rules', write: true } as Action])
    t.equal(admin.may(action), true)
  t.equal(admin.may(fire('salt/key')), false)
  t.strictSame(admin.readable, {})
  t.equal(callerFor({ ...identity, eauth: 'file' }, {}, minionsMatching).may(local('test.ping')), false)
  t.equal(callerFor({ ...identity, eauth: 'constructor' }, {}, minionsMatching).may(local('test.ping')), false)
})

t.test('a minion speaks as itself', async t => {
  const web1 = minionCaller('web1', { jti: null, expiresUs: 1 })
  const jid = '20261122203758556109'
  for (const tag of ['myco/x', 'salt/beacon/web1/load/', 'salt/minion/web1/start', `salt/job/${jid}/prog/web1/3`])
    t.equal(web1.may(fire(tag)), true, tag)
  for (const tag of [
    'salt/beacon/web2/load/',
    'salt/beacon/web1x/load',
    'salt/minion/web2/start',
    `salt/job/${jid}/ret/web1`,
    `salt/job/${jid}/ret/web2`,
    `salt/job/${jid}/new`,
    'salt/key',
    'salt/auth',
    'salt/netapi/hook/x'
  ]) {
    t.equal(web1.may(fire(tag)), false, tag)
  }
  t.equal(minionCaller('a.b', { jti: null, expiresUs: 1 }).may(fire('salt/minion/axb/start')), false)
  t.equal(web1.may(local('test.ping')), false)
  t.equal(web1.readable, null)
  t.equal(REACTOR.may(local('cmd.run')), true)
})

t.test('a tag pattern is covered only where that is certain', async t => {
  const allowed = { allowed: ['ci/*', 'exact', 'a?c'] }
  for (const pattern of ['ci/*', 'ci/build/*', 'ci/build', 'exact', 'abc', 'a?c']) t.equal(coversPattern(allowed, pattern), true, pattern)
  for (const pattern of ['*', 'c*', 'ci*', 'exac*', 'a*c', 'xa?c', 'salt/key']) t.equal(coversPattern(allowed, pattern), false, pattern)
  t.equal(coversPattern({}, 'anything*'), true)
  t.equal(coversPattern(null, 'ci/a'), false)
})
