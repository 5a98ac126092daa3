import { generateKeyPairSync } from 'node:crypto'
import t, { type Test } from 'tap'
import type { KeyState } from '../../src/store/store.js'
import { type Bench, bench, callerNamed } from '../helpers/commands.js'

const admin = callerNamed('admin')
const PEM = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' }).toString().trim()

/** The keys of the recorded fixture: accepted m1 m2, pending p1 p2 p3, rejected r1, denied d1. */
async function fixture(
  t: Test
): Promise<Bench & { call: (fun: string, fields?: object) => Promise<unknown>; keyEvents: () => Promise<unknown[]> }> {
  const made = await bench(t, ['m1', 'm2'])
  const more: [string, KeyState][] = [
    ['p1', 'pending'],
    ['p2', 'pending'],
    ['p3', 'pending'],
    ['r1', 'rejected'],
    ['d1', 'denied']
  ]
  for (const [id, state] of more) await made.store.keys.put({ id, state, pub: PEM, changedUs: 1 }, [])
  await made.keys.start()
  const call = async (fun: string, fields: object = {}) => {
    const { data } = (await made.commands.run({ client: 'wheel', fun, ...fields }, admin)) as { data: { return: unknown } }
    return data.return
  }
  const keyEvents = async () => (await made.log()).filter(event => event.tag === 'salt/key').map(event => event.data)
  return { ...made, call, keyEvents }
}

t.test('keys are listed by state', async t => {
  const { call } = await fixture(t)
  const all = {
    minions: ['m1', 'm2'],
    minions_pre: ['p1', 'p2', 'p3'],
    minions_rejected: ['r1'],
    minions_denied: ['d1'],
    local: ['master.pem', 'master.pub']
  }
  t.strictSame(await call('key.list_all'), all)
  t.strictSame(await call('key.list', { match: 'all' }), all)
  for (const word of ['acc', 'accepted']) t.strictSame(await call('key.list', { match: word }), { minions: ['m1', 'm2'] })
  for (const word of ['pre', 'un', 'unaccepted']) t.strictSame(await call('key.list', { match: word }), { minions_pre: ['p1', 'p2', 'p3'] })
  t.strictSame(await call('key.list', { match: 'rejected' }), { minions_rejected: ['r1'] })
  t.strictSame(await call('key.list', { match: 'denied' }), { minions_denied: ['d1'] })
  for (const word of ['p*', 'constructor']) t.strictSame(await call('key.list', { match: word }), {})
  t.strictSame(await call('key.name_match', { match: '?1' }), {
    minions: ['m1'],
    minions_pre: ['p1'],
    minions_rejected: ['r1'],
    minions_denied: ['d1']
  })
})

t.test('fingerprints and keys are shown by state', async t => {
  const { call } = await fixture(t)
  const sha256 = /^([0-9a-f]{2}:){31}[0-9a-f]{2}$/
  t.match(await call('key.finger', { match: ['p1', 'r1'] }), { minions_pre: { p1: sha256 }, minions_rejected: { r1: sha256 } })
  t.match(await call('key.finger', { match: 'p1', hash_type: 'md5' }), { minions_pre: { p1: /^([0-9a-f]{2}:){15}[0-9a-f]{2}$/ } })
  t.strictSame(await call('key.finger', { match: 'ghost' }), {})
  t.strictSame(await call('key.print', { match: 'p1' }), { minions_pre: { p1: `${PEM}\n` } })
})

t.test('accept and reject answer with the matching keys by their new state, and tell only of those that moved', async t => {
  const { call, keyEvents } = await fixture(t)
  t.strictSame(await call('key.accept', { match: 'p1' }), { minions: ['p1'] })
  t.strictSame(await call('key.accept', { match: 'p1' }), { minions: ['p1'] }, 'is accepted already')
  t.strictSame(await call('key.accept', { match: 'ghost' }), {})
  t.strictSame(await call('key.accept', { match: 'r1' }), { minions_rejected: ['r1'] }, 'rejected keys only when asked for')
  t.strictSame(await call('key.reject', { match: 'p2,p3' }), { minions_rejected: ['p2', 'p3'] })
  t.strictSame(await call('key.reject', { match: 'p1' }), { minions: ['p1'] }, 'accepted keys only when asked for')
  t.strictSame(await keyEvents(), [
    { result: true, act: 'accept', id: 'p1' },
    { result: true, act: 'reject', id: 'p2' },
    { result: true, act: 'reject', id: 'p3' }
  ])
  t.strictSame(await call('key.reject', { match: 'p1', include_accepted: true }), { minions_rejected: ['p1'] })
  t.strictSame(await call('key.accept', { match: 'p2', include_rejected: true }), { minions: ['p2'] })
  t.strictSame(await call('key.accept', { match: 'd1', include_denied: true }), { minions: ['d1'] })
})

