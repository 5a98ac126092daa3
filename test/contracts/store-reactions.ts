import type { Test } from 'tap'
import type { NewPlan, NewReaction, ReactionRecord, ReactionStore, Store } from '../../src/store/store.js'
import { newEvent } from '../helpers/store.js'
import type { OpenStore } from './store.js'

const NOW = 1_800_000_000_000_000

const plan = (event: number, more: Partial<NewPlan> = {}): NewPlan => ({ event, rule: 'r', version: 1, sls: 'a.sls', position: 0, ...more })

/** A plan that nobody has looked at yet. */
const FRESH = { state: 'planned', error: null, attempts: 0, changedUs: 0, held: null, blocked: null, forced: false, gathered: null }

const call = (section: string, jid = `jid-${section}`): NewReaction => ({
  section,
  call: { client: 'local', fun: 'test.ping', tgt: '*' },
  jid
})

/** A plan for `event` with these reactions, rendered. */
async function rendered(reactions: ReactionStore, event: number, calls: NewReaction[], more: Partial<NewPlan> = {}) {
  await reactions.plan([plan(event, more)], event)
  const open = await reactions.openPlans(NOW, 100)
  const { id } = open.find(found => found.event === event)!
  return await reactions.rendered(id, calls, NOW)
}

const ids = (records: readonly { id: number }[]) => records.map(({ id }) => id)

export function reactionContract(t: Test, open: OpenStore): void {
  planning(t, open)
  rendering(t, open)
  reactedTo(t, open)
  dispatching(t, open)
  settling(t, open)
  looking(t, open)
  trying(t, open)
  failing(t, open)
  trimming(t, open)
  windows(t, open)
  lines(t, open)
  control(t, open)
}

function planning(t: Test, open: OpenStore): void {
  t.test('a plan is made once per event, rule, version and SLS; the cursor moves with it and never back', async t => {
    const { store, reopen } = await open(t)
    t.equal(await store.reactions.cursor(), 0)
    await store.reactions.plan([plan(5), plan(5, { sls: 'b.sls', position: 1 })], 7)
    await store.reactions.plan([plan(5), plan(5, { version: 2, position: 2 }), plan(5, { rule: 'q', position: 3 })], 6)
    const { reactions } = await reopen()
    t.equal(await reactions.cursor(), 7)
    const plans = await reactions.openPlans(NOW, 10)
    t.strictSame(
      plans.map(({ id: _, ...rest }) => rest),
      [
        { ...plan(5), ...FRESH },
        { ...plan(5, { sls: 'b.sls', position: 1 }), ...FRESH },
        { ...plan(5, { version: 2, position: 2 }), ...FRESH },
        { ...plan(5, { rule: 'q', position: 3 }), ...FRESH }
      ]
    )
    await reactions.plan([], 20)
    t.equal(await reactions.cursor(), 20)
  })

  t.test('open plans come oldest event first, in the order of their positions, `limit` at most', async t => {
    const { reactions } = (await open(t)).store
    await reactions.plan([plan(9), plan(3, { position: 1, sls: 'b.sls' }), plan(3)], 9)
    const order = async (limit: number) => (await reactions.openPlans(NOW, limit)).map(({ event, position }) => [event, position])
    t.strictSame(await order(10), [
      [3, 0],
      [3, 1],
      [9, 0]
    ])
    t.strictSame(await order(1), [[3, 0]])
  })
}

