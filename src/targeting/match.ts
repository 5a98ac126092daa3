import { brineError } from '../errors.js'
import { PythonRegex, RegexBudget, RegexSyntaxError, RegexTooCostly } from '../shared/regex/index.js'
import { compileGlob } from '../tags/glob.js'
import { inNetwork } from './network.js'
import type { DataTarget, Target } from './parse.js'
import { pythonText } from './text.js'

/** What is known of a minion. */
export interface Facts {
  readonly id: string
  readonly grains: Readonly<Record<string, unknown>>
  readonly pillar?: Readonly<Record<string, unknown>>
  /** False while the minion has not sent its data: data matchers cannot rule it out then. */
  readonly cached: boolean
}

export interface Matched {
  /** Ids of the minions meant, sorted, each once. */
  readonly minions: string[]
  /** Ids named in a list that belong to no minion. */
  readonly missing: string[]
  /** Those of `minions` that are only there because their data is not known yet. */
  readonly uncertain: string[]
}

/** Steps of all regular expressions of one call together: some tenths of a second. Sharing them bounds the whole, not each minion. */
const MAX_STEPS = 10_000_000

/**
 * Tree and facts to minions, as Salt's master decides: minions whose data is not cached are kept by data matchers (Salt's "greedy").
 * @throws TARGET_SYNTAX when a regular expression takes too long
 */
export function matchTarget(target: Target, facts: Iterable<Facts>): Matched {
  const matcher = new Matcher()
  const missing = new Set(namedIds(target))
  const minions: string[] = []
  const uncertain: string[] = []
  for (const minion of facts) {
    if (missing.size > 0) missing.delete(minion.id)
    if (!matcher.matches(target, minion, true)) continue
    minions.push(minion.id)
    if (!minion.cached && !matcher.matches(target, minion, false)) uncertain.push(minion.id)
  }
  return { minions: minions.sort(), missing: [...missing], uncertain: uncertain.sort() }
}

/** Ids that lists name, other than those to leave out. */
function namedIds(target: Target): readonly string[] {
  if (target.kind === 'list') return target.ids
  return target.kind === 'and' || target.kind === 'or' ? [...namedIds(target.left), ...namedIds(target.right)] : []
}

type How = DataTarget['how']

/** One way to cut an expression into a path and a pattern. */
interface Cut {
  readonly path: readonly string[]
  readonly pattern: string
}

class Matcher {
  readonly #budget = new RegexBudget(MAX_STEPS)
  readonly #lists = new Map<readonly string[], Set<string>>()
  readonly #cuts = new Map<DataTarget, readonly Cut[]>()
  readonly #nested = new Map<string, readonly Cut[]>()
  readonly #tests: Readonly<Record<How, Map<string, TextTest>>> = { glob: new Map(), pcre: new Map(), exact: new Map() }

  /** `greedy`: what is not known counts as a match. */
  matches(target: Target, minion: Facts, greedy: boolean): boolean {
    switch (target.kind) {
      case 'glob':
        return target.test(minion.id)
      case 'list':
        return this.#listed(target.ids, minion.id)
      case 'pcre':
        return this.#regex(target.regex, minion.id)
      case 'data':
        return minion.cached ? this.#data(target, minion) : greedy
      case 'ipcidr':
        if (!minion.cached) return greedy
        return inNetwork(target.network, addressesOf(minion.grains[`ipv${target.network.version}`]))
      case 'and':
        return this.matches(target.left, minion, greedy) && this.matches(target.right, minion, greedy)
      case 'or':
        return this.matches(target.left, minion, greedy) || this.matches(target.right, minion, greedy)
      case 'not':
        return !this.matches(target.target, minion, greedy)
    }
  }

