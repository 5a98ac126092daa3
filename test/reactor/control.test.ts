import t from 'tap'
import type { ReactionRecord, Store } from '../../src/store/store.js'
import { type ReactorBench, reactorBench, succeeded } from '../helpers/reactor.js'
import { newEvent } from '../helpers/store.js'

const me = { user: 'ada', source: 'user:ada' } as const

/** Says what it sees: the event, and all events of its window. */
const SAY = `say_{{ data.n }}:
  runner.test.arg:
    - args: [{ns: {{ events | map(attribute='data') | map(attribute='n') | list }}}, {tags: {{ events | map(attribute='tag') | list }}}]
`
const files = { 'say.sls': SAY }

/** The numbers of the events that each reaction saw. */
const seen = (reactions: readonly ReactionRecord[]) => reactions.map(({ call }) => (call as { kwarg?: { ns: number[] } }).kwarg?.ns)

const rule = (options: object, tag = 'n/*') => [{ [tag]: { sls: 'DIR/say.sls', ...options } }]

async function fire(bench: ReactorBench, ...ns: number[]): Promise<void> {
  for (const n of ns) await bench.fire(`n/${n}`, { n, id: n % 2 ? 'odd' : 'even' })
}

t.test('throttle once_within: the first event is reacted to, the others of that time are passed over, then it begins anew', async t => {
  const bench = await reactorBench(t, { files, reactor: rule({ throttle: { once_within: '10s' } }) })
  await fire(bench, 1, 2, 3)
  bench.clock.pass(11)
  await fire(bench, 4, 5)
  t.strictSame(seen(await bench.reactions(succeeded(2))), [[1], [4]])
  await bench.planned()
  t.match(await bench.store.reactions.windows({ limit: 10 }), [{ body: { kind: 'once_within', passed: 1 } }])
})

t.test('an event whose commit takes longer than the time of its window belongs to it all the same', async t => {
  const bench = await reactorBench(t, {
    files,
    reactor: [...rule({ throttle: { once_within: '10s' } }), ...rule({ accumulate: { within: '10s', threshold: 2 } }, 'w/*')]
  })
  await fire(bench, 1)
  await bench.fire('w/1', { n: 1 })
  await bench.reactions(succeeded(1))
  const stampUs = bench.clock.nowUs() + 9_000_000
  bench.clock.pass(12)
  await bench.reactor.look()
  await bench.store.events.append([newEvent('n/2', { n: 2 }, { stampUs }), newEvent('w/2', { n: 2 }, { stampUs })])
  await bench.planned()
  t.strictSame(seen(await bench.reactions(succeeded(2))), [[1], [1, 2]])
  bench.clock.pass(20)
  await bench.reactor.look()
  t.strictSame(await bench.store.reactions.windows({ limit: 10 }), [])
})

t.test('throttle once_after: all events of the time are reacted to together, once, when it is over', async t => {
  const bench = await reactorBench(t, { files, reactor: rule({ throttle: { once_after: 10 }, group_by: 'data.id' }) })
  await fire(bench, 1, 2, 3)
  await bench.planned()
  t.strictSame(await bench.reactions(() => true), [])
  bench.clock.pass(11)
  await bench.reactor.look()
  const reactions = await bench.reactions(succeeded(2))
  t.strictSame(seen(reactions).sort(), [[1, 3], [2]])
  t.match(new Set(reactions.map(({ section }) => section)), new Set(['say_3', 'say_2']), 'the last event stands for the window')
  t.strictSame(await bench.store.reactions.windows({ limit: 10 }), [])
})

t.test('debounce: it waits for silence, and no longer than max', async t => {
  const bench = await reactorBench(t, { files, reactor: rule({ debounce: { period: '10s', max: '25s' } }) })
  for (const n of [1, 2, 3, 4]) {
    await fire(bench, n)
    bench.clock.pass(8)
  }
  // 32 s after the first event: closed 25 s after it, so that the fourth (at 24 s) is in it
  await fire(bench, 5)
  t.strictSame(seen(await bench.reactions(succeeded(1))), [[1, 2, 3, 4]])
  bench.clock.pass(11)
  await bench.reactor.look()
  t.strictSame(seen(await bench.reactions(succeeded(2))), [[1, 2, 3, 4], [5]])
})

