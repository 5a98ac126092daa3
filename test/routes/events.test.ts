import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { type HttpTest, type HttpTestOptions, httpServer } from '../helpers/http.js'
import { newEvent, TestClock } from '../helpers/store.js'
import { StreamClient, tagsOf } from '../helpers/stream.js'

interface Test {
  teardown(handler: () => unknown): unknown
}

/** A server that listens, with what a stream test needs. */
async function server(t: Test, options: HttpTestOptions = {}) {
  const s = await httpServer(t, options)
  const url = await s.listen()
  return {
    ...s,
    url,
    fire: (...tags: string[]) => s.store.events.append(tags.map(tag => newEvent(tag))),
    async open(query = '', headers: Record<string, string> = {}) {
      const stream = await StreamClient.open(`${url}/events${query}`, { 'x-auth-token': s.token, ...headers })
      t.teardown(() => stream.close())
      return stream
    },
    async ask(query: string, headers: Record<string, string> = {}) {
      return await fetch(`${url}/events${query}`, { headers: { 'x-auth-token': s.token, ...headers } })
    }
  }
}

/** Resolves when the server counts so many live streams. */
async function live(s: HttpTest, count: number) {
  while (s.hub.live < count) await new Promise(resolve => setImmediate(resolve))
}

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
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    'transfer-encoding': 'chunked'
  })
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

t.test('a stream ends with its token, saying why', async t => {
  const clock = new TestClock()
  const s = await server(t, { clock })
  const { token } = await s.auth.issue({ user: 'admin', eauth: 'admin', label: 'short', expiresSeconds: 10 })
  const stream = await s.open('', { 'x-auth-token': token })
  await live(s, 1)
  s.hub.sweep(clock.nowUs())
  t.notOk(stream.closed)
  clock.pass(10)
  // The sweep that comes by itself every second.
  t.strictSame(await stream.end(), [{ event: 'end', data: { reason: 'token expired' } }])
})

t.test('a revoked token ends its streams at once, and no others', async t => {
  const s = await server(t)
  const { token, jti } = await s.auth.issue({ user: 'admin', eauth: 'admin', label: 'other', expiresSeconds: 60 })
  const mine = await s.open('', { 'x-auth-token': token })
  const other = await s.open()
  await live(s, 2)
  await s.auth.revoke(jti)
  t.strictSame(await mine.end(), [{ event: 'end', data: { reason: 'token revoked' } }])
  await s.fire('still/here')
  t.strictSame(tagsOf(await other.frames(1)), ['still/here'])
})

t.test('a caller sees the tags that it may read and no others: live, in history, one by one', async t => {
  const s = await server(t, { users: { ci: [{ '@events': [{ read: ['ci/*'] }] }], nobody: [] } })
  const token = { 'x-auth-token': await s.tokenOf('ci') }
  await s.fire('ci/1', 'salt/auth', 'ci/2')
  const stream = await s.open('?since=earliest', token)
  t.strictSame(tagsOf(await stream.frames(2)), ['ci/1', 'ci/2'])
  await live(s, 1)
  await s.fire('salt/key', 'ci/3')
  t.strictSame(tagsOf(await stream.frames(3)), ['ci/1', 'ci/2', 'ci/3'])
  t.strictSame(
    tagsOf(await (await s.open('?since=earliest&tag=*&count=3', token)).end()),
    ['ci/1', 'ci/2', 'ci/3'],
    'asking for all gives no more'
  )
  const page = await s.ask('?since=earliest', { ...token, accept: 'application/json' })
  t.strictSame(
    ((await page.json()) as { events: { tag: string }[] }).events.map(event => event.tag),
    ['ci/1', 'ci/2', 'ci/3']
  )
  const { epoch } = s.store.events
  t.equal((await s.ask(`/${epoch}-1`, token)).status, 200)
  t.equal((await s.ask(`/${epoch}-2`, token)).status, 404)
  t.equal((await s.ask('', { 'x-auth-token': await s.tokenOf('nobody') })).status, 401)
})

