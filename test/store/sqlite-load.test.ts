import { Worker } from 'node:worker_threads'
import t from 'tap'
import type { NewEvent } from '../../src/events/event.js'
import { newEvent, tempStore } from '../helpers/store.js'

const upwards = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

t.test('many writers share few commits, and each still gets its own position', async t => {
  const { events, stats } = bound(await tempStore(t))
  const appended = await Promise.all(upwards(5_000).map(n => events.append([newEvent('x', { n })])))
  t.strictSame(
    appended.map(({ seqs }) => seqs[0]),
    upwards(5_000)
  )
  t.ok(stats().commits <= 50, `${stats().commits} commits`)
})

t.test('an operation that fails by itself takes nobody else with it', async t => {
  const { events, stats } = bound(await tempStore(t))
  const before = events.append([newEvent('before')])
  // A stamp that is no number is a mistake of the program: the table refuses it.
  const broken = events.append([newEvent('fine'), { ...newEvent('broken'), stampUs: 'soon' } as unknown as NewEvent])
  const after = events.append([newEvent('after')], { idempotencyKey: 'k' })
  await t.rejects(broken, { code: 'STORE_FAILED' })
  t.strictSame((await before).seqs, [1])
  t.strictSame((await after).seqs, [2])
  t.equal((await events.get(2))?.tag, 'after')
  t.equal(stats().failing, null)
})

t.test('more operations than may wait are refused at once, with the time to come again', async t => {
  const { events, stats } = bound(await tempStore(t, { maxWaiting: 10 }))
  const accepted = Promise.all(upwards(10).map(() => events.append([newEvent('x')])))
  await t.rejects(events.append([newEvent('x')]), { code: 'STORE_BUSY', status: 503, retryAfter: 1 })
  t.equal(stats().waiting, 10)
  await accepted
  t.strictSame((await events.append([newEvent('x')])).seqs, [11])
})

t.test('more bytes than may wait are refused, but a single large operation is taken when nothing waits', async t => {
  const { events } = bound(await tempStore(t, { maxWaitingBytes: 50_000 }))
  const large = newEvent('x', { text: 'y'.repeat(100_000) })
  const first = events.append([large])
  await t.rejects(events.append([newEvent('x')]), { code: 'STORE_BUSY' })
  t.strictSame((await first).seqs, [1])
  t.strictSame((await events.append([large])).seqs, [2])
})

t.test('when the writer is gone callers are told, reading goes on, and closing still works', async t => {
  const posted = new Set<Worker>()
  const { postMessage } = Worker.prototype
  Worker.prototype.postMessage = function (...args: Parameters<Worker['postMessage']>) {
    posted.add(this)
    return postMessage.apply(this, args)
  }
  t.teardown(() => {
    Worker.prototype.postMessage = postMessage
  })
  const store = await tempStore(t)
  await store.events.append([newEvent('x')])
  const [writer] = posted
  const waiting = store.events.append([newEvent('y')])
  await Promise.all([t.rejects(waiting, { code: 'STORE_FAILED' }), writer!.terminate()])
  await t.rejects(store.events.append([newEvent('z')]), { code: 'STORE_FAILED', status: 503 })
  t.equal(store.stats().failing, 'the writer ended')
  t.equal((await store.events.get(1))?.tag, 'x')
  await store.close()
})

function bound(store: Awaited<ReturnType<typeof tempStore>>) {
  return { events: store.events, stats: () => store.stats() }
}
