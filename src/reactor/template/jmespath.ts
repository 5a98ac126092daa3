/** JMESPath (https://jmespath.org/specification.html) for Salt's `json_query`: a parser and a walker over template values. */
import { floatOf, integerOf } from '../../shared/numbers.js'
import type { Env } from './env.js'
import { runtimeError } from './errors.js'
import { parsePythonFloat, parsePythonInt } from './filters-lists.js'
import { dumpJson, loadJson } from './json.js'
import { add, compare, divide, equals, flat, isFloat, isInt, isNumber, slice as pySlice, toFloat } from './operators.js'
import { characters, lengthOf } from './text.js'
import { PyDict, PyList, PyTuple, type Value } from './values.js'

type Node =
  | { type: 'field'; name: string }
  | { type: 'current' }
  | { type: 'literal'; value: Value }
  | { type: 'index'; index: number }
  | { type: 'slice'; start: number | null; stop: number | null; step: number | null }
  | { type: 'sub' | 'pipe' | 'or' | 'and'; left: Node; right: Node }
  | { type: 'projection' | 'valueProjection' | 'flatten'; left: Node; right: Node }
  | { type: 'filter'; left: Node; condition: Node; right: Node }
  | { type: 'not'; item: Node }
  | { type: 'compare'; operator: string; left: Node; right: Node }
  | { type: 'list'; items: Node[] }
  | { type: 'hash'; pairs: [string, Node][] }
  | { type: 'call'; name: string; args: Node[] }
  | { type: 'reference'; item: Node }

export function jsonQuery(expression: string, value: Value, env: Env): Value {
  const node = new Parser(expression, env).parse()
  return new Walker(env).walk(node, value)
}

// ---- parsing -----------------------------------------------------------------------------------------------------------------------------

const TOKEN =
  /\s*(?:([A-Za-z_]\w*)|("(?:[^"\\]|\\.)*")|('(?:[^'\\]|\\.)*')|(`(?:[^`\\]|\\.)*`)|(-?\d+)|(\|\||&&|==|!=|<=|>=|\[\?|\[\]|[.*@[\](){},:|&!<>]))/y

interface Token {
  kind: 'name' | 'quoted' | 'raw' | 'literal' | 'number' | 'symbol' | 'end'
  text: string
}

const KINDS = ['name', 'quoted', 'raw', 'literal', 'number', 'symbol'] as const

/** How strongly a symbol binds to what stands left of it. */
const POWER: Record<string, number> = {
  '|': 1,
  '||': 2,
  '&&': 3,
  '==': 5,
  '!=': 5,
  '<': 5,
  '<=': 5,
  '>': 5,
  '>=': 5,
  '[]': 9,
  '*': 20,
  '[?': 21,
  '.': 40,
  '{': 50,
  '[': 55,
  '(': 60
}
const PROJECTION_STOP = 10
const MAX_DEPTH = 100

class Parser {
  readonly #tokens: Token[]
  readonly #env: Env
  #at = 0
  #depth = 0

  constructor(source: string, env: Env) {
    this.#env = env
    this.#tokens = this.#tokenize(source)
  }

  parse(): Node {
    const node = this.#expression(0)
    if (this.#peek().kind !== 'end') this.#fail()
    return node
  }

  #tokenize(source: string): Token[] {
    const tokens: Token[] = []
    TOKEN.lastIndex = 0
    while (TOKEN.lastIndex < source.length && source.slice(TOKEN.lastIndex).trim() !== '') {
      const start = TOKEN.lastIndex
      const match = TOKEN.exec(source)
      if (match === null) throw runtimeError(`Bad jmespath expression: Unknown token at ${start}`)
      const group = match.findIndex((text, index) => index > 0 && text !== undefined)
      tokens.push({ kind: KINDS[group - 1]!, text: match[group]! })
    }
    return [...tokens, { kind: 'end', text: '' }]
  }

