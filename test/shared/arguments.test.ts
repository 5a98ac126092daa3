import t from 'tap'
import { packArguments, parseArguments, splitKeyword, yamlArgument } from '../../src/shared/arguments.js'

t.test('a text argument stands for the YAML value that it is', async t => {
  const cases: [string, unknown][] = [
    ['2', 2],
    ['-1.5', -1.5],
    ['true', true],
    ['No', false],
    ['null', null],
    ['~', null],
    ['None', null],
    ['0x1f', 31],
    ['1:30', 90],
    ['007', 7],
    ['010', 10],
    ['[1, 2]', [1, 2]],
    ['{a: 1, b: [x]}', { a: 1, b: ['x'] }],
    ['"5"', '5'],
    ['text', 'text']
  ]
  for (const [text, value] of cases) t.same(yamlArgument(text), value, text)
})

t.test('a text argument stays text where reading it as YAML would lose or invent something', async t => {
  for (const text of [
    '',
    '  ',
    '!',
    '|',
    '1_000',
    '2026-11-22',
    '1e3',
    'a: b',
    '- a',
    'see #5',
    '#',
    '{unclosed',
    '!!python/name:os.system'
  ]) {
    t.equal(yamlArgument(text), text, JSON.stringify(text))
  }
})

t.test('name=value is a keyword argument; a second equals sign, a digit in front or a line break make it text', async t => {
  t.same(splitKeyword('three=3'), { name: 'three', value: '3' })
  t.same(splitKeyword('größe=a=b'), { name: 'größe', value: 'a=b' })
  t.same(splitKeyword('empty='), { name: 'empty', value: '' })
  for (const text of ['a==b', '3x=1', '=1', 'no keyword', 'a=b\nc', 'a b=c']) t.equal(splitKeyword(text), null, text)
})

t.test('positional and keyword arguments of an arg list are told apart', async t => {
  const arg = ['one', 2, null, [1, { a: 'b' }], 'x=1', '5', 'k: v', { __kwarg__: true, q: 'r' }, { plain: 1 }]
  t.same(parseArguments(arg), { args: ['one', 2, null, [1, { a: 'b' }], '5', 'k: v', { plain: 1 }], kwargs: { x: 1, q: 'r' } })
})

t.test('a keyword named __proto__ is a key like any other', async t => {
  const { kwargs } = parseArguments(['__proto__={a: 1}'])
  t.same(Object.keys(kwargs), ['__proto__'])
  t.equal((kwargs as { a?: unknown }).a, undefined)
})

t.test('keyword arguments travel as the last item of a job, marked', async t => {
  t.same(packArguments(['p'], { q: 1 }), ['p', { __kwarg__: true, q: 1 }])
  t.same(packArguments(['p'], {}), ['p'])
})
