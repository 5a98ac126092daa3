import t from 'tap'
import { eventServer as server } from '../helpers/event-server.js'
import { newEvent } from '../helpers/store.js'

t.test('what a stream cannot do is refused, with the way to get it', async t => {
  const s = await server(t)
  for (const query of ['?limit=10', '?direction=backward', '?until=now', '?before=e1-5']) {
    const refused = await s.ask(query)
    t.equal(refused.status, 400, query)
    t.match(await refused.json(), { code: 'FIELD_INVALID', error: /Accept: application\/json/ })
  }
})

t.test('pages of history follow one another in both directions', async t => {
  const s = await server(t)
  await s.fire('p/1', 'p/2', 'q/3', 'p/4', 'p/5')
  const { epoch } = s.store.events
  const page = async (query: string) => {
    const body = (await (await s.ask(query, { accept: 'application/json' })).json()) as {
      events: { tag: string }[]
      next: string
      more: boolean
    }
    return { tags: body.events.map(event => event.tag), next: body.next, more: body.more }
  }
  t.strictSame(await page('?tag=p/*&limit=3'), { tags: ['p/1', 'p/2', 'p/4'], next: `${epoch}-4`, more: true })
  t.strictSame(await page(`?tag=p/*&limit=3&after=${epoch}-4`), { tags: ['p/5'], next: `${epoch}-5`, more: false })
  t.strictSame(await page(`?tag=p/*&limit=3&after=${epoch}-5`), { tags: [], next: `${epoch}-5`, more: false })
  t.strictSame(await page('?tag=p/*&limit=2&direction=backward'), { tags: ['p/5', 'p/4'], next: `${epoch}-4`, more: true })
  t.strictSame(await page(`?tag=p/*&limit=3&before=${epoch}-4`), { tags: ['p/2', 'p/1'], next: `${epoch}-1`, more: false })
})

t.test('a page of JSON is printed as Salt prints JSON, with the bytes that are in the log', async t => {
  const s = await server(t)
  const { epoch } = s.store.events
  for (const n of [1, 2, 3]) await s.services.events.fire('x', { n, s: 'é' }, { source: 'server' })
  const stored = await Promise.all([1, 2, 3].map(seq => s.store.events.get(seq)))
  const events = stored.map((event, i) => `{"id": "${epoch}-${i + 1}", "tag": "x", "data": ${event!.json}}`)
  const page = await s.ask('?limit=10', { accept: 'application/json' })
  t.equal(await page.text(), `{"events": [${events.join(', ')}], "next": "${epoch}-3", "more": false}`)
})

t.test('history as NDJSON has a line per event, with the bytes of the stream', async t => {
  const s = await server(t)
  await s.store.events.append([newEvent('n/1', { text: 'a\nb "c" é\u2028' }), newEvent('n/2')])
  const response = await s.ask('', { accept: 'application/x-ndjson' })
  t.equal(response.headers.get('content-type'), 'application/x-ndjson')
  const lines = (await response.text()).split('\n')
  t.equal(lines.pop(), '')
  t.strictSame(
    lines.map(line => (JSON.parse(line) as { tag: string }).tag),
    ['n/1', 'n/2']
  )
  const stored = await s.store.events.get(1)
  t.ok(lines[0]!.endsWith(`"data": ${stored!.json}}`))
})

t.test('history says what is missing', async t => {
  const s = await server(t)
  const { epoch } = s.store.events
  await s.fire('a/1', 'a/2', 'a/3')
  await s.store.events.trim({ keep: 1, limit: 10 })
  const gap = { from: `${epoch}-1`, to: `${epoch}-2`, reason: 'retention' }
  t.match(await (await s.ask(`?after=${epoch}-1`, { accept: 'application/json' })).json(), { gap, events: [{ tag: 'a/3' }] })
  const lines = (await (await s.ask(`?after=${epoch}-1`, { accept: 'application/x-ndjson' })).text()).trim().split('\n')
  t.strictSame(JSON.parse(lines[0]!), { gap })
  t.equal(lines.length, 2)
})

t.test('history with a timeout waits for the first event', async t => {
  const s = await server(t)
  const waiting = s.ask('?tag=ci/*&timeout=20', { accept: 'application/json' })
  while (s.hub.following === 0) await new Promise(resolve => setImmediate(resolve))
  await s.fire('other', 'ci/done')
  t.match(await (await waiting).json(), { events: [{ tag: 'ci/done' }] })
  t.match(await (await s.ask('?tag=ci/*&timeout=0.02', { accept: 'application/json' })).json(), { events: [] })
})

t.test('an unknown parameter, and a value out of bounds, is refused with its name', async t => {
  const s = await server(t)
  const unknown = await s.ask('?tags=x')
  t.equal(unknown.status, 404, 'as salt-api has it')
  t.match(await unknown.json(), { error: /tags/ })
  const wrong = await s.ask('?count=0')
  t.equal(wrong.status, 400)
  t.match(await wrong.json(), { code: 'FIELD_INVALID', error: /count/ })
})

t.test('one event by its id, with who fired it and why', async t => {
  const s = await server(t)
  await s.store.events.append([
    newEvent('a', {}, { source: 'user:ci' }),
    newEvent('b', { x: 1 }, { source: 'reactor', cause: { seq: 1, depth: 1 } })
  ])
  const { epoch } = s.store.events
  t.match(await (await s.ask(`/${epoch}-2`)).json(), {
    id: `${epoch}-2`,
    tag: 'b',
    data: { x: 1 },
    source: 'reactor',
    cause: { id: `${epoch}-1`, depth: 1 }
  })
  const json = '{"n": 12345678901234567890, "f": 1.0, "_stamp": "2027-01-15T08:00:00.000000"}'
  await s.store.events.append([{ ...newEvent('c'), json }])
  t.match(await (await s.ask(`/${epoch}-3`)).text(), `"data": ${json}`, 'with the bytes that are in the log')
  t.match(await (await s.ask(`/${epoch}-2`, { accept: 'application/x-yaml' })).text(), 'tag: b\n')
  for (const id of [`${epoch}-4`, '0ther-1']) t.equal((await s.ask(`/${id}`)).status, 404)
  t.equal((await s.ask('/zz')).status, 401, 'what is no id is a token to salt-api, and a bad one')
})

t.test('a number without end is refused like any other that is out of bounds', async t => {
  const s = await server(t)
  const headers = { 'x-auth-token': s.token, accept: 'application/json' }
  for (const query of ['timeout=Infinity', 'timeout=-Infinity', 'timeout=1e400', 'limit=Infinity', 'count=Infinity']) {
    const answer = await s.app.inject({ url: `/events?${query}`, headers })
    t.strictSame([answer.statusCode, answer.json().error], [400, `field '${query.split('=')[0]}': must be a finite number`], query)
  }
  const payload = { seconds: 'Infinity' }
  const ticket = await s.app.inject({ method: 'POST', url: '/events/ticket', headers, payload })
  t.strictSame([ticket.statusCode, ticket.json().error], [400, "field 'seconds': must be a finite number"])
})
