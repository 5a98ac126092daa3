import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { parseYaml } from '../../src/shared/yaml.js'
import { startBrine } from '../helpers/server.js'

/**
 * Known clients of salt-api, each by the very requests that it makes (methods, headers, media types, order of fields) and by what it takes out of the
 * answers. The programs themselves need browsers, JVMs and servers of their own.
 */

type Json = Record<string, unknown>
const LOGIN = { username: 'ada', password: 's3cret', eauth: 'sharedsecret' }

async function server(t: Test): Promise<{ url: string; dir: string }> {
  const dir = t.testdir({
    'brine.yaml': `sharedsecret: s3cret
file_roots: {base: [${join(t.testdirName, 'srv')}]}
external_auth: {sharedsecret: {ada: ['.*', '@runner', '@wheel', '@jobs', '@events'], bare: []}}
rest_cherrypy: {static: ${join(t.testdirName, 'static')}, static_path: /static}
`,
    srv: { 'ok.sls': 'fine:\n  test.succeed_without_changes: []\n' },
    static: { 'minions.txt': '{"local": {}}\n' }
  })
  const { url } = await startBrine(t, { args: ['-c', join(dir, 'brine.yaml')] })
  return { url, dir }
}

t.test('clients of salt-api', async t => {
  const { url, dir } = await server(t)
  await t.test('SaltGUI: JSON as text/plain, the token in a header, events by cookie', t => saltGui(t, url))
  await t.test("Jenkins' saltstack plugin: JSON, jobs by /minions and /jobs", t => jenkins(t, url))
  await t.test("StackStorm's pack: credentials in each call of /run", t => stackStorm(t, url))
  await t.test("SUSE's and Go's clients: lists of chunks, keys, a WebSocket", t => netapi(t, url))
  await t.test("the recipes with curl of salt-api's manual", { skip: !existsSync('/usr/bin/curl') && 'curl is not installed' }, t =>
    curl(t, url, dir)
  )
})

