import t from 'tap'
import { httpServer } from '../helpers/http.js'
import { reactorBench } from '../helpers/reactor.js'

type Answer = { status: number; body: Record<string, never> & { [name: string]: unknown } }

async function server(t: Parameters<typeof reactorBench>[0], options: Parameters<typeof reactorBench>[1] = {}) {
  const bench = await reactorBench(t, options)
  const http = await httpServer(t, {
    users: { looker: [{ '@wheel': ['reactor.list'] }, { '@events': ['myco/*'] }] },
    clock: bench.clock,
    services: { store: bench.store, events: bench.events, reactor: bench.reactor }
  })
  const ask = async (method: 'GET' | 'POST', url: string, body?: object, token = http.token) => {
    const answer = await http.app.inject({ method, url, headers: { 'x-auth-token': token }, ...(body ? { payload: body } : {}) })
    return { status: answer.statusCode, body: answer.json() } as Answer
  }
  const id = (seq: number) => `${bench.store.events.epoch}-${seq}`
  return { bench, http, ask, id }
}

const ECHO = `echo:\n  local.test.echo:\n    - tgt: web1\n    - args:\n      - text: {{ data['x'] }}\n      - password: {{ data['x'] }}\n`
const DOWN = `down:\n  local.test.ping:\n    - tgt: {{ data['id'] }}\n`

t.test('an event is traced to the SLS, its text, the call, the job, the returns and what those led to', async t => {
  const { bench, ask, id } = await server(t, {
    reactor: [{ 'a/*': 'DIR/echo.sls' }, { 'salt/job/*/ret/*': 'DIR/noop.sls' }],
    files: { 'echo.sls': ECHO, 'noop.sls': 'note:\n  runner.manage.up: []\n' }
  })
  const seq = await bench.fire('a/1', { x: 'hi' })
  await bench.reactions(found => found.length === 2 && found.every(({ state }) => state === 'succeeded'))
  const { body } = await ask('GET', `/events/${id(seq)}/trace`)
  t.match(body, {
    id: id(seq),
    tag: 'a/1',
    cause: null,
    plans: [
      {
        state: 'rendered',
        rendered: 'echo:\n  local.test.echo:\n    - tgt: web1\n    - args:\n      - text: hi\n      - password: [redacted]\n',
        reactions: [
          {
            section: 'echo',
            state: 'succeeded',
            call: { kwarg: { text: 'hi', password: '[redacted]' } },
            job: { state: 'complete', minions: ['web1'], returns: [{ minion: 'web1', success: true }] },
            events: [{ tag: /^\d{20}$/ }, { tag: /^salt\/job\/\d+\/new$/ }, { tag: /^salt\/job\/\d+\/ret\/web1$/ }]
          }
        ]
      }
    ]
  })
  const [plan] = body.plans as unknown as { reactions: { events: { plans: { reactions: { call: unknown; events: unknown }[] }[] }[] }[] }[]
  const ret = plan!.reactions[0]!.events[2]!
  t.match(ret.plans[0]!.reactions, [
    { call: { client: 'runner', fun: 'manage.up' }, events: [{ tag: /run\/\d+\/new/ }, { tag: /run\/\d+\/ret/ }] }
  ])
})

t.test('the trace of an SLS that does not render has the error; what may not be seen is not in it', async t => {
  const { bench, http, ask, id } = await server(t, {
    reactor: [{ 'myco/*': 'DIR/bad.sls' }],
    files: { 'bad.sls': 'a: {{ data.nosuch }}\n' }
  })
  const seq = await bench.fire('myco/1')
  const told = await bench.event(({ tag }) => tag.startsWith('salt/reactor/'))
  const { body } = await ask('GET', `/events/${id(seq)}/trace`)
  t.match(body.plans, [{ state: 'dead', error: /bad\.sls, line 1.*nosuch/, reactions: [] }])
  t.match(body.events, [{ id: id(told.seq), plans: [] }])
  const looker = await http.tokenOf('looker')
  t.strictSame((await ask('GET', `/events/${id(seq)}/trace`, undefined, looker)).body.events, [])
  t.equal((await ask('GET', `/events/${id(told.seq)}/trace`, undefined, looker)).status, 404)
})

