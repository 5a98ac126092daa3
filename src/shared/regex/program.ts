import { type CharTest, type ParsedRegex, type RegexNode, RegexSyntaxError } from './syntax.js'

/**
 * A parsed expression as a flat program, so that matching needs no recursion per character (`run.ts`).
 */
export type Instruction =
  | { readonly op: 'char'; readonly test: CharTest }
  /** Goes on at `first`, and on failure at `second`. */
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'jump'; to: number }
  /** Remembers the position: slots 2n and 2n+1 are the bounds of group n, later ones are marks of loops. */
  | { readonly op: 'save'; readonly slot: number }
  /** Leaves the loop when nothing was taken since the mark: a loop over nothing would never end. */
  | { readonly op: 'progress'; readonly slot: number; after: number }
  /** Takes `min` to `max` characters of one kind. */
  | {
      readonly op: 'run'
      readonly test: CharTest
      readonly min: number
      readonly max: number
      readonly mode: 'greedy' | 'lazy' | 'possessive'
    }
  | { readonly op: 'assert'; readonly kind: Extract<RegexNode, { type: 'assert' }>['kind'] }
  /** Runs the instructions after this one up to `match` by themselves, then goes on at `next`. */
  | { readonly op: 'look'; readonly behind: number | null; readonly negated: boolean; next: number }
  | { readonly op: 'atomic'; next: number }
  | { readonly op: 'backreference'; readonly index: number; readonly ignoreCase: boolean }
  | { readonly op: 'ifGroup'; readonly index: number; otherwise: number }
  | { readonly op: 'match' }

export interface Program {
  readonly code: readonly Instruction[]
  readonly slots: number
}

/** Repeated groups are written out; `((a{50}){50}){50}` would otherwise be a small text with a large program. */
const MAX_INSTRUCTIONS = 20_000

export function compileProgram(parsed: ParsedRegex): Program {
  const writer = new Writer((parsed.groups + 1) * 2)
  writer.node(parsed.node)
  writer.add({ op: 'match' })
  return { code: writer.code, slots: writer.slots }
}

class Writer {
  readonly code: Instruction[] = []
  constructor(public slots: number) {}

  add<I extends Instruction>(instruction: I): I {
    if (this.code.length >= MAX_INSTRUCTIONS) throw new RegexSyntaxError('the expression is too large', 0)
    this.code.push(instruction)
    return instruction
  }

  node(node: RegexNode): void {
    switch (node.type) {
      case 'char':
      case 'assert':
      case 'backreference':
        this.#single(node)
        break
      case 'sequence':
        for (const item of node.items) this.node(item)
        break
      case 'choice':
        this.#choice(node.options)
        break
      case 'repeat':
        this.#repeat(node)
        break
      case 'group':
        this.add({ op: 'save', slot: node.index * 2 })
        this.node(node.item)
        this.add({ op: 'save', slot: node.index * 2 + 1 })
        break
      case 'look':
        this.#apart(this.add({ op: 'look', behind: node.behind, negated: node.negated, next: 0 }), node.item)
        break
      case 'atomic':
        this.#apart(this.add({ op: 'atomic', next: 0 }), node.item)
        break
      case 'conditional':
        this.#conditional(node)
    }
  }

  #single(node: Extract<RegexNode, { type: 'char' | 'assert' | 'backreference' }>): void {
    if (node.type === 'char') this.add({ op: 'char', test: node.test })
    else if (node.type === 'assert') this.add({ op: 'assert', kind: node.kind })
    else this.add({ op: 'backreference', index: node.index, ignoreCase: node.ignoreCase })
  }

  #apart(head: { next: number }, item: RegexNode): void {
    this.node(item)
    this.add({ op: 'match' })
    head.next = this.code.length
  }

  #choice(options: readonly RegexNode[]): void {
    const ends: { to: number }[] = []
    for (const option of options.slice(0, -1)) {
      const split = this.add({ op: 'split', first: this.code.length + 1, second: 0 })
      this.node(option)
      ends.push(this.add({ op: 'jump', to: 0 }))
      split.second = this.code.length
    }
    this.node(options[options.length - 1]!)
    for (const end of ends) end.to = this.code.length
  }

  #conditional(node: Extract<RegexNode, { type: 'conditional' }>): void {
    const test = this.add({ op: 'ifGroup', index: node.index, otherwise: 0 })
    this.node(node.yes)
    const end = this.add({ op: 'jump', to: 0 })
    test.otherwise = this.code.length
    this.node(node.no)
    end.to = this.code.length
  }

  #repeat(node: Extract<RegexNode, { type: 'repeat' }>): void {
    if (node.item.type === 'char') {
      this.add({ op: 'run', test: node.item.test, min: node.min, max: node.max, mode: node.mode })
    } else if (node.mode === 'possessive') {
      this.#apart(this.add({ op: 'atomic', next: 0 }), { ...node, mode: 'greedy' })
    } else {
      for (let i = 0; i < node.min; i++) this.node(node.item)
      if (node.max === Infinity) this.#loop(node.item, node.mode === 'lazy')
      else this.#optional(node.item, node.max - node.min, node.mode === 'lazy')
    }
  }

  #loop(item: RegexNode, lazy: boolean): void {
    const mark = this.slots++
    const start = this.code.length
    const split = this.add({ op: 'split', first: 0, second: 0 })
    const body = this.code.length
    this.add({ op: 'save', slot: mark })
    this.node(item)
    const progress = this.add({ op: 'progress', slot: mark, after: 0 })
    this.add({ op: 'jump', to: start })
    progress.after = this.code.length
    aim(split, body, this.code.length, lazy)
  }

  #optional(item: RegexNode, times: number, lazy: boolean): void {
    const splits: { split: { first: number; second: number }; body: number }[] = []
    for (let i = 0; i < times; i++) {
      const split = this.add({ op: 'split', first: 0, second: 0 })
      splits.push({ split, body: this.code.length })
      this.node(item)
    }
    for (const { split, body } of splits) aim(split, body, this.code.length, lazy)
  }
}

function aim(split: { first: number; second: number }, body: number, after: number, lazy: boolean): void {
  split.first = lazy ? after : body
  split.second = lazy ? body : after
}
