/** The methods of Python's `str`. */
import { bind, flag, integer, REQUIRED, text } from './bind.js'
import type { Env, Method } from './env.js'
import { runtimeError } from './errors.js'
import { formatBraces } from './format.js'
import { iterate, typeName } from './operators.js'
import { characters, lengthOf, WHITESPACE } from './text.js'
import { type Kwargs, PyBytes, PyDict, PyList, PyTuple, type Value } from './values.js'

type Body = (self: string, args: Value[], env: Env, kwargs: Kwargs) => Value

const table = new Map<string, Method>()

/** The methods whose arguments have names; all others take them by place only. */
const KEYWORDS: ReadonlySet<string> = new Set(['split', 'rsplit', 'splitlines', 'expandtabs', 'encode'])

/** Adds a method whose parameters are named (without defaults they are required). */
function method(name: string, parameters: Record<string, Value | typeof REQUIRED>, body: Body): void {
  table.set(name, (self, args, kwargs, env) => {
    if (kwargs.size > 0 && !KEYWORDS.has(name)) throw runtimeError(`str.${name}() takes no keyword arguments`)
    env.budget.step()
    env.budget.grow((self as string).length)
    return body(self as string, bind(name, args, kwargs, parameters), env, kwargs)
  })
}

export const strMethods: ReadonlyMap<string, Method> = table

// ---- case ------------------------------------------------------------------------------------------------------------------------------

export function capitalize(value: string): string {
  const [first = '', ...rest] = characters(value)
  return titleCase(first) + rest.join('').toLowerCase()
}

/** Letters that are two in one have a third form, of which the first alone is large. */
const DIGRAPHS: Readonly<Record<string, string>> = {
  Ǆ: 'ǅ',
  ǆ: 'ǅ',
  ǅ: 'ǅ',
  Ǉ: 'ǈ',
  ǉ: 'ǈ',
  ǈ: 'ǈ',
  Ǌ: 'ǋ',
  ǌ: 'ǋ',
  ǋ: 'ǋ',
  Ǳ: 'ǲ',
  ǳ: 'ǲ',
  ǲ: 'ǲ'
}

function titleCase(character: string): string {
  const digraph = DIGRAPHS[character]
  if (digraph !== undefined) return digraph
  const upper = character.toUpperCase()
  // ß becomes Ss at the start of a word, not SS
  return upper.length > character.length ? upper[0] + upper.slice(1).toLowerCase() : upper
}

/** `str.title()`: each run of letters starts with a capital. */
export function title(value: string): string {
  return value.replace(/\p{L}+/gu, word => capitalize(word))
}

method('upper', {}, self => self.toUpperCase())
method('lower', {}, self => self.toLowerCase())
method('casefold', {}, self => casefold(self))
method('capitalize', {}, self => capitalize(self))
method('title', {}, self => title(self))
method('swapcase', {}, self =>
  characters(self)
    .map(character => (character === character.toUpperCase() ? character.toLowerCase() : character.toUpperCase()))
    .join('')
)

function casefold(value: string): string {
  return value.toLowerCase().replaceAll('ß', 'ss').replaceAll('ς', 'σ').replaceAll('ſ', 's')
}

// ---- white space and padding -------------------------------------------------------------------------------------------------------------

const LEADING = new RegExp(`^[${WHITESPACE}]+`)
const SPACE = new RegExp(`[${WHITESPACE}]`)

/** Whether a character is white space. */
export function isSpace(character: string): boolean {
  return SPACE.test(character)
}

/** The text without the characters of `set` (white space when null) at the chosen ends. */
export function strip(value: string, set: string | null, left: boolean, right: boolean): string {
  const units = characters(value)
  const drop = set === null ? (unit: string) => SPACE.test(unit) : (unit: string) => characters(set).includes(unit)
  let start = 0
  let end = units.length
  while (left && start < end && drop(units[start]!)) start++
  while (right && end > start && drop(units[end - 1]!)) end--
  return start === 0 && end === units.length ? value : units.slice(start, end).join('')
}

