import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { AUTH } from '../../src/tags/tags.js'
import { makeKey } from '../helpers/keypairs.js'
import { FakeMinion, type LinkTest, linkServer } from '../helpers/link.js'
import { TestClock } from '../helpers/store.js'

const [one, two] = [makeKey(), makeKey()]

function file(t: Test, text: string): string {
  const path = join(t.testdir(), 'list')
  writeFileSync(path, text, { mode: 0o644 })
  return path
}

/** Makes contact as an agent does, with these credentials; its state at the server. */
async function come(server: LinkTest, id: string, credentials: object = {}, key = one): Promise<string> {
  const minion = new FakeMinion(server.url, id, key)
  const { body } = await minion.enroll(credentials)
  if (body.state !== 'accepted') return body.state
  const proof = await minion.prove(body.nonce, credentials)
  return proof.status === 200 ? 'accepted' : proof.body.code
}

const acts = async (server: LinkTest) => (await server.told()).filter(({ tag }) => tag === AUTH).map(({ data }) => data.act)

t.test('autosign_file accepts a new key when it is proved, with one event, and a waiting one when it asks again', async t => {
  const list = file(t, 'web*\n')
  const server = await linkServer(t, { config: { autosign_file: list } })
  t.equal(await come(server, 'web1'), 'accepted')
  t.equal(await come(server, 'db1'), 'pending')
  writeFileSync(list, 'db1\nand more\n')
  t.equal(await come(server, 'db1'), 'accepted')
  t.equal(await come(server, 'db1', {}, two), 'denied', 'another key of an id that is taken is not let in')
  t.same(await acts(server), ['accept', 'pend', 'accept', 'denied'])
})

t.test('a key that was not proved is never accepted, whatever the files say', async t => {
  const server = await linkServer(t, { config: { autosign_file: file(t, '*\n') } })
  const minion = new FakeMinion(server.url, 'web1', one)
  const { nonce } = (await minion.enroll()).body
  t.match(await minion.prove(nonce, { signature: two.sign('web1', nonce) }), { status: 401 })
  t.same(server.keys.list().minions, [])
  t.same(await server.told(), [])
})

t.test("autoreject_file comes before everything that accepts, with Salt's event", async t => {
  const server = await linkServer(t, { config: { auto_accept: true, autoreject_file: file(t, 'evil*\n') } })
  t.equal(await come(server, 'evil1'), 'rejected')
  t.equal(await come(server, 'evil1'), 'rejected')
  t.equal(await come(server, 'good1'), 'accepted')
  t.same(
    (await server.told()).map(({ data }) => data),
    [
      { result: false, act: 'reject', id: 'evil1', pub: one.pub },
      { result: false, id: 'evil1', pub: one.pub },
      { result: true, act: 'accept', id: 'good1', pub: one.pub }
    ]
  )
})

t.test('autosign_grains_dir accepts by what the minion sends of itself', async t => {
  const dir = t.testdir()
  writeFileSync(join(dir, 'uuid'), 'abc\n', { mode: 0o644 })
  const server = await linkServer(t, { config: { autosign_grains_dir: dir } })
  t.equal(await come(server, 'web1', { autosign_grains: { uuid: 'xyz' } }), 'pending')
  t.equal(await come(server, 'web2', { autosign_grains: { uuid: 'abc' } }), 'accepted')
})

t.test('an enrolment token lets one minion in, of the ids that it is for, until it expires', async t => {
  const clock = new TestClock()
  const server = await linkServer(t, { clock })
  const make = async (tgt: string) => (await server.keys.enrolments.create({ tgt, ttlSeconds: 3600, label: '', createdBy: 'admin' })).token
  const enrolment_token = await make('web*, db1')
  t.equal(await come(server, 'cache1', { enrolment_token }), 'pending', 'not for this id')
  t.equal(await come(server, 'web1', { enrolment_token }), 'accepted')
  t.equal(await come(server, 'web1', { enrolment_token }), 'accepted', 'its key is accepted now')
  t.equal(await come(server, 'db1', { enrolment_token }), 'pending', 'used once')
  const late = await make('*')
  clock.pass(3601)
  t.equal(await come(server, 'web2', { enrolment_token: late }), 'pending', 'expired')
  t.equal(await come(server, 'web3', { enrolment_token: 'brine-enrol-nonsense' }), 'pending')
  t.same(await server.keys.enrolments.list(), [], 'expired ones are gone')
})

t.test('of many who come with one enrolment token at once, one is let in', async t => {
  const server = await linkServer(t)
  const { token } = await server.keys.enrolments.create({ tgt: '*', ttlSeconds: 60, label: '', createdBy: 'admin' })
  const ids = Array.from({ length: 8 }, (_, i) => `m${i}`)
  const states = await Promise.all(ids.map(id => come(server, id, { enrolment_token: token })))
  t.equal(states.filter(state => state === 'accepted').length, 1)
  t.equal(server.keys.list().minions.length, 1)
  t.equal(server.keys.list().minions_pre.length, 7)
})

t.test('an enrolment token is nowhere in the store or the log, and can be revoked', async t => {
  const server = await linkServer(t)
  const { token, record } = await server.keys.enrolments.create({ tgt: '*', ttlSeconds: 60, label: 'x', createdBy: 'admin' })
  t.notOk(JSON.stringify(await server.keys.enrolments.list()).includes(token))
  t.match(await server.keys.enrolments.list(), [{ tgt: '*', label: 'x', createdBy: 'admin', usedBy: null }])
  t.ok(await server.keys.enrolments.revoke(record.hash.slice(0, 12)))
  t.notOk(await server.keys.enrolments.revoke(record.hash.slice(0, 12)))
  t.equal(await come(server, 'web1', { enrolment_token: token }), 'pending')
  t.notOk(server.logged.join().includes(token))
})

t.test('lifetimes without sense and tokens for nobody are refused', async t => {
  const { enrolments } = (await linkServer(t)).keys
  const make = (more: object) => enrolments.create({ tgt: '*', ttlSeconds: 60, label: '', createdBy: 'admin', ...more })
  for (const ttlSeconds of [0, -1, Number.NaN, 31 * 86_400, Number.POSITIVE_INFINITY])
    await t.rejects(make({ ttlSeconds }), { code: 'FIELD_INVALID' }, String(ttlSeconds))
  for (const tgt of ['', ' , ']) await t.rejects(make({ tgt }), { code: 'FIELD_INVALID' })
  await t.rejects(make({ label: 'x'.repeat(2000) }), { code: 'FIELD_INVALID' })
})