/** SaltGUI's Api.js: `fetch` with a text as body, so that the browser says text/plain; Accept and Cache-Control with every request. */
async function saltGui(t: Test, url: string): Promise<void> {
  const ask = (method: string, page: string, token: string, params?: Json, accept = 'application/json') =>
    fetch(url + page, {
      method,
      headers: { Accept: accept, 'Cache-Control': 'no-cache', 'X-Auth-Token': token, Origin: url },
      ...(params ? { body: JSON.stringify(params) } : {})
    })
  const login = await ask('POST', '/login', '', { eauth: LOGIN.eauth, password: LOGIN.password, username: LOGIN.username })
  t.equal(login.status, 200, 'an empty token in the header does no harm')
  const { token, perms, expire } = ((await login.json()) as { return: [{ token: string; perms: unknown[]; expire: number }] }).return[0]
  t.ok(perms.length > 0 && expire > Date.now() / 1000)
  const none = await ask('POST', '/login', '', { ...LOGIN, username: 'bare' })
  t.strictSame(
    ((await none.json()) as { return: [{ perms: unknown }] }).return[0].perms,
    {},
    'who has no permissions is told so by an empty object'
  )

  const post = async (params: Json) => {
    const answer = await ask('POST', '/', token, params)
    t.equal(answer.status, 200, JSON.stringify(params))
    return ((await answer.json()) as { return: [never] }).return[0] as Json
  }
  const all = { client: 'local', tgt_type: 'glob', tgt: '*' }
  const one = { client: 'local', tgt_type: 'list', tgt: 'local' }
  t.match(await post({ ...all, fun: 'grains.items' }), { local: { id: 'local' } })
  t.match(await post({ ...one, fun: 'grains.items' }), { local: { id: 'local' } })
  for (const fun of ['beacons.list', 'beacons.list_available', 'schedule.list'])
    t.match(await post({ ...one, fun, kwarg: { return_yaml: false } }), { local: Object }, fun)
  for (const fun of ['pillar.items', 'pillar.obfuscate', 'mine.valid', 'test.providers'])
    t.match(await post({ ...one, fun }), { local: Object }, fun)
  t.strictSame(await post({ arg: ['*', 'test.ping'], ...one, fun: 'mine.get' }), { local: {} })
  t.match(await post({ ...all, full_return: true, fun: 'test.version', tgt: 'local', tgt_type: 'compound' }), {
    local: { ret: String, retcode: 0, jid: /^\d{20}$/ }
  })
  const runner = (fun: string, more: Json = {}) => post({ client: 'runner', fun, ...more })
  t.match(await runner('cache.grains', { tgt: '*' }), { local: { id: 'local' } })
  t.match(await runner('cache.pillar', { tgt: '*' }), { local: {} })
  t.match(await runner('jobs.active'), {})
  t.match(await runner('jobs.list_jobs', { search_function: 'grains.*' }), Object)
  t.match(await runner('manage.versions'), { Master: String, 'Up to date': { local: String } })
  t.match(await runner('state.orchestrate_show_sls', { arg: ['*'] }), Object)
  const wheel = async (fun: string, more: Json = {}) => ((await post({ client: 'wheel', fun, ...more })) as { data: Json }).data
  t.match(await wheel('key.list_all'), { success: true, return: { minions: ['local'] } })
  t.match(await wheel('key.finger', { match: '*' }), { return: { minions: { local: /^([0-9a-f]{2}:){31}/ } } })
  t.match(await wheel('minions.connected'), { return: ['local'] })
  t.match(await wheel('config.values'), { return: { sharedsecret: /^\*+$/ } })

  t.equal(await (await ask('GET', '/static/minions.txt', token, undefined, 'text/plain')).text(), '{"local": {}}\n')
  t.equal((await ask('GET', '/static/salt-motd.html', token, undefined, 'text/html')).status, 404)
  t.match(await (await ask('GET', '/stats', token)).json(), { 'CherryPy Applications': Object })

  const cookie = login.headers.get('set-cookie')!.split(';')[0]!
  const events = await fetch(`${url}/events`, { headers: { Accept: 'text/event-stream', 'Cache-Control': 'no-cache', Cookie: cookie } })
  const reader = events.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = (await reader.read()).value ?? ''
  t.match(text, /^retry: 400\n/)
  await post({ ...all, fun: 'test.ping' })
  while (!text.includes('/ret/local')) text += (await reader.read()).value ?? ''
  const messages = text.match(/^data: .*$/gm)!.map(line => JSON.parse(line.slice(6)) as { tag: string; data: Json })
  t.match(
    messages.find(({ tag }) => tag.includes('/ret/')),
    { tag: /^salt\/job\/\d{20}\/ret\/local$/, data: { fun: 'test.ping', id: 'local', return: true } }
  )
  await reader.cancel()

  t.equal((await ask('POST', '/logout', token, {})).status, 200)
  t.equal((await ask('POST', '/', token, { client: 'runner', fun: 'jobs.active' })).status, 401, 'the only sign of a dead session')
  t.equal((await ask('POST', '/logout', token, {})).status, 401)
}

/** HttpCallable.java, Builds.java: one object; arguments gathered in `arg` (one of them is a scalar) and `kwarg`; a job is asked for until all are there. */
async function jenkins(t: Test, url: string): Promise<void> {
  const call = async (path: string, params: Json | null, token?: string) => {
    const answer = await fetch(url + path, {
      method: params === null ? 'GET' : 'POST',
      headers: {
        Accept: 'application/json',
        'User-Agent': 'Java/17',
        ...(params === null ? {} : { 'Content-Type': 'application/json' }),
        ...(token ? { 'X-Auth-Token': token } : {})
      },
      ...(params === null ? {} : { body: JSON.stringify(params) })
    })
    t.ok(answer.ok, `${path}: ${answer.status}`)
    return (await answer.json()) as { return: [Json]; info: [{ Minions: string[] }] }
  }
  const { token } = (await call('/login', LOGIN)).return[0] as { token: string }
  const started = await call('/minions', { client: 'local', tgt: '*', tgt_type: 'glob', fun: 'test.arg', arg: 'x', kwarg: { n: 5 } }, token)
  const { jid } = started.return[0] as { jid: string }
  let job = await call(`/jobs/${jid}`, null, token)
  t.strictSame(job.info[0].Minions, ['local'])
  while (Object.keys(job.return[0]).length < job.info[0].Minions.length) job = await call(`/jobs/${jid}`, null, token)
  t.match(job.return[0], { local: { args: ['x'], kwargs: { n: 5 } } })
  const run = async (chunk: Json) => (await call('/', chunk, token)).return as unknown[]
  t.strictSame(await run({ client: 'local_batch', batch: '50%', batch_wait: 0, tgt: '*', tgt_type: 'glob', fun: 'test.ping' }), [
    { local: true }
  ])
  t.strictSame(await run({ client: 'local_subset', sub: 1, tgt: '*', tgt_type: 'glob', fun: 'test.ping' }), [{ local: true }])
  t.strictSame(await run({ client: 'runner', fun: 'manage.present' }), [['local']])
  t.match(
    await run({ client: 'local', tgt: '*', tgt_type: 'glob', fun: 'no.such' }),
    [{ local: / is not available\.$/ }],
    'how it finds a failure'
  )
  t.match(await run({ client: 'local', tgt: '*', tgt_type: 'glob', fun: 'state.apply', arg: 'ok' }), [
    { local: { 'test_|-fine_|-fine_|-succeed_without_changes': { result: true } } }
  ])
  t.match(await call('/hook/build', { ref: 'main' }, token), { success: true })
}

