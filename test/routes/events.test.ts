import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { live, eventServer as server } from '../helpers/event-server.js'
import { newEvent, TestClock } from '../helpers/store.js'
import { tagsOf } from '../helpers/stream.js'

t.test('a stream begins as salt-api frames it, and frames carry id, tag and data', async t => {
  const s = await server(t)
  const stream = await s.open()
  await live(s, 1)
  await s.fire('my/tag')
  await stream.frames(1)
  const id = `${s.store.events.epoch}-1`
  t.equal(stream.text, `retry: 400\nid: ${id}\ntag: my/tag\ndata: {"data": {"_stamp":"2027-01-15T08:00:00.000000"}, "tag": "my/tag"}\n\n`)
  t.equal(stream.response.statusCode, 200)
  t.match(stream.response.headers, {
    'content-type': 'text/event-stream;charset=utf-8',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
    'transfer-encoding': 'chunked'
  })
})

t.test('the token of a stream may stand in its path, as in salt-api; beside one in the query it is one too many', async t => {
  const s = await server(t)
  const session = 'a1'.repeat(20)
  for (const path of [`/${s.token}`, `/${s.token}/?count=1`]) {
    const stream = await s.open(path, { 'x-auth-token': 'bad' })
    await live(s, 1)
    await s.fire('my/tag')
    t.strictSame(tagsOf(await stream.frames(1)), ['my/tag'], 'the path decides, not the header')
    stream.response.destroy()
    await live(s, 0)
  }
  const ask = (path: string) => fetch(`${s.url}/events${path}`, { headers: { 'x-auth-token': s.token } })
  for (const path of [`/${session}`, `/${'a1'.repeat(32)}`, '/zzz', '/../zz%2Fz']) t.equal((await ask(path)).status === 200, false, path)
  for (const path of [`/${session}`, '/zzz']) {
    const bad = await ask(path)
    t.equal(bad.status, 401)
    t.match(await bad.text(), /No permission -- see authorization schemes/)
  }
  t.equal((await ask(`/${s.token}?token=${s.token}`)).status, 404)
  t.equal((await ask(`/x?token=${s.token}`)).status, 404)
})

t.test('a reader that comes back with Last-Event-ID gets what it missed, once, and then what happens', async t => {
  const s = await server(t)
  await s.fire('a/1', 'a/2', 'a/3')
  const stream = await s.open('', { 'last-event-id': `${s.store.events.epoch}-1` })
  await stream.frames(2)
  await live(s, 1)
  await s.fire('a/4')
  t.strictSame(tagsOf(await stream.frames(3)), ['a/2', 'a/3', 'a/4'])
})

t.test('Last-Event-ID counts more than since, because a browser repeats its first URL', async t => {
  const s = await server(t)
  await s.fire('a/1', 'a/2', 'a/3')
  const stream = await s.open('?since=earliest&count=1', { 'last-event-id': `${s.store.events.epoch}-2` })
  t.strictSame(tagsOf(await stream.end()), ['a/3'])
})

t.test('an id that is not ours is no wish: the stream is live', async t => {
  const s = await server(t)
  await s.fire('a/1')
  const stream = await s.open('', { 'last-event-id': '7' })
  await live(s, 1)
  await s.fire('a/2')
  t.strictSame(tagsOf(await stream.frames(1)), ['a/2'])
})

t.test('since takes an id, a time, earliest and now', async t => {
  const clock = new TestClock()
  const s = await server(t, { clock })
  const stamps = [0, 10, 20].map(seconds => 1_800_000_000_000_000 + seconds * 1_000_000)
  for (const stampUs of stamps) await s.store.events.append([newEvent(`at/${stampUs}`, {}, { stampUs })])
  clock.us = stamps[2]! + 5_000_000
  const since = async (text: string) => tagsOf(await (await s.open(`?since=${encodeURIComponent(text)}&count=1`)).end())
  t.strictSame(await since('earliest'), [`at/${stamps[0]}`])
  t.strictSame(await since(`${s.store.events.epoch}-1`), [`at/${stamps[1]}`])
  t.strictSame(await since('2027-01-15T08:00:10'), [`at/${stamps[1]}`])
  t.strictSame(await since('2027-01-15T08:00:10.000001'), [`at/${stamps[2]}`])
  t.strictSame(await since('2027-01-15T09:00:20+01:00'), [`at/${stamps[2]}`])
  t.strictSame(await since('1800000010'), [`at/${stamps[1]}`])
  t.strictSame(await since('7s'), [`at/${stamps[2]}`])
  const now = await s.open('?since=now&count=1')
  await live(s, 1)
  await s.fire('now')
  t.strictSame(tagsOf(await now.end()), ['now'])
})

