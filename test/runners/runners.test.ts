import t, { type Test } from 'tap'
import type { Config } from '../../src/config/schema.js'
import { jidToTime } from '../../src/jobs/jid.js'
import { type Bench, bench, callerNamed, obliging } from '../helpers/commands.js'

const admin = callerNamed('admin')
type Call = (fun: string, fields?: object) => Promise<unknown>

async function runners(
  t: Test,
  ids: readonly string[],
  settings: Partial<Config> = {}
): Promise<Awaited<ReturnType<typeof bench>> & { call: Call }> {
  const made = await bench(t, ids, { timeout: 5, gather_job_timeout: 5, ...settings })
  return { ...made, call: (fun, fields = {}) => made.commands.run({ client: 'runner', fun, ...fields }, admin) }
}

/** Publishes a job and lets its minions return. */
async function job({ commands, jobs }: Bench, chunk: object, returns: Record<string, object> = {}): Promise<string> {
  const { jid } = (await commands.run({ client: 'local_async', ...chunk }, admin)) as { jid: string }
  const { fun, arg } = chunk as { fun: string; arg?: unknown[] }
  for (const [minion, ret] of Object.entries(returns))
    await jobs.recordReturn(minion, { jid, fun, fun_args: arg ?? [], retcode: 0, ...ret })
  return jid
}

t.test('a job is listed with the words of Salt', async t => {
  const made = await runners(t, ['m1', 'm2'])
  const { call } = made
  const a = await job(made, { tgt: '*', fun: 'test.arg', arg: ['x', 2], kwarg: { k: 'v' }, metadata: { note: 'n1' } })
  const b = await job(
    made,
    { tgt: ['m1'], tgt_type: 'list', fun: 'cmd.run', arg: ['echo hi; exit 2'] },
    { m1: { return: 'hi', retcode: 2, success: false } }
  )
  const listedA = {
    Function: 'test.arg',
    Arguments: ['x', 2, { __kwarg__: true, k: 'v' }],
    Target: '*',
    'Target-type': 'glob',
    User: 'admin',
    Metadata: { note: 'n1' },
    StartTime: jidToTime(a)
  }
  const aboutB = { Function: 'cmd.run', Arguments: ['echo hi; exit 2'], Target: ['m1'], 'Target-type': 'list', User: 'admin' }
  const listedB = { ...aboutB, StartTime: jidToTime(b) }
  const reportB = { ...aboutB, Minions: ['m1'], StartTime: jidToTime(b), Result: { m1: { return: 'hi', retcode: 2, success: false } } }
  const all = (await call('jobs.list_jobs')) as object
  t.strictSame(all, { [b]: listedB, [a]: listedA })
  t.same(Object.keys(all), [b, a], 'newest first')
  t.strictSame(await call('jobs.list_job', { jid: b }), { jid: b, ...reportB })
  t.strictSame(await call('jobs.print_job', { arg: [b] }), { [b]: reportB })
  t.strictSame(await call('jobs.lookup_jid', { jid: b }), { m1: 'hi' })
  t.strictSame(await call('jobs.lookup_jid', { kwarg: { jid: a, missing: true } }), {
    m1: 'Minion did not return',
    m2: 'Minion did not return'
  })
  t.strictSame(await call('jobs.last_run'), { [b]: reportB })
  t.match(await call('jobs.last_run', { function: 'test.*' }), { [a]: { Minions: ['m1', 'm2'], Result: {} } })
  t.equal(await call('jobs.last_run', { function: 'no.such' }), false)
  t.strictSame(await call('jobs.exit_success', { jid: b }), { m1: false }, 'a retcode is looked at')
  t.strictSame(await call('jobs.list_jobs_filter', { count: 1 }), [{ ...aboutB, JID: b, StartTime: jidToTime(b) }])
})