function stripSet(value: Value | undefined): string | null {
  return value === null || value === undefined ? null : text(value, 'strip arg')
}

method('strip', { chars: null }, (self, [chars]) => strip(self, stripSet(chars), true, true))
method('lstrip', { chars: null }, (self, [chars]) => strip(self, stripSet(chars), true, false))
method('rstrip', { chars: null }, (self, [chars]) => strip(self, stripSet(chars), false, true))
method('removeprefix', { prefix: REQUIRED }, (self, [prefix]) => {
  const start = text(prefix, 'prefix')
  return self.startsWith(start) ? self.slice(start.length) : self
})
method('removesuffix', { suffix: REQUIRED }, (self, [suffix]) => {
  const end = text(suffix, 'suffix')
  return end !== '' && self.endsWith(end) ? self.slice(0, -end.length) : self
})

function padding(self: string, width: Value | undefined, fill: Value | undefined, env: Env): [number, string] {
  const character = text(fill, 'The fill character')
  if (lengthOf(character) !== 1) throw runtimeError('The fill character must be exactly one character long')
  const missing = Math.max(0, integer(width) - lengthOf(self))
  env.budget.grow(missing)
  return [missing, character]
}

method('ljust', { width: REQUIRED, fillchar: ' ' }, (self, [width, fill], env) => {
  const [missing, character] = padding(self, width, fill, env)
  return self + character.repeat(missing)
})
method('rjust', { width: REQUIRED, fillchar: ' ' }, (self, [width, fill], env) => {
  const [missing, character] = padding(self, width, fill, env)
  return character.repeat(missing) + self
})
method('center', { width: REQUIRED, fillchar: ' ' }, (self, [width, fill], env) => {
  const [missing, character] = padding(self, width, fill, env)
  // CPython puts the odd one left when the width is odd
  const left = Math.floor(missing / 2) + (missing & integer(width) & 1)
  return character.repeat(left) + self + character.repeat(missing - left)
})
method('zfill', { width: REQUIRED }, (self, [width], env) => {
  const [missing] = padding(self, width, '0', env)
  const sign = /^[-+]/.test(self) ? self[0]! : ''
  return sign + '0'.repeat(missing) + self.slice(sign.length)
})
method('expandtabs', { tabsize: 8 }, (self, [tabsize], env) => {
  const size = integer(tabsize)
  env.budget.grow(self.split('\t').length * Math.max(0, size))
  return self
    .split('\n')
    .map(line =>
      line
        .split('\t')
        .reduce((out, part, index) => (index === 0 ? part : `${out}${' '.repeat(size > 0 ? size - (out.length % size) : 0)}${part}`), '')
    )
    .join('\n')
})

// ---- search ------------------------------------------------------------------------------------------------------------------------------

/** The part of a text between Python indices, and where it starts, both in characters. */
function part(self: string, start: Value | undefined, end: Value | undefined): { text: string; offset: number; valid: boolean } {
  if ((start ?? null) === null && (end ?? null) === null) return { text: self, offset: 0, valid: true }
  const units = characters(self)
  const place = (value: Value | undefined, fallback: number) => {
    if (value === null || value === undefined) return fallback
    const index = integer(value, 'slice indices must be integers')
    return index < 0 ? Math.max(0, index + units.length) : index
  }
  const from = place(start, 0)
  const to = Math.min(place(end, units.length), units.length)
  return { text: units.slice(from, to).join(''), offset: from, valid: from <= units.length }
}

function find(self: string, args: readonly Value[], last: boolean): number {
  const wanted = text(args[0], 'substring')
  const { text: inside, offset, valid } = part(self, args[1], args[2])
  const at = valid ? (last ? inside.lastIndexOf(wanted) : inside.indexOf(wanted)) : -1
  return at < 0 ? -1 : offset + lengthOf(inside.slice(0, at))
}

const RANGE = { sub: REQUIRED, start: null, end: null } as const

