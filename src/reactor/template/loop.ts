import { runtimeError } from './errors.js'
import { equals } from './operators.js'
import { orElse, PyFunction, PyRecord, PyTuple, Undefined, type Value } from './values.js'

/** The `loop` variable of a `for`. One object for all passes, as in Jinja: a kept `loop` shows the pass that runs now. */
export class LoopContext extends PyRecord {
  readonly typeName = 'LoopContext'
  index0 = 0
  readonly #items: readonly Value[]
  readonly #depth0: number
  readonly #recurse: ((items: Value, depth: number) => Value) | null
  #lastChanged: PyTuple | null = null

  constructor(items: readonly Value[], depth0: number, recurse: ((items: Value, depth: number) => Value) | null) {
    super()
    this.#items = items
    this.#depth0 = depth0
    this.#recurse = recurse
  }

  get length(): number {
    return this.#items.length
  }

  attribute(name: string): Value | undefined {
    const { length } = this
    switch (name) {
      case 'index':
        return this.index0 + 1
      case 'index0':
        return this.index0
      case 'revindex':
        return length - this.index0
      case 'revindex0':
        return length - this.index0 - 1
      case 'first':
        return this.index0 === 0
      case 'last':
        return this.index0 === length - 1
      case 'length':
        return length
      case 'depth':
        return this.#depth0 + 1
      case 'depth0':
        return this.#depth0
      default:
        return this.#neighbour(name)
    }
  }

  #neighbour(name: string): Value | undefined {
    switch (name) {
      case 'previtem':
        return this.index0 === 0 ? new Undefined('there is no previous item') : this.#items[this.index0 - 1]
      case 'nextitem':
        return orElse(this.#items[this.index0 + 1], new Undefined('there is no next item'))
      case 'cycle':
        return new PyFunction('cycle', args => this.#cycle(args))
      case 'changed':
        return new PyFunction('changed', args => this.#changed(args))
      default:
        return undefined
    }
  }

  #cycle(args: readonly Value[]): Value {
    if (args.length === 0) throw runtimeError('no items for cycling given')
    return args[this.index0 % args.length]!
  }

  #changed(args: Value[]): boolean {
    const now = new PyTuple(args)
    const changed = this.#lastChanged === null || !equals(this.#lastChanged, now)
    if (changed) this.#lastChanged = now
    return changed
  }

  /** `loop(items)` in a recursive loop. */
  recurse(args: readonly Value[]): Value {
    if (this.#recurse === null) throw runtimeError("The loop must have the 'recursive' marker to be called recursively.")
    const [items] = args
    if (items === undefined) throw runtimeError("LoopContext.__call__() missing 1 required positional argument: 'iterable'")
    return this.#recurse(items, this.#depth0 + 1)
  }
}