function rendering(t: Test, open: OpenStore): void {
  t.test('a rendered plan has its reactions, in their order, and rendering it again changes nothing', async t => {
    const { reactions } = (await open(t)).store
    const first = await rendered(reactions, 1, [call('one'), call('two')])
    t.match(first, [
      {
        ...call('one'),
        plan: first[0]!.plan,
        event: 1,
        rule: 'r',
        sls: 'a.sls',
        state: 'planned',
        error: null,
        attempts: 0,
        plannedUs: NOW
      },
      { ...call('two'), state: 'planned', changedUs: NOW }
    ])
    t.strictSame(await reactions.rendered(first[0]!.plan, [call('other')], NOW + 1), first)
    t.strictSame(await reactions.openPlans(NOW, 10), [])
    t.match(await reactions.plansOf(1), [{ state: 'rendered', error: null }])
    await t.rejects(reactions.rendered(999, [], NOW), { code: 'NOT_FOUND' })
  })

  t.test('a plan without reactions is over', async t => {
    const { reactions } = (await open(t)).store
    t.strictSame(await rendered(reactions, 1, []), [])
    t.strictSame(await reactions.openPlans(NOW, 10), [])
  })

  t.test('a plan that failed comes back when its time has come; a dead one does not; both tell why', async t => {
    const { reactions, events } = (await open(t)).store
    await reactions.plan([plan(1), plan(2)], 2)
    const [first, second] = ids(await reactions.openPlans(NOW, 10))
    await reactions.renderFailed(first!, 'line 3: no', NOW + 500, NOW, [newEvent('salt/reactor/error')])
    await reactions.renderFailed(second!, 'line 4: never', null, NOW, [newEvent('salt/reactor/error')])
    t.strictSame(await reactions.openPlans(NOW + 499, 10), [])
    t.match(await reactions.openPlans(NOW + 500, 10), [{ id: first, state: 'failed', error: 'line 3: no', attempts: 1 }])
    t.match(await reactions.plansOf(2), [{ state: 'dead', error: 'line 4: never', attempts: 1 }])
    t.equal(await events.head(), 2)
    t.equal((await reactions.rendered(first!, [call('one')], NOW)).length, 1)
    t.match(await reactions.plansOf(1), [{ state: 'rendered', error: null }])
  })

  t.test('a failure that is told after the plan was rendered writes nothing', async t => {
    const { reactions, events } = (await open(t)).store
    const [reaction] = await rendered(reactions, 1, [call('one')])
    await reactions.renderFailed(reaction!.plan, 'late', null, NOW, [newEvent('x')])
    t.match(await reactions.plansOf(1), [{ state: 'rendered', error: null }])
    t.equal(await events.head(), 0)
  })
}

function reactedTo(t: Test, open: OpenStore): void {
  t.test('the events that a rule has plans for are found between two others, newest first, each once', async t => {
    const { reactions } = (await open(t)).store
    const plans = [1, 2, 3, 4, 5].flatMap(event => [plan(event), plan(event, { sls: 'b.sls' }), plan(event, { rule: 'q' })])
    await reactions.plan(plans, 5)
    t.strictSame(await reactions.reactedTo('r', { after: 1, before: 5 }, 10), [4, 3, 2])
    t.strictSame(await reactions.reactedTo('r', { after: 0, before: 9 }, 2), [5, 4])
    t.strictSame(await reactions.reactedTo('none', { after: 0, before: 9 }, 2), [])
  })
}

function dispatching(t: Test, open: OpenStore): void {
  t.test('a planned reaction is dispatched once, with its event', async t => {
    const { reactions, events } = (await open(t)).store
    const [reaction] = await rendered(reactions, 1, [call('one')])
    t.strictSame(await reactions.openReactions(NOW, 10), [reaction])
    const answers = await Promise.all([1, 2, 3].map(() => reactions.dispatched(reaction!.id, NOW + 1, [newEvent('salt/run/new')])))
    t.strictSame(answers, ['dispatched', 'taken', 'taken'])
    t.strictSame(await reactions.openReactions(NOW, 10), [])
    t.match(await reactions.inState('dispatched', 10), [{ id: reaction!.id, changedUs: NOW + 1, attempts: 1 }])
    t.equal(await events.head(), 1)
    t.equal(await reactions.dispatched(999, NOW, []), 'taken')
  })

  t.test('open reactions come oldest first, `limit` at most, and outlive the process', async t => {
    const { store, reopen } = await open(t)
    const all = await rendered(
      store.reactions,
      1,
      ['a', 'b', 'c'].map(section => call(section))
    )
    const { reactions } = await reopen()
    t.strictSame(ids(await reactions.openReactions(NOW, 2)), ids(all).slice(0, 2))
    t.strictSame(await reactions.inState('planned', 10), all)
  })
}