t.test('the token may stand in the header, as bearer, in the cookie, in the URL; the first one found decides', async t => {
  const s = await server(t)
  const status = async (query: string, headers: Record<string, string>) => {
    const stream = await StreamClient.open(`${s.url}/events${query}`, headers)
    stream.close()
    return stream.response.statusCode
  }
  t.equal(await status('', { 'x-auth-token': s.token }), 200)
  t.equal(await status('', { authorization: `Bearer ${s.token}` }), 200)
  t.equal(await status('', { cookie: `session_id=${s.token}` }), 200)
  t.equal(await status(`?token=${s.token}`, {}), 200)
  t.equal(await status(`?salt_token=${s.token}`, {}), 200)
  t.equal(await status(`?token=${s.token}&salt_token=zz`, {}), 200)
  t.equal(await status('', {}), 401)
  t.equal(await status('?token=zzz', { 'x-auth-token': s.token }), 401, 'a bad one is not rescued')
  t.equal(await status('', { 'x-auth-token': 'zzz', cookie: `session_id=${s.token}` }), 401)
  t.equal((await s.app.inject({ method: 'POST', url: `/hook/x?token=${s.token}` })).statusCode, 401, 'in URLs for streams alone')
})

t.test('a ticket opens a stream of its tags, once, and does nothing else', async t => {
  const s = await server(t)
  const ask = async (payload: object) => {
    const r = await s.app.inject({ method: 'POST', url: '/events/ticket', headers: { 'x-auth-token': s.token }, payload })
    return r.json() as { ticket: string; url: string }
  }
  const { url } = await ask({ tags: ['ci/*'] })
  await s.fire('ci/1', 'salt/auth', 'ci/2')
  const stream = await StreamClient.open(`${s.url}${url}&since=earliest&count=2`)
  t.strictSame(tagsOf(await stream.end()), ['ci/1', 'ci/2'])
  t.equal((await fetch(s.url + url)).status, 401, 'used up')
  const { ticket } = await ask({})
  const hook = await s.app.inject({ method: 'POST', url: '/hook/x', headers: { 'x-auth-token': ticket } })
  t.equal(hook.statusCode, 401)
})

t.test('no token value stands in any line that is logged', async t => {
  const s = await server(t, { logLevel: 'trace' })
  const { ticket } = await s.auth.ticket((await s.auth.verify(s.token)) as never)
  ;(await s.open(`?token=${s.token}`, {})).close()
  await fetch(`${s.url}/events/${s.token}`)
  await fetch(`${s.url}/nope/${s.token}?token=${s.token}`)
  await fetch(`${s.url}/events?token=${ticket}&timeout=0.01`).then(r => r.text())
  await fetch(`${s.url}/hook/%ff?token=${s.token}`)
  await s.close()
  const lines = s.logged.join('')
  t.match(lines, '/events', 'requests are logged at this level')
  for (const secret of [s.token, ticket, s.token.split('.')[2]!]) t.notOk(lines.includes(secret))
})

