import type { Test } from 'tap'
import type { NewJob, NewReturn } from '../../src/store/store.js'
import { newEvent } from '../helpers/store.js'
import type { OpenStore } from './store.js'

const NOW = 1_800_000_000_000_000

const jid = (n: number) => `20270115080000${String(n).padStart(6, '0')}`

function job(n: number, more: Partial<NewJob> = {}): NewJob {
  return {
    jid: jid(n),
    fun: 'test.ping',
    arg: [],
    tgt: '*',
    tgtType: 'glob',
    user: 'ada',
    minions: ['a', 'b'],
    missing: [],
    deadlineUs: NOW + 5_000_000,
    publishedUs: NOW + n,
    cause: null,
    ...more
  }
}

function ret(n: number, minion: string, more: Partial<NewReturn> = {}): NewReturn {
  return { jid: jid(n), minion, fun: 'test.ping', funArgs: [], return: true, retcode: 0, success: true, stampUs: NOW + 100, ...more }
}

export function jobContract(t: Test, open: OpenStore): void {
  publishing(t, open)
  returning(t, open)
  delivering(t, open)
  listing(t, open)
  ending(t, open)
}

function publishing(t: Test, open: OpenStore): void {
  t.test('a job comes back as it was published, its minions sorted', async t => {
    const { store, reopen } = await open(t)
    const full = job(1, {
      fun: ['test.ping', 'cmd.run'],
      arg: [[], ['ls "é"', { __kwarg__: true, cwd: '/' }]],
      tgt: ['b', 'a'],
      tgtType: 'list',
      minions: ['b', 'a'],
      missing: ['c'],
      metadata: { ticket: 7 },
      ret: 'redis',
      cause: { seq: 3, depth: 1 }
    })
    t.equal(await store.jobs.publish(full, [newEvent('salt/job/1/new')]), 'published')
    const expected = { ...full, minions: ['a', 'b'], state: 'running', returned: 0 }
    t.strictSame(await store.jobs.get(jid(1)), expected)
    t.strictSame(await (await reopen()).jobs.get(jid(1)), expected)
    t.equal(await store.jobs.get(jid(2)).catch(() => null), null)
  })

  t.test('a jid is published once: the second time writes neither job nor event', async t => {
    const { jobs, events } = (await open(t)).store
    const answers = await Promise.all([1, 1, 1].map(n => jobs.publish(job(n), [newEvent('salt/job/1/new')])))
    t.strictSame(answers, ['published', 'exists', 'exists'])
    t.equal(await events.head(), 1)
  })

  t.test('a job that nobody is expected to return is complete at once', async t => {
    const { jobs } = (await open(t)).store
    await jobs.publish(job(1, { minions: [] }), [])
    t.match(await jobs.get(jid(1)), { state: 'complete', minions: [], returned: 0 })
  })

  t.test('a reaction is dispatched by the job that it publishes, in the same transaction, and once', async t => {
    const { jobs, reactions, events } = (await open(t)).store
    await reactions.plan([{ event: 1, rule: 'r', version: 1, sls: 'a.sls', position: 0 }], 1)
    const [plan] = await reactions.openPlans(NOW, 10)
    const [reaction] = await reactions.rendered(plan!.id, [{ section: 's', call: {}, jid: jid(1) }], NOW)
    t.equal(await jobs.publish(job(1, { reactionId: reaction!.id }), [newEvent('new')]), 'published')
    t.match(await reactions.list({ limit: 10 }), [{ id: reaction!.id, state: 'dispatched', jid: jid(1), attempts: 1 }])
    t.equal(await jobs.publish(job(2, { reactionId: reaction!.id }), [newEvent('new')]), 'exists')
    t.equal(await jobs.get(jid(2)), null)
    t.equal(await events.head(), 1)
  })
}

