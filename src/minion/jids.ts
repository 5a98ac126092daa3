/** Job ids that the minion gives itself (schedule, `brine call`): Salt's 20 digits, the UTC time to the microsecond. */
import type { Clock } from '../shared/clock.js'

export class MinionJids {
  readonly #clock: Clock
  #last = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Greater than every one before it. Node's clock knows milliseconds: the rest is made up, so that two processes hardly ever choose the same. */
  next(): string {
    const us = Math.floor(this.#clock.nowUs() / 1000) * 1000 + Math.floor(Math.random() * 1000)
    this.#last = us > this.#last ? us : this.#last + 1
    const seconds = new Date(Math.floor(this.#last / 1000)).toISOString().slice(0, 19)
    return seconds.replace(/[-T:]/g, '') + String(this.#last % 1_000_000).padStart(6, '0')
  }
}
