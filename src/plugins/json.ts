import { brineError } from '../errors.js'

/**
 * JSON from outside. JSON.parse is the parser; this adds what it leaves open: the place of a mistake (its own messages quote the text, which
 * may hold a password), a bound on nesting, and `__proto__`, which is data in JSON and a setter to much of JavaScript.
 */

/** Deeper than any real request; serialising and checking recurse, so there must be an end. */
export const MAX_DEPTH = 200

/** Parses a body. Throws BODY_MALFORMED with line and column, or what is wrong with the structure. The last of equal keys wins, as in Salt. */
export function parseJson(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(withLongIntegers(withoutNaN(text)))
  } catch {
    throw brineError('BODY_MALFORMED', 'JSON', place(text, new Scanner(text).mistake()))
  }
  checkStructure(value, 'JSON')
  return value
}

/** Texts (to be left alone) and numbers. */
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/** Digits that may be such an integer. Those right behind a quote are text, as job ids are in nearly every body. */
const LONG = /(?<!["\d])\d{16}/

/** Python's JSON has NaN and Infinity, and prints them; here they are null (golden/api section 15, 24). */
function withoutNaN(text: string): string {
  if (!/NaN|Infinity/.test(text)) return text
  return text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, token => (token.startsWith('"') ? token : 'null'))
}

/**
 * Integers that JavaScript would round become texts, as in YAML: a job id may come as a number (golden/api/jobs.json, runner-list-job-int). As
 * bigints they would be printed as they came, but minions and most clients would round them then, without a word.
 * What is no JSON stays none: only such numbers are changed.
 */
function withLongIntegers(text: string): string {
  if (!LONG.test(text)) return text
  return text.replace(TOKENS, token => (/^-?[1-9]\d{15,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${token}"` : token))
}

/** Throws BODY_MALFORMED for nesting beyond the bound and for the key `__proto__`. */
export function checkStructure(value: unknown, format: string): void {
  if (typeof value === 'object' && value !== null) checkContainer(value, format, 1)
}

function checkContainer(container: object, format: string, depth: number): void {
  if (depth > MAX_DEPTH) throw brineError('BODY_MALFORMED', format, `it is nested deeper than ${MAX_DEPTH} levels`)
  if (Array.isArray(container)) {
    for (const item of container) if (typeof item === 'object' && item !== null) checkContainer(item, format, depth + 1)
    return
  }
  for (const key of Object.keys(container)) {
    if (key === '__proto__') throw brineError('BODY_MALFORMED', format, "the key '__proto__' is not allowed")
    const item = (container as Record<string, unknown>)[key]
    if (typeof item === 'object' && item !== null) checkContainer(item, format, depth + 1)
  }
}

interface Mistake {
  readonly at: number
  readonly expected: string
}

/** `expected a value at line 1, column 8`; never the text itself. */
function place(text: string, { at, expected }: Mistake): string {
  const before = text.slice(0, at)
  const line = before.split('\n').length
  const column = at - (before.lastIndexOf('\n') + 1) + 1
  return `expected ${expected} at line ${line}, column ${column}${at >= text.length ? ' (the text ends there)' : ''}`
}

const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y
const SPACE = /[ \t\n\r]*/y

/** Walks a text that JSON.parse has refused, to where it stops being JSON. Without recursion: the text may be nested without end. */
class Scanner {
  readonly #text: string
  #at = 0
  /** Open brackets. */
  readonly #open: string[] = []

  constructor(text: string) {
    this.#text = text
  }

  mistake(): Mistake {
    let expected: string | null = this.#value()
    while (expected === null && this.#open.length > 0) expected = this.#afterValue()
    this.#take(SPACE)
    return { at: this.#at, expected: expected ?? 'the end' }
  }

  /** Null when there was one; inside a container that has just been opened, its first item. */
  #value(): string | null {
    for (;;) {
      this.#take(SPACE)
      if (this.#literal('[')) {
        this.#open.push(']')
        this.#take(SPACE)
        if (this.#text[this.#at] === ']') return null
      } else if (this.#literal('{')) {
        this.#open.push('}')
        this.#take(SPACE)
        if (this.#text[this.#at] === '}') return null
        const missing = this.#key("a key in double quotes or '}'")
        if (missing) return missing
      } else {
        if (this.#text[this.#at] === '"') return this.#take(STRING) ? null : 'a text in double quotes, ended and escaped,'
        return this.#take(SCALAR) ? null : 'a value'
      }
    }
  }

  #afterValue(): string | null {
    const close = this.#open[this.#open.length - 1]!
    this.#take(SPACE)
    if (this.#literal(close)) {
      this.#open.pop()
      return null
    }
    if (!this.#literal(',')) return `',' or '${close}'`
    return (close === '}' ? this.#key('a key in double quotes') : null) ?? this.#value()
  }

  #key(expected: string): string | null {
    this.#take(SPACE)
    if (!this.#take(STRING)) return expected
    this.#take(SPACE)
    return this.#literal(':') ? null : "':'"
  }

  #literal(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #take(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at
    if (!pattern.test(this.#text)) return false
    this.#at = pattern.lastIndex
    return true
  }
}
