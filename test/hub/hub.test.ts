import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { pino } from 'pino'
import t from 'tap'
import { type Encoding, SSE_PLAIN } from '../../src/hub/encoding.js'
import { Hub, type HubOptions } from '../../src/hub/hub.js'
import type { Start } from '../../src/hub/position.js'
import type { Outlet, SubscribeOptions } from '../../src/hub/subscription.js'
import { MemoryEvents } from '../helpers/memory-events.js'
import { TestClock } from '../helpers/store.js'
import { framesOf, tagsOf } from '../helpers/stream.js'

/** A connection of which the test is the other end. */
class FakeOutlet implements Outlet {
  readonly writes: string[] = []
  ended = false
  wasCut = false
  /** What the reader has not taken. */
  waiting = 0
  /** Set: the reader takes nothing until it is resolved. */
  blocked: Promise<void> | null = null

  readonly sink = {
    write: (bytes: Uint8Array) => {
      this.writes.push(Buffer.from(bytes).toString('utf8'))
    },
    get writableLength() {
      return 0
    }
  }

  constructor() {
    Object.defineProperty(this.sink, 'writableLength', { get: () => this.waiting })
  }

  get text(): string {
    return this.writes.join('')
  }
  get tags(): string[] {
    return tagsOf(framesOf(this.text))
  }
  writeAll(parts: readonly Uint8Array[]): void {
    for (const part of parts) this.sink.write(part)
  }
  async drained(): Promise<boolean> {
    await this.blocked
    return true
  }
  end(last: Uint8Array): void {
    this.sink.write(last)
    this.ended = true
  }
  cut(): void {
    this.wasCut = true
  }
}

async function setup(t: { teardown(f: () => unknown): unknown }, options: Partial<HubOptions> = {}) {
  const events = new MemoryEvents()
  const clock = new TestClock()
  const hub = new Hub({ events, log: pino({ level: 'silent' }), clock, ...options })
  t.teardown(() => hub.stop())
  const subscribe = (start: Start, more: Partial<SubscribeOptions> = {}) => {
    const outlet = new FakeOutlet()
    const caller = { jti: 'j', expiresUs: Number.POSITIVE_INFINITY }
    const subscription = hub.subscribe({ filter: {}, start, encoding: SSE_PLAIN, outlet, caller, ...more })
    return { outlet, subscription }
  }
  await hub.start()
  return { events, clock, hub, subscribe }
}

/** Until every stream has caught up or ended. */
async function settled(hub: Hub) {
  while (hub.live < hub.subscribers) await turn()
}

const NOW: Start = { kind: 'now' }
const EARLIEST: Start = { kind: 'earliest' }

t.test('a listener hears of every matching event, in order, in the turn in which it is committed', async t => {
  const { events, hub } = await setup(t)
  const heard: string[] = []
  const undo = hub.listen({ include: ['a/*'], exclude: ['*/no'] }, event => heard.push(event.tag))
  events.fire('a/1', 'b/1', 'a/no', 'a/2')
  t.strictSame(heard, ['a/1', 'a/2'])
  undo()
  events.fire('a/3')
  t.strictSame(heard, ['a/1', 'a/2'])
  t.equal(hub.filters, 0)
})

t.test("a listener's error stops nobody, and the same function may listen twice", async t => {
  const { events, hub } = await setup(t)
  const heard: string[] = []
  const listener = () => heard.push('x')
  hub.listen({}, () => {
    throw new Error('mine alone')
  })
  const undo = hub.listen({}, listener)
  hub.listen({}, listener)
  events.fire('a')
  undo()
  events.fire('b')
  t.equal(heard.length, 3)
})

t.test('a filter with several patterns that match hears of an event once', async t => {
  const { events, hub } = await setup(t)
  const heard: string[] = []
  hub.listen({ include: ['a/*', '*', 'a/1'] }, event => heard.push(event.tag))
  events.fire('a/1')
  t.strictSame(heard, ['a/1'])
})

