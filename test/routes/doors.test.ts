import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readExternalAuth } from '../../src/auth/external-auth.js'
import { appBench } from '../helpers/app.js'
import { type Door, doorsOf, through } from '../helpers/doors.js'

/** In everything that is on the server and not for everybody: in no answer to somebody who may not have it. */
const SECRET = 'Canary7f3'

/**
 * Routes that ask for no token, each with its reason. A route that is not here must refuse whoever has none. What such a route answers to anybody is
 * looked at all the same: it does nothing and shows nothing.
 */
const OPEN: Readonly<Record<string, string>> = {
  'GET /': 'the welcome text',
  'GET /index': 'the welcome text',
  'GET /token': 'the welcome text',
  'POST /token': 'takes names and passwords',
  'GET /app': 'a page without data; it asks for a token',
  'GET /app/*': 'a page without data; it asks for a token',
  'GET /login': 'says how to log in',
  'POST /login': 'takes name and password',
  'GET /run': 'the welcome text',
  'POST /run': 'takes credentials in its chunks',
  'GET /healthz': 'for machines that watch: alive or not',
  'GET /readyz': 'for machines that watch: ready or not',
  'GET /metrics': 'figures, without names or data; bind it by the proxy in front',
  'POST /minion/enroll': 'a new minion shows its key, which waits for acceptance',
  'POST /minion/token': 'a minion proves its key',
  'GET /docs': 'the documentation of the API',
  'GET /docs/static/*': 'the documentation of the API',
  'GET /docs/json': 'the documentation of the API',
  'GET /docs/yaml': 'the documentation of the API',
  'GET /docs/static/index.html': 'the documentation of the API',
  'GET /docs/static/swagger-initializer.js': 'the documentation of the API'
}

/** What somebody with a token and hardly any permission gets other than 401 and 403, and why. `fires`: it does what it says. */
const LOW: Readonly<Record<string, { readonly status: number; readonly reason: string; readonly fires?: true }>> = {
  'GET /events/:id': { status: 404, reason: 'an event that may not be seen is not there' },
  'GET /events/:id/trace': { status: 404, reason: 'an event that may not be seen is not there' },
  'POST /events/:id/re-emit': { status: 404, reason: 'an event that may not be seen is not there' },
  'POST /hook': { status: 200, reason: 'whoever has some permission may post hooks, as in Salt', fires: true },
  'POST /hook/*': { status: 200, reason: 'whoever has some permission may post hooks, as in Salt', fires: true },
  'GET /stats': { status: 200, reason: 'counters of the HTTP server, for any session, as in Salt' },
  'GET /ws': { status: 426, reason: 'the path speaks WebSocket; whoever does is looked at there' },
  'GET /ws/:token': { status: 426, reason: 'the path speaks WebSocket; whoever does is looked at there' },
  'POST /logout': { status: 200, reason: 'ends the own session' }
}

/** What some routes are asked for; of others the schema says it. Each would do something if it were permitted. */
const BODIES: Readonly<Record<string, unknown>> = {
  'POST /': [{ client: 'local_async', tgt: '*', fun: 'test.ping' }],
  'POST /index': [{ client: 'local_async', tgt: '*', fun: 'test.ping' }],
  'POST /jobs': [{ client: 'local_async', tgt: '*', fun: 'test.ping' }],
  'POST /minions': [{ tgt: '*', fun: 'test.ping' }],
  'POST /events': { tag: 'myco/by/somebody', data: {} },
  'POST /tokens': { user: 'admin', eauth: 'admin' },
  'POST /reactor/rules': { tag: 'a/*', sls: ['/x.sls'] },
  'PUT /reactor/rules/:id': { tag: 'a/*', sls: ['/x.sls'] },
  'PATCH /reactor/rules/:id': { enabled: false },
  'PUT /reactor/sls/*': { text: '# by somebody' },
  'POST /reactor/test': { event: { tag: SECRET, data: {} } }
}

/** Streams of events take tickets, and tokens in the URL, since browsers open them without headers; nothing else does. */
const STREAMS = ['/events', '/ws', '/ws/:token']