function returning(t: Test, open: OpenStore): void {
  t.test('a return comes back as it was recorded', async t => {
    const { store, reopen } = await open(t)
    await store.jobs.publish(job(1), [])
    const full = ret(1, 'a', {
      fun: 'cmd.run',
      funArgs: ['x', { __kwarg__: true }],
      return: { 'é "': [1, null, 2.5] },
      retcode: 2,
      success: false,
      out: 'highstate'
    })
    t.equal(await store.jobs.recordReturn(full, [newEvent('ret')]), 'recorded')
    t.strictSame(await (await reopen()).jobs.returns(jid(1)), [full])
  })

  t.test("a minion's return is recorded once, with its event", async t => {
    const { jobs, events } = (await open(t)).store
    await jobs.publish(job(1), [])
    const answers = await Promise.all([1, 1].map(n => jobs.recordReturn(ret(n, 'a'), [newEvent('ret')])))
    t.strictSame(answers, ['recorded', 'duplicate'])
    t.equal((await jobs.get(jid(1)))?.returned, 1)
    t.equal(await events.head(), 1)
  })

  t.test('the last expected return completes the job; one from somebody else does not count for it', async t => {
    const { jobs } = (await open(t)).store
    await jobs.publish(job(1), [])
    await jobs.recordReturn(ret(1, 'a'), [])
    await jobs.recordReturn(ret(1, 'stranger'), [])
    t.match(await jobs.get(jid(1)), { state: 'running', returned: 2, minions: ['a', 'b'] })
    await jobs.recordReturn(ret(1, 'b'), [])
    t.match(await jobs.get(jid(1)), { state: 'complete', returned: 3 })
    t.equal((await jobs.returns(jid(1))).length, 3)
  })

  t.test('a return without a job makes a job record', async t => {
    const { jobs } = (await open(t)).store
    await jobs.recordReturn(ret(9, 'a', { fun: 'state.apply', funArgs: ['web'] }), [newEvent('ret')])
    t.match(await jobs.get(jid(9)), {
      state: 'complete',
      fun: 'state.apply',
      arg: ['web'],
      minions: ['a'],
      returned: 1,
      publishedUs: NOW + 100
    })
    t.equal(await jobs.publish(job(9), []), 'exists')
  })

  t.test('a late return is recorded and completes an expired job', async t => {
    const { jobs } = (await open(t)).store
    await jobs.publish(job(1, { minions: ['a'] }), [])
    t.strictSame(await jobs.expire(NOW + 6_000_000, 10), [jid(1)])
    t.equal((await jobs.get(jid(1)))?.state, 'expired')
    t.equal(await jobs.recordReturn(ret(1, 'a'), []), 'recorded')
    t.equal((await jobs.get(jid(1)))?.state, 'complete')
  })

  t.test('returns of ten thousand minions add up', async t => {
    const { jobs } = (await open(t)).store
    const minions = Array.from({ length: 10_000 }, (_, i) => `minion-${String(i).padStart(5, '0')}`)
    await jobs.publish(job(1, { minions }), [])
    for (let at = 0; at < minions.length; at += 2_500) {
      await Promise.all(minions.slice(at, at + 2_500).map(minion => jobs.recordReturn(ret(1, minion), [])))
    }
    t.match(await jobs.get(jid(1)), { state: 'complete', returned: 10_000 })
  })
}

