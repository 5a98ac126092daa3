/** Jinja's filters on text. */

import { flag, integer, REQUIRED, text } from './bind.js'
import type { Env, Filter } from './env.js'
import { limitError, runtimeError } from './errors.js'
import { filterTable } from './filter-table.js'
import { parsePythonFloat } from './filters-lists.js'
import { formatPercent, formatValue } from './format.js'
import type { Budget } from './limits.js'
import { capitalize, replace, strip } from './methods-str.js'
import { flat, isIterable, isNumber, iterate, len, listOf, toFloat, truthy, typeName } from './operators.js'
import { characters, lengthOf, repr, str } from './text.js'
import { SCHEME, urlize } from './urlize.js'
import { isLiteral, Markup, type Part, PyDict, PyTuple, RichText, type Value } from './values.js'

const { table, filter } = filterTable()

export const textFilters: ReadonlyMap<string, Filter> = table

/** Applies a change to each part of a template's text, so that the author's text stays the author's and values stay values. */
function mapped(value: Value, env: Env, change: (text: string) => string): Value {
  if (!(value instanceof RichText)) return change(str(value, env.budget))
  return new RichText(value.parts.map(part => changed(part, change)))
}

function changed(part: Part, change: (text: string) => string): Part {
  if (isLiteral(part)) return { ...part, literal: change(part.literal) }
  const text = change(part.text)
  return { value: text, text, exact: part.exact }
}

