import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { verifyPassword } from '../../src/auth/password.js'
import { Users } from '../../src/auth/users.js'
import { EXIT } from '../../src/cli/exit.js'
import { sampleFile } from '../../src/config/sample.js'
import { SETTINGS } from '../../src/config/schema.js'
import { SystemClock } from '../../src/shared/clock.js'
import { dataFiles } from '../../src/shared/data-dir.js'
import { httpServer } from '../helpers/http.js'
import { brine } from '../helpers/terminal.js'

type Chunk = Record<string, unknown>

/** A server that answers lowstate as the test says, and the chunks that it was sent. */
async function lowstateServer(t: { teardown(undo: () => unknown): unknown }, answer: (chunk: Chunk) => unknown) {
  const chunks: Chunk[] = []
  const fake = createServer((request, response) => {
    let body = ''
    request.on('data', part => {
      body += part
    })
    request.on('end', () => {
      const [chunk] = JSON.parse(body) as [Chunk]
      chunks.push(chunk)
      response.end(JSON.stringify({ return: [answer(chunk)] }))
    })
  }).listen(0, '127.0.0.1')
  await once(fake, 'listening')
  t.teardown(() => {
    fake.closeAllConnections()
    fake.close()
  })
  return { chunks, env: { BRINE_URL: `http://127.0.0.1:${(fake.address() as AddressInfo).port}`, BRINE_TOKEN: 'x' } }
}

const wheel = (value: unknown, success = true) => ({ tag: 'salt/wheel/1', data: { return: value, success } })

t.test('every command has help with an example, and the exit codes are in the first help', async t => {
  const top = await brine(['--help'])
  t.equal(top.code, 0)
  for (const { code, meaning } of Object.values(EXIT)) t.ok(top.out.includes(`${code}  ${meaning}`))
  const leaves = await leavesOf([])
  t.ok(leaves.length > 30, `${leaves.length} commands`)
  for (const { path, help } of leaves) t.match(help, new RegExp(`Examples:\\n {2}brine ${path}`), path)
  t.match((await brine(['--version'])).out, /^0\.0\.0\n$/)
})

/** The commands that do something, with their help: found in the help of those above them. */
async function leavesOf(path: readonly string[]): Promise<{ path: string; help: string }[]> {
  const { code, out } = await brine([...path, '--help'])
  t.equal(code, 0, path.join(' '))
  const [, list = ''] = /\nCommands:\n([\s\S]*?)(?:\n\n|$)/.exec(out) ?? []
  const names = [...list.matchAll(/^ {2}([\w-]+)/gm)].map(([, name]) => name!).filter(name => name !== 'help')
  const below = await Promise.all(names.map(name => leavesOf([...path, name])))
  return below.length > 0 ? below.flat() : [{ path: path.join(' '), help: out }]
}

t.test('each flag that a setting is said to have is one of the command that it is for', async t => {
  const help = { server: (await brine(['start', '--help'])).out, minion: (await brine(['minion', '--help'])).out }
  for (const [name, { flag, for: of = 'both' }] of SETTINGS) {
    if (flag === undefined) continue
    const [word] = flag.split(' ')
    if (of !== 'minion') t.ok(help.server.includes(`${word} `), `brine start ${flag} (${name})`)
    else t.ok(help.minion.includes(`${word} `), `brine minion ${flag} (${name})`)
  }
})

t.test('a command line that is not right is 2, and says why', async t => {
  for (const args of [
    ['nonsense'],
    ['key'],
    ['key', 'accept'],
    ['event', 'watch', '--nope'],
    ['run'],
    ['key', 'list', 'lost'],
    ['run', 'x.y', '--out', 'xml'],
    ['run', '--wheel', '-t', '*', 'x.y']
  ]) {
    const { code, err } = await brine(args, { env: { BRINE_URL: 'http://127.0.0.1:9' } })
    t.equal(code, 2, args.join(' '))
    t.not(err, '')
  }
})

