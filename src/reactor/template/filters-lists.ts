/** Jinja's filters on lists, dicts and numbers. */

import { floatOf, integerOf, MAX_DIGITS, WholeFloat } from '../../shared/numbers.js'
import { flag, integer, REQUIRED, text } from './bind.js'
import type { Env, Filter } from './env.js'
import { filterArgumentError, runtimeError, TemplateError } from './errors.js'
import { filterTable } from './filter-table.js'
import { fixed } from './format.js'
import { pairsOf, sortKeyed } from './methods-collections.js'
import {
  add,
  compare,
  defined,
  equals,
  flat,
  isFloat,
  isInt,
  isIterable,
  isNumber,
  iterate,
  len,
  listOf,
  negate,
  toFloat,
  truthy,
  typeName
} from './operators.js'
import { prettyPrint } from './pprint.js'
import { characters, str } from './text.js'
import { GroupTuple, type Kwargs, orElse, PyDict, PyIterator, PyList, PySet, PyTuple, Undefined, type Value } from './values.js'

const { table, filter } = filterTable()

export const listFilters: ReadonlyMap<string, Filter> = table

for (const name of ['default', 'd']) {
  filter(name, { default_value: '', boolean: false }, (value, [fallback, boolean]) => {
    if (value instanceof Undefined) return fallback!
    return flag(boolean) && !truthy(value) ? fallback! : value
  })
}

// ---- attributes --------------------------------------------------------------------------------------------------------------------------

/** `attribute='a.b.0'`: a path of attributes and indexes. */
function getter(attribute: Value, env: Env, fallback: Value | null = null): (item: Value) => Value {
  const path: Value[] =
    attribute === null
      ? []
      : isInt(attribute)
        ? [attribute]
        : text(attribute, 'attribute')
            .split('.')
            .map(step => (/^\d+$/.test(step) ? Number(step) : step))
  return item => {
    let value = item
    for (const step of path) {
      value = env.item(value, step)
      if (value instanceof Undefined && fallback !== null) return fallback
    }
    return value
  }
}

/** Compares texts without regard to case unless told otherwise. */
function caseKey(caseSensitive: boolean): (value: Value) => Value {
  return value => {
    const flattened = flat(value)
    return !caseSensitive && typeof flattened === 'string' ? flattened.toLowerCase() : flattened
  }
}

filter('attr', { name: REQUIRED }, (value, [name], env) => {
  const key = text(name, 'attribute name')
  return value instanceof PyDict && env.attribute(new PyDict(), key) instanceof Undefined
    ? new Undefined(`'dict object' has no attribute '${key}'`)
    : env.attribute(value, key)
})

// ---- first, last, length -----------------------------------------------------------------------------------------------------------------

filter('first', {}, value => {
  for (const item of iterate(value)) return item
  return new Undefined('No first item, sequence was empty.')
})
filter('last', {}, value => {
  if (value instanceof PyIterator || value instanceof PySet) throw runtimeError(`'${typeName(value)}' object is not reversible`)
  return orElse([...iterate(value)].at(-1), new Undefined('No last item, sequence was empty.'))
})
filter('random', {}, (value, _args, env) => {
  const items = listOf(value, env.budget)
  return orElse(items[Math.floor(Math.random() * items.length)], new Undefined('No random item, sequence was empty.'))
})
filter('length', {}, value => len(value))
filter('count', {}, value => len(value))
filter('list', {}, (value, _args, env) => new PyList(listOf(value, env.budget)))
filter('reverse', {}, (value, _args, env) => {
  if (typeof value === 'string') return characters(value).reverse().join('')
  if (!isIterable(value)) throw filterArgumentError('argument must be iterable')
  const items = listOf(value, env.budget).reverse()
  // what cannot be walked backwards is copied into a list
  return value instanceof PyIterator || value instanceof PySet ? new PyList(items) : new PyIterator(items)
})
filter('items', {}, (value, _args, env) => {
  if (value instanceof Undefined) return new PyIterator([])
  if (!(value instanceof PyDict)) throw runtimeError('Can only get item pairs from a mapping.')
  return new PyIterator(pairsOf(value, env).map(pair => new PyTuple(pair)))
})