filter('upper', {}, (value, _args, env) => mapped(value, env, text => text.toUpperCase()))
filter('lower', {}, (value, _args, env) => mapped(value, env, text => text.toLowerCase()))
filter('capitalize', {}, (value, _args, env) => capitalize(str(flat(value), env.budget)))
filter('title', {}, (value, _args, env) =>
  str(value, env.budget)
    .split(/([-\s({[<]+)/)
    .map(item => (item === '' ? '' : item[0]!.toUpperCase() + item.slice(1).toLowerCase()))
    .join('')
)
filter('trim', { chars: null }, (value, [chars], env) => trim(value, chars === null ? null : text(chars, 'chars'), env))
filter('string', {}, (value, _args, env) => (value instanceof RichText ? value : str(value, env.budget)))

function trim(value: Value, chars: string | null, env: Env): Value {
  if (!(value instanceof RichText)) return strip(str(value, env.budget), chars, true, true)
  const parts = [...value.parts]
  for (const [at, left] of [
    [0, true],
    [-1, false]
  ] as const) {
    for (let end = parts.at(at); end !== undefined && isLiteral(end); end = parts.at(at)) {
      const literal = strip(end.literal, chars, left, !left)
      const skipped = left ? end.literal.slice(0, end.literal.length - literal.length).split('\n').length - 1 : 0
      parts.splice(at, 1)
      if (literal === '') continue
      parts.splice(left ? 0 : parts.length, 0, { literal, line: end.line + skipped, column: end.column })
      break
    }
  }
  return new RichText(parts)
}

filter('replace', { old: REQUIRED, new: REQUIRED, count: null }, (value, [old, replacement, count], env) => {
  const [from, to] = [str(flat(old!), env.budget), str(flat(replacement!), env.budget)]
  const times = count === null ? -1 : integer(count)
  return mapped(value, env, text => replace(text, from, to, times, env))
})

filter('indent', { width: 4, first: false, blank: false, indentfirst: null }, (value, [width, first, blank, indentfirst], env) => {
  const indention = ' '.repeat(checkedWidth(integer(width)))
  return indent(value, indention, flag(indentfirst === null ? first : indentfirst), flag(blank), env)
})

function checkedWidth(width: number): number {
  if (width > 10_000) throw limitError('an indentation of more than 10000')
  return Math.max(0, width)
}

function indent(value: Value, indention: string, first: boolean, blank: boolean, env: Env): Value {
  if (value instanceof RichText) return indentParts(value, indention, first, blank, env)
  const lines = pythonLines(text(value, 'indented value'))
  env.budget.grow(lines.length * indention.length)
  const indented = lines.map((line, index) => (index === 0 ? line : line === '' && !blank ? line : indention + line))
  return (first ? indention : '') + indented.join('\n')
}

/** Lines as `splitlines` sees them; a text that ends with a line break has an empty last line here. */
function pythonLines(text: string): string[] {
  return text.replace(/\r\n?/g, '\n').split(/[\n\v\f\x1c-\x1e\x85\u2028\u2029]/)
}

/** Indents the author's lines; what follows a line break decides whether the line is empty. */
function indentParts(value: RichText, indention: string, first: boolean, blank: boolean, env: Env): Value {
  const parts = value.parts.map((part, index): Part => {
    if (!isLiteral(part)) return part
    const follows = value.parts[index + 1]
    const lines = part.literal.split('\n')
    env.budget.grow(lines.length * indention.length)
    const indented = lines.map((line, at) => {
      const empty = line === '' && (at < lines.length - 1 || follows === undefined || isLiteral(follows))
      return at === 0 || (empty && !blank) ? line : indention + line
    })
    return { ...part, literal: indented.join('\n') }
  })
  return new RichText(first ? [{ literal: indention, line: 0, column: 0 }, ...parts] : parts)
}

filter('center', { width: 80 }, (value, [width], env) => {
  const source = str(value, env.budget)
  const missing = Math.max(0, integer(width) - lengthOf(source))
  env.budget.grow(missing)
  const left = Math.floor(missing / 2) + (missing & integer(width) & 1)
  return ' '.repeat(left) + source + ' '.repeat(missing - left)
})

filter('truncate', { length: 255, killwords: false, end: '...', leeway: null }, (value, [length, killwords, end, leeway]) => {
  const suffix = text(end, 'end')
  const limit = integer(length)
  if (limit < lengthOf(suffix)) throw runtimeError(`expected length >= ${lengthOf(suffix)}, got ${limit}`)
  if (len(value) <= limit + (leeway === null ? 5 : integer(leeway))) return value
  const kept = characters(text(value, 'truncated value'))
    .slice(0, limit - lengthOf(suffix))
    .join('')
  if (flag(killwords)) return kept + suffix
  const space = kept.lastIndexOf(' ')
  return (space < 0 ? kept : kept.slice(0, space)) + suffix
})

filter('wordcount', {}, (value, _args, env) => (str(value, env.budget).match(/[\p{L}\p{N}_]+/gu) ?? []).length)

filter('wordwrap', { width: 79, break_long_words: true, wrapstring: null, break_on_hyphens: true }, (value, args, env) => {
  const [width, breakLong, wrapstring, hyphens] = args
  const wrap = wrapstring === null ? '\n' : text(wrapstring, 'wrapstring')
  const columns = integer(width)
  if (columns <= 0) throw runtimeError(`invalid width ${columns} (must be > 0)`)
  return pythonLines(text(value, 'wrapped value').replace(/\n$/, ''))
    .map(line => wrapLine(line, columns, flag(breakLong), flag(hyphens), env.budget).join(wrap))
    .join(wrap)
})

/**
 * What a line may be broken between: white space; dashes between words; words, which also end behind a hyphen between letters (two of them before
 * and after it) and before dashes. Every alternative begins where the one before ended, so this takes one pass.
 */
const PIECES =
  /[\t-\r ]+|(?<=[\p{L}\p{N}_!"'&.,?])-{2,}(?=[\p{L}\p{N}_])|[^\t-\r ]+?(?:-(?:(?<=[\p{L}_]{2}-)|(?<=[\p{L}_]-[\p{L}\p{N}_!"'&.,?]-))(?=[\p{L}_]-?[\p{L}_])|(?=[\t-\r ]|$)|(?<=[\p{L}\p{N}_!"'&.,?])(?=-{2,}[\p{L}\p{N}_]))/gu

/** Python's `textwrap.wrap` with `expand_tabs` and `replace_whitespace` off. */
function wrapLine(line: string, width: number, breakLong: boolean, hyphens: boolean, budget: Budget): string[] {
  const chunks = line.match(hyphens ? PIECES : /\s+|\S+/gu) ?? []
  const lines: string[] = []
  let current: string[] = []
  let used = 0
  const flush = () => {
    if (current.at(-1)?.trim() === '') current.pop()
    if (current.length > 0) lines.push(current.join(''))
    current = []
    used = 0
  }
  for (let next = 0, from = 0; next < chunks.length; ) {
    const units = characters(chunks[next]!)
    const take = () => {
      current.push(units.slice(from).join(''))
      next++
      from = 0
    }
    // Here as long as this chunk lasts: one word may fill all lines.
    for (const here = next; next === here; ) {
      budget.step()
      const length = units.length - from
      if (used === 0 && lines.length > 0 && from === 0 && chunks[next]!.trim() === '') {
        next++
      } else if (used + length <= width) {
        used += length
        take()
      } else if (length > width && breakLong) {
        const room = Math.max(width - used, used === 0 ? 1 : 0)
        // With no room left an empty piece is put down: it, and not the space before it, is then what is dropped from the end.
        const end = from + (hyphens ? hyphenated(units.slice(from, from + room), room) : room)
        current.push(units.slice(from, end).join(''))
        from = end
        flush()
      } else {
        if (used === 0) take()
        flush()
      }
    }
  }
  flush()
  return lines
}

/** Where a long word is cut: behind a hyphen that still fits, else where the line ends. */
function hyphenated(units: readonly string[], room: number): number {
  const hyphen = units.lastIndexOf('-')
  return hyphen > 0 && units.slice(0, hyphen).some(unit => unit !== '-') ? hyphen + 1 : room
}

// ---- formatting ----------------------------------------------------------------------------------------------------------------------------

table.set('format', (value, args, kwargs, env) => {
  if (args.length > 0 && kwargs.size > 0) throw runtimeError("can't handle positional and keyword arguments at the same time")
  return formatPercent(str(value, env.budget), kwargs.size > 0 ? PyDict.of(kwargs) : new PyTuple(args), env.budget)
})

filter('filesizeformat', { binary: false }, (value, [binary], env) => {
  const bytes = toFloat(numberOf(value))
  const base = flag(binary) ? 1024 : 1000
  const units = flag(binary) ? ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB', 'ZiB', 'YiB'] : ['kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB']
  if (bytes === 1) return '1 Byte'
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`
  const power = units.findIndex((_, index) => bytes < base ** (index + 2))
  const unit = power < 0 ? units.length - 1 : power
  return `${formatValue(base * (bytes / base ** (unit + 2)), '.1f', env.budget)} ${units[unit]}`
})

function numberOf(value: Value): number {
  if (isNumber(value)) return toFloat(value)
  const read = typeof value === 'string' ? parsePythonFloat(value) : null
  if (read !== null && Number.isFinite(read)) return read
  throw runtimeError(`could not convert string to float: '${String(value)}'`)
}

// ---- HTML and URLs -------------------------------------------------------------------------------------------------------------------------

const HTML: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&#39;', '"': '&#34;' }

export function escapeHtml(value: string): string {
  return value.replace(/[&<>'"]/g, character => HTML[character]!)
}

function escaped(value: Value, env: Env): Value {
  return value instanceof Markup ? value : new Markup(escapeHtml(str(value, env.budget)))
}

filter('e', {}, (value, _args, env) => escaped(value, env))
filter('escape', {}, (value, _args, env) => escaped(value, env))
filter('forceescape', {}, (value, _args, env) => new Markup(escapeHtml(str(value, env.budget))))
filter('safe', {}, (value, _args, env) => {
  if (value instanceof RichText) return value
  const source = str(value, env.budget)
  // the author vouches for it: from here on it is the author's own text
  return env.yaml ? new RichText([{ literal: source, line: 0, column: 0 }]) : new Markup(source)
})
filter('striptags', {}, (value, _args, env) => {
  const source = str(value, env.budget)
  const plain = without(without(source, '<!--', '-->'), '<', '>')
    .split(/\s+/)
    .filter(Boolean)
    .join(' ')
  return plain.replace(/&(lt|gt|amp|quot|#39|#34|nbsp);/g, (_, name: string) => ENTITIES[name]!)
})

/** The text without what stands between these, them included; what is opened and not closed stays. One pass: a pattern would look for each end anew. */
function without(source: string, open: string, close: string): string {
  let out = ''
  let at = 0
  for (let start = source.indexOf(open); start >= 0; start = source.indexOf(open, at)) {
    const end = source.indexOf(close, start + open.length)
    if (end < 0) break
    out += source.slice(at, start)
    at = end + close.length
  }
  return out + source.slice(at)
}

const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', '#39': "'", '#34': '"', nbsp: '\xa0' }

/** Percent-encodes UTF-8 except letters, digits, `_.-~` and what is in `safe`. */
function percentEncode(value: string, safe: string, plus = false): string {
  let out = ''
  for (const byte of Buffer.from(value)) {
    const character = String.fromCharCode(byte)
    if (/[A-Za-z0-9_.~-]/.test(character) || (safe.includes(character) && byte < 128)) out += character
    else out += plus && character === ' ' ? '+' : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return out
}

filter('urlencode', {}, (value, _args, env) => {
  if (typeof value === 'string' || !isIterable(value)) {
    return percentEncode(str(value, env.budget), '/')
  }
  const pairs = value instanceof PyDict ? [...value.entries()] : listOf(value, env.budget).map(pairOf)
  const encode = (item: Value) => percentEncode(str(item, env.budget), '', true)
  return pairs.map(([key, item]) => `${encode(key)}=${encode(item)}`).join('&')
})

function pairOf(value: Value): [Value, Value] {
  const [key, item, ...rest] = [...iterate(value)]
  if (key === undefined || item === undefined || rest.length > 0) throw runtimeError('not enough values to unpack (expected 2)')
  return [key, item]
}

filter('urlize', { trim_url_limit: null, nofollow: false, target: null, rel: null, extra_schemes: null }, (value, args, env) => {
  const [limit, nofollow, target, rel, schemes] = args
  const given = rel === null ? [] : text(rel, 'rel').split(/\s+/).filter(Boolean)
  const relations = [...new Set([...given, ...(truthy(nofollow!) ? ['nofollow'] : []), 'noopener'])].sort()
  const attributes = ` rel="${escapeHtml(relations.join(' '))}"${target === null ? '' : ` target="${escapeHtml(text(target, 'target'))}"`}`
  const shown = (url: string) =>
    limit === null || lengthOf(url) <= integer(limit) ? url : `${characters(url).slice(0, integer(limit)).join('')}...`
  const extra = schemes === null ? [] : listOf(schemes!, env.budget).map(scheme => text(scheme, 'scheme'))
  const wrong = extra.find(scheme => !SCHEME.test(scheme))
  if (wrong !== undefined) throw runtimeError(`${repr(wrong, env.budget)} is not a valid URI scheme prefix.`)
  const html = value instanceof Markup ? value.text : escapeHtml(str(value, env.budget))
  env.budget.grow(html.length)
  return urlize(html, { attributes, shown, schemes: extra })
})

filter('xmlattr', { autospace: true }, (value, [autospace], env) => {
  if (!(value instanceof PyDict)) throw runtimeError(`'${typeName(value)}' object has no attribute 'items'`)
  const attributes = [...value.entries()]
    .filter(([, item]) => item !== null)
    .map(([key, item]) => {
      const name = str(key, env.budget)
      if (/[\s/>=]/.test(name)) throw runtimeError(`Invalid character in attribute name: '${name}'`)
      return `${escapeHtml(name)}="${escapeHtml(str(item, env.budget))}"`
    })
  const joined = attributes.join(' ')
  return truthy(autospace!) && joined !== '' ? ` ${joined}` : joined
})
