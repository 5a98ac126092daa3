import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { brineError } from '../../src/errors.js'
import type { Reactor } from '../../src/reactor/reactor.js'
import { packageRoot } from '../../src/shared/paths.js'
import { changed, type HttpTestOptions, httpServer } from '../helpers/http.js'

interface Test {
  teardown(handler: () => unknown): unknown
}

async function server(t: Test, options: HttpTestOptions = {}) {
  const s = await httpServer(t, options)
  return {
    ...s,
    post: (url: string, headers: Record<string, string> = {}, payload?: string | Buffer) =>
      s.app.inject({
        method: 'POST',
        url,
        headers: { 'x-auth-token': s.token, ...headers },
        ...(payload === undefined ? {} : { payload })
      }),
    last: async () => {
      const event = (await s.store.events.get(await s.store.events.head()))!
      return { tag: event.tag, data: JSON.parse(event.json) as Record<string, unknown> }
    }
  }
}

const JSON_TYPE = { 'content-type': 'application/json' }

interface Case {
  readonly name: string
  readonly request: {
    readonly method: string
    readonly path: string
    readonly headers: Record<string, string>
    readonly body: string | null
  }
  readonly response: { readonly status: number; readonly headers: Record<string, string>; readonly body: unknown }
  readonly events?: readonly { readonly tag: string; readonly data: Record<string, unknown> }[]
}

/** Sends a recorded request as it was sent: over a socket, because clients add headers and take dots out of paths. */
async function play(url: string, { method, path, headers, body }: Case['request'], tokens: Record<string, string> = {}) {
  const length = body === null ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }
  const fields = Object.entries({ Host: 'localhost:8000', ...headers, ...length, Connection: 'close' })
  const head = fields.map(([name, value]) => `${name}: ${value.replace(/\{\{(\w+)\}\}/, (_, key: string) => tokens[key]!)}\r\n`)
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write(`${method} ${path} HTTP/1.1\r\n${head.join('')}\r\n${body ?? ''}`)
  const [answer, text] = (await buffer(socket)).toString('utf8').split('\r\n\r\n')
  return { status: Number(answer!.split(' ')[1]), type: /^content-type: (.*)$/im.exec(answer!)?.[1]?.trim(), body: text! }
}

t.test('hooks answer and fire as salt-api does, but for credentials in the headers', async t => {
  const cases = JSON.parse(readFileSync(join(packageRoot(), 'test/fixtures/golden/api/hook.json'), 'utf8')) as Case[]
  const s = await server(t, {
    users: { ro: ['test.*', 'grains.*', '@jobs'] },
    config: {
      hook_headers: [
        'Remote-Addr',
        'Host',
        'Connection',
        'Content-Type',
        'Content-Length',
        'Accept',
        'X-Auth-Token',
        'Cookie',
        'Authorization'
      ]
    }
  })
  const url = await s.listen()
  const tokens = { token: s.token, ro_token: await s.tokenOf('ro') }
  // Named in the golden notes: `..` is refused, raw bytes are taken.
  const ours: Record<string, number> = { 'hook-dotdot': 400, 'hook-octet-stream': 200 }
  for (const each of cases) {
    const before = await s.store.events.head()
    const answer = await play(url, each.request, tokens)
    const status = ours[each.name] ?? each.response.status
    t.equal(answer.status, status, each.name)
    const fired = (await s.store.events.head()) - before
    if (status !== 200) {
      t.equal(fired, 0, `${each.name}: refused, so nothing happened`)
      t.match(answer.body, new RegExp(`<title>${status} `), 'a page, because it asks for no type')
      continue
    }
    t.equal(fired, 1)
    if (!each.events?.length) continue
    t.equal(answer.type, each.response.headers['content-type'], each.name)
    const { _stamp, headers, ...expected } = each.events[0]!.data
    const { 'X-Auth-Token': _t, Cookie: _c, Authorization: _a, ...kept } = headers as Record<string, string>
    const got = await s.last()
    const { _stamp: stamp, ...data } = got.data
    t.equal(got.tag, each.events[0]!.tag)
    t.strictSame(data, { ...expected, headers: kept }, each.name)
    t.strictSame(Object.keys(got.data), ['body', 'post', 'headers', '_stamp'])
    t.match(stamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)
  }
  const yaml = await s.post('/hook/y', { ...JSON_TYPE, accept: 'application/x-yaml' }, '{}')
  t.strictSame([yaml.headers['content-type'], yaml.body], ['application/x-yaml', 'success: true\n'])
})