function delivering(t: Test, open: OpenStore): void {
  const jids = (deliveries: readonly { jid: string }[]) => deliveries.map(delivery => delivery.jid)

  t.test('a delivery carries what the minion needs', async t => {
    const { jobs } = (await open(t)).store
    await jobs.publish(job(1, { fun: 'cmd.run', arg: ['ls'], metadata: { m: 1 }, ret: 'redis' }), [])
    await jobs.publish(job(2), [])
    const common = { minion: 'a', tgt: '*', tgtType: 'glob', user: 'ada', deadlineUs: NOW + 5_000_000 }
    t.strictSame(await jobs.pending('a', NOW, 10), [
      { ...common, jid: jid(1), fun: 'cmd.run', arg: ['ls'], ret: 'redis', metadata: { m: 1 } },
      { ...common, jid: jid(2), fun: 'test.ping', arg: [], ret: '' }
    ])
  })

  t.test('a delivery is pending until it is acknowledged, answered, expired or past its deadline', async t => {
    const { store, reopen } = await open(t)
    for (const n of [1, 2, 3, 4, 5]) await store.jobs.publish(job(n, { deadlineUs: NOW + n * 1_000 }), [])
    t.strictSame(jids(await store.jobs.pending('a', NOW, 3)), [jid(1), jid(2), jid(3)])
    t.strictSame(jids(await store.jobs.pending('a', NOW + 1_000, 10)), [2, 3, 4, 5].map(jid))
    await store.jobs.acknowledge('a', [jid(2), jid(9)])
    await store.jobs.acknowledge('a', [])
    await store.jobs.recordReturn(ret(3, 'a'), [])
    const { jobs } = await reopen()
    t.strictSame(jids(await jobs.pending('a', NOW, 10)), [jid(1), jid(4), jid(5)])
    t.strictSame(jids(await jobs.pending('b', NOW, 10)), [1, 2, 3, 4, 5].map(jid))
    t.strictSame(await jobs.pending('nobody', NOW, 10), [])
  })
}

function listing(t: Test, open: OpenStore): void {
  t.test('jobs are listed newest first, in pages, by function, target, state and time', async t => {
    const { jobs } = (await open(t)).store
    await jobs.publish(job(1, { fun: 'test.ping', tgt: 'web*' }), [])
    await jobs.publish(job(2, { fun: 'state.apply', tgt: ['web1', 'db1'], tgtType: 'list' }), [])
    await jobs.publish(job(3, { fun: ['test.ping', 'cmd.run'], tgt: 'db1', minions: ['a'] }), [])
    await jobs.publish(job(4, { fun: 'cmd.run', tgt: { odd: 1 } }), [])
    await jobs.recordReturn(ret(3, 'a'), [])
    const list = async (query: object) => (await jobs.list({ limit: 10, ...query })).map(found => Number(found.jid.slice(-6)))
    t.strictSame(await list({}), [4, 3, 2, 1])
    t.strictSame(await list({ limit: 2 }), [4, 3])
    t.strictSame(await list({ limit: 2, before: jid(3) }), [2, 1])
    t.strictSame(await list({ fun: ['test.*'] }), [3, 1])
    t.strictSame(await list({ fun: ['test.*', 'state.*'] }), [3, 2, 1])
    t.strictSame(await list({ tgt: ['db*'] }), [3, 2])
    t.strictSame(await list({ state: 'running' }), [4, 2, 1])
    t.strictSame(await list({ state: 'running', limit: 1, before: jid(4) }), [2])
    t.strictSame(await list({ state: 'complete' }), [3])
    t.strictSame(await list({ fromUs: NOW + 2, untilUs: NOW + 3 }), [3, 2])
    t.strictSame(await list({ limit: 0 }), [])
    t.strictSame(await list({ fun: ['*'], limit: 2 }), [4, 3])
    t.strictSame(await list({ fun: ['*'], limit: 2, before: jid(3) }), [2, 1])
    t.strictSame(await list({ fun: ['test.*'], tgt: ['db1'] }), [3])
    t.strictSame(await list({ tgt: ['*web1*', 'web[*]'] }), [2, 1])
    t.strictSame(await list({ fun: ['test.*'], fromUs: NOW + 2 }), [3])
    t.strictSame(await list({ fromUs: 9e17 }), [])
    t.strictSame(await list({ untilUs: -1 }), [])
  })

  t.test('a listing of many jobs need not name their minions', async t => {
    const { jobs } = (await open(t)).store
    const many = job(1, { missing: ['c'], metadata: { a: 1 } })
    await jobs.publish(many, [])
    t.strictSame(await jobs.list({ limit: 1, bare: true }), [{ ...many, minions: [], missing: [], state: 'running', returned: 0 }])
  })

  t.test('a search by name gives every job that fits, page by page, each once and in order', async t => {
    const { jobs } = (await open(t)).store
    const functions = ['test.ping', 'test.echo', 'cmd.run', ['test.ping', 'cmd.run'], `long.${'x'.repeat(100)}`, `long.${'x'.repeat(99)}y`]
    const count = 700
    await Promise.all(
      Array.from({ length: count }, (_, n) => jobs.publish(job(n, { fun: functions[(n * n) % 6]!, tgt: `m${n % 11}`, minions: [] }), []))
    )
    const numbers = Array.from({ length: count }, (_, n) => count - 1 - n)
    const named = (n: number, test: (name: string) => boolean) => [functions[(n * n) % 6]!].flat().some(test)
    const searches: [object, (n: number) => boolean][] = [
      [{ fun: ['test.*'] }, n => named(n, name => name.startsWith('test.'))],
      [{ fun: ['*y'] }, n => named(n, name => name.endsWith('y'))],
      [{ fun: ['*'], tgt: ['m3', 'm10'] }, n => [3, 10].includes(n % 11)],
      [{ tgt: ['m1*'] }, n => [1, 10].includes(n % 11)]
    ]
    for (const [query, fits] of searches) {
      const pages: number[] = []
      for (let before: string | undefined; ; ) {
        const page = await jobs.list({ ...query, limit: 7, ...(before === undefined ? {} : { before }) })
        pages.push(...page.map(found => Number(found.jid.slice(-6))))
        before = page.at(-1)?.jid
        if (page.length < 7) break
      }
      t.strictSame(pages, numbers.filter(fits), JSON.stringify(query))
    }
  })

  t.test('a search finds the one job among thousands', async t => {
    const { jobs } = (await open(t)).store
    await Promise.all(
      Array.from({ length: 5_000 }, (_, n) => jobs.publish(job(n, { fun: n === 7 ? 'rare.fun' : 'test.ping', minions: [] }), []))
    )
    t.strictSame(
      (await jobs.list({ limit: 5, fun: ['rare.*'] })).map(found => found.jid),
      [jid(7)]
    )
    t.equal((await jobs.list({ limit: 4_500 })).length, 4_500)
  })
}

