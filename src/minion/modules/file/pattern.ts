/** Python's regular expressions on the content of files, as `file.replace`, `file.search` and their like take them. */
import { PythonRegex, RegexBudget, type RegexFlags, RegexSyntaxError } from '../../../shared/regex/index.js'
import { CommandExecutionError, InvocationError } from '../errors.js'
import { pyRepr } from '../python.js'

/** Steps of all matches in one file: some seconds, more than any sane expression takes on a file of some megabytes. */
const MAX_STEPS = 500_000_000

/** Salt's default: `^` and `$` mean lines. */
export const MULTILINE = 8

const FLAGS: Readonly<Record<string, number>> = {
  ...{
    IGNORECASE: 2,
    I: 2,
    LOCALE: 4,
    L: 4,
    MULTILINE: 8,
    M: 8,
    DOTALL: 16,
    S: 16,
    UNICODE: 32,
    U: 32,
    VERBOSE: 64,
    X: 64,
    ASCII: 256,
    A: 256
  }
}

/** Python's number for flags given as a number, a name or a list of names. */
export function flagNumber(flags: unknown): number {
  if (typeof flags === 'number' && Number.isInteger(flags)) return flags
  if (typeof flags === 'string' && /^\d+$/.test(flags)) return Number(flags)
  if (typeof flags !== 'string' && !Array.isArray(flags)) {
    throw new InvocationError(
      `Invalid re flags: "${pyRepr(flags)}", must be given either as a single flag string, a list of strings, or as an integer`
    )
  }
  return [flags].flat().reduce((sum: number, name) => {
    const flag = FLAGS[String(name).toUpperCase()]
    if (flag === undefined) throw new InvocationError(`Invalid re flag given: ${name}`)
    return sum | flag
  }, 0)
}

function flagsOf(number: number): RegexFlags {
  const has = (flag: number): boolean => (number & flag) !== 0
  return { ignoreCase: has(2), multiline: has(8), dotAll: has(16), verbose: has(64), ascii: has(256) }
}

/** A compiled pattern with a budget of its own. */
export class FilePattern {
  readonly #regex: PythonRegex
  readonly #budget = new RegexBudget(MAX_STEPS)

  /** Throws CommandExecutionError for a pattern that does not parse. */
  constructor(pattern: string, flags = MULTILINE) {
    try {
      this.#regex = new PythonRegex(pattern, flagsOf(flags))
    } catch (error) {
      if (error instanceof RegexSyntaxError) throw new CommandExecutionError(`${error.message}: '${pattern}'`)
      throw error
    }
  }

  test(text: string): boolean {
    return this.#regex.search(text, this.#budget) !== null
  }

  /** Characters (code points) before and at the end of the first match; null: none. */
  find(text: string): { start: number; end: number } | null {
    return this.#regex.search(text, this.#budget)
  }

  /** All matches as texts. */
  all(text: string): string[] {
    return [...this.#regex.matches(text, this.#budget)].map(match => match.group(0) ?? '')
  }

  /** The first match's groups; the whole match first. */
  groups(text: string): (string | null)[] | null {
    const match = this.#regex.search(text, this.#budget)
    return match && [match.group(0), ...match.groups()]
  }

  /** `re.subn`: the new text and how often something was replaced. `count` 0: everywhere. `literal`: no references in the replacement. */
  substitute(text: string, replacement: string, { count = 0, literal = false } = {}): { text: string; replaced: number } {
    const template = literal ? [replacement] : this.#template(replacement)
    const points = [...text]
    const out: string[] = []
    let copied = 0
    let replaced = 0
    for (const match of this.#regex.matches(text, this.#budget)) {
      if (count > 0 && replaced === count) break
      out.push(points.slice(copied, match.start).join(''))
      for (const part of template) out.push(typeof part === 'string' ? part : (match.group(part) ?? ''))
      copied = match.end
      replaced++
    }
    return replaced === 0 ? { text, replaced } : { text: out.join('') + points.slice(copied).join(''), replaced }
  }

  /** A replacement as texts and numbers of groups. */
  #template(replacement: string): (string | number)[] {
    return [...replacement.matchAll(/\\g<([^>]*)>|\\(\d{1,2})|\\([\s\S])|[^\\]+|\\$/g)].map(([whole, name, digits, escaped]) => {
      if (name !== undefined) return this.#group(name)
      if (digits !== undefined) return digits.startsWith('0') ? String.fromCharCode(Number.parseInt(digits, 8)) : this.#group(digits)
      if (escaped === undefined) return whole
      const character = ESCAPES[escaped]
      if (character === undefined && /[a-zA-Z]/.test(escaped)) throw new CommandExecutionError(`bad escape \\${escaped}`)
      return character ?? whole
    })
  }

  #group(name: string): number {
    const index = /^\d+$/.test(name) ? Number(name) : this.#regex.names.get(name)
    if (index === undefined) throw new CommandExecutionError(`unknown group name '${name}'`)
    if (index > this.#regex.groups) throw new CommandExecutionError(`invalid group reference ${index}`)
    return index
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ n: '\n', t: '\t', r: '\r', f: '\f', v: '\v', a: '\x07', b: '\b', '\\': '\\' }
}

/** Python's `re.escape`. */
export function escapePattern(text: string): string {
  return text.replace(/[()[\]{}?*+\-|^$\\.&~# \t\n\r\v\f]/g, '\\$&')
}

/** A pattern that finds the words of a text whatever white space is between and around them (Salt's build_whitespace_split_regex). */
export function looseLines(text: string): string {
  const tokens = text.match(/[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]/gu) ?? []
  return tokens.length === 0 ? '^[\\s]*$' : `(?m)^\\s*${tokens.map(escapePattern).join('\\s*')}\\s*$`
}
