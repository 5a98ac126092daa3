import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { defaultConfig } from '../../src/config/schema.js'
import { EmbeddedMinion } from '../../src/minion/embedded.js'
import { Identity } from '../../src/minion/identity.js'
import { type LinkTest, linkServer } from '../helpers/link.js'
import { CLI, tempData } from '../helpers/server.js'

type Test = Parameters<typeof linkServer>[0]

async function embedded(t: Test, server: LinkTest, program?: string) {
  const config = defaultConfig({ data_dir: server.data, embedded_minion_id: 'local', log_level: 'info', grains: { role: 'web' } })
  const { keys, link, url } = server
  const { log } = server.services
  const minion = new EmbeddedMinion({ config, url, keys, link, log, ...(program === undefined ? {} : { program }) })
  t.teardown(() => minion.stop())
  await minion.start()
  return minion
}

const pidOf = (server: LinkTest) => Number(readFileSync(join(server.data, 'minion', 'agent.pid'), 'utf8').split(' ')[0])

const connection = (server: LinkTest, wanted: boolean) =>
  new Promise<void>(resolve => {
    const undo = server.link.onPresence((_, connected) => {
      if (connected !== wanted) return
      undo()
      resolve()
    })
  })

t.test("the server's own minion is accepted without a question, runs jobs, and has the settings of the server", async t => {
  const server = await linkServer(t)
  const minion = await embedded(t, server)
  await minion.ready
  await new Promise<void>(resolve => server.hub.listen({ include: ['salt/minion/local/start'] }, () => resolve()))
  const published = await server.jobs.publish({ tgt: 'local', tgtType: 'glob', fun: 'grains.get', arg: ['role'], user: 'admin' })
  if (published.status !== 'published') throw new Error(published.status)
  const returns = await server.jobs.collect(published.jid, published.minions, 20)
  t.equal(returns.get('local')?.return, 'web')
  t.same((await server.told()).map(({ tag }) => tag).slice(0, 4), [
    'salt/auth',
    'minion/refresh/local',
    'minion_start',
    'salt/minion/local/start'
  ])
  t.ok(
    server.logged.some(line => line.includes('connected to http://')),
    "its log is part of the server's"
  )
  const pid = pidOf(server)
  await minion.stop()
  t.throws(() => process.kill(pid, 0), 'its process is gone')
})

t.test('when its process is killed it is started again, with the same key', async t => {
  const server = await linkServer(t)
  const minion = await embedded(t, server)
  await minion.ready
  const pid = pidOf(server)
  const gone = connection(server, false)
  process.kill(pid, 'SIGKILL')
  await gone
  await connection(server, true)
  t.not(pidOf(server), pid)
  t.same(server.keys.list().minions, ['local'])
})

t.test('a program that does not start is tried again and again, and stopping does not wait for it', async t => {
  const server = await linkServer(t)
  const program = join(server.data, 'broken.js')
  writeFileSync(program, 'throw new Error("broken from the start")')
  const minion = await embedded(t, server, program)
  while (!server.logged.some(line => line.includes('it is started again'))) await new Promise(resolve => setImmediate(resolve))
  t.ok(server.logged.some(line => line.includes('broken from the start')))
  await minion.stop()
  await minion.stop()
})

t.test('a key that people rejected stays rejected when the server starts again', async t => {
  const server = await linkServer(t)
  const { pub } = await Identity.open(join(server.data, 'minion'))
  await server.keys.vouch('local', pub)
  await server.keys.reject('local')
  await embedded(t, server)
  t.notOk(server.keys.isAccepted('local'))
  t.ok(server.logged.some(line => line.includes('the key of the embedded minion is rejected')))
})

t.test('a minion whose server has died, however, ends by itself', async t => {
  const dir = tempData(t)
  const args = [CLI, 'minion', '--id', 'local', '--master', 'http://127.0.0.1:9', '--dir', dir, '--data', dir]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
  t.teardown(() => child.kill('SIGKILL'))
  while (!existsSync(join(dir, 'jobs.ndjson'))) await new Promise(resolve => setImmediate(resolve))
  const exited = once(child, 'exit')
  child.disconnect()
  t.same(await exited, [0, null])
  t.notOk(existsSync(join(dir, 'agent.pid')))
})
