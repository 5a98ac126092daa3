import t, { type Test } from 'tap'
import { EventLog } from '../../src/events/log.js'
import { checkMinionId } from '../../src/keys/id.js'
import { Keys } from '../../src/keys/keys.js'
import { normalPem } from '../../src/keys/pem.js'
import { fingerprint } from '../../src/shared/fingerprint.js'
import { AUTH, KEY } from '../../src/tags/tags.js'
import { makeKey } from '../helpers/keypairs.js'
import { TestClock, tempStore } from '../helpers/store.js'

const RECORDED = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2Eo9hVM8b4Vkdo6dlSep
EvtpC5EBmCWKVvBlyvxZGW4yQwly49Tf9U6lnVX/rGHLF7rmAVhx2GL2f/DpZ1zp
IstAPGlSzB476Ii20qnX6KbgxtppDSZN/AntEEUTb65vhgKukbymMTYzmEsvE3fG
SuFpxcXOnAnVFszTGnEtC8zB0LHh+J7dVSm4KjLPzODyBOfbg2Y+yJRp8wMP0txj
wMKKc02if3Xs3pmIdIm8HNCH2HOS1cNbOtyGZObqAiQ/QmYKKsZ24PrREg/iYHZe
QiQqt6nBckFk6AnFiEsjyuXygBaikAyh6+hgaEAG6OSi2zoplUAtyx8vRdjdbsAm
FwIDAQAB
-----END PUBLIC KEY-----`

const [one, two, three] = [makeKey(), makeKey(), makeKey()]

async function setUp(t: Test, config = { auto_accept: false }) {
  const store = await tempStore(t)
  const clock = new TestClock()
  const events = new EventLog({ store, clock, maxEventSize: 1024 * 1024 })
  const failures: object[] = []
  const log = { info: () => {}, warn: () => {}, error: (fields: object) => failures.push(fields) }
  const open = async () => {
    const keys = new Keys({ store, events, clock, config, log })
    await keys.start()
    return keys
  }
  const keys = await open()
  /** Tag and data, without stamps, of all events so far. */
  const told = async () => {
    const found: [string, Record<string, unknown>][] = []
    for await (const page of store.events.read({ after: 0, upTo: await store.events.head() })) {
      for (const event of page) {
        const { _stamp, ...data } = JSON.parse(event.json) as Record<string, unknown>
        found.push([event.tag, data])
      }
    }
    return found
  }
  return { store, clock, keys, open, told, failures }
}

t.test('a new key waits, and each authentication is an event with the fields and the order of Salt', async t => {
  const { keys, store, told } = await setUp(t)
  t.equal(await keys.contact('web1', one.pub), 'pending')
  t.equal(await keys.contact('web1', one.pub), 'pending')
  t.notOk(keys.isAccepted('web1'))
  t.same(await keys.accept('web1'), ['web1'])
  t.equal(await keys.contact('web1', `${one.pub}\n`), 'accepted')
  t.ok(keys.isAccepted('web1'))
  const pend = { result: true, act: 'pend', id: 'web1', pub: one.pub }
  t.same(await told(), [
    [AUTH, pend],
    [AUTH, pend],
    [KEY, { result: true, act: 'accept', id: 'web1' }],
    [AUTH, { ...pend, act: 'accept' }]
  ])
  const { json } = (await store.events.get(1))!
  t.match(
    json,
    /^\{"result": true, "act": "pend", "id": "web1", "pub": "-----BEGIN PUBLIC KEY-----\\n[^ ]+[^"]*-----END PUBLIC KEY-----", "_stamp": "/
  )
})

t.test('a rejected key stays rejected, its event has no act, and it can be accepted later', async t => {
  const { keys, told } = await setUp(t)
  await keys.contact('db1', one.pub)
  t.same(await keys.reject('db*'), ['db1'])
  t.equal(await keys.contact('db1', one.pub), 'rejected')
  t.equal(await keys.contact('db1', two.pub), 'rejected', 'any key of a rejected id')
  t.same((await told()).at(-2), [AUTH, { result: false, id: 'db1', pub: one.pub }])
  t.same(await keys.accept('db1', ['pending']), [], 'not without being told to')
  t.same(await keys.accept('db1'), ['db1'])
  t.equal(await keys.contact('db1', one.pub), 'accepted')
})

t.test('another key for a known id is denied, and the key in use goes on', async t => {
  const { keys, told } = await setUp(t)
  await keys.vouch('web1', one.pub)
  t.equal(await keys.contact('web1', two.pub), 'denied')
  t.equal(await keys.contact('web1', three.pub), 'denied', 'the first denied key is kept')
  t.same((await told())[0], [AUTH, { result: false, act: 'denied', id: 'web1', pub: two.pub }])
  t.same(keys.list(), { minions: ['web1'], minions_pre: [], minions_rejected: [], minions_denied: ['web1'] })
  t.same(keys.finger('web1'), { minions: { web1: fingerprint(one.pub) }, minions_denied: { web1: fingerprint(two.pub) } })
  t.equal(await keys.contact('web1', one.pub), 'accepted')
})

t.test('accepting a denied key replaces the key in use, and nothing of the old identity is left', async t => {
  const { keys, store } = await setUp(t)
  await keys.vouch('web1', one.pub)
  await keys.putFacts('web1', { os: 'Debian' })
  await keys.contact('web1', two.pub)
  const heard: unknown[] = []
  keys.onChange((id, state) => heard.push([id, state]))
  t.same(await keys.accept('web1'), ['web1'])
  t.same(heard, [
    ['web1', null],
    ['web1', 'accepted']
  ])
  t.equal(keys.get('web1')?.pub, two.pub)
  t.same([...keys.facts()], [])
  t.same(await store.keys.facts(), [])
  t.match(await store.keys.all(), [{ id: 'web1', state: 'accepted', pub: two.pub }])
  t.equal(await keys.contact('web1', one.pub), 'denied')
})

t.test('deleting a key forgets the id and its data; the same key comes back as a new one', async t => {
  const { keys, store, told } = await setUp(t)
  await keys.contact('tmp1', one.pub)
  await keys.accept('tmp1')
  await keys.putFacts('tmp1', { os: 'Debian' })
  await keys.contact('tmp1', two.pub)
  t.same(await keys.delete('tmp1', ['denied']), ['tmp1'])
  t.ok(keys.isAccepted('tmp1'))
  t.same(await keys.delete(['tmp1', 'nobody']), ['tmp1'])
  t.same((await told()).at(-1), [KEY, { result: true, act: 'delete', id: 'tmp1' }])
  t.same(await store.keys.all(), [])
  t.same(await store.keys.facts(), [])
  t.equal(await keys.contact('tmp1', one.pub), 'pending')
})

t.test('only keys that moved are reported and told of', async t => {
  const { keys, told } = await setUp(t)
  for (const id of ['p1', 'p2', 'q1']) await keys.contact(id, one.pub)
  t.same(await keys.accept('p1, p2'), ['p1', 'p2'])
  t.same(await keys.accept('p?'), [])
  t.same(
    (await told()).slice(3).map(([, data]) => data.id),
    ['p1', 'p2']
  )
})

t.test('a restart knows the same keys and grains', async t => {
  const { keys, open } = await setUp(t)
  await keys.vouch('web1', one.pub)
  await keys.putFacts('web1', { os: 'Debian', nested: { a: [1] } })
  await keys.contact('web1', two.pub)
  await keys.contact('db1', two.pub)
  const again = await open()
  t.same(again.list(), keys.list())
  t.same([...again.facts()], [{ id: 'web1', grains: { os: 'Debian', nested: { a: [1] } } }])
  t.equal(again.get('web1')?.pub, one.pub)
})

t.test('grains are kept with the refresh event of Salt, for accepted minions alone', async t => {
  const { keys, told } = await setUp(t)
  await keys.contact('web1', one.pub)
  await t.rejects(keys.putFacts('web1', { os: 'x' }), { code: 'KEY_NOT_ACCEPTED' })
  await keys.accept('web1')
  await keys.putFacts('web1', { os: 'Debian' })
  t.same((await told()).at(-1), ['minion/refresh/web1', { 'Minion data cache refresh': 'web1' }])
  t.same([...keys.facts()], [{ id: 'web1', grains: { os: 'Debian' } }])
  await keys.reject('web1')
  t.same([...keys.facts()], [], 'a rejected minion is no target')
})

t.test('auto_accept accepts a new key with one event', async t => {
  const { keys, told } = await setUp(t, { auto_accept: true })
  t.equal(await keys.contact('web1', one.pub), 'accepted')
  t.same(await told(), [[AUTH, { result: true, act: 'accept', id: 'web1', pub: one.pub }]])
  t.equal(await keys.contact('web1', two.pub), 'denied')
})

t.test('a key that the server vouches for is accepted without an event, unless people rejected it', async t => {
  const { keys, told } = await setUp(t)
  t.equal(await keys.vouch('local', one.pub), 'accepted')
  t.same(await told(), [])
  t.equal(await keys.vouch('local', two.pub), 'accepted', 'another key takes its place')
  t.equal(keys.get('local')?.pub, two.pub)
  await keys.reject('local')
  t.equal(await keys.vouch('local', two.pub), 'rejected')
})

t.test('two contacts of a new id at the same moment make one of the keys the pending one and deny the other', async t => {
  const { keys } = await setUp(t)
  t.same(await Promise.all([keys.contact('web1', one.pub), keys.contact('web1', two.pub)]), ['pending', 'denied'])
  t.equal(keys.get('web1')?.pub, one.pub)
})

t.test('whoever hears of a new key can accept it at once', async t => {
  const { keys, store } = await setUp(t)
  const accepted = new Promise<string[]>(resolve => {
    store.events.watch(events => {
      if (events.some(({ tag }) => tag === AUTH)) keys.accept('web*').then(resolve, t.bailout)
    })
  })
  await keys.contact('web1', one.pub)
  t.same(await accepted, ['web1'])
  t.ok(keys.isAccepted('web1'))
})

t.test('a listener that fails hides nothing from the others', async t => {
  const { keys, failures } = await setUp(t)
  const heard: string[] = []
  keys.onChange(() => {
    throw new Error('broken')
  })
  const undo = keys.onChange((id, state) => heard.push(`${id} ${state}`))
  await keys.contact('web1', one.pub)
  undo()
  await keys.accept('web1')
  t.same(heard, ['web1 pending'])
  t.equal(failures.length, 2)
})

t.test('unaccepted keys that knock too often are told to wait; accepted ones are not', async t => {
  const { keys, clock } = await setUp(t)
  await keys.vouch('known', one.pub)
  await keys.contact('web1', one.pub)
  const answers = await Promise.allSettled(Array.from({ length: 1100 }, () => keys.contact('web1', one.pub)))
  const refused = answers.filter(each => each.status === 'rejected')
  t.ok(refused.length > 50 && refused.length < 1000, String(refused.length))
  t.ok(refused.every(each => each.status === 'rejected' && each.reason.code === 'RATE_LIMITED' && each.reason.retryAfter > 0))
  t.equal(await keys.contact('known', one.pub), 'accepted')
  clock.pass(1)
  t.equal(await keys.contact('web1', one.pub), 'pending')
})

t.test('fingerprints are those of Salt', async t => {
  // A minion's key out of a recording of Salt, and what salt-key -f printed for it.
  const pem = RECORDED
  t.equal(fingerprint(pem), '65:aa:d4:e9:67:36:0b:c6:99:fd:de:0a:2e:3f:79:71:fb:18:25:dd:8a:cd:3c:57:cd:c1:76:42:11:90:85:b9')
  t.equal(fingerprint(pem.replaceAll('\n', '\r\n')), fingerprint(pem))
  t.equal(fingerprint(pem, 'md5'), '35:6e:2f:d5:ea:f9:5e:0f:72:00:ea:ae:b2:91:58:0e')
})

t.test('a key is RSA of a sensible size in PEM, and public', async t => {
  t.equal(normalPem(`\n${one.pub}\n`), one.pub)
  t.equal(normalPem(String(one.privateKey.export({ type: 'pkcs8', format: 'pem' }))), null, 'a private key')
  t.equal(normalPem(makeKey(1024).pub), null, 'too small')
  t.equal(normalPem('-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----'), null)
  t.equal(normalPem('x'.repeat(100_000)), null)
  const { keys } = await setUp(t)
  await t.rejects(keys.contact('web1', 'no key'), { code: 'KEY_INVALID' })
})

t.test('an id is a name and nothing more in targets, tags and paths', async t => {
  for (const id of ['web1', 'db-master', 'mail.example.com', 'Web3', '10.0.0.1', 'fe80::1', '_x', 'a'.repeat(255)])
    t.equal(checkMinionId(id), null, id)
  const bad = [
    '',
    '*',
    'web*',
    'a,b',
    'a b',
    'a/b',
    '../x',
    '.x',
    '-x',
    'a\\b',
    'a\0',
    'a\n',
    'G@os',
    'ü',
    'and',
    'not',
    'w[1]',
    'a?',
    '(a)',
    'a'.repeat(256)
  ]
  for (const id of bad) t.type(checkMinionId(id), 'string', JSON.stringify(id))
  const { keys } = await setUp(t)
  await t.rejects(keys.contact('web*', one.pub), { code: 'MINION_ID_INVALID' })
})
