import t from 'tap'
import { httpServer } from '../helpers/http.js'
import { reactorBench } from '../helpers/reactor.js'

/** An HTTP server over a reactor, and a way to ask `POST /reactor/test`. */
async function server(t: Parameters<typeof reactorBench>[0], options: Parameters<typeof reactorBench>[1] = {}) {
  const bench = await reactorBench(t, options)
  const http = await httpServer(t, {
    users: { looker: [{ '@wheel': ['reactor.list'] }, { '@events': ['myco/*'] }], nobody: ['test.*'] },
    clock: bench.clock,
    services: { store: bench.store, events: bench.events, reactor: bench.reactor, keys: bench.keys }
  })
  const ask = async (body: object, token = http.token) => {
    const answer = await http.app.inject({ method: 'POST', url: '/reactor/test', headers: { 'x-auth-token': token }, payload: body })
    return { status: answer.statusCode, body: answer.json() }
  }
  return { bench, http, ask }
}

const PING = `ping:\n  local.test.ping:\n    - tgt: {{ data['id'] }}\n`

t.test('an event that is pasted is matched, rendered and parsed; nothing is done', async t => {
  const { bench, ask } = await server(t, { reactor: [{ 'a/*': 'DIR/ping.sls' }, { 'b/*': 'DIR/ping.sls' }], files: { 'ping.sls': PING } })
  const { status, body } = await ask({ event: { tag: 'a/1', data: { id: 'web1' } } })
  t.equal(status, 200)
  t.match(body.rules, [{ tag: 'a/*', source: 'config', sls: [{ rendered: 'ping:\n  local.test.ping:\n    - tgt: web1\n' }] }])
  t.equal(body.rules.length, 1)
  t.match(body.calls, [{ section: 'ping', call: { client: 'local', fun: 'test.ping', tgt: 'web1' }, minions: ['web1'], minion_count: 1 }])
  t.match((await ask({ tag: 'c/1' })).body, { rules: [], calls: [] })
  t.strictSame(await bench.store.reactions.list({ limit: 10 }), [])
})

t.test('an event of the log is tried by its id', async t => {
  const { bench, ask } = await server(t, { reactor: [{ 'never/*': 'DIR/ping.sls' }], files: { 'ping.sls': PING } })
  const seq = await bench.fire('myco/x', { id: 'db1' })
  const id = `${bench.store.events.epoch}-${seq}`
  const { body } = await ask({ event: id, rules: [{ tag: 'myco/*', sls: ['/r.sls'] }], sls: { '/r.sls': PING } })
  t.match(body, { event: { id, tag: 'myco/x' }, rules: [{ source: 'candidate' }], calls: [{ call: { tgt: 'db1' } }] })
  t.equal((await ask({ event: `${bench.store.events.epoch}-999` })).status, 404)
  t.equal((await ask({})).status, 400)
})

t.test('mistakes come with file, line and column', async t => {
  const { ask } = await server(t)
  const tried = async (sls: string) => (await ask({ tag: 'x', sls })).body.rules[0].sls[0]
  t.match(await tried('a:\n  {{ data.nosuch }}:\n'), {
    fault: { kind: 'undefined', file: '(given)', line: 2, column: 3 },
    error: /line 2, column 3/
  })
  t.match(await tried('a:\n {% if %}'), { fault: { kind: 'syntax', line: 2 } })
  t.match(await tried('a:\n  - b\n c: d\n'), { fault: { kind: 'yaml', line: 3 }, rendered: 'a:\n  - b\n c: d\n' })
  t.match(await tried('a: [b]\n'), { fault: { kind: 'not_a_mapping_of_reactions' } })
  t.match((await tried('a:\n  local.test.ping: []\n')).reactions, [{ section: 'a', call: { error: /'tgt' is missing/ } }])
  t.match((await tried('a:\n  local.cmd.run:\n    - tgt: x\n    - arg: [{{ tag }}]\n')).warnings, [{ line: 4, message: /quote/ }])
})

t.test('candidates stand in the place of rules of the same id; only: nothing else counts', async t => {
  const { bench, ask } = await server(t, { reactor: [{ 'a/*': 'DIR/ping.sls' }], files: { 'ping.sls': PING } })
  const [{ id }] = bench.reactor.rules.all() as unknown as [{ id: string }]
  const event = { tag: 'a/1', data: { id: 'web1' } }
  const other = { tag: 'a/*', sls: ['/o.sls'] }
  const sls = { '/o.sls': 'o:\n  runner.manage.up: []\n' }
  const ids = async (body: object) => (await ask({ event, sls, ...body })).body.rules.map((rule: { source: string }) => rule.source)
  t.strictSame(await ids({ rules: [other] }), ['config', 'candidate'])
  t.strictSame(await ids({ rules: [{ ...other, id }] }), ['candidate'])
  t.strictSame(await ids({ rules: [other], only: true }), ['candidate'])
})

t.test('secrets are taken out of what is shown', async t => {
  const { ask } = await server(t)
  const sls = 'a:\n  runner.test.arg:\n    - args:\n      - password: {{ data.p }}\n      - n: 1\n'
  const { body } = await ask({ tag: 'x', data: { p: 'hunter2' }, sls })
  t.match(body.calls, [{ call: { kwarg: { password: '[redacted]', n: 1 } } }])
  t.notMatch(JSON.stringify([body.rules, body.calls]), /hunter2/)
})

t.test('trying what is stored needs the right to see rules, trying candidates the right to change them', async t => {
  const { http, bench, ask } = await server(t)
  const looker = await http.tokenOf('looker')
  t.equal((await ask({ tag: 'x' }, looker)).status, 200)
  t.equal((await ask({ tag: 'x', sls: PING }, looker)).status, 403)
  t.equal((await ask({ tag: 'x' }, await http.tokenOf('nobody'))).status, 403)
  const seq = await bench.fire('other/x')
  t.equal((await ask({ event: `${bench.store.events.epoch}-${seq}` }, looker)).status, 404)
})

t.test('a rule in use whose condition does not hold says so, and why', async t => {
  const { ask } = await server(t, { reactor: [{ 'a/*': { sls: 'DIR/ping.sls', when: 'data.n > 2' } }], files: { 'ping.sls': PING } })
  t.match((await ask({ tag: 'a/1', data: { id: 'web1', n: 1 } })).body, {
    rules: [{ refusal: /when: the condition does not hold/ }],
    calls: []
  })
  t.match((await ask({ tag: 'a/1', data: { id: 'web1' } })).body, { rules: [{ refusal: /undefined|no attribute/ }], calls: [] })
  t.match((await ask({ tag: 'a/1', data: { id: 'web1', n: 3 } })).body, { calls: [{ section: 'ping' }] })
})
