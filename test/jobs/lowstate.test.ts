import t from 'tap'
import type { Action } from '../../src/auth/caller.js'
import { REACTOR } from '../../src/auth/permissions.js'
import { isBrineError } from '../../src/errors.js'
import { bench, callerNamed, obliging } from '../helpers/commands.js'
import { newEvent } from '../helpers/store.js'

const admin = callerNamed('admin')
const onlyTest = callerNamed('ro', (action: Action) => action.kind === 'local' && action.fun.startsWith('test.'))

async function refusal(promise: Promise<unknown>): Promise<{ code: string; status: number; message: string }> {
  try {
    await promise
  } catch (error) {
    if (isBrineError(error)) return { code: error.code, status: error.status, message: error.message }
    throw error
  }
  throw new Error('was not refused')
}

const WORKING = { timeout: 5, gather_job_timeout: 5 }

t.test('local answers with what each minion returned', async t => {
  const { commands, minions } = await bench(t, ['m1', 'm2'], WORKING)
  for (const id of ['m1', 'm2']) minions.connect(id, obliging)
  t.same(await commands.run({ client: 'local', tgt: '*', fun: 'test.ping' }, admin), { m1: true, m2: true })
  t.same(await commands.run({ client: 'local', tgt: 'm1', fun: 'no.such' }, admin), { m1: "'no.such' is not available." })
  t.same(await commands.run({ client: 'local', tgt: 'zz*', fun: 'test.ping' }, admin), {})
  t.same(await commands.run({ client: 'local', tgt: 'm1', tgt_type: 'bogus', fun: 'test.ping' }, admin), {})
})

t.test('full_return adds retcode, job id and outputter', async t => {
  const { commands, minions } = await bench(t, ['m1'], WORKING)
  minions.connect('m1', obliging)
  const good = (await commands.run({ client: 'local', tgt: '*', fun: 'test.ping', full_return: true }, admin)) as { m1: { jid: string } }
  t.strictSame(good, { m1: { ret: true, retcode: 0, jid: good.m1.jid } })
  const bad = (await commands.run({ client: 'local', tgt: '*', fun: 'no.such', full_return: true }, admin)) as { m1: { jid: string } }
  t.strictSame(bad, { m1: { ret: "'no.such' is not available.", out: 'nested', retcode: 1, jid: bad.m1.jid } })
})

t.test('an absent minion is false, a listed id without a key is told in a text', async t => {
  const { commands, minions } = await bench(t, ['m1', 'down1'])
  minions.connect('m1', obliging)
  const answer = (await commands.run({ client: 'local', tgt: ['m1', 'down1', 'ghost'], tgt_type: 'list', fun: 'test.ping' }, admin)) as {
    ghost: string
  }
  t.match(answer, { m1: true, down1: false, ghost: /^Minion did not return. \[No response\]\n[\s\S]*salt-run jobs.lookup_jid \d{20}$/ })
  t.same(Object.keys(answer), ['m1', 'ghost', 'down1'])
})

t.test('local_async answers with job id and minions as soon as the job is committed', async t => {
  const { commands, log } = await bench(t, ['m1', 'm2'], WORKING)
  const answer = (await commands.run({ client: 'local_async', tgt: '*', fun: 'test.ping', metadata: { a: 1 } }, admin)) as { jid: string }
  t.same(answer, { jid: answer.jid, minions: ['m1', 'm2'] })
  t.match(answer.jid, /^\d{20}$/)
  t.equal((await log()).length, 2)
  t.same(await commands.run({ client: 'local_async', tgt: 'zz*', fun: 'test.ping' }, admin), {})
})