t.test('each distinct filter is one group, in whatever order its patterns are given, and goes with its last member', async t => {
  const { hub, subscribe } = await setup(t)
  const undo = hub.listen({ include: ['a', 'b'] }, () => {})
  const { subscription } = subscribe(NOW, { filter: { include: ['b', 'a'] } })
  subscribe(NOW, { filter: { include: ['c'] } })
  await settled(hub)
  t.equal(hub.filters, 2)
  undo()
  t.equal(hub.filters, 2)
  subscription.closed()
  t.equal(hub.filters, 1)
})

t.test('bytes are made once per event and encoding, whoever reads them', async t => {
  const { events, hub, subscribe } = await setup(t)
  let made = 0
  const counting: Encoding = {
    ...SSE_PLAIN,
    text: text => {
      if (text.includes('data:')) made++
      return Buffer.from(text)
    }
  }
  for (let i = 0; i < 10; i++) subscribe(NOW, { encoding: counting, filter: i % 2 ? {} : { include: ['a/*'] } })
  await settled(hub)
  events.fire('a/1')
  t.equal(made, 1)
})

t.test('an event is written at once when nothing was written just now; what comes with it is written together', async t => {
  const { events, hub, subscribe } = await setup(t)
  const { outlet } = subscribe(NOW)
  await settled(hub)
  events.fire('a')
  t.equal(outlet.writes.length, 1, 'in the same turn')
  for (const tag of ['b', 'c', 'd', 'e']) events.fire(tag)
  t.equal(outlet.writes.length, 1)
  await turn()
  await turn()
  t.equal(outlet.writes.length, 2, 'one write for four events')
  t.strictSame(outlet.tags, ['a', 'b', 'c', 'd', 'e'])
})

t.test('a reader that joins while events are gathered gets them once, and so does everybody else', async t => {
  const { events, hub, subscribe } = await setup(t)
  const first = subscribe(NOW)
  await settled(hub)
  events.fire('a')
  events.fire('b')
  t.strictSame(first.outlet.tags, ['a'], 'the second one is gathered')
  const second = subscribe({ kind: 'id', epoch: 'e1', seq: 0 })
  // Promises only: the turn is not over.
  while (!second.subscription.live) await null
  events.fire('c')
  await turn()
  await turn()
  t.strictSame(
    [first.outlet.tags, second.outlet.tags],
    [
      ['a', 'b', 'c'],
      ['a', 'b', 'c']
    ]
  )
})

t.test('a reader whose history ends in the middle of live events gets each of them once, in order', async t => {
  const { events, hub, subscribe } = await setup(t, { bufferBytes: 600 })
  events.fire(...Array.from({ length: 10 }, (_, i) => `h/${i}`))
  let n = 0
  // Events keep coming while pages are read, more than the hub remembers.
  events.beforePage = async () => {
    if (n < 40) events.fire(`l/${n++}`, `l/${n++}`, `l/${n++}`)
    await turn()
  }
  const { outlet } = subscribe(EARLIEST)
  await settled(hub)
  events.fire('last')
  while (outlet.tags.at(-1) !== 'last') await turn()
  t.strictSame(
    framesOf(outlet.text).map(({ id }) => id),
    events.events.map(({ seq }) => `e1-${seq}`)
  )
})

