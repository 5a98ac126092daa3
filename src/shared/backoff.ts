/**
 * Pauses between attempts: full jitter. Each pause is random between nothing and a limit that doubles from `firstMs` to `maxMs`, so that a
 * thousand clients of a server that comes back are spread over the whole time.
 */
export class Backoff {
  readonly #firstMs: number
  readonly #maxMs: number
  readonly #random: () => number
  #attempt = 0

  constructor({ firstMs, maxMs, random = Math.random }: { firstMs: number; maxMs: number; random?: () => number }) {
    this.#firstMs = firstMs
    this.#maxMs = maxMs
    this.#random = random
  }

  /** Milliseconds until the next attempt. */
  next(): number {
    // 2 ** 30 attempts' worth is beyond any maximum, and below what a number holds exactly.
    const limit = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(this.#attempt, 30))
    this.#attempt += 1
    return Math.round(this.#random() * limit)
  }

  /** It worked: the next pause is short again. */
  reset(): void {
    this.#attempt = 0
  }
}
