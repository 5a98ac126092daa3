/**
 * Prints YAML as PyYAML with libyaml does (`safe_dump`, `allow_unicode`, width 80): which scalars are quoted and how, where lines are folded,
 * sequences without indentation inside mappings. Rules and names follow libyaml's emitter, because clients compare texts.
 */
import { floatRepr, WholeFloat } from './numbers.js'
import { plainKind } from './yaml-scalars.js'

const WIDTH = 80
const INDENT = 2

export interface EmitOptions {
  /** `{a: 1}` instead of block style. */
  readonly flow?: boolean
  /** Default true, as PyYAML's. */
  readonly sortKeys?: boolean
  /** A list or mapping that stands in several places is written once, with an anchor, as PyYAML does. Default: everywhere in full. */
  readonly aliases?: boolean
}

/** Prints null, booleans, numbers, bigint, WholeFloat, text, arrays, Map and plain objects. Other values throw TypeError. */
export function emitYaml(value: unknown, options: EmitOptions = {}): string {
  const emitter = new Emitter(options, options.aliases ? anchorsOf(value, options.sortKeys ?? true) : new Map())
  emitter.node(value, { mapping: false, simpleKey: false })
  return emitter.finish()
}

/** Names for the collections that are met more than once, numbered as they are met again. Empty ones are written out. */
function anchorsOf(root: unknown, sort: boolean): Map<unknown, string> {
  const met = new Set<unknown>()
  const anchors = new Map<unknown, string>()
  const walk = (value: unknown) => {
    const children = Array.isArray(value) ? value : entriesOf(value, sort)?.flat()
    if (children === undefined || children.length === 0) return
    if (met.has(value)) {
      if (!anchors.has(value)) anchors.set(value, `id${String(anchors.size + 1).padStart(3, '0')}`)
      return
    }
    met.add(value)
    for (const child of children) walk(child)
  }
  walk(root)
  return anchors
}

/** A scalar in double quotes, unfolded, as PyYAML prints it with `default_style='"'`; `unicode` keeps characters beyond ASCII. */
export function doubleQuoted(text: string, unicode: boolean): string {
  let out = '"'
  for (const character of text) out += needsEscape(character, unicode) ? escaped(character) : character
  return `${out}"`
}

interface Context {
  readonly mapping: boolean
  readonly simpleKey: boolean
}

class Emitter {
  readonly #flow: boolean
  readonly #sort: boolean
  readonly #anchors: ReadonlyMap<unknown, string>
  readonly #written = new Set<unknown>()
  #out: string[] = []
  #column = 0
  #indent = -1
  #flowLevel = 0
  /** The last character written was white space. */
  #whitespace = true
  /** Nothing but indentation stands on this line. */
  #indention = true
  /** Bound against structures that hold themselves. */
  #depth = 0

  constructor(options: EmitOptions, anchors: ReadonlyMap<unknown, string>) {
    this.#anchors = anchors
    this.#flow = options.flow ?? false
    this.#sort = options.sortKeys ?? true
  }

  finish(): string {
    this.#out.push('\n')
    return this.#out.join('')
  }

  node(value: unknown, context: Context): void {
    if (this.#alias(value)) return
    if (++this.#depth > 200) throw new RangeError('nested too deeply to print')
    const entries = entriesOf(value, this.#sort)
    if (entries !== null) this.#mapping(entries, context)
    else if (Array.isArray(value)) this.#sequence(value, context)
    else this.#scalar(value, context)
    this.#depth--
  }

  /** Writes the anchor of a collection that comes again, or, when it has come, the alias alone (true). */
  #alias(value: unknown): boolean {
    const name = this.#anchors.get(value)
    if (name === undefined) return false
    const again = this.#written.has(value)
    this.#indicator(`${again ? '*' : '&'}${name}`, true)
    this.#written.add(value)
    return again
  }

  #sequence(items: unknown[], context: Context): void {
    const previous = this.#indent
    if (this.#flow || this.#flowLevel > 0 || items.length === 0) {
      this.#flowCollection('[', ']', items.length, index => this.node(items[index], { mapping: false, simpleKey: false }))
    } else {
      const indentless = context.mapping && !this.#indention
      if (!indentless) this.#increaseIndent(false)
      for (const item of items) {
        this.#writeIndent()
        this.#indicator('-', true, false, true)
        this.node(item, { mapping: false, simpleKey: false })
      }
    }
    this.#indent = previous
  }

  #mapping(entries: [unknown, unknown][], _context: Context): void {
    const previous = this.#indent
    if (this.#flow || this.#flowLevel > 0 || entries.length === 0) {
      this.#flowCollection('{', '}', entries.length, index => this.#flowPair(entries[index]!))
    } else {
      this.#increaseIndent(false)
      for (const [key, value] of entries) {
        this.#writeIndent()
        this.#blockPair(key, value)
      }
    }
    this.#indent = previous
  }