t.test('only listed headers are kept, and credentials never, listed or not', async t => {
  const secret = {
    authorization: 'Basic c2VjcmV0',
    cookie: 'a=b',
    'x-hub-signature-256': 'sha256=0',
    'x-gitlab-token': 'g',
    'x-api-key': 'k'
  }
  const s = await server(t, {
    config: {
      hook_headers: ['X-GitHub-Event', 'Authorization', 'Cookie', 'X-Hub-Signature-256', 'X-GitLab-Token', 'X-Api-Key', 'X-Auth-Token']
    }
  })
  t.equal((await s.post('/hook/gh', { ...JSON_TYPE, ...secret, 'x-github-event': 'push', 'x-other': '1' }, '{}')).statusCode, 200)
  t.strictSame((await s.last()).data.headers, { 'X-Github-Event': 'push' })
})

t.test('with * all headers are kept, as in salt-api, but for credentials', async t => {
  const s = await server(t, { config: { hook_headers: ['*'] } })
  const secret = { authorization: 'Basic c2VjcmV0', cookie: 'a=b', 'x-hub-signature': 'sha1=0', 'x-secret-key': 'k' }
  await s.post('/hook/all', { ...JSON_TYPE, ...secret, 'x-other': '1', 'remote-addr': '9.9.9.9' }, '{}')
  const { headers } = (await s.last()).data as { headers: Record<string, string> }
  t.match(headers, { 'Remote-Addr': '127.0.0.1', 'X-Other': '1', 'Content-Type': 'application/json', 'Content-Length': '2' })
  t.strictSame(
    Object.keys(headers).filter(name => /auth|cookie|signature|secret/i.test(name)),
    []
  )
})

t.test('bytes that are no text travel as base64, and the event says so', async t => {
  const s = await server(t)
  const bytes = Buffer.from([0x7b, 0xff, 0x00, 0xfe])
  for (const type of [
    'application/octet-stream',
    'application/json',
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/x-yaml'
  ]) {
    t.equal((await s.post('/hook/raw', { 'content-type': type }, bytes)).statusCode, 200, type)
    t.match((await s.last()).data, { body: bytes.toString('base64'), body_encoding: 'base64', post: {} })
  }
})

t.test('quotes, line breaks, templates, stars and NUL in a body come back as they were', async t => {
  const s = await server(t)
  const text = 'a "quoted" \\ line\r\n{{ data }} {% raw %} *?[x] \u0000 \u2028 é 世界'
  for (const type of ['text/plain', 'TEXT/Plain; charset=utf-8']) {
    t.equal((await s.post('/hook/odd', { 'content-type': type }, text)).statusCode, 200)
    t.match((await s.last()).data, { body: text, post: text })
  }
  t.equal((await s.post('/hook/odd', JSON_TYPE, JSON.stringify({ text }))).statusCode, 200)
  t.match((await s.last()).data, { post: { text } })
})