t.test('a since that is none of these is refused, with what was sent', async t => {
  const s = await server(t)
  for (const since of ['yesterday', '2027-13-01', '', '-5m', '2027-01-15T08:00:10 or so']) {
    const response = await s.ask(`?since=${encodeURIComponent(since)}`)
    t.equal(response.status, 400, since)
    t.match(await response.json(), { code: 'CURSOR_INVALID', status: 400 })
  }
})

t.test('tag and exclude are globs, repeatable, live and in history', async t => {
  const s = await server(t)
  const tags = ['job/1/new', 'job/1/ret/web1', 'key', 'minion/web1/start', 'job/2/ret/db1']
  const query = '?tag=job/*&tag=minion/*&exclude=*/new&exclude=*db1&since=earliest'
  await s.fire(...tags)
  const stream = await s.open(query)
  t.strictSame(tagsOf(await stream.frames(2)), ['job/1/ret/web1', 'minion/web1/start'])
  await live(s, 1)
  await s.fire(...tags)
  t.strictSame(tagsOf(await stream.frames(4)).slice(2), ['job/1/ret/web1', 'minion/web1/start'])
})

t.test('count ends the stream after exactly so many, in history, across the border, and in the middle of a batch', async t => {
  const s = await server(t)
  await s.fire('a', 'b', 'c')
  t.strictSame(tagsOf(await (await s.open('?since=earliest&count=2')).end()), ['a', 'b'])
  const stream = await s.open('?since=earliest&count=5')
  await stream.frames(3)
  await live(s, 1)
  await s.fire('d', 'e', 'f')
  const frames = await stream.end()
  t.strictSame(tagsOf(frames), ['a', 'b', 'c', 'd', 'e'])
  t.strictSame(frames.at(-1), { event: 'end', data: { reason: 'count' } })
})

t.test('timeout ends the stream, and the last frame says so', async t => {
  const s = await server(t)
  const frames = await (await s.open('?timeout=0.05')).end()
  t.strictSame(frames, [{ event: 'end', data: { reason: 'timeout' } }])
})

t.test('an idle stream gets comments, its share every heartbeat', async t => {
  const s = await server(t, { config: { sse_heartbeat_seconds: 1 } })
  const stream = await s.open()
  await stream.until(({ text }) => text.includes('\n: heartbeat\n\n'))
  t.equal(stream.text.slice(0, 11), 'retry: 400\n')
})

t.test('what retention has dropped is told by one gap frame, which is a cursor itself', async t => {
  const s = await server(t)
  const { epoch } = s.store.events
  await s.fire('a/1', 'a/2', 'a/3', 'a/4', 'a/5')
  await s.store.events.trim({ keep: 2, limit: 10 })
  const stream = await s.open('?count=2', { 'last-event-id': `${epoch}-1` })
  const frames = await stream.end()
  t.strictSame(frames[0], { id: `${epoch}-3`, event: 'gap', data: { from: `${epoch}-1`, to: `${epoch}-3`, reason: 'retention' } })
  t.strictSame(tagsOf(frames), ['a/4', 'a/5'])
  const again = await (await s.open('?count=1', { 'last-event-id': frames[0]!.id! })).end()
  t.strictSame(tagsOf(again), ['a/4'], 'no second gap for the same hole')
})

t.test('an id of another log is a gap, and then comes everything there is', async t => {
  const s = await server(t)
  const { epoch } = s.store.events
  await s.fire('a/1')
  const frames = await (await s.open('?count=1', { 'last-event-id': '0ther-900' })).end()
  t.strictSame(frames[0], { id: `${epoch}-0`, event: 'gap', data: { from: '0ther-900', to: `${epoch}-0`, reason: 'epoch' } })
  t.strictSame(tagsOf(frames), ['a/1'])
})

t.test('an id ahead of the log (a restored backup) is a gap, and the stream is live', async t => {
  const s = await server(t)
  const { epoch } = s.store.events
  await s.fire('a/1')
  const stream = await s.open('?count=1', { 'last-event-id': `${epoch}-900` })
  await live(s, 1)
  await s.fire('a/2')
  const frames = await stream.end()
  t.strictSame(frames[0]!.data, { from: `${epoch}-900`, to: `${epoch}-1`, reason: 'ahead' })
  t.strictSame(tagsOf(frames), ['a/2'])
})

t.test('HEAD answers with the head of a stream, or of a page, and nothing more', async t => {
  const s = await server(t)
  const stream = await fetch(`${s.url}/events`, { method: 'HEAD', headers: { 'x-auth-token': s.token } })
  t.strictSame([stream.status, stream.headers.get('content-type'), await stream.text()], [200, 'text/event-stream;charset=utf-8', ''])
  const page = await fetch(`${s.url}/events?limit=1`, { method: 'HEAD', headers: { 'x-auth-token': s.token, accept: 'application/json' } })
  t.strictSame([page.status, page.headers.get('content-type'), await page.text()], [200, 'application/json', ''])
  t.equal(s.hub.subscribers, 0)
})

