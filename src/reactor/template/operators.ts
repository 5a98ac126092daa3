/** Python's operators on values: arithmetic, comparison, membership, truth, iteration, items and slices. */
import { floatOf, integerOf, WholeFloat } from '../../shared/numbers.js'
import { compareCodePoints } from '../../shared/yaml-emit.js'
import { limitError, runtimeError, type TemplateError } from './errors.js'
import type { Budget } from './limits.js'
import { pow } from './power.js'
import { characters, hasSurrogates, lengthOf, str } from './text.js'
import {
  Markup,
  PyBytes,
  PyDict,
  PyDictView,
  PyIterator,
  PyList,
  PyObject,
  PyRange,
  PySet,
  PyTuple,
  RichText,
  Undefined,
  type Value
} from './values.js'

/** Text made of parts or marked as HTML becomes plain text: every operation but printing and joining works on that. */
export function flat(value: Value): Value {
  return value instanceof RichText || value instanceof Markup ? value.text : value
}

/** Python's name of the type, as in error messages. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'string') return 'str'
  if (isInt(value)) return 'int'
  if (isFloat(value)) return 'float'
  return (value as PyObject).typeName
}

export function isInt(value: Value): value is number | bigint {
  return typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value))
}

export function isFloat(value: Value): value is number | WholeFloat {
  return value instanceof WholeFloat || (typeof value === 'number' && !Number.isInteger(value))
}

export function isNumber(value: Value): value is number | bigint | WholeFloat | boolean {
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean' || value instanceof WholeFloat
}

/** A number as a JavaScript number (a float's value, an integer's nearest). */
export function toFloat(value: number | bigint | WholeFloat | boolean): number {
  return value instanceof WholeFloat ? value.value : Number(value)
}

/** The exact integer behind an int or bool. */
export function toBig(value: number | bigint | boolean | WholeFloat): bigint {
  return BigInt(value instanceof WholeFloat ? value.value : value)
}

/** Uses of what does not exist are errors. */
export function defined(value: Value): Value {
  if (value instanceof Undefined && !value.lenient) throw value.error()
  return value
}

/** Where even `1 if false`, which prints as nothing, is none. */
function used(value: Value): Value {
  if (value instanceof Undefined) throw value.error()
  return value
}

export function truthy(input: Value): boolean {
  const value = flat(input)
  if (value === null) return false
  switch (typeof value) {
    case 'boolean':
      return value
    case 'number':
    case 'bigint':
      return Number(value) !== 0
    case 'string':
      return value !== ''
  }
  if (value instanceof WholeFloat) return value.value !== 0
  if (value instanceof PyList || value instanceof PyTuple) return value.items.length > 0
  if (value instanceof PyDict) return value.size > 0
  if (value instanceof PySet) return value.members.size > 0
  if (value instanceof PyRange) return value.length > 0
  if (value instanceof PyBytes) return value.data.length > 0
  if (value instanceof PyDictView) return value.dict.size > 0
  if (value instanceof Undefined) {
    defined(value)
    return false
  }
  return true
}

// ---- arithmetic ------------------------------------------------------------------------------------------------------------------------

type Number_ = number | bigint | WholeFloat | boolean

/** Longer integers than any template needs (a jid has 67 bits); beyond it `2 ** 10**9` would stall the process. */
const MAX_INT_BITS = 4096

function checked(value: bigint): number | bigint {
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
    if (value.toString(16).length * 4 > MAX_INT_BITS) throw limitError(`an integer has more than ${MAX_INT_BITS} bits`)
  }
  return integerOf(value)
}

function unsupported(symbol: string, a: Value, b: Value): TemplateError {
  used(a)
  used(b)
  return runtimeError(`unsupported operand type(s) for ${symbol}: '${typeName(a)}' and '${typeName(b)}'`)
}

