import type { Test } from 'tap'
import type { Seq, StoredEvent } from '../../src/events/event.js'
import { encodeEvent } from '../../src/events/wire.js'
import type { EventQuery, EventStore, Store } from '../../src/store/store.js'
import { newEvent } from '../helpers/store.js'
import type { OpenStore } from './store.js'

/** Appends one event per tag, each in an append of its own but all at once. */
function appendAll(store: Store, tags: readonly string[]) {
  return Promise.all(tags.map((tag, i) => store.events.append([newEvent(tag, { i })])))
}

async function seqsOf(events: EventStore, query: EventQuery): Promise<Seq[]> {
  return (await readAll(events, query)).map(event => event.seq)
}

async function readAll(events: EventStore, query: EventQuery): Promise<StoredEvent[]> {
  const all: StoredEvent[] = []
  for await (const page of events.read(query)) all.push(...page)
  return all
}

const upwards = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const EVERYTHING = { after: 0, upTo: Number.MAX_SAFE_INTEGER }

export function eventContract(t: Test, open: OpenStore): void {
  appending(t, open)
  idempotency(t, open)
  reading(t, open)
  times(t, open)
  encoding(t, open)
  watching(t, open)
  trimming(t, open)
  closing(t, open)
}

function appending(t: Test, open: OpenStore): void {
  t.test('an empty log has head 0, oldest 1 and no event', async t => {
    const { events } = (await open(t)).store
    t.equal(await events.head(), 0)
    t.equal(await events.oldest(), 1)
    t.equal(await events.count(), 0)
    t.equal(await events.get(1), null)
    t.equal(await events.seqBefore(Number.MAX_SAFE_INTEGER), 0)
    t.strictSame(await seqsOf(events, EVERYTHING), [])
  })

  t.test('positions ascend in the order of the appends, from 1 and without holes', async t => {
    const { store } = await open(t)
    const appended = await appendAll(store, upwards(1, 200).map(String))
    t.strictSame(
      appended.map(({ seqs }) => seqs),
      upwards(1, 200).map(seq => [seq])
    )
    t.equal(await store.events.head(), 200)
    t.equal(await store.events.count(), 200)
  })

  t.test('events of one append stand together, whoever appends meanwhile', async t => {
    const { store } = await open(t)
    const appends = upwards(1, 30).map(writer => store.events.append(upwards(1, 7).map(i => newEvent(`w/${writer}`, { i }))))
    await Promise.all(appends)
    const tags = (await readAll(store.events, EVERYTHING)).map(event => event.tag)
    t.equal(tags.length, 210)
    for (let i = 0; i < tags.length; i += 7) t.equal(new Set(tags.slice(i, i + 7)).size, 1)
  })

  t.test('an event comes back as it was written: text, stamp, source, cause', async t => {
    const { store, reopen } = await open(t)
    const awkward = { 'ключ "q"': 'a\nb\t\u0000 {{ x }} * 𝄞 é', nested: [1, 2.5, null, { deep: true }] }
    const event = newEvent('salt/événement/𝄞', awkward, {
      source: 'user:jürgen',
      cause: { seq: 7, depth: 3 },
      stampUs: 1_812_345_678_901_234
    })
    await store.events.append([event])
    t.strictSame(await store.events.get(1), { seq: 1, ...event })
    t.strictSame(await (await reopen()).events.get(1), { seq: 1, ...event })
  })

  t.test('an event of a megabyte comes back whole', async t => {
    const { events } = (await open(t)).store
    const event = newEvent('large', { text: 'é'.repeat(512 * 1024) })
    await events.append([event])
    t.equal((await events.get(1))?.json, event.json)
  })

  t.test('appending no event writes nothing', async t => {
    const { events } = (await open(t)).store
    t.strictSame(await events.append([]), { status: 'appended', seqs: [] })
    t.equal(await events.head(), 0)
  })

  t.test('head, epoch and events outlive the process; another log has another epoch', async t => {
    const { store, reopen } = await open(t)
    await appendAll(store, ['a', 'b'])
    const { epoch } = store.events
    t.match(epoch, /^[0-9a-f]{8}$/)
    const again = await reopen()
    t.equal(again.events.epoch, epoch)
    t.equal(await again.events.head(), 2)
    t.strictSame((await again.events.append([newEvent('c')])).seqs, [3])
    const other = await open(t)
    t.not(other.store.events.epoch, epoch)
  })
}

