/** Time, passed in so that tests own it. */
export interface Clock {
  /** Microseconds since 1970 UTC; never the same value twice and never going back within one process. */
  nowUs(): number
}

/** The machine's clock. Node gives milliseconds; the microseconds make values unique and keep them in order. */
export class SystemClock implements Clock {
  #last = 0
  nowUs(): number {
    const us = Date.now() * 1000
    this.#last = us > this.#last ? us : this.#last + 1
    return this.#last
  }
}

/** The second that was printed last: nearly every event falls into the same one, and printing a date is slow. */
let printed = { second: Number.NaN, text: '' }

/** `2026-11-22T20:37:58.556949`: Salt's `_stamp` (UTC, no zone suffix). */
export function stampOf(us: number): string {
  const second = Math.floor(us / 1_000_000)
  if (second !== printed.second) printed = { second, text: new Date(second * 1_000).toISOString().slice(0, 19) }
  return `${printed.text}.${String(us % 1_000_000).padStart(6, '0')}`
}
