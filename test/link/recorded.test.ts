/** What Salt's master told of its minions' keys, replayed by real minions on a real server, compared event by event with keys in their order. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Masters } from '../../src/minion/masters.js'
import { Minion } from '../../src/minion/minion.js'
import { packageRoot } from '../../src/shared/paths.js'
import { makeKey, type TestKey } from '../helpers/keypairs.js'
import { type LinkTest, linkServer } from '../helpers/link.js'
import { silent } from '../helpers/log.js'

const [one, two] = [makeKey(), makeKey()]

/** The agent of `brine minion` without functions: these scenarios run no jobs. */
async function start(
  t: Test,
  server: LinkTest,
  id: string,
  key: TestKey,
  dir: string = t.testdir({ pki: {} })
): Promise<Minion & { dir: string }> {
  writeFileSync(join(dir, 'pki', 'minion.pem'), String(key.privateKey.export({ type: 'pkcs1', format: 'pem' })))
  const minion = new Minion({
    ...{
      id,
      masters: new Masters({ urls: [server.url] }),
      dir,
      spoolBytes: 1024 * 1024,
      acceptanceWaitMs: 20,
      reconnectMs: { first: 10, max: 20 }
    },
    runner: async () => ({ grains: {}, execute: async () => null, stop: async () => {} }),
    log: silent,
    // Minions with a rejected key wait six times as long; here too, but not for long.
    random: () => 0
  })
  t.teardown(() => minion.stop())
  await minion.start()
  return Object.assign(minion, { dir })
}

/** Resolves when an event with this tag and these fields is committed. */
const heard = (server: LinkTest, tag: string, fields: object = {}) =>
  new Promise<void>(resolve => {
    const undo = server.hub.listen({ include: [tag] }, ({ json }) => {
      const data = JSON.parse(json) as Record<string, unknown>
      if (!Object.entries(fields).every(([name, value]) => data[name] === value)) return
      undo()
      resolve()
    })
  })

/** Tag and data as text, with what differs by nature (keys, times) replaced. `key {rotate_aes_key}` tells of a key that brine does not have. */
function comparable(lines: readonly { tag: string; json: string }[]): string[] {
  const texts = lines
    .filter(({ tag }) => tag !== 'key')
    .map(({ tag, json }) =>
      `${tag} ${json}`
        .replace(/-----BEGIN PUBLIC KEY-----(\\n[A-Za-z0-9+/=]+)+\\n-----END PUBLIC KEY-----/, '(key)')
        .replace(/"_stamp": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}"/, '(stamp)')
        .replace(/started at \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}/, '(started)')
    )
  // How often a minion asks while it waits is a matter of time.
  return texts.filter((text, i) => text !== texts[i - 1])
}

function recorded(name: string): string[] {
  const text = readFileSync(join(packageRoot(), 'test/fixtures/golden/events', `${name}.jsonl`), 'utf8')
  const lines = text.trim().split('\n')
  return comparable(lines.map(line => ({ tag: (JSON.parse(line) as { tag: string }).tag, json: /"data": (\{.*\})\}$/.exec(line)![1]! })))
}

async function logged(server: LinkTest, after = 0): Promise<string[]> {
  const lines: { tag: string; json: string }[] = []
  for await (const page of server.store.events.read({ after, upTo: await server.store.events.head() })) lines.push(...page)
  return comparable(lines)
}

t.test('auth_pending_accept_start', async t => {
  const server = await linkServer(t)
  const pending = heard(server, 'salt/auth', { act: 'pend' })
  await start(t, server, 'web1', one)
  await pending
  const started = heard(server, 'salt/minion/web1/start')
  await server.keys.accept('web1')
  await started
  t.same(await logged(server), recorded('auth_pending_accept_start'))
})

t.test('auth_reject_then_accept, auth_start_after_accept', async t => {
  const server = await linkServer(t)
  const pending = heard(server, 'salt/auth', { act: 'pend' })
  await start(t, server, 'db1', one)
  await pending
  const refused = heard(server, 'salt/auth', { result: false })
  await server.keys.reject('db1')
  await refused
  const started = heard(server, 'salt/minion/db1/start')
  await server.keys.accept('db1')
  await started
  t.same(await logged(server), [...recorded('auth_reject_then_accept'), ...recorded('auth_start_after_accept')])
})

t.test('auth_denied', async t => {
  const server = await linkServer(t)
  await server.keys.vouch('web1', one.pub)
  const denied = heard(server, 'salt/auth', { act: 'denied' })
  await start(t, server, 'web1', two)
  await denied
  t.same(await logged(server), recorded('auth_denied'))
})

t.test('key_auth_cycle_tmp1', async t => {
  const server = await linkServer(t)
  const pend = () => heard(server, 'salt/auth', { act: 'pend' })
  const first = pend()
  const minion = await start(t, server, 'tmp1', one)
  await first
  await minion.stop()
  await server.keys.delete('tmp1')
  const second = pend()
  const again = await start(t, server, 'tmp1', one, minion.dir)
  await second
  const started = heard(server, 'salt/minion/tmp1/start')
  await server.keys.accept('tmp1')
  await started
  await again.stop()
  await server.keys.delete('tmp1')
  t.same(await logged(server), recorded('key_auth_cycle_tmp1'))
})

t.test('minion_restart', async t => {
  const server = await linkServer(t)
  await server.keys.vouch('db1', one.pub)
  const firstStart = heard(server, 'salt/minion/db1/start')
  const minion = await start(t, server, 'db1', one)
  await firstStart
  await minion.stop()
  const before = await server.store.events.head()
  const secondStart = heard(server, 'salt/minion/db1/start')
  await start(t, server, 'db1', one, minion.dir)
  await secondStart
  t.same(await logged(server, before), recorded('minion_restart'))
})
