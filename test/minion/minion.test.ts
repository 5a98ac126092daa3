import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { Job, Outcome } from '../../src/minion/job.js'
import type { MasterClient, MasterFile } from '../../src/minion/master.js'
import { Masters } from '../../src/minion/masters.js'
import { type JobRunner, Minion, type MinionOptions } from '../../src/minion/minion.js'
import { FakeServer } from '../helpers/fake-server.js'
import { makeKey } from '../helpers/keypairs.js'

const KEY = makeKey()
const JID = '20261122203412345678'
const jidAfter = (n: number) => String(BigInt(JID) + BigInt(n))

interface Setup extends Partial<MinionOptions> {
  readonly execute?: (job: Job, master: MasterClient) => Promise<Outcome | null>
  readonly onStop?: () => void
}

/** A directory with a key in it, so that no test waits for one to be made. */
function keyedDir(t: Test): string {
  const dir = t.testdir({ pki: {} })
  writeFileSync(join(dir, 'pki', 'minion.pem'), String(KEY.privateKey.export({ type: 'pkcs1', format: 'pem' })))
  return dir
}

const pong = async ({ fun, arg }: Job): Promise<Outcome> => ({ fun, fun_args: arg, return: true, retcode: 0, success: true })

async function agent(t: Test, server: FakeServer, setup: Setup = {}) {
  const executed: string[] = []
  let client: MasterClient | undefined
  let grainsChanged: (grains: object) => void = () => {}
  const logged: string[] = []
  const note = (_: object, text: string) => logged.push(text)
  const runner = async (master: MasterClient, onGrains: (grains: Record<string, unknown>) => void): Promise<JobRunner> => {
    client = master
    grainsChanged = onGrains as typeof grainsChanged
    return {
      grains: { os: 'Debian' },
      execute(job) {
        executed.push(job.jid)
        return (setup.execute ?? pong)(job, master)
      },
      stop: async ({ now }) => {
        if (now) setup.onStop?.()
      }
    }
  }
  const dir = setup.dir ?? keyedDir(t)
  const minion = new Minion({
    ...{
      id: 'web1',
      masters: new Masters({ urls: [server.url] }),
      dir,
      spoolBytes: 1024 * 1024,
      acceptanceWaitMs: 20,
      reconnectMs: { first: 10, max: 50 },
      runner
    },
    log: { debug: note, info: note, warn: note, error: note },
    ...setup
  })
  t.teardown(() => minion.stop())
  await minion.start()
  return { minion, dir, executed, logged, master: client as MasterClient, grainsChanged: (grains: object) => grainsChanged(grains) }
}

t.test('a minion asks until its key is accepted, then proves it and connects', async t => {
  const server = await FakeServer.open(t)
  for (const state of ['pending', 'rejected', 'denied'] as const) {
    server.state = state
    const { minion } = await agent(t, server, { random: () => 0.1 })
    const before = server.count('enroll')
    await server.until(() => server.count('enroll') >= before + 2)
    t.equal(server.count('token'), 0, state)
    await minion.stop()
  }
  server.state = 'pending'
  await agent(t, server)
  await server.until(() => server.count('enroll') >= 8)
  server.state = 'accepted'
  await server.until(() => server.streams.length === 1)
  t.equal(server.count('token'), 1)
})

