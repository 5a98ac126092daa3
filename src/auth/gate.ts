/** So many at a time, so many more in line; whoever comes beyond that is turned away. */
export class Gate {
  readonly #places: number
  readonly #line: number
  readonly #refuse: () => Error
  readonly #waiting: (() => void)[] = []
  #inside = 0

  constructor(places: number, line: number, refuse: () => Error) {
    this.#places = places
    this.#line = line
    this.#refuse = refuse
  }

  /** Does the work when its turn comes. Throws what `refuse` makes when the line is full. */
  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#places) {
      if (this.#waiting.length >= this.#line) throw this.#refuse()
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    } else this.#inside++
    try {
      return await work()
    } finally {
      // Whoever leaves hands the place to the first in line.
      const next = this.#waiting.shift()
      if (next === undefined) this.#inside--
      else next()
    }
  }
}