  #blockPair(key: unknown, value: unknown): void {
    if (isSimpleKey(key)) {
      this.node(key, { mapping: true, simpleKey: true })
      this.#indicator(':', false)
    } else {
      this.#indicator('?', true, false, true)
      this.node(key, { mapping: true, simpleKey: false })
      this.#writeIndent()
      this.#indicator(':', true, false, true)
    }
    this.node(value, { mapping: true, simpleKey: false })
  }

  #flowPair([key, value]: [unknown, unknown]): void {
    if (isSimpleKey(key)) {
      this.node(key, { mapping: true, simpleKey: true })
      this.#indicator(':', false)
    } else {
      this.#indicator('?', true)
      this.node(key, { mapping: true, simpleKey: false })
      if (this.#column > WIDTH) this.#writeIndent()
      this.#indicator(':', true)
    }
    this.node(value, { mapping: true, simpleKey: false })
  }

  #flowCollection(open: string, close: string, count: number, item: (index: number) => void): void {
    this.#indicator(open, true, true)
    const previous = this.#indent
    this.#increaseIndent(true)
    this.#flowLevel++
    for (let index = 0; index < count; index++) {
      if (index > 0) this.#indicator(',', false)
      if (this.#column > WIDTH) this.#writeIndent()
      item(index)
    }
    this.#flowLevel--
    this.#indent = previous
    this.#indicator(close, false)
  }

  #scalar(value: unknown, context: Context): void {
    const previous = this.#indent
    this.#increaseIndent(true)
    if (typeof value === 'string') this.#text(value, context)
    else this.#plain(scalarText(value))
    this.#indent = previous
  }

  #text(text: string, context: Context): void {
    const analysis = analyze(text)
    const plainAllowed = this.#flowLevel > 0 ? analysis.flowPlain : analysis.blockPlain
    const multilineKey = context.simpleKey && analysis.multiline
    const emptyPlain = text === '' && (this.#flowLevel > 0 || context.simpleKey)
    if (plainKind(text) === 'str' && plainAllowed && !multilineKey && !emptyPlain) this.#plain(text, !context.simpleKey)
    else if (analysis.singleQuoted && !multilineKey) this.#singleQuoted(text, !context.simpleKey)
    else this.#doubleQuoted(text, !context.simpleKey)
  }

  #plain(text: string, split = false): void {
    if (!this.#whitespace && (text !== '' || this.#flowLevel > 0)) this.#put(' ')
    this.#writeFolded(text, split)
    this.#whitespace = false
    this.#indention = false
  }

  /** Words of a plain scalar; a single space may become a line break once the line is too wide. */
  #writeFolded(text: string, split: boolean): void {
    const characters = [...text]
    let spaces = false
    for (const [index, character] of characters.entries()) {
      if (character !== ' ') {
        this.#put(character)
        this.#indention = false
        spaces = false
        continue
      }
      const foldable = split && !spaces && this.#column > WIDTH && characters[index + 1] !== ' '
      if (foldable && index > 0 && index < characters.length - 1) this.#writeIndent()
      else this.#put(' ')
      spaces = true
    }
  }

  #singleQuoted(text: string, split: boolean): void {
    this.#indicator("'", true)
    const characters = [...text]
    let spaces = false
    let breaks = false
    for (const [index, character] of characters.entries()) {
      if (character === ' ') {
        const foldable = split && !spaces && this.#column > WIDTH && characters[index + 1] !== ' '
        if (foldable && index > 0 && index < characters.length - 1) this.#writeIndent()
        else this.#put(' ')
        spaces = true
      } else if (isBreak(character)) {
        if (!breaks && character === '\n') this.#lineBreak('\n')
        this.#lineBreak(character)
        this.#indention = true
        breaks = true
      } else {
        if (breaks) this.#writeIndent()
        this.#put(character === "'" ? "''" : character)
        this.#indention = false
        spaces = false
        breaks = false
      }
    }
    if (breaks) this.#writeIndent()
    this.#indicator("'", false)
    this.#whitespace = false
    this.#indention = false
  }

  #doubleQuoted(text: string, split: boolean): void {
    this.#indicator('"', true)
    const characters = [...text]
    let spaces = false
    for (const [index, character] of characters.entries()) {
      if (needsEscape(character, true)) {
        this.#put(escaped(character))
        spaces = false
      } else if (character === ' ') {
        if (split && !spaces && this.#column > WIDTH && index > 0 && index < characters.length - 1) {
          this.#writeIndent()
          if (characters[index + 1] === ' ') this.#put('\\')
        } else this.#put(' ')
        spaces = true
      } else {
        this.#put(character)
        spaces = false
      }
    }
    this.#indicator('"', false)
    this.#whitespace = false
    this.#indention = false
  }

  #increaseIndent(flow: boolean): void {
    if (this.#indent < 0) this.#indent = flow ? INDENT : 0
    else this.#indent += INDENT
  }

  #indicator(text: string, needWhitespace: boolean, whitespace = false, indention = false): void {
    if (needWhitespace && !this.#whitespace) this.#put(' ')
    this.#put(text)
    this.#whitespace = whitespace
    this.#indention = this.#indention && indention
  }

  #writeIndent(): void {
    const indent = Math.max(this.#indent, 0)
    if (!this.#indention || this.#column > indent || (this.#column === indent && !this.#whitespace)) {
      if (this.#out.length > 0) this.#lineBreak('\n')
    }
    if (this.#column < indent) this.#put(' '.repeat(indent - this.#column))
    this.#whitespace = true
    this.#indention = true
  }

  #lineBreak(text: string): void {
    this.#out.push(text)
    this.#column = 0
  }

  #put(text: string): void {
    this.#out.push(text)
    this.#column += text.length > 1 ? [...text].length : 1
  }
}

