/** The functions that every template has: Jinja's and Salt's. */

import { compileGlob } from '../../tags/glob.js'
import { bind, integer, REQUIRED, text } from './bind.js'
import type { Env } from './env.js'
import { limitError, runtimeError } from './errors.js'
import { pairsOf } from './methods-collections.js'
import { flat, listOf } from './operators.js'
import { str } from './text.js'
import { type Kwargs, Namespace, PyDict, PyFunction, PyIterator, PyRange, PyRecord, PyTuple, type Value } from './values.js'

/** Longer ranges than a template can use; Jinja's own sandbox has the same bound. */
const MAX_RANGE = 100_000

type GlobalFunction = (args: Value[], kwargs: Kwargs, env: Env) => Value

const functions: Record<string, GlobalFunction> = {
  range: args => range(args),
  dict: (args, kwargs, env) => dict(args, kwargs, env),
  odict: (args, kwargs, env) => dict(args, kwargs, env),
  namespace: (args, kwargs, env) => namespace(args, kwargs, env),
  cycler: args => new Cycler(args),
  joiner: (args, kwargs) => joiner(args, kwargs),
  lipsum: (args, kwargs, env) => lipsum(args, kwargs, env),
  zip: (args, _kwargs, env) => zip(args, env),
  raise: (args, kwargs, env) => {
    const [message] = bind('raise', args, kwargs, { msg: REQUIRED })
    throw runtimeError(str(message!, env.budget))
  },
  ifelse: (args, kwargs, env) => ifelse(args, kwargs, env),
  show_full_context: (_args, _kwargs, env) => PyDict.of([...env.names()].filter(([, value]) => !(value instanceof PyFunction)))
}

/** The functions bound to a rendering. */
export function globalFunctions(env: () => Env): Map<string, Value> {
  return new Map(Object.entries(functions).map(([name, call]) => [name, new PyFunction(name, (args, kwargs) => call(args, kwargs, env()))]))
}

function range(args: readonly Value[]): Value {
  if (args.length < 1 || args.length > 3) throw runtimeError(`range expected 1 to 3 arguments, got ${args.length}`)
  const numbers = args.map(value => integer(value, 'range'))
  const [start, stop, step] = numbers.length === 1 ? [0, numbers[0]!, 1] : [numbers[0]!, numbers[1]!, numbers[2] ?? 1]
  if (step === 0) throw runtimeError('range() arg 3 must not be zero')
  const made = new PyRange(start, stop, step)
  if (made.length > MAX_RANGE) throw limitError(`Range too big. The sandbox blocks ranges larger than MAX_RANGE (${MAX_RANGE}).`)
  return made
}

function dict(args: readonly Value[], kwargs: Kwargs, env: Env): PyDict {
  if (args.length > 1) throw runtimeError(`dict expected at most 1 argument, got ${args.length}`)
  if (args[0] === null) throw runtimeError("'NoneType' object is not iterable")
  return PyDict.of([...pairsOf(args[0] ?? null, env), ...kwargs])
}

function namespace(args: readonly Value[], kwargs: Kwargs, env: Env): Namespace {
  const made = new Namespace()
  for (const [key, value] of dict(args, kwargs, env).entries()) made.attributes.set(key, value)
  return made
}

/** `cycler('odd', 'even')`: `next()`, `current`, `reset()`. */
class Cycler extends PyRecord {
  readonly typeName = 'Cycler'
  readonly #items: readonly Value[]
  #at = 0
  constructor(items: readonly Value[]) {
    super()
    if (items.length === 0) throw runtimeError('at least one item has to be provided')
    this.#items = items
  }
  attribute(name: string): Value | undefined {
    if (name === 'current') return this.#items[this.#at]
    if (name === 'next') {
      return new PyFunction('next', () => {
        const item = this.#items[this.#at]!
        this.#at = (this.#at + 1) % this.#items.length
        return item
      })
    }
    if (name !== 'reset') return undefined
    return new PyFunction('reset', () => {
      this.#at = 0
      return null
    })
  }
}

/** `joiner(', ')`: nothing at the first call, the separator at every later one. */
function joiner(args: Value[], kwargs: Kwargs): Value {
  const [separator] = bind('joiner', args, kwargs, { sep: ', ' })
  let used = false
  return new PyFunction('joiner', () => {
    if (used) return separator!
    used = true
    return ''
  })
}

function zip(args: readonly Value[], env: Env): Value {
  const lists = args.map(value => listOf(value, env.budget))
  const length = Math.min(...lists.map(list => list.length), lists.length === 0 ? 0 : Number.POSITIVE_INFINITY)
  return new PyIterator(Array.from({ length }, (_, index) => new PyTuple(lists.map(list => list[index]!))))
}

const LIPSUM =
  'Lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua ut enim ad minim veniam'

/** Placeholder text; the same at every call. */
function lipsum(args: Value[], kwargs: Kwargs, env: Env): Value {
  const [n, html] = bind('lipsum', args, kwargs, { n: 5, html: true, min: 20, max: 100 })
  const count = integer(n)
  env.budget.grow(count * LIPSUM.length)
  return Array.from({ length: count }, () => (html === true ? `<p>${LIPSUM}.</p>` : `${LIPSUM}.`)).join('\n\n')
}

/** Salt's `ifelse(matcher, value, …, otherwise, minion_id=…)`: the value of the first glob that matches the minion. */
function ifelse(args: Value[], kwargs: Kwargs, env: Env): Value {
  const named = kwargs.get('minion_id')
  const grains = env.names().get('grains')
  const id = named ?? (grains instanceof PyDict ? grains.get('id') : undefined) ?? ''
  for (let index = 0; index + 1 < args.length; index += 2) {
    if (compileGlob(text(args[index], 'matcher'))(str(flat(id), env.budget))) return args[index + 1]!
  }
  return args.length % 2 === 1 ? args.at(-1)! : null
}
