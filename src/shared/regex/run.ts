import type { Instruction, Program } from './program.js'
import { isWord, lowerPoint } from './syntax.js'

/** Steps that matching may take; shared between matches when one bound should hold for all of them. */
export class RegexBudget {
  constructor(public steps: number) {}
}

/** Matching took more steps than its budget had. */
export class RegexTooCostly extends Error {
  constructor() {
    super('the regular expression takes too long on this text')
    this.name = 'RegexTooCostly'
  }
}

// Records on the stack of what to undo or try next; each has four numbers.
const TRY = 0 // instruction, position
const RESTORE = 1 // slot, value
const SHRINK = 2 // instruction, lowest position, position tried last: a greedy run gives back one character
const GROW = 3 // instruction, position tried last, characters left: a lazy run takes one more

/** One attempt: matches the program at a position of the text by backtracking, on a stack of its own, within a budget. */
export class Run {
  readonly #code: readonly Instruction[]
  readonly #text: ArrayLike<number>
  readonly #budget: RegexBudget
  readonly #slots: Int32Array
  readonly #stack: number[] = []

  constructor(program: Program, text: ArrayLike<number>, budget: RegexBudget) {
    this.#code = program.code
    this.#text = text
    this.#budget = budget
    this.#slots = new Int32Array(program.slots)
  }

  /** Bounds of the whole match and of each group (-1: took no part), or null. `notEmpty` refuses a match of nothing. */
  at(position: number, notEmpty = false): Int32Array | null {
    this.#slots.fill(-1)
    this.#stack.length = 0
    const end = this.#execute(0, position, notEmpty ? position : -1)
    if (end < 0) return null
    this.#slots[0] = position
    this.#slots[1] = end
    return this.#slots
  }

  /** Runs from an instruction up to `match`; returns the position there (never `refused`), or -1. What is on the stack below stays. */
  #execute(start: number, position: number, refused = -1): number {
    const base = this.#stack.length
    let pc = start
    let at = position
    for (;;) {
      if (--this.#budget.steps < 0) throw new RegexTooCostly()
      const instruction = this.#code[pc]!
      if (instruction.op === 'match' && at !== refused) return at
      const next = instruction.op === 'match' ? -1 : this.#step(instruction, pc, at)
      if (next >= 0) {
        at = next
        pc = this.#pc
        continue
      }
      const resumed = this.#backtrack(base)
      if (resumed < 0) return -1
      at = resumed
      pc = this.#pc
    }
  }

  /** Where to go on; set by `#step` and `#backtrack`. */
  #pc = 0

  /** Carries out one instruction; returns the new position, -1 for failure. */
  #step(instruction: Exclude<Instruction, { op: 'match' }>, pc: number, at: number): number {
    this.#pc = pc + 1
    switch (instruction.op) {
      case 'char':
        return at < this.#text.length && instruction.test(this.#text[at]!) ? at + 1 : -1
      case 'split':
        this.#push(TRY, instruction.second, at, 0)
        this.#pc = instruction.first
        return at
      case 'jump':
        this.#pc = instruction.to
        return at
      case 'save':
        this.#push(RESTORE, instruction.slot, this.#slots[instruction.slot]!, 0)
        this.#slots[instruction.slot] = at
        return at
      case 'progress':
        if (this.#slots[instruction.slot] === at) this.#pc = instruction.after
        return at
      case 'run':
        return this.#takeRun(instruction, at)
      case 'assert':
        return this.#holds(instruction.kind, at) ? at : -1
      case 'look':
        return this.#look(instruction, pc, at)
      case 'atomic': {
        const end = this.#apart(pc + 1, at)
        this.#pc = instruction.next
        return end
      }
      case 'backreference':
        return this.#repeated(instruction.index, instruction.ignoreCase, at)
      case 'ifGroup':
        if (this.#slots[instruction.index * 2 + 1]! < 0) this.#pc = instruction.otherwise
        return at
    }
  }

  #push(kind: number, a: number, b: number, c: number): void {
    this.#stack.push(kind, a, b, c)
  }