t.test('run: a runner by default, its value printed as Salt prints it, a failure as exit code 1', async t => {
  const { chunks, env } = await lowstateServer(t, ({ fun }) => ({
    tag: 'salt/run/1',
    data:
      fun === 'bad.one'
        ? { return: 'Exception occurred in runner bad.one', success: false }
        : { return: { b: [1, 'x', { k: true }], a: null }, success: true }
  }))
  const nested = await brine(['run', 'some.fun', 'one', 'k=v'], { env })
  t.equal(nested.out, 'a:\n    None\nb:\n    - 1\n    - x\n    |_\n      ----------\n      k:\n          True\n')
  t.equal(nested.code, 0)
  t.strictSame(chunks, [{ client: 'runner', fun: 'some.fun', arg: ['one', 'k=v'], full_return: true }])
  t.strictSame(JSON.parse((await brine(['run', 'some.fun', '--out', 'json'], { env })).out), { b: [1, 'x', { k: true }], a: null })
  t.equal((await brine(['run', 'some.fun', '--out', 'yaml'], { env })).out, 'a: null\nb:\n- 1\n- x\n- k: true\n')
  const bad = await brine(['run', 'bad.one'], { env })
  t.strictSame([bad.code, bad.out], [1, 'Exception occurred in runner bad.one\n'])
})

t.test('run on minions: values by minion; a failure, silence or nobody at all is exit code 1', async t => {
  const answers: unknown[] = [
    { web1: { ret: true, retcode: 0, jid: '1' }, web2: { ret: 'a\nb', retcode: 0, jid: '1' } },
    { web1: { ret: 'no', retcode: 3, jid: '1' } },
    { web1: { ret: true, retcode: 0, jid: '1' }, web2: false },
    {}
  ]
  const { chunks, env } = await lowstateServer(t, () => answers.shift())
  const run = () => brine(['run', '-t', 'web*', '--timeout', '3', 'test.ping'], { env })
  const first = await run()
  t.strictSame([first.code, first.out], [0, 'web1:\n    True\nweb2:\n    a\n    b\n'])
  t.strictSame(chunks[0], { client: 'local', fun: 'test.ping', arg: [], tgt: 'web*', tgt_type: 'glob', timeout: 3, full_return: true })
  t.equal((await run()).code, 1)
  const silent = await run()
  t.equal(silent.code, 1)
  t.match(silent.out, /web2:\n {4}Minion did not return/)
  const nobody = await run()
  t.equal(nobody.code, 1)
  t.match(nobody.out, /No minions matched the target/)
})

t.test('state runs are shown as Salt shows them, unless another form was asked for', async t => {
  const state = { __run_num__: 0, __id__: 'a', name: 'a', result: true, comment: 'fine', changes: {} }
  const ret = { 'test_|-a_|-a_|-nop': state }
  const { env } = await lowstateServer(t, ({ client }) =>
    client === 'local_batch'
      ? { data: { id: 'web1', return: ret, retcode: 0, out: 'highstate' } }
      : { web2: { ret: 'no such function', retcode: 1, out: 'nested' }, web1: { ret, retcode: 0, out: 'highstate' } }
  )
  const run = (...more: string[]) => brine(['run', '-t', 'web*', ...more, 'state.apply', 'a'], { env })
  const whole = /^web1:\n-{10}\n {10}ID: a\n[\s\S]*Summary for web1\n[\s\S]*Total run time: .*\n/
  t.match((await run()).out, new RegExp(`${whole.source}web2:\\n {4}no such function\\n$`))
  t.match((await run('-b', '1')).out, whole)
  t.match(JSON.parse((await run('--out', 'json')).out), { web1: { 'test_|-a_|-a_|-nop': { comment: 'fine' } } })
  t.match((await run('--out', 'nested')).out, /^web1:\n {4}-{10}\n {4}test_\|-a_/)
})

t.test('run --async prints the job id; --wheel calls a wheel function', async t => {
  const { chunks, env } = await lowstateServer(t, ({ client }) =>
    client === 'wheel' ? wheel({ minions: ['a'] }) : { jid: '20261122203758556109', minions: ['a'] }
  )
  t.match((await brine(['run', '-t', '*', '--async', 'test.ping'], { env })).out, /jid:\n {4}20261122203758556109/)
  t.match((await brine(['run', '--wheel', 'key.list_all'], { env })).out, /minions:\n {4}- a\n/)
  t.strictSame(
    chunks.map(({ client, full_return }) => [client, full_return]),
    [
      ['local_async', undefined],
      ['wheel', undefined]
    ]
  )
})

