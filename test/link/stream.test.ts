import { PassThrough } from 'node:stream'
import t from 'tap'
import { MinionStream } from '../../src/link/stream.js'
import type { Down } from '../../src/protocol/messages.js'
import type { Delivery } from '../../src/store/store.js'

const delivery = (jid: string, arg: unknown[] = []): Delivery => ({
  ...{ jid, minion: 'web1', fun: 'test.echo', arg, tgt: '*', tgtType: 'glob', user: 'root', ret: '', deadlineUs: Number.MAX_SAFE_INTEGER }
})

function setUp(options: { highWaterMark?: number } = {}) {
  const store = new Map<string, Delivery>()
  const time = { ms: 0 }
  const out = new PassThrough({ highWaterMark: options.highWaterMark ?? 1024 * 1024 })
  const seen = { closed: 0, errors: 0, reads: 0, fail: false }
  const host = {
    pending: async (_: string, limit: number) => {
      seen.reads++
      if (seen.fail) throw new Error('no')
      return [...store.values()].slice(0, limit)
    },
    now: () => time.ms,
    closed: () => seen.closed++,
    failed: () => seen.errors++
  }
  const stream = new MinionStream(host, { id: 'web1', out, grainsWanted: true })
  const lines = (): Down[] => {
    const text = (out.read() as Buffer | null)?.toString() ?? ''
    return text
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as Down)
  }
  return { store, time, out, seen, stream, lines }
}

/** Promises that are due, among them the stream's reading of the store. */
const settled = () => new Promise(resolve => setImmediate(resolve))

t.test('the first line says hello and whether grains are wanted; a line comes at least every heartbeat', async t => {
  const { stream, time, lines } = setUp()
  t.match(lines(), [{ type: 'hello', heartbeat_seconds: 30, grains: true }])
  time.ms = 29_000
  stream.tick()
  t.same(lines(), [])
  time.ms = 30_000
  stream.tick()
  t.same(lines(), [{ type: 'ping' }])
})

t.test('a job that is not acknowledged is sent again after a while, as long as the store has it', async t => {
  const { stream, store, time, lines } = setUp()
  await settled()
  store.set('1', delivery('1'))
  store.set('2', delivery('2'))
  for (const job of store.values()) stream.send(job)
  t.equal(lines().length, 3)
  store.delete('2')
  stream.heard()
  time.ms = 30_000
  stream.tick()
  await settled()
  t.match(
    lines().filter(line => line.type === 'job'),
    [{ job: { jid: '1' } }]
  )
  store.clear()
  stream.acknowledged(['1'])
  time.ms = 60_000
  stream.tick()
  await settled()
  t.same(
    lines().filter(line => line.type === 'job'),
    []
  )
})

t.test('a minion that says nothing for four heartbeats is gone; one that does is not', async t => {
  const { stream, time, lines, out } = setUp()
  time.ms = 119_000
  stream.heard()
  time.ms = 239_000
  stream.tick()
  t.notMatch(lines().at(-1), { type: 'bye' })
  time.ms = 239_001
  stream.tick()
  t.same(lines().at(-1), { type: 'bye', reason: 'silent' })
  t.ok(out.writableEnded)
})

t.test('jobs stay in the store while a minion does not read, and a minion that goes on not reading is cut', async t => {
  const { stream, store, time, out, lines } = setUp({ highWaterMark: 1024 })
  await settled()
  const big = 'x'.repeat(1024 * 1024)
  for (let i = 0; i < 20; i++) {
    store.set(String(i), delivery(String(i), [big]))
    stream.send(store.get(String(i))!)
  }
  t.ok(out.writableLength < 6 * 1024 * 1024, 'bounded')
  time.ms = 50_000
  stream.heard()
  stream.tick()
  t.notOk(out.writableEnded)
  time.ms = 61_000
  stream.tick()
  t.ok(out.writableEnded)
  t.type(lines, 'function')
})

t.test('a minion that reads slowly gets everything', async t => {
  const { stream, store, out } = setUp({ highWaterMark: 1024 })
  await settled()
  const big = 'x'.repeat(1024 * 1024)
  for (let i = 0; i < 20; i++) {
    store.set(String(i), delivery(String(i), [big]))
    stream.send(store.get(String(i))!)
  }
  const got = new Set<string>()
  let rest = ''
  for await (const chunk of out) {
    const parts = (rest + String(chunk)).split('\n')
    rest = parts.pop()!
    for (const part of parts) {
      const line = JSON.parse(part) as Down
      if (line.type === 'job') got.add(line.job.jid)
    }
    if (got.size === 20) break
  }
  t.equal(got.size, 20)
})

t.test('a store that fails is asked again', async t => {
  const { stream, store, seen, lines } = setUp()
  await settled()
  seen.fail = true
  store.set('1', delivery('1'))
  stream.acknowledged([])
  // What did not fit makes it look: 100 unacknowledged jobs fill the window.
  for (let i = 100; i < 201; i++) stream.send(delivery(String(i)))
  stream.acknowledged(Array.from({ length: 100 }, (_, i) => String(i + 100)))
  await settled()
  t.equal(seen.errors, 1)
  seen.fail = false
  stream.tick()
  await settled()
  t.match(lines().at(-1), { type: 'job', job: { jid: '1' } })
})

t.test('after bye nothing more is written, and closing is told once', async t => {
  const { stream, out, seen, lines } = setUp()
  stream.bye('deleted')
  stream.bye('again')
  stream.send(delivery('1'))
  t.same(
    lines().map(line => line.type),
    ['hello', 'bye']
  )
  out.destroy()
  await settled()
  t.equal(seen.closed, 1)
})
