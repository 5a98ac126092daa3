/**
 * The values that templates compute with: Python's, each a JavaScript primitive or one of the classes below. Nothing else ever reaches the
 * evaluator, so there is no prototype, constructor or getter to reach: attributes are looked up in tables of ours.
 *
 * None null · bool boolean · int number or bigint · float number or WholeFloat (shared/numbers.ts) · str string
 */
import { WholeFloat } from '../../shared/numbers.js'
import { setOwn } from '../../shared/yaml.js'
import { TemplateError, undefinedError } from './errors.js'

export type Value = null | boolean | number | bigint | string | WholeFloat | PyObject

/** Everything that is not a primitive. `typeName` is Python's name of the type. */
export abstract class PyObject {
  abstract readonly typeName: string
}

export class PyList extends PyObject {
  readonly typeName = 'list'
  constructor(public items: Value[]) {
    super()
  }
}

export class PyTuple extends PyObject {
  readonly typeName = 'tuple'
  constructor(readonly items: readonly Value[]) {
    super()
  }
}

/** What `groupby` gives: a pair whose parts are also named `grouper` and `list`. */
export class GroupTuple extends PyTuple {
  attribute(name: string): Value | undefined {
    return name === 'grouper' ? this.items[0] : name === 'list' ? this.items[1] : undefined
  }
}

/** `bytes`: what `encode()` gives. Templates only pass them on, print them or decode them. */
export class PyBytes extends PyObject {
  readonly typeName = 'bytes'
  constructor(readonly data: Buffer) {
    super()
  }
}

export class PySet extends PyObject {
  readonly typeName = 'set'
  readonly members: PyDict
  constructor(items: Iterable<Value>) {
    super()
    this.members = new PyDict()
    for (const item of items) this.members.set(item, null)
  }
}

/** `map`, `select` … give generators: to be walked through once. */
export class PyIterator extends PyObject {
  readonly typeName = 'generator'
  #items: readonly Value[]
  #next = 0
  constructor(items: readonly Value[]) {
    super()
    this.#items = items
  }
  next(): { value: Value } | null {
    return this.#next < this.#items.length ? { value: this.#items[this.#next++]! } : null
  }
  rest(): readonly Value[] {
    const rest = this.#next === 0 ? this.#items : this.#items.slice(this.#next)
    this.#next = this.#items.length
    return rest
  }
}

export class PyRange extends PyObject {
  readonly typeName = 'range'
  readonly length: number
  constructor(
    readonly start: number,
    readonly stop: number,
    readonly step: number
  ) {
    super()
    this.length = Math.max(0, Math.ceil((stop - start) / step))
  }
  at(index: number): number {
    return this.start + index * this.step
  }
}

/** `dict.items()` and its kin: a live look into the dict. */
export class PyDictView extends PyObject {
  constructor(
    readonly typeName: 'dict_keys' | 'dict_values' | 'dict_items',
    readonly dict: PyDict
  ) {
    super()
  }
  list(): Value[] {
    if (this.typeName === 'dict_keys') return [...this.dict.keys()]
    if (this.typeName === 'dict_values') return [...this.dict.values()]
    return [...this.dict.entries()].map(pair => new PyTuple(pair))
  }
}

/**
 * A dict: insertion order, keys compared as Python does (1, 1.0 and True are one key). Made from a JSON object it converts what is inside only
 * when it is looked at: events may be large and templates read little of them.
 */
export class PyDict extends PyObject {
  readonly typeName: string = 'dict'
  #map: Map<unknown, { key: Value; value: Value }> | null = null
  #source: Readonly<Record<string, unknown>> | null = null

  static from(source: Readonly<Record<string, unknown>>): PyDict {
    const dict = new PyDict()
    dict.#source = source
    return dict
  }

  static of(entries: Iterable<readonly [Value, Value]>): PyDict {
    const dict = new PyDict()
    for (const [key, value] of entries) dict.set(key, value)
    return dict
  }

  get #entries(): Map<unknown, { key: Value; value: Value }> {
    if (this.#map === null) {
      this.#map = new Map()
      if (this.#source !== null) for (const key of Object.keys(this.#source)) this.set(key, toValue(this.#source[key]))
      this.#source = null
    }
    return this.#map
  }

  get size(): number {
    return this.#entries.size
  }

  /** The value of a key; undefined (JavaScript's) when there is none. */
  get(key: Value): Value | undefined {
    return this.#entries.get(hashOf(key))?.value
  }

  has(key: Value): boolean {
    return this.#entries.has(hashOf(key))
  }