t.test('the forms with a mapping take ids, not globs, and only from the state that they name', async t => {
  const { call, keyEvents } = await fixture(t)
  t.strictSame(await call('key.accept_dict', { match: { minions_pre: ['*'] } }), {})
  t.strictSame(await call('key.accept_dict', { match: { minions_pre: ['r1'] } }), { minions_rejected: ['r1'] })
  t.strictSame(await keyEvents(), [])
  t.strictSame(await call('key.accept_dict', { match: { minions_pre: ['p3'] } }), { minions: ['p3'] })
  t.strictSame(await call('key.reject_dict', { match: { minions: ['p3'] } }), { minions: ['p3'] })
  t.strictSame(await call('key.reject_dict', { match: { minions: ['p3'] }, include_accepted: true }), { minions_rejected: ['p3'] })
  t.strictSame(await call('key.delete_dict', { match: { minions_rejected: ['r1'] } }), {})
  t.match(await call('key.accept_dict', { match: 'p1' }), /^Exception occurred in wheel key.accept_dict: expected a mapping/)
  t.match(await call('key.accept_dict', { match: { minions_pre: 'p1' } }), /'minions_pre': expected a list/)
})

t.test('deleted keys are gone, whatever their state', async t => {
  const { call, keyEvents } = await fixture(t)
  t.strictSame(await call('key.delete', { match: '[pd][0-9]' }), {})
  t.strictSame(await call('key.delete', { match: 'ghost' }), {})
  t.strictSame(await call('key.list_all'), {
    minions: ['m1', 'm2'],
    minions_pre: [],
    minions_rejected: ['r1'],
    minions_denied: [],
    local: ['master.pem', 'master.pub']
  })
  t.strictSame(
    (await keyEvents()).map(data => (data as { id: string }).id),
    ['d1', 'p1', 'p2', 'p3']
  )
})

t.test('gen_accept makes a key and accepts it, and replaces an accepted one only by force', async t => {
  const { call, keys } = await fixture(t)
  const pair = (await call('key.gen_accept', { id_: 'gen1' })) as { pub: string }
  t.equal(keys.get('gen1')?.pub, pair.pub.trim())
  t.ok(keys.isAccepted('gen1'))
  t.strictSame(await call('key.gen_accept', { id_: 'gen1' }), {})
  const other = (await call('key.gen_accept', { id_: 'gen1', force: true })) as { pub: string }
  t.equal(keys.get('gen1')?.pub, other.pub.trim())
  t.match(await call('key.gen_accept', { id_: '../evil' }), /^Exception occurred in wheel key.gen_accept: minion id/)
  t.match(await call('key.gen', { keysize: 512 }), /keysize/)
})

t.test('a wheel function takes arg and kwarg too', async t => {
  const { call } = await fixture(t)
  t.strictSame(await call('key.list', { arg: ['rejected'] }), { minions_rejected: ['r1'] })
  t.strictSame(await call('key.list', { kwarg: { match: 'rejected' } }), { minions_rejected: ['r1'] })
  t.match(await call('key.list'), /^Exception occurred in wheel key.list: list\(\) missing 1 required positional argument: 'match'$/)
})

t.test('minions.connected lists who is connected', async t => {
  const { call, minions } = await fixture(t)
  minions.connect('m2', () => null)
  t.strictSame(await call('minions.connected'), ['m2'])
})

t.test('enrolment tokens are made, listed without themselves, and revoked; the log of the call does not have them', async t => {
  const { call, log } = await fixture(t)
  const made = (await call('key.token_create', { tgt: 'web*', ttl: 600, label: 'rack 4' })) as { id: string; token: string }
  t.match(made, { id: /^[0-9a-f]{12}$/, token: /^brine-enrol-[\w-]{43}$/, tgt: 'web*', expires: /^\d{4}-.*Z$/ })
  t.match(await call('key.token_list'), [{ id: made.id, tgt: 'web*', label: 'rack 4', created_by: 'admin', used_by: null }])
  t.notOk(JSON.stringify(await log()).includes(made.token))
  t.equal(await call('key.token_revoke', { id_: made.id }), true)
  t.equal(await call('key.token_revoke', { id_: made.id }), false)
  t.strictSame(await call('key.token_list'), [])
  t.match(await call('key.token_create', { tgt: 'web*', ttl: 0 }), /ttl.*must be 1 to/)
})
