import t from 'tap'
import { httpServer } from '../helpers/http.js'
import { reactorBench } from '../helpers/reactor.js'

const SAY = 'say:\n  runner.test.arg:\n    - args: [{ns: {{ events | map(attribute="data") | map(attribute="n") | list }}}]\n'

async function server(t: Parameters<typeof reactorBench>[0], options: object) {
  const bench = await reactorBench(t, { files: { 'say.sls': SAY }, reactor: [{ 'n/*': { sls: 'DIR/say.sls', ...options } }] })
  const http = await httpServer(t, {
    users: { looker: [{ '@wheel': ['reactor.list'] }] },
    clock: bench.clock,
    services: { store: bench.store, events: bench.events, reactor: bench.reactor }
  })
  const ask = async (method: 'GET' | 'POST', url: string, body?: object, token = http.token) => {
    const answer = await http.app.inject({ method, url, headers: { 'x-auth-token': token }, ...(body ? { payload: body } : {}) })
    return { status: answer.statusCode, body: answer.json() as Record<string, unknown> }
  }
  return {
    bench,
    http,
    ask,
    planned: bench.planned,
    rule: bench.reactor.rules.all()[0]!.id,
    id: (seq: number) => `${bench.store.events.epoch}-${seq}`
  }
}

t.test('a rule is paused and resumed over HTTP; status, plans and trace show what waits and why', async t => {
  const { bench, ask, planned, rule, id } = await server(t, {})
  t.match(await ask('GET', '/reactor/status'), { status: 200, body: { paused: null, rules: [] } })
  t.strictSame(await ask('POST', `/reactor/rules/${rule}/pause`), { status: 200, body: { success: true, changed: true } })
  t.strictSame((await ask('POST', `/reactor/rules/${rule}/pause`)).body, { success: true, changed: false })
  const seq = await bench.fire('n/1', { n: 1 })
  await planned()
  t.match((await ask('GET', '/reactor/status')).body, { rules: [{ rule, paused: { by: /./ }, breaker: { state: 'closed' } }] })
  t.match((await ask('GET', '/reactor/plans?state=held')).body, {
    plans: [{ event: id(seq), held: 'paused', blocked: null, window: null }]
  })
  t.match((await ask('GET', `/events/${id(seq)}/trace`)).body, { plans: [{ state: 'planned', held: 'paused' }] })
  t.match((await ask('GET', `/reactor/rules/${rule}/state`)).body, { waiting: { paused: 1 }, windows: [] })
  t.equal((await ask('POST', `/reactor/rules/${rule}/resume`)).status, 200)
  await bench.reactions(found => found.length === 1 && found[0]!.state === 'succeeded')
})

t.test('the whole reactor is paused and resumed over HTTP', async t => {
  const { bench, ask, planned } = await server(t, {})
  t.equal((await ask('POST', '/reactor/pause')).status, 200)
  await bench.fire('n/1', { n: 1 })
  await planned()
  t.match((await ask('GET', '/reactor/status')).body, { paused: { by: /./, since: /^2027-/ } })
  t.strictSame(await bench.reactions(() => true), [])
  t.equal((await ask('POST', '/reactor/resume')).status, 200)
  await bench.reactions(found => found.length === 1 && found[0]!.state === 'succeeded')
})

t.test("a rule's open windows are seen a page at a time, and the trace leads from an event to where its window was reacted to", async t => {
  const { bench, ask, planned, rule, id } = await server(t, { throttle: { once_after: '10s' }, group_by: 'data.key' })
  const seqs: number[] = []
  for (const [n, key] of [
    [1, 'a'],
    [2, 'b'],
    [3, 'a']
  ] as const)
    seqs.push(await bench.fire('n/x', { n, key }))
  await planned()
  const url = `/reactor/rules/${rule}/state?limit=1`
  const first = await ask('GET', url)
  t.match(first.body, {
    windows: [{ key: '"a"', kind: 'once_after', events: 2, first: id(seqs[0]!), last: id(seqs[2]!), passed: 0 }],
    next: '"a"'
  })
  t.match((await ask('GET', `${url}&after=${encodeURIComponent('"a"')}`)).body, { windows: [{ key: '"b"', events: 1 }] })
  t.match((await ask('GET', `/events/${id(seqs[0]!)}/trace`)).body, { windows: [{ rule, first: id(seqs[0]!), reacted: null }], plans: [] })
  bench.clock.pass(11)
  await bench.reactor.look()
  await bench.reactions(found => found.length === 2 && found.every(({ state }) => state === 'succeeded'))
  t.match((await ask('GET', `/events/${id(seqs[0]!)}/trace`)).body, { windows: [{ reacted: id(seqs[2]!) }], plans: [] })
  t.match((await ask('GET', `/events/${id(seqs[2]!)}/trace`)).body, {
    plans: [{ window: id(seqs[0]!), reactions: [{ call: { kwarg: { ns: [1, 3] } } }] }]
  })
})

t.test('a breaker is opened and closed by hand; what it blocked is seen and driven again', async t => {
  const { bench, ask, planned, rule } = await server(t, { breaker: { failures: 3 } })
  t.match(await ask('POST', `/reactor/rules/${rule}/breaker`, { state: 'open' }), { status: 200, body: { breaker: { state: 'open' } } })
  await bench.fire('n/1', { n: 1 })
  await planned()
  t.match((await ask('GET', '/reactor/plans?state=blocked')).body, {
    plans: [{ blocked: 'breaker', state: 'dead', error: /circuit breaker/ }]
  })
  t.match((await ask('POST', `/reactor/rules/${rule}/breaker`, { state: 'closed' })).body, { breaker: { state: 'closed' } })
  t.match((await ask('POST', '/reactor/retry', { state: 'blocked' })).body, { plans: 1, reactions: 0 })
  await bench.reactions(found => found.length === 1 && found[0]!.state === 'succeeded')
  t.match((await ask('GET', '/reactor/plans?state=blocked')).body, { plans: [] })
})

t.test('control of the reactor is for those who may change rules; bad input is named', async t => {
  const { http, ask, rule } = await server(t, {})
  const looker = await http.tokenOf('looker')
  for (const url of ['/reactor/pause', '/reactor/resume', `/reactor/rules/${rule}/pause`])
    t.equal((await ask('POST', url, undefined, looker)).status, 403)
  t.equal((await ask('POST', `/reactor/rules/${rule}/breaker`, { state: 'open' }, looker)).status, 403)
  t.equal((await ask('GET', '/reactor/status', undefined, looker)).status, 200)
  t.equal((await ask('POST', '/reactor/rules/none/pause')).status, 404)
  t.equal((await ask('GET', '/reactor/rules/none/state')).status, 404)
  t.match(await ask('POST', `/reactor/rules/${rule}/breaker`, { state: 'ajar' }), { status: 400, body: { error: /state/ } })
  t.equal((await ask('POST', `/reactor/rules/${rule}/breaker`, { state: 'open' })).status, 409, 'it has none')
  t.equal((await ask('GET', `/reactor/rules/${rule}/state?limit=0`)).status, 400)
})
