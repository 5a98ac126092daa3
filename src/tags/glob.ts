import type { TagFilter } from '../store/store.js'

/**
 * Salt's globs: Python's fnmatch, case-sensitive. `*` is any text (also `/` and line breaks), `?` one character, `[seq]` and `[!seq]` one
 * character of a set; everything else is literal, a backslash too. No regular expression is built from a pattern: stars are
 * resolved leftmost, which is right because each part between stars has a fixed number of characters, and never backtracks. The cost is
 * at most pattern length x tag length, whatever the pattern.
 */
export type TagTest = (tag: string) => boolean

/** One character of a pattern: itself, any, or one of a set (code points, ranges included at both ends). */
type Token = string | { readonly negated: boolean; readonly ranges: Ranges }
type Ranges = readonly (readonly [number, number])[]

/** What stands between two stars. */
interface Part {
  /** The text, when the part has no `?` and no set. */
  readonly literal: string | null
  readonly tokens: readonly Token[]
}

const ANY: Token = { negated: true, ranges: [] }

/** A pattern taken apart, for matching and for the index (`src/tags/index.ts`). `parts` are what stands between the stars. */
export interface GlobShape {
  readonly parts: readonly Part[]
}

/** True for tags that the pattern matches as a whole. */
export function compileGlob(pattern: string): TagTest {
  const { parts } = parseGlob(pattern)
  const first = parts[0]!
  const last = parts[parts.length - 1]!
  if (parts.length === 1) return first.literal === null ? tag => matchAt(first.tokens, tag, 0) === tag.length : tag => tag === first.literal
  if (parts.length === 2 && first.literal !== null && last.literal !== null) return betweenLiterals(first.literal, last.literal)
  const middle = parts.slice(1, -1)
  return tag => matchParts(first, middle, last, tag)
}

/** `a*b`, the most frequent form, without any loop of ours. */
function betweenLiterals(prefix: string, suffix: string): TagTest {
  const shortest = prefix.length + suffix.length
  if (shortest === 0) return () => true
  return tag => tag.length >= shortest && tag.startsWith(prefix) && tag.endsWith(suffix)
}

function matchParts(first: Part, middle: readonly Part[], last: Part, tag: string): boolean {
  let at = matchPartAt(first, tag, 0)
  if (at < 0) return false
  const end = startOfLast(last, tag)
  if (end < at) return false
  for (const part of middle) {
    at = findPart(part, tag, at, end)
    if (at < 0) return false
  }
  return true
}

/** Where the text after the last star begins, counted back from the end; -1 when the tag does not end with it. */
function startOfLast(part: Part, tag: string): number {
  if (part.literal !== null) return tag.endsWith(part.literal) ? tag.length - part.literal.length : -1
  let at = tag.length
  for (let i = 0; i < part.tokens.length; i++) {
    if (at <= 0) return -1
    at -= isPair(tag, at - 2) ? 2 : 1
  }
  return matchAt(part.tokens, tag, at) === tag.length ? at : -1
}

/** Leftmost place for a part between two stars; returns where it ends, -1 for nowhere before `end`. */
function findPart(part: Part, tag: string, from: number, end: number): number {
  if (part.literal !== null) {
    const at = tag.indexOf(part.literal, from)
    return at < 0 || at + part.literal.length > end ? -1 : at + part.literal.length
  }
  for (let at = from; at < end; at += isPair(tag, at) ? 2 : 1) {
    const stop = matchAt(part.tokens, tag, at)
    if (stop >= 0) return stop > end ? -1 : stop
  }
  return -1
}

function matchPartAt(part: Part, tag: string, at: number): number {
  if (part.literal !== null) return tag.startsWith(part.literal, at) ? at + part.literal.length : -1
  return matchAt(part.tokens, tag, at)
}

/** Matches the tokens from `at` on; returns where they end, or -1. */
function matchAt(tokens: readonly Token[], tag: string, at: number): number {
  for (const token of tokens) {
    if (typeof token === 'string') {
      if (!tag.startsWith(token, at)) return -1
      at += token.length
      continue
    }
    const point = tag.codePointAt(at)
    if (point === undefined || token.ranges.some(([low, high]) => low <= point && point <= high) === token.negated) return -1
    at += point > 0xffff ? 2 : 1
  }
  return at
}

function isPair(text: string, at: number): boolean {
  return (text.charCodeAt(at) & 0xfc00) === 0xd800 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00
}

