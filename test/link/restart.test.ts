import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Masters } from '../../src/minion/masters.js'
import { Minion } from '../../src/minion/minion.js'
import { makeKey } from '../helpers/keypairs.js'
import { linkServer } from '../helpers/link.js'
import { silent } from '../helpers/log.js'
import { tempFolder } from '../helpers/store.js'

const JOB_END = 5

t.test('the server restarts while a minion works: it reconnects with its token, and each return and event arrives once', async t => {
  const data = await tempFolder(t)
  const key = makeKey()
  const dir = t.testdir({ pki: {} })
  writeFileSync(join(dir, 'pki', 'minion.pem'), String(key.privateKey.export({ type: 'pkcs1', format: 'pem' })))
  const before = await linkServer(t, { data })
  await before.keys.vouch('web1', key.pub)

  let sendEvent: (tag: string, data: unknown) => Promise<void> = async () => {}
  const ends: (() => void)[] = []
  const minion = new Minion({
    ...{
      id: 'web1',
      masters: new Masters({ urls: [before.url] }),
      dir,
      spoolBytes: 1024 * 1024,
      acceptanceWaitMs: 50,
      reconnectMs: { first: 10, max: 50 }
    },
    runner: async master => {
      sendEvent = (tag, data) => master.sendEvent(tag, data)
      return {
        grains: { os: 'Debian' },
        execute: ({ fun, arg }) =>
          new Promise(resolve => ends.push(() => resolve({ fun, fun_args: arg, return: true, retcode: 0, success: true }))),
        stop: async () => {}
      }
    },
    log: silent
  })
  t.teardown(() => minion.stop())
  const connected = new Promise<void>(resolve => before.link.onPresence(() => resolve()))
  await minion.start()
  await connected
  const jids: string[] = []
  for (let i = 0; i < JOB_END; i++) {
    const job = await before.jobs.publish({ tgt: 'web1', tgtType: 'glob', fun: 'test.ping', arg: [], user: 'admin' })
    if (job.status === 'published') jids.push(job.jid)
  }
  // All are on the minion's disk when none is pending with the server any more.
  while ((await before.store.jobs.pending('web1', before.clock.nowUs(), 10)).length > 0) await new Promise(resolve => setImmediate(resolve))

  const port = Number(new URL(before.url).port)
  await before.close()
  for (const end of ends) end()
  for (let i = 0; i < 20; i++) await sendEvent('while/down', { i })

  const after = await linkServer(t, { data, port })
  const all = new Promise<void>(resolve => {
    let left = JOB_END + 20
    after.hub.listen({ include: ['salt/job/*/ret/web1', 'while/down'] }, () => --left === 0 && resolve())
  })
  await all
  const told = await after.told()
  const returned = told.filter(({ tag }) => /\/ret\//.test(tag)).map(({ data }) => data.jid)
  t.same([...returned].sort(), [...jids].sort())
  const events = told.filter(({ tag }) => tag === 'while/down').map(({ data }) => (data.data as { i: number }).i)
  t.same(
    events,
    Array.from({ length: 20 }, (_, i) => i)
  )
  t.equal(told.filter(({ tag }) => tag === 'salt/auth').length, 1, 'the token was good for both')
  for (const jid of jids) t.equal((await after.store.jobs.get(jid))?.state, 'complete')
})
