import { brineError } from '../errors.js'
import type { Address } from '../shared/ip.js'
import { PythonRegex, RegexSyntaxError } from '../shared/regex/index.js'
import { compileGlob, type TagTest } from '../tags/glob.js'
import { parseNetwork } from './network.js'
import { expandNodegroup, type Nodegroups } from './nodegroups.js'

/**
 * Who is meant: text to tree. Salt's target types; what each means is recorded in `golden/targeting.json`. Invalid expressions, which Salt
 * answers with an empty list of minions, are errors that say what is wrong.
 */
export type Target =
  | { readonly kind: 'glob'; readonly test: TagTest }
  | { readonly kind: 'list'; readonly ids: readonly string[] }
  | { readonly kind: 'pcre'; readonly regex: PythonRegex }
  | DataTarget
  | { readonly kind: 'ipcidr'; readonly network: Address }
  | { readonly kind: 'and' | 'or'; readonly left: Target; readonly right: Target }
  | { readonly kind: 'not'; readonly target: Target }

/** A path into grains or pillar and a pattern for the value there, as one text with delimiters (`match.ts` tries each way to cut it). */
export interface DataTarget {
  readonly kind: 'data'
  readonly source: 'grains' | 'pillar'
  readonly how: 'glob' | 'pcre' | 'exact'
  readonly expression: string
  readonly delimiter: string
}

export interface TargetOptions {
  /** Setting `nodegroups`: a name stands for a compound expression, as text or as a list of words. */
  readonly nodegroups?: Nodegroups
  /** Between the levels of a grain or pillar path; `:` unless given. */
  readonly delimiter?: string
}

/** More words than this no person writes, and expanded nodegroups could grow without end. */
const MAX_WORDS = 10_000
/** Deeper parentheses are refused: parsing and matching recurse into them. */
const MAX_NESTING = 200

/**
 * Reads a target of the given type. `tgt` is text, or a list for `list` (ids) and `compound` (words).
 * @throws TARGET_TYPE for an unknown type and for `range` (which needs a range server), TARGET_SYNTAX for an expression that does not parse
 */
export function parseTarget(tgt: unknown, tgtType: string, options: TargetOptions = {}): Target {
  const delimiter = options.delimiter ?? ':'
  const data = (source: 'grains' | 'pillar', how: DataTarget['how']): Target => dataTarget(asText(tgt), { source, how, delimiter })
  switch (tgtType) {
    case 'glob':
      return { kind: 'glob', test: compileGlob(asText(tgt)) }
    case 'list':
      return { kind: 'list', ids: Array.isArray(tgt) ? tgt.map(String) : asText(tgt).split(',').filter(Boolean) }
    case 'pcre':
      return { kind: 'pcre', regex: regexOf(asText(tgt)) }
    case 'grain':
      return data('grains', 'glob')
    case 'grain_pcre':
      return data('grains', 'pcre')
    case 'pillar':
      return data('pillar', 'glob')
    case 'pillar_pcre':
      return data('pillar', 'pcre')
    case 'pillar_exact':
      return data('pillar', 'exact')
    case 'ipcidr':
      return ipTarget(asText(tgt))
    case 'nodegroup':
      return compound(expandNodegroup(asText(tgt), options.nodegroups ?? {}), asText(tgt), options, false)
    case 'compound':
    case 'compound_pillar_exact':
      return compound(wordsOf(tgt), showTarget(tgt), options, tgtType === 'compound_pillar_exact')
    default:
      throw brineError('TARGET_TYPE', tgtType)
  }
}

function asText(tgt: unknown): string {
  if (typeof tgt === 'string') return tgt
  if (typeof tgt === 'number') return String(tgt)
  throw brineError('TARGET_SYNTAX', showTarget(tgt), 'text is expected')
}