t.test('a path becomes a tag only if a tag can be that', async t => {
  const s = await server(t)
  const url = await s.listen()
  const post = async (path: string) => (await play(url, { method: 'POST', path, headers: { 'X-Auth-Token': s.token }, body: null })).status
  const refused = ['a/%2e%2e/b', './x', '..', 'a%0ab', 'a%00', 'a%7f', 'x'.repeat(1024), '%ff', '%zz']
  for (const path of refused) t.equal(await post(`/hook/${path}`), 400, path)
  t.equal(await s.store.events.head(), 0)
  const taken = { '//a///b/': 'a/b', '/a%2Fb': 'a/b', '/%E4%B8%96%20%7B%7Bx%7D%7D*%22': '世 {{x}}*"', '/...': '...' }
  for (const [path, tag] of Object.entries(taken)) {
    t.equal(await post(`/hook${path}`), 200, path)
    t.equal((await s.last()).tag, `salt/netapi/hook/${tag}`)
  }
})

t.test('an idempotency key makes a repeat answer with the first event, also after a restart', async t => {
  const s = await server(t)
  const key = { ...JSON_TYPE, 'idempotency-key': 'build-7' }
  const first = await s.post('/hook/ci', key, '{"n": 1}')
  const again = await s.post('/hook/ci', key, '{"n": 2}')
  t.strictSame([again.statusCode, again.json()], [200, first.json()])
  t.match(first.json(), { success: true, id: `${s.store.events.epoch}-1` })
  t.equal(again.headers['idempotent-replayed'], 'true')
  t.equal(first.headers['idempotent-replayed'], undefined)
  t.equal(await s.store.events.head(), 1)
  await s.close()
  const restarted = await server(t, { data: s.data })
  t.strictSame((await restarted.post('/hook/ci', key, '{}')).json(), first.json())
})

t.test("one caller's idempotency key is not another's", async t => {
  const s = await server(t, { users: { a: ['test.ping'], b: ['test.ping'] } })
  const post = async (user: string) =>
    s.post('/hook/x', { ...JSON_TYPE, 'idempotency-key': 'k', 'x-auth-token': await s.tokenOf(user) }, '{}')
  t.not((await post('a')).json().id, (await post('b')).json().id)
  t.equal((await s.post('/hook/x', { ...JSON_TYPE, 'idempotency-key': 'k'.repeat(256) }, '{}')).statusCode, 400)
})

t.test('an idempotency key is for one tag, and no choice of a user name reaches the keys of another', async t => {
  const s = await server(t, { users: { a: ['test.ping'], 'a b': ['test.ping'] } })
  const post = async (user: string, tag: string, key: string) =>
    s.post(`/hook/${tag}`, { ...JSON_TYPE, 'idempotency-key': key, 'x-auth-token': await s.tokenOf(user) }, '{}')
  const first = (await post('a', 'x', 'b c')).json()
  t.not((await post('a', 'y', 'b c')).json().id, first.id, 'another tag is another event')
  t.not((await post('a b', 'x', 'c')).json().id, first.id)
  t.equal((await post('a', 'x', 'b c')).json().id, first.id)
  t.equal(await s.store.events.head(), 3)
})

t.test('a client that goes away in the middle of its body is no failure of the server', async t => {
  const s = await server(t)
  const socket = connect(Number(new URL(await s.listen()).port), '127.0.0.1')
  const gone = new Promise<void>(resolve => s.app.server.on('connection', each => each.once('close', () => setImmediate(resolve))))
  socket.write(
    `POST /hook/x HTTP/1.1\r\nHost: x\r\nX-Auth-Token: ${s.token}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{`
  )
  socket.end()
  await gone
  t.strictSame(
    s.logged.filter(line => (JSON.parse(line) as { level: number }).level >= 50),
    []
  )
  t.equal(await s.store.events.head(), 0)
})

t.test('what is too large is refused with 413 and nothing is fired', async t => {
  const s = await server(t, { config: { max_request_body_size: 4000, max_event_size: 2000 } })
  const body = await s.post('/hook/x', { 'content-type': 'text/plain' }, 'x'.repeat(4001))
  t.strictSame([body.statusCode, body.json().code], [413, 'BODY_TOO_LARGE'])
  const event = await s.post('/hook/x', { 'content-type': 'text/plain' }, 'x'.repeat(1500))
  t.strictSame([event.statusCode, event.json().code], [413, 'EVENT_TOO_LARGE'])
  t.equal(await s.store.events.head(), 0)
})

