/** Python's `json.dumps` and `json.loads` on template values. */
import { floatOf, floatRepr, integerOf, MAX_DIGITS, WholeFloat } from '../../shared/numbers.js'
import { compareCodePoints } from '../../shared/yaml-emit.js'
import { limitError, runtimeError } from './errors.js'
import type { Budget } from './limits.js'
import { typeName } from './operators.js'
import { Markup, PyDict, PyList, PyTuple, RichText, type Value } from './values.js'

export interface JsonOptions {
  readonly sortKeys?: boolean
  readonly indent?: number | string | null
  readonly ascii?: boolean
  /** Between items, and between key and value; Python's are `, ` (`,` at the end of lines) and `: `. */
  readonly separators?: readonly [item: string, key: string] | null
}

const MAX_DEPTH = 200
const MAX_INDENT = 100

export function dumpJson(value: Value, options: JsonOptions, budget: Budget): string {
  if (typeof options.indent === 'number' && options.indent > MAX_INDENT) throw limitError(`an indentation of more than ${MAX_INDENT}`)
  const indent = typeof options.indent === 'number' ? ' '.repeat(Math.max(0, options.indent)) : (options.indent ?? null)
  return new Printer(options, indent, budget).print(value, 0)
}

class Printer {
  readonly #sortKeys: boolean
  readonly #indent: string | null
  readonly #ascii: boolean
  readonly #separators: readonly [item: string, key: string]
  readonly #budget: Budget

  constructor(options: JsonOptions, indent: string | null, budget: Budget) {
    this.#sortKeys = options.sortKeys ?? false
    this.#indent = indent
    this.#ascii = options.ascii ?? false
    this.#separators = options.separators ?? [indent === null ? ', ' : ',', ': ']
    this.#budget = budget
  }

  print(value: Value, depth: number): string {
    this.#budget.step()
    if (depth > MAX_DEPTH) throw limitError('a value is nested too deeply for JSON')
    if (typeof value === 'string') return this.#text(value)
    if (value instanceof RichText || value instanceof Markup) return this.#text(value.text)
    if (value instanceof PyDict) return this.#dict(value, depth)
    if (value instanceof PyList || value instanceof PyTuple) return this.#list(value.items, depth)
    const text = scalarText(value)
    if (text === null) throw runtimeError(`Object of type ${typeName(value)} is not JSON serializable`)
    return text
  }

