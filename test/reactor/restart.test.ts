import t from 'tap'
import { brineError } from '../../src/errors.js'
import type { Store } from '../../src/store/store.js'
import { pack, type ReactorBench, reactorBench } from '../helpers/reactor.js'
import { newEvent } from '../helpers/store.js'

/**
 * A store that dies after the n-th call of one method: that call is committed and never answered, and so is every later one of the same
 * part. What the reactor sees is what a process sees that is killed there: nothing.
 */
function dyingAfter(method: 'plan' | 'rendered' | 'dispatched' | 'settle' | 'publish', died: () => void, nth = 1) {
  let calls = 0
  return (store: Store): Store => {
    const part = method === 'publish' ? 'jobs' : 'reactions'
    let dead = false
    const wrapped = new Proxy(store[part], {
      get(target, name) {
        const value = Reflect.get(target, name) as unknown
        if (typeof value !== 'function') return value
        return async (...args: unknown[]) => {
          if (dead) return new Promise(() => {})
          if (name === method && ++calls === nth) dead = true
          const result: unknown = await value.apply(target, args)
          if (!dead || name !== method) return result
          died()
          return new Promise(() => {})
        }
      }
    })
    return { ...bound(store), [part]: wrapped } as Store
  }
}

/** A store with some methods of its reactions replaced. */
function withReactions(replace: (reactions: Store['reactions']) => Partial<Store['reactions']>) {
  return (store: Store): Store => {
    const replaced = replace(store.reactions)
    const reactions = new Proxy(store.reactions, {
      get(target, name) {
        const value = Reflect.get(replaced, name) ?? Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      }
    })
    return { ...bound(store), reactions }
  }
}

/** The same store as a plain object, its methods bound. */
function bound(store: Store): Store {
  const { epoch } = store.events
  const { events, jobs, keys, mine, tokens, reactions, rules, location } = store
  return {
    events,
    jobs,
    keys,
    mine,
    tokens,
    reactions,
    rules,
    location,
    stats: () => store.stats(),
    close: () => store.close(),
    epoch
  } as Store
}

const files = {
  'r.sls':
    "one:\n  local.test.ping:\n    - tgt: web1\ntwo:\n  runner.test.arg:\n    - args: [{who: '{{ data.who }}'}]\nzwei:\n  wheel.key.list_all: []\n"
}
const reactor = [{ go: 'DIR/r.sls' }]
const over = (count: number) => (reactions: readonly { state: string }[]) =>
  reactions.length === count && reactions.every(each => each.state === 'succeeded' || each.state === 'failed')

/** How often each section was begun: jobs and calls are told of when they begin. */
async function begun(bench: ReactorBench): Promise<Record<string, number>> {
  const sections = new Map((await bench.store.reactions.list({ limit: 100 })).map(each => [each.jid, each.section]))
  const counts: Record<string, number> = {}
  for (const { tag } of await bench.log()) {
    const jid = /^salt\/(?:job|run|wheel)\/(\d+)\/new$/.exec(tag)?.[1]
    const section = jid === undefined ? undefined : sections.get(jid)
    if (section !== undefined) counts[section] = (counts[section] ?? 0) + 1
  }
  return counts
}

for (const method of ['plan', 'rendered', 'publish', 'dispatched', 'settle'] as const) {
  t.test(`a crash right after '${method}' was committed loses no reaction and makes none twice`, async t => {
    let died = () => {}
    const death = new Promise<void>(resolve => {
      died = resolve
    })
    const first = await reactorBench(t, { files, reactor, store: dyingAfter(method, () => died()) })
    await first.fire('go', { who: 'me' })
    await death
    await first.kill()

    const second = await reactorBench(t, { reactor, after: first })
    await answerPending(second)
    const reactions = await second.reactions(over(3))
    t.strictSame(await begun(second), { one: 1, two: 1, zwei: 1 })
    const { one, two, zwei } = pack(reactions)
    t.equal(one, 'succeeded')
    // Whether a function that was under way did its work nobody knows: it is not repeated, and its return says so.
    const mayBeInterrupted = method === 'dispatched' || method === 'settle'
    if (!mayBeInterrupted) t.strictSame([two, zwei], ['succeeded', 'succeeded'])
    if (method === 'dispatched') t.equal(two, 'failed')
    const returns = (await second.log()).filter(event => /^salt\/(run|wheel)\/\d+\/ret$/.test(event.tag))
    t.equal(returns.length, 2, 'each call has one return')
    for (const { data } of returns) if (data.success === false) t.match(data.return, /interrupted by a restart/)
    t.equal((await second.store.reactions.plansOf(reactions[0]!.event)).length, 1)
  })
}