filter('join', { d: '', attribute: null }, (value, [delimiter, attribute], env) => {
  const get = getter(attribute!, env)
  const pieces = listOf(value, env.budget).map(item => str(get(item), env.budget))
  const separator = str(flat(delimiter!), env.budget)
  env.budget.grow(pieces.reduce((sum, piece) => sum + piece.length + separator.length, 0))
  return pieces.join(separator)
})

// ---- order -------------------------------------------------------------------------------------------------------------------------------

filter('sort', { reverse: false, case_sensitive: false, attribute: null }, (value, [reverse, caseSensitive, attribute], env) => {
  const key = caseKey(flag(caseSensitive))
  const getters =
    attribute === null || isInt(attribute!)
      ? [getter(attribute!, env)]
      : text(attribute, 'attribute')
          .split(',')
          .map(part => getter(part, env))
  const keyed = listOf(value, env.budget).map(item => {
    const keys = getters.map(get => key(get(item)))
    return { item, key: keys.length === 1 ? keys[0]! : new PyList(keys) }
  })
  return new PyList(sortKeyed(keyed, flag(reverse), env))
})

filter('dictsort', { case_sensitive: false, by: 'key', reverse: false }, (value, [caseSensitive, by, reverse], env) => {
  const position = by === 'key' ? 0 : by === 'value' ? 1 : -1
  if (position < 0) throw filterArgumentError('You can only sort by either "key" or "value"')
  if (!(defined(value) instanceof PyDict)) throw runtimeError(`'${typeName(value)}' object has no attribute 'items'`)
  const key = caseKey(flag(caseSensitive))
  const keyed = pairsOf(value, env).map(pair => ({ item: new PyTuple(pair), key: key(position === 0 ? pair[0] : pair[1]) }))
  return new PyList(sortKeyed(keyed, flag(reverse), env))
})

filter('groupby', { attribute: REQUIRED, default: null, case_sensitive: false }, (value, [attribute, fallback, caseSensitive], env) => {
  const get = getter(attribute!, env, fallback ?? null)
  const fold = caseKey(flag(caseSensitive))
  const keyed = listOf(value, env.budget).map(item => ({ item, key: fold(get(item)) }))
  const groups: { key: Value; items: Value[] }[] = []
  for (const item of sortKeyed(keyed, false, env)) {
    const last = groups.at(-1)
    if (last !== undefined && equals(fold(last.key), fold(get(item)))) last.items.push(item)
    else groups.push({ key: get(item), items: [item] })
  }
  return new PyList(groups.map(group => new GroupTuple([group.key, new PyList(group.items)])))
})

for (const [name, sign] of [
  ['min', 1],
  ['max', -1]
] as const) {
  filter(name, { case_sensitive: false, attribute: null }, (value, [caseSensitive, attribute], env) => {
    const get = getter(attribute!, env)
    const key = caseKey(flag(caseSensitive))
    let best: Value | undefined
    for (const item of listOf(value, env.budget)) {
      env.budget.step()
      if (best === undefined || compare(key(get(item)), key(get(best)), name === 'min' ? '<' : '>') * sign < 0) best = item
    }
    return orElse(best, new Undefined('No aggregated item, sequence was empty.'))
  })
}

filter('sum', { attribute: null, start: 0 }, (value, [attribute, start], env) => {
  const get = getter(attribute!, env)
  if (typeof start === 'string') throw runtimeError("sum() can't sum strings [use ''.join(seq) instead]")
  return listOf(value, env.budget).reduce((sum, item) => {
    const flattened = flat(get(item))
    if (typeof flattened === 'string' || typeof sum === 'string')
      throw runtimeError(`unsupported operand type(s) for +: '${typeName(sum)}' and '${typeName(flattened)}'`)
    return add(sum, flattened, env.budget)
  }, start!)
})

// ---- pieces ------------------------------------------------------------------------------------------------------------------------------