function idempotency(t: Test, open: OpenStore): void {
  t.test('a repeated idempotency key answers with the first positions and writes nothing', async t => {
    const { store, reopen } = await open(t)
    await store.events.append([newEvent('before')])
    const pair = [newEvent('x'), newEvent('y')]
    const first = await store.events.append(pair, { idempotencyKey: 'k' })
    t.strictSame(first, { status: 'appended', seqs: [2, 3] })
    t.strictSame(await store.events.append([newEvent('other')], { idempotencyKey: 'k' }), { status: 'duplicate', seqs: [2, 3] })
    const again = await reopen()
    t.strictSame(await again.events.append(pair, { idempotencyKey: 'k' }), { status: 'duplicate', seqs: [2, 3] })
    t.equal(await again.events.head(), 3)
  })

  t.test('of many appends with one key at the same time exactly one writes', async t => {
    const { events } = (await open(t)).store
    const all = await Promise.all(upwards(1, 20).map(() => events.append([newEvent('x')], { idempotencyKey: 'same' })))
    t.strictSame(all.map(({ status }) => status).sort(), ['appended', ...Array(19).fill('duplicate')])
    t.ok(all.every(({ seqs }) => seqs[0] === 1))
    t.equal(await events.head(), 1)
  })

  t.test('a forgotten idempotency key may be used again; a younger one is not forgotten', async t => {
    const { events } = (await open(t)).store
    await events.append([newEvent('x')], { idempotencyKey: 'k' })
    t.equal(await events.trimIdempotencyKeys(0, 10), 0)
    t.equal((await events.append([newEvent('x')], { idempotencyKey: 'k' })).status, 'duplicate')
    t.equal(await events.trimIdempotencyKeys(Number.MAX_SAFE_INTEGER, 10), 1)
    t.strictSame(await events.append([newEvent('x')], { idempotencyKey: 'k' }), { status: 'appended', seqs: [2] })
  })
}

function reading(t: Test, open: OpenStore): void {
  t.test('`after` is excluded and `upTo` included, forward and backward', async t => {
    const { store } = await open(t)
    await appendAll(store, upwards(1, 10).map(String))
    t.strictSame(await seqsOf(store.events, { after: 3, upTo: 6 }), [4, 5, 6])
    t.strictSame(await seqsOf(store.events, { after: 3, upTo: 6, direction: 'backward' }), [6, 5, 4])
    t.strictSame(await seqsOf(store.events, { after: 6, upTo: 6 }), [])
    t.strictSame(await seqsOf(store.events, { after: 9, upTo: 99 }), [10])
    t.strictSame(await seqsOf(store.events, { after: 99, upTo: 999 }), [])
  })

  t.test('`limit` counts matching events, from the end at which reading begins', async t => {
    const { store } = await open(t)
    await appendAll(
      store,
      upwards(1, 30).map(i => (i % 3 === 0 ? 'three' : 'other'))
    )
    const filter = { include: ['three'] }
    t.strictSame(await seqsOf(store.events, { ...EVERYTHING, filter, limit: 2 }), [3, 6])
    t.strictSame(await seqsOf(store.events, { ...EVERYTHING, filter, limit: 2, direction: 'backward' }), [30, 27])
    t.strictSame(await seqsOf(store.events, { ...EVERYTHING, limit: 0 }), [])
  })

  t.test('a filter shows what is included and allowed and not excluded', async t => {
    const { store } = await open(t)
    await appendAll(store, ['salt/job/1/new', 'salt/job/1/ret/a', 'deploy/web', 'deploy/db', 'secret'])
    const see = (filter: EventQuery['filter']) => seqsOf(store.events, { ...EVERYTHING, ...(filter && { filter }) })
    t.strictSame(await see(undefined), [1, 2, 3, 4, 5])
    t.strictSame(await see({}), [1, 2, 3, 4, 5])
    t.strictSame(await see({ include: ['salt/job/*'] }), [1, 2])
    t.strictSame(await see({ include: ['salt/job/*', 'deploy/*'], exclude: ['*/ret/*'] }), [1, 3, 4])
    t.strictSame(await see({ allowed: ['deploy/*'] }), [3, 4])
    t.strictSame(await see({ include: ['*/web', 'secret'], allowed: ['deploy/*'] }), [3])
    t.strictSame(await see({ allowed: [] }), [])
    t.strictSame(await see({ include: ['no such tag'] }), [])
  })

  t.test('a long history comes in pages of bounded size, each event once and in order, none of them empty', async t => {
    const { events } = (await open(t)).store
    for (let i = 0; i < 12; i++) await events.append(upwards(1, 500).map(n => newEvent(n % 50 === 0 ? 'rare' : 'common', { n })))
    for (const direction of ['forward', 'backward'] as const) {
      const seqs: Seq[] = []
      let pages = 0
      for await (const page of events.read({ ...EVERYTHING, direction })) {
        t.ok(page.length > 0 && page.length <= 2_000)
        seqs.push(...page.map(event => event.seq))
        pages++
      }
      t.ok(pages >= 3)
      t.strictSame(direction === 'forward' ? seqs : seqs.reverse(), upwards(1, 6_000))
    }
    t.equal((await seqsOf(events, { ...EVERYTHING, filter: { include: ['rare'] } })).length, 120)
  })

  t.test('large events make short pages', async t => {
    const { events } = (await open(t)).store
    const text = 'x'.repeat(300_000)
    await events.append(upwards(1, 20).map(n => newEvent('large', { n, text })))
    for await (const page of events.read(EVERYTHING)) t.ok(page.length <= 4)
  })

  t.test('a reader may stop in the middle, and several may read at once', async t => {
    const { events } = (await open(t)).store
    await events.append(upwards(1, 5_000).map(n => newEvent('x', { n })))
    for await (const page of events.read(EVERYTHING)) if (page.length > 0) break
    const readers = upwards(1, 5).map(() => seqsOf(events, EVERYTHING))
    for (const seqs of await Promise.all(readers)) t.equal(seqs.length, 5_000)
  })

  t.test('what was appended before a reading began is in it', async t => {
    const { events } = (await open(t)).store
    for (let i = 1; i <= 50; i++) {
      await events.append([newEvent('x', { i })])
      t.equal((await readAll(events, { after: i - 1, upTo: i }))[0]?.seq, i)
      t.equal((await events.get(i))?.seq, i)
    }
  })
}