function settling(t: Test, open: OpenStore): void {
  const one = async (store: Store): Promise<ReactionRecord> => (await rendered(store.reactions, 1, [call('one')]))[0]!
  const look = async (store: Store) => (await store.reactions.list({ limit: 1 }))[0]!

  t.test('a reaction that is to be tried again waits for its time', async t => {
    const { store } = await open(t)
    const { id } = await one(store)
    await store.reactions.settle(id, { state: 'planned', retryUs: NOW + 500 }, 'busy', NOW, [])
    t.match(await look(store), { state: 'planned', error: 'busy', attempts: 1 })
    t.strictSame(await store.reactions.openReactions(NOW + 499, 10), [])
    t.strictSame(ids(await store.reactions.openReactions(NOW + 500, 10)), [id])
    t.equal(await store.reactions.dispatched(id, NOW, []), 'dispatched')
    t.match(await look(store), { state: 'dispatched', error: null, attempts: 2 })
  })

  t.test('what was dispatched is never planned again', async t => {
    const { store } = await open(t)
    const { id } = await one(store)
    await store.reactions.dispatched(id, NOW, [])
    await store.reactions.settle(id, { state: 'planned', retryUs: NOW }, 'again', NOW, [newEvent('x')])
    t.match(await look(store), { state: 'dispatched', error: null })
    t.equal(await store.events.head(), 0)
  })

  for (const state of ['succeeded', 'failed', 'dead'] as const) {
    t.test(`a reaction that ${state === 'dead' ? 'is' : 'has'} ${state} stays so, and its end is told once`, async t => {
      const { store } = await open(t)
      const { id } = await one(store)
      if (state !== 'dead') await store.reactions.dispatched(id, NOW, [])
      await store.reactions.settle(id, { state }, state === 'succeeded' ? null : 'why', NOW + 7, [newEvent('end')])
      await store.reactions.settle(id, { state: 'failed' }, 'later', NOW + 8, [newEvent('end')])
      await store.reactions.settle(id, { state: 'planned', retryUs: NOW }, null, NOW + 9, [newEvent('end')])
      t.match(await look(store), { state, error: state === 'succeeded' ? null : 'why', changedUs: NOW + 7, attempts: 1 })
      t.equal(await store.reactions.dispatched(id, NOW, []), 'taken')
      t.strictSame(await store.reactions.openReactions(NOW, 10), [])
      t.equal(await store.events.head(), 1)
    })
  }
}

function looking(t: Test, open: OpenStore): void {
  t.test('reactions are listed newest first, by rule, event, jid, state and page', async t => {
    const { reactions } = (await open(t)).store
    const [a, b] = ids(await rendered(reactions, 1, [call('a'), call('b')]))
    const [c] = ids(await rendered(reactions, 2, [call('c')], { rule: 'q' }))
    await reactions.dispatched(b!, NOW, [])
    const list = async (query: object) => ids(await reactions.list({ limit: 10, ...query }))
    t.strictSame(await list({}), [c, b, a])
    t.strictSame(await list({ limit: 2 }), [c, b])
    t.strictSame(await list({ before: b }), [a])
    t.strictSame(await list({ rule: 'r' }), [b, a])
    t.strictSame(await list({ event: 2 }), [c])
    t.strictSame(await list({ jid: 'jid-a' }), [a])
    t.strictSame(await list({ state: 'planned' }), [c, a])
    t.strictSame(await list({ state: 'planned', rule: 'r' }), [a])
    t.strictSame(await list({ rule: 'none' }), [])
  })
}

function trying(t: Test, open: OpenStore): void {
  t.test('a dispatched reaction is planned for another attempt, with its event, once; one in another state is left alone', async t => {
    const { store, reopen } = await open(t)
    const [reaction] = await rendered(store.reactions, 1, [call('one')])
    const { id } = reaction!
    const next = { jid: 'jid-2', call: { client: 'local', only: ['web1'] }, retryUs: NOW + 5 }
    t.equal(await store.reactions.again(id, next, 'not yet', NOW, [newEvent('told')]), false)
    await store.reactions.dispatched(id, NOW, [])
    t.equal(await store.reactions.again(id, next, 'it failed', NOW + 1, [newEvent('told')]), true)
    t.equal(await store.reactions.again(id, next, 'it failed', NOW + 1, [newEvent('told')]), false)
    t.equal(await store.events.head(), 1)
    const { reactions } = await reopen()
    t.strictSame(await reactions.openReactions(NOW + 4, 10), [])
    const { retryUs: _, ...fields } = next
    const planned = { ...fields, id, state: 'planned', error: 'it failed', attempts: 1, changedUs: NOW + 1 }
    t.match(await reactions.openReactions(NOW + 5, 10), [planned])
    t.equal(await reactions.dispatched(id, NOW + 6, []), 'dispatched')
    t.match(await reactions.get(id), { state: 'dispatched', error: null, attempts: 2 })
  })
}