t.test('history, then live: no gap and nothing twice, however writers, pages and filters fall together', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 20 }),
      fc.array(fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 }), { maxLength: 12 }),
      fc.nat({ max: 25 }),
      fc.integer({ min: 300, max: 3000 }),
      fc.constantFrom([], ['a'], ['a', 'b']),
      async (before, batches, after, bufferBytes, include) => {
        const events = new MemoryEvents()
        const hub = new Hub({ events, log: pino({ level: 'silent' }), clock: new TestClock(), bufferBytes })
        if (before.length > 0) events.fire(...before)
        const rest = [...batches]
        events.beforePage = async () => {
          const batch = rest.shift()
          if (batch) events.fire(...batch)
          await turn()
        }
        const outlet = new FakeOutlet()
        const from = Math.min(after, before.length)
        const caller = { jti: null, expiresUs: Number.POSITIVE_INFINITY }
        hub.subscribe({ filter: { include }, start: { kind: 'id', epoch: 'e1', seq: from }, encoding: SSE_PLAIN, outlet, caller })
        for (const batch of rest.splice(0, 3)) {
          await turn()
          events.fire(...batch)
        }
        await settled(hub)
        for (const batch of rest) events.fire(...batch)
        await turn()
        hub.stop()
        const expected = events.events.filter(({ seq, tag }) => seq > from && (include.length === 0 || include.includes(tag as never)))
        const got = framesOf(outlet.text).flatMap(({ id }) => id ?? [])
        return JSON.stringify(got) === JSON.stringify(expected.map(({ seq }) => `e1-${seq}`))
      }
    ),
    { numRuns: 150 }
  )
})

t.test('retention that overtakes a slow reader in the middle of its history is a gap, told where it is', async t => {
  const { events, hub, subscribe } = await setup(t, { bufferBytes: 600 })
  events.fire(...Array.from({ length: 10 }, (_, i) => `h/${i + 1}`))
  const { outlet } = subscribe(EARLIEST)
  let release = () => {}
  outlet.blocked = new Promise<void>(resolve => {
    release = resolve
  })
  while (outlet.tags.length < 2) await turn()
  await events.trim({ keep: 4 })
  release()
  outlet.blocked = null
  await settled(hub)
  const frames = framesOf(outlet.text)
  const gaps = frames.filter(({ event }) => event === 'gap')
  t.strictSame(
    gaps.map(({ data }) => data),
    [{ from: 'e1-2', to: 'e1-6', reason: 'retention' }]
  )
  t.strictSame(tagsOf(frames), ['h/1', 'h/2', 'h/7', 'h/8', 'h/9', 'h/10'])
})

t.test('retention between finding the start and reading from it is a gap, too', async t => {
  const { events, hub, subscribe } = await setup(t, { bufferBytes: 600 })
  events.fire(...Array.from({ length: 10 }, (_, i) => `h/${i + 1}`))
  let looks = 0
  const oldest = events.oldest.bind(events)
  events.oldest = async () => {
    const seq = await oldest()
    if (looks++ === 0) await events.trim({ keep: 5 })
    return seq
  }
  const { outlet } = subscribe({ kind: 'id', epoch: 'e1', seq: 2 })
  await settled(hub)
  const frames = framesOf(outlet.text)
  t.strictSame(frames[0]!.data, { from: 'e1-2', to: 'e1-5', reason: 'retention' })
  t.strictSame(tagsOf(frames), ['h/6', 'h/7', 'h/8', 'h/9', 'h/10'])
})

t.test('a live reader whose backlog is beyond the bound is cut, once, and nobody else', async t => {
  const { events, hub, subscribe } = await setup(t, { bufferBytes: 1000 })
  const slow = subscribe(NOW)
  const quick = subscribe(NOW)
  const counted = subscribe(NOW, { count: 5 })
  await settled(hub)
  slow.outlet.waiting = 1001
  counted.outlet.waiting = 1001
  events.fire('a')
  t.strictSame([slow.outlet.wasCut, counted.outlet.wasCut, quick.outlet.wasCut], [true, true, false])
  t.strictSame([slow.outlet.tags, quick.outlet.tags], [[], ['a']])
  t.equal(hub.subscribers, 1)
  t.equal(hub.counters.cut, 2)
})