/** Takes a pattern apart. Never fails: what is no complete set is literal. */
export function parseGlob(pattern: string): GlobShape {
  const chars = [...pattern]
  const parts: Token[][] = [[]]
  for (let i = 0; i < chars.length; ) {
    const char = chars[i]!
    const set = char === '[' ? readSet(chars, i + 1) : null
    if (char === '*') {
      if (chars[i - 1] !== '*' || i === 0) parts.push([])
    } else {
      parts[parts.length - 1]!.push(set?.token ?? (char === '?' ? ANY : char))
    }
    i = set?.next ?? i + 1
  }
  return { parts: parts.map(toPart) }
}

function toPart(tokens: Token[]): Part {
  return { literal: tokens.every(token => typeof token === 'string') ? tokens.join('') : null, tokens }
}

/** Reads a set whose `[` stands before `from`; null when it is never closed. A `]` right after `[` or `[!` belongs to the set. */
function readSet(chars: readonly string[], from: number): { token: Token; next: number } | null {
  let end = from
  if (chars[end] === '!') end++
  if (chars[end] === ']') end++
  while (end < chars.length && chars[end] !== ']') end++
  if (end >= chars.length) return null
  const negated = chars[from] === '!'
  const set = readRanges(chars.slice(from + (negated ? 1 : 0), end))
  return { token: negated ? { negated, ranges: set } : negatedByAccident(set), next: end + 1 }
}

const BANG = 0x21
const HYPHEN = 0x2d

/** Python drops reversed ranges as text; when a `!` comes to stand first by that (`[z-a!x]`), it negates. Kept, since equal means equal. */
function negatedByAccident(ranges: Ranges): Token {
  const [low, high] = ranges[0] ?? []
  if (low !== BANG || high === undefined) return { negated: false, ranges }
  const rest: Ranges =
    high === BANG
      ? []
      : [
          [HYPHEN, HYPHEN],
          [high, high]
        ] // of the range !-x, -x is left
  return { negated: true, ranges: [...rest, ...ranges.slice(1)] }
}

/**
 * `-` is a range only between two characters, and not right after a range: `[a-c-e]` is a to c, `-`, `e`; reversed ranges are empty.
 * As fnmatch in Python 3.11 does it, which cuts the set at each `-` that makes a range.
 */
function readRanges(chars: readonly string[]): Ranges {
  const points = chars.map(char => char.codePointAt(0)!)
  const ranges: [number, number][] = []
  for (let i = 0; i < points.length; ) {
    if (chars[i + 1] === '-' && i + 2 < points.length) {
      if (points[i]! <= points[i + 2]!) ranges.push([points[i]!, points[i + 2]!])
      i += 3
    } else {
      ranges.push([points[i]!, points[i]!])
      i += 1
    }
  }
  return ranges
}

/** So many distinct filters are kept compiled; the oldest goes first. Every live stream and rule holds its own reference besides. */
const MAX_FILTERS = 10_000
const filters = new Map<string, TagTest>()

/** Equal for filters that let the same tags through because they list the same patterns, in whatever order. */
export function filterKey(filter: TagFilter): string {
  return JSON.stringify([
    filter.include?.length ? unique(filter.include) : null,
    unique(filter.exclude ?? []),
    filter.allowed ? unique(filter.allowed) : null
  ])
}

/**
 * One predicate per distinct filter. No `include` (or an empty one) means every tag; `allowed` is a permission, so an empty one lets
 * nothing through and only a missing one lets everything through.
 */
export function compileFilter(filter: TagFilter): TagTest {
  const key = filterKey(filter)
  let test = filters.get(key)
  if (test === undefined) {
    test = buildFilter(filter)
    if (filters.size >= MAX_FILTERS) filters.delete(filters.keys().next().value!)
    filters.set(key, test)
  }
  return test
}

function buildFilter(filter: TagFilter): TagTest {
  const include = filter.include?.length ? anyOf(filter.include) : null
  const exclude = filter.exclude?.length ? anyOf(filter.exclude) : null
  const allowed = filter.allowed ? anyOf(filter.allowed) : null
  if (include === null && exclude === null && allowed === null) return () => true
  return tag => (include === null || include(tag)) && (allowed === null || allowed(tag)) && (exclude === null || !exclude(tag))
}

function anyOf(patterns: readonly string[]): TagTest {
  const tests = unique(patterns).map(compileGlob)
  return tests.length === 1 ? tests[0]! : tag => tests.some(test => test(tag))
}

function unique(patterns: readonly string[]): string[] {
  return [...new Set(patterns)].sort()
}
