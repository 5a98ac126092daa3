import t from 'tap'
import { isBrineError } from '../../src/errors.js'
import type { PublishRequest } from '../../src/jobs/jobs.js'
import { bench, obliging } from '../helpers/commands.js'

const ping: PublishRequest = { tgt: '*', tgtType: 'glob', fun: 'test.ping', arg: [], user: 'admin' }

async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (isBrineError(error)) return error.code
    throw error
  }
  return 'was not refused'
}

t.test('a job is told by two events and one for each return, as Salt tells it', async t => {
  const { jobs, minions, log } = await bench(t, ['db1', 'web1'])
  minions.connect('db1', obliging)
  minions.connect('web1', obliging)
  const published = await jobs.publish({ ...ping, fun: 'test.echo', arg: ['hi'], kwarg: { a: 1 } })
  if (published.status === 'no-match') return t.fail('somebody should match')
  const { jid } = published
  const returns = await jobs.collect(jid, published.minions)
  t.same([...returns.keys()].sort(), ['db1', 'web1'])
  const arg = ['hi', { __kwarg__: true, a: 1 }]
  const ret = (id: string) => ({
    tag: `salt/job/${jid}/ret/${id}`,
    data: { cmd: '_return', id, success: true, return: 'hi', retcode: 0, jid, fun: 'test.echo', fun_args: arg, user: 'admin' }
  })
  const all = await log()
  t.strictSame(all.slice(0, 2), [
    { tag: jid, data: { minions: ['db1', 'web1'] } },
    {
      tag: `salt/job/${jid}/new`,
      data: { jid, tgt_type: 'glob', tgt: '*', user: 'admin', fun: 'test.echo', arg, minions: ['db1', 'web1'], missing: [] }
    }
  ])
  t.strictSame(
    all.slice(2).sort((a, b) => (a.tag < b.tag ? -1 : 1)),
    [ret('db1'), ret('web1')]
  )
  t.same(Object.keys(all[1]!.data), ['jid', 'tgt_type', 'tgt', 'user', 'fun', 'arg', 'minions', 'missing'], 'with its order of keys')
  t.same(Object.keys(all[2]!.data), ['cmd', 'id', 'success', 'return', 'retcode', 'jid', 'fun', 'fun_args', 'user'])
})

t.test('a target that means nobody makes no job and no event', async t => {
  const { jobs, log } = await bench(t, ['web1'])
  t.same(await jobs.publish({ ...ping, tgt: 'zz*' }), { status: 'no-match', missing: [] })
  t.same(await jobs.publish({ ...ping, tgt: ['ghost'], tgtType: 'list' }), { status: 'no-match', missing: ['ghost'] })
  t.same(await log(), [])
})

t.test('only accepted minions are meant; listed ids without a key are told as missing', async t => {
  const { jobs, store, log } = await bench(t, ['web1'])
  await store.keys.put({ id: 'new1', state: 'pending', pub: 'x', changedUs: 1 }, [])
  const published = await jobs.publish({ ...ping, tgt: ['web1', 'ghost', 'new1'], tgtType: 'list' })
  t.match(published, { status: 'published', minions: ['web1'], missing: ['ghost', 'new1'] })
  t.match((await log())[1], { data: { minions: ['web1'], missing: ['ghost', 'new1'] } })
})

t.test('a job reaches connected minions at once and stays in the store for the others', async t => {
  const { jobs, minions, store, clock } = await bench(t, ['web1', 'web2'])
  minions.connect('web1', () => null)
  const published = await jobs.publish(ping)
  t.same(
    minions.sent.map(job => job.minion),
    ['web1']
  )
  t.match(await store.jobs.pending('web2', clock.nowUs(), 10), [{ fun: 'test.ping', user: 'admin', minion: 'web2' }])
  t.match(published, { status: 'published', minions: ['web1', 'web2'] })
})

t.test('a return is recorded once, however often it is sent', async t => {
  const { jobs, log, store } = await bench(t, ['web1'])
  const published = await jobs.publish(ping)
  const jid = published.status === 'published' ? published.jid : ''
  const ret = { jid, fun: 'test.ping', fun_args: [], return: true, retcode: 0, success: true }
  t.equal(await jobs.recordReturn('web1', ret), 'recorded')
  t.equal(await jobs.recordReturn('web1', { ...ret, return: 'again' }), 'duplicate')
  t.equal((await log()).filter(event => event.tag.includes('/ret/')).length, 1)
  t.match(await store.jobs.returns(jid), [{ minion: 'web1', return: true }])
  t.match(await store.jobs.get(jid), { state: 'complete', returned: 1 })
})

