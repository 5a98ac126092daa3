import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import t, { type Test as TapTest } from 'tap'
import { history } from '../helpers/history.js'
import { lowstate, startMinion } from '../helpers/minion.js'
import { type BrineProcess, readEvents, type StreamedEvent, startBrine, tempData } from '../helpers/server.js'

t.test('a reader that comes back with Last-Event-ID across restarts sees each event once while events flow', async t => {
  const data = tempData(t)
  let brine = await startBrine(t, { data, args: ['--no-minion'] })
  let sent = 0
  let posting = true
  const poster = (async () => {
    while (posting) {
      await brine.fetch('/hook/flow', { method: 'POST', body: new URLSearchParams({ n: String(sent) }) }).then(
        answer => {
          if (answer.ok) sent++
          return answer.arrayBuffer()
        },
        // Away for the moment; the same number is posted again, so an unanswered one may be there twice in the log. Its id is not.
        () => wait(20)
      )
    }
  })()
  const seen: StreamedEvent[] = []
  const follow = async (until: number) => {
    const last = seen.at(-1)
    const url = last ? `${brine.url}/events?tag=salt/netapi/hook/flow` : `${brine.url}/events?tag=salt/netapi/hook/flow&since=earliest`
    const headers = { 'x-auth-token': brine.token, ...(last ? { 'last-event-id': last.id } : {}) }
    await readEvents(url, headers, event => {
      seen.push(event)
      return seen.length >= until
    }).catch(() => {})
  }
  for (const end of ['stop', 'crash'] as const) {
    await follow(seen.length + 50)
    // Nobody reads while these come and the server goes away.
    await wait(50)
    await brine[end]()
    brine = await startBrine(t, { data, args: ['--no-minion'] })
  }
  await follow(seen.length + 50)
  posting = false
  await poster
  const all = (await history(brine)).filter(event => event.tag === 'salt/netapi/hook/flow')
  while (seen.length < all.length) await follow(all.length)
  t.ok(sent > 100, 'events did flow')
  t.same(
    seen.map(event => event.id),
    all.map(event => event.id),
    'the same events in the same order, each once'
  )
})

t.test('the return of a job that ended while the server was down arrives later, once', async t => {
  const { brine, restart } = await fleetOfOne(t)
  const { jid } = await lowstate<{ jid: string }>(brine, { client: 'local_async', tgt: 'edge', fun: 'test.sleep', arg: [2] })
  await untilRunning(brine, jid)
  // The minion is another process: it goes on.
  await brine.crash()
  await wait(2500)
  const again = await restart()
  const events = await readEvents(
    `${again.url}/events?since=earliest&tag=salt/job/${jid}/ret/*`,
    { 'x-auth-token': again.token },
    () => true
  )
  t.match(events[0]?.data, { id: 'edge', jid, return: true, success: true })
  await lowstate(again, { client: 'local', tgt: 'edge', fun: 'test.ping' })
  t.equal((await history(again)).filter(event => event.tag === `salt/job/${jid}/ret/edge`).length, 1)
})

t.test('a minion that is killed in the middle of a job returns it as failed when it is back, once, and does not run it again', async t => {
  const { brine, minion, restartMinion } = await fleetOfOne(t)
  const marker = `${minion.dir}/ran`
  const { jid } = await lowstate<{ jid: string }>(brine, {
    client: 'local_async',
    tgt: 'edge',
    fun: 'cmd.run',
    arg: [`test -e ${marker} && touch ${marker}-again; touch ${marker}; sleep 60`]
  })
  while (!existsSync(marker)) await wait(20)
  await minion.crash()
  restartMinion()
  const events = await readEvents(
    `${brine.url}/events?since=earliest&tag=salt/job/${jid}/ret/*`,
    { 'x-auth-token': brine.token },
    () => true
  )
  t.match(events[0]?.data, { id: 'edge', jid, success: false, retcode: 1 })
  await lowstate(brine, { client: 'local', tgt: 'edge', fun: 'test.ping' })
  t.equal((await history(brine)).filter(event => event.tag === `salt/job/${jid}/ret/edge`).length, 1)
  t.notOk(existsSync(`${marker}-again`), 'it ran once')
})

/** A server without embedded minion, and one minion process 'edge' that is accepted and connected. The server's port stays the same. */
async function fleetOfOne(t: TapTest) {
  const data = tempData(t)
  const dir = tempData(t)
  const port = await freePort()
  const start = () => startBrine(t, { data, port, args: ['--no-minion'], env: { BRINE_AUTO_ACCEPT: 'true' } })
  const brine = await start()
  const restartMinion = () => startMinion(t, { id: 'edge', master: brine.url, dir })
  const minion = restartMinion()
  await readEvents(`${brine.url}/events?since=earliest&tag=salt/minion/edge/start`, { 'x-auth-token': brine.token }, () => true)
  return { brine, minion, restart: start, restartMinion }
}

async function untilRunning(brine: BrineProcess, jid: string): Promise<void> {
  for (;;) {
    const running = await lowstate<Record<string, { jid: string }[]>>(brine, { client: 'local', tgt: 'edge', fun: 'saltutil.running' })
    if (running.edge?.some(job => job.jid === jid)) return
  }
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}
