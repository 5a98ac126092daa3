import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { MinionBus } from '../../src/minion/bus.js'
import type { MinionLog } from '../../src/minion/context.js'
import { MinionReactor } from '../../src/minion/reactions.js'
import { systemdUnit } from '../../src/minion/systemd.js'
import { silent, until } from '../helpers/executor.js'
import { CLI } from '../helpers/server.js'
import { TestClock, tempFolder } from '../helpers/store.js'
import { brine } from '../helpers/terminal.js'

/** A masterless minion as a process of its own, with its directory, what it logged, and calls to it. */
async function solo(t: Test, config: string, files: Record<string, string> = {}) {
  // Not below the test's own long name: the path of a socket is short.
  const dir = await mkdtemp(join(tmpdir(), 'brine-agent-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  const all = { minion: `id: solo\nmaster: ''\nfile_client: local\nlog_level: info\n${config}`, ...files }
  await mkdir(join(dir, 'conf'))
  for (const [name, text] of Object.entries(all)) await writeFile(join(dir, 'conf', name), text)
  const conf = join(dir, 'conf')
  const args = ['--config', conf, '--dir', join(dir, 'run')]
  const child = spawn(process.execPath, [CLI, 'minion', ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = once(child, 'exit')
  t.teardown(() => child.kill('SIGKILL'))
  let log = ''
  child.stderr!.on('data', chunk => {
    log += String(chunk)
  })
  await until(() => existsSync(join(dir, 'run/agent.sock')), 'the agent listens')
  const call = async (...words: string[]) => {
    const { out } = await brine(['call', '--out', 'json', ...args, ...words])
    return (JSON.parse(out) as { local: unknown }).local
  }
  return { dir, conf, child, ended, call, logged: (text: string) => until(() => log.includes(text), `the log says: ${text}`) }
}

t.test('a masterless minion runs its schedule, and reacts to its own bus', async t => {
  const { dir, call } = await solo(
    t,
    `reactor:
  - 'my/*': [react.sls]
  - 'salt/minion/solo/start': [react.sls]
`,
    {
      'react.sls':
        'note:\n  caller.cmd.run:\n    - args:\n      - cmd: "echo {{ tag }} {{ data.n | default(0) }} >> {{ opts.conf_dir }}/notes"\nother:\n  local.test.ping:\n    - tgt: "*"\n'
    }
  )
  const notes = () => readFile(join(dir, 'run/notes'), 'utf8').catch(() => '')
  await until(async () => (await notes()).includes('salt/minion/solo/start 0\n'), 'the reaction to the start')
  t.equal(await call('event.fire', '{n: 1}', 'my/tag'), true)
  await until(async () => (await notes()).includes('my/tag 1\n'), 'the reaction to event.fire')
  t.equal(await call('event.fire', '{n: 2}', 'other/tag'), true)
  await call('schedule.add', 'beat', 'function=event.fire', 'job_args=[{n: 3}, my/beat]', 'seconds=1')
  await until(async () => (await notes()).includes('my/beat 3\n'), 'the reaction to the schedule')
  t.notOk((await notes()).includes('other/tag'))
})

t.test(
  'the configuration is read anew on SIGHUP: jobs and grains change, what stayed the same keeps its time, mistakes change nothing',
  async t => {
    const jobs = 'schedule:\n  a: {function: test.ping, seconds: 3600}\n'
    const { conf, child, call, logged } = await solo(t, `grains: {role: one}\n${jobs}`)
    const next = () => call('schedule.show_next_fire_time', 'a')
    const before = await next()
    const head = "id: solo\nmaster: ''\nfile_client: local\nlog_level: info\n"
    await writeFile(join(conf, 'minion'), `${head}grains: {role: two}\n${jobs}  b: {function: test.ping, hours: 1}\n`)
    child.kill('SIGHUP')
    await logged('read anew')
    t.match(await call('schedule.list', 'return_yaml=False'), { a: { seconds: 3600 }, b: { hours: 1 } })
    t.same(await next(), before)
    await writeFile(join(conf, 'minion'), `${head}grains: 5\n`)
    child.kill('SIGHUP')
    await logged('the configuration has mistakes')
  }
)

t.test('SIGTERM lets a job end first', async t => {
  const { dir, child, ended, call } = await solo(t, 'schedule:\n  slow: {function: cmd.run, seconds: 3600}\n')
  await call('schedule.modify', 'slow', 'function=cmd.run', `job_args=["touch ${dir}/begun; sleep 0.5; touch ${dir}/done"]`)
  await call('schedule.run_job', 'slow')
  await until(() => existsSync(join(dir, 'begun')), 'the job runs')
  child.kill('SIGTERM')
  t.same(await ended, [0, null])
  t.ok(existsSync(join(dir, 'done')), 'the job has ended before the agent')
  t.notOk(existsSync(join(dir, 'run/agent.sock')), 'nobody listens any more')
})

t.test('the unit names program, options and directory, and restarts an agent whose loop stands still', async t => {
  const { code, out } = await brine(['minion', 'install', '--print', '--master', 'http://b:8000', '--dir', '/var/lib/m', '--id', 'web1'])
  t.equal(code, 0)
  t.match(out, /^ExecStart=\S+ \S+cli\.js minion --id web1 --master http:\/\/b:8000 --dir \/var\/lib\/m$/m)
  for (const line of ['Type=notify', 'Restart=always', 'WatchdogSec=120', 'KillMode=mixed', 'OOMPolicy=continue'])
    t.match(out, new RegExp(`^${line}$`, 'm'))
  t.match(
    systemdUnit({ node: '/opt/my node/bin', program: 'p', args: ['50%', '$x'], dir: '/d' }),
    /ExecStart="\/opt\/my node\/bin" p minion "50%%" "\$\$x"/
  )
})

t.test('a reaction that sets itself off is stopped, other types and broken files are told of', async t => {
  const dir = t.testdir({
    'loop.sls': 'again:\n  caller.event.fire:\n    - args:\n      - data: {}\n      - tag: loop\n',
    'bad.sls': '{{ nope.x }}',
    'rules.yaml': '- broken: bad.sls\n- ignored\n'
  })
  const errors: string[] = []
  const log: MinionLog = { ...silent, error: (_fields, text) => errors.push(text) }
  const bus = new MinionBus(log)
  let calls = 0
  const reactor = new MinionReactor({
    ...{
      rules: [{ loop: join(dir, 'loop.sls') }, { 'br*': [join(dir, 'b*.sls')] }, { 'no/file': 'salt://none.sls' }],
      fileRoots: { base: [dir] },
      log
    },
    context: () => ({ grains: {} }),
    run: async () => {
      calls++
      bus.fire('loop', {})
    }
  })
  await reactor.start(bus)
  t.teardown(() => reactor.stop())
  bus.fire('loop', {})
  await until(() => errors.some(text => text.includes('is there a loop')), 'the loop is stopped')
  t.equal(calls, 600)
  errors.length = 0
  bus.fire('broken', { a: 1 })
  bus.fire('no/file', {})
  await until(() => errors.length === 2, 'both are told of')
  t.same(errors, ['a reaction failed', 'a reaction failed'])
})

t.test('reactions of a minion are those of the server: imports, functions, sections of several files merged, in order', async t => {
  const dir = t.testdir({
    'map.jinja': "{% set path = '/tmp/from-map' %}",
    'a.sls': 'twice:\n  caller.file.touch:\n    - args: [/tmp/first]\nz:\n  caller.test.echo:\n    - args: [last]\n',
    more: {
      'b.sls':
        "{% from 'map.jinja' import path with context %}twice:\n  caller.file.touch:\n    - args:\n      - name: {{ path }}\n" +
        'a:\n  caller.test.echo:\n    - args: [\'{{ salt["grains.get"]("os:name") }} {{ data.n }}\']\n'
    }
  })
  const calls: unknown[] = []
  const bus = new MinionBus(silent)
  const reactor = new MinionReactor({
    rules: [{ 'x/*': ['salt://a.sls', 'salt://more/*.sls'] }, { 'x/y': 'salt://a.sls' }],
    fileRoots: { base: [join(dir, 'nowhere'), dir] },
    log: silent,
    context: () => ({ grains: { id: 'm1', os: { name: 'Debian' } } }),
    run: async (fun, arg) => {
      calls.push([fun, arg])
    }
  })
  await reactor.start(bus)
  t.teardown(() => reactor.stop())
  bus.fire('x/y', { n: 5 })
  await until(() => calls.length === 3, 'all calls are made')
  t.strictSame(calls, [
    ['test.echo', ['Debian 5']],
    ['file.touch', [{ __kwarg__: true, name: '/tmp/from-map' }]],
    ['test.echo', ['last']]
  ])
})

/** A reactor on a bus of its own, whose clock the test owns; `calls` has what was called with what. */
async function minionReactor(t: Parameters<typeof tempFolder>[0], options: object, sls = SEEN, tag = 'n/*') {
  const dir = await tempFolder(t)
  writeFileSync(join(dir, 'r.sls'), sls)
  const clock = new TestClock()
  const calls: unknown[] = []
  const errors: string[] = []
  const told = (fields: object, text: string) => errors.push(`${text} ${JSON.stringify(fields)}`)
  const log: MinionLog = { ...silent, error: told, warn: told }
  const bus = new MinionBus(log)
  const answers: unknown[] = []
  const reactor = new MinionReactor({
    ...{ rules: [{ [tag]: { sls: join(dir, 'r.sls'), ...options } }], fileRoots: { base: [dir] }, log, clock },
    context: () => ({ grains: {} }),
    run: async (_, arg) => {
      calls.push(arg[0])
      return answers.shift()
    }
  })
  await reactor.start(bus)
  t.teardown(() => reactor.stop())
  const fire = async (...ns: number[]) => {
    for (const n of ns) bus.fire(`n/${n}`, { n, id: n % 2 ? 'odd' : 'even' })
    await reactor.look()
  }
  return { reactor, clock, calls, errors, fire, answers }
}

const SEEN = 'say:\n  caller.test.echo:\n    - args: [\'{{ events | map(attribute="data") | map(attribute="n") | join(" ") }}\']\n'

t.test('rules of a minion have options: when and active, by the code of the server', async t => {
  const { calls, fire, clock } = await minionReactor(t, { when: 'data.n > 1', active: [{ from: '08:00', to: '08:10' }] })
  await fire(1, 2)
  clock.pass(3600)
  await fire(3)
  t.strictSame(calls, ['2'])
})

t.test('rules of a minion gather events: throttle, debounce and accumulate, apart by group_by; the clock closes windows', async t => {
  const after = await minionReactor(t, { throttle: { once_after: '10s' }, group_by: 'data.id' })
  await after.fire(1, 2, 3)
  t.strictSame(after.calls, [])
  after.clock.pass(11)
  await after.reactor.look()
  t.strictSame(after.calls, ['1 3', '2'])
  const within = await minionReactor(t, { throttle: { once_within: '10s' } })
  await within.fire(1, 2)
  within.clock.pass(11)
  await within.fire(3)
  t.strictSame(within.calls, ['1', '3'])
  const debounced = await minionReactor(t, { debounce: { period: '10s' } })
  await debounced.fire(1)
  debounced.clock.pass(8)
  await debounced.fire(2)
  debounced.clock.pass(8)
  await debounced.reactor.look()
  t.strictSame(debounced.calls, [])
  debounced.clock.pass(3)
  await debounced.reactor.look()
  t.strictSame(debounced.calls, ['1 2'])
  const counted = await minionReactor(t, { accumulate: { within: '10s', threshold: 2 } })
  await counted.fire(1, 2, 3)
  t.strictSame(counted.calls, ['1 2'])
})

t.test('rules of a minion are limited: rate_limit, and a breaker that learns how calls ended', async t => {
  const limited = await minionReactor(t, { rate_limit: { limit: 2, per: '1m' } })
  await limited.fire(1, 2, 3, 4)
  t.strictSame(limited.calls, ['1', '2'])
  t.match(limited.errors, [/more than 2 events in 1m/])
  limited.clock.pass(61)
  await limited.fire(5)
  t.strictSame(limited.calls, ['1', '2', '5'])
  const broken = await minionReactor(t, { breaker: { failures: 2, rest: '30s' }, concurrency: { limit: 1 } })
  broken.answers.push(false, false, true)
  await broken.fire(1, 2, 3)
  t.strictSame(broken.calls, ['1', '2'])
  t.match(broken.errors, [/circuit breaker of a rule is open/, /blocked/])
  broken.clock.pass(31)
  await broken.fire(4, 5)
  t.strictSame(broken.calls, ['1', '2', '4', '5'])
})

t.test('a minion holds events until their rule is active', async t => {
  const { calls, fire, clock, reactor } = await minionReactor(t, { active: [{ from: '08:30', to: '09:00' }], outside: 'hold' })
  await fire(1)
  t.strictSame(calls, [])
  clock.pass(1801)
  await reactor.look()
  t.strictSame(calls, ['1'])
})

t.test('options that cannot be, or mean nothing on a minion, are mistakes of the configuration that name them', async t => {
  const wrong = await minionReactor(t, { trottle: { once_within: 5 } })
  t.match(wrong.errors, [/cannot be read.*trottle is no option/])
  const retried = await minionReactor(t, { retry: { attempts: 3 } })
  t.match(retried.errors, [/cannot be read.*reactor\.n\/\*: retry/])
})

t.test('events that still wait in windows when the minion stops are told of', async t => {
  const { fire, reactor, errors } = await minionReactor(t, { debounce: { period: '10s' } })
  await fire(1, 2)
  await reactor.stop()
  t.match(errors, [/still waited.*"events":2/])
})