t.test('accumulate: so many events within a time are reacted to together; older ones count no more', async t => {
  const bench = await reactorBench(t, { files, reactor: rule({ accumulate: { within: '10s', threshold: 3 } }) })
  await fire(bench, 1)
  bench.clock.pass(6)
  await fire(bench, 2)
  bench.clock.pass(6)
  await fire(bench, 3)
  await bench.planned()
  t.strictSame(await bench.reactions(() => true), [], 'three, but not within ten seconds')
  await fire(bench, 4, 5)
  t.strictSame(seen(await bench.reactions(succeeded(1))), [[2, 3, 4]])
  bench.clock.pass(20)
  await bench.reactor.look()
  t.strictSame(await bench.store.reactions.windows({ limit: 10 }), [])
  t.equal((await bench.reactions(() => true)).length, 1, 'what does not reach the threshold is let go')
})

t.test(
  'when: the rule reacts where its condition holds; what an event does not have does not hold; a mistake is a dead letter',
  async t => {
    const bench = await reactorBench(t, {
      files,
      reactor: [...rule({ when: 'data.n > 2 and tag.startswith("n/")' }), ...rule({ when: '1 / data.n' }, 'z/*')]
    })
    await bench.fire('n/none', {})
    await fire(bench, 1, 2, 3)
    await bench.fire('z/0', { n: 0 })
    t.strictSame(seen(await bench.reactions(succeeded(1))), [[3]])
    const error = await bench.event(({ tag }) => tag.endsWith('/error'))
    t.match(JSON.parse(error.json), { error: /when: .*division by zero/, state: 'dead', tag: 'z/0' })
    t.equal((await bench.store.reactions.plans({ limit: 10 })).length, 2)
  }
)

t.test('windows are there after a restart with all their events, and close at their time though the server was away then', async t => {
  const reactor = rule({ throttle: { once_after: 60 } })
  const first = await reactorBench(t, { files, reactor })
  await fire(first, 1, 2)
  await first.planned()
  await first.kill()
  first.clock.pass(30)
  const second = await reactorBench(t, { reactor, after: first })
  await fire(second, 3)
  await second.planned()
  await second.store.events.trim({ keep: 0, limit: 1000 })
  await second.kill()
  first.clock.pass(60)
  const third = await reactorBench(t, { reactor, after: first })
  await third.reactor.look()
  t.strictSame(seen(await third.reactions(succeeded(1))), [[1, 2, 3]])
})

t.test('a pause holds one rule over a restart while others go on; resumed, everything is done in order', async t => {
  const reactor = [...rule({}), ...rule({}, 'm/*')]
  const first = await reactorBench(t, { files, reactor })
  const { id } = first.reactor.rules.all()[0]!
  t.equal(await first.reactor.pause(me, id), true)
  t.equal(await first.reactor.pause(me, id), false)
  await fire(first, 1, 2)
  await first.fire('m/3', { n: 3 })
  t.strictSame(seen(await first.reactions(succeeded(1))), [[3]])
  await first.kill()
  const second = await reactorBench(t, { reactor, after: first })
  await fire(second, 4)
  await second.planned()
  t.equal((await second.reactions(() => true)).length, 1)
  t.strictSame(await second.store.reactions.waiting(id), { paused: 3 })
  t.equal(await second.reactor.resume(me, id), true)
  t.strictSame(seen(await second.reactions(succeeded(4))).sort(), [[1], [2], [3], [4]])
  const tags = (await second.log()).map(({ tag }) => tag).filter(tag => /paused|resumed/.test(tag))
  t.strictSame(tags, [`salt/reactor/${id}/paused`, `salt/reactor/${id}/resumed`])
  await t.rejects(second.reactor.pause(me, 'none'), { code: 'NOT_FOUND' })
})

