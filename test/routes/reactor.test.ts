import t from 'tap'
import { EventLog } from '../../src/events/log.js'
import type { Reactor } from '../../src/reactor/reactor.js'
import { type HttpTest, httpServer } from '../helpers/http.js'
import { reactorServer as server } from '../helpers/reactor-server.js'

const SLS = ['/srv/r.sls']

t.test('rules are made, read, replaced, changed and removed over HTTP', async t => {
  const { ask } = await server(t, { reactor: [{ 'conf/*': 'DIR/c.sls' }] })
  const made = await ask('POST', '/reactor/rules', { id: 'r1', tag: 'a/*', sls: SLS, order: 3 })
  t.match(made, { status: 201, headers: { location: '/reactor/rules/r1', etag: '"1"' } })
  t.match(made.body, {
    id: 'r1',
    version: 1,
    tag: 'a/*',
    sls: SLS,
    match: 'glob',
    enabled: true,
    order: 3,
    source: 'api',
    changed_by: 'admin'
  })
  t.match(await ask('POST', '/reactor/rules', { tag: 'b', sls: SLS }), { status: 201, body: { id: /^rule-[0-9a-f]{10}$/ } })
  t.match(await ask('PATCH', '/reactor/rules/r1', { enabled: false }), {
    status: 200,
    headers: { etag: '"2"' },
    body: { enabled: false, order: 3 }
  })
  t.match(await ask('PUT', '/reactor/rules/r1', { tag: 'c', sls: SLS }, { 'if-match': '*' }), {
    status: 200,
    body: { version: 3, order: 0, enabled: true }
  })
  t.match(await ask('PUT', '/reactor/rules/new', { tag: 'd', sls: SLS }), { status: 201, body: { id: 'new', version: 1 } })
  const { rules } = (await ask('GET', '/reactor/rules')).body as { rules: { id: string; source: string }[] }
  t.match(rules, [{ source: 'config', tag: 'conf/*' }, {}, {}, {}])
  t.match(await ask('GET', '/reactor/rules?tag=c'), { body: { rules: [{ id: 'r1' }] } })
  t.match(await ask('DELETE', '/reactor/rules/r1'), { status: 200, body: { success: true } })
  t.match(await ask('GET', '/reactor/rules/r1'), { status: 404, body: { code: 'NOT_FOUND' } })
  t.match(await ask('DELETE', `/reactor/rules/${rules[0]!.id}`), { status: 409, body: { code: 'RULE_READ_ONLY' } })
})

t.test('rules are listed a page at a time', async t => {
  const { ask } = await server(t, { reactor: Array.from({ length: 25 }, (_, n) => ({ [`t${n}`]: '/x.sls' })) })
  const seen: string[] = []
  for (let after: string | undefined = ''; after !== undefined; ) {
    const { body } = await ask('GET', `/reactor/rules?limit=10${after === '' ? '' : `&after=${after}`}`)
    seen.push(...(body.rules as { tag: string }[]).map(rule => rule.tag))
    after = body.next as string | undefined
  }
  t.strictSame(
    seen,
    Array.from({ length: 25 }, (_, n) => `t${n}`)
  )
})

t.test('a rule that cannot be is answered with the name of the field', async t => {
  const { ask } = await server(t)
  const cases: [string, object][] = [
    ['tag', { sls: SLS }],
    ['tag', { tag: '', sls: SLS }],
    ['tag', { tag: {}, sls: SLS }],
    ['sls', { tag: 'a' }],
    ['sls', { tag: 'a', sls: [] }],
    ['sls[0]', { tag: 'a', sls: ['x.sls'] }],
    ['sls.0', { tag: 'a', sls: [{}] }],
    ['match', { tag: 'a', sls: SLS, match: 'regex' }],
    ['order', { tag: 'a', sls: SLS, order: 'first' }],
    ['bogus', { tag: 'a', sls: SLS, bogus: 1 }],
    ['id', { id: 'a b', tag: 'a', sls: SLS }]
  ]
  for (const [field, body] of cases) {
    const { status, body: answer } = await ask('POST', '/reactor/rules', body)
    t.equal(status, 400, JSON.stringify(body))
    t.match(answer.error, `'${field}'`, JSON.stringify(body))
  }
  t.match(await ask('PATCH', '/reactor/rules/none', { order: 1 }), { status: 404 })
  t.strictSame((await ask('GET', '/reactor/rules')).body, { rules: [] })
})