method('find', RANGE, (self, args) => find(self, args, false))
method('rfind', RANGE, (self, args) => find(self, args, true))
method('index', RANGE, (self, args) => found(find(self, args, false)))
method('rindex', RANGE, (self, args) => found(find(self, args, true)))

function found(index: number): number {
  if (index < 0) throw runtimeError('substring not found')
  return index
}

method('count', RANGE, (self, [sub, start, end]) => {
  const wanted = text(sub, 'substring')
  const inside = part(self, start, end).text
  return wanted === '' ? lengthOf(inside) + 1 : inside.split(wanted).length - 1
})

function affixes(value: Value | undefined, name: string): string[] {
  if (value instanceof PyTuple) return value.items.map(item => text(item, `tuple for ${name}`))
  if (typeof value !== 'string') throw runtimeError(`${name} first arg must be str or a tuple of str, not ${typeName(value ?? null)}`)
  return [value]
}

method('startswith', RANGE, (self, [sub, start, end]) => {
  const inside = part(self, start, end)
  return inside.valid && affixes(sub, 'startswith').some(affix => inside.text.startsWith(affix))
})
method('endswith', RANGE, (self, [sub, start, end]) => {
  const inside = part(self, start, end)
  return inside.valid && affixes(sub, 'endswith').some(affix => inside.text.endsWith(affix))
})

// ---- split and join ----------------------------------------------------------------------------------------------------------------------

function splitAny(self: string, limit: number): string[] {
  const pieces: string[] = []
  let rest = self.replace(LEADING, '')
  while (rest !== '') {
    const match = SPACE.exec(rest)
    if (match === null || pieces.length === limit) {
      pieces.push(rest)
      break
    }
    pieces.push(rest.slice(0, match.index))
    rest = rest.slice(match.index).replace(LEADING, '')
  }
  return pieces
}

function splitBy(self: string, separator: string, limit: number): string[] {
  if (separator === '') throw runtimeError('empty separator')
  const pieces = self.split(separator)
  if (limit < 0 || pieces.length <= limit + 1) return pieces
  return [...pieces.slice(0, limit), pieces.slice(limit).join(separator)]
}

const SPLIT = { sep: null, maxsplit: -1 } as const

method('split', SPLIT, (self, [separator, limit]) => {
  const max = integer(limit)
  return new PyList(separator === null || separator === undefined ? splitAny(self, max) : splitBy(self, text(separator, 'sep'), max))
})
method('rsplit', SPLIT, (self, [separator, limit]) => {
  const max = integer(limit)
  const reversed = (value: string) => characters(value).reverse().join('')
  const pieces =
    separator === null || separator === undefined
      ? splitAny(reversed(self), max)
      : splitBy(reversed(self), reversed(text(separator, 'sep')), max)
  return new PyList(pieces.map(reversed).reverse())
})
method('splitlines', { keepends: false }, (self, [keepends]) => {
  const lines =
    self.match(
      /[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])|[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+$/g
    ) ?? []
  return new PyList(flag(keepends) ? lines : lines.map(line => line.replace(/(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])$/, '')))
})
method('partition', { sep: REQUIRED }, (self, [separator]) => {
  const sep = notEmpty(text(separator, 'sep'))
  const at = self.indexOf(sep)
  return new PyTuple(at < 0 ? [self, '', ''] : [self.slice(0, at), sep, self.slice(at + sep.length)])
})
method('rpartition', { sep: REQUIRED }, (self, [separator]) => {
  const sep = notEmpty(text(separator, 'sep'))
  const at = self.lastIndexOf(sep)
  return new PyTuple(at < 0 ? ['', '', self] : [self.slice(0, at), sep, self.slice(at + sep.length)])
})

function notEmpty(separator: string): string {
  if (separator === '') throw runtimeError('empty separator')
  return separator
}

