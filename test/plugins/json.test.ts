import fc from 'fast-check'
import t from 'tap'
import { isBrineError } from '../../src/errors.js'
import { MAX_DEPTH, parseJson } from '../../src/plugins/json.js'

function refusal(text: string): string {
  try {
    parseJson(text)
  } catch (error) {
    if (isBrineError(error, 'BODY_MALFORMED')) return error.message.replace('the JSON body does not parse: ', '')
    throw error
  }
  return 'none'
}

/** Integers that JavaScript rounds stay texts in what parseJson answers; here they are rounded. */
function rounded(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (_key, item) => (typeof item === 'string' && /^-?\d{16,}$/.test(item) ? Number(item) : item))
}

t.test('what is JSON is parsed as JSON.parse does, the last of equal keys winning', async t => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), text => {
      if (/"__proto__"/.test(text)) return
      t.strictSame(rounded(parseJson(text)), rounded(JSON.parse(text)))
    }),
    { numRuns: 200 }
  )
  t.strictSame(parseJson('{"a": 1, "a": 2}'), { a: 2 })
  t.strictSame(parseJson('[NaN, -Infinity, "NaN"]'), [null, null, 'NaN'], 'what Python calls JSON')
})

t.test('integers that JavaScript would round become texts, wherever they stand, and texts stay as they are', async t => {
  const jid = '20261122190145000001'
  for (const [text, value] of [
    [jid, jid],
    [`-${jid}`, `-${jid}`],
    [`{"a":${jid},"b": ${jid}, "c":[${jid},-${jid}]}`, { a: jid, b: jid, c: [jid, `-${jid}`] }],
    [`{"${jid}": "${jid}", "x": "job ${jid}\\"${jid}"}`, { [jid]: jid, x: `job ${jid}"${jid}` }],
    [`{"a": "${jid}", "b": ${jid}}`, { a: jid, b: jid }],
    ['9007199254740991', 9007199254740991],
    [`${jid}.5`, Number(`${jid}.5`)],
    [`${jid}e2`, Number(`${jid}e2`)]
  ] as [string, unknown][])
    t.strictSame(parseJson(text), value, text)
})

t.test('a mistake is told with its place and what should stand there', async t => {
  const cases: Record<string, string> = {
    '': 'expected a value at line 1, column 1 (the text ends there)',
    '{': "expected a key in double quotes or '}' at line 1, column 2 (the text ends there)",
    '{"a"': "expected ':' at line 1, column 5 (the text ends there)",
    '{"a": }': 'expected a value at line 1, column 7',
    '{"a": 1,}': 'expected a key in double quotes at line 1, column 9',
    "{'a': 1}": "expected a key in double quotes or '}' at line 1, column 2",
    '[1, 2': "expected ',' or ']' at line 1, column 6 (the text ends there)",
    '[1,\n  2,\n  x]': 'expected a value at line 3, column 3',
    '[1] [2]': 'expected the end at line 1, column 5',
    '{"a": "b\nc"}': 'expected a text in double quotes, ended and escaped, at line 1, column 7',
    '{"a": "\\x"}': 'expected a text in double quotes, ended and escaped, at line 1, column 7',
    '01': 'expected the end at line 1, column 2',
    nul: 'expected a value at line 1, column 1',
    '\uFEFF{}': 'expected a value at line 1, column 1'
  }
  for (const [text, expected] of Object.entries(cases)) t.equal(refusal(text), expected, JSON.stringify(text))
})

t.test('whatever is broken: a refusal with a place, never the text itself', async t => {
  const damaged = fc.tuple(fc.json({ maxDepth: 4 }), fc.nat(), fc.string({ maxLength: 3 })).map(([text, at, extra]) => {
    const cut = at % (text.length + 1)
    return text.slice(0, cut) + extra + text.slice(cut + 1)
  })
  fc.assert(
    fc.property(damaged, text => {
      try {
        JSON.parse(text)
      } catch {
        return /^expected .* at line \d+, column \d+/.test(refusal(text))
      }
      return true
    }),
    { numRuns: 500 }
  )
  t.notMatch(refusal('{"password": "hunter2" "x"}'), 'hunter2')
})

t.test('integers that JavaScript would round keep their digits, as texts', async t => {
  t.strictSame(parseJson('[9007199254740993, 9007199254740991, -12345678901234567890, "9007199254740993", 1e20]'), [
    '9007199254740993',
    9007199254740991,
    '-12345678901234567890',
    '9007199254740993',
    1e20
  ])
})

t.test('nesting has an end, parsed or not, and none of it overflows the stack', async t => {
  t.equal(refusal('['.repeat(MAX_DEPTH) + ']'.repeat(MAX_DEPTH)), 'none')
  t.equal(refusal('['.repeat(MAX_DEPTH + 1) + ']'.repeat(MAX_DEPTH + 1)), `it is nested deeper than ${MAX_DEPTH} levels`)
  t.match(refusal('['.repeat(200_000)), 'expected a value')
  t.match(refusal('{"a":'.repeat(100_000)), 'expected a value')
})

t.test('__proto__ is refused, however it is written and wherever it stands', async t => {
  for (const text of ['{"__proto__": {}}', '{"a": [{"__proto__": 1}]}', '{"\\u005f_proto__": 1}']) t.match(refusal(text), '__proto__')
  t.strictSame(parseJson('{"proto": "__proto__", "constructor": 1}'), { proto: '__proto__', constructor: 1 })
})