t.test('nothing of a request runs when any of its chunks is refused or malformed', async t => {
  const { commands, minions, log } = await bench(t, ['m1'], WORKING)
  minions.connect('m1', obliging)
  const fine = { client: 'local', tgt: '*', fun: 'test.ping' }
  const cases: [unknown, string][] = [
    [{ ...fine, fun: 'cmd.run', arg: ['true'] }, 'AUTHORIZATION'],
    [{ ...fine, client: 'bogus' }, 'CLIENT_UNKNOWN'],
    [{ client: 'local', tgt: '*' }, 'FIELD_MISSING'],
    [{ client: 'runner', fun: 'jobs.active' }, 'FUNCTION_REFUSED'],
    [{ client: 'wheel_async', fun: 'key.list_all' }, 'FUNCTION_REFUSED'],
    [null, 'FIELD_INVALID']
  ]
  for (const [chunk, code] of cases) t.match(await refusal(commands.runAll([fine, chunk], onlyTest)), { code }, code)
  t.match(await refusal(commands.runAll('x', admin)), { code: 'LOWSTATE_NOT_LIST' })
  t.same(await log(), [])
  t.same(minions.sent, [])
})

t.test('a runner function that does not exist is refused, nothing of its request runs, and the log has the one event of Salt', async t => {
  const { commands, minions, log } = await bench(t, ['m1'], WORKING)
  minions.connect('m1', obliging)
  const unknown = { client: 'runner', fun: 'nosuch.runner', arg: ['a', 'b=c'] }
  const chunks = [{ client: 'local', tgt: '*', fun: 'test.ping' }, unknown]
  t.match(await refusal(commands.runAll(chunks, admin)), {
    code: 'FUNCTION_UNKNOWN',
    status: 400,
    message: "'nosuch.runner' is not available"
  })
  const [event, ...more] = (await log()) as { tag: string; data: { jid: string } }[]
  const { jid } = event!.data
  t.strictSame(event, {
    tag: `salt/run/${jid}/ret`,
    data: {
      ...{ success: false, return: "'nosuch.runner' is not available.", retcode: 254, fun: 'nosuch.runner' },
      ...{ fun_args: ['a', { __kwarg__: true, b: 'c' }], jid }
    }
  })
  t.same(more, [])
  t.match(await refusal(commands.runAll([unknown], onlyTest)), { code: 'FUNCTION_REFUSED' })
  t.equal((await log()).length, 1, 'who may not call it leaves nothing')
  t.same(minions.sent, [])
})

t.test('who may not is told in the words of Salt', async t => {
  const { commands } = await bench(t, ['m1'])
  const nobody = callerNamed('nobody', () => false)
  for (const client of ['local', 'local_async', 'local_batch', 'local_subset']) {
    t.match(await refusal(commands.run({ client, tgt: 'm1', fun: 'test.ping' }, nobody)), {
      status: 401,
      message: 'Authorization error occurred.'
    })
  }
  for (const client of ['runner', 'runner_async', 'wheel', 'wheel_async']) {
    const message = 'Authentication failure of type "token" occurred for user nobody.'
    t.match(await refusal(commands.run({ client, fun: 'no.such' }, nobody)), { status: 401, message })
  }
})

t.test('each function of a compound command must be permitted, with its own arguments', async t => {
  const { commands, minions } = await bench(t, ['m1'], WORKING)
  minions.connect('m1', () => ({ return: { 'test.ping': true, 'test.echo': 'x' } }))
  const asked: Action[] = []
  const watching = callerNamed('ro', action => {
    asked.push(action)
    return onlyTest.may(action)
  })
  const compound = { client: 'local', tgt: 'm1', fun: ['test.ping', 'test.echo'], arg: [[], ['x', 'n=2']] }
  t.same(await commands.run(compound, watching), { m1: { 'test.ping': true, 'test.echo': 'x' } })
  t.match(asked, [
    { fun: 'test.ping', args: [], kwargs: {} },
    { fun: 'test.echo', args: ['x'], kwargs: { n: 2 } }
  ])
  t.match(await refusal(commands.run({ ...compound, fun: ['test.ping', 'cmd.run'] }, onlyTest)), { code: 'AUTHORIZATION' })
})

t.test('a later chunk is asked about again when its turn comes', async t => {
  const { commands, minions } = await bench(t, ['m1'], WORKING)
  let permitted = true
  minions.connect('m1', job => {
    permitted = false
    return obliging(job)
  })
  const chunk = { client: 'local', tgt: '*', fun: 'test.ping' }
  t.match(
    await refusal(
      commands.runAll(
        [chunk, chunk],
        callerNamed('ro', () => permitted)
      )
    ),
    { code: 'AUTHORIZATION' }
  )
  t.equal(minions.sent.length, 1)
})