function failing(t: Test, open: OpenStore): void {
  t.test(
    'failures are on record by rule and time: what was called and failed, or given up; not what a guard stopped or what goes on',
    async t => {
      const { store, reopen } = await open(t)
      const calls = [call('failed'), call('dead'), call('fine'), call('open')]
      const [failed, dead, fine] = ids(await rendered(store.reactions, 1, calls))
      const settle = (id: number, state: 'failed' | 'dead' | 'succeeded', error: string | null, us: number) =>
        store.reactions.settle(id, { state }, error, us, [])
      await settle(failed!, 'failed', 'it raised', NOW + 2)
      await settle(dead!, 'dead', 'no minion', NOW + 4)
      await settle(fine!, 'succeeded', null, NOW + 5)
      await store.reactions.plan([plan(2, { rule: 'q' }), plan(3), plan(4, { blocked: 'rate_limit', error: 'blocked' })], 4)
      const [unrendered, again] = ids(await store.reactions.openPlans(NOW, 10))
      await store.reactions.renderFailed(unrendered!, 'line 1', null, NOW + 3, [])
      await store.reactions.renderFailed(again!, 'line 2', NOW + 9, NOW + 3, [])
      const { reactions } = await reopen()
      t.strictSame(await reactions.failures(NOW, 10), [
        { rule: 'r', us: NOW + 2, error: 'it raised' },
        { rule: 'q', us: NOW + 3, error: 'line 1' },
        { rule: 'r', us: NOW + 4, error: 'no minion' }
      ])
      t.match(await reactions.failures(NOW + 2, 10), [{ us: NOW + 3 }, { us: NOW + 4 }])
      t.match(await reactions.failures(NOW, 1), [{ us: NOW + 4 }])
    }
  )
}

function trimming(t: Test, open: OpenStore): void {
  t.test('what is over and old goes, plan and reactions together; what is open stays', async t => {
    const { reactions } = (await open(t)).store
    const [done] = await rendered(reactions, 1, [call('a')])
    await rendered(reactions, 2, [call('b')])
    const [later] = await rendered(reactions, 3, [call('c')])
    await reactions.plan([plan(4)], 4)
    await rendered(reactions, 5, [])
    await reactions.settle(done!.id, { state: 'succeeded' }, null, NOW + 1, [])
    await reactions.settle(later!.id, { state: 'succeeded' }, null, NOW + 100, [])
    t.equal(await reactions.trim(NOW, 10), 0)
    t.equal(await reactions.trim(NOW + 100, 10), 2)
    t.strictSame(
      (await reactions.list({ limit: 10 })).map(({ event }) => event),
      [3, 2]
    )
    t.strictSame(await reactions.plansOf(1), [])
    t.equal((await reactions.openPlans(NOW, 10)).length, 1)
    t.equal(await reactions.trim(NOW + 101, 1), 1)
    t.equal(await reactions.trim(NOW + 101, 1), 0)
  })

  t.test('ids are not given again after everything was trimmed', async t => {
    const { store, reopen } = await open(t)
    const [old] = await rendered(store.reactions, 1, [call('a')])
    await store.reactions.settle(old!.id, { state: 'succeeded' }, null, NOW, [])
    t.equal(await store.reactions.trim(NOW + 1, 10), 1)
    const { reactions } = await reopen()
    const [young] = await rendered(reactions, 2, [call('b')])
    t.ok(young!.id > old!.id)
    t.ok(young!.plan > old!.plan)
  })
}