/** The pairs of a mapping in printing order; null for anything else. */
function entriesOf(value: unknown, sort: boolean): [unknown, unknown][] | null {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof WholeFloat) return null
  const entries: [unknown, unknown][] = value instanceof Map ? [...value] : Object.entries(value)
  // Python sorts only what it can compare: keys of one kind.
  if (!sort || new Set(entries.map(([key]) => typeof key)).size > 1) return entries
  return entries.sort(([a], [b]) => (compareKeys(a, b) < 0 ? -1 : 1))
}

function compareKeys(a: unknown, b: unknown): number {
  if (typeof a === 'string' && typeof b === 'string') return compareCodePoints(a, b)
  const [x, y] = [a, b].map(key => (key instanceof WholeFloat ? key.value : (key as number)))
  return Number(x) - Number(y)
}

/** Long texts are compared by parts, which the engine does faster than a loop. */
const EQUAL_PART = 1024

/** Python's order of texts: by code point (JavaScript's is by UTF-16 unit). */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  let start = 0
  while (start < length && a.slice(start, start + EQUAL_PART) === b.slice(start, start + EQUAL_PART)) start += EQUAL_PART
  for (let index = start; index < length; index++) {
    const x = a.charCodeAt(index)
    const y = b.charCodeAt(index)
    if (x !== y) {
      const surrogates = Number(x >= 0xd800 && x <= 0xdfff) - Number(y >= 0xd800 && y <= 0xdfff)
      return surrogates !== 0 ? surrogates : x - y
    }
  }
  return a.length - b.length
}