t.test('a job id without a job is an answer, and never a path', async t => {
  const { call } = await runners(t, [])
  const jid = '20010101000000000000'
  const error = { Error: 'Cannot contact returner or no job with this jid', StartTime: '2001, Jan 01 00:00:00.000000', Result: {} }
  t.strictSame(await call('jobs.list_job', { jid }), { jid, ...error })
  t.strictSame(await call('jobs.print_job', { jid }), { [jid]: error })
  t.strictSame(await call('jobs.lookup_jid', { jid }), {})
  t.strictSame(await call('jobs.exit_success', { jid }), {})
  t.match(await call('jobs.list_job', { jid: '../../etc' }), { StartTime: '', Result: {} })
})

t.test('jobs are found by function, target, metadata and time', async t => {
  const made = await runners(t, ['m1', 'm2'])
  const { call, clock } = made
  const a = await job(made, { tgt: '*', fun: 'test.arg', metadata: { note: 'n1', deep: { a: [1] } } })
  clock.pass(3600)
  const b = await job(made, { tgt: 'm1', fun: ['cmd.run', 'test.ping'], arg: [['true'], []] })
  const found = async (fields: object) => Object.keys((await call('jobs.list_jobs', fields)) as object)
  t.same(await found({ search_function: 'test.ping' }), [b], 'also among the functions of a compound job')
  t.same(await found({ search_function: ['test.a*', 'no.such'] }), [a])
  t.same(await found({ search_target: 'm1' }), [b])
  t.same(await found({ search_metadata: { note: 'n*' } }), [a])
  t.same(await found({ search_metadata: { deep: { a: [1] } } }), [a])
  t.same(await found({ search_metadata: { note: 'n1', other: 1 } }), [])
  t.same(await found({ start_time: '2100-01-01' }), [])
  t.same(await found({ start_time: jidToTime(b).slice(0, 18) }), [b])
  t.same(await found({ end_time: a }), [a])
  t.same(await found({ limit: 1 }), [b])
  t.same(await found({ before: b }), [a])
  t.match(await call('jobs.list_jobs', { start_time: 'yesterday-ish' }), /argument 'start_time': 'yesterday-ish' is no time/)
  t.match(await call('jobs.list_jobs', { search_metadata: 'x' }), /must be a mapping/)
})

t.test('jobs.active asks the minions what they run', async t => {
  const made = await runners(t, ['m1', 'm2'])
  const { call, minions } = made
  const jid = await job(made, { tgt: 'm*', fun: 'test.sleep', arg: [25] }, { m2: { return: true } })
  const running = { pid: 5207, fun: 'test.sleep', arg: [25], tgt: 'm*', jid, ret: '', tgt_type: 'glob', user: 'admin' }
  minions.connect('m1', job => (job.fun === 'saltutil.running' ? { return: [running, { jid: 'nonsense' }, null] } : null))
  minions.connect('m2', job => (job.fun === 'saltutil.running' ? { return: "'saltutil.running' is not available." } : null))
  const about = { Function: 'test.sleep', Arguments: [25], Target: 'm*', 'Target-type': 'glob', User: 'admin', StartTime: jidToTime(jid) }
  t.strictSame(await call('jobs.active'), { [jid]: { ...about, Running: [{ m1: 5207 }], Returned: ['m2'] } })
})

t.test('manage.status asks with a test.ping, manage.present looks at the connections', async t => {
  const { call, minions, log } = await runners(t, ['m1', 'm2', 'p1'], { timeout: 0.05 })
  minions.connect('m1', obliging)
  minions.connect('m2', obliging)
  t.strictSame(await call('manage.present'), ['m1', 'm2'])
  t.strictSame(await call('manage.not_present'), ['p1'])
  t.notOk(
    (await log()).some(event => /^salt\/job/.test(event.tag)),
    'no command was sent'
  )
  t.strictSame(await call('manage.status'), { up: ['m1', 'm2'], down: ['p1'] })
  t.match(
    (await log()).find(event => /^salt\/job\/.*new$/.test(event.tag)),
    { data: { fun: 'test.ping', tgt: '*', user: 'admin' } }
  )
  t.strictSame(await call('manage.up', { tgt: 'm1' }), ['m1'])
  t.strictSame(await call('manage.down'), ['p1'])
})

