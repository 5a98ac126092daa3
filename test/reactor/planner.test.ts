import t from 'tap'
import { brineError } from '../../src/errors.js'
import type { NewEvent } from '../../src/events/event.js'
import { saltJson } from '../../src/events/json.js'
import { RuleIndex } from '../../src/reactor/match.js'
import { Planner, type PlannerOptions } from '../../src/reactor/planner.js'
import { readConfigRules } from '../../src/reactor/rules.js'
import type { NewPlan, Store } from '../../src/store/store.js'
import { newEvent, TestClock, tempStore } from '../helpers/store.js'

const files = { expand: async (reference: string) => (reference.includes('*') ? [`${reference}1`, `${reference}2`] : [reference]) }

function rulesOf(items: unknown): PlannerOptions['rules'] {
  const index = new RuleIndex()
  const all = readConfigRules(items)
  for (const rule of all) index.add(rule)
  return { matching: tag => index.matching(tag), all: () => all, find: id => all.find(rule => rule.id === id) ?? null }
}

/** What the planner needs beside store, rules and files, where no rule has options. */
const clock = new TestClock()
const guards: PlannerOptions['guards'] = {
  load: async () => {},
  paused: () => false,
  pass: () => ({ stopped: null, events: [] }),
  changes: () => [],
  changed: false,
  told: () => ({}) as never
}
const about = { guards, clock, errors: { about: () => [] } }

function unwindowed({ reactions }: Pick<Store, 'reactions'>): Pick<Store['reactions'], 'windows' | 'windowEvents' | 'release' | 'waiting'> {
  return {
    windows: query => reactions.windows(query),
    windowEvents: (rule, first) => reactions.windowEvents(rule, first),
    release: (rule, held) => reactions.release(rule, held),
    waiting: rule => reactions.waiting(rule)
  }
}

/** Follows a store and gathers what it planned. */
function follow(store: Pick<Store, 'events' | 'reactions'>, items: unknown, more: Partial<PlannerOptions> = {}) {
  const plans: NewPlan[] = []
  const reactions: PlannerOptions['store']['reactions'] = {
    ...unwindowed(store),
    cursor: () => store.reactions.cursor(),
    plan: async (list, upTo, changes) => {
      await store.reactions.plan(list, upTo, changes)
      plans.push(...list)
    }
  }
  const warnings: string[] = []
  const log = { warn: (_: object, text: string) => void warnings.push(text) }
  const planner = new Planner({
    store: { events: store.events, reactions },
    rules: rulesOf(items),
    files,
    maxDepth: 4,
    log,
    planned: () => {},
    ...about,
    ...more
  })
  return { planner, plans, warnings }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(resolve => setImmediate(resolve))
}

const burst = (count: number, tag = (n: number) => `n/${n}`): NewEvent[] => Array.from({ length: count }, (_, n) => newEvent(tag(n), { n }))

t.test('each event is planned once, in order, also when more come at once than are kept in memory', async t => {
  const store = await tempStore(t)
  const { planner, plans } = follow(store, [{ 'n/*': '/a.sls' }])
  await store.events.append(burst(700))
  await planner.start()
  await store.events.append(burst(6000))
  await store.events.append(burst(300))
  await until(() => plans.length >= 7000)
  await planner.stop()
  t.strictSame(
    plans.map(plan => plan.event),
    Array.from({ length: 7000 }, (_, n) => n + 1)
  )
  t.equal(await store.reactions.cursor(), 7000)
  t.equal(planner.lag, 0)
})

t.test('a plan names the rule, its version and the SLS file; of one file reached twice there is one plan', async t => {
  const store = await tempStore(t)
  const { planner, plans } = follow(store, [{ go: ['/a.sls', '/g/*'] }, { '*': ['/a.sls', '/b.sls'] }])
  await planner.start()
  await store.events.append([newEvent('go')])
  await until(() => plans.length > 0)
  await planner.stop()
  const sls = ['/a.sls', '/g/*1', '/g/*2', '/b.sls']
  t.match(
    plans.map(plan => [plan.position, plan.sls]),
    sls.map((file, position) => [position, file])
  )
  t.ok(plans.every(plan => plan.event === 1 && plan.version > 0))
})

t.test('where nothing matches, the cursor follows with few writes and is exact after a stop', async t => {
  const store = await tempStore(t)
  const { planner } = follow(store, [{ other: '/a.sls' }])
  await planner.start()
  for (let n = 0; n < 20; n++) await store.events.append(burst(10))
  const { commits } = store.stats()
  await planner.stop()
  t.equal(await store.reactions.cursor(), 200)
  t.ok(commits <= 23, `${commits} commits for 20 appends`)
})

t.test('while the store cannot write, nothing is left out: it is planned when it can again', async t => {
  const store = await tempStore(t)
  let failures = 2
  const warnings: string[] = []
  const failing = {
    events: store.events,
    reactions: {
      ...unwindowed(store),
      cursor: () => store.reactions.cursor(),
      plan: async (...args: Parameters<typeof store.reactions.plan>) => {
        if (failures-- > 0) throw brineError('STORE_FULL')
        await store.reactions.plan(...args)
      }
    }
  }
  const log = { warn: (_: object, text: string) => void warnings.push(text) }
  const planner = new Planner({ ...about, store: failing, rules: rulesOf([{ '*': '/a.sls' }]), files, maxDepth: 4, log, planned: () => {} })
  await planner.start()
  await store.events.append(burst(3))
  await until(() => warnings.length > 0)
  t.equal(planner.lag, 3, 'and meanwhile the lag says so')
  await until(async () => (await store.reactions.cursor()) === 3)
  await planner.stop()
  t.equal((await store.reactions.openPlans(Number.MAX_SAFE_INTEGER, 10)).length, 3)
  t.equal(warnings.length, 2)
})

t.test('events as far from the outside world as reactor_max_depth are planned as dead letters that say so', async t => {
  const store = await tempStore(t)
  const { planner, plans } = follow(store, [{ '*': '/a.sls' }])
  await planner.start()
  await store.events.append([3, 4, 5].map(depth => newEvent(`d/${depth}`, {}, { cause: { seq: 1, depth } })))
  await until(() => plans.length > 0)
  await planner.stop()
  t.match(
    plans.map(plan => [plan.event, plan.blocked, plan.error]),
    [
      [1, null, undefined],
      [2, 'depth', /reactor_max_depth/],
      [3, 'depth', /reactor_max_depth/]
    ]
  )
})

t.test("the reactor's runner and wheel events are not reacted to, its jobs' are, and its errors only by rules that name them", async t => {
  const store = await tempStore(t)
  const { planner, plans } = follow(store, [{ '*': '/all.sls' }, { 'salt/reactor/*': '/own.sls' }])
  await planner.start()
  const told = (tag: string, data: object) => ({ ...newEvent(tag), json: saltJson(data) })
  await store.events.append([
    told('salt/run/20261122203758556109/ret', { user: 'Reactor' }),
    told('salt/run/20261122203758556109/ret', { user: 'admin', note: { user: 'Reactor' } }),
    told('salt/job/20261122203758556109/ret/web1', { user: 'Reactor' }),
    told('20261122203758556109', { user: 'Reactor' }),
    told('salt/reactor/r/error', { user: 'Reactor' })
  ])
  await until(() => planner.lag === 0)
  await planner.stop()
  t.strictSame(
    plans.map(plan => [plan.event, plan.sls]),
    [
      [2, '/all.sls'],
      [3, '/all.sls'],
      [4, '/all.sls'],
      [5, '/own.sls']
    ]
  )
})