filter('batch', { linecount: REQUIRED, fill_with: null }, (value, [count, fill], env) => {
  const items = listOf(value, env.budget)
  const size = integer(count)
  const rows: Value[] = []
  // Jinja begins a new row when the last one has exactly that many items: with less than one it has all after an empty one, or simply all.
  if (size <= 0 && items.length > 0) return new PyIterator([...(size === 0 ? [new PyList([])] : []), new PyList(items)])
  for (let at = 0; at < items.length; at += Math.max(1, size)) {
    const row = items.slice(at, at + Math.max(1, size))
    while (fill !== null && row.length < size) {
      env.budget.grow(1)
      row.push(fill!)
    }
    rows.push(new PyList(row))
  }
  return new PyIterator(rows)
})

filter('slice', { slices: REQUIRED, fill_with: null }, (value, [slices, fill], env) => {
  const items = listOf(value, env.budget)
  const count = integer(slices)
  if (count === 0) throw runtimeError('integer division or modulo by zero')
  env.budget.grow(count)
  const [each, extra] = [Math.floor(items.length / count), items.length % count]
  const columns: Value[] = []
  let at = 0
  for (let column = 0; column < count; column++) {
    const size = each + (column < extra ? 1 : 0)
    const part = items.slice(at, at + size)
    if (fill !== null && column >= extra) part.push(fill!)
    columns.push(new PyList(part))
    at += size
  }
  return new PyIterator(columns)
})

// ---- map and select ----------------------------------------------------------------------------------------------------------------------

/** Jinja looks at the items of what is true only: None has none. */
function itemsOf(value: Value, env: Env): Value[] {
  return truthy(value) ? listOf(value, env.budget) : []
}

table.set('map', (value, args, kwargs, env) => {
  const items = itemsOf(value, env)
  if (args.length === 0 && kwargs.has('attribute')) {
    const rest = [...kwargs.keys()].filter(key => key !== 'attribute' && key !== 'default')
    if (rest.length > 0) throw filterArgumentError(`Unexpected keyword argument '${rest[0]}'`)
    return new PyIterator(items.map(getter(kwargs.get('attribute')!, env, kwargs.get('default') ?? null)))
  }
  const [name, ...rest] = args
  if (name === undefined) throw filterArgumentError('map requires a filter argument')
  return new PyIterator(items.map(item => atRuntime(() => env.filter(text(name, 'filter name'), item, rest, kwargs))))
})

/** A filter or test that is named by a value is looked for when it is used: that there is none is then no mistake of syntax. */
function atRuntime<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof TemplateError && error.kind === 'syntax' && /^No (?:filter|test) named/.test(error.reason))
      throw runtimeError(error.reason)
    throw error
  }
}

function select(name: string, keep: boolean, byAttribute: boolean): void {
  table.set(name, (value, args, kwargs, env) => {
    const [attribute, rest] = byAttribute ? [args[0], args.slice(1)] : [null, args]
    if (attribute === undefined) throw filterArgumentError('Missing parameter for attribute name')
    const get = getter(attribute, env)
    const holds = tester(rest, kwargs, env)
    return new PyIterator(itemsOf(value, env).filter(item => holds(get(item)) === keep))
  })
}

function tester(args: readonly Value[], kwargs: Kwargs, env: Env): (value: Value) => boolean {
  const [name, ...rest] = args
  if (name === undefined) return value => truthy(value)
  const test = text(name, 'test name')
  return value => atRuntime(() => env.test(test, value, rest, kwargs))
}

select('select', true, false)
select('reject', false, false)
select('selectattr', true, true)
select('rejectattr', false, true)

// ---- numbers -----------------------------------------------------------------------------------------------------------------------------

filter('abs', {}, value => {
  if (!isNumber(value)) throw runtimeError(`bad operand type for abs(): '${typeName(value)}'`)
  if (typeof value === 'boolean') return Number(value)
  return toFloat(value) < 0 || Object.is(toFloat(value), -0) ? negate(value) : value
})

filter('int', { default: 0, base: 10 }, (value, [fallback, base]) => toInt(value, integer(base)) ?? fallback!)

