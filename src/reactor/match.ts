import micromatch from 'micromatch'
import { brineError } from '../errors.js'
import { PythonRegex, RegexBudget, RegexTooCostly } from '../shared/regex/index.js'
import { GlobIndex } from '../tags/index.js'
import type { Rule } from './rules.js'

/** What of a rule says whether it matches. */
type Indexed = Pick<Rule, 'tag' | 'match' | 'enabled'>

/** Steps for one path pattern and one tag; tags have 1024 bytes at most, so this is hundreds per character. Beyond it counts as no match. */
const MAX_STEPS = 200_000

/**
 * All enabled rules by tag. `match: glob` patterns are Salt's globs; `match: path` patterns are micromatch's, with the tag as a path: `*` stays within
 * a segment, `**` crosses them, `{a,b}` are alternatives. Micromatch compiles those, and our own engine runs the result, since a
 * pattern such as `*a*a*a*a*b` would keep JavaScript's busy for hours on a long tag.
 */
export class RuleIndex<R extends Indexed = Rule> {
  readonly #globs = new GlobIndex<R>()
  readonly #paths = new GlobIndex<{ readonly rule: R; readonly regex: PythonRegex }>()
  readonly #pathOf = new Map<R, { readonly rule: R; readonly regex: PythonRegex }>()

  add(rule: R): void {
    if (!rule.enabled) return
    if (rule.match === 'glob') {
      this.#globs.add(rule.tag, rule)
    } else {
      const path = { rule, regex: compilePath(rule.tag) }
      this.#pathOf.set(rule, path)
      this.#paths.add(fixedPart(rule.tag), path)
    }
  }

  remove(rule: R): void {
    this.#globs.remove(rule.tag, rule)
    const path = this.#pathOf.get(rule)
    if (path === undefined) return
    this.#pathOf.delete(rule)
    this.#paths.remove(fixedPart(rule.tag), path)
  }

  /** The rules for this tag, in no particular order. */
  matching(tag: string): R[] {
    const rules = this.#globs.match(tag)
    if (this.#pathOf.size > 0) for (const { rule, regex } of this.#paths.match(tag)) if (matches(regex, tag)) rules.push(rule)
    return rules
  }
}

/** Rules that stay as they are, each list in their order. */
export function rulesByTag<R extends Indexed>(rules: readonly R[]): (tag: string) => R[] {
  const index = new RuleIndex<R>()
  for (const rule of rules) index.add(rule)
  const ranks = new Map(rules.map((rule, rank) => [rule, rank]))
  return tag => index.matching(tag).sort((a, b) => ranks.get(a)! - ranks.get(b)!)
}

function matches(regex: PythonRegex, tag: string): boolean {
  try {
    return regex.match(tag, new RegexBudget(MAX_STEPS)) !== null
  } catch (error) {
    if (error instanceof RegexTooCostly) return false
    throw error
  }
}

/** Segments may begin with a dot: tags are no hidden files. Parentheses would pass as regular expressions, which this is not. */
const OPTIONS = { dot: true, noextglob: true } as const

/** Throws FIELD_INVALID when the pattern is none. */
export function compilePath(pattern: string): PythonRegex {
  if (/[()\\]/.test(pattern)) throw brineError('FIELD_INVALID', 'tag', 'a path pattern has no parentheses and no backslashes')
  try {
    const source = micromatch.makeRe(pattern, OPTIONS)
    if (source) return new PythonRegex(source.source)
  } catch {
    // told below: what micromatch and the engine say names their own syntax, not the author's
  }
  throw brineError('FIELD_INVALID', 'tag', `'${pattern.slice(0, 100)}' is no path pattern`)
}

/** A glob for the tags that can match at all: what stands before the first special character, then anything. */
function fixedPart(pattern: string): string {
  const { base, negated } = micromatch.scan(pattern)
  return negated ? '*' : `${base.replace(/[*?[]/g, '[$&]')}*`
}
