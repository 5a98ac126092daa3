import type { Value } from './values.js'

/** Names and their values: one for the template, one for each block, loop pass and macro call inside it. Reads look outwards, writes stay. */
export class Scope {
  readonly #names = new Map<string, Value>()
  readonly #parent: Scope | null

  constructor(parent: Scope | null) {
    this.#parent = parent
  }

  /** The value of a name; undefined (JavaScript's) when nobody has set it. */
  get(name: string): Value | undefined {
    let scope: Scope | null = this
    while (scope !== null) {
      const value = scope.#names.get(name)
      if (value !== undefined) return value
      scope = scope.#parent
    }
    return undefined
  }

  set(name: string, value: Value): void {
    this.#names.set(name, value)
  }

  /** The same names without one of them, whoever has set it. */
  without(name: string): Scope {
    if (this.get(name) === undefined) return this
    const scope = new Scope(null)
    for (const [key, value] of this.all()) if (key !== name) scope.set(key, value)
    return scope
  }

  /** The names set here, not further out. */
  own(): ReadonlyMap<string, Value> {
    return this.#names
  }

  /** Every name that can be read, inner ones last. */
  all(): Map<string, Value> {
    const names = this.#parent?.all() ?? new Map<string, Value>()
    for (const [name, value] of this.#names) names.set(name, value)
    return names
  }
}