export function add(a: Value, b: Value, budget: Budget): Value {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b
    if (Number.isInteger(a) && Number.isInteger(b)) return Number.isSafeInteger(sum) ? sum : checked(BigInt(a) + BigInt(b))
    return floatOf(sum)
  }
  if (isNumber(a) && isNumber(b)) return isFloat(a) || isFloat(b) ? floatOf(toFloat(a) + toFloat(b)) : checked(toBig(a) + toBig(b))
  used(a)
  used(b)
  if (typeof a === 'string') {
    if (typeof b !== 'string') throw runtimeError(`can only concatenate str (not "${typeName(b)}") to str`)
    budget.grow(a.length + b.length)
    return a + b
  }
  if (a instanceof PyList) {
    if (!(b instanceof PyList)) throw runtimeError(`can only concatenate list (not "${typeName(b)}") to list`)
    budget.grow(a.items.length + b.items.length)
    return new PyList([...a.items, ...b.items])
  }
  if (a instanceof PyTuple && b instanceof PyTuple) {
    budget.grow(a.items.length + b.items.length)
    return new PyTuple([...a.items, ...b.items])
  }
  throw unsupported('+', a, b)
}

export function subtract(a: Value, b: Value): Value {
  if (isNumber(a) && isNumber(b)) return isFloat(a) || isFloat(b) ? floatOf(toFloat(a) - toFloat(b)) : checked(toBig(a) - toBig(b))
  if (isSetLike(a) && isSetLike(b)) {
    const others = new PySet(iterate(b))
    return new PySet([...iterate(a)].filter(item => !others.members.has(item)))
  }
  defined(a)
  defined(b)
  throw unsupported('-', a, b)
}

function isSetLike(value: Value): boolean {
  return value instanceof PySet || (value instanceof PyDictView && value.typeName !== 'dict_values')
}

export function multiply(a: Value, b: Value, budget: Budget): Value {
  if (isNumber(a) && isNumber(b)) return isFloat(a) || isFloat(b) ? floatOf(toFloat(a) * toFloat(b)) : checked(toBig(a) * toBig(b))
  defined(a)
  defined(b)
  if (isCount(b)) return repeat(a, Number(b), budget) ?? raise(unsupported('*', a, b))
  if (isCount(a)) return repeat(b, Number(a), budget) ?? raise(unsupported('*', a, b))
  throw unsupported('*', a, b)
}

function isCount(value: Value): value is number | bigint | boolean {
  return isInt(value) || typeof value === 'boolean'
}

function raise(error: Error): never {
  throw error
}

function repeat(value: Value, times: number, budget: Budget): Value | null {
  const repeatable = typeof value === 'string' || value instanceof PyList || value instanceof PyTuple
  if (repeatable && Math.abs(times) >= 2 ** 63) throw runtimeError("cannot fit 'int' into an index-sized integer")
  const count = Math.max(0, times)
  if (typeof value === 'string') {
    budget.grow(value.length * count)
    return value.repeat(value === '' ? 0 : count)
  }
  if (value instanceof PyList || value instanceof PyTuple) {
    budget.grow(value.items.length * count)
    const items = value.items.length === 0 ? [] : Array.from({ length: count }, () => value.items).flat()
    return value instanceof PyList ? new PyList(items) : new PyTuple(items)
  }
  return null
}

export function divide(a: Value, b: Value): Value {
  const [x, y] = numbers('/', a, b)
  if (toFloat(y) === 0) throw runtimeError(isFloat(x) || isFloat(y) ? 'float division by zero' : 'division by zero')
  return floatOf(toFloat(x) / toFloat(y))
}

function numbers(symbol: string, a: Value, b: Value): [Number_, Number_] {
  defined(a)
  defined(b)
  if (!isNumber(a) || !isNumber(b)) throw unsupported(symbol, a, b)
  return [a, b]
}

export function floorDivide(a: Value, b: Value): Value {
  const [x, y] = numbers('//', a, b)
  if (isFloat(x) || isFloat(y)) {
    if (toFloat(y) === 0) throw runtimeError('float floor division by zero')
    return floatOf(floatQuotient(toFloat(x), toFloat(y)))
  }
  if (Number(y) === 0) throw runtimeError('integer division or modulo by zero')
  const [n, d] = [toBig(x), toBig(y)]
  const quotient = n / d
  return integerOf(n % d !== 0n && n < 0n !== d < 0n ? quotient - 1n : quotient)
}

/** As CPython: the rest has the sign of the divisor, zero too. */
function floatModulo(x: number, y: number): number {
  const rest = x % y
  if (rest === 0) return y < 0 ? -0 : 0
  return rest < 0 !== y < 0 ? rest + y : rest
}

function floatQuotient(x: number, y: number): number {
  const quotient = (x - floatModulo(x, y)) / y
  if (quotient !== 0) return Math.floor(quotient) + (quotient - Math.floor(quotient) > 0.5 ? 1 : 0)
  return x / y < 0 || Object.is(x / y, -0) ? -0 : 0
}