t.test('while the reactor is paused everything is planned and nothing done, over a restart too', async t => {
  const first = await reactorBench(t, { files, reactor: rule({}) })
  await first.reactor.pause(me)
  await fire(first, 1)
  await first.planned()
  await first.kill()
  const second = await reactorBench(t, { reactor: rule({}), after: first })
  t.equal(second.reactor.paused, true)
  await fire(second, 2)
  await second.planned()
  t.equal((await second.store.reactions.plans({ state: 'planned', limit: 10 })).length, 2)
  t.strictSame(await second.reactions(() => true), [])
  await second.reactor.resume(me)
  t.strictSame(seen(await second.reactions(succeeded(2))), [[1], [2]])
  t.match(
    (await second.log()).filter(({ tag }) => /^salt\/reactor\/[a-z]+$/.test(tag)),
    [{ tag: 'salt/reactor/paused', data: { user: 'ada' } }, { tag: 'salt/reactor/resumed' }]
  )
})

t.test('events beyond the rate limit are blocked, told of once, on record with the reason, and can be driven again', async t => {
  const bench = await reactorBench(t, { files, reactor: rule({ rate_limit: { limit: 2, per: '1m' } }) })
  await fire(bench, 1, 2, 3, 4)
  await bench.planned()
  const blocked = await bench.store.reactions.plans({ state: 'blocked', limit: 10 })
  t.match(blocked, [{ blocked: 'rate_limit', error: /more than 2 events in 1m/, state: 'dead' }, { blocked: 'rate_limit' }])
  t.equal((await bench.log()).filter(({ tag }) => tag.endsWith('/blocked')).length, 1)
  await bench.reactor.redrive(blocked, [], me)
  t.strictSame(seen(await bench.reactions(succeeded(4))).sort(), [[1], [2], [3], [4]])
  bench.clock.pass(61)
  await fire(bench, 5)
  t.equal((await bench.reactions(succeeded(5))).length, 5)
})

/** The store as a process sees it that ends before a call of this method of its reactions gets there. */
function withoutAnswer(store: Store, method: keyof Store['reactions']): Store {
  const { reactions } = store
  return laidAround(store, {
    reactions: laidAround(reactions, { [method]: () => new Promise(() => {}) })
  })
}

