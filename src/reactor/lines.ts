/** Lines in a backtest: of each key so many are worked on at a time, for as long as they took; the others begin when one of them is over. */

/** Lines that are kept. Beyond them those where nothing is worked on any more go, then the one that was used least lately. */
const MAX_LINES = 50_000

export class Lines {
  /** When each place of a line is free again, by rule and key; those that are free are left out. */
  readonly #places = new Map<string, number[]>()

  /** When work that could begin at `us`, and takes `lengthUs`, begins; microseconds. Infinity: never, since what is before it does not end. */
  begin(rule: string, key: string, limit: number, us: number, lengthUs: number): number {
    const name = `${rule}\0${key}`
    const places = (this.#places.get(name) ?? []).filter(end => end > us)
    const isFree = places.length < limit
    const start = isFree ? us : Math.min(...places)
    if (lengthUs > 0) places.splice(isFree ? places.length : places.indexOf(start), 1, start + lengthUs)
    this.#keep(name, places, us)
    return start
  }

  #keep(name: string, places: number[], us: number): void {
    this.#places.delete(name)
    if (places.length > 0) this.#places.set(name, places)
    if (this.#places.size <= MAX_LINES) return
    for (const [other, ends] of this.#places) if (ends.every(end => end <= us)) this.#places.delete(other)
    if (this.#places.size > MAX_LINES) this.#places.delete(this.#places.keys().next().value!)
  }
}