t.test('a chunked body is a body', async t => {
  const s = await server(t)
  const url = await s.listen()
  const response = await fetch(`${url}/hook/c`, {
    method: 'POST',
    headers: { 'x-auth-token': s.token, ...JSON_TYPE },
    body: new Blob(['{"a": 1}']).stream(),
    duplex: 'half'
  } as RequestInit)
  t.equal(response.status, 200)
  t.match((await s.last()).data, { body: '{"a": 1}', post: { a: 1 } })
})

t.test('refusals of the store become 503 with Retry-After; nothing is answered with 200 that was not written', async t => {
  let failure: Error | null = null
  const s = await server(t, {
    store: store => {
      const append: typeof store.events.append = (...args) => (failure ? Promise.reject(failure) : store.events.append(...args))
      return changed(store, { events: changed(store.events, { append }) })
    }
  })
  for (const code of ['STORE_BUSY', 'STORE_FULL'] as const) {
    failure = brineError(code)
    const refused = await s.post('/hook/x', JSON_TYPE, '{}')
    t.strictSame([refused.statusCode, refused.json().code], [503, code])
    t.match(refused.headers['retry-after'], /^\d+$/)
  }
  failure = new Error('disk /dev/sda at /secret/path is on fire')
  const broken = await s.post('/hook/x', JSON_TYPE, '{}')
  t.strictSame([broken.statusCode, broken.json().code], [500, 'INTERNAL'])
  t.notMatch(broken.body, 'secret')
  t.match(s.logged.join(''), 'secret/path', 'the log knows more')
})

t.test('while the reactor is too far behind, events are refused with 503 instead of being forgotten later', async t => {
  let busy = true
  const reactor = { overloaded: () => busy, backlog: () => ({ lag: 0, open: 0, running: 0 }) } as unknown as Reactor
  const s = await server(t, { services: { reactor } })
  const refused = await s.post('/hook/x', JSON_TYPE, '{}')
  t.strictSame([refused.statusCode, refused.json().code], [503, 'REACTOR_BUSY'])
  t.match(refused.headers['retry-after'], /^\d+$/)
  busy = false
  t.equal((await s.post('/hook/x', JSON_TYPE, '{}')).statusCode, 200)
})

t.test('a caller needs permission, and knows of nothing without a token', async t => {
  const s = await server(t, { users: { nobody: [] } })
  t.equal((await s.post('/hook/x', { 'x-auth-token': await s.tokenOf('nobody') })).statusCode, 403)
  t.equal((await s.app.inject({ method: 'POST', url: '/hook/x' })).statusCode, 401)
  t.equal((await s.app.inject({ method: 'GET', url: '/hook/x' })).statusCode, 401, 'before the method is looked at')
  t.equal(await s.store.events.head(), 0)
})

t.test('a session cookie does not count on a request from another site', async t => {
  const s = await server(t, { config: { cors_origin: ['https://gui.example'] } })
  const post = async (headers: Record<string, string>) => {
    const cookie = { cookie: `session_id=${s.token}`, host: 'brine.example' }
    return (await s.app.inject({ method: 'POST', url: '/hook/x', headers: { ...cookie, ...headers } })).statusCode
  }
  t.equal(await post({}), 200, 'not a browser')
  t.equal(await post({ origin: 'http://brine.example' }), 200)
  t.equal(await post({ origin: 'https://gui.example' }), 200, 'allowed by cors_origin')
  t.equal(await post({ origin: 'http://evil.example' }), 403)
  t.equal(await post({ origin: 'null' }), 403)
  t.equal(await post({ 'sec-fetch-site': 'cross-site' }), 403)
  t.equal(await post({ origin: 'http://evil.example', 'x-auth-token': s.token }), 200, 'a header is sent on purpose')
})