t.test('a change that names a version is refused once the rule has another', async t => {
  const { ask } = await server(t)
  await ask('POST', '/reactor/rules', { id: 'r', tag: 'a', sls: SLS })
  t.match(await ask('PATCH', '/reactor/rules/r', { order: 1 }, { 'if-match': '"1"' }), { status: 200, headers: { etag: '"2"' } })
  for (const [method, body] of [
    ['PATCH', { order: 2 }],
    ['PUT', { tag: 'b', sls: SLS }],
    ['DELETE', undefined]
  ] as const) {
    t.match(
      await ask(method, '/reactor/rules/r', body, { 'if-match': '"1"' }),
      { status: 412, body: { code: 'PRECONDITION_FAILED' } },
      method
    )
  }
  t.match(await ask('DELETE', '/reactor/rules/r', undefined, { 'if-match': 'x' }), { status: 400 })
  t.match(await ask('DELETE', '/reactor/rules/r', undefined, { 'if-match': '"2"' }), { status: 200 })
})

t.test('rules are seen and changed by those who may', async t => {
  const { ask, http } = await server(t)
  const as = async (user: string) => ({ 'x-auth-token': await http.tokenOf(user) })
  const body = { id: 'r', tag: 'a', sls: SLS }
  t.match(await ask('POST', '/reactor/rules', body, await as('nobody')), { status: 403, body: { code: 'NOT_PERMITTED' } })
  t.match(await ask('GET', '/reactor/rules', undefined, await as('nobody')), { status: 403 })
  t.match(await ask('POST', '/reactor/rules', body, await as('watcher')), { status: 403 })
  t.match(await ask('GET', '/reactor/rules', undefined, await as('watcher')), { status: 200 })
  t.match(await ask('POST', '/reactor/rules', body, await as('looker')), { status: 201, body: { changed_by: 'looker' } })
  t.equal((await http.app.inject({ url: '/reactor/rules' })).statusCode, 401)
})

t.test('reactions are listed with what became of them, and an event is traced to the calls that it led to', async t => {
  const sls = 'ping:\n  local.test.ping:\n    - tgt: web1\nnone:\n  runner.no.such: []\n'
  const { bench, ask, http } = await server(t, {
    files: { 'r.sls': sls },
    reactor: [{ 'myco/*': ['DIR/r.sls', 'DIR/bad.sls'] }],
    settings: { reactor_attempts: 1 }
  })
  const seq = await bench.fire('myco/x')
  await bench.reactions(all => all.length === 2 && all.every(each => each.state === 'succeeded' || each.state === 'dead'))
  const id = `${bench.store.events.epoch}-${seq}`
  const { body } = await ask('GET', `/reactor/reactions?event=${id}`)
  t.match(body, { reactions: [{ event: id }, { event: id }] })
  t.match(await ask('GET', '/reactor/reactions?state=dead'), {
    body: { reactions: [{ section: 'none', error: /not available/, call: { client: 'runner', fun: 'no.such' } }] }
  })
  const page = (await ask('GET', '/reactor/reactions?limit=1')).body as { reactions: { id: number; jid: string }[]; next: number }
  t.match(await ask('GET', `/reactor/reactions?before=${page.next}`), { body: { reactions: [{ id: page.next - 1 }] } })
  t.match(await ask('GET', `/reactor/reactions?jid=${page.reactions[0]!.jid}`), { body: { reactions: [{ id: page.reactions[0]!.id }] } })
  t.match(await ask('GET', '/reactor/reactions?state=odd'), { status: 400 })

  const trace = await ask('GET', `/events/${id}/trace`)
  t.match(trace.body, {
    id,
    tag: 'myco/x',
    cause: null,
    plans: [
      {
        sls: /r\.sls$/,
        state: 'rendered',
        error: null,
        reactions: [
          { section: 'ping', state: 'succeeded' },
          { section: 'none', state: 'dead' }
        ]
      },
      { sls: /bad\.sls$/, state: 'dead', error: /no such file/, reactions: [] }
    ]
  })
  const job = await bench.event(event => /^salt\/job\/\d+\/new$/.test(event.tag))
  t.match(await ask('GET', `/events/${bench.store.events.epoch}-${job.seq}/trace`), { body: { cause: { id, depth: 1 }, plans: [] } })
  for (const unknown of ['x', 'ffffffff-1', `${bench.store.events.epoch}-99999`])
    t.match(await ask('GET', `/events/${unknown}/trace`), { status: 404 }, unknown)
  const watcher = { 'x-auth-token': await http.tokenOf('watcher') }
  t.match(await ask('GET', `/events/${id}/trace`, undefined, watcher), { status: 200 })
  t.match(
    await ask('GET', `/events/${bench.store.events.epoch}-${job.seq}/trace`, undefined, watcher),
    { status: 404 },
    'what may not be seen is not there'
  )
})

t.test('while the reactor is overloaded, events are refused with 503 and Retry-After, and none is taken', async t => {
  let overloaded = true
  const http: HttpTest = await httpServer(t, {
    services: base => ({ reactor: { overloaded: () => overloaded } as Reactor, events: new EventLog({ ...base, maxEventSize: 1000 }) })
  })
  const headers = { 'x-auth-token': http.token }
  const post = () => http.app.inject({ method: 'POST', url: '/hook/x', headers, payload: { a: 1 } })
  const refused = await post()
  t.equal(refused.statusCode, 503)
  t.ok(Number(refused.headers['retry-after']) > 0)
  t.equal(await http.store.events.count(), 0)
  overloaded = false
  t.equal((await post()).statusCode, 200)
})