  #listed(ids: readonly string[], id: string): boolean {
    let set = this.#lists.get(ids)
    if (set === undefined) {
      set = new Set(ids)
      this.#lists.set(ids, set)
    }
    return set.has(id)
  }

  #regex(regex: PythonRegex, text: string): boolean {
    try {
      return regex.match(text, this.#budget) !== null
    } catch (error) {
      if (error instanceof RegexTooCostly) throw brineError('TARGET_SYNTAX', regex.pattern, 'the regular expression takes too long')
      throw error
    }
  }

  #data(target: DataTarget, minion: Facts): boolean {
    let cuts = this.#cuts.get(target)
    if (cuts === undefined) {
      cuts = cutsOf(target.expression, target.delimiter)
      this.#cuts.set(target, cuts)
    }
    return this.#under(minion[target.source] ?? {}, cuts, target.how)
  }

  /** What lies further down is always cut at colons, as in Salt. */
  #within(data: unknown, expression: string, how: How): boolean {
    let cuts = this.#nested.get(expression)
    if (cuts === undefined) {
      cuts = cutsOf(expression, ':')
      this.#nested.set(expression, cuts)
    }
    return this.#under(data, cuts, how)
  }

  /** Salt's subdict match: each way to cut the expression is tried. */
  #under(data: unknown, cuts: readonly Cut[], how: How): boolean {
    for (const { path, pattern } of cuts) if (this.#value(path.length === 0 ? data : traverse(data, path), pattern, how)) return true
    return false
  }

  #value(found: unknown, pattern: string, how: How): boolean {
    if (found === undefined) return false
    if (isMapping(found)) return Object.keys(found).length > 0 && this.#mapping(found, pattern, how)
    if (!Array.isArray(found)) return this.#text(found, pattern, how)
    return found.some(item => (isMapping(item) && this.#mapping(item, pattern, how)) || this.#text(item, pattern, how))
  }

  /** A mapping matches by a key, by what lies under a further path, and with `*:` in front by any of its values. */
  #mapping(mapping: Record<string, unknown>, pattern: string, how: How): boolean {
    const anywhere = pattern.startsWith('*:')
    const rest = anywhere ? pattern.slice(2) : pattern
    if (rest === '*' || Object.hasOwn(mapping, rest) || this.#within(mapping, rest, how)) return true
    return anywhere && Object.values(mapping).some(value => this.#anyValue(value, rest, how))
  }

  #anyValue(value: unknown, pattern: string, how: How): boolean {
    if (isMapping(value)) return this.#mapping(value, pattern, how)
    return Array.isArray(value) ? value.some(item => this.#text(item, pattern, how)) : this.#text(value, pattern, how)
  }

  /** Both sides in lower case, the pattern too: `\D` of a regular expression becomes `\d`, as in Salt. */
  #text(value: unknown, pattern: string, how: How): boolean {
    const tests = this.#tests[how]
    let test = tests.get(pattern)
    if (test === undefined) {
      test = new TextTest(this.#compile(pattern.toLowerCase(), how))
      tests.set(pattern, test)
    }
    return test.of(pythonText(value))
  }

  #compile(pattern: string, how: How): (value: string) => boolean {
    if (how === 'exact') return value => value === pattern
    if (how === 'glob') return compileGlob(pattern)
    try {
      const regex = new PythonRegex(pattern)
      return value => this.#regex(regex, value)
    } catch (error) {
      // The way in which the expression is cut decides what the pattern is, so a bad one only means that this way does not match.
      if (error instanceof RegexSyntaxError) return () => false
      throw error
    }
  }
}

/** Answers that are kept: a fleet has few systems, places and roles, and their minions share the answer. */
const MAX_ANSWERS = 1000

/** A pattern and what it said of the texts that it has seen. */
class TextTest {
  readonly #test: (value: string) => boolean
  readonly #answers = new Map<string, boolean>()

  constructor(test: (value: string) => boolean) {
    this.#test = test
  }

  of(text: string): boolean {
    let answer = this.#answers.get(text)
    if (answer !== undefined) return answer
    answer = this.#test(text.toLowerCase())
    if (this.#answers.size < MAX_ANSWERS) this.#answers.set(text, answer)
    return answer
  }
}

/** The longest path first, so that values may contain the delimiter. `*` alone as a path means the whole, and the expression is the pattern then. */
function cutsOf(expression: string, delimiter: string): Cut[] {
  const pieces = expression.split(delimiter)
  const cuts: Cut[] = []
  for (let cut = pieces.length - 1; cut > 0; cut--) {
    const path = pieces.slice(0, cut)
    const everything = path.length === 1 && path[0] === '*'
    cuts.push(everything ? { path: [], pattern: expression } : { path, pattern: pieces.slice(cut).join(delimiter) })
  }
  return cuts
}

function addressesOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value]
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Follows a path through mappings and lists: a list is entered by index, or through the first of its mappings that has the key. */
function traverse(data: unknown, path: readonly string[]): unknown {
  let at = data
  for (const key of path) {
    if (Array.isArray(at)) {
      const within = at.find(item => isMapping(item) && Object.hasOwn(item, key)) as Record<string, unknown> | undefined
      at = within === undefined ? itemAt(at, key) : within[key]
    } else {
      at = isMapping(at) && Object.hasOwn(at, key) ? at[key] : undefined
    }
    if (at === undefined) return undefined
  }
  return at
}

/** Python's indices count from the end when negative. */
function itemAt(list: readonly unknown[], key: string): unknown {
  return /^-?\d{1,9}$/.test(key) ? list.at(Number(key)) : undefined
}