t.test('a chosen job id is used once', async t => {
  const { commands } = await bench(t, ['m1'])
  const chunk = { client: 'local_async', tgt: '*', fun: 'test.ping', jid: '20260101000000000001' }
  t.match(await commands.run(chunk, admin), { jid: '20260101000000000001' })
  t.match(await refusal(commands.run(chunk, admin)), { code: 'JID_TAKEN', status: 409 })
})

t.test('local_batch keeps so many at work and gives one entry per minion', async t => {
  const { commands, minions, log } = await bench(t, ['m1', 'm2', 'm3', 'down1'], { timeout: 0.05, gather_job_timeout: 5 })
  let atWork = 0
  let most = 0
  for (const id of ['m1', 'm2', 'm3']) {
    minions.connect(id, async job => {
      if (job.fun !== 'test.echo') return obliging(job)
      most = Math.max(most, ++atWork)
      await new Promise(resolve => setImmediate(resolve))
      atWork -= 1
      return obliging(job)
    })
  }
  const entries = (await commands.runAll({ client: 'local_batch', tgt: '*', fun: 'test.echo', arg: ['b'], batch: 2 }, admin)) as object[]
  t.same(entries.map(entry => Object.entries(entry)[0]).sort(), [
    ['m1', 'b'],
    ['m2', 'b'],
    ['m3', 'b']
  ])
  t.equal(most, 2)
  const jobs = (await log()).filter(event => event.tag.endsWith('/new'))
  t.match(jobs[0]!.data, { fun: 'test.ping', tgt: '*' })
  t.match(jobs.at(-1)!.data, { fun: 'test.echo', tgt_type: 'list' })
  t.same(await commands.runAll({ client: 'local_batch', tgt: 'zz*', fun: 'test.ping' }, admin), [])
})

t.test('a batch starts nothing more when the client has gone', async t => {
  const { commands, minions } = await bench(t, ['m1', 'm2'], WORKING)
  const gone = new AbortController()
  for (const id of ['m1', 'm2']) {
    minions.connect(id, job => {
      if (job.fun === 'test.echo') gone.abort()
      return obliging(job)
    })
  }
  await commands.runAll({ client: 'local_batch', tgt: '*', fun: 'test.echo', arg: ['b'], batch: 1 }, admin, { signal: gone.signal })
  t.equal(minions.sent.filter(job => job.fun === 'test.echo').length, 1)
})

t.test('local_batch with raw gives the whole return events', async t => {
  const { commands, minions, log } = await bench(t, ['m1'], WORKING)
  minions.connect('m1', obliging)
  const [entry] = (await commands.runAll({ client: 'local_batch', tgt: '*', fun: 'test.ping', raw: true }, admin)) as {
    data: { _stamp: string }
  }[]
  const { _stamp, ...data } = entry!.data
  t.match(_stamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)
  t.same({ ...entry, data }, (await log()).at(-1))
})

t.test('local_subset runs on some of the minions that know the function', async t => {
  const { commands, minions } = await bench(t, ['m1', 'm2', 'm3'], WORKING)
  minions.connect('m1', obliging)
  minions.connect('m2', obliging)
  minions.connect('m3', job => (job.fun === 'sys.list_functions' ? { return: ['cmd.run'] } : obliging(job)))
  const one = (await commands.run({ client: 'local_subset', tgt: '*', fun: 'test.ping', subset: 1 }, admin)) as object
  t.equal(Object.keys(one).length, 1)
  t.same(await commands.run({ client: 'local_subset', tgt: '*', fun: 'test.ping' }, admin), { m1: true, m2: true })
  t.same(await commands.run({ client: 'local_subset', tgt: '*', fun: 'no.such' }, admin), {})
  t.match(await refusal(commands.run({ client: 'local_subset', tgt: '*', fun: 'test.ping' }, onlyTest)), { code: 'AUTHORIZATION' })
})