function times(t: Test, open: OpenStore): void {
  const BASE = 1_800_000_000_000_000
  /** Stamps in thousands; slightly out of order, as two requests at once or a clock set back make them. */
  const STAMPS = [10, 30, 20, 40, 60, 50, 70, 35, 80, 90]

  const stamped = async (t: Test) => {
    const { store } = await open(t)
    await store.events.append(STAMPS.map(n => newEvent('x', {}, { stampUs: BASE + n })))
    return store.events
  }

  t.test('time bounds are both included, and hold for each event whatever the order of the stamps', async t => {
    const events = await stamped(t)
    const between = (from: number, until: number) => seqsOf(events, { ...EVERYTHING, fromUs: BASE + from, untilUs: BASE + until })
    t.strictSame(await between(20, 40), [2, 3, 4, 8])
    t.strictSame(await between(50, 60), [5, 6])
    t.strictSame(await between(91, 99), [])
    t.strictSame(await between(0, 9), [])
    t.strictSame(await seqsOf(events, { ...EVERYTHING, fromUs: BASE + 70 }), [7, 9, 10])
    t.strictSame(await seqsOf(events, { ...EVERYTHING, untilUs: BASE + 20, direction: 'backward' }), [3, 1])
  })

  t.test('"before a time" is the newest event with an earlier stamp', async t => {
    const events = await stamped(t)
    t.equal(await events.seqBefore(BASE + 10), 0)
    t.equal(await events.seqBefore(BASE + 11), 1)
    t.equal(await events.seqBefore(BASE + 36), 8)
    t.equal(await events.seqBefore(BASE + 1_000), 10)
  })

  t.test('times are found in a log of thousands of events', async t => {
    const { events } = (await open(t)).store
    for (let at = 0; at < 6_000; at += 1_000) {
      await events.append(upwards(at + 1, at + 1_000).map(n => newEvent('x', {}, { stampUs: BASE + n * 10 })))
    }
    for (const seq of [1, 1_023, 1_024, 1_025, 2_048, 4_500, 6_000]) {
      t.equal(await events.seqBefore(BASE + seq * 10), seq - 1)
      t.strictSame(await seqsOf(events, { ...EVERYTHING, fromUs: BASE + seq * 10, untilUs: BASE + seq * 10 }), [seq])
    }
    t.equal(await events.seqBefore(BASE + 60_001), 6_000)
  })
}