/** `%` on numbers; formatting of text is the evaluator's (it needs the formatter). */
export function modulo(a: Value, b: Value): Value {
  const [x, y] = numbers('%', a, b)
  if (isFloat(x) || isFloat(y)) {
    if (toFloat(y) === 0) throw runtimeError('float modulo')
    return floatOf(floatModulo(toFloat(x), toFloat(y)))
  }
  if (Number(y) === 0) throw runtimeError('integer modulo by zero')
  const [n, d] = [toBig(x), toBig(y)]
  const rest = n % d
  return integerOf(rest !== 0n && rest < 0n !== d < 0n ? rest + d : rest)
}

export function power(a: Value, b: Value): Value {
  const [x, y] = numbers('** or pow()', a, b)
  if (isFloat(x) || isFloat(y) || Number(y) < 0) {
    if (toFloat(x) === 0 && toFloat(y) < 0) throw runtimeError('0.0 cannot be raised to a negative power')
    const result = pow(toFloat(x), toFloat(y))
    if (!Number.isFinite(result) && Number.isFinite(toFloat(x)) && Number.isFinite(toFloat(y)))
      throw runtimeError('Numerical result out of range')
    return floatOf(result)
  }
  const base = toBig(x)
  const bits = base.toString(2).length * Number(y)
  if (bits > MAX_INT_BITS && base !== 0n && base !== 1n && base !== -1n) throw limitError(`an integer has more than ${MAX_INT_BITS} bits`)
  return checked(base ** (base >= -1n && base <= 1n ? BigInt(Number(y) % 2 === 0 ? Math.min(Number(y), 2) : 1) : toBig(y)))
}

export function negate(value: Value): Value {
  used(value)
  if (isFloat(value)) return floatOf(-toFloat(value))
  if (isInt(value) || typeof value === 'boolean') return integerOf(-toBig(value))
  throw runtimeError(`bad operand type for unary -: '${typeName(value)}'`)
}

export function positive(value: Value): Value {
  used(value)
  if (isFloat(value)) return value
  if (isInt(value) || typeof value === 'boolean') return integerOf(toBig(value))
  throw runtimeError(`bad operand type for unary +: '${typeName(value)}'`)
}

// ---- comparison ------------------------------------------------------------------------------------------------------------------------

/** How deep equality and order look into lists and dicts that hold one another. */
const MAX_COMPARE_DEPTH = 100

export function equals(left: Value, right: Value, depth = 0): boolean {
  const a = flat(left)
  const b = flat(right)
  if (a === b) return !(typeof a === 'number' && Number.isNaN(a))
  if (typeof a === 'string' || typeof b === 'string' || a === null || b === null) {
    return a instanceof Undefined ? raiseUndefined(a) : b instanceof Undefined ? raiseUndefined(b) : false
  }
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b) === 0
  if (depth > MAX_COMPARE_DEPTH) throw limitError('values are nested too deeply to compare')
  return equalObjects(a, b, depth)
}

function raiseUndefined(value: Undefined): never {
  throw value.error()
}

function equalObjects(a: Value, b: Value, depth: number): boolean {
  if (a instanceof Undefined && !a.lenient) throw a.error()
  if (b instanceof Undefined && !b.lenient) throw b.error()
  if (a instanceof Undefined && b instanceof Undefined) return true
  if ((a instanceof PyList && b instanceof PyList) || (a instanceof PyTuple && b instanceof PyTuple)) {
    return a.items.length === b.items.length && a.items.every((item, index) => equals(item, b.items[index]!, depth + 1))
  }
  if (a instanceof PyDict && b instanceof PyDict) return equalDicts(a, b, depth)
  if (a instanceof PySet && b instanceof PySet)
    return a.members.size === b.members.size && [...a.members.keys()].every(k => b.members.has(k))
  if (a instanceof PyBytes && b instanceof PyBytes) return a.data.equals(b.data)
  if (a instanceof PyRange && b instanceof PyRange) return a.length === b.length && a.start === b.start && a.step === b.step
  return false
}

function equalDicts(a: PyDict, b: PyDict, depth: number): boolean {
  if (a.size !== b.size) return false
  for (const [key, item] of a.entries()) {
    const other = b.get(key)
    if (other === undefined || !equals(item, other, depth + 1)) return false
  }
  return true
}

