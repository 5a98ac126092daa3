import { join } from 'node:path'
import t, { type Test } from 'tap'
import { highstate } from '../../src/cli/highstate.js'
import { recorded } from '../helpers/executor.js'
import { lowstate } from '../helpers/minion.js'
import { readEvents, startBrine } from '../helpers/server.js'
import { brine } from '../helpers/terminal.js'

const STATES = {
  'ok.sls': "ok:\n  test.nop\nrole {{ pillar.get('role') }}:\n  test.succeed_with_changes\n",
  'bad.sls': 'bad:\n  test.fail_without_changes\n',
  'pillar.sls': "{{ pillar['who'] }}:\n  test.nop\n"
}

/** `brine call --local` over states of the test's own. */
function local(t: Test) {
  const dir = t.testdir({
    states: STATES,
    pillar: { 'top.sls': "base:\n  '*':\n    - a\n", 'a.sls': 'who: somebody\n' },
    minion: {}
  })
  const roots = ['--file-root', join(dir, 'states'), '--pillar-root', join(dir, 'pillar'), '--dir', join(dir, 'minion'), '--id', 'web1']
  return (...args: string[]) => brine(['call', ...roots, ...args], { cwd: dir })
}

t.test('a function runs without a server and its value is printed under local, in the format that is asked for', async t => {
  const call = local(t)
  t.match(await call('test.ping'), { code: 0, out: 'local:\n    True\n', err: '' })
  t.equal((await call('test.echo', 'a: b', '--out', 'json')).out, '{\n    "local": "a: b"\n}\n')
  t.equal((await call('test.outputter', '[1, x]', '--out', 'yaml')).out, 'local:\n- 1\n- x\n')
  t.equal((await call('test.outputter', '{a: true}', '--out', 'raw')).out, "{'local': {'a': True}}\n")
  t.equal((await call('test.echo', 'one', '--out', 'txt')).out, 'local: one\n')
  t.equal((await call('test.ping', '--out', 'quiet')).out, '')
  t.equal((await call('grains.get', 'id')).out, 'local:\n    web1\n')
  t.equal((await call('pillar.get', 'who')).out, 'local:\n    somebody\n')
})

t.test('arguments are read as Salt reads them, also those that look like options', async t => {
  const { out } = await local(t)('test.arg', '1', '-1', 'two', '[3, 4]', 'a=b', 'c={d: 5}', '--out', 'json')
  const { args, kwargs } = (JSON.parse(out) as { local: { args: unknown; kwargs: Record<string, unknown> } }).local
  t.same(args, [1, -1, 'two', [3, 4]])
  t.match(kwargs, { a: 'b', c: { d: 5 }, __pub_fun: 'test.arg', __pub_tgt: 'salt-call', __pub_pid: process.pid, __pub_jid: /^\d{20}$/ })
})

t.test('state runs are printed as Salt does, with their summary; test=True predicts; pillar= is laid over', async t => {
  const call = local(t)
  const { code, out } = await call('state.apply', 'ok', 'pillar={role: web}')
  t.equal(code, 0)
  const timeless = out
    .replace(/Started: [\d:.]+/g, 'Started: T')
    .replace(/[\d.]+ ms/g, 'D ms')
    .replace(/time: +D/, 'time: D')
  t.equal(
    timeless,
    `local:
----------
          ID: ok
    Function: test.nop
      Result: True
     Comment: Success!
     Started: T
    Duration: D ms
     Changes:   
----------
          ID: role web
    Function: test.succeed_with_changes
      Result: True
     Comment: Success!
     Started: T
    Duration: D ms
     Changes:   
              ----------
              testing:
                  ----------
                  new:
                      Something pretended to change
                  old:
                      Unchanged

Summary for local
------------
Succeeded: 2 (changed=1)
Failed:    0
------------
Total states run:     2
Total run time: D ms
`
  )
  t.match((await call('state.apply', 'ok', 'test=True', 'pillar={role: x}')).out, /Succeeded: 2 \(unchanged=1, changed=1\)\nFailed: {4}0\n/)
  t.match((await call('state.apply', 'pillar')).out, /ID: somebody\n/)
})

