import fc from 'fast-check'
import t from 'tap'
import { saltJson } from '../../src/events/json.js'

t.test("JSON is written as Salt's json.dumps writes it: spaces after separators, text unescaped", async t => {
  t.equal(
    saltJson({ a: [1, { y: 'é☃', z: true }], f: 1.5, n: null, s: 'q"uo\\te\n', e: {}, l: [] }),
    '{"a": [1, {"y": "é☃", "z": true}], "f": 1.5, "n": null, "s": "q\\"uo\\\\te\\n", "e": {}, "l": []}'
  )
  t.equal(saltJson('\u0001\u007f\u2028🎉'), '"\\u0001\u007f\u2028🎉"')
  t.equal(saltJson([1e-5, 1.5e-7, 1e21, 0.0001, -0.00002, 1e16]), '[1e-05, 1.5e-07, 1e+21, 0.0001, -2e-05, 10000000000000000]')
})

t.test('what JSON has no form for is left out of mappings and is null elsewhere', async t => {
  t.equal(saltJson({ a: undefined, b: Number.NaN, c: [undefined, Infinity], d: () => 1 }), '{"b": null, "c": [null, null]}')
  t.equal(saltJson(undefined), 'null')
  t.equal(saltJson({ big: 12345678901234567890n, when: new Date(0) }), '{"big": 12345678901234567890, "when": "1970-01-01T00:00:00.000Z"}')
})

t.test('what was written reads back as the same value, lone surrogates included', async t => {
  const any = fc.jsonValue()
  fc.assert(fc.property(any, value => JSON.stringify(JSON.parse(saltJson(value))) === JSON.stringify(value)))
  const odd = { text: 'x\ud800', long: `${'y'.repeat(60)}\udfff"` }
  t.strictSame(JSON.parse(saltJson(odd)), odd)
  t.notMatch(saltJson(odd), /[\ud800-\udfff]/)
})

t.test('data nested too deep, or within itself, is refused instead of exhausting the stack', async t => {
  let deep: unknown = 1
  for (let i = 0; i < 501; i++) deep = [deep]
  t.throws(() => saltJson(deep), { code: 'FIELD_INVALID' })
  const cyclic: Record<string, unknown> = {}
  cyclic.self = cyclic
  t.throws(() => saltJson(cyclic), { code: 'FIELD_INVALID' })
})