function toInt(value: Value, base: number): Value | null {
  if (typeof value === 'boolean') return Number(value)
  if (isInt(value)) return value
  if (isFloat(value)) return Number.isFinite(toFloat(value)) ? integerOf(BigInt(Math.trunc(toFloat(value)))) : null
  if (typeof value !== 'string') return null
  return parsePythonInt(value, base) ?? floatAsInt(value)
}

function floatAsInt(value: string): Value | null {
  const float = parsePythonFloat(value)
  return float === null || !Number.isFinite(float) ? null : integerOf(BigInt(Math.trunc(float)))
}

/** Python's `int(text, base)`; null when it would raise. */
export function parsePythonInt(source: string, base: number): number | bigint | null {
  if (source.length > MAX_DIGITS) return null
  const match = /^\s*([-+]?)(0[xX]|0[oO]|0[bB])?([0-9a-zA-Z]+(?:_[0-9a-zA-Z]+)*)\s*$/.exec(source)
  if (match === null) return null
  const prefixBase = match[2] === undefined ? null : { x: 16, o: 8, b: 2 }[match[2][1]!.toLowerCase()]!
  const matches = prefixBase === null || base === prefixBase || base === 0
  const digits = matches ? match[3]! : `${match[2]}${match[3]}`
  const radix = base === 0 ? (prefixBase ?? 10) : base
  let value = 0n
  for (const digit of digits.replaceAll('_', '').toLowerCase()) {
    const number = Number.parseInt(digit, 36)
    if (number >= radix) return null
    value = value * BigInt(radix) + BigInt(number)
  }
  return integerOf(match[1] === '-' ? -value : value)
}

/** Python's `float(text)`; null when it would raise. */
export function parsePythonFloat(source: string): number | null {
  const value = source.trim().replace(/(?<=\d)_(?=\d)/g, '')
  if (/^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/.test(value)) return Number(value)
  const special = /^([-+]?)(inf|infinity|nan)$/i.exec(value)
  if (special === null) return null
  if (special[2]!.toLowerCase() === 'nan') return Number.NaN
  return special[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
}

filter('float', { default: new WholeFloat(0) }, (value, [fallback]) => {
  if (isNumber(value)) return floatOf(toFloat(value))
  const float = typeof value === 'string' ? parsePythonFloat(value) : null
  return float === null ? fallback! : floatOf(float)
})

filter('round', { precision: 0, method: 'common' }, (value, [precision, method]) => {
  if (method !== 'common' && method !== 'ceil' && method !== 'floor') throw filterArgumentError('method must be common, ceil or floor')
  if (method !== 'common') defined(value)
  if (!isNumber(value)) throw runtimeError(`type ${typeName(value)} doesn't define __round__ method`)
  const digits = integer(precision)
  if (method !== 'common') {
    const scaled = toFloat(value) * 10 ** digits
    return floatOf((method === 'ceil' ? Math.ceil(scaled) : Math.floor(scaled)) / 10 ** digits)
  }
  if (!isFloat(value)) return digits >= 0 ? (typeof value === 'boolean' ? Number(value) : value) : roundInteger(value, digits)
  return floatOf(roundFloat(toFloat(value), digits))
})

function roundInteger(value: number | bigint | boolean | WholeFloat, digits: number): Value {
  const unit = 10n ** BigInt(Math.min(-digits, 400))
  const whole = BigInt(value as number)
  const rest = ((whole % unit) + unit) % unit
  const down = whole - rest
  const up = rest * 2n > unit || (rest * 2n === unit && (down / unit) % 2n !== 0n)
  return integerOf(up ? down + unit : down)
}

/** Python's `round`: exact halves to the even digit. */
function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value)) return value
  if (digits >= 0) return digits > 22 ? value : Number(fixed(value, digits))
  const unit = 10 ** -digits
  const quotient = value / unit
  const floor = Math.floor(quotient)
  const rest = quotient - floor
  const nearest = rest < 0.5 ? floor : rest > 0.5 ? floor + 1 : floor % 2 === 0 ? floor : floor + 1
  return (nearest === 0 && value < 0 ? -0 : nearest) * unit
}

filter('pprint', {}, (value, _args, env) => prettyPrint(value, env.budget))
