import Fastify from 'fastify'
import t from 'tap'
import answers, { negotiate } from '../../src/plugins/answers.js'
import errors from '../../src/plugins/errors.js'

const OFFERED = ['application/json', 'application/x-yaml']

t.test('the type with the highest q wins, then the first in the header; q=0 drops a type unless a wildcard brings it back', async t => {
  const cases: [string | undefined, string | null][] = [
    [undefined, 'application/json'],
    ['', 'application/json'],
    ['*/*', 'application/json'],
    ['application/*', 'application/json'],
    ['application/json', 'application/json'],
    ['application/x-yaml', 'application/x-yaml'],
    ['APPLICATION/X-YAML', 'application/x-yaml'],
    ['application/x-yaml, application/json', 'application/x-yaml'],
    ['application/x-yaml;q=0.5, application/json', 'application/json'],
    ['application/json;q=0.1, application/x-yaml;q=0.2', 'application/x-yaml'],
    ['text/html, application/x-yaml;q=0.9, */*;q=0.8', 'application/x-yaml'],
    ['application/json;q=0', null],
    ['application/json;q=0, */*', 'application/json'],
    ['text/html', null],
    ['text/event-stream', null]
  ]
  for (const [accept, expected] of cases) t.equal(negotiate(accept, OFFERED), expected, String(accept))
})

t.test('one value is answered as JSON or YAML, in the form that Salt prints', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  let ran = 0
  await app.register(errors)
  await app.register(async scope => {
    await scope.register(answers, {})
    scope.get('/', async () => {
      ran++
      return { return: [{ b: 'é', a: 1.5, 1: [true, null] }] }
    })
  })
  const get = async (accept: string) => {
    const { statusCode, headers, body } = await app.inject({ url: '/', headers: { accept } })
    return [statusCode, headers['content-type'], body]
  }
  t.strictSame(await get('*/*'), [200, 'application/json', '{"return": [{"1": [true, null], "b": "é", "a": 1.5}]}'])
  t.strictSame(await get('application/x-yaml'), [200, 'application/x-yaml', "return:\n- '1':\n  - true\n  - null\n  a: 1.5\n  b: é\n"])
  ran = 0
  const [status, type, body] = await get('text/html')
  t.strictSame([status, type, ran], [406, 'application/json', 0], 'refused before anything is done')
  t.match(JSON.parse(body as string), { code: 'NOT_ACCEPTABLE', status: 406 })
})
