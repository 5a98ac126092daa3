import { symlinkSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { appBench } from '../helpers/app.js'
import { callerNamed } from '../helpers/commands.js'

const MASTER = `${hostname()}_master`

t.test('the file server shows what it has', async t => {
  const dir = t.testdir({ srv: { 'top.sls': '', web: { 'init.sls': '' }, empty: {} }, dev: {}, outside: { secret: '' } })
  symlinkSync('web/init.sls', join(dir, 'srv/link.sls'))
  symlinkSync('../outside', join(dir, 'srv/away'))
  const { run } = await appBench(t, { file_roots: { base: [join(dir, 'srv')], dev: [join(dir, 'dev')] } })
  t.strictSame(await run('fileserver.envs'), ['base', 'dev'])
  t.strictSame(await run('fileserver.envs', { sources: true }), { roots: ['base', 'dev'] })
  t.strictSame(await run('fileserver.file_list'), ['link.sls', 'top.sls', 'web/init.sls'])
  t.strictSame(await run('fileserver.dir_list'), ['empty', 'web'])
  t.strictSame(await run('fileserver.empty_dir_list'), ['empty'])
  t.strictSame(await run('fileserver.symlink_list'), { away: '../outside', 'link.sls': 'web/init.sls' })
  t.strictSame(await run('fileserver.file_list', { saltenv: 'dev' }), [])
  t.strictSame(await run('fileserver.file_list', { backend: 'git' }), [])
  t.equal(await run('fileserver.clear_cache'), 'No cache was cleared')
  t.equal(await run('fileserver.lock'), 'No locks were set')
})

t.test('fileserver.update tells what changed since the last time, when that is wanted', async t => {
  const dir = t.testdir({ srv: { 'a.sls': '' } })
  const quiet = await appBench(t, { file_roots: { base: [join(dir, 'srv')] } })
  t.equal(await quiet.run('fileserver.update'), true)
  const updates = async ({ log }: typeof quiet) =>
    (await log()).filter(event => event.tag === 'salt/fileserver/roots/update').map(event => event.data)
  t.strictSame(await updates(quiet), [])
  const loud = await appBench(t, { file_roots: { base: [join(dir, 'srv')] }, fileserver_events: true })
  await loud.run('fileserver.update')
  writeFileSync(join(dir, 'srv/b.sls'), '')
  await loud.run('fileserver.update')
  const none = { changed: [], removed: [], added: [] }
  t.strictSame(await updates(loud), [
    { changed: false, files: none, backend: 'roots' },
    { changed: true, files: { ...none, added: [join(dir, 'srv/b.sls')] }, backend: 'roots' }
  ])
})

t.test('execution functions run on the server itself, without a minion', async t => {
  const dir = t.testdir({ srv: { 'tiny.sls': 'hello:\n  test.nop:\n    - name: x\n', web: { 'init.sls': 'other:\n  test.nop: []\n' } } })
  const { run } = await appBench(t, { file_roots: { base: [join(dir, 'srv')] } })
  t.equal(await run('salt.cmd', { arg: ['test.ping'] }), true)
  t.equal(await run('salt.cmd', { arg: ['test.echo', 'a'] }), 'a')
  t.equal(await run('salt.cmd', { arg: ['no.such'] }), "'no.such' is not available.")
  const shown = (await run('state.orchestrate_show_sls', { arg: ['tiny'] })) as Record<string, object>
  t.strictSame(shown, { [MASTER]: { hello: { test: [{ name: 'x' }, 'nop', { order: 10000 }], __sls__: 'tiny', __env__: 'base' } } })
  const all = (await run('state.orchestrate_show_sls', { mods: '*' })) as Record<string, object>
  t.strictSame(Object.keys(all[MASTER]!), ['hello', 'other'])
})

t.test('rules of the reactor are listed, added and deleted with the answers of Salt', async t => {
  const dir = t.testdir({ 'a.sls': '' })
  const { run, log } = await appBench(t, { reactor: [{ 'salt/minion/*/start': [join(dir, 'a.sls')] }] })
  const own = { 'salt/minion/*/start': [join(dir, 'a.sls')] }
  t.strictSame(await run('reactor.list'), [own])
  t.strictSame(await run('reactor.add', { arg: ['myco/new/*'], reactors: '/srv/new.sls' }), { status: true, comment: 'Reactor added.' })
  t.strictSame(await run('reactor.add', { arg: ['myco/new/*'], reactors: ['/srv/b.sls'] }), {
    status: false,
    comment: 'Reactor already exists.'
  })
  t.strictSame(await run('reactor.list'), [own, { 'myco/new/*': ['/srv/new.sls'] }])
  t.strictSame(await run('reactor.delete', { arg: ['myco/new/*'] }), { status: true, comment: 'Reactor deleted.' })
  t.strictSame(await run('reactor.delete', { arg: ['myco/new/*'] }), { status: false, comment: 'Reactor does not exists.' })
  t.match(await run('reactor.delete', { arg: ['salt/minion/*/start'] }), { status: false, comment: /configuration/ })
  t.strictSame(await run('reactor.list'), [own])
  t.equal(await run('reactor.is_leader'), true)
  t.match(
    await run('reactor.add', { arg: ['x'], reactors: ['relative.sls'] }),
    /Exception occurred in runner reactor\.add: .*absolute path/
  )
  const told = (await log()).filter(event => event.tag.startsWith('salt/reactors/manage/'))
  t.match(told[1], {
    tag: 'salt/reactors/manage/add-complete',
    data: { reactors: [own, { 'myco/new/*': ['/srv/new.sls'] }], result: { status: true, comment: 'Reactor added.' } }
  })
})

t.test('pillar is compiled for a minion, and shown to nobody else', async t => {
  const dir = t.testdir({
    'top.sls': 'base:\n  "web*": [web]\n',
    'web.sls': 'port: 8080\nwho: {{ grains.id }}\ncolour: {{ pillar.get("c", "none") }}\n'
  })
  const { run, log } = await appBench(t, { pillar_roots: { base: [dir] } })
  t.strictSame(await run('pillar.show_pillar', { arg: ['web1'] }), { port: 8080, who: 'web1', colour: 'none' })
  t.strictSame(await run('pillar.show_pillar', { arg: ['web1'], pillar: { c: 'red' } }), {
    port: 8080,
    who: 'web1',
    colour: 'red',
    c: 'red'
  })
  t.strictSame(await run('pillar.show_pillar', { arg: ['db1'] }), {})
  t.strictSame(await run('pillar.show_top', { arg: ['web1'] }), { base: ['web'] })
  t.notMatch(JSON.stringify(await log()), /8080|red/)
})

t.test('tokens are made and ended, and no event shows one', async t => {
  const { run, log, app } = await appBench(t, {
    sharedsecret: 'hush',
    external_auth: { sharedsecret: { ada: [{ entry: '.*', kind: 'all', name: '.*' }] } }
  })
  const kwarg = { username: 'ada', password: 'hush', eauth: 'sharedsecret' }
  const made = (await run('auth.mk_token', { kwarg })) as { token: string; start: number; expire: number; name: string }
  t.match(made, { name: 'ada', eauth: 'sharedsecret', token: String })
  t.equal(Math.round(made.expire - made.start), app.services.config.token_expire)
  t.equal((await app.services.auth.verify(made.token)).user, 'ada')
  t.equal(await run('auth.mk_token', { kwarg: { ...kwarg, password: 'wrong' } }), false)
  t.equal(await run('auth.del_token', { kwarg: { token: made.token } }), true)
  t.equal(await run('auth.del_token', { kwarg: { token: made.token } }), false)
  const text = JSON.stringify(await log())
  t.notMatch(text, /hush/)
  t.notOk(text.includes(made.token))
})

t.test('functions that a caller chooses are asked of its permissions, runner or not', async t => {
  const { run } = await appBench(t)
  const runnersAlone = callerNamed('ada', action => action.kind !== 'local')
  for (const [fun, arg] of [
    ['salt.execute', ['*', 'cmd.run', ['id']]],
    ['survey.hash', ['*', 'cmd.run', 'id']],
    ['survey.diff', ['*', 'cmd.run', 'id']]
  ] as const) {
    t.match(await run(fun, { arg }, runnersAlone), /Authorization error occurred/, fun)
    t.notMatch(JSON.stringify(await run(fun, { arg })), /Authorization error/)
  }
})

t.test('what was never sent is empty, and extension modules are none', async t => {
  const { run } = await appBench(t)
  t.strictSame(await run('cache.mine', { tgt: '*' }), {})
  t.strictSame(await run('mine.get', { kwarg: { tgt: '*', fun: 'test.ping' } }), {})
  t.strictSame(await run('jobs.master'), [])
  t.strictSame(await run('saltutil.sync_modules'), [])
  t.match(await run('saltutil.sync_all'), { modules: [], runners: [] })
  t.strictSame(await run('manage.versions'), { Master: '3006.0' })
})