t.test('an HTTP/1.0 client gets the same frames without chunks, until the connection ends', async t => {
  const s = await server(t)
  await s.fire('old/1')
  const socket = connect(Number(new URL(s.url).port), '127.0.0.1')
  socket.write(`GET /events?since=earliest&count=1 HTTP/1.0\r\nX-Auth-Token: ${s.token}\r\n\r\n`)
  let text = ''
  socket.setEncoding('utf8').on('data', data => (text += data))
  await once(socket, 'end')
  const [head, body] = text.split('\r\n\r\n')
  t.notMatch(head!.toLowerCase(), 'transfer-encoding')
  t.match(body, /^retry: 400\nid: \w+-1\ntag: old\/1\ndata: .*\n\nevent: end\n/)
})

t.test('a stream that is asked for behind another request on the same connection comes after its answer', async t => {
  const s = await server(t)
  await s.fire('p/1')
  const socket = connect(Number(new URL(s.url).port), '127.0.0.1')
  const head = `Host: x\r\nX-Auth-Token: ${s.token}\r\n\r\n`
  socket.write(`GET /healthz HTTP/1.1\r\n${head}GET /events?since=earliest&count=1 HTTP/1.1\r\n${head}`)
  let text = ''
  socket.setEncoding('utf8').on('data', data => {
    text += data
  })
  await once(socket, 'end')
  const [health, stream] = text.split(/(?<=\})(?=HTTP)/)
  t.match(health, /^HTTP\/1\.1 200 /)
  t.ok(health!.endsWith('{"status": "ok"}'))
  t.match(stream, /^HTTP\/1\.1 200 /)
  const body = stream!.slice(stream!.indexOf('\r\n\r\n') + 4)
  t.ok(body.startsWith('b\r\nretry: 400\n\r\n'))
  t.match(body, 'tag: p/1\n')
  t.ok(body.endsWith('\r\n0\r\n\r\n'))
})

t.test('more streams than max_subscribers are refused with 503', async t => {
  const s = await server(t, { config: { max_subscribers: 1 } })
  const stream = await s.open()
  await live(s, 1)
  const refused = await s.ask('')
  t.equal(refused.status, 503)
  t.ok(refused.headers.get('retry-after'))
  t.match(await refused.json(), { code: 'STREAMS_FULL' })
  stream.close()
  while (s.hub.subscribers > 0) await new Promise(resolve => setImmediate(resolve))
  t.equal((await s.open()).response.statusCode, 200, 'room again')
})

t.test('closing the server ends open streams with a last frame', async t => {
  const s = await server(t)
  const stream = await s.open()
  await live(s, 1)
  await s.close()
  t.strictSame(await stream.end(), [{ event: 'end', data: { reason: 'server is stopping' } }])
})

t.test('a reader that does not read does not hold the server when it closes', async t => {
  const s = await server(t, { config: { subscriber_buffer_bytes: 64 * 1024 * 1024 } })
  const stuck = await s.open()
  await live(s, 1)
  stuck.response.pause()
  stuck.response.socket.pause()
  for (let i = 0; i < 20; i++) await s.store.events.append([newEvent(`big/${i}`, { text: 'x'.repeat(1_000_000) })])
  await s.close()
  stuck.response.resume()
  stuck.response.socket.resume()
  const frames = await stuck.end()
  t.ok(frames.length < 20, 'it was dropped with what it had not taken')
})

t.test('readers that never read are cut with the others unharmed, and come back where they were', async t => {
  const s = await server(t, { config: { subscriber_buffer_bytes: 64 * 1024 } })
  const stuck = await s.open()
  await stuck.until(({ text }) => text.startsWith('retry'))
  stuck.response.pause()
  stuck.response.socket.pause()
  const reader = await s.open()
  await live(s, 2)
  const text = 'x'.repeat(50_000)
  let fired = 0
  while (s.hub.counters.cut === 0) {
    await s.store.events.append([newEvent(`big/${++fired}`, { text })])
    await reader.frames(fired)
  }
  t.equal(s.hub.subscribers, 1)
  t.equal(tagsOf(await reader.frames(fired)).length, fired)
  stuck.response.resume()
  stuck.response.socket.resume()
  const got = await stuck.end()
  t.ok(got.length < fired)
  const resumed = await s.open(`?count=${fired - got.length}`, { 'last-event-id': got.at(-1)!.id! })
  t.strictSame(
    [...tagsOf(got), ...tagsOf(await resumed.end())],
    Array.from({ length: fired }, (_, i) => `big/${i + 1}`)
  )
})