  #text(text: string): string {
    this.#budget.grow(text.length)
    const quoted = wholeSurrogates(JSON.stringify(text))
    if (!this.#ascii) return quoted
    return quoted.replace(/[\u007f-\uffff]/g, unit => (unit === '\x7f' ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`))
  }

  #list(items: readonly Value[], depth: number): string {
    if (items.length === 0) return '[]'
    return this.#enclosed(
      '[',
      items.map(item => this.print(item, depth + 1)),
      ']',
      depth
    )
  }

  #dict(dict: PyDict, depth: number): string {
    let entries = [...dict.entries()].map(([key, item]) => ({ key: keyText(key), raw: key, item }))
    if (entries.length === 0) return '{}'
    if (this.#sortKeys) entries = sortEntries(entries)
    return this.#enclosed(
      '{',
      entries.map(({ key, item }) => `${this.#text(key)}${this.#separators[1]}${this.print(item, depth + 1)}`),
      '}',
      depth
    )
  }

  #enclosed(open: string, parts: readonly string[], close: string, depth: number): string {
    const [between] = this.#separators
    if (this.#indent === null) return open + parts.join(between) + close
    const inner = `\n${this.#indent.repeat(depth + 1)}`
    this.#budget.grow(parts.length * inner.length)
    return `${open}${inner}${parts.join(`${between}${inner}`)}\n${this.#indent.repeat(depth)}${close}`
  }
}

/** Python keeps lone surrogates as they are, JavaScript escapes them. */
function wholeSurrogates(quoted: string): string {
  if (!quoted.includes('\\ud')) return quoted
  return quoted.replace(/(\\\\)|\\u(d[\da-f]{3})/g, (whole, backslashes: string | undefined, hex: string) =>
    backslashes === undefined ? String.fromCharCode(Number.parseInt(hex, 16)) : whole
  )
}

function scalarText(value: Value): string | null {
  if (value === null) return 'null'
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : floatText(value)
  if (value instanceof WholeFloat) return floatText(value.value)
  return null
}

function floatText(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  return Number.isFinite(value) ? floatRepr(value) : value > 0 ? 'Infinity' : '-Infinity'
}

function keyText(key: Value): string {
  if (typeof key === 'string') return key
  const text = scalarText(key)
  if (text === null) throw runtimeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`)
  return text
}

/** Python sorts the keys themselves and so cannot sort texts among numbers. */
function sortEntries<T extends { key: string; raw: Value }>(entries: T[]): T[] {
  const texts = entries.filter(entry => typeof entry.raw === 'string').length
  if (texts > 0 && texts < entries.length) {
    const other = entries.find(entry => typeof entry.raw !== 'string')!
    throw runtimeError(`'<' not supported between instances of 'str' and '${typeName(other.raw)}'`)
  }
  if (texts === 0) return entries.sort((a, b) => Number(a.key) - Number(b.key))
  return entries.sort((a, b) => compareCodePoints(a.key, b.key))
}

/** Reads JSON as Python does: 2.0 is a float, integers of any size are exact, keys keep their order, NaN and Infinity are read. */
export function loadJson(text: string, budget: Budget): Value {
  budget.grow(text.length)
  return new Reader(text, budget).document()
}

class Reader {
  readonly #text: string
  readonly #budget: Budget
  #at = 0

  constructor(text: string, budget: Budget) {
    this.#text = text
    this.#budget = budget
  }

  document(): Value {
    const value = this.#value(0)
    this.#space()
    if (this.#at < this.#text.length) this.#fail('Extra data')
    return value
  }

  #fail(message: string): never {
    const line = this.#text.slice(0, this.#at).split('\n').length
    const column = this.#at - this.#text.lastIndexOf('\n', this.#at - 1)
    throw runtimeError(`${message}: line ${line} column ${column} (char ${this.#at})`)
  }

  #space(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at++
  }

  #value(depth: number): Value {
    this.#budget.step()
    if (depth > MAX_DEPTH) throw limitError('JSON is nested too deeply')
    this.#space()
    const character = this.#text[this.#at]
    if (character === '"') return this.#string()
    if (character === '{') return this.#object(depth)
    if (character === '[') return this.#array(depth)
    return this.#scalar()
  }

  #scalar(): Value {
    const match = /(?:null|true|false|NaN|-?Infinity|-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?)/y
    match.lastIndex = this.#at
    const found = match.exec(this.#text)
    if (found === null) this.#fail('Expecting value')
    this.#at += found[0].length
    if (found[0] === 'null') return null
    if (found[0] === 'true' || found[0] === 'false') return found[0] === 'true'
    if (/[NI]/.test(found[0])) return Number(found[0])
    if (found[1] !== undefined || found[2] !== undefined) return floatOf(Number(found[0]))
    if (found[0].length > MAX_DIGITS) this.#fail(`Exceeds the limit (${MAX_DIGITS} digits) for integer string conversion`)
    return found[0].length < 16 ? Number(found[0]) || 0 : integerOf(BigInt(found[0]))
  }

  #string(): string {
    const match = /"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/y
    match.lastIndex = this.#at
    const found = match.exec(this.#text)
    if (found === null) this.#fail('Invalid string')
    this.#at += found[0].length
    return found[0].includes('\\') ? (JSON.parse(found[0]) as string) : found[0].slice(1, -1)
  }

  #array(depth: number): PyList {
    const items: Value[] = []
    this.#at++
    this.#space()
    if (this.#take(']')) return new PyList(items)
    do items.push(this.#value(depth + 1))
    while (this.#separator(']'))
    return new PyList(items)
  }

  #object(depth: number): PyDict {
    const dict = new PyDict()
    this.#at++
    this.#space()
    if (this.#take('}')) return dict
    do {
      this.#space()
      if (this.#text[this.#at] !== '"') this.#fail('Expecting property name enclosed in double quotes')
      const key = this.#string()
      this.#space()
      if (!this.#take(':')) this.#fail("Expecting ':' delimiter")
      dict.set(key, this.#value(depth + 1))
    } while (this.#separator('}'))
    return dict
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #separator(close: string): boolean {
    this.#space()
    if (this.#take(close)) return false
    if (!this.#take(',')) this.#fail("Expecting ',' delimiter")
    return true
  }
}