/** For error texts: short, whatever was sent. */
function showTarget(tgt: unknown): string {
  const text = typeof tgt === 'string' ? tgt : (JSON.stringify(tgt) ?? String(tgt))
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

function wordsOf(tgt: unknown): string[] {
  const words = Array.isArray(tgt) ? tgt.map(String) : asText(tgt).split(/\s+/).filter(Boolean)
  if (words.length > MAX_WORDS) throw brineError('TARGET_SYNTAX', showTarget(tgt), `more than ${MAX_WORDS} words`)
  return words
}

function regexOf(pattern: string, target = pattern): PythonRegex {
  try {
    return new PythonRegex(pattern)
  } catch (error) {
    if (error instanceof RegexSyntaxError) throw brineError('TARGET_SYNTAX', showTarget(target), error.message)
    throw error
  }
}

function dataTarget(expression: string, how: Omit<DataTarget, 'kind' | 'expression'>): Target {
  return { kind: 'data', expression, ...how }
}

function ipTarget(text: string): Target {
  const network = parseNetwork(text)
  if (network === null) throw brineError('TARGET_SYNTAX', showTarget(text), 'no IP address or network')
  return { kind: 'ipcidr', network }
}

/** `G@os:Debian`, `G|@os|Debian`: engine, delimiter of a data engine, pattern. */
const ENGINE = /^(?:(?<engine>[GPIJLNSER])(?<delimiter>(?<=[GPIJ]).)?@)?(?<pattern>.+)$/su

/** The words of a compound expression as a tree. */
function compound(words: readonly string[], shown: string, options: TargetOptions, pillarExact: boolean): Target {
  return new CompoundParser(words, shown, options, pillarExact).parse()
}

/**
 * Salt's master writes the words as a Python set expression; this grammar accepts what that accepts: `not` binds closest, then `and`, then `or`;
 * `a not b` is `a and not b`; a parenthesis that is never closed ends with the expression.
 */
class CompoundParser {
  #words: readonly string[]
  #at = 0
  #depth = 0

  constructor(
    words: readonly string[],
    readonly shown: string,
    readonly options: TargetOptions,
    readonly pillarExact: boolean
  ) {
    this.#words = words
  }

  parse(): Target {
    const target = this.#or()
    if (this.#at < this.#words.length) this.#fail(`unexpected '${this.#words[this.#at]}'`)
    return target
  }

  #fail(reason: string): never {
    throw brineError('TARGET_SYNTAX', showTarget(this.shown), reason)
  }

  #or(): Target {
    let left = this.#and()
    while (this.#words[this.#at] === 'or') {
      this.#at++
      left = { kind: 'or', left, right: this.#and() }
    }
    return left
  }

  #and(): Target {
    let left = this.#operand()
    for (;;) {
      const word = this.#words[this.#at]
      if (word === 'and') this.#at++
      else if (word !== 'not') return left
      left = { kind: 'and', left, right: this.#operand() }
    }
  }

  #operand(): Target {
    if (this.#words[this.#at] !== 'not') return this.#single()
    this.#at++
    return { kind: 'not', target: this.#single() }
  }

  /** A word or a parenthesis. Salt has no `not not`. */
  #single(): Target {
    const word = this.#words[this.#at++]
    if (word === undefined) this.#fail('an operand is missing at the end')
    if (word === '(') return this.#parenthesis()
    if (OPERATORS.has(word)) this.#fail(`'${word}' where an operand is expected`)
    return this.#engine(word)
  }

  #parenthesis(): Target {
    if (++this.#depth > MAX_NESTING) this.#fail('nested too deep')
    const target = this.#or()
    this.#depth--
    if (this.#words[this.#at] === ')') this.#at++
    else if (this.#at < this.#words.length) this.#fail(`unexpected '${this.#words[this.#at]}'`)
    return target
  }

  #engine(word: string): Target {
    const { engine, delimiter = ':', pattern = word } = ENGINE.exec(word)?.groups ?? {}
    const data = (source: 'grains' | 'pillar', how: DataTarget['how']) => dataTarget(pattern, { source, how, delimiter })
    switch (engine) {
      case 'G':
        return data('grains', 'glob')
      case 'P':
        return data('grains', 'pcre')
      case 'I':
        return data('pillar', this.pillarExact ? 'exact' : 'glob')
      case 'J':
        return data('pillar', this.pillarExact ? 'exact' : 'pcre')
      case 'L':
        return { kind: 'list', ids: pattern.split(',').filter(Boolean) }
      case 'S':
        return ipTarget(pattern)
      case 'E':
        return { kind: 'pcre', regex: regexOf(pattern) }
      case 'N':
        return this.#nodegroup(pattern)
      case 'R':
        return this.#fail('range targets need a range server')
      default:
        return { kind: 'glob', test: compileGlob(word) }
    }
  }

  /** A nodegroup's words take the place of its name, as in Salt: precedence reaches into them. */
  #nodegroup(name: string): Target {
    const words = expandNodegroup(name, this.options.nodegroups ?? {})
    const rest = this.#words.slice(this.#at)
    if (words.length + rest.length > MAX_WORDS) this.#fail(`more than ${MAX_WORDS} words`)
    this.#words = ['(', ...words, ')', ...rest]
    this.#at = 0
    return this.#single()
  }
}

const OPERATORS = new Set(['and', 'or', 'not', '(', ')'])