t.test('a runner leaves two events and answers with its value', async t => {
  const { commands, log } = await bench(t, [])
  const chunk = { client: 'runner', fun: 'test.arg', arg: ['a', 2, 'x=1'], kwarg: { b: 3 } }
  t.same(await commands.run(chunk, admin), { args: ['a', 2], kwargs: { x: 1, b: 3 } })
  const [first, last] = await log()
  const jid = String(first!.data.jid)
  const about = { fun: 'runner.test.arg', jid, user: 'admin', fun_args: ['a', 2, { x: 1, b: 3 }] }
  t.strictSame(first, { tag: `salt/run/${jid}/new`, data: about })
  t.strictSame(last, { tag: `salt/run/${jid}/ret`, data: { ...about, return: { args: ['a', 2], kwargs: { x: 1, b: 3 } }, success: true } })
})

t.test('the events of a call have the recorded order of keys', async t => {
  const { commands, store } = await bench(t, [])
  await commands.run({ client: 'runner', fun: 'test.arg' }, admin)
  const keys = async (seq: number) => Object.keys(JSON.parse((await store.events.get(seq))!.json))
  t.same(await keys(1), ['fun', 'jid', 'user', 'fun_args', '_stamp'])
  t.same(await keys(2), ['fun', 'jid', 'user', 'fun_args', '_stamp', 'return', 'success'])
})

t.test('a runner with full_return answers with its whole event', async t => {
  const { commands, log } = await bench(t, [])
  const answer = (await commands.run({ client: 'runner', fun: 'test.arg', arg: ['a'], full_return: true }, admin)) as {
    data: { _stamp: string }
  }
  const { _stamp, ...data } = answer.data
  t.same({ ...answer, data }, (await log()).at(-1))
})

t.test('what goes wrong in a runner is a text that starts as Salt starts it, without a traceback', async t => {
  const { commands, log } = await bench(t, [])
  const run = (fun: string, kwarg = {}) => commands.run({ client: 'runner', fun, kwarg }, admin)
  t.equal(await run('error.error', { name: 'Exception', message: 'boom' }), 'Exception occurred in runner error.error: Exception: boom')
  t.match((await log()).at(-1), { data: { success: false } })
  t.match(await run('jobs.list_job'), /^\nPassed invalid arguments: list_job\(\) missing 1 required positional argument: 'jid'\n\nUsage:\n/)
  t.match(
    await run('jobs.list_job', { bogus: 1 }),
    /^Exception occurred in runner jobs.list_job: The following keyword arguments are not valid/
  )
})

t.test('runner_async and wheel_async answer at once; the events carry the same job id and the outcome', async t => {
  const { commands, hub } = await bench(t, [])
  const outcome = (kind: string) =>
    new Promise<string>(resolve => hub.listen({ include: [`salt/${kind}/*/ret`] }, event => resolve(event.tag)))
  const [run, wheel] = [outcome('run'), outcome('wheel')]
  const runner = (await commands.run({ client: 'runner_async', fun: 'test.arg' }, admin)) as { tag: string; jid: string }
  t.same(runner, { tag: `salt/run/${runner.jid}`, jid: runner.jid })
  t.equal(await run, `${runner.tag}/ret`)
  const called = (await commands.run({ client: 'wheel_async', fun: 'key.list_all' }, admin)) as { tag: string; jid: string }
  t.equal(await wheel, `${called.tag}/ret`)
})

t.test('a runner that takes longer than the caller waits is a 504, and goes on', async t => {
  const { commands, hub } = await bench(t, [])
  const ended = new Promise<void>(resolve => hub.listen({ include: ['salt/run/*/ret'] }, () => resolve()))
  const chunk = { client: 'runner', fun: 'test.sleep', arg: [0.2], timeout: 0.01 }
  t.match(await refusal(commands.run(chunk, admin)), { status: 504, message: 'The gateway server did not receive a timely response' })
  await ended
})

t.test('stopping ends running functions and writes their last events', async t => {
  const { commands, log } = await bench(t, [])
  const started = await commands.run({ client: 'runner_async', fun: 'test.sleep', arg: [3000] }, admin)
  await commands.stop()
  t.match((await log()).at(-1), { tag: `${(started as { tag: string }).tag}/ret`, data: { success: false } })
  t.match(await refusal(commands.run({ client: 'runner', fun: 'test.arg' }, admin)), { code: 'SHUTTING_DOWN', status: 503 })
})

