import t from 'tap'
import { ArgumentError, bindArguments, param, serverFunction } from '../../src/runners/function.js'
import { RUNNERS } from '../../src/runners/index.js'
import { WHEEL } from '../../src/wheel/index.js'

const two = serverFunction({ name: 'x.two', doc: '', params: { jid: param.text(), missing: param.flagOr(false) }, run: () => null })
const three = serverFunction({ name: 'x.three', doc: '', params: { a: param.any(), b: param.any(), c: param.any() }, run: () => null })
const none = serverFunction({ name: 'x.none', doc: '', run: () => null })
const all = serverFunction({
  name: 'x.all',
  doc: '',
  params: { first: param.anyOr(1) },
  takesArgs: true,
  takesKwargs: true,
  run: () => null
})

function refusal(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof ArgumentError) return error.message
    throw error
  }
  throw new Error('was not refused')
}

t.test('arguments are assigned by position, then by name, then by default', async t => {
  t.same(bindArguments(two, ['1'], {}).args, { jid: '1', missing: false })
  t.same(bindArguments(two, [], { missing: true, jid: '1' }).args, { jid: '1', missing: true })
  t.same(bindArguments(two, [2026], {}).args, { jid: '2026', missing: false })
  t.same(bindArguments(all, [1, 2, 3], { k: 'v' }), { args: { first: 1 }, rest: { args: [2, 3], kwargs: { k: 'v' } } })
})

t.test('arguments that do not fit are refused in the words of Python', async t => {
  const cases: [() => unknown, string][] = [
    [() => bindArguments(two, [], {}), "two() missing 1 required positional argument: 'jid'"],
    [() => bindArguments(three, ['x'], {}), "three() missing 2 required positional arguments: 'b' and 'c'"],
    [() => bindArguments(three, [], {}), "three() missing 3 required positional arguments: 'a', 'b', and 'c'"],
    [() => bindArguments(none, [1, 2], {}), 'none() takes 0 positional arguments but 2 were given'],
    [() => bindArguments(three, [1, 2, 3, 4], {}), 'three() takes 3 positional arguments but 4 were given'],
    [() => bindArguments(two, [1, 2, 3], {}), 'two() takes from 1 to 2 positional arguments but 3 were given'],
    [() => bindArguments(two, ['1'], { jid: '2' }), "two() got multiple values for argument 'jid'"],
    [() => bindArguments(two, ['1'], { bogus: 1, other: [2] }), 'The following keyword arguments are not valid: bogus=1, other=[2]'],
    [
      () => bindArguments(two, ['1'], { bogus: true, other: { a: null } }),
      "The following keyword arguments are not valid: bogus=True, other={'a': None}"
    ],
    [() => bindArguments(two, [{}], {}), "argument 'jid': expected text, not a mapping"],
    [() => bindArguments(two, ['1', 'maybe'], {}), "argument 'missing': expected true or false, not 'maybe'"]
  ]
  for (const [run, text] of cases) t.equal(refusal(run), text)
})

t.test('names that objects have by nature are no arguments', async t => {
  t.match(
    refusal(() => bindArguments(two, ['1'], { constructor: 1 })),
    /constructor=1/
  )
  t.match(
    refusal(() => bindArguments(none, [], JSON.parse('{"__proto__": 1}'))),
    /__proto__=1/
  )
})

t.test('every function has a name of two parts, a doc text, and stands in the list once', async t => {
  for (const functions of [RUNNERS, WHEEL]) {
    for (const [name, fn] of functions) {
      t.match(name, /^[a-z_]+\.[a-z_]+$/)
      t.ok(fn.doc.length > 10, `${name} has a doc text`)
    }
  }
})
