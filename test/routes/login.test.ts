import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { readExternalAuth } from '../../src/auth/external-auth.js'
import { httpServer } from '../helpers/http.js'

const ADMIN = { username: 'admin', password: 'hush-hush', eauth: 'sharedsecret' }
const LIMITED = [
  { m1: ['test.ping', { 'test.echo': { args: ['^hello$'] } }] },
  { '@runner': ['jobs.list_jobs', 'test.arg'] },
  { '@wheel': ['key.list_all'] }
]

function config(more: object = {}) {
  const read = readExternalAuth({
    sharedsecret: { admin: ['.*', '@wheel', '@runner', '@jobs', '@events'], limited: LIMITED, noperms: [], shorty: ['@jobs', 'test.*'] }
  })
  if (!('value' in read)) throw new Error('external_auth')
  return { external_auth: read.value, sharedsecret: 'hush-hush', token_expire_user_override: { sharedsecret: ['shorty'] }, ...more }
}

interface Session {
  token: string
  expire: number
  start: number
  user: string
  eauth: string
  perms: unknown
}
const session = (answer: LightMyRequestResponse): Session => (answer.json() as { return: [Session] }).return[0]

t.test('GET /login asks to log in', async t => {
  const { app } = await httpServer(t, { config: config() })
  const answer = await app.inject('/login')
  t.equal(answer.statusCode, 200)
  t.equal(answer.body, '{"status": null, "return": "Please log in"}')
  t.equal(answer.headers['www-authenticate'], 'Session')
  t.equal((await app.inject('/login?x=1')).statusCode, 404)
  t.equal((await app.inject({ url: '/login', headers: { accept: 'application/x-yaml' } })).body, 'return: Please log in\nstatus: null\n')
})