function windows(t: Test, open: OpenStore): void {
  const window = (key: string, first: number, count: number) => ({ rule: 'r', key, first, dueUs: NOW + 5, body: { count } })

  t.test('windows, their events and the guards change with the plans and the cursor, and outlive the process', async t => {
    const { store, reopen } = await open(t)
    await store.events.append([newEvent('a', { n: 1 }), newEvent('b', { n: 2 }), newEvent('c', { n: 3 })])
    const gathered = [1, 2, 3].map(event => ({ rule: 'r', first: 1, event }))
    const state = { rule: 'r', paused: false, body: { rate: { count: 1 } } }
    await store.reactions.plan([], 3, {
      windows: [window('"x"', 1, 3), window('"y"', 2, 1)],
      gathered,
      states: [state],
      events: [newEvent('told')]
    })
    t.equal(await store.events.head(), 4)
    const { reactions, events } = await reopen()
    t.equal(await reactions.cursor(), 3)
    t.strictSame(await reactions.windows({ limit: 10 }), [window('"x"', 1, 3), window('"y"', 2, 1)])
    t.strictSame(await reactions.windows({ rule: 'r', after: '"x"', limit: 10 }), [window('"y"', 2, 1)])
    t.strictSame(await reactions.windows({ rule: 'q', limit: 10 }), [])
    t.strictSame(await reactions.states(), [state])
    t.strictSame(await reactions.windowEvents('r', 1), [await events.get(1), await events.get(2), await events.get(3)])
    t.strictSame(await reactions.windowsOf(2), [{ rule: 'r', first: 1, reacted: null }])
    await reactions.plan([], 3, { closed: [{ rule: 'r', key: '"x"' }], forgotten: [{ rule: 'r', first: 1, before: 3 }] })
    t.strictSame(await reactions.windows({ limit: 10 }), [window('"y"', 2, 1)])
    t.match(await reactions.windowEvents('r', 1), [{ seq: 3 }])
  })

  t.test('a window without a key is the first of its rule', async t => {
    const { reactions } = (await open(t)).store
    await reactions.plan([], 1, { windows: [window('', 1, 1), window('"x"', 1, 1)] })
    t.strictSame(await reactions.windows({ rule: 'r', limit: 10 }), [window('', 1, 1), window('"x"', 1, 1)])
    t.strictSame(await reactions.windows({ rule: 'r', after: '', limit: 10 }), [window('"x"', 1, 1)])
  })

  t.test('the events of a window stay when the log lets go of them, until its plans are trimmed', async t => {
    const { reactions, events } = (await open(t)).store
    await events.append([newEvent('a', { n: 1 }), newEvent('b', { n: 2 })])
    const both = ['a.sls', 'b.sls'].map((sls, position) => plan(2, { sls, position, gathered: 1 }))
    await reactions.plan(both, 2, { gathered: [1, 2].map(event => ({ rule: 'r', first: 1, event })) })
    await events.trim({ keep: 0, limit: 10 })
    t.match(await reactions.windowEvents('r', 1), [{ tag: 'a' }, { tag: 'b' }])
    const [first, second] = await reactions.openPlans(NOW, 10)
    t.equal(first!.gathered, 1)
    t.strictSame(await reactions.windowsOf(1), [{ rule: 'r', first: 1, reacted: 2 }])
    await reactions.rendered(first!.id, [], NOW)
    t.equal(await reactions.trim(NOW + 1, 10), 1)
    t.equal((await reactions.windowEvents('r', 1)).length, 2, 'another plan needs them')
    await reactions.rendered(second!.id, [], NOW)
    t.equal(await reactions.trim(NOW + 1, 10), 1)
    t.strictSame(await reactions.windowEvents('r', 1), [])
  })
}

function lines(t: Test, open: OpenStore): void {
  const inLine = (event: number, key = 'k', more: Partial<NewPlan> = {}) => plan(event, { slot: { key, limit: 2 }, ...more })
  const openEvents = async (reactions: ReactionStore) => (await reactions.openPlans(NOW, 100)).map(({ event }) => event)

  t.test('plans in line go on so many at a time, oldest first; those of another key have a line of their own', async t => {
    const { store, reopen } = await open(t)
    await store.reactions.plan([inLine(1), inLine(1, 'k', { sls: 'b.sls' }), inLine(2), inLine(3), inLine(4), inLine(5, 'other')], 5)
    const { reactions } = await reopen()
    t.strictSame(await openEvents(reactions), [1, 1, 2, 5])
    t.strictSame(await reactions.waiting('r'), { concurrency: 2 })
    t.strictSame(await reactions.line('r', 'k'), { working: 2, waiting: 2 })
    t.strictSame(await reactions.line('r', 'none'), { working: 0, waiting: 0 })
    const [one, zwei, two] = await reactions.openPlans(NOW, 10)
    t.equal((await reactions.rendered(one!.id, [], NOW)).length, 0)
    t.strictSame(await openEvents(reactions), [1, 2, 5], 'the event has another file')
    t.equal(await reactions.renderFailed(zwei!.id, 'no', null, NOW, []), 1)
    t.strictSame(await openEvents(reactions), [2, 3, 5])
    const [reaction] = await reactions.rendered(two!.id, [call('x')], NOW)
    t.strictSame(await openEvents(reactions), [3, 5], 'its reaction is not over')
    await reactions.dispatched(reaction!.id, NOW, [])
    t.equal(await reactions.settle(reaction!.id, { state: 'succeeded' }, null, NOW, []), 1)
    t.strictSame(await openEvents(reactions), [3, 4, 5])
  })

  t.test('a failure that is tried again keeps its place', async t => {
    const { reactions } = (await open(t)).store
    await reactions.plan([inLine(1), inLine(2), inLine(3)], 3)
    const [one] = await reactions.openPlans(NOW, 10)
    t.equal(await reactions.renderFailed(one!.id, 'later', NOW + 9, NOW, []), 0)
    t.strictSame(await reactions.waiting('r'), { concurrency: 1 })
  })
}

