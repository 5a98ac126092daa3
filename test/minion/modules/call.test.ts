import t from 'tap'
import { bind, splitArguments, unmarked } from '../../../src/minion/modules/call.js'
import { parseSignature } from '../../../src/minion/modules/module.js'

const call = (signature: string, args: unknown[], kwargs: Record<string, unknown> = {}) => bind(parseSignature(signature), args, kwargs)

t.test('arguments that do not fit are refused in the words of Python', async t => {
  const refused: [string, unknown[], Record<string, unknown>, string][] = [
    ['sleep(length)', [], {}, "sleep() missing 1 required positional argument: 'length'"],
    ['f(a, b)', [], {}, "f() missing 2 required positional arguments: 'a' and 'b'"],
    ['f(a, b, c)', [], {}, "f() missing 3 required positional arguments: 'a', 'b', and 'c'"],
    ['ping()', [1, 2], {}, 'ping() takes 0 positional arguments but 2 were given'],
    ['ping()', [1], {}, 'ping() takes 0 positional arguments but 1 was given'],
    ['echo(text)', [1, 2], {}, 'echo() takes 1 positional argument but 2 were given'],
    ['f(a, b=1)', [1, 2, 3], {}, 'f() takes from 1 to 2 positional arguments but 3 were given'],
    ['f(a)', [1], { a: 2 }, "f() got multiple values for argument 'a'"],
    ['f(a)', [1], { z: 2 }, "f() got an unexpected keyword argument 'z'"]
  ]
  for (const [signature, args, kwargs, message] of refused) t.throws(() => call(signature, args, kwargs), { name: 'TypeError', message })
})

t.test('every parameter gets a value: positional, by keyword, or its default', async t => {
  t.same(call("f(a, b=None, c='x', d=2.5, e=True)", [1], { d: 4 }), { a: 1, b: null, c: 'x', d: 4, e: true })
  t.same(call('f(a, *args, **kwargs)', [1, 2, 3], { k: 1 }), { a: 1, args: [2, 3], kwargs: { k: 1 } })
})

t.test('texts of the form name=value are keywords with YAML values; marked mappings are keywords; all else is positional', async t => {
  const signature = parseSignature('arg(*args, **kwargs)')
  const arg = ['one', 2, true, null, [1, { a: 'b' }], 'x=1', '5', 'k: v', 'l=[1, 2]', 'e==f', 'echo a=b', { __kwarg__: true, y: 'z=1' }]
  t.same(splitArguments(signature, arg), {
    args: ['one', 2, true, null, [1, { a: 'b' }], '5', 'k: v', 'e==f', 'echo a=b'],
    kwargs: { x: 1, l: [1, 2], y: 'z=1' }
  })
})

t.test('keywords that a function does not know are named together', async t => {
  const signature = parseSignature('ping(known=1)')
  t.throws(() => splitArguments(signature, ['a=b', { __kwarg__: true, c: { d: [true, null, "it's"] }, known: 2 }]), {
    message: `The following keyword arguments are not valid: a=b, c={'d': [True, None, "it's"]}`
  })
})

t.test('published fields reach only functions with **kwargs', async t => {
  const published = { fun: 'x', jid: '1' }
  t.same(splitArguments(parseSignature('f(**kwargs)'), [], published).kwargs, { __pub_fun: 'x', __pub_jid: '1' })
  t.same(splitArguments(parseSignature('f()'), [], published).kwargs, {})
})

t.test('a keyword named __proto__ is a keyword', async t => {
  const { kwargs } = splitArguments(parseSignature('f(**kwargs)'), ['__proto__=1'])
  t.same(Object.entries(kwargs), [['__proto__', 1]])
  t.equal(Object.getPrototypeOf(kwargs), Object.prototype)
})

t.test('fun_args are the arguments without the mark', async t => {
  t.same(unmarked(['a', { __kwarg__: true, b: 1 }, { c: 2 }]), ['a', { b: 1 }, { c: 2 }])
})
