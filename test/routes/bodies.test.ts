import fc from 'fast-check'
import t from 'tap'
import { appBench } from '../helpers/app.js'
import { type Door, doorsOf, through } from '../helpers/doors.js'

/** Small, so that what is too large is quickly made. */
const MAX_BODY = 200_000
/** What garbage may leave behind: the heap of a process that has just started grows by more than half of this by itself. */
const MAX_GROWTH = 300 * 1024 * 1024
const SEED = 20261126

const JSON_TYPE = 'application/json'
const YAML_TYPE = 'application/x-yaml'
const FORM_TYPE = 'application/x-www-form-urlencoded'
const LINES_TYPE = 'application/x-ndjson'
const TYPES = [
  JSON_TYPE,
  YAML_TYPE,
  'text/yaml',
  FORM_TYPE,
  'text/plain',
  LINES_TYPE,
  'application/octet-stream',
  'multipart/form-data; boundary=X'
]

const bomb = `a: &a [x, x, x, x, x, x, x, x, x]\n${[...'bcdefghij'].map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghij'[i]}`).join(', ')}]`).join('\n')}\n`
const utf16 = (text: string) => Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(text, 'utf16le')])

/** No body of that type: refused everywhere, with the place or what is wrong. */
const BROKEN: readonly [what: string, type: string, body: string | Buffer][] = [
  ['cut off', JSON_TYPE, '{"tag": "a", "data": {"x": [1, 2'],
  ['cut off in a text', JSON_TYPE, '{"tag": "a'],
  ['cut off in an escape', JSON_TYPE, '{"tag": "\\u12'],
  ['something behind the end', JSON_TYPE, '{} {}'],
  ['a trailing comma', JSON_TYPE, '{"a": 1,}'],
  ['single quotes', JSON_TYPE, "{'a': 1}"],
  ['a comment', JSON_TYPE, '{"a": 1} // x'],
  ['a control character in a text', JSON_TYPE, '{"a": "\u0001"}'],
  ['half of UTF-8', JSON_TYPE, Buffer.concat([Buffer.from('{"a": "'), Buffer.from([0xc3]), Buffer.from('"}')])],
  ['UTF-16', JSON_TYPE, utf16('{"a": 1}')],
  ['deep lists', JSON_TYPE, `${'['.repeat(50_000)}${']'.repeat(50_000)}`],
  ['deep mappings', JSON_TYPE, `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`],
  ['deep and cut off', JSON_TYPE, '['.repeat(100_000)],
  ['a prototype key', JSON_TYPE, '{"tag": "a", "data": {"__proto__": {"admin": true}}}'],
  ['too large', JSON_TYPE, JSON.stringify({ tag: 'a', data: { x: 'x'.repeat(MAX_BODY) } })],
  ['cut off', YAML_TYPE, 'a: [1, {b: "x'],
  ['a tab for indentation', YAML_TYPE, 'a:\n\t- b\n'],
  ['a key that stands twice', YAML_TYPE, 'a: 1\nb: 2\na: 3\n'],
  ['an alias bomb', YAML_TYPE, bomb],
  ['an alias in itself', YAML_TYPE, '&a [*a]\n'],
  ['an alias of nothing', YAML_TYPE, 'a: *b\n'],
  ['a tag of Python', YAML_TYPE, 'a: !!python/object/apply:os.system ["id"]\n'],
  ['two documents', YAML_TYPE, 'a: 1\n---\nb: 2\n'],
  ['deep lists', YAML_TYPE, `${'['.repeat(20_000)}${']'.repeat(20_000)}`],
  ['deep by dashes', YAML_TYPE, '- '.repeat(20_000)],
  ['deep by indentation', YAML_TYPE, Array.from({ length: 400 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
  ['a prototype key', YAML_TYPE, '__proto__: {admin: true}\n'],
  ['no UTF-8', YAML_TYPE, Buffer.from([0x61, 0x3a, 0x20, 0xff, 0xfe])],
  ['too large', YAML_TYPE, `a: ${'x'.repeat(MAX_BODY)}\n`],
  ['a prototype key', FORM_TYPE, '__proto__=1&fun=x'],
  ['too many fields', FORM_TYPE, Array.from({ length: 1500 }, (_, i) => `f${i}=1`).join('&')],
  ['no UTF-8', FORM_TYPE, Buffer.from([0x61, 0x3d, 0xff])],
  ['too large', FORM_TYPE, `a=${'x'.repeat(MAX_BODY)}`],
  ['too large', 'text/plain', 'x'.repeat(MAX_BODY + 1)],
  ['a line cut off', LINES_TYPE, '{"tag": "myco/x", "data": {"a": 1\n'],
  ['a line that is no mapping', LINES_TYPE, '[1]\n'],
  ['a line without UTF-8', LINES_TYPE, Buffer.from([0x7b, 0xff, 0x7d, 0x0a])],
  ['a line with a prototype key', LINES_TYPE, '{"tag": "myco/x", "data": {"__proto__": 1}}\n'],
  ['a deep line', LINES_TYPE, `{"tag": "myco/x", "data": ${'['.repeat(5000)}${']'.repeat(5000)}}\n`],
  ['parts', 'multipart/form-data; boundary=X', '--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--X--\r\n'],
  ['parts without an end', 'multipart/form-data; boundary=X', `--X\r\n${'a: b\r\n'.repeat(5000)}`],
  ['XML', 'application/xml', '<!DOCTYPE a [<!ENTITY x "xx">]><a>&x;</a>']
]

/** A body of that type, with content that hardly any route wants. */
const ODD: readonly [what: string, type: string, body: string | Buffer][] = [
  ['null', JSON_TYPE, 'null'],
  // Python's JSON has them, JSON has not (golden/api section 15, 24): null or refused
  ['NaN', JSON_TYPE, '{"a": NaN}'],
  ['Infinity', JSON_TYPE, '[-Infinity]'],
  [
    'NaN where a field is looked at',
    JSON_TYPE,
    '{"tag": NaN, "data": {"a": NaN}, "sls": [NaN], "order": Infinity, "version": NaN, "text": NaN}'
  ],
  ['a text', JSON_TYPE, '"text"'],
  ['a number', JSON_TYPE, '1e400'],
  ['an empty list', JSON_TYPE, '[]'],
  ['a list of lists', JSON_TYPE, '[[], [[]], [null], 1, "x"]'],
  ['a byte order mark', JSON_TYPE, '\ufeff{"a": 1}'],
  ['keys that stand twice', JSON_TYPE, '{"tag": "a", "tag": {"b": 1}, "client": [], "client": {}}'],
  [
    'fields of other types',
    JSON_TYPE,
    '{"tag": {}, "data": 1, "sls": "x", "id": [], "client": 1, "fun": {}, "tgt": null, "version": "x", "text": 1, "event": []}'
  ],
  ['names of methods', JSON_TYPE, '{"constructor": 1, "toString": 1, "hasOwnProperty": 1, "length": -1, "then": 1, "toJSON": 1}'],
  ['half surrogate pairs', JSON_TYPE, '{"tag": "\\ud800", "data": {"\\udfff": "\\ud800"}}'],
  ['long integers', JSON_TYPE, `{"version": ${'9'.repeat(400)}, "data": {"n": -${'9'.repeat(5000)}}}`],
  [
    'a chunk of everything',
    JSON_TYPE,
    '[{"client": "local", "fun": ["a", 1], "tgt": {"a": []}, "tgt_type": [], "arg": {"a": 1}, "kwarg": [1], "timeout": "x", "batch": {}}]'
  ],
  ['a scalar', YAML_TYPE, 'text'],
  ['a time', YAML_TYPE, '2020-01-01T00:00:00Z'],
  ['a number that is none', YAML_TYPE, '.nan'],
  ['a key that is a list', YAML_TYPE, '? [a, b]\n: 1\n'],
  ['merged keys', YAML_TYPE, 'a: &a {b: 1}\nc:\n  <<: *a\n'],
  ['a byte order mark', YAML_TYPE, '\ufeffa: 1\n'],
  ['nothing but a comment', YAML_TYPE, '# nothing\n'],
  ['percent signs', FORM_TYPE, '%=%zz&a=%ff&%00=%00'],
  ['YAML in arg', FORM_TYPE, 'client=local&tgt=*&arg=[a&arg={b&kwarg=&a'],
  ['names of methods', FORM_TYPE, 'constructor=1&constructor=2&toString=x&client=a&client=b'],
  ['bytes', 'application/octet-stream', Buffer.from([0, 1, 2, 255])],
  ['an empty body', JSON_TYPE, ''],
  ['an empty line', LINES_TYPE, '\n\n'],
  ['blanks', JSON_TYPE, ' \n\t '],
  ['a text', 'text/plain', '{"client": "local"']
]

/** What says where a body is wrong, or which bound it breaks. */
const PLACE = /line \d+|column \d+|UTF-8|nested|deeper|larger than|__proto__|more than \d+|alias|content type|field '/

t.test('bodies that are none of their type are refused by every route, with the place, and never with 5xx', async t => {
  const { writers, send } = await server(t)
  t.ok(writers.length > 20, `${writers.length} routes`)
  for (const door of writers) {
    for (const [what, type, body] of BROKEN) {
      const { statusCode, body: answer } = await send(door, type, body)
      const said = `${door.name}, ${type}, ${what}: ${statusCode} ${answer.slice(0, 200)}`
      if (statusCode >= 500) t.fail(said)
      else if (!isTaken(door, type, what) && (statusCode < 400 || (statusCode === 400 && !PLACE.test(answer)))) t.fail(said)
    }
  }
})

t.test('bodies with content that nobody expects are taken or refused, and never answered with 5xx', async t => {
  const { writers, send } = await server(t)
  for (const door of writers) {
    for (const [what, type, body] of ODD) {
      const { statusCode, body: answer } = await send(door, type, body)
      if (statusCode >= 500) t.fail(`${door.name}, ${type}, ${what}: ${statusCode} ${answer.slice(0, 200)}`)
    }
  }
})

t.test('whatever the bytes are, no route answers with 5xx, and memory stays flat', async t => {
  const { writers, send } = await server(t)
  const corpus = [...BROKEN, ...ODD].map(([, , body]) => Buffer.from(body as string)).filter(body => body.length < 10_000)
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map(array => Buffer.from(array)),
    fc.string({ maxLength: 300 }).map(text => Buffer.from(text)),
    fc.json().map(text => Buffer.from(text)),
    // a known body with some bytes other than they were
    fc.tuple(fc.constantFrom(...corpus), fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 5 })).map(([body, changes]) => {
      const changed = Buffer.from(body)
      for (const [at, byte] of changes) if (changed.length > 0) changed[at % changed.length] = byte
      return changed
    })
  )
  const property = fc.asyncProperty(fc.constantFrom(...writers), fc.constantFrom(...TYPES), bytes, async (door, type, body) => {
    return (await send(door, type, body)).statusCode < 500
  })
  await fc.assert(property, { seed: SEED, numRuns: 200 })
  const before = process.memoryUsage().rss
  await fc.assert(property, { seed: SEED + 1, numRuns: 600 })
  const [large] = BROKEN.filter(([what]) => what === 'deep lists')
  for (let n = 0; n < 100; n++) await send(writers[n % writers.length]!, large![1], large![2])
  const growth = process.memoryUsage().rss - before
  t.ok(growth < MAX_GROWTH, `grew by ${Math.round(growth / 1024 / 1024)} MiB`)
})