t.test("run --batch and --subset, and Salt's letters for the kind of target", async t => {
  const { chunks, env } = await lowstateServer(t, ({ client }) =>
    client === 'local_batch' ? { data: { id: 'web1', return: true, retcode: 0 } } : { web1: { ret: true, retcode: 1 } }
  )
  const batch = await brine(['run', '-C', '-t', 'G@os:Debian and not db*', '-b', '25%', 'test.ping'], { env })
  t.strictSame([batch.code, batch.out], [0, 'web1:\n    True\n'])
  t.strictSame(chunks[0], {
    ...{ client: 'local_batch', fun: 'test.ping', arg: [], tgt: 'G@os:Debian and not db*', tgt_type: 'compound', batch: '25%', raw: true }
  })
  t.equal((await brine(['run', '-L', '-t', 'a,b', '--subset', '1', '--metadata', '{ticket: 7}', 'test.ping'], { env })).code, 1)
  t.match(chunks[1], { client: 'local_subset', tgt: ['a', 'b'], tgt_type: 'list', subset: 1, metadata: { ticket: 7 }, full_return: true })
  for (const wrong of [
    ['-t', '*', '-L', '-G'],
    ['-t', '*', '--async', '-b', '1'],
    ['-b', '1']
  ]) {
    t.equal((await brine(['run', ...wrong, 'test.ping'], { env })).code, 2, wrong.join(' '))
  }
  t.equal(chunks.length, 2)
})

t.test('jobs are listed newest first, shown with who is missing, and killed where they run', async t => {
  const job = { Function: 'cmd.run', Target: 'web*', 'Target-type': 'glob', User: 'ann', StartTime: '2026, Nov 22 20:37:58.556109' }
  const jids = ['20261122203758556109', '20261122203758556110']
  const { chunks, env } = await lowstateServer(t, ({ fun, kwarg }) => {
    if (fun === 'jobs.list_jobs') return { [jids[0]!]: job, [jids[1]!]: job }
    if (fun === 'saltutil.term_job') return { web1: `Signal 15 sent to job ${jids[0]} at pid 7`, web2: '' }
    const { jid } = kwarg as { jid: string }
    if (jid !== jids[0]) return { jid, Error: 'Cannot contact returner or no job with this jid', StartTime: '', Result: {} }
    return { jid, ...job, Minions: ['web1', 'web2'], Result: { web1: { return: 'up', retcode: 0, success: true } } }
  })
  const listed = await brine(['job', 'list', '--fun', 'cmd.*', '--limit', '5'], { env })
  t.strictSame(
    [listed.code, listed.out.split('\n').map(line => line.slice(0, 20))],
    [0, ['JID                 ', ...jids.toReversed(), '']]
  )
  t.strictSame(chunks[0]!.kwarg, { limit: 5, search_function: ['cmd.*'] })
  const shown = await brine(['job', 'show', jids[0]!], { env })
  t.equal(shown.code, 1, 'a minion has not returned')
  t.match(shown.out, /cmd\.run {2}on web\* {2}by ann[^\n]*\nweb1:\n {4}up\nno return from: web2\n/)
  t.equal((await brine(['job', 'show', jids[1]!], { env })).code, 4)
  const killed = await brine(['job', 'kill', '--term', jids[0]!], { env })
  t.equal(killed.code, 0)
  t.match(chunks.at(-1), { fun: 'saltutil.term_job', tgt: ['web1', 'web2'], tgt_type: 'list', arg: [jids[0]] })
})