t.test('event.send fires the event before its own ret event; tags under salt/ need the permission to fire them', async t => {
  const { commands, call, log } = await runners(t, [])
  t.equal(await call('event.send', { arg: ['myco/x', { answer: 42 }] }), true)
  t.match(
    (await log()).map(event => event.tag),
    [/^salt\/run\/\d+\/new$/, 'myco/x', /^salt\/run\/\d+\/ret$/]
  )
  t.strictSame((await log())[1]!.data, { answer: 42 })
  const noSalt = callerNamed('ci', action => action.kind === 'runner')
  const send = (tag: string) => commands.run({ client: 'runner', fun: 'event.send', kwarg: { tag } }, noSalt)
  t.equal(await send('myco/y'), true)
  t.match(await send('salt/job/1/new'), /^Exception occurred in runner event.send: 'ci' may not fire/)
  t.match(await send('a\nb'), /control character/)
  t.match(await call('event.send', { kwarg: { tag: 'myco/z', data: 'text' } }), /expected a mapping/)
})

t.test('doc.runner and doc.wheel show what there is; doc.execution asks the minions', async t => {
  const { call, minions } = await runners(t, ['m1'])
  minions.connect('m1', job => (job.fun === 'sys.doc' ? { return: { 'test.ping': 'Say that you are there' } } : null))
  t.match(await call('doc.runner'), { 'jobs.active': /running/, 'doc.runner': /doc/ })
  t.match(await call('doc.wheel'), { 'key.accept': /Accept/ })
  t.strictSame(await call('doc.execution'), { 'test.ping': 'Say that you are there' })
})

t.test('cache.grains shows what is known of accepted minions, without asking them', async t => {
  const { call, keys, log } = await runners(t, ['m1', 'm2'])
  await keys.putFacts('m1', { os: 'Debian' })
  t.strictSame(await call('cache.grains'), { m1: { os: 'Debian' } })
  t.strictSame(await call('cache.grains', { tgt: 'os:Debian', tgt_type: 'grain' }), { m1: { os: 'Debian' } })
  t.strictSame(await call('cache.grains', { tgt: 'os:Suse', tgt_type: 'grain' }), {})
  t.notOk((await log()).some(event => /^salt\/job/.test(event.tag)))
})

t.test('test.stream tells of its progress', async t => {
  const { commands, hub } = await runners(t, [])
  const first = new Promise<string>(resolve => hub.listen({ include: ['salt/run/*/progress'] }, event => resolve(event.json)))
  await commands.run({ client: 'runner_async', fun: 'test.stream' }, admin)
  t.match(JSON.parse(await first), { message: 'Runner is 1% done' })
})

t.test('test.sleep has a bound', async t => {
  const { call } = await runners(t, [])
  t.equal(await call('test.sleep', { arg: [0] }), true)
  t.match(await call('test.sleep', { arg: [1e9] }), /must be 0 to 3600/)
})

t.test('settings are shown, secrets are not', async t => {
  const { call, commands, log } = await runners(t, [], { sharedsecret: 'hunter2', nodegroups: { web: 'web*' } })
  t.equal(await call('config.get', { arg: ['timeout'] }), 5)
  t.equal(await call('config.get', { arg: ['nodegroups:web'] }), 'web*')
  t.equal(await call('config.get', { arg: ['nodegroups:web:x'], kwarg: { default: 'none' } }), 'none')
  t.equal(await call('config.get', { arg: ['constructor'] }), '')
  t.notMatch(JSON.stringify(await call('config.get', { arg: ['sharedsecret'] })), /hunter2/)
  const { data } = (await commands.run({ client: 'wheel', fun: 'config.values' }, admin)) as { data: { return: object } }
  t.match(data.return, { timeout: 5, nodegroups: { web: 'web*' } })
  t.notMatch(JSON.stringify([data, await log()]), /hunter2/)
})
