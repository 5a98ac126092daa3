/** How values print: Python's `str`, `repr` and what they need of Unicode. */
import { floatRepr, WholeFloat } from '../../shared/numbers.js'
import { limitError } from './errors.js'
import type { Budget } from './limits.js'
import { LoopContext } from './loop.js'
import {
  Markup,
  Namespace,
  PyBytes,
  PyDict,
  PyDictView,
  PyFunction,
  PyIterator,
  PyList,
  PyModule,
  type PyObject,
  PyRange,
  PySet,
  PyTuple,
  RichText,
  Undefined,
  type Value
} from './values.js'

/** `str(value)`: what `{{ value }}` prints. */
export function str(value: Value, budget: Budget): string {
  if (typeof value === 'string') return value
  if (value instanceof RichText || value instanceof Markup) return value.text
  if (value instanceof PyModule) return str(value.text, budget)
  if (value instanceof Undefined) {
    if (value.lenient) return ''
    throw value.error()
  }
  return repr(value, budget)
}

/** `repr(value)`. */
export function repr(value: Value, budget: Budget, depth = 0): string {
  if (value === null) return 'None'
  switch (typeof value) {
    case 'boolean':
      return value ? 'True' : 'False'
    case 'number':
      return Number.isInteger(value) ? String(value) : floatRepr(value)
    case 'bigint':
      return String(value)
    case 'string':
      budget.grow(value.length)
      return reprText(value)
  }
  if (value instanceof WholeFloat) return floatRepr(value.value)
  return reprObject(value, budget, depth)
}

function reprObject(value: PyObject, budget: Budget, depth: number): string {
  if (depth > 100) throw limitError('a value is nested too deeply to print')
  budget.step()
  const inner = (items: Iterable<Value>): string => joined(items, budget, item => repr(item, budget, depth + 1))
  if (value instanceof PyList) return `[${inner(value.items)}]`
  if (value instanceof PyTuple) return value.items.length === 1 ? `(${inner(value.items)},)` : `(${inner(value.items)})`
  if (value instanceof PyDict) return reprDict(value, budget, depth)
  if (value instanceof PySet) return value.members.size === 0 ? 'set()' : `{${inner(value.members.keys())}}`
  if (value instanceof PyDictView) return `${value.typeName}([${inner(value.list())}])`
  if (value instanceof PyRange) return `range(${value.start}, ${value.stop}${value.step === 1 ? '' : `, ${value.step}`})`
  if (value instanceof RichText) return reprText(value.text)
  if (value instanceof Markup) return `Markup(${reprText(value.text)})`
  if (value instanceof Namespace) return `<Namespace ${reprDict(value.attributes, budget, depth)}>`
  if (value instanceof PyFunction) return functionRepr(value)
  if (value instanceof PyIterator) return '<generator object>'
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof PyBytes) return reprBytes(value.data)
  if (value instanceof LoopContext) return `<LoopContext ${value.index0 + 1}/${value.length}>`
  return `<${value.typeName}>`
}

/** `b'…'`: printable ASCII as it is, everything else escaped. */
/** What are classes in Python are printed as classes. */
const CLASSES: Readonly<Record<string, string>> = {
  dict: 'dict',
  range: 'range',
  cycler: 'jinja2.utils.Cycler',
  joiner: 'jinja2.utils.Joiner',
  namespace: 'jinja2.utils.Namespace'
}

function functionRepr({ typeName, name, attributes }: PyFunction): string {
  if (typeName !== 'Macro') return functionText(name)
  return attributes?.get('name') === null ? '<Macro anonymous>' : `<Macro ${reprText(name)}>`
}

function functionText(name: string): string {
  const known = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined
  return known === undefined ? `<function ${name}>` : `<class '${known}'>`
}

function reprBytes(data: Buffer): string {
  const text = data.toString('latin1')
  return `b${reprText(text).replace(/[\x80-\xff]/g, unit => `\\x${unit.charCodeAt(0).toString(16)}`)}`
}

function reprDict(dict: PyDict, budget: Budget, depth: number): string {
  const pair = ([key, item]: readonly [Value, Value]) => `${repr(key, budget, depth + 1)}: ${repr(item, budget, depth + 1)}`
  return `{${joined(dict.entries(), budget, pair)}}`
}

function joined<T>(items: Iterable<T>, budget: Budget, print: (item: T) => string): string {
  const out: string[] = []
  for (const item of items) {
    const text = print(item)
    budget.step()
    budget.grow(text.length + 2)
    out.push(text)
  }
  return out.join(', ')
}

/** What Python's `str.isprintable` refuses: control, format, private, unassigned, separators other than the space. */
const UNPRINTABLE = /[\p{C}\p{Z}\\'"]/u

/** Python's quoting: single quotes unless the text has some and no double ones. */
export function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  if (!UNPRINTABLE.test(text)) return quote + text + quote
  let out = quote
  for (const character of text) out += reprCharacter(character, quote)
  return out + quote
}

function reprCharacter(character: string, quote: string): string {
  if (character === quote || character === '\\') return `\\${character}`
  if (character === ' ' || !/[\p{C}\p{Z}]/u.test(character)) return character
  if (character === '\n') return '\\n'
  if (character === '\r') return '\\r'
  if (character === '\t') return '\\t'
  const code = character.codePointAt(0)!
  const hex = code.toString(16)
  if (code <= 0xff) return `\\x${hex.padStart(2, '0')}`
  return code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
}

const SURROGATES = /[\ud800-\udfff]/

/** The characters of a text as Python counts them: code points. */
export function characters(text: string): string[] {
  return SURROGATES.test(text) ? [...text] : text.split('')
}

export function hasSurrogates(text: string): boolean {
  return SURROGATES.test(text)
}

export function lengthOf(text: string): number {
  if (!SURROGATES.test(text)) return text.length
  let length = 0
  for (const _ of text) length++
  return length
}

/** White space as `str.strip()` and `str.split()` see it. */
export const WHITESPACE = '\\t\\n\\v\\f\\r\\x1c-\\x1f \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