t.test('the exit code tells of failure; with --retcode-passthrough it is the function’s own', async t => {
  const call = local(t)
  t.equal((await call('state.apply', 'bad')).code, 1)
  t.equal((await call('state.apply', 'bad', '--retcode-passthrough')).code, 2)
  t.equal((await call('cmd.run', 'exit 7', '--retcode-passthrough')).code, 7)
  t.match(await call('no.such'), { code: 1, out: "local:\n    'no.such' is not available.\n" })
  t.equal(
    (await call('state.apply', 'none')).out,
    "local:\n    Data failed to compile:\n----------\n    No matching sls found for 'none' in env 'base'\n"
  )
  t.equal((await brine(['call'])).code, 2)
  t.match(await brine(['call', 'test.ping', '--master', 'http://127.0.0.1:1', '--dir', t.testdir()]), { code: 5, err: /ECONNREFUSED/ })
})

t.test('what a call changes in the schedule counts for the minion that starts later', async t => {
  const call = local(t)
  t.match(await call('schedule.add', 'job1', 'function=test.ping', 'seconds=3600'), { code: 0 })
  t.match((await call('schedule.list')).out, /job1:\n/)
  t.match((await call('schedule.run_job', 'job1')).out, /no minion runs here/)
})

t.test('events for a server go nowhere masterless, and the call says so', async t => {
  t.equal((await local(t)('event.send', 'a/b', '{c: 1}')).out, 'local:\n    False\n')
})

t.test('a summary is as wide as its counts, and counts warnings', t => {
  const state = { result: true, comment: 'a\nb', changes: {}, duration: 1500, __run_num__: 0, warnings: ['old'] }
  const states = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`test_|-id${i}_|-name_|-nop`, { ...state, __run_num__: i }]))
  t.match(
    highstate('local', states),
    /Name: name\n[\s\S]*?Comment: a\n {14}b\n[\s\S]*Summary for local\n-{13}\nSucceeded: 10\nFailed: {5}0\nWarnings: {2}10\n-{13}\nTotal states run: {5}10\nTotal run time: {3}15\.000 s\n$/
  )
  t.equal(highstate('local', { a: 1 }), null)
  t.end()
})

t.test('with a server: the events of a call are those that Salt’s have, and the agent that runs is asked for its schedule', async t => {
  const server = await startBrine(t)
  const call = (...args: string[]) => brine(['call', '--data', server.data, ...args])
  const history = `${server.url}/events?since=earliest`
  await readEvents(history, { 'x-auth-token': server.token }, ({ tag }) => tag === 'salt/minion/local/start')
  t.equal((await call('test.arg', '1', 'a=b')).code, 0)
  const scenario = await recorded('saltcall_job')
  const events = await readEvents(history, { 'x-auth-token': server.token }, ({ data }) => data.fun === 'test.arg')
  const own = events.slice(-3)
  t.same(
    own.map(({ tag }) => tag.split('/').slice(0, 2)),
    scenario.map(({ tag }) => tag.split('/').slice(0, 2))
  )
  for (const [i, { data }] of scenario.entries()) t.same(Object.keys(own[i]!.data).sort(), Object.keys(data).sort(), own[i]!.tag)
  t.match(own[2]!.data, {
    cmd: '_return',
    id: 'local',
    retcode: 0,
    fun: 'test.arg',
    fun_args: ['1', 'a=b'],
    arg: ['1', 'a=b'],
    tgt_type: 'glob',
    tgt: 'local'
  })

  t.equal((await call('schedule.add', 'job1', 'function=test.ping', 'seconds=3600')).code, 0)
  const listed = await lowstate<{ local: object }>(server, {
    client: 'local',
    tgt: 'local',
    fun: 'schedule.list',
    kwarg: { return_yaml: false }
  })
  t.match(listed.local, { job1: { function: 'test.ping', seconds: 3600 } })
})