t.test('a rule that is there is replaced only by who says which version is meant', async t => {
  const { ask } = await server(t, { reactor: [{ 'conf/*': 'DIR/c.sls' }] })
  await ask('POST', '/reactor/rules', { id: 'r', tag: 'a', sls: SLS })
  t.match(await ask('PUT', '/reactor/rules/r', { tag: 'b', sls: SLS }), { status: 428, body: { code: 'PRECONDITION_REQUIRED' } })
  t.match(await ask('PUT', '/reactor/rules/r', { tag: 'b', sls: SLS }, { 'if-none-match': '*' }), { status: 412 })
  t.match(await ask('PUT', '/reactor/rules/s', { tag: 'b', sls: SLS }, { 'if-none-match': '*' }), { status: 201 })
  t.match(await ask('PUT', '/reactor/rules/gone', { tag: 'b', sls: SLS }, { 'if-match': '*' }), { status: 404 })
  t.match(await ask('PUT', '/reactor/rules/r', { tag: 'b', sls: SLS }, { 'if-match': '"1"' }), { status: 200, body: { version: 2 } })
  const { rules } = (await ask('GET', '/reactor/rules')).body as { rules: { id: string }[] }
  t.match(await ask('PUT', `/reactor/rules/${rules[0]!.id}`, { tag: 'b', sls: SLS }), { status: 409, body: { code: 'RULE_READ_ONLY' } })
})

t.test('versions of a rule are kept with their authors, compared, and restored, even after it was removed', async t => {
  const { ask, http } = await server(t, { reactor: [{ 'conf/*': 'DIR/c.sls' }] })
  const looker = { 'x-auth-token': await http.tokenOf('looker') }
  await ask('POST', '/reactor/rules', { id: 'r', tag: 'a', sls: SLS, tags: ['ci'] })
  await ask('PATCH', '/reactor/rules/r', { tag: 'b', owner: 'ops' }, looker)
  t.match((await ask('GET', '/reactor/rules?tagged=ci&owner=ops')).body.rules, [{ id: 'r' }])
  t.strictSame((await ask('GET', '/reactor/rules?tagged=ci&owner=dev')).body.rules, [])
  const versions = await ask('GET', '/reactor/rules/r/versions')
  t.match(versions.body.versions, [
    { version: 2, tag: 'b', owner: 'ops', changed_by: 'looker', changed: /^\d{4}-/ },
    { version: 1, tag: 'a', owner: '', tags: ['ci'], changed_by: 'admin' }
  ])
  t.match(await ask('GET', '/reactor/rules/r/versions/1'), { status: 200, body: { version: 1, tag: 'a' } })
  t.match(await ask('GET', '/reactor/rules/r/versions/9'), { status: 404 })
  const diff = await ask('GET', '/reactor/rules/r/diff')
  t.strictSame([diff.body.from, diff.body.to, diff.body.fields], [1, 2, ['tag', 'owner']])
  t.match(diff.body.diff, /^--- version 1\n\+\+\+ version 2\n@@.*\n-tag: a\n\+tag: b\n/)
  t.match((await ask('GET', '/reactor/rules/r/diff?from=2&to=1')).body.diff, /-tag: b\n\+tag: a\n/)
  t.match(await ask('POST', '/reactor/rules/r/restore', { version: 1 }, { 'if-match': '"1"' }), { status: 412 })
  t.match(await ask('POST', '/reactor/rules/r/restore', { version: 1 }), {
    status: 200,
    headers: { etag: '"3"' },
    body: { tag: 'a', owner: '' }
  })
  await ask('DELETE', '/reactor/rules/r')
  t.match(await ask('POST', '/reactor/rules/r/restore', { version: 2 }), { status: 200, body: { version: 4, tag: 'b', owner: 'ops' } })
  t.match(await ask('GET', '/reactor/rules?tag=b'), { body: { rules: [{ id: 'r' }] } }, 'and it applies again')
  t.match(await ask('GET', '/reactor/rules/none/versions'), { status: 404 })
  const { rules } = (await ask('GET', '/reactor/rules')).body as { rules: { id: string; version: number }[] }
  const { id, version } = rules[0]!
  t.match(await ask('GET', `/reactor/rules/${id}/versions`), { body: { versions: [{ version, tag: 'conf/*' }] } })
  t.match(await ask('POST', `/reactor/rules/${id}/restore`, { version }), { status: 409, body: { code: 'RULE_READ_ONLY' } })
  const watcher = { 'x-auth-token': await http.tokenOf('watcher') }
  t.match(await ask('POST', '/reactor/rules/r/restore', { version: 1 }, watcher), { status: 403 })
})
