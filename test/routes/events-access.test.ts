import t from 'tap'
import { live, eventServer as server } from '../helpers/event-server.js'
import { TestClock } from '../helpers/store.js'
import { StreamClient, tagsOf } from '../helpers/stream.js'

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
