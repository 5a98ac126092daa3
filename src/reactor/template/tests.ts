/** Jinja's tests (`is …`) and Salt's. */

import { bind, flag, integer, REQUIRED, text } from './bind.js'
import type { Env, Test } from './env.js'
import { runtimeError, TemplateError } from './errors.js'
import { filters } from './filters.js'
import { isHashable } from './filters-data.js'
import { formatPercent } from './format.js'
import { LoopContext } from './loop.js'
import { compare, contains, defined, equals, isFloat, isInt, isIterable, isNumber, modulo, typeName } from './operators.js'
import { matchGroups } from './regex.js'
import { str } from './text.js'
import { type Kwargs, Markup, PyDict, PyFunction, PyIterator, PyList, PyRange, PyTuple, Undefined, type Value } from './values.js'

/** Tests that look at what does not exist without an error. */
export const UNDEFINED_TESTS: ReadonlySet<string> = new Set([
  'defined',
  'undefined',
  'none',
  'boolean',
  'false',
  'true',
  'integer',
  'float',
  'mapping',
  'number',
  'string',
  'sequence',
  'callable',
  'sameas',
  'escaped',
  'list'
])

function argument(args: readonly Value[], name: string): Value {
  const [value] = args
  if (value === undefined) throw runtimeError(`test_${name}() missing 1 required positional argument`)
  return value
}

function isSequence(value: Value): boolean {
  if (value instanceof PyIterator || value instanceof Undefined) return false
  return (
    typeof value === 'string' || value instanceof PyList || value instanceof PyTuple || value instanceof PyDict || value instanceof PyRange
  )
}

function parity(value: Value, odd: number, env: Env): boolean {
  return equals(remainder(value, 2, env), odd)
}

/** `value % by`: for a text that is formatting, whose outcome is no number. */
function remainder(value: Value, by: number, env: Env): Value {
  return typeof value === 'string' ? formatPercent(value, by, env.budget) : modulo(value, by)
}

const simple: Record<string, Test> = {
  defined: value => !(value instanceof Undefined),
  undefined: value => value instanceof Undefined,
  none: value => value === null,
  boolean: value => typeof value === 'boolean',
  true: value => value === true,
  false: value => value === false,
  integer: value => isInt(value),
  float: value => isFloat(value),
  number: value => isNumber(value),
  string: value => typeof value === 'string' || value instanceof Markup,
  mapping: value => value instanceof PyDict,
  sequence: isSequence,
  iterable: value => isIterable(value),
  callable: value => value instanceof PyFunction || value instanceof LoopContext || value instanceof Undefined,
  escaped: value => value instanceof Markup,
  odd: (value, _args, env) => parity(value, 1, env),
  even: (value, _args, env) => parity(value, 0, env),
  divisibleby: (value, args, env) => equals(remainder(value, integer(argument(args, 'divisibleby')), env), 0),
  lower: (value, _args, env) => isCased(str(value, env.budget), /\p{Lu}|\p{Lt}/u, /\p{Ll}/u),
  upper: (value, _args, env) => isCased(str(value, env.budget), /\p{Ll}|\p{Lt}/u, /\p{Lu}/u),
  sameas: (value, args) => Object.is(value, argument(args, 'sameas')),
  in: (value, args, env) => contains(argument(args, 'in'), value, env.budget),
  filter: value => filters.has(hashable(value) as string),
  test: value => tests.has(hashable(value) as string),
  // Salt's
  list: value => value instanceof PyList,
  match: (value, args, env, kwargs) => matches(value, args, env, kwargs)
}

/** What a table of names can be asked about. */
function hashable(value: Value): Value {
  if (!isHashable(value)) throw runtimeError(`unhashable type: '${typeName(value)}'`)
  return value
}

function isCased(value: string, other: RegExp, own: RegExp): boolean {
  return own.test(value) && !other.test(value)
}

function matches(value: Value, args: readonly Value[], env: Env, kwargs: Kwargs): boolean {
  const [pattern, ignoreCase, multiline] = bind('match', args, kwargs, { rgx: REQUIRED, ignorecase: false, multiline: false })
  const flags = { ignoreCase: flag(ignoreCase), multiline: flag(multiline) }
  return matchGroups(text(value, 'expected string'), text(pattern, 'pattern'), flags, false, env.budget) !== null
}

const comparisons: [string[], (value: Value, other: Value) => boolean][] = [
  [['eq', '==', 'equalto'], (value, other) => equals(value, other)],
  [['ne', '!='], (value, other) => !equals(value, other)],
  [['lt', '<', 'lessthan'], (value, other) => compare(value, other, '<') < 0],
  [['le', '<='], (value, other) => compare(value, other, '<=') <= 0],
  [['gt', '>', 'greaterthan'], (value, other) => compare(value, other, '>') > 0],
  [['ge', '>='], (value, other) => compare(value, other, '>=') >= 0]
]

function build(): Map<string, Test> {
  const table = new Map<string, Test>(Object.entries(simple))
  for (const [names, holds] of comparisons) {
    for (const name of names) table.set(name, (value, args) => holds(value, defined(argument(args, name))))
  }
  return table
}

export const tests: ReadonlyMap<string, Test> = build()

/** Reports a test that does not exist. */
export function testNamed(name: string): Test {
  const test = tests.get(name)
  if (test === undefined) throw new TemplateError('syntax', `No test named '${name}'.`)
  return test
}