function laidAround<T extends object>(target: T, replaced: object): T {
  return new Proxy(target, {
    get(_, name) {
      const value = Reflect.get(replaced, name) ?? Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}

const FAIL = 'fail_{{ data.n }}:\n  runner.test.{{ "arg" if data.ok else "nosuch" }}:\n    - args: [{n: {{ data.n }}}]\n'

t.test(
  'a breaker opens after so many failures, blocks what comes, tries one event after its rest, and closes when that succeeds',
  async t => {
    const options = { sls: 'DIR/fail.sls', breaker: { failures: 2, within: '1m', rest: '30s' } }
    const bench = await reactorBench(t, { files: { 'fail.sls': FAIL }, reactor: [{ 'n/*': options }] })
    const { id } = bench.reactor.rules.all()[0]!
    const moved = (n: number) => (reactions: readonly ReactionRecord[]) =>
      reactions.filter(({ state }) => state !== 'planned' && state !== 'dispatched').length >= n
    const breaker = (state: string, nth = 1) => {
      let found = 0
      return bench.event(({ tag, data }) => tag === `salt/reactor/${id}/breaker` && data.state === state && ++found >= nth)
    }
    await bench.fire('n/1', { n: 1, ok: false })
    await bench.fire('n/2', { n: 2, ok: false })
    t.match(JSON.parse((await breaker('open')).json), { reason: /2 failures/, rule: id })
    await bench.fire('n/3', { n: 3, ok: true })
    await bench.planned()
    t.match(await bench.store.reactions.plans({ state: 'blocked', limit: 10 }), [{ blocked: 'breaker', error: /circuit breaker .* open/ }])
    bench.clock.pass(31)
    await bench.fire('n/4', { n: 4, ok: false })
    await bench.fire('n/5', { n: 5, ok: true })
    await breaker('open', 2)
    await bench.planned()
    t.equal((await bench.store.reactions.plans({ state: 'blocked', limit: 10 })).length, 2, 'while one is tried the others are blocked')
    bench.clock.pass(31)
    await bench.fire('n/6', { n: 6, ok: true })
    await breaker('closed')
    await bench.fire('n/7', { n: 7, ok: true })
    const reactions = await bench.reactions(moved(5))
    t.strictSame(
      reactions.map(({ section, state }) => [section, state]),
      [
        ['fail_1', 'dead'],
        ['fail_2', 'dead'],
        ['fail_4', 'dead'],
        ['fail_6', 'succeeded'],
        ['fail_7', 'succeeded']
      ]
    )
  }
)

t.test('an open breaker is open after a restart, and closes by hand', async t => {
  const reactor = rule({ breaker: { failures: 3 } })
  const first = await reactorBench(t, { files, reactor })
  const { id } = first.reactor.rules.all()[0]!
  await first.reactor.guards.setBreaker(id, 'open', me)
  await first.kill()
  const second = await reactorBench(t, { reactor, after: first })
  t.match(second.reactor.guards.shown(id).breaker, { state: 'open', reason: 'opened by ada' })
  await fire(second, 1)
  await second.planned()
  t.equal((await second.store.reactions.plans({ state: 'blocked', limit: 10 })).length, 1)
  await second.reactor.guards.setBreaker(id, 'closed', me)
  await fire(second, 2)
  t.strictSame(seen(await second.reactions(succeeded(1))), [[2]])
})

t.test('failures before a restart count for the breaker; a breaker that moved counts from there', async t => {
  const reactor = [{ 'n/*': { sls: 'DIR/fail.sls', breaker: { failures: 3, within: '1m', rest: '30s' } } }]
  const failed = (n: number) => (reactions: readonly ReactionRecord[]) => reactions.filter(({ state }) => state === 'dead').length >= n
  const first = await reactorBench(t, { files: { 'fail.sls': FAIL }, reactor })
  const { id } = first.reactor.rules.all()[0]!
  const shown = ({ reactor }: ReactorBench) => reactor.guards.shown(id).breaker
  await first.fire('n/1', { n: 1, ok: false })
  await first.reactions(failed(1))
  first.clock.pass(50)
  await first.fire('n/2', { n: 2, ok: false })
  await first.reactions(failed(2))
  await first.kill()

  const second = await reactorBench(t, { reactor, after: first })
  t.match(shown(second), { state: 'closed', failures: 2 })
  await second.fire('n/3', { n: 3, ok: false })
  await second.event(({ tag, data }) => tag === `salt/reactor/${id}/breaker` && data.state === 'open')
  await second.reactor.guards.setBreaker(id, 'closed', me)
  await second.kill()

  first.clock.pass(1)
  const third = await reactorBench(t, { reactor, after: first })
  t.match(shown(third), { state: 'closed', failures: 0 }, 'what it was closed after is forgiven')
  await third.fire('n/4', { n: 4, ok: false })
  await third.reactions(failed(4))
  await third.kill()

  first.clock.pass(61)
  const fourth = await reactorBench(t, { reactor, after: first })
  t.match(shown(fourth), { state: 'closed', failures: 0 }, 'what is too long ago counts no more')
})

t.test('a breaker that a crash kept from opening opens with the next start', async t => {
  const reactor = [{ 'n/*': { sls: 'DIR/fail.sls', breaker: { failures: 2 } } }]
  const first = await reactorBench(t, {
    files: { 'fail.sls': FAIL },
    reactor,
    store: store => withoutAnswer(store, 'control')
  })
  const { id } = first.reactor.rules.all()[0]!
  for (const n of [1, 2]) await first.fire(`n/${n}`, { n, ok: false })
  await first.reactions(all => all.filter(({ state }) => state === 'dead').length === 2)
  await first.kill()
  const second = await reactorBench(t, { reactor, after: first })
  t.match(second.reactor.guards.shown(id).breaker, {
    state: 'open',
    reason: /2 failures, the last one: runner function .* is not available/
  })
  const told = (await second.log()).filter(({ tag }) => tag === `salt/reactor/${id}/breaker`)
  t.match(told, [{ data: { state: 'open' } }])
})

t.test('the count of a rate limit goes on over a restart, and so does its time', async t => {
  const reactor = rule({ rate_limit: { limit: 2, per: '1m' } })
  const first = await reactorBench(t, { files, reactor })
  await fire(first, 1)
  await first.reactions(succeeded(1))
  await first.kill()
  const second = await reactorBench(t, { reactor, after: first })
  await fire(second, 2, 3)
  await second.planned()
  t.match(await second.store.reactions.plans({ state: 'blocked', limit: 10 }), [{ blocked: 'rate_limit' }])
  // A call under way would be interrupted.
  await second.reactions(succeeded(2))
  await second.kill()
  first.clock.pass(61)
  const third = await reactorBench(t, { reactor, after: first })
  await fire(third, 4)
  t.strictSame(seen(await third.reactions(succeeded(3))).sort(), [[1], [2], [4]])
})

t.test('concurrency: so many events of a key are worked on at a time, their jobs included, also over a crash', async t => {
  const sls = 'go_{{ data.n }}:\n  local.test.echo:\n    - tgt: slow\n    - arg: [{{ data.n }}]\n'
  const reactor = [{ 'n/*': { sls: 'DIR/go.sls', concurrency: { key: 'data.id', limit: 1 } } }]
  const first = await reactorBench(t, { files: { 'go.sls': sls }, reactor, ids: ['slow'] })
  first.minions.connect('slow', () => null)
  await fire(first, 1, 3, 2)
  const begun = (reactions: readonly ReactionRecord[]) => reactions.filter(({ state }) => state === 'dispatched').length
  const two = await first.reactions(all => begun(all) === 2)
  t.strictSame(two.map(({ section }) => section).sort(), ['go_1', 'go_2'])
  await first.planned()
  t.strictSame(await first.store.reactions.waiting(first.reactor.rules.all()[0]!.id), { concurrency: 1 })
  await first.kill()
  const second = await reactorBench(t, { reactor, after: first, ids: ['slow'] })
  second.minions.connect('slow', () => null)
  const { jid } = two.find(({ section }) => section === 'go_1')!
  await second.jobs.recordReturn('slow', { jid, fun: 'test.echo', fun_args: [1], return: 1, retcode: 0, success: true })
  await second.reactor.look()
  const three = await second.reactions(all => begun(all) === 2 && all.length === 3)
  t.match(
    three.find(({ section }) => section === 'go_3'),
    { state: 'dispatched' }
  )
})

t.test('outside of its times a rule passes events over, or holds them until it is active', async t => {
  // The clock of the test begins on 2027-01-15 (a Friday) at 08:00 UTC.
  const active = [{ from: '09:00', to: '10:00' }]
  const bench = await reactorBench(t, { files, reactor: [...rule({ active }), ...rule({ active, outside: 'hold' }, 'h/*')] })
  await fire(bench, 1)
  await bench.fire('h/2', { n: 2 })
  await bench.planned()
  t.match(await bench.store.reactions.plans({ limit: 10 }), [{ held: 'inactive', sls: /say/ }])
  bench.clock.pass(3600)
  await bench.reactor.look()
  await fire(bench, 3)
  t.strictSame(seen(await bench.reactions(succeeded(2))).sort(), [[2], [3]])
})

t.test('retry: a rule has its own number of attempts', async t => {
  const bench = await reactorBench(t, { reactor: [{ 'n/*': { sls: 'DIR/missing.sls', retry: { attempts: 1 } } }] })
  await fire(bench, 1)
  const error = await bench.event(({ tag }) => tag.endsWith('/error'))
  t.match(JSON.parse(error.json), { state: 'dead', attempts: 1 })
})