t.test('a minion returns as itself, and only for jobs that were sent to it', async t => {
  const { jobs, log } = await bench(t, ['web1', 'web2'])
  const published = await jobs.publish({ ...ping, tgt: 'web1' })
  const jid = published.status === 'published' ? published.jid : ''
  const ret = { jid, fun: 'test.ping', return: true, retcode: 0 }
  t.equal(await code(jobs.recordReturn('web2', { ...ret, id: 'web1' })), 'NOT_PERMITTED')
  t.equal(await code(jobs.recordReturn('web2', ret)), 'NOT_PERMITTED')
  t.equal((await log()).filter(event => event.tag.includes('/ret/')).length, 0)
})

t.test('a malformed return is refused by the name of its field', async t => {
  const { jobs, log } = await bench(t, ['web1'])
  const ret = { jid: '20261122203758556109', fun: 'test.ping', return: true, retcode: 0 }
  const cases: [unknown, string, string][] = [
    [null, 'FIELD_INVALID', 'return'],
    [{ ...ret, jid: undefined }, 'FIELD_MISSING', 'jid'],
    [{ ...ret, jid: '1/ret/web2' }, 'FIELD_INVALID', 'jid'],
    [{ ...ret, fun: undefined }, 'FIELD_MISSING', 'fun'],
    [{ ...ret, fun: [1] }, 'FIELD_INVALID', 'fun'],
    [{ ...ret, fun_args: {} }, 'FIELD_INVALID', 'fun_args'],
    [{ ...ret, retcode: 'x' }, 'FIELD_INVALID', 'retcode']
  ]
  for (const [raw, wanted, field] of cases) {
    const error = await jobs.recordReturn('web1', raw).catch(error => error)
    t.equal(error.code, wanted)
    t.ok(error.message.includes(`'${field}'`), error.message)
  }
  t.same(await log(), [])
})

t.test('a return that no job asked for makes a job record, and an event without a user', async t => {
  const { jobs, log, store } = await bench(t, ['web1', 'web2'])
  const jid = '20261122204121710922'
  const sent = {
    jid,
    return: { args: [1] },
    retcode: 0,
    fun: 'test.arg',
    fun_args: ['1', 'a=b'],
    arg: ['1', 'a=b'],
    tgt_type: 'glob',
    tgt: 'web1'
  }
  t.equal(await jobs.recordReturn('web1', { ...sent, secret: 'dropped' }), 'recorded')
  t.strictSame(await log(), [{ tag: `salt/job/${jid}/ret/web1`, data: { cmd: '_return', id: 'web1', ...sent } }])
  t.match(await store.jobs.get(jid), { fun: 'test.arg', minions: ['web1'] })
  t.equal(await jobs.recordReturn('web2', { ...sent, tgt: 'web2' }), 'recorded', 'two schedules may run in the same microsecond')
})

t.test('a return too large for an event is recorded whole, and its event says so', async t => {
  const { jobs, minions, log } = await bench(t, ['web1'], { max_event_size: 2048 })
  const text = 'x'.repeat(5000)
  minions.connect('web1', () => ({ return: text }))
  const published = await jobs.publish(ping)
  if (published.status === 'no-match') return t.fail('somebody should match')
  t.equal((await jobs.collect(published.jid, ['web1'])).get('web1')?.return, text)
  t.match((await log()).at(-1), { tag: `salt/job/${published.jid}/ret/web1`, data: { return: 'VALUE_TRIMMED' } })
})

t.test('who begins to wait late gets the returns that came before, in their order', async t => {
  const { jobs } = await bench(t, ['a', 'b', 'c'])
  const published = await jobs.publish(ping)
  const jid = published.status === 'published' ? published.jid : ''
  const ret = { jid, fun: 'test.ping', return: true, retcode: 0 }
  for (const id of ['c', 'a']) await jobs.recordReturn(id, ret)
  const came: string[] = []
  for await (const each of jobs.follow(jid, ['a', 'b', 'c'], { timeoutSeconds: 30 })) {
    came.push(each.minion)
    if (came.length === 2) void jobs.recordReturn('b', ret)
  }
  t.same(came, ['c', 'a', 'b'])
})

t.test('waiting ends when time is up for minions that are not connected', async t => {
  const { jobs, minions } = await bench(t, ['web1', 'down1'])
  minions.connect('web1', obliging)
  const published = await jobs.publish(ping)
  const jid = published.status === 'published' ? published.jid : ''
  const returns = await jobs.collect(jid, ['web1', 'down1'], 0.02, { askAs: 'admin' })
  t.same([...returns.keys()], ['web1'])
})

