import { compileProgram, type Program } from './program.js'
import { RegexBudget, Run } from './run.js'
import { parseRegex, type RegexFlags } from './syntax.js'

export { RegexBudget, RegexTooCostly } from './run.js'
export { type RegexFlags, RegexSyntaxError } from './syntax.js'

/**
 * Regular expressions as Python has them (`re`, text patterns): targets, tags and templates mean these, and JavaScript's differ in
 * dozens of small ways. Written by callers from outside, so every match has a number of steps after which it is given up
 * (`RegexTooCostly`): no expression can stall the server.
 */
export class PythonRegex {
  readonly groups: number
  readonly names: ReadonlyMap<string, number>
  readonly #program: Program

  /** Throws RegexSyntaxError, with Python's reasons. */
  constructor(
    readonly pattern: string,
    flags: RegexFlags = {}
  ) {
    const parsed = parseRegex(pattern, flags)
    this.groups = parsed.groups
    this.names = parsed.names
    this.#program = compileProgram(parsed)
  }

  /** `re.match`: at the start of the text. */
  match(text: string, budget = new RegexBudget(DEFAULT_STEPS)): RegexMatch | null {
    const points = toPoints(text)
    const slots = new Run(this.#program, points, budget).at(0)
    return slots && new RegexMatch(points, slots, this.groups)
  }

  /** `re.search`: the leftmost match from character `from` on. */
  search(text: string, budget = new RegexBudget(DEFAULT_STEPS), from = 0): RegexMatch | null {
    return this.#searchPoints(toPoints(text), budget, from)
  }

  /** `re.finditer`: all matches, none overlapping; after an empty one, the next may begin at the same place and take something. */
  *matches(text: string, budget = new RegexBudget(DEFAULT_STEPS)): Generator<RegexMatch> {
    const points = toPoints(text)
    let found = this.#searchPoints(points, budget, 0)
    while (found !== null) {
      yield found
      found = this.#searchPoints(points, budget, found.end, found.start === found.end)
    }
  }

  #searchPoints(points: readonly number[], budget: RegexBudget, from: number, notEmptyAtFrom = false): RegexMatch | null {
    const run = new Run(this.#program, points, budget)
    for (let at = from; at <= points.length; at++) {
      const slots = run.at(at, notEmptyAtFrom && at === from)
      if (slots !== null) return new RegexMatch(points, slots.slice(), this.groups)
    }
    return null
  }
}

/** Steps for one match when the caller gives no budget: some ten milliseconds. */
const DEFAULT_STEPS = 1_000_000

class RegexMatch {
  /** Positions in characters (code points), as Python counts. */
  readonly start: number
  readonly end: number
  readonly #points: readonly number[]
  readonly #slots: Int32Array
  readonly #groups: number

  constructor(points: readonly number[], slots: Int32Array, groups: number) {
    this.#points = points
    this.#slots = slots
    this.#groups = groups
    this.start = slots[0]!
    this.end = slots[1]!
  }

  /** Text of a group (0: the whole match); null when it took no part. */
  group(index: number): string | null {
    const [from, to] = [this.#slots[index * 2] ?? -1, this.#slots[index * 2 + 1] ?? -1]
    return from < 0 || to < 0 ? null : fromPoints(this.#points.slice(from, to))
  }

  /** Texts of groups 1 to the last. */
  groups(): (string | null)[] {
    return Array.from({ length: this.#groups }, (_, i) => this.group(i + 1))
  }
}

function toPoints(text: string): number[] {
  const points: number[] = []
  for (let i = 0; i < text.length; i++) {
    const point = text.codePointAt(i)!
    points.push(point)
    if (point > 0xffff) i++
  }
  return points
}

function fromPoints(points: readonly number[]): string {
  let text = ''
  for (const point of points) text += String.fromCodePoint(point)
  return text
}
