import t from 'tap'
import { PythonRegex, RegexBudget, RegexSyntaxError, RegexTooCostly } from '../../src/shared/regex/index.js'

type Groups = (string | null)[]

t.test("expressions match what Python's re matches", async t => {
  // [pattern, text, start and end and groups of re.search]; each recorded from Python 3.11.
  const cases: [string, string, [number, number, Groups] | null][] = [
    ['(web|db)(\\d+)', 'xdb12', [1, 5, ['db', '12']]],
    ['^(?!web).*', 'db1', [0, 3, []]],
    ['(?<=a)b', 'cab', [2, 3, []]],
    ['(?<!a)b', 'ab b', [3, 4, []]],
    ['(a*)*', 'aab', [0, 2, ['']]],
    ['(?P<x>a)(?P=x)', 'baa', [1, 3, ['a']]],
    ['(a)?(?(1)b|c)', 'c', [0, 1, [null]]],
    ['a{,2}', 'aaa', [0, 2, []]],
    ['a{x', 'a{x', [0, 3, []]],
    ['(?>a+)ab', 'aaab', null],
    ['a++a', 'aaa', null],
    ['a+?', 'aaa', [0, 1, []]],
    ['[^]b]+', 'b]ac', [2, 4, []]],
    ['(?i)É', 'é', [0, 1, []]],
    ['(?i:A)b', 'ab', [0, 2, []]],
    ['\\d+', '٣٤', [0, 2, []]],
    ['(?a)\\w', 'é', null],
    ['\\w', 'é', [0, 1, []]],
    ['.', '🎉', [0, 1, []]],
    ['b$', 'ab\n', [1, 2, []]],
    ['b\\Z', 'ab\n', null],
    ['(?m)^b$', 'a\nb\nc', [2, 3, []]],
    ['(?s)a.b', 'a\nb', [0, 3, []]],
    ['(?x) a  b # comment', 'ab', [0, 2, []]],
    ['a(?#x)*', 'aa', [0, 2, []]],
    ['\\bweb\\b', 'a web b', [2, 5, []]],
    ['\\x41\\u00e9\\101', 'AéA', [0, 3, []]]
  ]
  for (const [pattern, text, expected] of cases) {
    const found = new PythonRegex(pattern).search(text)
    t.strictSame(found && [found.start, found.end, found.groups()], expected, `${pattern} ${JSON.stringify(text)}`)
  }
})

t.test('expressions that Python refuses are refused, with the place', async t => {
  for (const pattern of [
    '(',
    ')',
    '*',
    'a**',
    '[a-',
    '[z-a]',
    '(?P<n>a)(?P<n>b)',
    '\\1',
    '(?<=a+)b',
    'a(?i)b',
    '\\q',
    '(?z)',
    '{2}',
    '(?P=x)',
    'a{3,2}'
  ]) {
    t.throws(() => new PythonRegex(pattern), RegexSyntaxError, pattern)
  }
  t.throws(() => new PythonRegex('ab[c'), { message: /at position 2/ })
})

t.test('an expression that backtracks without end is given up after its budget of steps', async t => {
  const text = `${'a'.repeat(200)}!`
  for (const pattern of ['(a+)+$', '(a|a)*$', '(a|aa)+$', '(.*a){20}$', '^(([a-z])+.)+[A-Z]$']) {
    t.throws(() => new PythonRegex(pattern).search(text, new RegexBudget(100_000)), RegexTooCostly, pattern)
  }
})

t.test('an expression whose repeats would make a huge program is refused', async t => {
  t.throws(() => new PythonRegex('(((a{2}b){200}){200}){200}'), RegexSyntaxError)
  t.throws(() => new PythonRegex(`${'('.repeat(5000)}${')'.repeat(5000)}`), RegexSyntaxError)
})

t.test('all matches of a text are those of re.finditer, empty ones included', async t => {
  const spans = (pattern: string, text: string) => [...new PythonRegex(pattern).matches(text)].map(found => [found.start, found.end])
  t.strictSame(spans('x*', 'axb'), [
    [0, 0],
    [1, 2],
    [2, 2],
    [3, 3]
  ])
  t.strictSame(spans('|a', 'a'), [
    [0, 0],
    [0, 1],
    [1, 1]
  ])
  t.strictSame(spans('\\d+', 'a1b22'), [
    [1, 2],
    [3, 5]
  ])
})
