import t from 'tap'
import { type HttpTestOptions, httpServer } from '../helpers/http.js'

interface Test {
  teardown(handler: () => unknown): unknown
}

async function server(t: Test, options: HttpTestOptions = {}) {
  const s = await httpServer(t, options)
  return {
    ...s,
    post: (payload: unknown, headers: Record<string, string> = {}) =>
      s.app.inject({
        method: 'POST',
        url: '/events',
        headers: { 'x-auth-token': s.token, 'content-type': 'application/json', ...headers },
        payload: typeof payload === 'string' ? payload : JSON.stringify(payload)
      }),
    tags: async () => {
      const tags: string[] = []
      for await (const page of s.store.events.read({ after: 0, upTo: await s.store.events.head() }))
        tags.push(...page.map(event => event.tag))
      return tags
    }
  }
}

t.test('one event is answered with its id once it is committed', async t => {
  const s = await server(t)
  const answer = await s.post({ tag: 'ci/build', data: { n: 1, _stamp: 'mine' } })
  t.strictSame([answer.statusCode, answer.json()], [200, { success: true, id: `${s.store.events.epoch}-1` }])
  const event = await s.store.events.get(1)
  t.strictSame([event!.tag, event!.source], ['ci/build', 'user:admin'])
  t.match(JSON.parse(event!.json), { n: 1, _stamp: /^20\d\d-/ }, "the time is the server's")
})

t.test('a list is fired as a whole, in order, or not at all', async t => {
  const s = await server(t)
  const { epoch } = s.store.events
  t.strictSame((await s.post([{ tag: 'a' }, { tag: 'b', data: {} }])).json(), { success: true, ids: [`${epoch}-1`, `${epoch}-2`] })
  const refused = await s.post([{ tag: 'c' }, { tag: 'bad\ntag' }])
  t.strictSame([refused.statusCode, refused.json().code], [400, 'TAG_INVALID'])
  t.strictSame(await s.tags(), ['a', 'b'])
})

t.test('what is malformed is refused with the place', async t => {
  const s = await server(t)
  const error = async (payload: unknown) => {
    const answer = await s.post(payload)
    return [answer.statusCode, (answer.json() as { error: string }).error]
  }
  t.strictSame(await error('{"tag": "a",\n "data": {"x": 1,}}'), [
    400,
    'the JSON body does not parse: expected a key in double quotes at line 2, column 18'
  ])
  t.strictSame(await error({ data: {} }), [400, "field 'tag' is missing"])
  t.strictSame(await error([{ tag: 'a' }, { tag: 'b', data: [] }]), [400, "field '[1].data': must be a mapping"])
  t.strictSame(await error([{ tag: 'a' }, 5]), [400, "field '[1]': must be a mapping {tag, data}"])
  t.strictSame(await error({ tag: 'a', dta: {} }), [400, "field 'dta': is not known here"])
  t.strictSame(await error({ tag: 7 }), [400, "field 'tag': must be a text"])
  t.strictSame(await error({ tag: '' }), [400, 'tag "": is empty'])
  t.strictSame(await error('{"tag": "a", "data": {"__proto__": {"x": 1}}}'), [
    400,
    "the JSON body does not parse: the key '__proto__' is not allowed"
  ])
  t.strictSame(await s.tags(), [])
})

t.test("each tag needs its permission; tags under salt/ are the server's", async t => {
  const s = await server(t, { users: { ci: [{ '@events': [{ fire: ['ci/*'] }] }] } })
  const token = { 'x-auth-token': await s.tokenOf('ci') }
  t.equal((await s.post({ tag: 'ci/1' }, token)).statusCode, 200)
  t.equal((await s.post({ tag: 'other' }, token)).statusCode, 403)
  t.equal((await s.post([{ tag: 'ci/2' }, { tag: 'other' }], token)).statusCode, 403)
  t.equal((await s.post({ tag: 'salt/key' })).statusCode, 403, 'for nobody')
  t.strictSame(await s.tags(), ['ci/1'])
})

t.test('an idempotency key covers a whole list', async t => {
  const s = await server(t)
  const key = { 'idempotency-key': 'k1' }
  const first = await s.post([{ tag: 'a' }, { tag: 'b' }], key)
  const again = await s.post([{ tag: 'a' }, { tag: 'b' }], key)
  t.strictSame(again.json(), first.json())
  t.equal(again.headers['idempotent-replayed'], 'true')
  t.strictSame(await s.tags(), ['a', 'b'])
})

const NDJSON = { 'content-type': 'application/x-ndjson' }
const lines = (count: number) => Array.from({ length: count }, (_, i) => JSON.stringify({ tag: `bulk/${i}`, data: { i } }))
const parsed = (body: string) =>
  body
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>)

t.test('a stream of lines is committed batch by batch, each with an answer', async t => {
  const s = await server(t)
  const answer = await s.post(lines(1100).join('\n'), NDJSON)
  t.equal(answer.statusCode, 200)
  const { epoch } = s.store.events
  t.strictSame(parsed(answer.body), [
    { count: 500, first: `${epoch}-1`, last: `${epoch}-500` },
    { count: 500, first: `${epoch}-501`, last: `${epoch}-1000` },
    { count: 100, first: `${epoch}-1001`, last: `${epoch}-1100` },
    { success: true, count: 1100 }
  ])
  t.strictSame(
    await s.tags(),
    lines(1100).map(line => (JSON.parse(line) as { tag: string }).tag)
  )
})

t.test('blank lines, Windows line ends and a missing last one do no harm', async t => {
  const s = await server(t)
  const answer = await s.post('{"tag": "a"}\r\n\r\n\n{"tag": "b"}', NDJSON)
  t.strictSame(parsed(answer.body).at(-1), { success: true, count: 2 })
  t.strictSame(parsed((await s.post('', NDJSON)).body), [{ success: true, count: 0 }])
})

t.test('a mistake in the first batch is a refusal and fires nothing', async t => {
  const s = await server(t)
  const answer = await s.post(['{"tag": "a"}', '{"tag": "b"', '{"tag": "c"}'].join('\n'), NDJSON)
  t.equal(answer.statusCode, 400)
  t.match(answer.json(), { code: 'BODY_MALFORMED', line: 2, error: /expected ',' or '\}' at line 1, column 12/ })
  t.strictSame(await s.tags(), [])
})

t.test('a mistake later on ends the answer with the line at fault; the batches before it are committed', async t => {
  const s = await server(t)
  const answer = await s.post([...lines(600), '{"tag": "a\\u0000"}', '{"tag": "b"}'].join('\n'), NDJSON)
  t.equal(answer.statusCode, 200)
  t.match(parsed(answer.body), [{ count: 500 }, { success: false, status: 400, code: 'TAG_INVALID', line: 601, count: 500 }])
  t.equal((await s.tags()).length, 500)
})

t.test('lines are for firing alone', async t => {
  const s = await server(t)
  const headers = { 'x-auth-token': s.token, ...NDJSON }
  const answer = await s.app.inject({ method: 'POST', url: '/events/ticket', headers, payload: '{}\n' })
  t.strictSame([answer.statusCode, answer.json().code], [406, 'MEDIA_TYPE'])
})

t.test('a line longer than a body may be is refused without being held', async t => {
  const s = await server(t, { config: { max_request_body_size: 2000 } })
  const answer = await s.post(JSON.stringify({ tag: 'a', data: { x: 'x'.repeat(100_000) } }), NDJSON)
  t.strictSame([answer.statusCode, answer.json().code], [413, 'BODY_TOO_LARGE'])
})
