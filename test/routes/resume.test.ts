import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { httpServer } from '../helpers/http.js'
import { framesOf, StreamClient, tagsOf } from '../helpers/stream.js'

t.test('a reader that resumes across restarts while events flow gets each of them exactly once, in order', async t => {
  const RESTARTS = 3
  let server = await httpServer(t)
  let url = await server.listen()
  const { token, data } = server
  const headers = { 'x-auth-token': token, 'content-type': 'application/json' }

  // A writer that goes on whatever happens, and knows what was answered.
  const acknowledged: string[] = []
  let writing = true
  const writer = (async () => {
    for (let n = 1; writing; n++) {
      const answer = await fetch(`${url}/events`, { method: 'POST', headers, body: JSON.stringify({ tag: `flow/${n}` }) }).catch(() => null)
      if (answer?.ok) acknowledged.push(`flow/${n}`)
      else await pause(5)
      await answer?.arrayBuffer().catch(() => {})
    }
  })()

  const seen: { id: string; tag: string }[] = []
  const read = async (count: number) => {
    const cursor = seen.at(-1)?.id
    const stream = await StreamClient.open(`${url}/events?tag=flow/*&since=earliest`, {
      'x-auth-token': token,
      ...(cursor === undefined ? {} : { 'last-event-id': cursor })
    })
    const frames = await stream.frames(count)
    return { stream, take: () => seen.push(...frames.flatMap(({ id, tag }) => (id && tag ? [{ id, tag }] : []))) }
  }

  for (let restart = 0; restart < RESTARTS; restart++) {
    const { stream, take } = await read(20)
    take()
    stream.close()
    await server.close()
    server = await httpServer(t, { data })
    url = await server.listen()
  }
  writing = false
  await writer
  const left = (await server.store.events.head()) - seen.length
  if (left > 0) (await read(left)).take()

  const tags = seen.map(({ tag }) => tag)
  t.strictSame(tags, [...new Set(tags)], 'none twice')
  const numbers = tags.map(tag => Number(tag.slice(5)))
  t.strictSame(
    numbers,
    [...numbers].sort((a, b) => a - b),
    'in order'
  )
  for (const tag of acknowledged) if (!tags.includes(tag)) t.fail(`${tag} was answered with 200 and is missing`)
  t.ok(acknowledged.length >= 20 * RESTARTS)
})

t.test('50 of 500 readers never read: they are cut, the others get every event, and what waits stays bounded', async t => {
  const READERS = 500
  const STUCK = 50
  const bound = 64 * 1024
  const server = await httpServer(t, { config: { subscriber_buffer_bytes: bound }, logLevel: 'warn' })
  const url = await server.listen()
  const sockets = new Set<import('node:net').Socket>()
  server.app.server.on('connection', socket => sockets.add(socket))
  const open = async (count: number, query: string) => {
    const streams: StreamClient[] = []
    while (streams.length < count) {
      const headers = { 'x-auth-token': server.token }
      streams.push(...(await Promise.all(Array.from({ length: 50 }, () => StreamClient.open(`${url}/events${query}`, headers)))))
    }
    t.teardown(() => {
      for (const stream of streams) stream.close()
    })
    return streams
  }
  // The large events are for those who do not read: to fill the system's own buffers takes megabytes for each.
  const stuck = await open(STUCK, '')
  const reading = await open(READERS - STUCK, '?exclude=big/*')
  for (const { response } of stuck) {
    response.pause()
    response.socket.pause()
  }
  while (server.hub.live < READERS) await pause(1)

  const text = 'x'.repeat(60_000)
  let fired = 0
  let most = 0
  while (server.hub.counters.cut < STUCK) {
    await server.services.events.fire(`big/${++fired}`, { text }, { source: 'server' })
    await server.services.events.fire(`small/${fired}`, {}, { source: 'server' })
    await Promise.all(reading.map(stream => stream.until(({ text }) => text.includes(`tag: small/${fired}\n`))))
    most = Math.max(most, ...[...sockets].map(socket => socket.writableLength))
  }
  t.equal(server.hub.subscribers, READERS - STUCK)
  // Its bound, and the event that went beyond it.
  t.ok(most < bound + 2 * text.length, `${most} bytes wait at most`)
  const expected = Array.from({ length: fired }, (_, i) => `small/${i + 1}`)
  t.ok(reading.every(stream => tagsOf(framesOf(stream.text)).join() === expected.join()))
  stuck[0]!.response.resume()
  stuck[0]!.response.socket.resume()
  t.ok(tagsOf(await stuck[0]!.end()).length < fired * 2, 'what it got ends somewhere')
})