function encoding(t: Test, open: OpenStore): void {
  t.test('encoded history has the same events and the same bytes as the live form', async t => {
    const { events } = (await open(t)).store
    await events.append(upwards(1, 3_000).map(n => newEvent(`tag/${n % 7}/é𝄞`, { n, text: 'ü𝄞'.repeat(n % 40) })))
    for (const format of ['sse', 'ndjson'] as const) {
      for (const direction of ['forward', 'backward'] as const) {
        const query = { after: 5, upTo: 2_995, filter: { include: ['tag/[1-3]/*'] }, direction }
        const expected = await readAll(events, query)
        const chunks: Uint8Array[] = []
        const seqs: Seq[] = []
        for await (const page of events.readEncoded(query, format)) {
          t.equal(page.count, page.seqs.length)
          t.equal(page.ends.at(-1), page.bytes.length)
          page.ends.forEach((end, i) => {
            const event = expected[seqs.length + i]!
            const text = Buffer.from(page.bytes.subarray(i === 0 ? 0 : page.ends[i - 1]!, end)).toString()
            if (text !== encodeEvent(events.epoch, event, format)) t.equal(text, encodeEvent(events.epoch, event, format))
          })
          chunks.push(page.bytes)
          seqs.push(...page.seqs)
          t.ok(direction === 'forward' ? page.scannedTo >= seqs.at(-1)! : page.scannedTo <= seqs.at(-1)!)
        }
        t.strictSame(
          seqs,
          expected.map(event => event.seq)
        )
        t.equal(Buffer.concat(chunks).toString(), expected.map(event => encodeEvent(events.epoch, event, format)).join(''))
      }
    }
  })

  t.test('encoded pages are bounded in bytes, except for a single event that is larger', async t => {
    const { events } = (await open(t)).store
    await events.append(upwards(1, 30).map(n => newEvent('x', { n, text: 'y'.repeat(n === 15 ? 2_000_000 : 60_000) })))
    let count = 0
    for await (const page of events.readEncoded(EVERYTHING, 'ndjson')) {
      t.ok(page.bytes.length < 600_000 || page.seqs.includes(15))
      count += page.count
    }
    t.equal(count, 30)
  })
}

function watching(t: Test, open: OpenStore): void {
  t.test('a watcher gets every event in order, and has it before the writer is answered', async t => {
    const { store } = await open(t)
    const seen: StoredEvent[] = []
    store.events.watch(events => seen.push(...events))
    const appends = upwards(1, 300).map(async i => {
      const { seqs } = await store.events.append([newEvent('x', { i }), newEvent('y', { i })])
      t.ok(seen.length >= seqs[1]!)
    })
    await Promise.all(appends)
    t.strictSame(
      seen.map(event => event.seq),
      upwards(1, 600)
    )
    t.strictSame(seen, await readAll(store.events, EVERYTHING))
  })

  t.test('events that come with a job, a key, a rule or a reaction are watched like any other', async t => {
    const { store } = await open(t)
    const seen: string[] = []
    store.events.watch(events => seen.push(...events.map(event => event.tag)))
    await store.keys.put({ id: 'web1', state: 'pending', pub: 'PEM', changedUs: 1 }, [newEvent('salt/auth')])
    await store.keys.putFacts({ id: 'web1', grains: {}, seenUs: 1 }, [newEvent('facts')])
    t.strictSame(seen, ['salt/auth', 'facts'])
    t.equal(await store.events.head(), 2)
  })

  t.test('an undone watch hears nothing more; the same function may watch twice', async t => {
    const { events } = (await open(t)).store
    let heard = 0
    const listen = (batch: readonly StoredEvent[]) => {
      heard += batch.length
    }
    const undo = events.watch(listen)
    const undoSecond = events.watch(listen)
    await events.append([newEvent('x')])
    t.equal(heard, 2)
    undo()
    undo()
    await events.append([newEvent('x')])
    t.equal(heard, 3)
    undoSecond()
    await events.append([newEvent('x')])
    t.equal(heard, 3)
  })

  t.test('an error of one watcher stops neither the others nor the writers', async t => {
    const { events } = (await open(t)).store
    const seen: Seq[] = []
    events.watch(() => {
      throw new Error('mine')
    })
    events.watch(batch => seen.push(...batch.map(event => event.seq)))
    t.strictSame((await events.append([newEvent('x')])).seqs, [1])
    t.strictSame(seen, [1])
  })

  t.test('a resuming reader sees each later event once, even those appended meanwhile', async t => {
    const { events } = (await open(t)).store
    await events.append(upwards(1, 2_500).map(n => newEvent('old', { n })))
    const writer = (async () => {
      for (let i = 0; i < 40; i++) await events.append(upwards(1, 25).map(n => newEvent('new', { i, n })))
    })()
    const live: Seq[] = []
    const undo = events.watch(batch => live.push(...batch.map(event => event.seq)))
    const head = await events.head()
    const history = await seqsOf(events, { after: 700, upTo: head })
    await writer
    undo()
    t.strictSame([...history, ...live.filter(seq => seq > head)], upwards(701, 3_500))
  })
}