t.test('an idle reader that does not take its heartbeats is cut', async t => {
  const { clock, hub, subscribe } = await setup(t, { bufferBytes: 1000, heartbeatSeconds: 1 })
  const { outlet } = subscribe(NOW)
  await settled(hub)
  hub.sweep(clock.nowUs())
  t.equal(outlet.text, ': heartbeat\n\n')
  outlet.waiting = 1001
  hub.sweep(clock.nowUs())
  t.ok(outlet.wasCut)
})

t.test('heartbeats are spread over their interval', async t => {
  const { clock, hub, subscribe } = await setup(t, { heartbeatSeconds: 4 })
  const outlets = Array.from({ length: 8 }, () => subscribe(NOW).outlet)
  await settled(hub)
  const perSweep: number[] = []
  for (let second = 0; second < 4; second++) {
    const before = outlets.reduce((sum, { writes }) => sum + writes.length, 0)
    hub.sweep(clock.nowUs())
    perSweep.push(outlets.reduce((sum, { writes }) => sum + writes.length, 0) - before)
  }
  t.strictSame(perSweep, [2, 2, 2, 2])
})

t.test('expiry is seen by the sweep, for readers of history too', async t => {
  const { events, clock, hub, subscribe } = await setup(t, { bufferBytes: 600 })
  events.fire('a', 'b', 'c')
  const caller = { jti: 'x', expiresUs: clock.us + 10_000_000 }
  const behind = subscribe(EARLIEST, { caller })
  behind.outlet.blocked = new Promise(() => {})
  const live = subscribe(NOW, { caller })
  while (!live.subscription.live) await turn()
  hub.sweep(clock.nowUs())
  t.notOk(live.outlet.ended || behind.outlet.ended)
  clock.pass(10)
  hub.sweep(clock.nowUs())
  t.ok(live.outlet.ended && behind.outlet.ended)
  t.match(live.outlet.text, /event: end\ndata: \{"reason":"token expired"\}\n\n$/)
})

t.test('follow gives a program history, then live, at its own pace, until it is told to stop', async t => {
  const { events, hub } = await setup(t, { bufferBytes: 600 })
  events.fire('a/1', 'b/1', 'a/2')
  const stop = new AbortController()
  const got: string[] = []
  for await (const event of hub.follow({ start: EARLIEST, filter: { include: ['a/*'] }, signal: stop.signal })) {
    got.push(event.tag)
    if (got.length === 2) events.fire('a/3', 'b/2')
    if (got.length === 3) setImmediate(() => events.fire('a/4'))
    if (got.length === 4) stop.abort()
  }
  t.strictSame(got, ['a/1', 'a/2', 'a/3', 'a/4'])
})

t.test('a program that waits for the next event is released when it is told to stop, or the hub is', async t => {
  const { hub } = await setup(t)
  const stop = new AbortController()
  const first = hub.follow({ start: NOW, signal: stop.signal }).next()
  const second = hub.follow({ start: NOW }).next()
  while (hub.following < 2) await turn()
  stop.abort()
  t.strictSame(await first, { done: true, value: undefined })
  hub.stop()
  t.strictSame(await second, { done: true, value: undefined })
})

t.test('an error of the log ends a stream with a last frame instead of leaving it silent', async t => {
  const { events, hub, subscribe } = await setup(t, { bufferBytes: 600 })
  events.fire(...Array.from({ length: 10 }, (_, i) => `h/${i}`))
  events.beforePage = () => {
    throw new Error('the disk is gone')
  }
  const { outlet } = subscribe(EARLIEST)
  while (!outlet.ended) await turn()
  t.match(outlet.text, /event: end\ndata: \{"reason":"error"\}\n\n$/)
  t.equal(hub.subscribers, 0)
})

t.test('a stopped hub takes no streams and tells those that it has', async t => {
  const { hub, subscribe } = await setup(t)
  const { outlet } = subscribe(NOW)
  await settled(hub)
  hub.stop()
  hub.stop()
  t.match(outlet.text, 'server is stopping')
  t.throws(() => subscribe(NOW), { code: 'SHUTTING_DOWN' })
})