function compareNumbers(a: Number_, b: Number_): number {
  if (isFloat(a) || isFloat(b)) {
    const [x, y] = [toFloat(a), toFloat(b)]
    return x < y ? -1 : x > y ? 1 : x === y ? 0 : Number.NaN
  }
  return a < b ? -1 : a > b ? 1 : Number(toBig(a) !== toBig(b))
}

/** Negative, zero or positive; NaN when not ordered. `symbol` names the operator in the error. */
export function compare(left: Value, right: Value, symbol: string, depth = 0): number {
  const a = flat(left)
  const b = flat(right)
  if (typeof a === 'string' && typeof b === 'string') return compareCodePoints(a, b)
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b)
  if (depth > MAX_COMPARE_DEPTH) throw limitError('values are nested too deeply to compare')
  if ((a instanceof PyList && b instanceof PyList) || (a instanceof PyTuple && b instanceof PyTuple)) {
    for (const [index, item] of a.items.entries()) {
      const other = b.items[index]
      if (other === undefined) return 1
      if (!equals(item, other, depth + 1)) return compare(item, other, symbol, depth + 1)
    }
    return a.items.length - b.items.length
  }
  used(a)
  used(b)
  throw runtimeError(`'${symbol}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`)
}

function identical(a: Value, b: Value): boolean {
  if (a instanceof WholeFloat && b instanceof WholeFloat) return a === b
  return a === b
}

export function contains(container: Value, item: Value, budget: Budget): boolean {
  const inside = flat(container)
  const wanted = flat(item)
  if (typeof inside === 'string') {
    budget.read(inside.length)
    if (typeof wanted !== 'string') throw runtimeError(`'in <string>' requires string as left operand, not ${typeName(wanted)}`)
    return inside.includes(wanted)
  }
  if (inside instanceof PyDict) return inside.has(wanted)
  if (inside instanceof PySet) return inside.members.has(wanted)
  if (inside instanceof PyDictView && inside.typeName === 'dict_keys') return inside.dict.has(wanted)
  for (const candidate of iterate(inside, `argument of type '${typeName(inside)}' is not iterable`)) {
    budget.step()
    if (identical(candidate, wanted) || equals(candidate, wanted)) return true
  }
  return false
}

// ---- iteration, items, slices -------------------------------------------------------------------------------------------------------------

/** The items of a list, tuple, dict (its keys), text (its characters) … */
export function iterate(input: Value, message?: string): Iterable<Value> {
  const value = flat(input)
  if (typeof value === 'string') return characters(value)
  if (value instanceof PyList || value instanceof PyTuple) return value.items
  if (value instanceof PyDict) return value.keys()
  if (value instanceof PySet) return value.members.keys()
  if (value instanceof PyIterator) return remaining(value)
  if (value instanceof PyDictView) return value.list()
  if (value instanceof PyRange) return rangeItems(value)
  if (value instanceof Undefined) {
    defined(value)
    return []
  }
  throw runtimeError(message ?? `'${typeName(value)}' object is not iterable`)
}

function* remaining(iterator: PyIterator): Iterable<Value> {
  for (let item = iterator.next(); item !== null; item = iterator.next()) yield item.value
}

function* rangeItems(range: PyRange): Iterable<number> {
  for (let index = 0; index < range.length; index++) yield range.at(index)
}

export function isIterable(input: Value): boolean {
  const value = flat(input)
  if (typeof value === 'string') return true
  if (!(value instanceof PyObject)) return false
  if (value instanceof Undefined) defined(value)
  return (
    value instanceof PyList ||
    value instanceof PyTuple ||
    value instanceof PyDict ||
    value instanceof PySet ||
    value instanceof PyIterator ||
    value instanceof PyDictView ||
    value instanceof PyRange ||
    value instanceof Undefined
  )
}

/** All items at once, counted against the budget. */
export function listOf(value: Value, budget: Budget): Value[] {
  const items: Value[] = []
  for (const item of iterate(value)) {
    budget.step()
    budget.grow(1)
    items.push(item)
  }
  return items
}

