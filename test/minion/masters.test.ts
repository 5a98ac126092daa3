import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { defaultConfig } from '../../src/config/schema.js'
import { isMasterless, mastersOf } from '../../src/minion/masters.js'
import { credentialsOf } from '../../src/minion/settings.js'

const urls = (config: Parameters<typeof defaultConfig>[0], more: object = {}) =>
  mastersOf(defaultConfig(config), { id: 'web1', env: {}, ...more }).servers.map(({ url }) => url)

t.test('several servers are tried in their order, in one of chance, or from one that the id chooses', async t => {
  const master = 'https://a.example, https://b.example, https://c.example'
  t.same(urls({ master }), ['https://a.example', 'https://b.example', 'https://c.example'])
  t.same(urls({ master, random_master: true }, { random: () => 0 }), ['https://b.example', 'https://c.example', 'https://a.example'])
  const firsts = new Set<string>()
  for (let i = 0; i < 50; i++) {
    const list = urls({ master, master_type: 'distributed' }, { id: `web${i}` })
    t.same(list, urls({ master, master_type: 'distributed' }, { id: `web${i}` }), 'the same each time')
    t.equal(new Set(list).size, 3)
    firsts.add(list[0]!)
  }
  t.equal(firsts.size, 3)
})

t.test('a fingerprint that nothing would be compared with, or that is none, stops the start', async t => {
  const finger = `${'00:'.repeat(31)}00`
  const refused = (text: RegExp) => ({ code: 'CONFIG_INVALID', message: text })
  t.same(urls({ master: 'https://a.example', master_finger: finger }), ['https://a.example'])
  t.throws(() => urls({ master: 'https://a.example, http://b.example', master_finger: finger }), refused(/master_finger: needs https/))
  t.throws(() => urls({ master: 'https://a.example', master_finger: 'ab:cd' }), refused(/master_finger: is no SHA-256/))
})

t.test('certificates that cannot be read stop the start', async t => {
  const dir = t.testdir({ 'no.pem': 'nothing' })
  const refused = { code: 'CONFIG_INVALID', message: /master_ca/ }
  for (const name of ['missing.pem', 'no.pem']) t.throws(() => urls({ master: 'https://a', master_ca: join(dir, name) }), refused)
  writeFileSync(join(dir, 'ca.pem'), '-----BEGIN CERTIFICATE-----\n')
  t.same(urls({ master: 'https://a', master_ca: join(dir, 'ca.pem') }), ['https://a'])
})

t.test('a minion without a server is one', async t => {
  t.ok(isMasterless({ master: '', master_type: 'str' }))
  t.ok(isMasterless({ master: 'disable', master_type: 'str' }))
  t.ok(isMasterless({ master: 'http://a', master_type: 'disable' }))
  t.notOk(isMasterless({ master: 'http://a', master_type: 'failover' }))
})

t.test('only the grains that are named are sent with a new key', async t => {
  const grains = { uuid: '1', secret: 'x' }
  t.same(credentialsOf(defaultConfig(), grains), {})
  t.same(credentialsOf(defaultConfig({ autosign_grains: ['uuid', 'none'], enrolment_token: 'tok' }), grains), {
    enrolment_token: 'tok',
    autosign_grains: { uuid: '1' }
  })
})