function trimming(t: Test, open: OpenStore): void {
  t.test('trimming drops the oldest events, `limit` at most, by age or by number', async t => {
    const { events } = (await open(t)).store
    await events.append(upwards(1, 100).map(n => newEvent('x', {}, { stampUs: n * 1_000 })))
    t.equal(await events.trim({ beforeUs: 1_000, limit: 50 }), 0)
    t.equal(await events.trim({ beforeUs: 21_000, limit: 15 }), 15)
    t.equal(await events.trim({ beforeUs: 21_000, limit: 15 }), 5)
    t.equal(await events.trim({ beforeUs: 21_000, limit: 15 }), 0)
    t.equal(await events.oldest(), 21)
    t.equal(await events.trim({ keep: 50, limit: 100 }), 30)
    t.equal(await events.trim({ keep: 50, limit: 100 }), 0)
    t.equal(await events.trim({ limit: 100 }), 0)
    t.equal(await events.count(), 50)
    t.strictSame(await seqsOf(events, EVERYTHING), upwards(51, 100))
    t.equal(await events.get(50), null)
  })

  t.test('an event that is not old enough keeps those behind it, so that the log has no hole', async t => {
    const { events } = (await open(t)).store
    await events.append([10, 20, 900, 30].map(stampUs => newEvent('x', {}, { stampUs })))
    t.equal(await events.trim({ beforeUs: 100, limit: 10 }), 2)
    t.strictSame(await seqsOf(events, EVERYTHING), [3, 4])
  })

  t.test('head never goes back, not even when everything was trimmed and the store was opened again', async t => {
    const { store, reopen } = await open(t)
    await store.events.append(upwards(1, 10).map(n => newEvent('x', { n })))
    t.equal(await store.events.trim({ keep: 0, limit: 100 }), 10)
    t.equal(await store.events.head(), 10)
    t.equal(await store.events.oldest(), 11)
    t.equal(await store.events.count(), 0)
    const again = await reopen()
    t.equal(await again.events.head(), 10)
    t.strictSame((await again.events.append([newEvent('x')])).seqs, [11])
    t.equal(await again.events.oldest(), 11)
  })

  t.test('times are found among what is left after trimming', async t => {
    const { events } = (await open(t)).store
    await events.append(upwards(1, 3_000).map(n => newEvent('x', {}, { stampUs: n * 10 })))
    await events.trim({ keep: 500, limit: 3_000 })
    t.equal(await events.seqBefore(25_010), 0)
    t.equal(await events.seqBefore(25_020), 2_501)
    t.strictSame(await seqsOf(events, { ...EVERYTHING, untilUs: 25_020 }), [2_501, 2_502])
  })

  t.test('a reader that is overtaken by trimming is told, and never skips a hole in silence', async t => {
    const { events } = (await open(t)).store
    await events.append(upwards(1, 8_000).map(n => newEvent('x', { n })))
    const seen: Seq[] = []
    const reading = async () => {
      for await (const page of events.read(EVERYTHING)) {
        seen.push(...page.map(event => event.seq))
        while ((await events.trim({ keep: 10, limit: 8_000 })) > 0);
      }
    }
    await t.rejects(reading(), { code: 'EVENTS_GONE' })
    t.strictSame(seen, upwards(1, seen.length))
    t.ok(seen.length < 8_000)
  })
}

function closing(t: Test, open: OpenStore): void {
  t.test('closing waits for what was accepted; afterwards nothing is accepted; closing twice is closing once', async t => {
    const { store, reopen } = await open(t)
    const appended = appendAll(store, upwards(1, 100).map(String))
    const closed = store.close()
    t.equal((await appended).length, 100)
    await closed
    await store.close()
    await t.rejects(store.events.append([newEvent('late')]), { code: 'STORE_FAILED' })
    await t.rejects(store.events.get(1), { code: 'STORE_FAILED' })
    t.equal(await (await reopen()).events.head(), 100)
  })

  t.test('the figures tell what is waiting and what was committed', async t => {
    const { store } = await open(t)
    const appended = appendAll(store, upwards(1, 40).map(String))
    t.equal(store.stats().waiting, 40)
    await appended
    t.match(store.stats(), { waiting: 0, committedEvents: 40, failing: null })
    t.ok(store.stats().commits >= 1)
  })
}
