import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { loggedPath } from '../../src/plugins/logging.js'
import { withoutSecrets } from '../../src/shared/log.js'
import { changed, httpServer } from '../helpers/http.js'

t.test('every refusal has one shape, a stable code and the id of the request; never a stack', async t => {
  const s = await httpServer(t)
  const auth = { 'x-auth-token': s.token }
  const refused = async (
    method: 'GET' | 'POST' | 'PUT',
    url: string,
    more: { headers?: Record<string, string>; payload?: string } = {}
  ) => {
    const answer = await s.app.inject({ method, url, ...more, headers: { ...auth, ...more.headers } })
    const body = answer.json() as Record<string, unknown>
    t.equal(answer.headers['content-type'], 'application/json', url)
    t.equal(body.request_id, answer.headers['x-request-id'])
    t.equal(body.status, answer.statusCode)
    t.notMatch(answer.body, /\bat .*:\d+:\d+|node_modules/)
    return [answer.statusCode, body.code]
  }
  t.strictSame(await refused('GET', '/nope'), [404, 'NOT_FOUND'])
  t.strictSame(await refused('PUT', '/events'), [405, 'METHOD_NOT_ALLOWED'])
  t.strictSame(await refused('POST', '/hook/x', { headers: { 'content-type': 'application/json' }, payload: '{' }), [400, 'BODY_MALFORMED'])
  t.strictSame(await refused('GET', '/events', { headers: { 'x-auth-token': 'zz' } }), [401, 'NO_TOKEN'])
  t.strictSame(await refused('GET', '/%zz'), [400, 'FIELD_INVALID'])
})

t.test('405 says in Allow what the path can do, and OPTIONS says it without a token', async t => {
  const s = await httpServer(t)
  const put = await s.app.inject({ method: 'PUT', url: '/events', headers: { 'x-auth-token': s.token } })
  t.equal(put.headers.allow, 'GET, HEAD, POST')
  const options = await s.app.inject({ method: 'OPTIONS', url: '/hook/x' })
  t.strictSame([options.statusCode, options.headers.allow], [200, 'POST'])
})

t.test('a slash too many makes no difference', async t => {
  const s = await httpServer(t)
  for (const url of ['/healthz', '/healthz/', '//healthz']) t.equal((await s.app.inject(url)).statusCode, 200, url)
})

t.test('browsers are told to be careful with every answer', async t => {
  const s = await httpServer(t)
  for (const url of ['/healthz', '/nope', '/events']) {
    t.match((await s.app.inject(url)).headers, {
      'content-security-policy': /default-src 'none'/,
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer'
    })
  }
})

