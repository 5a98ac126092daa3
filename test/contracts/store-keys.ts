import type { Test } from 'tap'
import type { KeyState, NewJob } from '../../src/store/store.js'
import { newEvent } from '../helpers/store.js'
import type { OpenStore } from './store.js'

const key = (id: string, state: KeyState, pub = `PEM of ${id}`) => ({ id, state, pub, changedUs: 1_800_000_000_000_000 })

const jobFor = (jid: string, minions: string[]): NewJob => ({
  jid,
  fun: 'test.ping',
  arg: [],
  tgt: '*',
  tgtType: 'glob',
  user: 'ada',
  minions,
  missing: [],
  deadlineUs: 1_000,
  publishedUs: 1,
  cause: null
})

export function keyContract(t: Test, open: OpenStore): void {
  t.test('an id has one key in use and one denied beside it at most', async t => {
    const { store, reopen } = await open(t)
    await store.keys.put(key('web1', 'pending'), [newEvent('salt/auth')])
    await store.keys.put(key('web1', 'accepted'), [newEvent('salt/key')])
    await store.keys.put(key('web1', 'denied', 'another'), [])
    await store.keys.put(key('web1', 'denied', 'yet another'), [])
    await store.keys.put(key('db1', 'rejected'), [])
    const { keys, events } = await reopen()
    t.strictSame(await keys.all(), [key('db1', 'rejected'), key('web1', 'accepted'), key('web1', 'denied', 'yet another')])
    t.equal(await events.head(), 2)
  })

  t.test('facts are those put last', async t => {
    const { store, reopen } = await open(t)
    await store.keys.putFacts({ id: 'web1', grains: { os: 'Debian' }, seenUs: 1 }, [])
    await store.keys.putFacts({ id: 'web1', grains: { os: 'Debian', cpus: [1, 2], 'ü "': null }, seenUs: 2 }, [newEvent('x')])
    t.strictSame(await (await reopen()).keys.facts(), [{ id: 'web1', grains: { os: 'Debian', cpus: [1, 2], 'ü "': null }, seenUs: 2 }])
  })

  t.test('removing keys touches the named states alone', async t => {
    const { keys, events } = (await open(t)).store
    await keys.put(key('web1', 'accepted'), [])
    await keys.put(key('web1', 'denied', 'another'), [])
    await keys.remove('web1', ['pending', 'denied'], [newEvent('salt/key')])
    t.strictSame(await keys.all(), [key('web1', 'accepted')])
    t.equal(await events.head(), 1)
  })

  t.test('with the last key of an id its facts and deliveries go, and those of others stay', async t => {
    const { keys, jobs } = (await open(t)).store
    for (const id of ['web1', 'web2']) {
      await keys.put(key(id, 'accepted'), [])
      await keys.putFacts({ id, grains: {}, seenUs: 1 }, [])
    }
    await keys.put(key('web1', 'denied', 'another'), [])
    await jobs.publish(jobFor('20270115080000000001', ['web1', 'web2']), [])
    await keys.remove('web1', ['accepted'], [])
    t.equal((await keys.facts()).length, 2)
    t.equal((await jobs.pending('web1', 10, 10)).length, 1)
    await keys.remove('web1', ['denied'], [])
    t.strictSame(
      (await keys.facts()).map(({ id }) => id),
      ['web2']
    )
    t.equal((await jobs.pending('web1', 10, 10)).length, 0)
    t.equal((await jobs.pending('web2', 10, 10)).length, 1)
  })
}

const enrolment = (hash: string, more: object = {}) => ({
  ...{ hash, tgt: 'web*', label: 'rack 4', createdBy: 'ada', createdUs: 100, expiresUs: 1_000, usedUs: null, usedBy: null },
  ...more
})

export function enrolmentContract(t: Test, open: OpenStore): void {
  t.test('an enrolment is used up together with the key that it lets in, once, and before it expires', async t => {
    const { store, reopen } = await open(t)
    for (const hash of ['a', 'b']) t.equal(await store.keys.addEnrolment(enrolment(hash), 10), 'stored')
    t.equal(await store.keys.admit(key('web1', 'accepted'), 'a', 500, [newEvent('salt/auth')]), 'stored')
    t.equal(await store.keys.admit(key('web2', 'accepted'), 'a', 500, [newEvent('salt/auth')]), 'spent')
    t.equal(await store.keys.admit(key('web2', 'accepted'), 'b', 1_000, [newEvent('salt/auth')]), 'spent', 'expired')
    t.equal(await store.keys.admit(key('web2', 'accepted'), 'c', 500, [newEvent('salt/auth')]), 'spent', 'unknown')
    const { keys, events } = await reopen()
    t.strictSame(await keys.all(), [key('web1', 'accepted')])
    t.strictSame(await keys.enrolment('a'), enrolment('a', { usedUs: 500, usedBy: 'web1' }))
    t.equal(await events.head(), 1)
  })

  t.test('open enrolments are bounded; used and expired ones do not count, and expired ones go', async t => {
    const { keys } = (await open(t)).store
    await keys.addEnrolment(enrolment('a', { expiresUs: 200 }), 2)
    await keys.addEnrolment(enrolment('b'), 2)
    t.equal(await keys.addEnrolment(enrolment('c'), 2), 'full')
    t.equal(await keys.addEnrolment(enrolment('c', { createdUs: 200 }), 2), 'stored')
    t.equal(await keys.enrolment('a'), null)
    await keys.admit(key('web1', 'accepted'), 'b', 500, [])
    t.equal(await keys.addEnrolment(enrolment('d', { createdUs: 300 }), 2), 'stored')
    t.strictSame(
      (await keys.enrolments(999)).map(({ hash }) => hash),
      ['d', 'c', 'b']
    )
    t.same(await keys.enrolments(1_000), [])
    t.ok(await keys.removeEnrolment('c'))
    t.notOk(await keys.removeEnrolment('c'))
  })
}