t.test('keys are listed by state, moved, and what matched nothing is told', async t => {
  const { chunks, env } = await lowstateServer(t, ({ fun, match }) => {
    if (fun === 'key.list_all') return wheel({ minions: ['m1'], minions_pre: ['p1', 'p2'], minions_rejected: [], minions_denied: [] })
    if (match === 'nobody') return wheel({})
    return wheel(fun === 'key.name_match' ? { minions_pre: ['p1'] } : fun === 'key.delete' ? {} : { minions: ['p1'] })
  })
  t.equal((await brine(['key', 'list'], { env })).out, 'accepted:\n  m1\npending:\n  p1\n  p2\nrejected:\ndenied:\n')
  t.strictSame(JSON.parse((await brine(['key', 'list', 'pending', '--out', 'json'], { env })).out), { pending: ['p1', 'p2'] })
  t.strictSame(await brine(['key', 'accept', 'p1', '--include-rejected'], { env }), { code: 0, out: 'p1  accepted\n', err: '' })
  t.match(chunks.at(-1), { client: 'wheel', fun: 'key.accept', match: 'p1', include_rejected: true })
  t.equal((await brine(['key', 'delete', 'p1'], { env })).out, 'p1  deleted\n')
  const missed = await brine(['key', 'reject', 'p1', 'nobody', '--out', 'json'], { env })
  t.equal(missed.code, 4)
  t.match(missed.err, /no key matches 'nobody'/)
  t.strictSame(JSON.parse(missed.out), { rejected: ['p1'] })
})

t.test('users live in the data directory: no server is needed, and no password is printed or taken from the command line', async t => {
  const dir = t.testdir({})
  const at = ['--data', dir]
  const added = await brine(['user', 'add', 'alice', '--groups', 'ops,dev', ...at], { secrets: ['wonder', 'wonder'] })
  t.strictSame([added.code, added.out], [0, 'alice  added\n'])
  t.match(added.err, /external_auth/)
  t.equal(statSync(join(dir, 'users.yaml')).mode & 0o777, 0o600)
  t.equal((await brine(['user', 'add', 'bob', '--password-stdin', ...at], { stdin: 'builder\n' })).code, 0)
  const stored = (name: string) => new Users({ file: join(dir, 'users.yaml'), clock: new SystemClock() }).get(name)!.hash
  t.equal(await verifyPassword('wonder', stored('alice')), true)
  t.equal(await verifyPassword('builder', stored('bob')), true)
  t.equal((await brine(['user', 'passwd', 'bob', ...at], { secrets: ['x', 'x'] })).code, 0)
  t.equal(await verifyPassword('x', stored('bob')), true)
  const list = await brine(['user', 'list', '--out', 'json', ...at])
  t.match(JSON.parse(list.out), [
    { name: 'alice', groups: ['ops', 'dev'] },
    { name: 'bob', groups: [] }
  ])
  t.notOk(list.out.includes('scrypt'))
  t.match((await brine(['user', 'list', ...at])).out, /^NAME {3}PASSWORD SINCE/)
  t.equal((await brine(['user', 'delete', 'bob', ...at])).code, 0)
  t.equal((await brine(['user', 'delete', 'bob', ...at])).code, 4)
  t.equal((await brine(['user', 'add', 'alice', ...at], { secrets: ['a', 'a'] })).code, 4)
  t.equal((await brine(['user', 'passwd', 'bob', ...at], { secrets: ['a', 'a'] })).code, 4)
  t.equal((await brine(['user', 'add', 'eve', ...at], { secrets: ['a', 'b'] })).code, 2, 'typed differently')
  t.equal((await brine(['user', 'add', 'eve', ...at])).code, 2, 'nobody to ask')
})

t.test('tokens: create prints the token alone, list never does, revoke ends it', async t => {
  const http = await httpServer(t, { users: { ci: [{ '@events': ['ci/*'] }] } })
  const env = { BRINE_URL: await http.listen(), BRINE_TOKEN: http.token }
  const made = await brine(['token', 'create', '--user', 'ci', '--label', 'board', '--expire', '2h', '--read-only', '--tag', 'ci/*'], {
    env
  })
  t.equal(made.code, 0)
  const caller = await http.auth.verify(made.out.trim())
  t.strictSame([caller.user, caller.scope, caller.readable], ['ci', 'stream', { allowed: ['ci/*'] }])
  const list = await brine(['token', 'list'], { env })
  t.match(list.out, new RegExp(`${caller.jti} +ci +token +board`))
  t.notOk(list.out.includes(made.out.trim()))
  t.equal((await brine(['token', 'revoke', caller.jti!], { env })).code, 0)
  t.equal((await brine(['token', 'revoke', 'nosuch'], { env })).code, 4)
  await t.rejects(http.auth.verify(made.out.trim()))
})