  #peek(): Token {
    return this.#tokens[this.#at]!
  }

  #take(): Token {
    return this.#tokens[Math.min(this.#at++, this.#tokens.length - 1)]!
  }

  #eat(text: string): boolean {
    const token = this.#peek()
    if (token.kind !== 'symbol' || token.text !== text) return false
    this.#at++
    return true
  }

  #need(text: string): void {
    if (!this.#eat(text)) this.#fail()
  }

  #fail(): never {
    throw runtimeError(`Bad jmespath expression: unexpected '${this.#peek().text || 'end'}'`)
  }

  #power(): number {
    const token = this.#peek()
    return token.kind === 'symbol' ? (POWER[token.text] ?? 0) : 0
  }

  #expression(power: number): Node {
    if (++this.#depth > MAX_DEPTH) this.#fail()
    let left = this.#prefix()
    while (power < this.#power()) left = this.#infix(left)
    this.#depth--
    return left
  }

  #prefix(): Node {
    const token = this.#take()
    switch (token.kind) {
      case 'name':
        return { type: 'field', name: token.text }
      case 'quoted':
        return { type: 'field', name: JSON.parse(token.text) as string }
      case 'raw':
        return { type: 'literal', value: token.text.slice(1, -1).replaceAll("\\'", "'") }
      case 'literal':
        return { type: 'literal', value: this.#literal(token.text.slice(1, -1).replaceAll('\\`', '`').trim()) }
      case 'symbol':
        return this.#prefixSymbol(token.text)
      default:
        this.#at--
        return this.#fail()
    }
  }

  #literal(text: string): Value {
    try {
      return loadJson(text, this.#env.budget)
    } catch {
      return text
    }
  }

  #prefixSymbol(symbol: string): Node {
    switch (symbol) {
      case '@':
        return { type: 'current' }
      case '*':
        return { type: 'valueProjection', left: { type: 'current' }, right: this.#projected(POWER['*']!) }
      case '!':
        return { type: 'not', item: this.#expression(45) }
      case '&':
        return { type: 'reference', item: this.#expression(0) }
      case '(': {
        const inner = this.#expression(0)
        this.#need(')')
        return inner
      }
      case '{':
        return this.#hash()
      case '[]':
        return { type: 'flatten', left: { type: 'current' }, right: this.#projected(POWER['[]']!) }
      case '[?':
        return this.#filter({ type: 'current' })
      case '[':
        return this.#isBracketIndex() ? this.#bracket({ type: 'current' }) : this.#list()
      default:
        this.#at--
        return this.#fail()
    }
  }

  #infix(left: Node): Node {
    const { text } = this.#take()
    switch (text) {
      case '.':
        return this.#dot(left)
      case '|':
        return { type: 'pipe', left, right: this.#expression(POWER['|']!) }
      case '||':
        return { type: 'or', left, right: this.#expression(POWER['||']!) }
      case '&&':
        return { type: 'and', left, right: this.#expression(POWER['&&']!) }
      case '[':
        return this.#bracket(left)
      case '[]':
        return { type: 'flatten', left, right: this.#projected(POWER['[]']!) }
      case '[?':
        return this.#filter(left)
      case '(':
        return this.#call(left)
      case '==':
      case '!=':
      case '<':
      case '<=':
      case '>':
      case '>=':
        return { type: 'compare', operator: text, left, right: this.#expression(POWER[text]!) }
      default:
        this.#at--
        return this.#fail()
    }
  }

  #dot(left: Node): Node {
    if (this.#eat('*')) return { type: 'valueProjection', left, right: this.#projected(POWER['*']!) }
    return { type: 'sub', left, right: this.#dotted(POWER['.']!) }
  }

  /** What may follow a point. */
  #dotted(power: number): Node {
    const token = this.#peek()
    if (token.kind === 'name' || token.kind === 'quoted') return this.#expression(power)
    if (this.#eat('[')) return this.#list()
    if (this.#eat('{')) return this.#hash()
    return this.#fail()
  }

  /** What a projection does with each item. */
  #projected(power: number): Node {
    const token = this.#peek()
    if (this.#power() < PROJECTION_STOP) return { type: 'current' }
    if (token.text === '[' || token.text === '[?') return this.#expression(power)
    if (this.#eat('.'))
      return this.#eat('*')
        ? { type: 'valueProjection', left: { type: 'current' }, right: this.#projected(POWER['*']!) }
        : this.#dotted(power)
    return this.#fail()
  }

  #isBracketIndex(): boolean {
    const token = this.#peek()
    if (token.kind === 'number' || token.text === ':') return true
    return token.text === '*' && this.#tokens[this.#at + 1]?.text === ']'
  }

  #bracket(left: Node): Node {
    if (this.#eat('*')) {
      this.#need(']')
      return { type: 'projection', left, right: this.#projected(POWER['*']!) }
    }
    const parts: (number | null)[] = [null]
    for (; !this.#eat(']'); ) {
      if (this.#eat(':')) parts.push(null)
      else if (this.#peek().kind === 'number') parts[parts.length - 1] = Number(this.#take().text)
      else this.#fail()
    }
    if (parts.length > 3) this.#fail()
    const [start = null, stop = null, step = null] = parts
    if (parts.length === 1) return { type: 'sub', left, right: { type: 'index', index: start ?? this.#fail() } }
    const sliced: Node = { type: 'sub', left, right: { type: 'slice', start, stop, step } }
    return { type: 'projection', left: sliced, right: this.#projected(POWER['*']!) }
  }

  #filter(left: Node): Node {
    const condition = this.#expression(0)
    this.#need(']')
    const right: Node = this.#peek().text === '[]' ? { type: 'current' } : this.#projected(POWER['[?']!)
    return { type: 'filter', left, condition, right }
  }

  #list(): Node {
    const items: Node[] = []
    do items.push(this.#expression(0))
    while (this.#eat(','))
    this.#need(']')
    return { type: 'list', items }
  }

  #hash(): Node {
    const pairs: [string, Node][] = []
    do {
      const token = this.#take()
      if (token.kind !== 'name' && token.kind !== 'quoted') this.#fail()
      this.#need(':')
      pairs.push([token.kind === 'quoted' ? (JSON.parse(token.text) as string) : token.text, this.#expression(0)])
    } while (this.#eat(','))
    this.#need('}')
    return { type: 'hash', pairs }
  }

  #call(left: Node): Node {
    if (left.type !== 'field') this.#fail()
    const args: Node[] = []
    if (!this.#eat(')')) {
      do args.push(this.#expression(0))
      while (this.#eat(','))
      this.#need(')')
    }
    return { type: 'call', name: left.name, args }
  }
}

// ---- walking -----------------------------------------------------------------------------------------------------------------------------

class Walker {
  readonly #env: Env

  constructor(env: Env) {
    this.#env = env
  }

  walk(node: Node, value: Value): Value {
    this.#env.budget.step()
    switch (node.type) {
      case 'field':
        return value instanceof PyDict ? (value.get(node.name) ?? null) : null
      case 'current':
        return value
      case 'literal':
        return node.value
      case 'index':
        return itemsOf(value)?.at(node.index) ?? null
      case 'slice':
        return itemsOf(value) === null ? null : pySlice(value, node.start, node.stop, node.step, this.#env.budget)
      case 'sub':
      case 'pipe':
        return this.walk(node.right, this.walk(node.left, value))
      case 'or': {
        const left = this.walk(node.left, value)
        return isTrue(left) ? left : this.walk(node.right, value)
      }
      case 'and': {
        const left = this.walk(node.left, value)
        return isTrue(left) ? this.walk(node.right, value) : left
      }
      case 'not':
        return !isTrue(this.walk(node.item, value))
      default:
        return this.#walkMore(node, value)
    }
  }

  #walkMore(node: Node, value: Value): Value {
    switch (node.type) {
      case 'projection':
        return this.#project(itemsOf(this.walk(node.left, value)), node.right)
      case 'valueProjection': {
        const left = this.walk(node.left, value)
        return this.#project(left instanceof PyDict ? [...left.values()] : null, node.right)
      }
      case 'flatten': {
        const items = itemsOf(this.walk(node.left, value))
        return this.#project(items?.flatMap(item => itemsOf(item) ?? [item]) ?? null, node.right)
      }
      case 'filter': {
        const items = itemsOf(this.walk(node.left, value))
        return this.#project(items?.filter(item => isTrue(this.walk(node.condition, item))) ?? null, node.right)
      }
      case 'compare':
        return compared(node.operator, this.walk(node.left, value), this.walk(node.right, value))
      case 'list':
        return value === null ? null : new PyList(node.items.map(item => this.walk(item, value)))
      case 'hash':
        return value === null ? null : PyDict.of(node.pairs.map(([key, item]) => [key, this.walk(item, value)] as const))
      case 'call':
        return this.#call(node.name, node.args, value)
      default:
        throw runtimeError('an expression reference stands where a value is needed')
    }
  }

  #project(items: readonly Value[] | null, right: Node): Value {
    if (items === null) return null
    this.#env.budget.grow(items.length)
    return new PyList(items.map(item => this.walk(right, item)).filter(item => item !== null))
  }

  #call(name: string, args: readonly Node[], value: Value): Value {
    const call = functions[name]
    if (call === undefined || !Object.hasOwn(functions, name)) throw runtimeError(`Unknown function: ${name}()`)
    const by = args.at(-1)
    const reference = by?.type === 'reference' ? (item: Value) => this.walk(by.item, item) : null
    // `map(&expression, list)` has its reference first
    const first = args[0]?.type === 'reference' ? args[0] : null
    const apply = first === null ? reference : (item: Value) => this.walk(first.item, item)
    const values = args.filter(arg => arg.type !== 'reference').map(arg => this.walk(arg, value))
    return call(values, apply ?? (item => item), this.#env)
  }
}

function itemsOf(value: Value): readonly Value[] | null {
  return value instanceof PyList || value instanceof PyTuple ? value.items : null
}

function isTrue(value: Value): boolean {
  if (value === null || value === false || value === '') return false
  if (value instanceof PyDict) return value.size > 0
  return (itemsOf(value)?.length ?? 1) > 0
}

function compared(operator: string, left: Value, right: Value): Value {
  if (operator === '==') return equals(left, right) && typeof left === typeof right
  if (operator === '!=') return !(equals(left, right) && typeof left === typeof right)
  if (!isNumber(left) || !isNumber(right)) return null
  const order = compare(left, right, operator)
  return operator === '<' ? order < 0 : operator === '<=' ? order <= 0 : operator === '>' ? order > 0 : order >= 0
}

type QueryFunction = (args: readonly Value[], by: (item: Value) => Value, env: Env) => Value

function list(value: Value | undefined): readonly Value[] {
  const items = itemsOf(value ?? null)
  if (items === null) throw runtimeError('invalid type for a value: expected an array')
  return items
}

function number(value: Value | undefined): number {
  if (value === undefined || !isNumber(value) || typeof value === 'boolean')
    throw runtimeError('invalid type for a value: expected a number')
  return toFloat(value)
}

function textArgument(value: Value | undefined): string {
  const flattened = flat(value ?? null)
  if (typeof flattened !== 'string') throw runtimeError('invalid type for a value: expected a string')
  return flattened
}

function dict(value: Value | undefined): PyDict {
  if (!(value instanceof PyDict)) throw runtimeError('invalid type for a value: expected an object')
  return value
}

function sortedBy(items: readonly Value[], by: (item: Value) => Value): Value[] {
  return items.toSorted((a, b) => compare(by(a), by(b), '<'))
}

function extreme(items: readonly Value[], by: (item: Value) => Value, sign: number): Value {
  if (items.length === 0) return null
  return items.reduce((best, item) => (compare(by(item), by(best), '<') * sign < 0 ? item : best))
}

const functions: Record<string, QueryFunction> = {
  abs: ([value]) => (number(value) < 0 ? (isFloat(value!) ? floatOf(-number(value)) : -number(value)) : value!),
  avg: ([items], _by, env) => {
    const all = list(items)
    return all.length === 0
      ? null
      : divide(
          all.reduce((sum, item) => add(sum, item, env.budget), 0 as Value),
          all.length
        )
  },
  ceil: ([value]) => Math.ceil(number(value)),
  floor: ([value]) => Math.floor(number(value)),
  contains: ([subject, wanted]) =>
    typeof subject === 'string' ? subject.includes(textArgument(wanted)) : list(subject).some(item => equals(item, wanted!)),
  ends_with: ([subject, suffix]) => textArgument(subject).endsWith(textArgument(suffix)),
  starts_with: ([subject, prefix]) => textArgument(subject).startsWith(textArgument(prefix)),
  join: ([glue, items]) => list(items).map(textArgument).join(textArgument(glue)),
  keys: ([object]) => new PyList([...dict(object).keys()]),
  values: ([object]) => new PyList([...dict(object).values()]),
  length: ([value]) => {
    const flattened = flat(value ?? null)
    if (typeof flattened === 'string') return lengthOf(flattened)
    return flattened instanceof PyDict ? flattened.size : list(flattened).length
  },
  map: ([items], by) => new PyList(list(items).map(by)),
  max: ([items]) => extreme(list(items), item => item, -1),
  max_by: ([items], by) => extreme(list(items), by, -1),
  merge: args => PyDict.of(args.flatMap(object => [...dict(object).entries()])),
  min: ([items]) => extreme(list(items), item => item, 1),
  min_by: ([items], by) => extreme(list(items), by, 1),
  not_null: args => args.find(value => value !== null) ?? null,
  reverse: ([value]) => (typeof value === 'string' ? characters(value).reverse().join('') : new PyList(list(value).toReversed())),
  sort: ([items]) => new PyList(sortedBy(list(items), item => item)),
  sort_by: ([items], by) => new PyList(sortedBy(list(items), by)),
  sum: ([items], _by, env) => list(items).reduce((sum, item) => add(sum, item, env.budget), 0 as Value),
  to_array: ([value]) => (itemsOf(value!) === null ? new PyList([value!]) : value!),
  to_number: ([value]) => toNumber(value!),
  to_string: ([value], _by, env) =>
    typeof value === 'string' ? value : dumpJson(value!, {}, env.budget).replaceAll(', ', ',').replaceAll(': ', ':'),
  type: ([value]) => typeOf(value!)
}

function toNumber(value: Value): Value {
  if (typeof value === 'boolean') return null
  if (isNumber(value)) return value
  if (typeof value !== 'string') return null
  const whole = parsePythonInt(value, 10)
  if (whole !== null) return integerOf(BigInt(whole))
  const float = parsePythonFloat(value)
  return float === null ? null : floatOf(float)
}

function typeOf(value: Value): string {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return 'boolean'
  if (isInt(value) || isFloat(value)) return 'number'
  if (typeof value === 'string') return 'string'
  return value instanceof PyDict ? 'object' : 'array'
}
