import fc from 'fast-check'
import Fastify from 'fastify'
import t from 'tap'
import { defaultConfig } from '../../src/config/schema.js'
import bodies from '../../src/plugins/bodies.js'
import errors from '../../src/plugins/errors.js'

interface Test {
  teardown(handler: () => unknown): unknown
}

/** A server that answers with the body that it understood. */
async function echo(t: Test) {
  const app = Fastify({ bodyLimit: 10_000 })
  app.decorate('services', { config: defaultConfig() } as never)
  await app.register(errors)
  await app.register(bodies)
  app.post('/', async request => ({ body: request.body ?? null }))
  t.teardown(() => app.close())
  const post = async (type: string | null, payload: string | Buffer, headers: Record<string, string> = {}) => {
    const content: Record<string, string> = type === null ? {} : { 'content-type': type }
    const answer = await app.inject({ method: 'POST', url: '/', headers: { ...content, ...headers }, payload })
    const { body, code, error } = answer.json() as { body?: unknown; code?: string; error?: string }
    return answer.statusCode === 200 ? body : [answer.statusCode, code, error]
  }
  return { app, post }
}

t.test('JSON, YAML and forms are read by their type, in whatever letters the type is written', async t => {
  const { post } = await echo(t)
  t.strictSame(await post('application/json', '{"a": [1, null]}'), { a: [1, null] })
  t.strictSame(await post('Application/JSON; Charset=UTF-8', '{"a": 1}'), { a: 1 })
  t.strictSame(await post('application/x-yaml', 'a: 1\nb: [x, yes]\nd: 2020-01-01\n'), { a: 1, b: ['x', true], d: '2020-01-01' })
  t.strictSame(await post('text/yaml', 'a: 1'), { a: 1 })
  t.strictSame(await post('application/x-www-form-urlencoded', 'x=1&y=two&y=three&z=&e=%C3%A9+1'), {
    x: '1',
    y: ['two', 'three'],
    e: 'é 1'
  })
})

t.test('text/plain is JSON when it parses, else text', async t => {
  const { post } = await echo(t)
  t.strictSame(await post('text/plain', '{"a": 1}'), { a: 1 })
  t.strictSame(await post('text/plain;charset=UTF-8', 'just text {'), 'just text {')
  t.match(await post('text/plain', '{"__proto__": 1}'), [400, 'BODY_MALFORMED'])
})

t.test('arg and kwarg of a form are read as on the command line, other fields stay text', async t => {
  const { post } = await echo(t)
  t.strictSame(await post('application/x-www-form-urlencoded', 'fun=test.arg&arg=1&arg=true&arg=a%3D1&tgt=5'), {
    fun: 'test.arg',
    arg: [1, true, 'a=1'],
    tgt: '5'
  })
})

t.test('no length, or length 0, is no body, whatever its type', async t => {
  const { post } = await echo(t)
  for (const type of ['application/json', 'application/x-yaml', 'text/plain', 'application/xml', null])
    t.equal(await post(type, ''), null, String(type))
})

t.test('a body of another type, or of none, is refused with 406 before it is read', async t => {
  const { post } = await echo(t)
  for (const type of ['application/xml', 'multipart/form-data; boundary=X', 'application/octet-stream', 'nonsense', null]) {
    t.match(await post(type, 'abc'), [406, 'MEDIA_TYPE'], String(type))
  }
})

t.test('what does not parse is refused with the place', async t => {
  const { post } = await echo(t)
  t.match(await post('application/json', '{\n  "a": 1,\n}'), [400, 'BODY_MALFORMED', /line 3, column 1/])
  t.match(await post('application/x-yaml', 'a: 1\nb: [x\n'), [400, 'BODY_MALFORMED', /line \d+, column \d+/])
  t.match(await post('application/x-yaml', 'a: 1\na: 2\n'), [400, 'BODY_MALFORMED', /line 2/], 'a key that stands twice')
  t.match(await post('application/json', Buffer.from([0x22, 0xff, 0x22])), [400, 'BODY_MALFORMED', /not valid UTF-8/])
})

t.test('bodies that would grow, nest or reach prototypes are refused', async t => {
  const { post } = await echo(t)
  const bomb = `a: &a [x, x, x, x, x, x, x, x]\n${'bcdefghij'
    .split('')
    .map((name, i) => `${name}: &${name} [${Array(8).fill(`*${'abcdefghij'[i]}`).join(', ')}]`)
    .join('\n')}\n`
  t.match(await post('application/x-yaml', bomb), [400, 'BODY_MALFORMED'])
  t.match(await post('application/x-yaml', '[ '.repeat(300) + ' ]'.repeat(300)), [400, 'BODY_MALFORMED'])
  t.match(await post('application/x-yaml', '__proto__: {a: 1}'), [400, 'BODY_MALFORMED', /__proto__/])
  t.match(await post('application/x-www-form-urlencoded', '__proto__=1'), [400, 'BODY_MALFORMED', /__proto__/])
  t.match(await post('application/x-www-form-urlencoded', 'a=1&'.repeat(1001)), [400, 'BODY_MALFORMED', /more than 1000 fields/])
  t.match(await post('application/json', JSON.stringify('x'.repeat(10_000))), [413, 'BODY_TOO_LARGE', /10000/])
})

t.test('whatever the bytes are: understood, or refused with 4xx', async t => {
  const { app } = await echo(t)
  const types = ['application/json', 'application/x-yaml', 'application/x-www-form-urlencoded', 'text/plain', 'application/xml']
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...types),
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
        fc.string({ maxLength: 200 }),
        fc.json()
      ),
      async (type, payload) => {
        const { statusCode } = await app.inject({ method: 'POST', url: '/', headers: { 'content-type': type }, payload })
        return statusCode === 200 || (statusCode >= 400 && statusCode < 500)
      }
    ),
    { numRuns: 300 }
  )
})