t.test('dead letters are driven again, one by one and all that match', async t => {
  const { bench, http, ask, id } = await server(t, { reactor: [{ 'a/*': 'DIR/down.sls' }], files: { 'down.sls': DOWN } })
  const seq = await bench.fire('a/1', { id: 'db1' })
  await bench.fire('a/2', { id: 'db1' })
  const dead = await bench.reactions(found => found.length === 2 && found.every(({ state }) => state === 'dead'))
  const { body } = await ask('GET', `/reactor/reactions?state=dead&event=${id(seq)}`)
  t.match(body.reactions, [{ id: dead[0]!.id, state: 'dead', error: /no minion matches/, event: id(seq) }])

  await bench.store.keys.put({ id: 'db1', state: 'accepted', pub: 'key', changedUs: 1 }, [])
  await bench.keys.start()
  const looker = await http.tokenOf('looker')
  t.equal((await ask('POST', `/reactor/reactions/${dead[0]!.id}/retry`, undefined, looker)).status, 403)
  t.match(await ask('POST', `/reactor/reactions/${dead[0]!.id}/retry`), { status: 200, body: { reactions: 1, plans: 0 } })
  const again = await bench.reactions(([first]) => first?.state !== 'dead')
  t.not(again[0]!.jid, dead[0]!.jid)
  t.match(await ask('POST', '/reactor/retry', { rule: 'other' }), { body: { reactions: 0 } })
  t.match(await ask('POST', '/reactor/retry', { rule: dead[0]!.rule }), { body: { reactions: 1 } })
  await bench.reactions(found => found.every(({ state }) => state !== 'dead'))
  t.equal((await ask('POST', `/reactor/reactions/${dead[0]!.id}/retry`)).status, 409)
  t.equal((await ask('POST', '/reactor/reactions/999/retry')).status, 404)
  await bench.event(({ tag, data }) => tag === `salt/reactor/${dead[0]!.rule}/retry` && data.user === 'admin')
})

t.test('a plan that is dead is rendered again', async t => {
  const { bench, ask } = await server(t, {
    reactor: [{ 'a/*': 'DIR/late.sls' }],
    files: { 'late.sls': 'a: {{ data.nosuch }}\n' }
  })
  await bench.fire('a/1')
  await bench.event(({ tag }) => tag.startsWith('salt/reactor/'))
  const plans = async (state: string) => (await ask('GET', `/reactor/plans?state=${state}`)).body.plans as unknown as { id: number }[]
  const [plan] = await plans('dead')
  t.match(await ask('POST', `/reactor/plans/${plan!.id}/retry`), { status: 200, body: { plans: 1 } })
  await bench.event(({ tag, data }) => tag.endsWith('/error') && data.state === 'dead' && data.attempts === 1)
  t.equal((await ask('POST', '/reactor/plans/99/retry')).status, 404)
})

t.test('reactions are paged, and found by rule, state, event, job and time', async t => {
  const { bench, ask } = await server(t, { reactor: [{ 'a/*': 'DIR/echo.sls' }], files: { 'echo.sls': ECHO } })
  for (const x of ['1', '2', '3']) await bench.fire('a/1', { x })
  const all = await bench.reactions(found => found.length === 3 && found.every(({ state }) => state === 'succeeded'))
  const ids = async (query: string) => {
    const { body } = await ask('GET', `/reactor/reactions?${query}`)
    return [(body.reactions as unknown as { id: number }[]).map(each => each.id), body.next]
  }
  const [a, b, c] = all.map(({ id }) => id)
  t.strictSame(await ids('limit=2'), [[c, b], b])
  t.strictSame(await ids(`limit=2&before=${b}`), [[a], undefined])
  t.strictSame(await ids(`jid=${all[1]!.jid}`), [[b], undefined])
  t.strictSame(await ids('state=dead'), [[], undefined])
  t.strictSame(await ids(`rule=${all[0]!.rule}&until=2001-01-01`), [[], undefined])
  t.match(await ask('GET', `/reactor/reactions/${b}`), { status: 200, body: { id: b, section: 'echo' } })
  t.equal((await ask('GET', '/reactor/reactions?since=never')).status, 400)
})

t.test('an event is fired again with its data, a new stamp and itself as the cause', async t => {
  const { bench, http, ask, id } = await server(t)
  const seq = await bench.fire('salt/minion/web1/start', { id: 'web1', n: 1.5 })
  const { body } = await ask('POST', `/events/${id(seq)}/re-emit`)
  const event = await bench.event(({ data }) => data.id === 'web1')
  t.equal(event.seq, seq)
  const [again] = await bench.store.events.causedBy(seq, 10)
  t.equal(body.id, id(again!.seq))
  t.match(again, { tag: 'salt/minion/web1/start', source: 'user:admin', cause: { seq, depth: 0 } })
  const { _stamp, ...data } = JSON.parse(again!.json)
  t.strictSame(data, { id: 'web1', n: 1.5 })
  t.not(_stamp, JSON.parse(event.json)._stamp)
  const mine = await bench.fire('myco/x')
  t.equal((await ask('POST', `/events/${id(mine)}/re-emit`, undefined, await http.tokenOf('looker'))).status, 200)
  t.equal((await ask('POST', `/events/${id(seq)}/re-emit`, undefined, await http.tokenOf('looker'))).status, 404)
})