t.test('only listed origins may call from a browser, with credentials, and a preflight needs no token', async t => {
  const s = await httpServer(t, { config: { cors_origin: ['https://gui.example', '*'] } })
  const preflight = async (origin: string) => {
    const headers = { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,x-auth-token' }
    return await s.app.inject({ method: 'OPTIONS', url: '/hook/x', headers })
  }
  const listed = await preflight('https://gui.example')
  t.equal(listed.statusCode, 200)
  t.match(listed.headers, {
    'access-control-allow-origin': 'https://gui.example',
    'access-control-allow-credentials': 'true',
    'access-control-allow-methods': /POST/,
    'access-control-allow-headers': /X-Auth-Token/,
    'access-control-max-age': '1400'
  })
  t.equal((await preflight('https://evil.example')).headers['access-control-allow-origin'], undefined)
  const stream = await s.app.inject({ method: 'HEAD', url: '/events', headers: { origin: 'https://gui.example', 'x-auth-token': s.token } })
  t.equal(stream.headers['access-control-allow-origin'], 'https://gui.example')
})

t.test('a preflight promises GET and POST, as in salt-api, and of other methods those that the path has', async t => {
  const s = await httpServer(t, { config: { cors_origin: ['https://gui.example'] } })
  const promised = async (url: string, method?: string) => {
    const headers = { origin: 'https://gui.example', ...(method ? { 'access-control-request-method': method } : {}) }
    const answer = await s.app.inject({ method: 'OPTIONS', url, headers })
    t.equal(answer.statusCode, 200)
    return answer.headers['access-control-allow-methods'] !== undefined
  }
  for (const url of ['/run', '/nope']) {
    for (const method of ['GET', 'POST']) t.equal(await promised(url, method), true, `${method} ${url}`)
    for (const method of ['DELETE', 'FOO', undefined]) t.equal(await promised(url, method), false, `${method} ${url}`)
  }
  t.equal(await promised('/tokens/x', 'DELETE'), true)
})

t.test('health and readiness follow the store', async t => {
  let failing: string | null = null
  const s = await httpServer(t, {
    store: store => changed(store, { stats: () => ({ ...store.stats(), failing }) })
  })
  t.strictSame((await s.app.inject('/healthz')).json(), { status: 'ok' })
  t.strictSame((await s.app.inject('/readyz')).json(), { status: 'ready' })
  failing = 'the disk is full'
  const notReady = await s.app.inject('/readyz')
  t.strictSame([notReady.statusCode, notReady.json()], [503, { status: 'not ready', reason: 'the disk is full' }])
  t.ok(notReady.headers['retry-after'])
  t.equal((await s.app.inject('/healthz')).statusCode, 200)
})

t.test('/metrics tells what happened, by route pattern and without a single name of somebody', async t => {
  const s = await httpServer(t)
  await s.app.inject({ method: 'POST', url: '/hook/secret/path', headers: { 'x-auth-token': s.token } })
  const metrics = await s.app.inject('/metrics')
  t.match(metrics.headers['content-type'], /^text\/plain/)
  t.match(metrics.body, /^brine_events_appended_total 1$/m)
  t.match(metrics.body, /^brine_http_request_duration_seconds_count\{method="POST",route="\/hook\/\*",status="200"\} 1$/m)
  t.notMatch(metrics.body, /secret|admin/)
})

t.test('HTTP that does not parse is answered on the socket, with a line that says what is wrong', async t => {
  const s = await httpServer(t)
  const url = await s.listen()
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.end('NONSENSE\r\n\r\n')
  const answer = await text(socket)
  t.match(answer, /^HTTP\/1\.1 400 /)
  t.match(answer, /\r\nContent-Type: text\/plain\r\n[\s\S]*\r\n\r\nMalformed method name: /)
})

t.test("a client's own request id is kept when it is plain, and replaced when it is not", async t => {
  const s = await httpServer(t)
  const id = async (given: string) => (await s.app.inject({ url: '/healthz', headers: { 'x-request-id': given } })).headers['x-request-id']
  t.equal(await id('trace-17'), 'trace-17')
  t.not(await id('a b'), 'a b')
  t.not(await id('x'.repeat(65)), 'x'.repeat(65))
})

t.test('what is logged of a URL cannot be a token', async t => {
  const token = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl'
  t.equal(loggedPath(`/hook/ci/build?token=${token}`), '/hook/ci/build')
  t.equal(loggedPath(`/ws/${'0123456789'.repeat(4)}`), '/ws/012345…')
  t.equal(withoutSecrets(`GET /x?a=1&token=abc&b=2 Bearer abc ${token}`), 'GET /x?a=1&token=[redacted]&b=2 Bearer [redacted] [redacted]')
})

t.test('a setting that names the path of something else is refused with its name before anything listens', async t => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ 'rest_cherrypy.webhook_url': '/jobs' }, /rest_cherrypy\.webhook_url: \/jobs has something else/],
    [{ 'rest_cherrypy.webhook_url': '/docs' }, /rest_cherrypy\.webhook_url: \/docs has/],
    [{ 'rest_cherrypy.app_path': '/events' }, /rest_cherrypy\.app_path: \/events has/],
    [
      { 'rest_cherrypy.static': t.testdir({}), 'rest_cherrypy.static_path': '/app' },
      /rest_cherrypy\.app_path and rest_cherrypy\.static_path: \/app has/
    ]
  ]
  for (const [config, message] of cases) {
    await t.rejects(httpServer(t, { config }), { code: 'CONFIG_INVALID', message }, JSON.stringify(config))
  }
  const s = await httpServer(t, { config: { 'rest_cherrypy.webhook_url': '/jobs/done', 'rest_cherrypy.app_path': '/events-app' } })
  const hook = await s.app.inject({ method: 'POST', url: '/jobs/done/x', headers: { 'x-auth-token': s.token } })
  t.equal(hook.statusCode, 200)
})