for (const nth of [1, 2, 3]) {
  t.test(`a crash right after the ${nth}. batch of a window's events was committed loses none of them and reacts to them once`, async t => {
    const sls = 'all:\n  runner.test.arg:\n    - args: [{ns: {{ events | map(attribute="data") | map(attribute="n") | list }}}]\n'
    const windowed = [{ 'n/*': { sls: 'DIR/all.sls', accumulate: { within: '1h', threshold: 3 } } }]
    let died = () => {}
    const death = new Promise<void>(resolve => {
      died = resolve
    })
    const first = await reactorBench(t, { files: { 'all.sls': sls }, reactor: windowed, store: dyingAfter('plan', () => died(), nth) })
    for (let n = 1; n <= nth; n++) {
      await first.fire(`n/${n}`, { n })
      if (n < nth) while ((await first.store.reactions.cursor()) < n) await new Promise(resolve => setImmediate(resolve))
    }
    await death
    await first.kill()
    const second = await reactorBench(t, { reactor: windowed, after: first })
    for (let n = nth + 1; n <= 3; n++) await second.fire(`n/${n}`, { n })
    const [reaction, ...more] = await second.reactions(over(1))
    t.match(reaction!.call, { kwarg: { ns: [1, 2, 3] } })
    const marker = await second.fire('marker')
    while ((await second.store.reactions.cursor()) < marker) await new Promise(resolve => setImmediate(resolve))
    t.strictSame(more, [])
    t.equal((await second.store.reactions.plans({ limit: 10 })).length, 1)
    t.strictSame(await second.store.reactions.windows({ limit: 10 }), [])
  })
}

/** What the link does when a minion comes back: it gets the jobs that it has not acknowledged. */
async function answerPending({ store, clock, jobs }: ReactorBench): Promise<void> {
  for (const { jid, fun, arg } of await store.jobs.pending('web1', clock.nowUs(), 10)) {
    await jobs.recordReturn('web1', { jid, fun, fun_args: arg, return: true, retcode: 0, success: true })
  }
}

t.test('events that were committed while no reactor ran are reacted to by the next one, in order', async t => {
  const echo = { 'e.sls': 'n{{ data.n }}:\n  runner.test.arg:\n    - args: [{n: {{ data.n }}}]\n' }
  const first = await reactorBench(t, { files: echo, reactor: [{ 'n/*': 'DIR/e.sls' }] })
  await first.reactor.stop()
  for (let n = 0; n < 30; n++) await first.fire(`n/${n}`, { n })
  await first.kill()
  const second = await reactorBench(t, { reactor: [{ 'n/*': 'DIR/e.sls' }], after: first })
  const reactions = await second.reactions(over(30))
  t.strictSame(new Set(reactions.map(each => each.section)).size, 30)
  t.strictSame(
    reactions.map(each => each.event),
    reactions.map(each => each.event).sort((a, b) => a - b)
  )
})

t.test('a second start changes nothing about what is done', async t => {
  const first = await reactorBench(t, { files, reactor })
  await first.fire('go', { who: 'me' })
  const before = await first.reactions(over(3))
  await first.stop()
  const second = await reactorBench(t, { reactor, after: first })
  const marker = await second.fire('marker')
  while ((await second.store.reactions.cursor()) < marker) await new Promise(resolve => setImmediate(resolve))
  t.strictSame(await second.reactions(() => true), before)
})

t.test('while the store cannot write, reactions wait; each is made once when it can again', async t => {
  let refusals = 3
  const store = withReactions(reactions => ({
    rendered: async (...args) => {
      if (refusals-- > 0) throw brineError('STORE_BUSY')
      return reactions.rendered(...args)
    }
  }))
  const bench = await reactorBench(t, { files, reactor, store })
  await bench.fire('go', { who: 'me' })
  t.strictSame(pack(await bench.reactions(over(3))), { one: 'succeeded', two: 'succeeded', zwei: 'succeeded' })
  t.strictSame(await begun(bench), { one: 1, two: 1, zwei: 1 })
  t.ok(refusals < 0)
})

t.test('when more plans wait than may, the reactor says that it is overloaded until they are worked off', async t => {
  let release = () => {}
  const held = new Promise<void>(resolve => {
    release = resolve
  })
  const store = withReactions(reactions => ({
    openPlans: async (...args) => {
      await held
      return reactions.openPlans(...args)
    }
  }))
  const empty = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`none${n}.sls`, '']))
  const bench = await reactorBench(t, { files: empty, reactor: [{ 'n/*': 'DIR/none*.sls' }], store })
  const events = Array.from({ length: 101 }, (_, n) => newEvent(`n/${n}`))
  await bench.store.events.append(events)
  while (!bench.reactor.overloaded()) await new Promise(resolve => setImmediate(resolve))
  t.equal(bench.reactor.backlog().open, 10_100)
  release()
  while (bench.reactor.backlog().open > 0) await new Promise(resolve => setImmediate(resolve))
  t.equal(bench.reactor.overloaded(), false)
  t.strictSame(await bench.store.reactions.openPlans(Number.MAX_SAFE_INTEGER, 10), [])
})