function scalarText(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (value instanceof WholeFloat) return yamlFloat(value.value)
  if (typeof value === 'number') return Number.isInteger(value) ? String(BigInt(value)) : yamlFloat(value)
  throw new TypeError(`cannot represent an object of type ${typeof value}`)
}

function yamlFloat(value: number): string {
  if (Number.isNaN(value)) return '.nan'
  if (!Number.isFinite(value)) return value > 0 ? '.inf' : '-.inf'
  const text = floatRepr(value)
  return text.includes('.') ? text : text.replace('e', '.0e')
}

function isSimpleKey(key: unknown): boolean {
  if (typeof key !== 'string') return key === null || typeof key !== 'object' || key instanceof WholeFloat
  return Buffer.byteLength(key) <= 128 && !/[\n\r\u0085\u2028\u2029]/.test(key)
}

interface Analysis {
  multiline: boolean
  flowPlain: boolean
  blockPlain: boolean
  singleQuoted: boolean
}

/** libyaml's analysis of a scalar: in which styles it may be printed. */
function analyze(text: string): Analysis {
  if (text === '') return { multiline: false, flowPlain: false, blockPlain: true, singleQuoted: true }
  const document = text.startsWith('---') || text.startsWith('...')
  const leading = /^[#,[\]{}&*!|>'"%@`]/.test(text) || /^-(?:[\s\u0085]|$)/.test(text)
  const blockIndicators = document || leading || /^[?:](?:[\s\u0085]|$)/.test(text) || /:(?:[\s\u0085]|$)|[\s\u0085]#/.test(text)
  const flowIndicators = blockIndicators || /^[?]/.test(text) || /[,?[\]{}:]/.test(text)
  const multiline = /[\n\r\u0085\u2028\u2029]/.test(text)
  const edges = /^[ \n\r\u0085\u2028\u2029]|[ \n\r\u0085\u2028\u2029]$/.test(text)
  const breakSpace = /[\n\r\u0085\u2028\u2029] /.test(text)
  const special = / [\n\r\u0085\u2028\u2029]/.test(text) || [...text].some(character => isSpecial(character))
  const plain = !edges && !multiline && !breakSpace && !special
  return {
    multiline,
    flowPlain: plain && !flowIndicators,
    blockPlain: plain && !blockIndicators,
    singleQuoted: !breakSpace && !special
  }
}

function isBreak(character: string): boolean {
  return character === '\n' || character === '\r' || character === '\u0085' || character === '\u2028' || character === '\u2029'
}

function isSpecial(character: string): boolean {
  return character !== '\n' && !isPrintable(character)
}

/** libyaml counts nothing beyond U+FFFD as printable. */
function isPrintable(character: string): boolean {
  const code = character.codePointAt(0)!
  return (code >= 0x20 && code <= 0x7e) || (code >= 0xa0 && code <= 0xd7ff) || (code >= 0xe000 && code <= 0xfffd && code !== 0xfeff)
}

function needsEscape(character: string, unicode: boolean): boolean {
  if (character === '"' || character === '\\' || isBreak(character) || !isPrintable(character)) return true
  return !unicode && character.codePointAt(0)! > 0x7e
}

const ESCAPES: Record<string, string> = {
  '\0': '\\0',
  '\x07': '\\a',
  '\b': '\\b',
  '\t': '\\t',
  '\n': '\\n',
  '\v': '\\v',
  '\f': '\\f',
  '\r': '\\r',
  '\x1b': '\\e',
  '"': '\\"',
  '\\': '\\\\',
  '\u0085': '\\N',
  '\u00a0': '\\_',
  '\u2028': '\\L',
  '\u2029': '\\P'
}

function escaped(character: string): string {
  const known = ESCAPES[character]
  if (known !== undefined) return known
  const code = character.codePointAt(0)!
  const hex = code.toString(16).toUpperCase()
  if (code <= 0xff) return `\\x${hex.padStart(2, '0')}`
  return code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
}
