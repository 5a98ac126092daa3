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

const FAULTY = /expression|column/

/** What each option says: `when passes: …`. */
const told = ({ options }: { options: { option: string; passes: boolean; reason: string }[] }) =>
  options.map(({ option, passes, reason }) => `${option} ${passes ? 'passes' : 'stops'}: ${reason}`)

t.test('each option says what it makes of the event, and why', async t => {
  // The clock of the test begins on 2027-01-15 (a Friday) at 08:00 UTC.
  const options = {
    when: 'data.n > 2',
    active: [{ from: '08:00', to: '09:00' }],
    throttle: { once_within: '5m' },
    group_by: 'data.id',
    rate_limit: { limit: 3, per: '1m' },
    breaker: { failures: 2 },
    concurrency: { key: 'data.id', limit: 1 },
    retry: { attempts: 2 }
  }
  const { bench, ask } = await server(t, { reactor: [{ 'a/*': { sls: 'DIR/ping.sls', ...options } }], files: { 'ping.sls': PING } })
  const tried = async (data: object) => (await ask({ event: { tag: 'a/1', data } })).body
  const { rules, calls } = await tried({ id: 'web1', n: 3 })
  t.match(rules, [{ outcome: 'reacts', options: [{}, {}, { option: 'throttle', window: { key: '"web1"', opens: true } }] }])
  t.match(told(rules[0]), [
    /^active passes: active at 2027-01-15T08:00/,
    /^when passes: the condition holds/,
    /^throttle passes: opens the window of "web1": others are passed over until 2027-01-15T08:05/,
    /^breaker passes: the circuit breaker is closed/,
    /^rate_limit passes: with it 1 of 3 in 1m/,
    /^concurrency passes: 0 of 1 of the line of "web1" go now, 0 wait/,
    /^retry passes: 2 attempts/
  ])
  t.equal(calls.length, 1)
  const passed = (await tried({ id: 'web1', n: 1, _stamp: '2027-01-15T09:30:00' })).rules[0]
  t.match([passed.outcome, passed.refusal], ['passed', /^active: /])
  t.match(told(passed), [
    /^active stops: not active at 2027-01-15T09:30.*again at 2027-01-16T08:00/,
    /^when stops: the condition does not hold/
  ])
  t.strictSame(await bench.store.reactions.windows({ limit: 10 }), [], 'nothing was written')
})

t.test('several events are tried one after the other by their stamps; windows are closed by them, or when nothing else comes', async t => {
  const sls = 'all:\n  local.test.echo:\n    - tgt: web1\n    - arg: [{{ events | length }}]\n'
  const reactor = [{ 'a/*': { sls: 'DIR/all.sls', accumulate: { within: '1m', threshold: 2 }, group_by: 'data.id' } }]
  const { ask } = await server(t, { reactor, files: { 'all.sls': sls } })
  const at = (id: string, second: string) => ({ tag: 'a/1', data: { id, _stamp: `2027-01-15T08:00:${second}` } })
  const { status, body } = await ask({ events: [at('x', '00'), at('y', '10'), at('x', '20'), { tag: 'other' }] })
  t.equal(status, 200)
  const [first, second, third, other] = body.events
  t.match(first.rules, [
    { outcome: 'gathered', sls: [], options: [{ option: 'accumulate', passes: false, window: { key: '"x"', opens: true, events: 1 } }] }
  ])
  t.match(second.rules, [{ options: [{ window: { key: '"y"', opens: true } }] }])
  t.match(third.rules, [{ options: [{ reason: 'joins the window of "x", 2 of 2', window: { opens: false, events: 2 } }] }])
  t.match(third.windows, [{ key: '"x"', kind: 'accumulate', events: 2, outcome: 'reacts', sls: [{ rendered: /\[2\]/ }] }])
  t.match(other.rules, [])
  t.match(other.windows, [{ key: '"y"', outcome: 'passed', events: 1, refusal: /1 of 2 events came/ }])
  t.match(body.calls, [{ section: 'all', call: { arg: [2] }, minions: ['web1'] }])
  t.equal(body.event, undefined)
  const debounced = await ask({
    events: [at('x', '00'), at('y', '03'), at('x', '30')],
    rules: [{ tag: 'a/*', sls: ['/all.sls'], debounce: { period: '10s' } }],
    sls: { '/all.sls': sls },
    only: true
  })
  t.match(debounced.body.events[2].windows, [
    { events: 2, closes: '2027-01-15T08:00:13.000000', options: [] },
    { events: 1, closes: '2027-01-15T08:00:40.000000' }
  ])
  t.strictSame(
    debounced.body.calls.map(({ call }: { call: { arg: unknown[] } }) => call.arg),
    [[2], [1]]
  )
})