  #takeRun(run: Extract<Instruction, { op: 'run' }>, at: number): number {
    const wanted = run.mode === 'lazy' ? run.min : run.max
    const limit = Math.min(this.#text.length, at + wanted)
    let end = at
    while (end < limit && run.test(this.#text[end]!)) end++
    this.#budget.steps -= end - at
    if (end - at < run.min) return -1
    if (run.mode === 'greedy' && end > at + run.min) this.#push(SHRINK, this.#pc, at + run.min, end)
    if (run.mode === 'lazy' && run.max > run.min) this.#push(GROW, this.#pc, end, run.max - run.min)
    return end
  }

  /** Undoes and takes the newest alternative above `base`; -1 when there is none. */
  #backtrack(base: number): number {
    const stack = this.#stack
    while (stack.length > base) {
      if (--this.#budget.steps < 0) throw new RegexTooCostly()
      const c = stack.pop()!
      const b = stack.pop()!
      const a = stack.pop()!
      const kind = stack.pop()!
      if (kind === RESTORE) this.#slots[a] = b
      else if (kind === TRY) return this.#resume(a, b)
      else if (kind === SHRINK) {
        if (c - 1 > b) this.#push(SHRINK, a, b, c - 1)
        return this.#resume(a, c - 1)
      } else {
        const run = this.#code[a - 1] as Extract<Instruction, { op: 'run' }>
        if (b >= this.#text.length || !run.test(this.#text[b]!)) continue
        if (c > 1) this.#push(GROW, a, b + 1, c - 1)
        return this.#resume(a, b + 1)
      }
    }
    return -1
  }

  #resume(pc: number, at: number): number {
    this.#pc = pc
    return at
  }

  /** A part that is not entered again once it matched; groups it has set are unset when what follows fails. */
  #apart(start: number, at: number): number {
    const base = this.#stack.length
    const end = this.#execute(start, at)
    if (end < 0) return -1
    const records = this.#stack.splice(base)
    for (let i = 0; i < records.length; i += 4) {
      if (records[i] === RESTORE) this.#push(RESTORE, records[i + 1]!, records[i + 2]!, 0)
    }
    return end
  }

  #look(look: Extract<Instruction, { op: 'look' }>, pc: number, at: number): number {
    const from = look.behind === null ? at : at - look.behind
    const base = this.#stack.length
    const found = from >= 0 && this.#apart(pc + 1, from) >= 0
    if (found && look.negated) while (this.#stack.length > base) this.#undo()
    this.#pc = look.next
    return found === look.negated ? -1 : at
  }

  #undo(): void {
    const [, slot, value] = this.#stack.splice(-4)
    this.#slots[slot!] = value!
  }

  #holds(kind: Extract<Instruction, { op: 'assert' }>['kind'], at: number): boolean {
    const text = this.#text
    switch (kind) {
      case 'start':
        return at === 0
      case 'lineStart':
        return at === 0 || text[at - 1] === 10
      case 'textEnd':
        return at === text.length
      case 'end':
        return at === text.length || (at === text.length - 1 && text[at] === 10)
      case 'lineEnd':
        return at === text.length || text[at] === 10
      default: {
        const border = (at > 0 && isWord(text[at - 1]!)) !== (at < text.length && isWord(text[at]!))
        // In an empty text Python 3.11 finds neither \b nor \B.
        return text.length > 0 && border === (kind === 'word')
      }
    }
  }

  #repeated(group: number, ignoreCase: boolean, at: number): number {
    const from = this.#slots[group * 2]!
    const end = this.#slots[group * 2 + 1]!
    if (from < 0 || end < 0 || at + end - from > this.#text.length) return -1
    this.#budget.steps -= end - from
    for (let i = 0; i < end - from; i++) {
      const [a, b] = [this.#text[from + i]!, this.#text[at + i]!]
      if (a !== b && !(ignoreCase && lowerPoint(a) === lowerPoint(b))) return -1
    }
    return at + end - from
  }
}