t.test('HEAD answers with the head of a stream, or of a page, and nothing more', async t => {
  const s = await server(t)
  const stream = await fetch(`${s.url}/events`, { method: 'HEAD', headers: { 'x-auth-token': s.token } })
  t.strictSame([stream.status, stream.headers.get('content-type'), await stream.text()], [200, 'text/event-stream;charset=utf-8', ''])
  const page = await fetch(`${s.url}/events`, { method: 'HEAD', headers: { 'x-auth-token': s.token, accept: 'application/json' } })
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

t.test('what a stream cannot do is refused, with the way to get it', async t => {
  const s = await server(t)
  for (const query of ['?limit=10', '?direction=backward', '?until=now', '?before=e1-5']) {
    const refused = await s.ask(query)
    t.equal(refused.status, 400, query)
    t.match(await refused.json(), { code: 'FIELD_INVALID', error: /Accept: application\/json/ })
  }
})

t.test('pages of history follow one another in both directions', async t => {
  const s = await server(t)
  await s.fire('p/1', 'p/2', 'q/3', 'p/4', 'p/5')
  const { epoch } = s.store.events
  const page = async (query: string) => {
    const body = (await (await s.ask(query, { accept: 'application/json' })).json()) as {
      events: { tag: string }[]
      next: string
      more: boolean
    }
    return { tags: body.events.map(event => event.tag), next: body.next, more: body.more }
  }
  t.strictSame(await page('?tag=p/*&limit=3'), { tags: ['p/1', 'p/2', 'p/4'], next: `${epoch}-4`, more: true })
  t.strictSame(await page(`?tag=p/*&limit=3&after=${epoch}-4`), { tags: ['p/5'], next: `${epoch}-5`, more: false })
  t.strictSame(await page(`?tag=p/*&limit=3&after=${epoch}-5`), { tags: [], next: `${epoch}-5`, more: false })
  t.strictSame(await page('?tag=p/*&limit=2&direction=backward'), { tags: ['p/5', 'p/4'], next: `${epoch}-4`, more: true })
  t.strictSame(await page(`?tag=p/*&limit=3&before=${epoch}-4`), { tags: ['p/2', 'p/1'], next: `${epoch}-1`, more: false })
})

t.test('history as NDJSON has a line per event, with the bytes of the stream', async t => {
  const s = await server(t)
  await s.store.events.append([newEvent('n/1', { text: 'a\nb "c" é\u2028' }), newEvent('n/2')])
  const response = await s.ask('', { accept: 'application/x-ndjson' })
  t.equal(response.headers.get('content-type'), 'application/x-ndjson')
  const lines = (await response.text()).split('\n')
  t.equal(lines.pop(), '')
  t.strictSame(
    lines.map(line => (JSON.parse(line) as { tag: string }).tag),
    ['n/1', 'n/2']
  )
  const stored = await s.store.events.get(1)
  t.ok(lines[0]!.endsWith(`"data": ${stored!.json}}`))
})

t.test('history says what is missing', async t => {
  const s = await server(t)
  const { epoch } = s.store.events
  await s.fire('a/1', 'a/2', 'a/3')
  await s.store.events.trim({ keep: 1, limit: 10 })
  const gap = { from: `${epoch}-1`, to: `${epoch}-2`, reason: 'retention' }
  t.match(await (await s.ask(`?after=${epoch}-1`, { accept: 'application/json' })).json(), { gap, events: [{ tag: 'a/3' }] })
  const lines = (await (await s.ask(`?after=${epoch}-1`, { accept: 'application/x-ndjson' })).text()).trim().split('\n')
  t.strictSame(JSON.parse(lines[0]!), { gap })
  t.equal(lines.length, 2)
})

t.test('history with a timeout waits for the first event', async t => {
  const s = await server(t)
  const waiting = s.ask('?tag=ci/*&timeout=20', { accept: 'application/json' })
  while (s.hub.following === 0) await new Promise(resolve => setImmediate(resolve))
  await s.fire('other', 'ci/done')
  t.match(await (await waiting).json(), { events: [{ tag: 'ci/done' }] })
  t.match(await (await s.ask('?tag=ci/*&timeout=0.02', { accept: 'application/json' })).json(), { events: [] })
})

t.test('an unknown parameter, and a value out of bounds, is refused with its name', async t => {
  const s = await server(t)
  const unknown = await s.ask('?tags=x')
  t.equal(unknown.status, 404, 'as salt-api has it')
  t.match(await unknown.json(), { error: /tags/ })
  const wrong = await s.ask('?count=0')
  t.equal(wrong.status, 400)
  t.match(await wrong.json(), { code: 'FIELD_INVALID', error: /count/ })
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

t.test('one event by its id, with who fired it and why', async t => {
  const s = await server(t)
  await s.store.events.append([
    newEvent('a', {}, { source: 'user:ci' }),
    newEvent('b', { x: 1 }, { source: 'reactor', cause: { seq: 1, depth: 1 } })
  ])
  const { epoch } = s.store.events
  t.match(await (await s.ask(`/${epoch}-2`)).json(), {
    id: `${epoch}-2`,
    tag: 'b',
    data: { x: 1 },
    source: 'reactor',
    cause: { id: `${epoch}-1`, depth: 1 }
  })
  const json = '{"n": 12345678901234567890, "f": 1.0, "_stamp": "2027-01-15T08:00:00.000000"}'
  await s.store.events.append([{ ...newEvent('c'), json }])
  t.match(await (await s.ask(`/${epoch}-3`)).text(), `"data": ${json}`, 'with the bytes that are in the log')
  t.match(await (await s.ask(`/${epoch}-2`, { accept: 'application/x-yaml' })).text(), 'tag: b\n')
  for (const id of [`${epoch}-4`, '0ther-1', 'zz']) t.equal((await s.ask(`/${id}`)).status, 404)
})

t.test('a number without end is refused like any other that is out of bounds', async t => {
  const s = await httpServer(t)
  const headers = { 'x-auth-token': s.token, accept: 'application/json' }
  for (const query of ['timeout=Infinity', 'timeout=-Infinity', 'timeout=1e400', 'limit=Infinity', 'count=Infinity']) {
    const answer = await s.app.inject({ url: `/events?${query}`, headers })
    t.strictSame([answer.statusCode, answer.json().error], [400, `field '${query.split('=')[0]}': must be a finite number`], query)
  }
  const payload = { seconds: 'Infinity' }
  const ticket = await s.app.inject({ method: 'POST', url: '/events/ticket', headers, payload })
  t.strictSame([ticket.statusCode, ticket.json().error], [400, "field 'seconds': must be a finite number"])
})