t.test('waiting goes on for minions that say they still run the job, and ends for those that do not', async t => {
  const { jobs, minions } = await bench(t, ['slow', 'lost'], { gather_job_timeout: 30 })
  let finish: (() => void) | undefined
  let asked = 0
  minions.connect('slow', async job => {
    if (job.fun === 'saltutil.find_job') {
      if (++asked === 2) finish?.()
      return { return: { jid: job.arg[0], fun: 'test.sleep' } }
    }
    await new Promise<void>(resolve => {
      finish = resolve
    })
    return { return: 'done' }
  })
  minions.connect('lost', job => (job.fun === 'saltutil.find_job' ? { return: {} } : null))
  const published = await jobs.publish(ping)
  const jid = published.status === 'published' ? published.jid : ''
  const returns = await jobs.collect(jid, ['slow', 'lost'], 0.01, { askAs: 'admin' })
  t.same(
    [...returns].map(([id, ret]) => [id, ret.return]),
    [['slow', 'done']]
  )
  t.match(
    minions.sent.find(job => job.fun === 'saltutil.find_job'),
    { tgtType: 'list', tgt: ['slow', 'lost'], arg: [jid], user: 'admin' }
  )
})

t.test('nobody waits on after the client has gone, or the server stops', async t => {
  const { jobs, minions } = await bench(t, ['web1'])
  minions.connect('web1', () => null)
  const published = await jobs.publish(ping)
  const jid = published.status === 'published' ? published.jid : ''
  const gone = new AbortController()
  const waits = [jobs.collect(jid, ['web1'], 3600, { signal: gone.signal }), jobs.collect(jid, ['web1'], 3600)]
  gone.abort()
  t.same([...(await waits[0]!)], [])
  jobs.stop()
  t.equal(await code(waits[1]!), 'SHUTTING_DOWN')
  t.equal(await code(jobs.publish(ping)), 'SHUTTING_DOWN')
})

t.test('an event that looks like a return does not end a wait', async t => {
  const { jobs, events, minions } = await bench(t, ['web1', 'web2'])
  minions.connect('web1', () => null)
  const published = await jobs.publish({ ...ping, tgt: 'web1' })
  const jid = published.status === 'published' ? published.jid : ''
  const forged = { cmd: '_return', id: 'web1', jid, fun: 'test.ping', return: 'forged', retcode: 0 }
  const wait = jobs.collect(jid, ['web1'], 3600)
  await events.fire(`salt/job/${jid}/ret/web1`, forged, { source: 'minion:web2' })
  await events.fire(`salt/job/${jid}/ret/web1`, forged, { source: 'user:mallory' })
  await events.fire(`salt/job/${jid}/ret/web1`, { ...forged, fun: 5 }, { source: 'minion:web1' })
  await jobs.recordReturn('web1', { jid, fun: 'test.ping', return: 'true one', retcode: 0 })
  t.equal((await wait).get('web1')?.return, 'true one')
})

t.test('a job id that is taken is refused; a reaction that is dispatched again is the same job', async t => {
  const { jobs, minions, log } = await bench(t, ['web1'])
  minions.connect('web1', () => null)
  const jid = '20261122203758556109'
  t.match(await jobs.publish({ ...ping, jid }), { status: 'published', jid })
  t.equal(await code(jobs.publish({ ...ping, jid })), 'JID_TAKEN')
  t.match(await jobs.publish({ ...ping, jid, reactionId: 1 }), { status: 'exists', jid, minions: ['web1'] })
  t.equal(await code(jobs.publish({ ...ping, fun: 'cmd.run', jid, reactionId: 1 })), 'JID_TAKEN')
  t.equal(minions.sent.length, 1)
  t.equal((await log()).length, 2)
})

t.test("a reaction's cause goes with its job's events, its returns and what minions fire", async t => {
  const { jobs, store } = await bench(t, ['web1'])
  const cause = { seq: 7, depth: 2 }
  const published = await jobs.publish({ ...ping, cause })
  const jid = published.status === 'published' ? published.jid : ''
  await jobs.recordReturn('web1', { jid, fun: 'test.ping', return: true, retcode: 0 })
  for (const seq of [1, 2, 3]) t.match(await store.events.get(seq), { cause })
  t.same(await jobs.causeOf(jid), cause)
  t.equal(await jobs.causeOf('20260101000000000000'), null)
})

