import t, { type Test } from 'tap'
import { Retention, type RetentionSettings } from '../../src/events/retention.js'
import type { Store } from '../../src/store/store.js'
import { newEvent, TestClock, tempStore } from '../helpers/store.js'

const quiet = { info() {}, warn() {} }

const SETTINGS: RetentionSettings = {
  event_retention_seconds: 100,
  event_retention_count: 0,
  keep_jobs_seconds: 50,
  idempotency_keep_seconds: 200
}

async function tempRetention(t: Test, settings: Partial<RetentionSettings> = {}) {
  const clock = new TestClock()
  const store = await tempStore(t, { clock })
  const retention = new Retention({ store, clock, settings: { ...SETTINGS, ...settings }, log: quiet })
  t.teardown(() => retention.stop())
  return { clock, store, retention }
}

const append = (store: Store, clock: TestClock, count: number) =>
  store.events.append(Array.from({ length: count }, () => newEvent('x', {}, { stampUs: clock.nowUs() })))

t.test('events go when they are older than the setting, in several steps if they are many', async t => {
  const { clock, store, retention } = await tempRetention(t)
  await append(store, clock, 1_200)
  clock.pass(60)
  await append(store, clock, 10)
  clock.pass(60)
  await retention.round()
  t.equal(await store.events.oldest(), 1_201)
  t.equal(await store.events.count(), 10)
})

t.test('events go when there are more than the setting', async t => {
  const { clock, store, retention } = await tempRetention(t, { event_retention_count: 30 })
  await append(store, clock, 100)
  await retention.round()
  t.equal(await store.events.oldest(), 71)
})

t.test('with 0 for age and number every event stays', async t => {
  const { clock, store, retention } = await tempRetention(t, { event_retention_seconds: 0 })
  await append(store, clock, 100)
  clock.pass(1e6)
  await retention.round()
  t.equal(await store.events.count(), 100)
})

t.test('with keep_jobs_seconds 0, as with keep_jobs 0 in Salt, jobs stay for ever', async t => {
  const { clock, store, retention } = await tempRetention(t, { keep_jobs_seconds: 0 })
  const now = clock.nowUs()
  const job = { jid: '1', fun: 'f', arg: [], tgt: '*', tgtType: 'glob', user: 'u', minions: ['a'], missing: [], cause: null }
  await store.jobs.publish({ ...job, deadlineUs: now, publishedUs: now }, [])
  clock.pass(1e6)
  await retention.round()
  t.equal((await store.jobs.list({ limit: 9 })).length, 1)
})

t.test('jobs, reactions, tokens and idempotency keys go when their time is over, and not before', async t => {
  const { clock, store, retention } = await tempRetention(t, { event_retention_seconds: 0 })
  const now = clock.nowUs()
  const job = {
    jid: '1',
    fun: 'f',
    arg: [],
    tgt: '*',
    tgtType: 'glob',
    user: 'u',
    minions: ['a'],
    missing: [],
    deadlineUs: now,
    cause: null
  }
  await store.jobs.publish({ ...job, publishedUs: now }, [])
  await store.reactions.plan([{ event: 1, rule: 'r', version: 1, sls: 's', position: 0 }], 1)
  await store.reactions.rendered((await store.reactions.openPlans(now, 1))[0]!.id, [], now)
  await store.tokens.put({ jti: 'j', user: 'u', eauth: 'e', label: 'l', issuedUs: now, expiresUs: now + 60e6 })
  await store.events.append([newEvent('x')], { idempotencyKey: 'k' })
  const left = async () => ({
    jobs: (await store.jobs.list({ limit: 9 })).length,
    plans: (await store.reactions.plansOf(1)).length,
    tokens: (await store.tokens.live(0)).length,
    known: (await store.events.append([newEvent('x')], { idempotencyKey: 'k' })).status
  })

  clock.pass(40)
  await retention.round()
  t.strictSame(await left(), { jobs: 1, plans: 1, tokens: 1, known: 'duplicate' })
  clock.pass(15)
  await retention.round()
  t.strictSame(await left(), { jobs: 0, plans: 0, tokens: 1, known: 'duplicate' })
  clock.pass(10)
  await retention.round()
  t.strictSame(await left(), { jobs: 0, plans: 0, tokens: 0, known: 'duplicate' })
  clock.pass(150)
  await retention.round()
  t.equal((await left()).known, 'appended')
})

t.test('starting drops at once what is due; starting and stopping twice is doing it once', async t => {
  const { clock, store, retention } = await tempRetention(t)
  await append(store, clock, 5)
  clock.pass(200)
  retention.start()
  retention.start()
  await retention.round()
  t.equal(await store.events.count(), 0)
  await retention.stop()
  await retention.stop()
})

t.test('stopping ends a long round after the step in progress', async t => {
  const { clock, store, retention } = await tempRetention(t)
  await append(store, clock, 3_000)
  clock.pass(200)
  retention.start()
  await retention.stop()
  t.ok((await store.events.count()) >= 2_000)
})

t.test('a store that cannot be written does not end the rounds', async t => {
  const { clock, store, retention } = await tempRetention(t)
  await append(store, clock, 10)
  clock.pass(200)
  await store.close()
  await retention.round()
  await retention.round()
  t.equal(store.stats().waiting, 0)
})