function control(t: Test, open: OpenStore): void {
  const state = (paused: boolean) => ({ rule: 'r', paused, body: paused ? { paused: { by: 'ada' } } : {} })

  t.test('while a rule is paused its plans and reactions wait, those of others do not; then they go on in order', async t => {
    const { store, reopen } = await open(t)
    await rendered(store.reactions, 1, [call('a')])
    await store.reactions.plan([plan(2), plan(3, { rule: 'q' })], 3)
    await store.reactions.control(state(true), 'pause', [newEvent('salt/reactor/r/paused')])
    await store.reactions.plan([plan(4, { held: 'paused' })], 4)
    t.equal(await store.events.head(), 1)
    const { reactions } = await reopen()
    t.match(await reactions.states(), [state(true)])
    t.match(await reactions.openPlans(NOW, 10), [{ rule: 'q' }])
    t.strictSame(await reactions.openReactions(NOW, 10), [])
    t.match(await reactions.plans({ state: 'held', limit: 10 }), [
      { event: 4, held: 'paused' },
      { event: 2, held: 'paused' }
    ])
    t.equal(await reactions.trim(Number.MAX_SAFE_INTEGER, 10), 0, 'what waits is never trimmed')
    await reactions.control(state(false), 'resume', [])
    t.match(await reactions.openPlans(NOW, 10), [{ event: 2 }, { event: 3 }, { event: 4 }])
    t.equal((await reactions.openReactions(NOW, 10)).length, 1)
    t.strictSame(await reactions.plans({ state: 'held', limit: 10 }), [])
  })

  t.test('a paused rule lets nothing out of its line, and lets so many go on as before when it is resumed', async t => {
    const { reactions } = (await open(t)).store
    const slot = { key: 'k', limit: 1 }
    await reactions.plan([plan(1, { slot }), plan(2, { slot })], 2)
    await reactions.control(state(true), 'pause', [])
    await reactions.plan([plan(3, { slot, held: 'paused' })], 3)
    t.strictSame(await reactions.openPlans(NOW, 10), [])
    t.strictSame(await reactions.waiting('r'), { concurrency: 1, paused: 2 })
    t.strictSame(await reactions.allWaiting(), { concurrency: 1, paused: 2 })
    await reactions.control(state(false), 'resume', [])
    t.match(await reactions.openPlans(NOW, 10), [{ event: 1 }])
    t.strictSame(await reactions.waiting('r'), { concurrency: 2 })
    t.strictSame(await reactions.allWaiting(), { concurrency: 2, due: 1 })
  })

  t.test('what waits until its rule is active is released together', async t => {
    const { reactions } = (await open(t)).store
    await reactions.plan(
      [
        plan(1, { held: 'inactive' }),
        plan(2, { held: 'inactive', slot: { key: 'k', limit: 1 } }),
        plan(3, { rule: 'q', held: 'inactive' })
      ],
      3
    )
    t.strictSame(await reactions.openPlans(NOW, 10), [])
    t.equal(await reactions.release('r', 'inactive'), 2)
    t.match(await reactions.openPlans(NOW, 10), [{ event: 1 }, { event: 2 }])
  })

  t.test('what a guard stops is a dead letter with the reason; driven again it passes the guards', async t => {
    const { reactions } = (await open(t)).store
    await reactions.plan([plan(1, { blocked: 'breaker', error: 'it is open' }), plan(2, { error: 'when: no' })], 2)
    t.strictSame(await reactions.openPlans(NOW, 10), [])
    t.match(await reactions.plans({ state: 'blocked', limit: 10 }), [{ event: 1, state: 'dead', blocked: 'breaker', error: 'it is open' }])
    const dead = await reactions.plans({ state: 'dead', limit: 10 })
    t.equal(dead.length, 2)
    t.strictSame(await reactions.redrive({ plans: ids(dead), reactions: [] }, NOW, []), { plans: 2, reactions: 0 })
    t.match(await reactions.openPlans(NOW, 10), [
      { event: 1, blocked: null, forced: true },
      { event: 2, forced: true }
    ])
  })
}