/** base.py, local.py: `expr_form` instead of `tgt_type`, a header `charset`; whatever comes back is read as JSON. */
async function stackStorm(t: Test, url: string): Promise<void> {
  const run = async (data: Json) => {
    const headers = { 'User-Agent': 'python-requests/2.31.0', Accept: '*/*', 'content-type': 'application/json', charset: 'utf-8' }
    const answer = await fetch(`${url}/run`, { method: 'POST', headers, body: JSON.stringify(data) })
    return { status: answer.status, body: (await answer.json()) as Json }
  }
  const who = { eauth: LOGIN.eauth, username: LOGIN.username, password: LOGIN.password }
  t.strictSame(await run({ ...who, client: 'local', fun: 'test.ping', tgt: '*', expr_form: 'glob' }), {
    status: 200,
    body: { return: [{ local: true }] }
  })
  t.match(await run({ ...who, client: 'local', fun: 'test.arg', tgt: 'local', expr_form: 'glob', arg: ['a'], kwarg: { b: 1 } }), {
    body: { return: [{ local: { args: ['a'], kwargs: { b: 1 } } }] }
  })
  t.match(await run({ ...who, client: 'runner', fun: 'manage.up' }), { body: { return: [['local']] } })
  t.match(
    await run({ ...who, password: 'wrong', client: 'local', fun: 'test.ping', tgt: '*' }),
    { status: 401, body: { status: 401 } },
    'JSON too'
  )
}