t.test('the first connection brings the grains, then the two start events of Salt; a later one does not', async t => {
  const server = await FakeServer.open(t)
  const { minion } = await agent(t, server)
  await server.until(() => server.items.length >= 2)
  t.same(server.ups[0]?.grains, { os: 'Debian' })
  t.same(server.ups[0]?.items, [], 'grains go first')
  const date = /^Minion web1 started at (Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d \d{4}$/
  t.match(server.items, [
    { kind: 'event', n: 1, tag: 'minion_start', data: date },
    { kind: 'event', n: 2, tag: 'salt/minion/web1/start', data: date }
  ])
  server.streams.at(-1)!.destroy()
  await server.until(() => server.count('stream') === 2)
  server.job(JID)
  await server.until(() => server.returns.length === 1)
  t.equal(server.items.length, 3)
  t.equal(server.ups.filter(up => up.grains).length, 1)
  t.equal(server.count('token'), 1, 'the token was still good')
  await minion.stop()
})

t.test('grains are sent again when they were collected anew, and when the server asks for them', async t => {
  const server = await FakeServer.open(t)
  const { grainsChanged } = await agent(t, server)
  await server.until(() => server.ups.some(up => up.grains))
  grainsChanged({ os: 'Arch' })
  await server.until(() => server.ups.filter(up => up.grains).length === 2)
  t.same(server.ups.findLast(up => up.grains)?.grains, { os: 'Arch' })
  server.grainsWanted = true
  server.streams.at(-1)!.destroy()
  await server.until(() => server.ups.filter(up => up.grains).length === 3)
})

t.test('a job runs, and its return goes up with the fields of Salt', async t => {
  const server = await FakeServer.open(t)
  await agent(t, server)
  await server.until(() => server.streams.length === 1)
  server.job(JID, { arg: ['x'] })
  await server.until(() => server.returns.length === 1)
  t.same(server.returns, [{ jid: JID, fun: 'test.ping', fun_args: ['x'], return: true, retcode: 0, success: true }])
  t.same(
    server.ups.flatMap(up => up.acks),
    [],
    'the return says that the job arrived'
  )
})

t.test('a long job is acknowledged while it runs', async t => {
  const server = await FakeServer.open(t)
  let end = () => {}
  const { executed } = await agent(t, server, {
    execute: job =>
      new Promise(resolve => {
        end = () => void pong(job).then(resolve)
      })
  })
  await server.until(() => server.streams.length === 1)
  server.job(JID)
  await server.until(() => server.ups.some(up => up.acks.includes(JID)))
  t.same(server.returns, [])
  t.same(executed, [JID])
  end()
  await server.until(() => server.returns.length === 1)
})

t.test('a job id runs once, however often it comes, also after a restart of the agent', async t => {
  const server = await FakeServer.open(t)
  const first = await agent(t, server)
  await server.until(() => server.streams.length === 1)
  server.job(JID)
  server.job(JID)
  server.job(jidAfter(1))
  await server.until(() => server.returns.length === 2)
  t.same(first.executed, [JID, jidAfter(1)])
  await first.minion.stop()
  const second = await agent(t, server, { dir: first.dir })
  await server.until(() => server.count('stream') === 2)
  server.ups.length = 0
  server.job(JID)
  server.job(jidAfter(2))
  await server.until(() => server.returns.length === 1 && server.ups.some(up => up.acks.includes(JID)))
  t.same(second.executed, [jidAfter(2)])
  t.same(
    server.returns.map(({ jid }) => jid),
    [jidAfter(2)]
  )
})

t.test('the server is down while a job ends: the return arrives later, once', async t => {
  const server = await FakeServer.open(t)
  let end = () => {}
  await agent(t, server, {
    execute: job =>
      new Promise(resolve => {
        end = () => void pong(job).then(resolve)
      })
  })
  await server.until(() => server.streams.length === 1)
  server.job(JID)
  await server.until(() => server.ups.some(up => up.acks.includes(JID)))
  await server.down()
  end()
  await server.up()
  await server.until(() => server.returns.length === 1)
  server.job(jidAfter(1))
  await server.until(() => server.ups.some(up => up.acks.includes(jidAfter(1))))
  t.same(
    server.returns.map(({ jid }) => jid),
    [JID]
  )
  end()
})

t.test('the agent is stopped before the server is back: the return arrives from the next run', async t => {
  const server = await FakeServer.open(t)
  let executing = () => {}
  const running = new Promise<void>(resolve => {
    executing = resolve
  })
  let end = () => {}
  const first = await agent(t, server, {
    execute: job => {
      executing()
      return new Promise(resolve => {
        end = () => void pong(job).then(resolve)
      })
    }
  })
  await server.until(() => server.streams.length === 1)
  server.job(JID)
  await running
  await server.down()
  const stopped = first.minion.stop({ graceMs: 30_000 })
  end()
  await stopped
  await server.up()
  await agent(t, server, { dir: first.dir })
  await server.until(() => server.returns.length === 1)
  t.match(server.returns, [{ jid: JID, return: true, success: true }])
})

t.test(
  'an agent that was killed in the middle of a job returns at its next start that it was interrupted, and does not run it again',
  async t => {
    const server = await FakeServer.open(t)
    const dir = keyedDir(t)
    const program = fileURLToPath(new URL('../helpers/agent-child.js', import.meta.url))
    const child = spawn(process.execPath, [program, dir, server.url], { stdio: 'inherit' })
    t.teardown(() => child.kill('SIGKILL'))
    await server.until(() => server.streams.length === 1)
    server.job(JID, { fun: 'cmd.run', arg: ['sleep 60', { __kwarg__: true, cwd: '/' }] })
    await server.until(() => server.ups.some(up => up.acks.includes(JID)))
    child.kill('SIGKILL')
    await once(child, 'exit')

    const { executed } = await agent(t, server, { dir })
    await server.until(() => server.returns.length === 1)
    t.match(server.returns, [
      { jid: JID, fun: 'cmd.run', fun_args: ['sleep 60', { cwd: '/' }], return: /^interrupted/, retcode: 1, success: false }
    ])
    server.job(JID)
    server.job(jidAfter(1))
    await server.until(() => server.returns.length === 2)
    t.same(executed, [jidAfter(1)])
  }
)

t.test('stopping waits for jobs as long as it is told, then kills them, and they return that they were interrupted', async t => {
  const server = await FakeServer.open(t)
  let kill = () => {}
  const { minion } = await agent(t, server, {
    execute: () =>
      new Promise(resolve => {
        kill = () => resolve(null)
      }),
    onStop: () => kill()
  })
  await server.until(() => server.streams.length === 1)
  server.job(JID)
  await server.until(() => server.ups.some(up => up.acks.includes(JID)))
  const patient = minion.stop({ graceMs: 60_000 })
  await minion.stop({ graceMs: 0 })
  await patient
  t.match(server.returns, [{ jid: JID, return: /^interrupted/, retcode: 1, success: false }])
})

t.test('a job that somebody ended returns nothing, and is over', async t => {
  const server = await FakeServer.open(t)
  const first = await agent(t, server, { execute: async () => null })
  await server.until(() => server.streams.length === 1)
  server.job(JID)
  await server.until(() => server.ups.some(up => up.acks.includes(JID)))
  await first.minion.stop()
  await agent(t, server, { dir: first.dir })
  await server.until(() => server.items.length >= 4)
  t.same(server.returns, [])
})

t.test('events go up in order and once, through refusals, lost answers and restarts of the server', async t => {
  const server = await FakeServer.open(t)
  const { master } = await agent(t, server)
  await server.until(() => server.items.length === 2)
  let trouble = 0
  server.refuse = () => (trouble++ % 3 === 0 ? { status: 503, code: 'STORE_BUSY', headers: { 'retry-after': '0' } } : null)
  for (let i = 0; i < 40; i++) {
    await master.sendEvent('my/event', { i }, i % 2 ? { preload: { jid: JID }, jid: JID } : {})
    if (i === 20) {
      await server.down()
      await server.up()
    }
  }
  await server.until(() => new Set(server.items.map(({ n }) => n)).size === 42)
  const mine = server.items.filter(item => item.kind === 'event' && item.tag === 'my/event')
  const first = mine.filter((item, i) => mine.findIndex(({ n }) => n === item.n) === i)
  t.same(
    first.map(item => (item as { data: { i: number } }).data.i),
    Array.from({ length: 40 }, (_, i) => i)
  )
  t.same(first[1], { n: first[1]?.n, kind: 'event', tag: 'my/event', data: { i: 1 }, preload: { jid: JID }, jid: JID })
  t.equal(new Set(server.ups.map(({ spool }) => spool)).size, 1)
})

t.test('an event with a tag that is none is refused on the spot', async t => {
  const server = await FakeServer.open(t)
  const { master } = await agent(t, server)
  await t.rejects(master.sendEvent('a\nb', {}), /control character/)
  await t.rejects(master.sendEvent('', {}), /is empty/)
})

t.test('what the server will never take does not stand in the way, and a job whose return it is ends all the same', async t => {
  const server = await FakeServer.open(t)
  server.refuse = up => {
    const text = JSON.stringify(up.items)
    return text.includes('poison')
      ? { status: 400, code: 'BODY_MALFORMED' }
      : text.includes('large')
        ? { status: 413, code: 'BODY_TOO_LARGE' }
        : null
  }
  const { master, logged } = await agent(t, server, {
    execute: async job => ({ ...(await pong(job)), return: job.jid === JID ? 'large' : 'fine' })
  })
  await server.until(() => server.streams.length === 1)
  await Promise.all(Array.from({ length: 20 }, (_, i) => master.sendEvent('my/event', i === 7 ? 'poison' : i)))
  server.job(JID)
  server.job(jidAfter(1))
  await server.until(() => server.returns.length === 2)
  const sent = server.items.flatMap(item => (item.kind === 'event' && item.tag === 'my/event' ? [item.data] : []))
  t.same(
    sent,
    Array.from({ length: 20 }, (_, i) => i).filter(i => i !== 7)
  )
  const returns = [...server.returns].sort((a, b) => String(a.jid).localeCompare(String(b.jid)))
  t.match(returns, [
    { jid: JID, return: /^the return could not be delivered: .*BODY_TOO_LARGE/, retcode: 1, success: false },
    { return: 'fine' }
  ])
  t.ok(logged.some(text => text.includes('the server does not take this')))
})

t.test('an answer that brine did not give (a proxy, another server) is no reason to give anything up', async t => {
  const server = await FakeServer.open(t)
  let times = 0
  server.refuse = () => (times++ < 3 ? { status: times === 1 ? 404 : 400 } : null)
  const { master } = await agent(t, server)
  await master.sendEvent('my/event', 1)
  await server.until(() => server.items.length === 3)
  t.pass('all three events arrived')
})

t.test('a token that does not count any more is replaced, and nothing is lost', async t => {
  const server = await FakeServer.open(t)
  const { master } = await agent(t, server)
  await server.until(() => server.items.length === 2)
  server.forgetTokens()
  await master.sendEvent('my/event', 1)
  await server.until(() => server.items.length === 3)
  t.equal(server.count('token'), 2)
  t.equal(server.count('stream'), 2)
})

t.test('the token is renewed before it ends, and the stream stays', async t => {
  const server = await FakeServer.open(t)
  server.tokenSeconds = 0.2
  await agent(t, server)
  await server.until(() => server.count('renewal') >= 2)
  t.equal(server.count('stream'), 1)
})

t.test('a server that says nothing for three heartbeats is left, though the connection stands', async t => {
  const server = await FakeServer.open(t)
  server.heartbeatSeconds = 0.05
  await agent(t, server)
  await server.until(() => server.count('stream') >= 2)
  t.pass('it came back on a new stream')
})

t.test('a minion with nothing to say says so in time', async t => {
  const server = await FakeServer.open(t)
  server.heartbeatSeconds = 0.2
  await agent(t, server)
  const pings = setInterval(() => server.streams.at(-1)?.write('{"type":"ping"}\n'), 50)
  t.teardown(() => clearInterval(pings))
  await server.until(() => server.ups.filter(up => up.items.length === 0 && !up.grains).length >= 2)
  t.equal(server.count('stream'), 1)
})

t.test('the next server is tried when one does not answer', async t => {
  const dead = await FakeServer.open(t)
  await dead.down()
  const server = await FakeServer.open(t)
  await agent(t, server, { masters: new Masters({ urls: [dead.url, server.url] }) })
  await server.until(() => server.streams.length === 1)
  t.pass('connected to the second')
})

t.test('after the server ends the stream the minion comes back, and after a rejection it asks anew', async t => {
  const server = await FakeServer.open(t)
  await agent(t, server)
  await server.until(() => server.streams.length === 1)
  server.bye('stopping')
  await server.until(() => server.count('stream') === 2)
  t.equal(server.count('enroll'), 1, 'the token was still good')
  server.state = 'pending'
  server.forgetTokens()
  server.bye('rejected')
  await server.until(() => server.count('enroll') >= 3)
  t.equal(server.count('stream'), 2)
})

t.test('a stream with lines that are none is left; kinds of lines from a newer server are passed over', async t => {
  const server = await FakeServer.open(t)
  const { executed } = await agent(t, server)
  await server.until(() => server.streams.length === 1)
  server.streams[0]!.write('{"type":"news","x":1}\n{"type":"ping"}\n')
  server.job(JID)
  await server.until(() => server.returns.length === 1)
  server.streams[0]!.write('no json\n')
  await server.until(() => server.count('stream') === 2)
  t.same(executed, [JID])
})

t.test('files come from the server by hash, and a server that is away is waited for', async t => {
  const server = await FakeServer.open(t)
  server.files.set('web/init.sls', { hash: 'abc', content: 'x: 1' })
  const { master } = await agent(t, server)
  await server.until(() => server.streams.length === 1)
  const file = await master.fetchFile('web/init.sls', 'base')
  if (file === null || file === 'unchanged') throw new Error('no file')
  t.match(file, { hash: 'abc', size: 4 })
  let content = ''
  for await (const chunk of file.content) content += Buffer.from(chunk).toString()
  t.equal(content, 'x: 1')
  t.equal(await master.fetchFile('web/init.sls', 'base', 'abc'), 'unchanged')
  t.equal(await master.fetchFile('nothing', 'base'), null)
  t.same(await master.listEnvironments(), ['base'])
  await server.down()
  const listed = master.listFiles('base')
  await server.up()
  t.same(await listed, ['web/init.sls'])
})

t.test('what is fired on the own bus is heard there, and the server does not see it', async t => {
  const server = await FakeServer.open(t)
  const { minion, master, logged } = await agent(t, server)
  await server.until(() => server.items.length === 2)
  const heard: unknown[] = []
  minion.bus.listen('my/*', () => {
    throw new Error('broken')
  })
  const undo = minion.bus.listen('my/*', (tag, data) => heard.push([tag, data]))
  await master.fireLocal('my/tag', { a: 1 })
  await master.fireLocal('other', {})
  undo()
  await master.fireLocal('my/tag', { a: 2 })
  t.match(heard, [['my/tag', { a: 1, _stamp: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/ }]])
  t.ok(logged.includes('a listener on the minion bus failed'))
  await master.sendEvent('last', {})
  await server.until(() => server.items.length === 3)
})

t.test('a second agent for the same directory does not start', async t => {
  const server = await FakeServer.open(t)
  const { dir } = await agent(t, server)
  await t.rejects(agent(t, server, { dir }), { code: 'DIRECTORY_LOCKED' })
})

t.test('neither private key nor token is ever logged', async t => {
  const server = await FakeServer.open(t)
  const lines: string[] = []
  const note = (fields: object, text: string) => lines.push(JSON.stringify(fields) + text)
  const { dir } = await agent(t, server, { log: { debug: note, info: note, warn: note, error: note } })
  await server.until(() => server.streams.length === 1)
  server.forgetTokens()
  server.streams[0]!.destroy()
  await server.until(() => server.count('stream') === 2)
  const secret = readFileSync(join(dir, 'pki', 'minion.pem'), 'utf8').split('\n')[1]!
  t.ok(lines.length > 1)
  t.notOk(lines.some(line => line.includes(secret) || /token-\d/.test(line)))
})

t.test('the preferred server is gone back to when it answers again (master_failback)', async t => {
  const first = await FakeServer.open(t)
  await first.down()
  const second = await FakeServer.open(t)
  await agent(t, second, { masters: new Masters({ urls: [first.url, second.url], failbackMs: 20 }) })
  await second.until(() => second.count('stream') === 1)
  await first.up()
  await first.until(() => first.count('stream') === 1)
  t.same(first.seen.slice(0, 3), ['enroll', 'token', 'stream'], 'a token is good for the server that gave it')
})

t.test('when the server that is talked to dies, the next one gets the returns', async t => {
  const [first, second] = [await FakeServer.open(t), await FakeServer.open(t)]
  await agent(t, first, { masters: new Masters({ urls: [first.url, second.url] }) })
  await first.until(() => first.count('up') > 0)
  const jid = '20261122190145000001'
  first.job(jid)
  await first.until(() => first.returns.length === 1)
  await first.down()
  await second.until(() => second.count('stream') === 1)
  second.job('20261122190145000002')
  await second.until(() => second.returns.some(({ jid }) => jid === '20261122190145000002'))
  t.pass()
})

t.test('what lets a new minion in goes with its key until it is accepted, and not with renewals', async t => {
  const server = await FakeServer.open(t)
  server.state = 'pending'
  server.tokenSeconds = 0.2
  const credentials = { enrolment_token: 'brine-enrol-x', autosign_grains: { uuid: '1' } }
  await agent(t, server, { credentials })
  await server.until(() => server.count('enroll') >= 2)
  server.state = 'accepted'
  await server.until(() => server.count('renewal') >= 1)
  const [enrolled, proved] = [
    server.asked.filter(({ path }) => path === '/minion/enroll'),
    server.asked.filter(({ path }) => path === '/minion/token')
  ]
  t.match(enrolled[0]!.body, credentials)
  t.match(proved[0]!.body, credentials)
  const renewal = proved.find(({ body }) => (body as { renewal: boolean }).renewal)
  t.notOk('enrolment_token' in (renewal!.body as object))
})

t.test('bodies are packed once the server says that it unpacks them', async t => {
  const server = await FakeServer.open(t)
  server.gzip = true
  const { master } = await agent(t, server)
  await server.until(() => server.count('up') > 0)
  await master.sendEvent('my/large', { text: 'x'.repeat(10_000) })
  await server.until(() => server.items.some(item => item.kind === 'event' && item.tag === 'my/large'))
  t.equal(server.packed, 1, 'small ones are sent as they are')
})

const LONG = 'ü€😀"\\ '.repeat(400_000)

t.test('a return that is too long for a request goes up in parts, in order with the rest', async t => {
  const server = await FakeServer.open(t)
  const execute = async (job: Job): Promise<Outcome> => ({ ...(await pong(job)), return: LONG })
  const { master } = await agent(t, server, { execute, spoolBytes: 64 * 1024 * 1024 })
  await server.until(() => server.count('up') > 0)
  server.job('20261122190145000001')
  await server.until(() => server.returns.length === 1)
  t.equal(server.returns[0]!.return, LONG)
  t.ok(server.count('part') >= 3)
  await master.sendEvent('my/after', {})
  await server.until(() => server.items.some(item => item.kind === 'event' && item.tag === 'my/after'))
  t.equal(server.returns.length, 1)
})

t.test('parts go on where the server has them after a broken connection, and anew when it has lost them', async t => {
  const server = await FakeServer.open(t)
  const execute = async (job: Job): Promise<Outcome> => ({ ...(await pong(job)), return: LONG })
  await agent(t, server, { execute, spoolBytes: 64 * 1024 * 1024 })
  await server.until(() => server.count('up') > 0)
  const places: number[] = []
  server.refuse = ({ part }) => {
    if (part) places.push(part.at)
    if (places.length === 3) server.parts.clear()
    return places.length === 2 ? { status: 503 } : null
  }
  server.job('20261122190145000001')
  await server.until(() => server.returns.length === 1)
  t.equal(server.returns[0]!.return, LONG)
  t.same(places.slice(0, 2), [0, places[1]])
  t.equal(places[2], 0, 'what the server has is asked for with the first part')
  t.ok(places[1]! > 0)
})

t.test('a file whose connection breaks off is fetched on from there; one that changed meanwhile is not pieced together', async t => {
  const server = await FakeServer.open(t)
  const { master } = await agent(t, server)
  await server.until(() => server.count('up') > 0)
  const content = '0123456789'.repeat(1000)
  server.files.set('large', { hash: 'a'.repeat(64), content, breakAfter: [4000, 3000] })
  const whole = async () => {
    const file = (await master.fetchFile('large', 'base')) as MasterFile
    const chunks: Uint8Array[] = []
    for await (const chunk of file.content) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  }
  t.equal(await whole(), content)
  // Noise, so that the part that came is a part of the content and not of its table.
  const noise = randomBytes(30_000).toString('base64')
  server.files.set('large', { hash: 'd'.repeat(64), content: noise, packed: 'whole' })
  t.equal(await whole(), noise, 'packed')
  server.files.set('large', { hash: 'd'.repeat(64), content: noise, packed: 'broken', breakAfter: [20_000] })
  t.equal(await whole(), noise, 'packed and broken off: the rest comes plain')
  const file = { hash: 'b'.repeat(64), content, breakAfter: [4000] }
  server.files.set('large', file)
  const fetched = (await master.fetchFile('large', 'base')) as MasterFile
  const rest = fetched.content[Symbol.asyncIterator]()
  await rest.next()
  server.files.set('large', { hash: 'c'.repeat(64), content: 'other' })
  const toTheEnd = async () => {
    while (!(await rest.next()).done);
  }
  await t.rejects(toTheEnd(), /changed on the server/)
})
