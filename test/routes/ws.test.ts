import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { WebSocket } from 'ws'
import { httpServer } from '../helpers/http.js'

/** A client that keeps what it hears; `said(n)` resolves with the first n texts. */
function client(url: string, headers: Record<string, string> = {}) {
  const socket = new WebSocket(url.replace('http', 'ws'), { headers })
  const texts: string[] = []
  socket.on('message', data => texts.push(String(data)))
  const said = async (count: number) => {
    while (texts.length < count) await once(socket, 'message')
    return texts.slice(0, count)
  }
  return { socket, said }
}

async function refusedWith(url: string, headers: Record<string, string>): Promise<number> {
  const { socket } = client(url, headers)
  socket.on('error', () => {})
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }]
  return response.statusCode
}

t.test('after the ready message each event is a text frame, in order, and nothing before', async t => {
  const s = await httpServer(t)
  const url = await s.listen()
  const { socket, said } = client(`${url}/ws/${s.token}`)
  await once(socket, 'open')
  await s.services.events.fire('before', {}, { source: 'server' })
  socket.send('websocket client ready')
  await said(1)
  await s.services.events.fire('a/b', { n: 1 }, { source: 'server' })
  const [received, event] = await said(2)
  t.equal(received, 'server received message')
  t.match(event, /^data: \{"data": \{"n": 1, "_stamp": "[^"]+"\}, "tag": "a\/b"\}\n\n$/)
  socket.close()
  await once(socket, 'close')
})

t.test('a token in the path and one in the query are one too many, as in salt-api', async t => {
  const s = await httpServer(t)
  const url = await s.listen()
  t.equal(await refusedWith(`${url}/ws/${s.token}?token=${s.token}`, {}), 404)
})

t.test('a cookie opens a WebSocket for pages of this server and of listed origins alone; a token does so for all', async t => {
  const s = await httpServer(t, { config: { cors_origin: ['https://gui.example'] } })
  const url = await s.listen()
  const cookie = `session_id=${s.token}`
  t.equal(await refusedWith(`${url}/ws`, { cookie, origin: 'http://evil.example' }), 403)
  const opening: [string, Record<string, string>][] = [
    ['/ws', { cookie }],
    ['/ws', { cookie, origin: url }],
    ['/ws', { cookie, origin: 'https://gui.example' }],
    ['/ws', { 'x-auth-token': s.token, origin: 'http://evil.example' }],
    [`/ws/${s.token}`, { origin: 'http://evil.example' }],
    [`/ws?token=${s.token}`, {}]
  ]
  for (const [path, headers] of opening) {
    const { socket } = client(url + path, headers)
    await once(socket, 'open')
    socket.close()
    await once(socket, 'close')
  }
})

t.test('who may read nothing gets no WebSocket, and who may read some tags hears of those', async t => {
  const s = await httpServer(t, { users: { none: ['test.*'], some: [{ '@events': [{ read: ['my/*'] }] }] } })
  const url = await s.listen()
  t.equal(await refusedWith(`${url}/ws`, { 'x-auth-token': await s.tokenOf('none') }), 401)
  t.equal(await refusedWith(`${url}/ws/unknown`, {}), 401)
  const { socket, said } = client(`${url}/ws/${await s.tokenOf('some')}`)
  await once(socket, 'open')
  socket.send('websocket client ready')
  await said(1)
  await s.services.events.fire('other', {}, { source: 'server' })
  await s.services.events.fire('my/own', {}, { source: 'server' })
  t.match((await said(2))[1], /"tag": "my\/own"/)
  socket.close()
  await once(socket, 'close')
})

t.test('a WebSocket ends with its token, and with the server', async t => {
  const s = await httpServer(t, { users: { some: ['@events'] } })
  const url = await s.listen()
  const issued = await s.auth.issue({ user: 'some', eauth: 'token', label: 'test', expiresSeconds: 60 })
  const first = client(`${url}/ws/${issued.token}`)
  await once(first.socket, 'open')
  const ended = once(first.socket, 'close')
  await s.auth.revoke(issued.jti)
  t.equal((await ended)[0], 1008)
  const second = client(`${url}/ws/${s.token}`)
  await once(second.socket, 'open')
  const stopped = once(second.socket, 'close')
  await s.close()
  t.equal((await stopped)[0], 1012)
})

t.test('with format_events jobs and minions are gathered, and other events say nothing', async t => {
  const s = await httpServer(t)
  const url = await s.listen()
  const { socket, said } = client(`${url}/ws/${s.token}?format_events`)
  await once(socket, 'open')
  socket.send('websocket client ready')
  await said(1)
  const jid = '20261122203758556109'
  const fire = (tag: string, data: Record<string, unknown>) => s.services.events.fire(tag, data, { source: 'server' })
  await fire('other', {})
  await fire(`salt/job/${jid}/new`, { jid, fun: 'test.ping', tgt: '*', tgt_type: 'glob', minions: ['m1'] })
  await fire(`salt/job/${jid}/ret/m1`, { jid, fun: 'test.ping', return: true, retcode: 0, success: true })
  await fire('salt/presence/present', { present: ['m1'] })
  const [, started, done, present] = (await said(4)).map(text => (text.startsWith('{') ? JSON.parse(text) : text))
  t.match(started, { jobs: { [jid]: { jid, fun: 'test.ping', tgt: '*', tgt_type: 'glob', state: 'running', start_time: String } } })
  t.match(done, { jobs: { [jid]: { state: 'complete', minions: { m1: { success: true, return: true, retcode: 0 } } } } })
  t.strictSame(present, { minions: [{ id: 'm1' }] })
  socket.close()
  await once(socket, 'close')
})

t.test('a request for another protocol on another path is answered, and its connection ends', async t => {
  const s = await httpServer(t)
  const url = await s.listen()
  const ask = async (lines: readonly string[]) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write(
      ['Host: x', 'Connection: Upgrade', 'Upgrade: h2c'].reduce((head, line) => `${head}\r\n${line}`, lines[0]!) +
        `\r\n${lines.slice(1).join('\r\n')}`
    )
    return await text(socket)
  }
  t.match(await ask(['GET /healthz HTTP/1.1', '', '']), /^HTTP\/1\.1 200 [\s\S]*\{"status": "ok"\}/)
  t.match(await ask(['GET /nope HTTP/1.1', '', '']), /^HTTP\/1\.1 404 /)
  // With a body, too, whatever becomes of it: the connection is the other protocol's by then.
  const head = ['POST /hook/up HTTP/1.1', `X-Auth-Token: ${s.token}`, 'Content-Type: text/plain', 'Content-Length: 5', '']
  t.match(await ask([...head, 'hello']), /^HTTP\/1\.1 /)
  t.match(await ask(['POST /hook/up HTTP/1.1', `X-Auth-Token: ${s.token}`, '', '']), /^HTTP\/1\.1 /)
  t.match(await ask(['POST /ws HTTP/1.1', `X-Auth-Token: ${s.token}`, '', '']), /^HTTP\/1\.1 405 /)
})

t.test('who talks without listening is cut', async t => {
  const s = await httpServer(t)
  const url = await s.listen()
  const { socket } = client(`${url}/ws/${s.token}`)
  socket.on('error', () => {})
  await once(socket, 'open')
  socket.pause()
  // More than the system's buffers take: their size is the machine's, so it goes on until it is over.
  let open = true
  socket.once('close', () => {
    open = false
  })
  while (open && socket.readyState === socket.OPEN) {
    for (let i = 0; i < 1000; i++) socket.ping('x'.repeat(100))
    if (socket.bufferedAmount > 0) await new Promise(resolve => setImmediate(resolve))
  }
  t.pass('the connection has ended')
})

t.test('a token that counts for longer than a timer can wait does not end its stream', async t => {
  const s = await httpServer(t)
  const url = await s.listen()
  const { token } = await s.auth.issue({ user: 'admin', eauth: 'admin', label: 'long', expiresSeconds: 90 * 86_400 })
  const { socket, said } = client(`${url}/ws/${token}`)
  await once(socket, 'open')
  socket.send('websocket client ready')
  t.strictSame(await said(1), ['server received message'])
  socket.close()
  await once(socket, 'close')
})