t.test('a login answers as salt-api: token in body, header and cookie, perms sorted', async t => {
  const { app } = await httpServer(t, { config: config() })
  const answer = await app.inject({ method: 'POST', url: '/login', payload: ADMIN })
  t.equal(answer.statusCode, 200)
  const { token, expire, start, ...rest } = session(answer)
  t.strictSame(rest, { user: 'admin', eauth: 'sharedsecret', perms: ['.*', '@events', '@jobs', '@runner', '@wheel'] })
  t.equal(Math.round(expire - start), 43_200)
  t.ok(Math.abs(start - Date.now() / 1000) < 60)
  t.equal(answer.headers['x-auth-token'], token)
  t.equal(answer.headers['set-cookie'], `session_id=${token}; Max-Age=43200; Path=/; HttpOnly; SameSite=Lax`)
  t.equal(answer.headers['cache-control'], 'no-store')
  t.match(
    answer.body,
    /^\{"return": \[\{"token": ".*", "expire": [\d.]+, "start": [\d.]+, "user": "admin", "eauth": "sharedsecret", "perms": \[/
  )
})

t.test('form, JSON, YAML, JSON as text/plain and a list of one are all read', async t => {
  const { app } = await httpServer(t, { config: config() })
  const bodies: [string, string][] = [
    ['application/x-www-form-urlencoded', 'username=admin&password=hush-hush&eauth=sharedsecret'],
    ['application/json', JSON.stringify([ADMIN])],
    ['application/json', JSON.stringify({ ...ADMIN, client: 'local', foo: 'bar' })],
    ['application/x-yaml', 'username: admin\npassword: hush-hush\neauth: sharedsecret\n'],
    ['text/plain', JSON.stringify(ADMIN)]
  ]
  for (const [type, payload] of bodies) {
    const answer = await app.inject({ method: 'POST', url: '/login', payload, headers: { 'content-type': type } })
    t.equal(answer.statusCode, 200, `${type} ${answer.body}`)
  }
})

t.test('perms: mappings by their key, {} when there are none', async t => {
  const { app } = await httpServer(t, { config: config() })
  const perms = async (username: string) =>
    session(await app.inject({ method: 'POST', url: '/login', payload: { ...ADMIN, username } })).perms
  const [onMinion, onRunner, onWheel] = LIMITED
  t.strictSame(await perms('limited'), [onRunner, onWheel, onMinion])
  t.strictSame(await perms('noperms'), {})
})

t.test('token_expire is granted to those who may ask for it', async t => {
  const { app } = await httpServer(t, { config: config() })
  const lifetime = async (username: string) => {
    const { start, expire } = session(await app.inject({ method: 'POST', url: '/login', payload: { ...ADMIN, username, token_expire: 3 } }))
    return Math.round(expire - start)
  }
  t.equal(await lifetime('shorty'), 3)
  t.equal(await lifetime('admin'), 43_200)
})

t.test('wrong and missing credentials are 401, the same for all; what is no login at all is 400', async t => {
  const { app } = await httpServer(t, { config: config({ login_attempts_per_minute: 1000 }) })
  const post = (payload: unknown, type = 'application/json') =>
    app.inject({ method: 'POST', url: '/login', payload: payload as string, headers: { 'content-type': type } })
  const bodies = new Set<string>()
  for (const fields of [
    { password: 'no' },
    { username: 'eve' },
    { username: undefined },
    { password: undefined },
    { eauth: 'nosuch' },
    { eauth: 'pam' },
    { username: ['admin'] }
  ]) {
    const answer = await post(JSON.stringify({ ...ADMIN, ...fields }))
    t.equal(answer.statusCode, 401, JSON.stringify(fields))
    t.equal(answer.headers['set-cookie'], undefined)
    const { request_id: _, ...rest } = answer.json() as Record<string, unknown>
    bodies.add(JSON.stringify(rest))
  }
  t.strictSame(
    [...bodies],
    [JSON.stringify({ status: 401, code: 'LOGIN_FAILED', error: 'Could not authenticate using provided credentials' })]
  )
  t.equal((await post('{}')).statusCode, 401)
  for (const body of ['', '"admin"', '["admin"]', '[]', 'null', '{"username": ']) t.equal((await post(body)).statusCode, 400, body)
  t.equal((await app.inject({ method: 'POST', url: '/login' })).statusCode, 400)
  t.equal((await post('x', 'application/octet-stream')).statusCode, 406)
  t.equal((await app.inject({ method: 'PUT', url: '/login', payload: ADMIN })).statusCode, 405)
})

t.test('too many wrong logins are 429 with Retry-After', async t => {
  const { app } = await httpServer(t, { config: config({ login_attempts_per_minute: 2 }) })
  const wrong = () => app.inject({ method: 'POST', url: '/login', payload: { ...ADMIN, password: 'no' } })
  await wrong()
  await wrong()
  const answer = await wrong()
  t.equal(answer.statusCode, 429)
  t.match(answer.headers['retry-after'], /^\d+$/)
})

t.test('a login in a live session gives a new id and ends the old one', async t => {
  const { app, token: admin } = await httpServer(t, { config: config() })
  const login = (headers: Record<string, string>) => app.inject({ method: 'POST', url: '/login', payload: ADMIN, headers })
  const works = async (token: string) =>
    (await app.inject({ method: 'POST', url: '/hook/x', payload: {}, headers: { 'x-auth-token': token } })).statusCode
  const first = session(await login({})).token
  t.equal(await works(first), 200)
  const second = session(await login({ 'x-auth-token': first })).token
  t.not(second, first)
  t.strictSame([await works(first), await works(second)], [401, 200])
  const third = session(await login({ cookie: `session_id=${second}` })).token
  t.strictSame([await works(second), await works(third)], [401, 200])
  await login({ 'x-auth-token': admin })
  t.equal(await works(admin), 200, 'a token that was made on purpose is no session')
})

t.test('after /logout the token is dead at once, and the cookie goes', async t => {
  const { app } = await httpServer(t, { config: config() })
  const { token } = session(await app.inject({ method: 'POST', url: '/login', payload: ADMIN }))
  const logout = (headers: Record<string, string>, payload?: string) =>
    app.inject({ method: 'POST', url: '/logout', headers, ...(payload ? { payload } : {}) })
  t.equal((await logout({})).statusCode, 401)
  t.equal((await logout({ 'x-auth-token': 'zzzz' })).statusCode, 401)
  t.equal((await app.inject('/logout')).statusCode, 405)
  t.equal((await app.inject({ url: '/logout', headers: { 'x-auth-token': token } })).statusCode, 405)
  const answer = await logout({ 'x-auth-token': token, 'content-type': 'application/x-www-form-urlencoded' }, 'a=1')
  t.equal(answer.body, '{"return": "Your token has been cleared"}')
  t.match(answer.headers['set-cookie'], /^session_id=; Max-Age=0; Path=\//)
  t.equal((await logout({ 'x-auth-token': token })).statusCode, 401)
})

t.test('tokens for programs: made, listed without themselves, ended', async t => {
  const { app, token: admin } = await httpServer(t, { users: { ci: [{ '@events': ['ci/*'] }] } })
  const ask = (method: 'GET' | 'POST' | 'DELETE', url: string, token: string, payload?: object) =>
    app.inject({ method, url, headers: { 'x-auth-token': token }, ...(payload ? { payload } : {}) })
  const made = await ask('POST', '/tokens', admin, { user: 'ci', label: 'pipeline', expire_seconds: 60 })
  t.equal(made.statusCode, 201)
  const { token, id } = made.json() as { token: string; id: string }
  t.equal((await ask('POST', '/hook/x', token, {})).statusCode, 200)
  const list = await ask('GET', '/tokens', admin)
  t.match(list.json(), { tokens: [{ id, user: 'ci', eauth: 'token', label: 'pipeline' }, { label: 'test' }] })
  t.notOk(list.body.includes(token))
  t.equal((await ask('GET', '/tokens', token)).statusCode, 403)
  t.equal((await ask('DELETE', `/tokens/${id}`, token)).statusCode, 403)
  t.equal((await ask('DELETE', `/tokens/${id}`, admin)).statusCode, 200)
  t.equal((await ask('POST', '/hook/x', token, {})).statusCode, 401)
  t.equal((await ask('DELETE', '/tokens/nosuch', admin)).statusCode, 404)
})

t.test('nobody makes a token that may more than its maker', async t => {
  const { app, tokenOf } = await httpServer(t, { users: { keeper: ['@token'], root: ['.*', '@wheel'], other: ['.*'] } })
  const make = async (user: string, body: object) =>
    (await app.inject({ method: 'POST', url: '/tokens', headers: { 'x-auth-token': await tokenOf(user) }, payload: body })).statusCode
  t.equal(await make('keeper', {}), 201)
  for (const body of [{ user: 'root' }, { eauth: 'admin' }, { user: 'admin', eauth: 'admin' }, { user: 'keeper', eauth: 'file' }]) {
    t.equal(await make('keeper', body), 403, JSON.stringify(body))
    t.equal(await make('root', { ...body, user: 'other' }), 403)
  }
  t.equal(await make('other', {}), 403)
  t.equal(await make('keeper', { tags: ['a'] }), 400)
  t.equal(await make('keeper', { expire_seconds: -1 }), 400)
})

t.test('no token and no password appears in the log, at its most talkative', async t => {
  const { app, listen, logged, token: admin } = await httpServer(t, { config: config(), logLevel: 'trace' })
  const answer = await app.inject({ method: 'POST', url: '/login', payload: ADMIN })
  const { token } = session(answer)
  await app.inject({ method: 'POST', url: '/login', payload: { ...ADMIN, password: 'hush-hush-wrong' } })
  await app.inject({ url: `/events?token=${token}x&timeout=1` })
  await app.inject({ url: `/login?token=${token}` })
  const stream = await fetch(`${await listen()}/events/${token}?timeout=1`)
  t.match([stream.status, await stream.text()], [200, /^retry: /])
  await app.inject({
    method: 'POST',
    url: '/hook/x',
    headers: { authorization: `Bearer ${token}`, cookie: `session_id=${admin}` },
    payload: {}
  })
  await app.inject({ method: 'POST', url: '/logout', headers: { 'x-auth-token': token } })
  const text = logged.join('')
  t.match(text, /login/)
  t.match(text, /\/events/)
  for (const secret of [token, admin, 'hush-hush', token.split('.')[2]!]) t.notOk(text.includes(secret))
})