  set(key: Value, value: Value): void {
    const hash = hashOf(key)
    const entry = this.#entries.get(hash)
    if (entry === undefined) this.#entries.set(hash, { key, value })
    else entry.value = value
  }

  delete(key: Value): boolean {
    return this.#entries.delete(hashOf(key))
  }

  clear(): void {
    this.#entries.clear()
  }

  *keys(): Iterable<Value> {
    for (const entry of this.#entries.values()) yield entry.key
  }

  *values(): Iterable<Value> {
    for (const entry of this.#entries.values()) yield entry.value
  }

  *entries(): Iterable<readonly [Value, Value]> {
    for (const entry of this.#entries.values()) yield [entry.key, entry.value]
  }
}

/** What the Map compares by. Texts are themselves; tuples get a text that no other key has. */
function hashOf(key: Value): unknown {
  if (typeof key === 'string') return key.startsWith('\0') ? `\0s${key}` : key
  if (key === null || typeof key === 'number') return key
  if (typeof key === 'boolean') return Number(key)
  if (typeof key === 'bigint') return key
  if (key instanceof WholeFloat) return key.value
  if (key instanceof PyTuple) return `\0t${key.items.map(item => hashText(hashOf(item))).join(',')}`
  if (key instanceof RichText || key instanceof Markup) return hashOf(key.text)
  if (key instanceof PyBytes) return `\0b${key.data.toString('latin1')}`
  if (key instanceof PyList || key instanceof PyDict || key instanceof PySet) {
    throw new TemplateError('runtime', `unhashable type: '${key.typeName}'`)
  }
  if (key instanceof Undefined) throw key.error()
  return key
}

function hashText(hash: unknown): string {
  const text = String(hash)
  return `${typeof hash}${text.length}:${text}`
}

/**
 * A name, key or attribute that does not exist. With Salt's StrictUndefined nearly every use is an error; only tests and `default` look at it.
 * `lenient` is Jinja's plain Undefined, which prints as nothing: what `1 if false` gives.
 */
export class Undefined extends PyObject {
  readonly typeName = 'StrictUndefined'
  constructor(
    readonly message: string,
    readonly lenient = false,
    readonly kind: 'undefined' | 'syntax' = 'undefined'
  ) {
    super()
  }
  error(): TemplateError {
    return this.kind === 'undefined' ? undefinedError(this.message) : new TemplateError('syntax', this.message)
  }
}

/** Text that counts as safe HTML: what `escape` returns. */
export class Markup extends PyObject {
  readonly typeName = 'Markup'
  constructor(readonly text: string) {
    super()
  }
}

/**
 * A value in the output of a template that will be read as YAML. `exact`: the value stands there as it is (`|json`); otherwise text is read as
 * a plain scalar. `text` is what stands there when it is part of a longer scalar.
 */
export interface Slot {
  readonly value: Value
  readonly text: string
  readonly exact: boolean
}

/** A piece of the author's own text, with its place in the template (line 0: none). */
export interface Literal {
  readonly literal: string
  readonly line: number
  readonly column: number
}

export type Part = Literal | Slot

export function isLiteral(part: Part): part is Literal {
  return 'literal' in part
}

/** What a macro, a `set` block or an explicit filter made while rendering YAML: the author's text with values in it, still told apart. */
export class RichText extends PyObject {
  readonly typeName = 'str'
  #text: string | null = null
  constructor(readonly parts: readonly Part[]) {
    super()
  }
  get text(): string {
    this.#text ??= this.parts.map(part => (isLiteral(part) ? part.literal : part.text)).join('')
    return this.#text
  }
}

/** The first that exists; `??` would not do, because None is a value and is null here. */
export function firstOf(...values: (Value | undefined)[]): Value | undefined {
  return values.find(value => value !== undefined)
}

/** A value, or what stands for it when there is none. */
export function orElse(value: Value | undefined, otherwise: Value): Value {
  return value === undefined ? otherwise : value
}

export type Kwargs = Map<string, Value>
export const NO_KWARGS: Kwargs = new Map()

/** Something that a template can call: a bound method, a global, a macro, a function that the host gave. */
export class PyFunction extends PyObject {
  constructor(
    readonly name: string,
    readonly call: (args: Value[], kwargs: Kwargs) => Value,
    readonly typeName = 'builtin_function_or_method',
    /** Attributes that a template may read (a macro's name and arguments). */
    readonly attributes: ReadonlyMap<string, Value> | null = null
  ) {
    super()
  }
}

/** `namespace()`: attributes that `set ns.x = …` may change. */
export class Namespace extends PyObject {
  readonly typeName = 'Namespace'
  readonly attributes = new PyDict()
}

/** Objects with attributes only: `loop`, imported templates, `cycler`, `joiner`. */
export abstract class PyRecord extends PyObject {
  /** The attribute, or undefined when there is none. */
  abstract attribute(name: string): Value | undefined
}

/** An imported template; `text` is what it printed. */
export abstract class PyModule extends PyRecord {
  readonly typeName = 'TemplateModule'
  constructor(readonly text: Value) {
    super()
  }
}

/** A function of the host, called with plain values; `kwargs` holds the keyword arguments. */
export type HostFunction = (args: unknown[], kwargs: Record<string, unknown>) => unknown

/** JSON-like data, Map (keys of any kind) and host functions as values. Objects are converted when they are looked at. */
export function toValue(input: unknown): Value {
  switch (typeof input) {
    case 'string':
    case 'boolean':
      return input
    case 'number':
      return Number.isInteger(input) && !Number.isSafeInteger(input) ? BigInt(input) : input === 0 ? 0 : input
    case 'bigint':
      return input >= Number.MIN_SAFE_INTEGER && input <= Number.MAX_SAFE_INTEGER ? Number(input) : input
    case 'function':
      return hostFunction(input.name, input as HostFunction)
    case 'object':
      return input === null ? null : toObjectValue(input)
    default:
      return null
  }
}

function toObjectValue(input: object): Value {
  if (input instanceof PyObject || input instanceof WholeFloat) return input
  if (Array.isArray(input)) return new PyList(input.map(toValue))
  if (input instanceof Map) return PyDict.of([...input].map(([key, value]) => [toValue(key), toValue(value)] as const))
  return PyDict.from(input as Record<string, unknown>)
}

function hostFunction(name: string, call: HostFunction): PyFunction {
  return new PyFunction(name, (args, kwargs) => {
    const keywords: Record<string, unknown> = {}
    for (const [key, value] of kwargs) setOwn(keywords, key, fromValue(value))
    const plain = args.map(fromValue)
    const result = call(plain, keywords)
    // what comes back as it was given is what was given: a tuple, 1.0
    const given = plain.findIndex(argument => Object.is(argument, result))
    return given < 0 ? toValue(result) : args[given]!
  })
}

/** Plain data again: objects, arrays, strings, numbers (bigint where needed). Functions and undefined values become null. */
export function fromValue(value: Value): unknown {
  if (value === null || typeof value !== 'object') return value
  if (value instanceof WholeFloat) return value.value
  return fromObject(value, item => (item instanceof WholeFloat ? item.value : item), entriesToObject)
}

/** Plain data for YAML and JSON printing: Map keeps the order and kind of keys, WholeFloat stays. */
export function toNeutral(value: Value): unknown {
  if (value === null || typeof value !== 'object' || value instanceof WholeFloat) return value
  return fromObject(
    value,
    item => item,
    entries => new Map(entries)
  )
}

type EntriesTo = (entries: [unknown, unknown][]) => unknown

function fromObject(value: PyObject, float: (value: unknown) => unknown, mapping: EntriesTo, depth = 0): unknown {
  if (depth > 200) throw new TemplateError('runtime', 'maximum recursion depth exceeded')
  const convert = (item: Value): unknown => (item instanceof PyObject ? fromObject(item, float, mapping, depth + 1) : float(item))
  if (value instanceof PyDict) return mapping([...value.entries()].map(([key, item]) => [convert(key), convert(item)]))
  if (value instanceof PyList || value instanceof PyTuple) return value.items.map(convert)
  if (value instanceof PyIterator) return value.rest().map(convert)
  if (value instanceof PySet) return [...value.members.keys()].map(convert)
  if (value instanceof PyDictView) return value.list().map(convert)
  if (value instanceof PyRange) return Array.from({ length: value.length }, (_, index) => value.at(index))
  if (value instanceof Namespace) return convert(value.attributes)
  if (value instanceof RichText || value instanceof Markup) return value.text
  if (value instanceof PyBytes) return value.data.toString('utf8')
  if (value instanceof Undefined) throw value.error()
  return null
}

function entriesToObject(entries: [unknown, unknown][]): Record<string, unknown> {
  const object: Record<string, unknown> = {}
  for (const [key, item] of entries) setOwn(object, keyText(key), item)
  return object
}

function keyText(key: unknown): string {
  if (key === null) return 'null'
  return Array.isArray(key) ? JSON.stringify(key) : String(key)
}