t.test('a server is found by its data directory; its token is never sent to another URL', async t => {
  const http = await httpServer(t)
  const url = await http.listen()
  const dir = t.testdir({})
  const files = dataFiles(dir)
  t.equal((await brine(['token', 'list', '--data', dir])).code, 5, 'nothing was started there')
  writeFileSync(files.url, `${url}\n`)
  writeFileSync(files.adminToken, `${http.token}\n`)
  t.equal((await brine(['token', 'list', '--data', dir])).code, 0)
  t.equal((await brine(['token', 'list'], { env: { BRINE_DATA_DIR: dir } })).code, 0)
  writeFileSync(join(dir, 'brine.yaml'), 'data_dir: .')
  t.equal((await brine(['token', 'list'], { cwd: dir })).code, 0)
  t.equal((await brine(['token', 'list', '--data', dir, '--url', url])).code, 3)
})

t.test('config check tells all mistakes and ends with 6; config show tells what is in effect, secrets masked', async t => {
  const dir = t.testdir({
    'brine.yaml': "port: 8123\nsharedsecret: hush-hush\nexternal_auth: {sharedsecret: {a: ['test.*', {web*: [test.ping]}]}}\n",
    'bad.yaml': 'prot: 1\ntimeout: x\n'
  })
  const right = await brine(['config', 'check'], { cwd: dir })
  t.strictSame([right.code, right.err], [0, ''])
  const wrong = await brine(['config', 'check', 'bad.yaml'], { cwd: dir })
  t.equal(wrong.code, 6)
  t.match(wrong.err, /2 mistakes[\s\S]*prot is no setting; did you mean port[\s\S]*timeout must be a number/)
  const shown = await brine(['config', 'show'], { cwd: dir, env: { BRINE_HOST: '0.0.0.0' } })
  t.match(shown.out, /^host: 0\.0\.0\.0 {2}# BRINE_HOST\nport: 8123 {2}# .*brine\.yaml\n/)
  t.match(shown.out, /^sharedsecret: '\*{4}'/m)
  t.notOk(shown.out.includes('hush'))
  const json = await brine(['config', 'show', 'port', 'external_auth', 'sharedsecret', '--out', 'json'], { cwd: dir })
  t.strictSame(JSON.parse(json.out), {
    port: 8123,
    external_auth: { sharedsecret: { a: ['test.*', { 'web*': ['test.ping'] }] } },
    sharedsecret: '****'
  })
  const unknown = await brine(['config', 'show', 'prot'], { cwd: dir })
  t.equal(unknown.code, 4)
  t.match(unknown.err, /did you mean 'port'/)
  t.equal((await brine(['config', 'show', 'port'], { cwd: dir, env: { BRINE_CONFIG: 'bad.yaml' } })).code, 6)
  t.equal((await brine(['config', 'sample'])).out, sampleFile())
})

t.test('start says plainly what is wrong with its data directory', async t => {
  const dir = t.testdir({ file: 'no directory', data: { 'jwt.key': {} } })
  for (const [data, said] of Object.entries({ file: /EEXIST.*file/, 'file/below': /ENOTDIR.*below/, data: /EISDIR/ })) {
    const { code, err, out } = await brine(['start', '--data', join(dir, data), '--port', '0', '--no-minion'], { cwd: dir })
    t.strictSame([code, out], [6, ''], data)
    t.match(err, said)
    t.match(err, /look at the data directory/)
    t.notMatch(err, /^ +at /m, 'no stack')
  }
})

t.test('start with a configuration that is not right starts nothing', async t => {
  const dir = t.testdir({ 'bad.yaml': 'prot: 1' })
  const data = join(dir, 'data')
  const { code, err, out } = await brine(['start', '-c', 'bad.yaml', '--data', data, '--port', 'x'], { cwd: dir })
  t.equal(code, 6)
  t.match(err, /2 mistakes/)
  t.equal(out, '')
  t.throws(() => readFileSync(data))
})