/** A hook takes texts and bytes as they are, and bytes that are no text whatever they are said to be; only what is too large is refused. */
function isTaken({ url }: Door, type: string, what: string): boolean {
  if (!url.startsWith('/hook') || what === 'too large') return false
  return type === 'application/octet-stream' || type === 'text/plain' || /UTF/.test(what)
}

/** A whole server, its routes that take a body, and a way to send them one as somebody who may do everything. */
async function server(t: Parameters<typeof appBench>[0]) {
  const root = t.testdir({})
  const { app } = await appBench(t, { max_request_body_size: MAX_BODY, reactor_roots: [root], login_attempts_per_minute: 1000 })
  const { auth } = app.services
  const { http, doors } = await doorsOf(app.services)
  t.teardown(() => http.close())
  const admin = async () => (await auth.issue({ user: 'admin', eauth: 'admin', label: 'fuzz', expiresSeconds: 3600 })).token
  const lasting = await admin()
  const minion = auth.minionToken('m1').token
  const writers = doors.filter(
    door => ['POST', 'PUT', 'PATCH'].includes(door.method) && door.schema !== undefined && !('hide' in door.schema)
  )
  const send = async (door: Door, type: string, body: string | Buffer) => {
    const token = door.url.startsWith('/minion/') ? minion : door.url === '/logout' ? await admin() : lasting
    const headers = { 'content-type': type, 'x-auth-token': token, authorization: `Bearer ${token}`, 'if-match': '*' }
    return through(http, door, name => (name === '*' ? 'x.sls' : name === 'version' ? '1' : 'x'), { headers, payload: body })
  }
  return { writers, send }
}