/** Paths that are there to say that nothing is there. */
const SURPLUS = /^\/(?:index|ws|jobs|minions|keys|logout|stats|run|token|login|favicon\.ico)(?:\/:\w+){0,2}\/\*$/

const KINDS = [
  'no token',
  'unknown token',
  'malformed token',
  'expired',
  'revoked',
  'ticket',
  'minion',
  'in the URL',
  'low privilege'
] as const
type Kind = (typeof KINDS)[number]

/** Methods of salt-api's resources which take nothing after the name: as if nothing was there. */
const NOT_BELOW = ['POST /jobs/:jid', 'POST /jobs/:jid/:timeout', 'POST /minions/:mid', 'POST /keys/:mid']

/** The path that was asked for, where nothing is; it is in the answer because it was in the question. */
const ECHO = `"'/docs/static/${SECRET}.sls' was not found"`

t.test('every route refuses who has no token, a bad one, or too little permission; nothing is done, nothing shown', async t => {
  const { http, doors, tokens, low, fill, head, services } = await server(t)
  const lasting = await low()
  t.ok(doors.length > 100, `${doors.length} doors`)
  for (const door of doors) {
    for (const kind of KINDS) {
      if (isMeant(door, kind)) continue
      const token = kind !== 'low privilege' ? tokens[kind] : door.url === '/logout' ? await low() : lasting
      const before = await head()
      const fills = (name: string) => (name === 'token' ? (token ?? 'x') : fill(door, name))
      const payload = BODIES[door.name]
      const answer = await through(http, door, fills, {
        headers: { 'if-match': '*', ...(token === null || kind === 'in the URL' ? {} : credentials(token)) },
        ...(kind === 'in the URL' ? { query: { token: token! } } : {}),
        ...(payload === undefined ? {} : { payload: JSON.stringify(payload) })
      })
      const said = `${kind}: ${door.name} → ${answer.statusCode} ${answer.body.slice(0, 200)}`
      if (!isRefused(door, kind, answer.statusCode)) t.fail(said)
      if (answer.body.replace(ECHO, '').includes(SECRET)) t.fail(`shows what is not for everybody: ${said}`)
      const fires = kind === 'low privilege' && LOW[door.name]?.fires === true
      if (!fires && (await head()) !== before) t.fail(`did something: ${said}`)
    }
  }
  t.match(await services.auth.verify(lasting), { user: 'low' }, 'and it was a token that counts')
  t.equal((await services.reactor.rules.versions(SECRET)).length, 1, 'the rule is as it was')
  t.equal(services.reactor.rules.all().length, 2, 'and there is no other')
  t.match(await services.reactor.editor.list(), [{ path: `${SECRET}.sls`, size: SECRET.length + 3 }])
})

t.test('each way to run something that a chunk can name is refused to who may not run it, alone or behind what is permitted', async t => {
  const { http, low, head } = await server(t)
  const local = ['local', 'local_async', 'local_batch', 'local_subset'].map(client => ({ client, tgt: '*', fun: 'test.ping' }))
  const runner = ['runner', 'runner_async'].map(client => ({ client, fun: 'jobs.list_jobs' }))
  const wheel = ['wheel', 'wheel_async'].map(client => ({ client, fun: 'key.list_all' }))
  for (const chunk of [...local, ...runner, ...wheel]) {
    const token = await low()
    const before = await head()
    const ask = (url: string, chunks: object[], headers = {}) =>
      http.inject({ method: 'POST', url, headers: { 'content-type': 'application/json', ...headers }, payload: JSON.stringify(chunks) })
    const permitted = { client: 'runner_async', fun: 'no.such.function' }
    const answers = {
      root: await ask('/', [chunk], { 'x-auth-token': token }),
      run: await ask('/run', [{ ...chunk, token }]),
      second: await ask('/', [permitted, chunk], { 'x-auth-token': token })
    }
    for (const [name, answer] of Object.entries(answers)) {
      const said = `${name} ${chunk.client}: ${answer.statusCode} ${answer.body.slice(0, 200)}`
      t.ok(answer.statusCode === 401 || answer.statusCode === 403, said)
      t.notMatch(answer.body, SECRET, said)
    }
    t.equal(await head(), before, `${chunk.client}: nothing was done`)
  }
})

