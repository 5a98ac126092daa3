import t, { type Test } from 'tap'
import type { EventData } from '../../src/events/event.js'
import { EventLog } from '../../src/events/log.js'
import { TestClock, tempStore } from '../helpers/store.js'

const from = { source: 'user:ada' } as const

async function tempLog(t: Test, maxEventSize = 1_000) {
  const clock = new TestClock()
  const store = await tempStore(t, { clock })
  return { store, clock, log: new EventLog({ store, clock, maxEventSize }) }
}

t.test('an event is stamped with the time at which it was prepared, in its data and beside it', async t => {
  const { log, clock } = await tempLog(t)
  clock.us = 1_795_379_878_556_949
  const event = log.prepare('deploy/web', { status: 'ok' }, from)
  t.strictSame(event, {
    tag: 'deploy/web',
    json: '{"status": "ok", "_stamp": "2026-11-22T20:37:58.556949"}',
    stampUs: 1_795_379_878_556_949,
    source: 'user:ada',
    cause: null
  })
})

t.test('nobody sets the time of an event: a stamp in the data is overwritten', async t => {
  const { log, clock } = await tempLog(t)
  clock.us = 1_795_379_878_556_949
  t.equal(log.prepare('x', { _stamp: 'yesterday', a: 1 }, from).json, '{"_stamp": "2026-11-22T20:37:58.556949", "a": 1}')
})

t.test('what led to an event is kept with it', async t => {
  const { log, store } = await tempLog(t)
  await log.fire('x', {}, { source: 'reactor', cause: { seq: 7, depth: 2 } })
  t.match(await store.events.get(1), { source: 'reactor', cause: { seq: 7, depth: 2 } })
})

t.test('a tag outside the grammar is refused, and shown short', async t => {
  const { log } = await tempLog(t)
  for (const tag of ['', 'a\nb', 'a\u0000', 'a\u007f', '\ud800', 'é'.repeat(513)]) {
    t.throws(() => log.prepare(tag, {}, from), { code: 'TAG_INVALID' }, JSON.stringify(tag).slice(0, 20))
  }
  t.equal(log.prepare('é'.repeat(512), {}, from).tag.length, 512)
  try {
    log.prepare('x'.repeat(50_000), {}, from)
    t.fail('was accepted')
  } catch (error) {
    t.ok((error as Error).message.length < 250)
  }
})

t.test('the size limit counts bytes of the data as it is written', async t => {
  const { log } = await tempLog(t, 100)
  const frame = Buffer.byteLength(log.prepare('x', { a: '' }, from).json)
  const data = (text: string): EventData => ({ a: text })
  t.equal(Buffer.byteLength(log.prepare('x', data('y'.repeat(100 - frame)), from).json), 100)
  t.throws(() => log.prepare('x', data('y'.repeat(101 - frame)), from), { code: 'EVENT_TOO_LARGE', status: 413, values: ['101', '100'] })
  t.throws(() => log.prepare('x', data('é'.repeat(Math.ceil((101 - frame) / 2))), from), { code: 'EVENT_TOO_LARGE' })
})

t.test('firing answers with the id that clients see, and a repeated key with that of the first time', async t => {
  const { log, store } = await tempLog(t)
  const { epoch } = store.events
  t.strictSame(await log.fire('x', { n: 1 }, from, { idempotencyKey: 'k' }), { id: `${epoch}-1`, seq: 1, duplicate: false })
  t.strictSame(await log.fire('y', { n: 2 }, from), { id: `${epoch}-2`, seq: 2, duplicate: false })
  t.strictSame(await log.fire('x', { n: 3 }, from, { idempotencyKey: 'k' }), { id: `${epoch}-1`, seq: 1, duplicate: true })
  t.equal(await store.events.head(), 2)
})

t.test('of many events all are written or, when one is refused, none', async t => {
  const { log, store } = await tempLog(t)
  const fine = { tag: 'x', data: {} }
  t.strictSame(await log.fireMany([fine, fine, fine], from), { status: 'appended', seqs: [1, 2, 3] })
  await t.rejects(log.fireMany([fine, { tag: 'bad\n', data: {} }], from), { code: 'TAG_INVALID' })
  t.equal(await store.events.head(), 3)
})

t.test('an event is the same from the log as it was prepared, whatever its data', async t => {
  const { log, store } = await tempLog(t, 100_000)
  const data = {
    quote: '"',
    line: 'a\nb\r',
    braces: '{{ x }} {% y %}',
    star: '*',
    nul: '\u0000',
    wide: '𝄞é',
    list: [[], {}, null, 1.5, true]
  }
  const event = log.prepare('salt/netapi/hook/"quotes" {{ x }} * é', data, from)
  await store.events.append([event])
  t.strictSame(await store.events.get(1), { seq: 1, ...event })
  t.match(JSON.parse(event.json), data)
})
