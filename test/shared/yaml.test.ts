import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { floatOf, floatRepr, WholeFloat } from '../../src/shared/numbers.js'
import { packageRoot } from '../../src/shared/paths.js'
import { dumpYaml, parseYaml, parseYamlBody, parseYamlValue, YAML_LIMITS, YamlError } from '../../src/shared/yaml.js'

type Coded = null | boolean | string | { __i: string } | { __f: string } | { __d: [Coded, Coded][] } | Coded[]

interface Recorded {
  load: { text: string; value?: Coded; error?: true }[]
  dump: { value: Coded; block: string; flow: string }[]
}

const recorded: Recorded = JSON.parse(readFileSync(join(packageRoot(), 'test/fixtures/yaml/pyyaml.json'), 'utf8'))

function coded(value: unknown): unknown {
  if (value instanceof WholeFloat) return { __f: floatRepr(value.value) }
  if (typeof value === 'bigint') return { __i: String(value) }
  if (typeof value === 'number') return Number.isInteger(value) ? { __i: String(value) } : { __f: floatRepr(value) }
  if (Array.isArray(value)) return value.map(coded)
  return value instanceof Map ? { __d: [...value].map(([key, item]) => [coded(key), coded(item)]) } : value
}

function decoded(value: Coded): unknown {
  if (Array.isArray(value)) return value.map(decoded)
  if (typeof value !== 'object' || value === null) return value
  if ('__i' in value) return BigInt(value.__i)
  if ('__f' in value) return floatOf(value.__f === 'inf' ? Number.POSITIVE_INFINITY : Number(value.__f))
  return new Map(value.__d.map(([key, item]) => [decoded(key), decoded(item)]))
}

t.test('texts are read as PyYAML reads them', async t => {
  for (const { text, value, error } of recorded.load) {
    if (error) t.throws(() => parseYamlValue(text), YamlError, JSON.stringify(text))
    else t.equal(JSON.stringify(coded(parseYamlValue(text))), JSON.stringify(value), JSON.stringify(text))
  }
})

t.test('values are printed as PyYAML prints them', async t => {
  for (const { value, block, flow } of recorded.dump) {
    t.equal(dumpYaml(decoded(value)), block)
    t.equal(dumpYaml(decoded(value), { flow: true }), flow)
  }
})

t.test('what is printed reads back as the same value', async t => {
  const readBack = (value: Coded) => parseYamlValue(dumpYaml(decoded(value), { sortKeys: false }))
  // YAML 1.1 has three line breaks more than 1.2, which js-yaml reads: texts with these are for PyYAML's readers only
  const common = recorded.dump.filter(({ value }) => !/[\u0085\u2028\u2029]/.test(JSON.stringify(value)))
  t.ok(common.length > 100)
  const changed = common.filter(({ value }) => JSON.stringify(coded(readBack(value))) !== JSON.stringify(coded(decoded(value))))
  t.strictSame(changed, [])
})

t.test('plain scalars mean what YAML 1.1 says, with Salt’s exceptions', async t => {
  const values: [text: string, value: unknown][] = [
    ['yes', true],
    ['off', false],
    ['y', 'y'],
    ['~', null],
    ['', null],
    ['0x1f', 31],
    ['0b11', 3],
    ['0644', 644],
    ['-017', -15],
    ['1:30', 90],
    ['1_000', 1000],
    ['1e5', '1e5'],
    ['1.0e+5', 100_000],
    ['.5', 0.5],
    ['2001-01-01', '2001-01-01'],
    ['2026-11-22 20:45:09', '2026-11-22 20:45:09'],
    ['20261122203758556109', '20261122203758556109'],
    ['!!str 5', '5'],
    ['!!int "5"', 5],
    ['!!float 5', 5]
  ]
  for (const [text, value] of values) t.strictSame(parseYaml(text), value, text)
})

t.test('mappings become plain objects; no key reaches a prototype', async t => {
  const value = parseYaml('__proto__: {polluted: 1}\nconstructor: 2\n2: a\ntrue: b\n') as Record<string, unknown>
  t.strictSame(Object.keys(value).sort(), ['2', '__proto__', 'constructor', 'true'])
  t.equal(({} as Record<string, unknown>).polluted, undefined)
})