method('join', { iterable: REQUIRED }, (self, [items], env) => {
  const pieces: string[] = []
  for (const item of iterate(items ?? null, 'can only join an iterable')) {
    const piece = text(item, `sequence item ${pieces.length}: expected str instance`)
    env.budget.step()
    env.budget.grow(piece.length + self.length)
    pieces.push(piece)
  }
  return pieces.join(self)
})

/** `str.replace` with a count; an empty text is found between all characters. */
export function replace(self: string, old: string, replacement: string, count: number, env: Env): string {
  const pieces = old === '' ? ['', ...characters(self), ''] : self.split(old)
  const times = count < 0 ? pieces.length - 1 : Math.min(count, pieces.length - 1)
  env.budget.grow(self.length + times * replacement.length)
  const head = pieces.slice(0, times + 1).join(replacement)
  return times === pieces.length - 1 ? head : head + old + pieces.slice(times + 1).join(old)
}

method('replace', { old: REQUIRED, new: REQUIRED, count: -1 }, (self, [old, replacement, count], env) =>
  replace(self, text(old, 'replace() argument 1'), text(replacement, 'replace() argument 2'), integer(count), env)
)
method('translate', { table: REQUIRED }, (self, [mapping]) => {
  if (!(mapping instanceof PyDict)) throw runtimeError('translate needs a mapping')
  return characters(self)
    .map(character => {
      const to = mapping.get(character.codePointAt(0)!)
      return to === undefined ? character : to === null ? '' : typeof to === 'string' ? to : String.fromCodePoint(integer(to))
    })
    .join('')
})

// ---- questions ---------------------------------------------------------------------------------------------------------------------------

function question(name: string, pattern: RegExp): void {
  method(name, {}, self => pattern.test(self))
}

question('isdigit', /^[\p{Nd}²³¹⁰⁴-⁹₀-₉]+$/u)
question('isdecimal', /^\p{Nd}+$/u)
question('isnumeric', /^\p{N}+$/u)
question('isalpha', /^\p{L}+$/u)
question('isalnum', /^[\p{L}\p{N}]+$/u)
question('isspace', new RegExp(`^[${WHITESPACE}]+$`))
question('isidentifier', /^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u)
question('isascii', /^[\x00-\x7f]*$/)
question('isprintable', /^(?:[^\p{C}\p{Z}]| )*$/u)
method('isupper', {}, self => /\p{Lu}/u.test(self) && !/\p{Ll}|\p{Lt}/u.test(self))
method('islower', {}, self => /\p{Ll}/u.test(self) && !/\p{Lu}|\p{Lt}/u.test(self))
method('istitle', {}, self => /\p{Lu}/u.test(self) && self === title(self))

// ---- the rest ----------------------------------------------------------------------------------------------------------------------------

table.set('format', (self, args, kwargs, env) => formatBraces(self as string, args, kwargs, env))
table.set('format_map', (self, args, _kwargs, env) => {
  const [mapping] = args
  if (!(mapping instanceof PyDict)) throw runtimeError('format_map() argument must be a mapping')
  return formatBraces(self as string, [], mapping, env)
})
method('encode', { encoding: 'utf-8', errors: 'strict' }, (self, [encoding, errors]) => {
  const name = text(encoding, 'encoding').toLowerCase().replaceAll('_', '-')
  if (/^utf-?8$/.test(name)) return new PyBytes(Buffer.from(self))
  const limit = /^(?:us-)?ascii$/.test(name) ? 0x80 : /^(?:latin-?1|iso-?8859-1)$/.test(name) ? 0x100 : null
  if (limit === null) throw runtimeError(`unknown encoding: ${name}`)
  return new PyBytes(Buffer.from(encodable(self, limit, text(errors, 'errors'), name), 'latin1'))
})

function encodable(self: string, limit: number, errors: string, encoding: string): string {
  return characters(self)
    .map(character => {
      if (character.codePointAt(0)! < limit) return character
      if (errors === 'ignore') return ''
      if (errors === 'replace') return '?'
      throw runtimeError(`'${encoding}' codec can't encode character`)
    })
    .join('')
}
