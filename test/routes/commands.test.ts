import { createPublicKey } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { text } from 'node:stream/consumers'
import type { FastifyReply, FastifyRequest, InjectOptions, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { extract, type Header } from 'tar-stream'
import { callFrom } from '../../routes/call-from.js'
import { type ExternalAuth, readExternalAuth } from '../../src/auth/external-auth.js'
import type { Config } from '../../src/config/schema.js'
import type { Services } from '../../src/services.js'
import { SystemClock } from '../../src/shared/clock.js'
import { type Bench, benchOn, obliging } from '../helpers/commands.js'
import { httpServer } from '../helpers/http.js'

const ADMIN = ['.*', '@wheel', '@runner', '@jobs', '@events']
const RO = ['test.*', 'grains.*', '@jobs']
/** By backend: users with a password, and users that tokens are made for. */
const PERMISSIONS = { sharedsecret: { admin: ADMIN, ro: RO }, token: { ro: RO, noperms: [] } }
const CREDENTIALS = { username: 'admin', password: 'secret', eauth: 'sharedsecret' }

interface Api extends Bench {
  /** Answers as `[status, body]`; as admin unless a token is given. */
  call(method: 'GET' | 'POST', url: string, body?: unknown, more?: { token?: string | null; headers?: object }): Promise<[number, Body]>
  inject(options: InjectOptions): Promise<LightMyRequestResponse>
  tokenOf(user: string): Promise<string>
}
type Body = Record<string, unknown> & { return: Record<string, unknown>[] }

function permissions(): ExternalAuth {
  const read = readExternalAuth(PERMISSIONS)
  if (!('value' in read)) throw new Error(JSON.stringify(read.faults))
  return read.value
}

/** The HTTP server over jobs and commands, with minions m1 and m2. */
async function api(t: Test, settings: Partial<Config> = {}): Promise<Api> {
  const clock = new SystemClock()
  const services: { -readonly [K in keyof Services]?: Services[K] } = {}
  let made!: ReturnType<typeof benchOn>
  const server = await httpServer(t, {
    clock,
    services,
    config: { sharedsecret: 'secret', external_auth: permissions(), ...settings },
    store: store => {
      made = benchOn(t, store, clock, { timeout: 5, ...settings })
      services.commands = made.commands
      services.jobs = made.jobs
      return store
    }
  })
  await made.start(['m1', 'm2'])
  for (const id of ['m1', 'm2']) made.minions.connect(id, obliging)
  const inject = async (options: InjectOptions) => server.app.inject(options)
  const call: Api['call'] = async (method, url, body, { token = server.token, headers = {} } = {}) => {
    const auth = token === null ? {} : { 'x-auth-token': token }
    const payload =
      body === undefined ? {} : { payload: JSON.stringify(body), headers: { 'content-type': 'application/json', ...auth, ...headers } }
    const response = await inject({ method, url, headers: { ...auth, ...headers }, ...payload })
    return [response.statusCode, response.json()]
  }
  return { ...made, call, inject, tokenOf: server.tokenOf }
}

t.test('GET / and GET /run welcome everybody with the names of the clients', async t => {
  const { call } = await api(t)
  const clients = ['local', 'local_async', 'local_batch', 'local_subset', 'runner', 'runner_async', 'ssh', 'wheel', 'wheel_async']
  for (const url of ['/', '/run']) t.strictSame(await call('GET', url, undefined, { token: null }), [200, { return: 'Welcome', clients }])
})

t.test('POST / runs a list of chunks, or one, and answers in order', async t => {
  const { call } = await api(t)
  t.strictSame(await call('POST', '/', { client: 'local', tgt: '*', fun: 'test.ping' }), [200, { return: [{ m1: true, m2: true }] }])
  const two = [
    { client: 'local', tgt: 'm1', fun: 'test.ping' },
    { client: 'runner', fun: 'test.arg', arg: ['r'] }
  ]
  t.strictSame(await call('POST', '/', two), [200, { return: [{ m1: true }, { args: ['r'], kwargs: {} }] }])
  t.strictSame(await call('POST', '/', []), [200, { return: [] }])
  const [, batch] = await call('POST', '/', { client: 'local_batch', tgt: '*', fun: 'test.ping', batch: '1' })
  t.same(batch.return.map(entry => Object.keys(entry)).sort(), [['m1'], ['m2']], 'one entry per minion')
})

t.test('POST / takes a form, YAML, and JSON as text', async t => {
  const { inject, minions, tokenOf } = await api(t)
  minions.connect('m1', job => ({ return: job.arg }))
  const token = await tokenOf('ro')
  const bodies: [string, string, unknown][] = [
    [
      'application/x-www-form-urlencoded',
      'client=local&tgt=m1&fun=test.arg&arg=one&arg=2&arg=three=3&arg=[1,2]',
      ['one', 2, 'three=3', [1, 2]]
    ],
    ['application/x-www-form-urlencoded', 'client=local&tgt=m1&fun=test.arg&arg=x', ['x']],
    ['application/x-yaml', '- client: local\n  tgt: m1\n  fun: test.arg\n  arg: [yes]\n', [true]],
    ['text/plain;charset=UTF-8', '{"client": "local", "tgt": "m1", "fun": "test.arg", "arg": "s"}', ['s']]
  ]
  for (const [type, payload, value] of bodies) {
    const response = await inject({ method: 'POST', url: '/', headers: { 'x-auth-token': token, 'content-type': type }, payload })
    t.strictSame([response.statusCode, response.json()], [200, { return: [{ m1: value }] }], type)
  }
})

t.test('an answer is printed as Salt prints JSON, or as YAML', async t => {
  const { inject, tokenOf } = await api(t)
  const payload = { client: 'local', tgt: 'm1', fun: 'test.echo', arg: ['grüß 世界'] }
  const headers = { 'x-auth-token': await tokenOf('ro') }
  const json = await inject({ method: 'POST', url: '/', headers, payload })
  t.equal(json.body, '{"return": [{"m1": "grüß 世界"}]}')
  const yaml = await inject({ method: 'POST', url: '/', headers: { ...headers, accept: 'application/x-yaml' }, payload })
  t.equal(yaml.body, 'return:\n- m1: grüß 世界\n')
})

t.test('bad input is a 4xx that names the field', async t => {
  const { call, log } = await api(t)
  const cases: [unknown, number, RegExp][] = [
    [{ client: 'local', tgt: '*' }, 400, /'fun'/],
    [{ client: 'local', fun: 'test.ping' }, 400, /'tgt'/],
    [[{ client: 'local', tgt: '*', fun: 'test.ping' }, null], 400, /'\[1\]'/],
    [{ client: 'bogus' }, 400, /Invalid client specified: 'bogus'/],
    [{ client: 'runner', fun: 'no.such' }, 400, /'no.such' is not available/],
    [{ client: 'local', tgt: 'nope', tgt_type: 'nodegroup', fun: 'test.ping' }, 400, /nope/],
    [{}, 400, /Lowstates must be a list/],
    [5, 400, /Lowstates must be a list/],
    ['x', 400, /Lowstates must be a list/]
  ]
  for (const [body, status, text] of cases) t.match(await call('POST', '/', body), [status, { error: text }], JSON.stringify(body))
  t.match(await call('POST', '/'), [400, { error: /Lowstates must be a list/ }], 'no body')
  t.match(
    await log(),
    [{ tag: /^salt\/run\/\d+\/ret$/, data: { fun: 'no.such', success: false } }],
    'nothing ran; of an unknown runner Salt tells'
  )
  t.equal((await log()).length, 1)
})

t.test('without permission nothing runs', async t => {
  const { call, minions, log, tokenOf } = await api(t)
  const ro = { token: await tokenOf('ro') }
  const noperms = { token: await tokenOf('noperms') }
  const ping = { client: 'local', tgt: 'm1', fun: 'test.ping' }
  t.match(await call('POST', '/', [ping, { ...ping, fun: 'cmd.run', arg: ['true'] }], ro), [
    401,
    { error: 'Authorization error occurred.' }
  ])
  t.match(await call('POST', '/', { client: 'runner', fun: 'test.arg' }, ro), [401, { error: /type "token" occurred for user ro/ }])
  t.match(await call('POST', '/', { client: 'wheel_async', fun: 'key.list_all' }, ro), [401, {}])
  t.match(await call('POST', '/', ping, noperms), [401, { error: 'Authorization error occurred.' }])
  for (const url of ['/minions', '/minions/m1', '/jobs', '/jobs/20010101000000000000', '/keys', '/keys/m1']) {
    t.match(await call('GET', url, undefined, noperms), [401, {}], url)
    t.match(
      await call('GET', url, undefined, { token: null }),
      [401, { code: url.startsWith('/keys') ? 'NO_CREDENTIALS' : 'NO_TOKEN' }],
      url
    )
  }
  t.match(await call('POST', '/minions', [{ ...ping, fun: 'cmd.run' }], ro), [401, {}])
  t.same(minions.sent, [])
  t.same(await log(), [])
  t.match(await call('POST', '/', ping, ro), [200, { return: [{ m1: true }] }])
})

t.test('POST /run takes credentials in each chunk, and no session', async t => {
  const { call, log } = await api(t)
  const ping = { client: 'local', tgt: 'm1', fun: 'test.ping' }
  const run = (body: unknown, token: string | null = null) => call('POST', '/run', body, { token })
  t.strictSame(await run({ ...ping, ...CREDENTIALS }), [200, { return: [{ m1: true }] }])
  const [, login] = await run([
    { ...ping, ...CREDENTIALS },
    { ...CREDENTIALS, client: 'runner', fun: 'test.arg', arg: ['x'] }
  ])
  t.strictSame(login, { return: [{ m1: true }, { args: ['x'], kwargs: {} }] }, 'credentials are no arguments')
  t.notMatch(JSON.stringify(await log()), /secret/)
  const refused: [object, string][] = [
    [ping, 'No authentication credentials given'],
    [{ ...ping, username: 'admin', password: 'secret' }, 'No authentication credentials given'],
    [{ ...ping, token: null }, 'Invalid token'],
    [{ ...ping, token: 'abc' }, 'Authentication error occurred.'],
    [{ ...ping, ...CREDENTIALS, password: 'bad' }, 'Authentication error occurred.'],
    [
      { ...CREDENTIALS, client: 'runner', fun: 'test.arg', password: 'bad' },
      'Authentication failure of type "eauth" occurred for user admin.'
    ],
    [{ ...ping, ...CREDENTIALS, username: 'ro', fun: 'cmd.run' }, 'Authorization error occurred.'],
    [
      { ...CREDENTIALS, username: 'ro', client: 'wheel', fun: 'key.list_all' },
      'Authentication failure of type "eauth" occurred for user ro.'
    ]
  ]
  for (const [chunk, error] of refused) t.match(await run(chunk), [401, { error }], error)
  t.match(await run(null), [400, { error: 'Lowstates must be a list' }])
})

t.test('GET /minions asks the minions for their grains', async t => {
  const { call } = await api(t)
  const grains = { os: 'Debian' }
  t.strictSame(await call('GET', '/minions'), [200, { return: [{ m1: grains, m2: grains }] }])
  t.strictSame(await call('GET', '/minions/'), [200, { return: [{ m1: grains, m2: grains }] }])
  t.strictSame(await call('GET', '/minions/m1'), [200, { return: [{ m1: grains }] }])
  t.strictSame(await call('GET', '/minions?mid=m2'), [200, { return: [{ m2: grains }] }])
  t.strictSame(await call('GET', '/minions/ghost'), [200, { return: [{}] }])
  t.match(await call('GET', '/minions?tgt=m2'), [404, {}])
  t.match(await call('GET', '/minions/m1/x'), [404, {}])
})

t.test('what a resource of salt-api takes only at its own path is 404 below it, behind the guard of the method', async t => {
  const { call } = await api(t)
  for (const url of [
    '/minions/m1',
    '/jobs/20010101000000000000',
    '/jobs/20010101000000000000/1',
    '/keys/m1',
    '/index/x',
    '/login/x',
    '/run/x'
  ])
    t.match(await call('POST', url, []), [404, { error: /path segment after/ }], url)
  for (const url of ['/minions/m1', '/jobs/20010101000000000000', '/index/x'])
    t.match(await call('POST', url, [], { token: null }), [401, {}], `${url} without a token`)
  t.match(await call('GET', '/index/x', undefined, { token: null }), [404, {}], 'GET /index needs no token, so neither does what is below')
})

t.test('POST /minions publishes without waiting, and says where the returns will be', async t => {
  const { call } = await api(t)
  const [status, answer] = await call('POST', '/minions', [{ client: 'runner', tgt: '*', fun: 'test.ping' }])
  const jid = answer.return[0]?.jid
  t.strictSame([status, answer], [202, { return: [{ jid, minions: ['m1', 'm2'] }], _links: { jobs: [{ href: `/jobs/${jid}` }] } }])
  t.strictSame(await call('POST', '/minions', { tgt: 'zz*', fun: 'test.ping' }), [202, { return: [{}], _links: { jobs: [] } }])
  t.match(await call('POST', '/minions', [null]), [400, { error: /must be a mapping/ }])
  t.match(await call('POST', '/minions', [{ tgt: 'm1' }]), [400, { error: /'fun'/ }])
})

t.test('GET /jobs lists jobs a page at a time, GET /jobs/:jid shows one', async t => {
  const { call, inject, tokenOf, log, jobs } = await api(t)
  const jids: string[] = []
  for (let i = 0; i < 3; i++) {
    const [, answer] = await call('POST', '/minions', { tgt: 'm1', fun: 'test.ping' })
    jids.unshift(String(answer.return[0]?.jid))
    await jobs.collect(jids[0]!, ['m1'])
  }
  const before = (await log()).length
  const token = await tokenOf('ro')
  const [, all] = await call('GET', '/jobs', undefined, { token })
  t.same(Object.keys(all.return[0]!), jids)
  const headers = { 'x-auth-token': token }
  const page = await inject({ url: '/jobs?limit=2', headers })
  t.same(Object.keys(page.json().return[0]), jids.slice(0, 2))
  const next = /^<(.*)>; rel="next"$/.exec(String(page.headers.link))?.[1]
  const rest = await inject({ url: next!, headers })
  t.same(Object.keys(rest.json().return[0]), jids.slice(2))
  t.equal(rest.headers.link, undefined)
  const [, one] = await call('GET', `/jobs/${jids[0]}`, undefined, { token })
  t.match(one, {
    info: [{ jid: jids[0], Function: 'test.ping', Minions: ['m1'], Result: { m1: { return: true } } }],
    return: [{ m1: true }]
  })
  t.strictSame(await call('GET', `/jobs?jid=${jids[0]}`, undefined, { token }), [200, one])
  t.strictSame(await call('GET', `/jobs/${jids[0]}/5`, undefined, { token }), [200, one], "Salt's timeout has no effect in the path either")
  t.same(Object.keys((await call('GET', '/jobs?jid=', undefined, { token }))[1].return[0]!), jids, 'an empty jid is none')
  t.equal((await log()).length, before, 'looking leaves no events')
})

t.test('GET /jobs/:jid answers for unknown ids as Salt does, and for what is no id too, but not for the way to a file', async t => {
  const { call } = await api(t)
  const jid = '20010101000000000000'
  const info = { jid, Error: 'Cannot contact returner or no job with this jid', StartTime: '2001, Jan 01 00:00:00.000000', Result: {} }
  t.strictSame(await call('GET', `/jobs/${jid}`), [200, { info: [info], return: [{}] }])
  const none = { info: [{ jid: 'abc', Error: info.Error, StartTime: '', Result: {} }], return: [{}] }
  for (const url of ['/jobs/abc', '/jobs?jid=abc', '/jobs/abc/1']) t.strictSame(await call('GET', url), [200, none], url)
  for (const path of ['..%2F..%2Fetc', '.x', '%00', 'a%5Cb', 'x'.repeat(256)])
    t.match(await call('GET', `/jobs/${path}`), [400, { error: /'jid'/ }], path.slice(0, 20))
  t.match(await call('GET', `/jobs/${jid}/1/2`), [404, {}])
  t.match(await call('GET', '/jobs?limit=0'), [400, { error: /'limit'/ }])
  t.match(await call('GET', '/jobs?before=x'), [400, { error: /'before'/ }])
  t.match(await call('GET', '/jobs?search_function=test.ping'), [404, {}])
})

t.test('GET /keys lists keys without an outer list, GET /keys/:mid shows fingerprints', async t => {
  const { call, log } = await api(t)
  const list = { minions: ['m1', 'm2'], minions_pre: [], minions_rejected: [], minions_denied: [], local: ['master.pem', 'master.pub'] }
  t.strictSame(await call('GET', '/keys'), [200, { return: list }])
  t.match(await call('GET', '/keys/m1'), [200, { return: { minions: { m1: /^([0-9a-f]{2}:){31}[0-9a-f]{2}$/ } } }])
  t.strictSame(await call('GET', '/keys/ghost'), [200, { return: {} }])
  t.strictSame(await call('GET', '/keys?mid=m1'), await call('GET', '/keys/m1'))
  t.strictSame(await call('GET', '/keys?mid='), [200, { return: list }])
  t.strictSame(await call('GET', '/keys?mid=m1,m2'), await call('GET', '/keys/m1,m2'))
  t.same(await log(), [])
})

t.test('what /keys does not take is told before anybody is asked for a token, as in salt-api', async t => {
  const { call, tokenOf } = await api(t)
  for (const url of ['/keys?token=x', '/keys/m1?mid=m1', '/keys/m1/x'])
    for (const token of [await tokenOf('ro'), null, 'bad']) t.match(await call('GET', url, undefined, { token }), [404, {}], url)
  t.match(await call('GET', '/keys?mid=m1', undefined, { token: null }), [401, { code: 'NO_CREDENTIALS' }])
})

t.test('POST /keys makes a key pair, accepts it and answers with a tar archive of both halves', async t => {
  const { inject, keys, log } = await api(t)
  const made = await inject({
    method: 'POST',
    url: '/keys',
    headers: { accept: 'application/json' },
    payload: { mid: 'gen1', ...CREDENTIALS }
  })
  t.equal(made.statusCode, 200, made.body)
  t.match(made.headers, {
    'content-type': 'application/x-tar',
    'content-disposition': 'attachment; filename="saltkeys-gen1.tar"',
    'cache-control': 'no-cache'
  })
  t.equal(made.rawPayload.length, 10_240)
  const files = await untar(made.rawPayload)
  t.match(files, [
    { name: 'minion.pub', mode: 0o644, uid: 0, mtime: new Date(0), type: 'file', text: /^-----BEGIN PUBLIC KEY-----/ },
    { name: 'minion.pem', mode: 0o644, uid: 0, mtime: new Date(0), type: 'file', text: /^-----BEGIN RSA PRIVATE KEY-----/ }
  ])
  t.equal(createPublicKey(files[1]!.text).export({ type: 'spki', format: 'pem' }), files[0]!.text, 'the halves belong together')
  t.ok(keys.isAccepted('gen1'))
  t.notMatch(JSON.stringify(await log()), /PRIVATE KEY|secret/)
})

t.test('POST /keys replaces an accepted key only when it is told to', async t => {
  const { inject, keys } = await api(t)
  const make = (fields: object) => inject({ method: 'POST', url: '/keys', payload: { id_: 'gen1', ...CREDENTIALS, ...fields } })
  t.equal((await make({})).statusCode, 200)
  const first = keys.get('gen1')!.pub
  t.match((await make({})).json(), { status: 409, error: /'gen1' has an accepted key/ })
  t.equal(keys.get('gen1')!.pub, first)
  t.equal((await make({ force: 'True' })).statusCode, 200)
  t.not(keys.get('gen1')!.pub, first)
})

t.test('POST /keys refuses, by name of the field, what it cannot make, and who may not', async t => {
  const { inject, log, tokenOf } = await api(t)
  const make = (payload: unknown, headers = {}) => inject({ method: 'POST', url: '/keys', payload: payload as object, headers })
  const cases: [unknown, number, RegExp][] = [
    [undefined, 400, /'body'/],
    [[5], 400, /'body'/],
    [{ ...CREDENTIALS }, 400, /'mid' is missing/],
    [{ ...CREDENTIALS, mid: '../evil' }, 400, /'mid'/],
    [{ ...CREDENTIALS, mid: ['a'] }, 400, /'mid'/],
    [{ ...CREDENTIALS, mid: 'x', keysize: 512 }, 400, /'keysize'/],
    [{ ...CREDENTIALS, mid: 'x', keysize: '2048' }, 400, /'keysize'/],
    [{ ...CREDENTIALS, mid: 'x', force: [] }, 400, /'force'/],
    [{ mid: 'x' }, 401, /No authentication credentials given/],
    [{ ...CREDENTIALS, password: 'bad', mid: 'x' }, 401, /Authentication failure of type "eauth" occurred for user admin/],
    [{ ...CREDENTIALS, username: 'ro', mid: 'x' }, 401, /Authentication failure of type "eauth" occurred for user ro/]
  ]
  for (const [body, status, error] of cases) t.match((await make(body)).json(), { status, error }, JSON.stringify(body))
  t.match((await make({ mid: 'x' }, { 'x-auth-token': await tokenOf('ro') })).json(), { status: 401 }, 'a session does not count')
  t.equal(
    (await inject({ method: 'POST', url: `/keys?token=${await tokenOf('ro')}`, payload: { mid: 'x' } })).statusCode,
    401,
    'nor one in the URL'
  )
  t.same(await log(), [])
})

async function untar(bytes: Buffer): Promise<(Header & { text: string })[]> {
  const archive = extract()
  archive.end(bytes)
  const files: (Header & { text: string })[] = []
  for await (const entry of archive) files.push({ ...entry.header, text: await text(entry) })
  return files
}

t.test("a call's signal aborts when its client goes unanswered, and only then", async t => {
  for (const answered of [true, false]) {
    const raw = Object.assign(new EventEmitter(), { writableFinished: answered })
    const { signal } = callFrom({ ip: '127.0.0.1' } as FastifyRequest, { raw } as unknown as FastifyReply)
    t.equal(signal?.aborted, false)
    raw.emit('close')
    t.equal(signal?.aborted, !answered)
  }
})