t.test('a mistake is told with file, line and column', async t => {
  const mistakes: [text: string, reason: RegExp, line: number, column: number][] = [
    ['a: 1\na: 2\n', /conflicting ID 'a'/, 2, 1],
    ['yes: 1\n1: 2\n', /conflicting ID '1'/, 2, 1],
    ['a: =\n', /constructor for the tag '!!value'/, 1, 4],
    ['- <<\n', /constructor for the tag '!!merge'/, 1, 3],
    ['a:\n\tb: 1\n', /tab/, 2, 1],
    ['a: [1\n', /flow collection/, 2, 1],
    ['a: *b\n', /undefined alias 'b'/, 1, 5],
    ['a: &b 1\nc: &b 2\n', /duplicate anchor 'b'/, 2, 5],
    ['a: 1\n---\nb: 2\n', /another document/, 3, 1],
    ['? [a]\n: b\n', /unhashable/, 1, 3],
    ['a: {{ b }}\n', /double curly-brace/, 1, 5],
    ['a: !foo b\n', /constructor for the tag '!foo'/, 1, 4]
  ]
  for (const [text, reason, line, column] of mistakes) {
    t.throws(() => parseYaml(text, { file: 'f.yaml' }), { name: 'YamlError', reason, line, column, file: 'f.yaml' }, text)
  }
  t.throws(() => parseYaml('a: [', { file: 'f.yaml' }), { message: /\(f\.yaml, line 1, column 5\)/ })
})

t.test('a request body that is no YAML is the caller’s mistake, with its place', async t => {
  t.strictSame(parseYamlBody('- client: local\n  tgt: "*"\n'), [{ client: 'local', tgt: '*' }])
  t.throws(() => parseYamlBody('a: 1\na: 2\n'), { code: 'BODY_MALFORMED', message: /line 2, column 1/ })
})

t.test('lines inside brackets and quotes may stand anywhere, as in PyYAML', async t => {
  t.strictSame(parseYaml('x:\n  y: {\n"a": 1,\n"b": [\n1,\n2\n]\n}\n  z: "a\nb"\n'), { x: { y: { a: 1, b: [1, 2] }, z: 'a b' } })
  t.throws(() => parseYaml('x:\n  y: [\n1,\n2\nz: :\n'), { name: 'YamlError', message: /line 5, column 2/ })
})

t.test('aliases are the same value, and cannot multiply without bound', async t => {
  t.strictSame(parseYaml('a: &x [1]\nb: *x\n'), { a: [1], b: [1] })
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x,x]',
    ...'bcdefghi'.split('').map((name, n) => `${name}: &${name} [${`*${'abcdefgh'[n]},`.repeat(10)}]`)
  ]
  t.throws(() => parseYaml(bomb.join('\n')), /aliases count as what they stand for/)
  t.throws(() => parseYaml('a: &a [*a]'), /inside what it names/)
})

t.test('what a mapping has itself stays in its place among merged keys', async t => {
  const text = 'q: 1\na: own\n<<: {a: merged, b: 2}\n'
  t.equal(JSON.stringify(parseYaml(text)), '{"b":2,"q":1,"a":"own"}')
})

t.test('depth and size are bounded', async t => {
  t.throws(() => parseYaml('['.repeat(200)), /maxDepth/)
  t.throws(() => parseYaml('- a\n'.repeat(YAML_LIMITS.nodes + 1)), /more than 200000 values/)
  t.throws(() => parseYaml('a'.repeat(YAML_LIMITS.characters + 1)), /characters/)
  t.equal(typeof parseYaml('9'.repeat(5000)), 'string')
  const loop: unknown[] = []
  loop.push(loop)
  t.throws(() => dumpYaml(loop), RangeError)
})

t.test('what stands in several places is written once where aliases are asked for, as PyYAML does; what is empty is not', t => {
  const [a, list, empty] = [{ b: [1, 2] }, ['x', 'y'], []]
  const value = { p: a, q: [a, list, { k: list }], r: list, s: empty, t: empty }
  const text = `p: &id001
  b:
  - 1
  - 2
q:
- *id001
- &id002
  - x
  - y
- k: *id002
r: *id002
s: []
t: []
`
  t.equal(dumpYaml(value, { aliases: true }), text)
  t.strictSame(parseYaml(text), value)
  t.notMatch(dumpYaml(value), /[&*]/)
  t.end()
})