/** `len(value)`; null when it has none. */
function sizeOf(input: Value): number | null {
  const value = flat(input)
  if (typeof value === 'string') return lengthOf(value)
  if (value instanceof PyList || value instanceof PyTuple) return value.items.length
  if (value instanceof PyDict) return value.size
  if (value instanceof PySet) return value.members.size
  if (value instanceof PyRange) return value.length
  if (value instanceof PyBytes) return value.data.length
  if (value instanceof PyDictView) return value.dict.size
  if (value instanceof Undefined) {
    defined(value)
    return 0
  }
  return null
}

export function len(value: Value): number {
  const size = sizeOf(value)
  if (size === null) throw runtimeError(`object of type '${typeName(value)}' has no len()`)
  return size
}

/** `value[index]` of lists, tuples, texts and ranges; undefined when out of range or not a sequence. */
export function itemAt(value: Value, index: number): Value | undefined {
  if (typeof value === 'string') return hasSurrogates(value) ? characters(value).at(index) : value.at(index)
  if (value instanceof PyList || value instanceof PyTuple) return value.items.at(index)
  if (value instanceof PyRange) {
    const place = index < 0 ? value.length + index : index
    return place >= 0 && place < value.length ? value.at(place) : undefined
  }
  return undefined
}

/** `value[start:stop:step]`. */
export function slice(value: Value, start: Value, stop: Value, step: Value, budget: Budget): Value {
  const by = step === null ? 1 : sliceIndex(step)
  if (by === 0) throw runtimeError('slice step cannot be zero')
  const pick = <T>(items: readonly T[]): T[] => {
    const picked = pickSlice(items, start === null ? null : sliceIndex(start), stop === null ? null : sliceIndex(stop), by)
    budget.grow(picked.length)
    return picked
  }
  if (typeof value === 'string') {
    budget.read(value.length)
    return by === 1 && !hasSurrogates(value) ? sliceText(value, start, stop) : pick(characters(value)).join('')
  }
  if (value instanceof PyList) return new PyList(pick(value.items))
  if (value instanceof PyTuple) return new PyTuple(pick(value.items))
  if (value instanceof PyRange) return sliceRange(value, start, stop, by)
  defined(value)
  throw runtimeError(value instanceof PyDict ? "unhashable type: 'slice'" : `'${typeName(value)}' object is not subscriptable`)
}

/** A text without surrogate pairs is sliced as JavaScript does, whose rules for indices are the same. */
function sliceText(text: string, start: Value, stop: Value): string {
  return text.slice(start === null ? 0 : sliceIndex(start), stop === null ? undefined : sliceIndex(stop))
}

/** A range of every so many of a range's numbers. */
function sliceRange(range: PyRange, start: Value, stop: Value, by: number): PyRange {
  const [from, to] = bounds(range.length, start === null ? null : sliceIndex(start), stop === null ? null : sliceIndex(stop), by)
  return new PyRange(range.start + from * range.step, range.start + to * range.step, range.step * by)
}

function sliceIndex(value: Value): number {
  defined(value)
  if (isInt(value) || typeof value === 'boolean') return Number(value)
  throw runtimeError('slice indices must be integers or None or have an __index__ method')
}

/** Python's `slice.indices`: where a slice begins and where it ends. */
function bounds(length: number, start: number | null, stop: number | null, step: number): [from: number, to: number] {
  const clamp = (index: number, low: number, high: number) => Math.min(Math.max(index < 0 ? index + length : index, low), high)
  if (step > 0) return [start === null ? 0 : clamp(start, 0, length), stop === null ? length : clamp(stop, 0, length)]
  return [start === null ? length - 1 : clamp(start, -1, length - 1), stop === null ? -1 : clamp(stop, -1, length - 1)]
}

function pickSlice<T>(items: readonly T[], start: number | null, stop: number | null, step: number): T[] {
  const [from, to] = bounds(items.length, start, stop, step)
  if (step === 1) return items.slice(from, to)
  const picked: T[] = []
  for (let index = from; step > 0 ? index < to : index > to; index += step) picked.push(items[index]!)
  return picked
}

/** `str()` of both, joined: Jinja's `~`. Parts of a YAML template stay told apart. */
export function concat(values: readonly Value[], budget: Budget): Value {
  if (!values.some(value => value instanceof RichText)) {
    const text = values.map(value => str(value, budget)).join('')
    budget.grow(text.length)
    return text
  }
  return new RichText(
    values.flatMap(value => {
      if (value instanceof RichText) return value.parts
      const text = str(value, budget)
      return [{ value: text, text, exact: false }]
    })
  )
}