function ending(t: Test, open: OpenStore): void {
  t.test('running jobs past their deadline expire, `limit` at a time; others stay', async t => {
    const { jobs } = (await open(t)).store
    for (const n of [1, 2, 3, 4]) await jobs.publish(job(n, { deadlineUs: NOW + n * 1_000, minions: ['a'] }), [])
    await jobs.recordReturn(ret(1, 'a'), [])
    t.strictSame(await jobs.expire(NOW + 3_001, 1), [jid(2)])
    t.strictSame(await jobs.expire(NOW + 3_001, 10), [jid(3)])
    t.strictSame(await jobs.expire(NOW + 3_001, 10), [])
    t.equal((await jobs.get(jid(4)))?.state, 'running')
  })

  t.test('old jobs are trimmed with their returns and deliveries', async t => {
    const { jobs } = (await open(t)).store
    for (const n of [1, 2, 3, 4]) await jobs.publish(job(n), [])
    await jobs.recordReturn(ret(1, 'a'), [])
    t.equal(await jobs.trim(NOW + 4, 2), 2)
    t.equal(await jobs.trim(NOW + 4, 2), 1)
    t.equal(await jobs.trim(NOW + 4, 2), 0)
    t.strictSame(await jobs.returns(jid(1)), [])
    t.strictSame(
      (await jobs.pending('a', NOW, 10)).map(delivery => delivery.jid),
      [jid(4)]
    )
    t.strictSame(
      (await jobs.list({ limit: 10 })).map(found => found.jid),
      [jid(4)]
    )
  })
}