/** Lists of chunks as application/json, GET for everything that only looks, events by WebSocket with the token in the path. */
async function netapi(t: Test, url: string): Promise<void> {
  const json = { Accept: 'application/json', 'Content-Type': 'application/json' }
  const post = async (path: string, body: unknown, token?: string) => {
    const headers = { ...json, ...(token ? { 'X-Auth-Token': token } : {}) }
    const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    t.ok(answer.ok, `${path}: ${answer.status}`)
    return (await answer.json()) as { return: Json[]; _links?: unknown }
  }
  const login = await post('/login', LOGIN)
  t.match(login.return[0], { token: /^[0-9a-f]{40}$/, start: Number, expire: Number, user: 'ada', eauth: 'sharedsecret', perms: Array })
  const token = String(login.return[0]!.token)
  const get = async (path: string) =>
    (await (await fetch(url + path, { headers: { ...json, 'X-Auth-Token': token } })).json()) as { return: unknown }
  t.strictSame(
    (
      await post(
        '/',
        [
          { client: 'local', tgt: '*', tgt_type: 'glob', fun: 'test.ping' },
          { client: 'wheel', fun: 'key.list', match: 'accepted' }
        ],
        token
      )
    ).return.length,
    2
  )
  const started = await post(
    '/minions',
    [{ client: 'local_async', tgt: ['local'], tgt_type: 'list', fun: 'test.echo', arg: ['hi'] }],
    token
  )
  const jid = String(started.return[0]!.jid)
  t.strictSame(started._links, { jobs: [{ href: `/jobs/${jid}` }] })
  t.match(await get('/minions'), { return: [{ local: { id: 'local' } }] })
  t.match(await get('/minions/local'), { return: [{ local: { id: 'local' } }] })
  t.match(await get('/jobs'), { return: [{ [jid]: { Function: 'test.echo', Target: ['local'], 'Target-type': 'list', User: 'ada' } }] })
  t.match(await get('/keys'), { return: { minions: ['local'], minions_pre: [], minions_rejected: [], minions_denied: [], local: Array } })
  t.match(await get('/keys/local'), { return: { minions: { local: /^([0-9a-f]{2}:){31}/ } } })
  t.match(await get('/keys?mid=local'), { return: { minions: { local: String } } })

  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws/${token}`)
  await once(socket, 'open')
  socket.send('websocket client ready')
  t.match(String((await once(socket, 'message'))[0]), /^server received message$/)
  const heard = once(socket, 'message')
  await post('/', [{ client: 'local_async', tgt: '*', fun: 'test.ping' }], token)
  const [frame] = (await heard) as [Buffer]
  t.match(JSON.parse(String(frame).slice('data: '.length)), { tag: String, data: { _stamp: String } })
  socket.close()
  await once(socket, 'close')
  t.strictSame(await post('/logout', {}, token), { return: 'Your token has been cleared' })
}

/** As they stand in the documentation of rest_cherrypy: forms, YAML, a jar of cookies, a tar of keys, a stream with its token in the URL. */
async function curl(t: Test, url: string, dir: string): Promise<void> {
  const run = promisify(execFile)
  const home = join(dir, 'curl')
  mkdirSync(home)
  const ask = async (path: string, ...args: string[]) =>
    (await run('/usr/bin/curl', ['-sS', '--fail', url + path, ...args], { cwd: home })).stdout
  const data = (fields: Json) => Object.entries(fields).flatMap(([name, value]) => ['-d', `${name}=${value}`])
  const yaml = ['-H', 'Accept: application/x-yaml']
  const ping = data({ client: 'local', tgt: '*', fun: 'test.ping' })
  const login = parseYaml(await ask('/login', ...yaml, '-c', 'cookies.txt', ...data(LOGIN))) as { return: [{ token: string }] }
  const { token } = login.return[0]
  t.equal(await ask('/', ...yaml, '-H', `X-Auth-Token: ${token}`, ...ping), 'return:\n- local: true\n')
  t.equal(await ask('/', ...yaml, '-b', 'cookies.txt', ...ping), 'return:\n- local: true\n')
  t.equal(await ask('/run', ...yaml, ...ping, ...data(LOGIN)), 'return:\n- local: true\n')
  t.match(await ask('/minions/local', ...yaml, '-b', 'cookies.txt'), /^return:\n- local:\n/)
  t.match(
    await ask('/minions', '-b', 'cookies.txt', ...data({ tgt: '*', fun: 'test.ping' })),
    /^\{"return": \[\{"jid": "\d{20}", "minions": \["local"\]\}\], "_links": /
  )
  t.match(await ask('/jobs', '-b', 'cookies.txt'), /^\{"return": \[\{"\d{20}": \{"Function": /)
  const args = ['-d', 'arg=a', '-d', 'arg=2', '--data-urlencode', 'arg=b=c d', '-d', 'kwarg={"e": [1]}']
  t.match(JSON.parse(await ask('/', '-b', 'cookies.txt', ...data({ client: 'local', tgt: 'local', fun: 'test.arg' }), ...args)), {
    return: [{ local: { args: ['a', 2], kwargs: { b: 'c d', e: [1] } } }]
  })
  t.equal(await ask('/hook/mycompany/build/success', '-b', 'cookies.txt', '-d', 'foo=Foo!'), '{"success": true}')
  t.equal(
    await ask('/hook/mycompany/build', '-b', 'cookies.txt', '-H', 'Content-Type: application/json', '-d', '{"foo": 1}'),
    '{"success": true}'
  )
  await ask('/keys', '-o', 'jerry-salt-keys.tar', ...data({ mid: 'jerry', ...LOGIN }))
  t.match(readFileSync(join(home, 'jerry-salt-keys.tar'), 'latin1'), /^minion\.pub\0.*-----BEGIN PUBLIC KEY-----/s)
  for (const place of [`?token=${token}`, `/${token}`]) {
    const heard = await ask(`/events${place}${place.startsWith('?') ? '&' : '?'}since=earliest&count=1`, '-N')
    t.match(heard, /^retry: 400\n(?:id: .*\n)?tag: \S+\ndata: \{"data": \{/, place)
  }
  t.equal(await ask('/logout', '-b', 'cookies.txt', '-X', 'POST'), '{"return": "Your token has been cleared"}')
}