t.test('a wheel function answers with tag and data, whatever comes of it', async t => {
  const { commands, log } = await bench(t, ['m1'])
  const answer = (await commands.run({ client: 'wheel', fun: 'key.list', match: 'accepted', full_return: true }, admin)) as {
    tag: string
    data: { jid: string; _stamp: string }
  }
  const { jid, _stamp } = answer.data
  const tag = `salt/wheel/${jid}`
  t.strictSame(answer, {
    tag,
    data: { fun: 'wheel.key.list', jid, tag, user: 'admin', _stamp, return: { minions: ['m1'] }, success: true }
  })
  t.strictSame(await log(), [
    { tag: `${tag}/new`, data: { fun: 'wheel.key.list', jid, user: 'admin', fun_args: [{ match: 'accepted' }] } },
    {
      tag: `${tag}/ret`,
      data: { fun: 'wheel.key.list', jid, user: 'admin', fun_args: [{ match: 'accepted' }], return: { minions: ['m1'] }, success: true }
    }
  ])
  const unknown = (await commands.run({ client: 'wheel', fun: 'no.such' }, admin)) as { data: object }
  t.match(unknown.data, { return: "Exception occurred in wheel no.such: 'no.such' is not available.", success: false })
})

t.test('a private key that a wheel function makes reaches its caller and not the log', async t => {
  const { commands, log } = await bench(t, [])
  const answer = (await commands.run({ client: 'wheel', fun: 'key.gen' }, admin)) as { data: { return: { priv: string; pub: string } } }
  t.match(answer.data.return, { priv: /BEGIN RSA PRIVATE KEY/, pub: /BEGIN PUBLIC KEY/ })
  t.notMatch(JSON.stringify(await log()), /PRIVATE KEY-/)
})

t.test('a query leaves no event, and asks for the same permission', async t => {
  const { commands, log } = await bench(t, ['m1'])
  t.match(await commands.query('wheel', 'key.list_all', {}, admin), { minions: ['m1'] })
  t.match(await refusal(commands.query('runner', 'jobs.list_jobs', {}, onlyTest)), { code: 'FUNCTION_REFUSED', status: 401 })
  t.same(await log(), [])
})

t.test("a reaction's local call is published once, under its reserved job id, and is dispatched with it", async t => {
  const { commands, minions, log, store } = await bench(t, ['m1'])
  minions.connect('m1', () => null)
  await store.events.append([newEvent('myco/x')])
  await store.reactions.plan([{ event: 1, rule: 'r', version: 1, sls: 'x.sls', position: 0 }], 1)
  const [plan] = await store.reactions.openPlans(0, 10)
  const call = { client: 'local', tgt: 'm1', fun: 'test.echo', arg: ['x'], kwarg: { k: 'v' } }
  const jid = '20260101000000000002'
  const [reaction] = await store.reactions.rendered(plan!.id, [{ section: 's', call, jid }], 1)
  const dispatch = () => commands.dispatch(call, REACTOR, { jid, reactionId: reaction!.id, cause: { seq: 1, depth: 1 } })
  t.match(await dispatch(), { status: 'published', jid })
  t.match(await store.reactions.list({ limit: 1 }), [{ state: 'dispatched', jid }])
  t.match(await dispatch(), { status: 'exists', jid })
  t.equal(minions.sent.length, 1)
  const events = await log()
  t.match(events.slice(1), [
    { tag: jid },
    { tag: `salt/job/${jid}/new`, data: { user: 'Reactor', arg: ['x', { __kwarg__: true, k: 'v' }] } }
  ])
  t.equal(events.length, 3)
  t.match(await store.events.get(2), { source: 'reactor', cause: { seq: 1, depth: 1 } })
  t.match(await refusal(commands.dispatch({ fun: 'test.ping' }, REACTOR, { jid, reactionId: 1, cause: { seq: 1, depth: 1 } })), {
    code: 'FIELD_MISSING'
  })
})