t.test('the lists of what is open name routes that exist', async t => {
  const { doors } = await server(t)
  const names = new Set(doors.map(({ name }) => name))
  for (const name of [...Object.keys(OPEN), ...Object.keys(LOW)]) t.ok(names.has(name), name)
})

/** Where a token of this kind is the right one. */
function isMeant({ url }: Door, kind: Kind): boolean {
  return ((kind === 'ticket' || kind === 'in the URL') && STREAMS.includes(url)) || (kind === 'minion' && url.startsWith('/minion/'))
}

const credentials = (token: string) => ({ 'x-auth-token': token, authorization: `Bearer ${token}` })

function isRefused({ method, url, name }: Door, kind: Kind, status: number): boolean {
  // What a path can do is no secret, and the method that it cannot does nothing.
  if (method === 'OPTIONS' || status === 405) return status < 500
  // Below a path of salt-api's there is nothing, for anybody.
  if ((SURPLUS.test(url) || NOT_BELOW.includes(name)) && status === 404) return true
  // What /keys does not take is said before anybody is asked for a token, as in salt-api.
  if (kind === 'in the URL' && /^\/keys\b/.test(url) && status === 404) return true
  const listed = method === 'HEAD' ? `GET ${url}` : name
  if (Object.hasOwn(OPEN, listed)) return status < 500
  if (status === 401 || status === 403) return true
  return kind === 'low privilege' && LOW[listed]?.status === status
}

/** A whole server with something of everything, and tokens of every kind that must not count. */
async function server(t: Parameters<typeof appBench>[0]) {
  const root = t.testdir({})
  const read = readExternalAuth({ token: { low: ['test.nothing'] } })
  if (!('value' in read)) throw new Error(JSON.stringify(read.faults))
  const sls = join(root, `${SECRET}.sls`)
  writeFileSync(sls, `# ${SECRET}\n`)
  const { app, run } = await appBench(t, {
    external_auth: read.value,
    reactor_roots: [root],
    file_roots: { base: [root] },
    reactor: [{ [`${SECRET}/config`]: sls }],
    reactor_reload_interval: 0
  })
  const { services } = app
  const { auth, events, reactor, store } = services
  await events.fire(`myco/${SECRET}`, { text: SECRET }, { source: 'server' })
  await reactor.rules.create({ id: SECRET, tag: `${SECRET}/*`, sls: [sls] }, { user: SECRET, source: 'server' })
  await run('test.arg', { arg: [SECRET] })
  const eventId = `${store.events.epoch}-1`
  const issue = (user: string, eauth: string, expiresSeconds: number) => auth.issue({ user, eauth, label: SECRET, expiresSeconds })
  const admin = await issue('admin', 'admin', 3600)
  const revoked = await issue('admin', 'admin', 3600)
  await auth.revoke(revoked.jti)
  const tokens: Record<Exclude<Kind, 'low privilege'>, string | null> = {
    'no token': null,
    'unknown token': `${admin.token.slice(0, -4)}AAAA`,
    'malformed token': 'f'.repeat(40),
    expired: (await issue('admin', 'admin', -60)).token,
    revoked: revoked.token,
    minion: auth.minionToken('m1').token,
    'in the URL': admin.token,
    ticket: (
      await auth.issue({ ...{ user: 'admin', eauth: 'admin', label: SECRET, expiresSeconds: 3600 }, scope: 'stream', tags: ['none/*'] })
    ).token
  }
  const low = async () => (await issue('low', 'token', 3600)).token
  const fill = ({ url }: Door, name: string) => {
    if (name === '*') return `${SECRET}.sls`
    if (name === 'version') return '1'
    if (url.startsWith('/events/')) return eventId
    if (url.startsWith('/tokens/')) return admin.jti
    if (url.startsWith('/reactor/rules/')) return SECRET
    if (url.startsWith('/reactor/')) return '1'
    return name === 'jid' ? '20260101000000000000' : SECRET
  }
  const { http, doors } = await doorsOf(services)
  t.teardown(() => http.close())
  return { http, doors, tokens, low, fill, services, head: () => store.events.head() }
}