t.test('an event joins the window that is open on the server, with the events that are in it; the window stays as it is', async t => {
  const sls = 'all:\n  runner.test.arg:\n    - args: [{{ events | map(attribute="data") | map(attribute="n") | list }}]\n'
  const reactor = [{ 'myco/*': { sls: 'DIR/all.sls', throttle: { once_after: '1m' } } }]
  const { bench, http, ask } = await server(t, { reactor, files: { 'all.sls': sls } })
  for (const n of [1, 2]) await bench.fire(`myco/${n}`, { n })
  await bench.planned()
  const before = await bench.store.reactions.windows({ limit: 10 })
  const { body } = await ask({ event: { tag: 'myco/3', data: { n: 3 } } })
  t.match(body.rules, [{ outcome: 'gathered', options: [{ option: 'throttle', window: { opens: false, events: 3 } }] }])
  t.match(body.windows, [{ events: 3, outcome: 'reacts', sls: [{ rendered: /\[\[1, 2, 3\]\]/ }] }])
  t.strictSame(await bench.store.reactions.windows({ limit: 10 }), before)
  // Who may not see the events of a window does not see them here.
  await bench.reactor.rules.create(
    { id: 'wide', tag: '*/w', sls: [`${bench.dir}/all.sls`], throttle: { once_after: '1m' } },
    { user: 'ada', source: 'user:ada' }
  )
  await bench.fire('secret/w', { n: 7 })
  while ((await bench.store.reactions.cursor()) < (await bench.store.events.head())) await bench.reactor.look()
  const narrow = await ask({ event: { tag: 'myco/w', data: { n: 8 } } }, await http.tokenOf('looker'))
  const wide = narrow.body.windows.find(({ rule }: { rule: string }) => rule === 'wide')
  t.match(wide, { events: 2, sls: [{ rendered: /\[\[8\]\]/ }] })
})

t.test('what would stop a reaction now on this server is told: pause, rate limit, breaker, and the line before it', async t => {
  const sls = 'DIR/ping.sls'
  const reactor = [
    { 'paused/*': { sls } },
    { 'rate/*': { sls, rate_limit: { limit: 1, per: '1h' } } },
    { 'broken/*': { sls, breaker: { failures: 1 } } },
    { 'line/*': { sls, concurrency: { limit: 1 } } }
  ]
  const { bench, ask } = await server(t, { reactor, files: { 'ping.sls': PING } })
  bench.minions.connect('web1', () => null)
  const me = { user: 'ada', source: 'user:ada' } as const
  const [paused, , broken] = bench.reactor.rules.all()
  await bench.reactor.pause(me, paused!.id)
  await bench.reactor.guards.setBreaker(broken!.id, 'open', me)
  for (const tag of ['rate/1', 'line/1', 'line/2']) await bench.fire(tag, { id: 'web1' })
  await bench.reactions(found => found.filter(({ state }) => state === 'dispatched').length === 2)
  const tried = async (tag: string) => (await ask({ event: { tag, data: { id: 'web1' } } })).body.rules[0]
  t.match(await tried('paused/1'), {
    outcome: 'waits',
    options: [{ option: 'paused', passes: false, reason: /the rule was paused by ada/ }]
  })
  t.match(await tried('rate/2'), {
    outcome: 'blocked',
    refusal: /more than 1 events in 1h/,
    sls: [],
    options: [{ option: 'rate_limit', passes: false }]
  })
  t.match(await tried('broken/1'), { outcome: 'blocked', options: [{ option: 'breaker', passes: false, reason: /opened by ada/ }] })
  t.match(await tried('line/3'), {
    outcome: 'waits',
    options: [{ option: 'concurrency', passes: false, reason: /1 of 1 of the line go now, 1 wait/ }]
  })
  t.match(bench.reactor.guards.shown(reactorId(bench, 1)).rate, { count: 1, blocked: 0 }, 'a trial counts nothing')
})

const reactorId = (bench: Awaited<ReturnType<typeof server>>['bench'], n: number) => bench.reactor.rules.all()[n]!.id

t.test('an option with a mistake is a fault that is told; candidates with options that cannot be are refused by name', async t => {
  const { ask } = await server(t)
  const rule = (options: object) => ({
    event: { tag: 'a', data: { n: 0 } },
    rules: [{ tag: 'a', sls: ['/p.sls'], ...options }],
    sls: { '/p.sls': PING }
  })
  t.match((await ask(rule({ when: '1 / data.n' }))).body.rules, [
    { outcome: 'fault', options: [{ option: 'when', passes: false, reason: /zero/ }] }
  ])
  t.match((await ask(rule({ debounce: { period: 5 }, group_by: '1 / data.n' }))).body.rules, [
    { outcome: 'fault', options: [{ option: 'group_by', passes: false, reason: /zero/ }] }
  ])
  t.match(await ask(rule({ when: '(' })), { status: 400, body: { error: /rules\[0\]\.when/ } })
  t.match((await ask(rule({ when: '(' }))).body.error, FAULTY)
  t.equal((await ask({ events: [], tag: 'a' })).status, 400)
  t.equal((await ask({ events: ['x-1'], tag: 'a' })).status, 400)
  t.equal((await ask({ events: [{ tag: 'a' }, { tag: '' }] })).status, 400)
  const twice = { id: 'r', tag: 'a', sls: ['/p.sls'] }
  t.match(await ask({ tag: 'a', rules: [twice, twice] }), { status: 400, body: { error: /rules\[0\]\.id/ } })
  // A rule as it was read can be pasted.
  const shown = {
    ...twice,
    version: 3,
    source: 'api',
    changed_by: 'ada',
    changed: null,
    comment: '',
    owner: '',
    order: 1,
    tags: [],
    retry: null
  }
  t.equal((await ask({ tag: 'a', rules: [shown], sls: { '/p.sls': PING } })).status, 200)
})