t.test('a job whose deadline passes is expired; a late return still completes it', async t => {
  const { jobs, clock, store } = await bench(t, ['web1'], { timeout: 5, gather_job_timeout: 10 })
  const published = await jobs.publish(ping)
  const jid = published.status === 'published' ? published.jid : ''
  clock.pass(14)
  t.same(await jobs.keep(), [])
  clock.pass(2)
  t.same(await jobs.keep(), [jid])
  t.match(await store.jobs.get(jid), { state: 'expired' })
  await jobs.recordReturn('web1', { jid, fun: 'test.ping', return: true, retcode: 0 })
  t.match(await store.jobs.get(jid), { state: 'complete' })
})

t.test('start and stop may be called twice', async t => {
  const { jobs } = await bench(t, [])
  jobs.start()
  jobs.stop()
  jobs.stop()
})

t.test('whom a job is sent to depends on known grains alone, and a list keeps its order', async t => {
  const { jobs, keys, log } = await bench(t, ['a', 'b', 'c'], { nodegroups: { webs: 'G@role:web or L@c' } })
  await keys.putFacts('b', { role: 'web' })
  await keys.putFacts('c', { role: 'db' })
  t.match(await jobs.publish({ ...ping, tgt: 'role:web', tgtType: 'grain' }), { minions: ['b'] }, "a's grains are not known")
  t.match(await jobs.publish({ ...ping, tgt: 'not G@role:web', tgtType: 'compound' }), { minions: ['c'] })
  t.match(await jobs.publish({ ...ping, tgt: 'c,a,c', tgtType: 'list' }), { minions: ['c', 'a'] })
  t.match(await jobs.publish({ ...ping, tgt: 'webs', tgtType: 'nodegroup' }), { minions: ['b', 'c'] })
  t.match((await log()).at(-1), { data: { tgt: 'G@role:web or L@c', tgt_type: 'compound' } })
  t.equal(await code(jobs.publish({ ...ping, tgt: 'a and', tgtType: 'compound' })), 'TARGET_SYNTAX')
  t.equal(await code(jobs.publish({ ...ping, tgtType: 'bogus' })), 'TARGET_TYPE')
})

t.test('a job id that somebody else chooses again does not keep the return of its job out', async t => {
  const { jobs } = await bench(t, ['web1', 'web2'])
  const jid = '20260101000000000009'
  await jobs.publish({ ...ping, jid, tgt: 'web1' })
  const again = jobs.publish({ ...ping, jid, tgt: 'web2', user: 'mallory' })
  const ret = jobs.recordReturn('web1', { jid, fun: 'test.ping', return: true, retcode: 0 })
  t.equal(await code(again), 'JID_TAKEN')
  t.equal(await ret, 'recorded')
})

t.test(
  'states that failed are told beside the return of state.sls and state.highstate, of no other function, and only under names of states',
  async t => {
    const { jobs, log } = await bench(t, ['web1'])
    const state = (result: boolean) => ({ name: 'x', changes: {}, result, comment: '', __run_num__: 0 })
    const results = {
      'test_|-a_|-a_|-nop': state(true),
      'pkg_|-b_|-b_|-installed': state(false),
      'salt/minion_|-c_|-c_|-x': state(false),
      'file_|-d_|-d_|-../key': state(false),
      'test_|-e_|-e_|-nop': 'no mapping'
    }
    for (const [fun, retcode, told] of [
      ['state.sls', 2, true],
      ['state.apply', 2, false],
      ['state.highstate', 0, false]
    ] as const) {
      const published = await jobs.publish({ ...ping, fun })
      const jid = published.status === 'published' ? published.jid : ''
      const ret = { jid, fun, fun_args: [], return: results, retcode, success: retcode === 0 }
      t.equal(await jobs.recordReturn('web1', ret), 'recorded')
      t.equal(await jobs.recordReturn('web1', ret), 'duplicate')
      const after = (await log()).filter(({ tag, data }) => tag === 'pkg.installed' || (tag.includes('/sub/') && data.jid === jid))
      const data = { ...state(false), retcode: 2 }
      if (told) {
        t.strictSame(after, [
          { tag: 'pkg.installed', data },
          {
            tag: `salt/job/${jid}/sub/web1/error/state.sls`,
            data: { ...data, jid, id: 'web1', success: false, return: 'Error: pkg.installed', fun: 'state.sls', user: 'admin' }
          }
        ])
      } else t.equal(after.length, 1, `${fun}: nothing but what was told before`)
    }
  }
)
