/** A line is missing when it is so many heartbeats late: one may be delayed by a busy server, two hardly. */
const MISSED = 3
/** Fraction of the heartbeat after which the minion says something, so that it arrives in time. */
const EARLY = 0.8

/**
 * Keeps watch over one stream: `silent` is called when the server has not been heard for too long (the connection is dead, though nobody
 * closed it), `speak` when the minion has not said anything for so long that the server might think the same. Ends with `stop`.
 */
export class Heartbeat {
  readonly #silentMs: number
  readonly #speakMs: number
  readonly #silent: () => void
  readonly #speak: () => void
  #silentTimer: NodeJS.Timeout
  #speakTimer: NodeJS.Timeout

  constructor(options: { seconds: number; silent: () => void; speak: () => void }) {
    this.#silentMs = options.seconds * 1000 * MISSED
    this.#speakMs = options.seconds * 1000 * EARLY
    this.#silent = options.silent
    this.#speak = options.speak
    this.#silentTimer = setTimeout(this.#silent, this.#silentMs)
    this.#speakTimer = setTimeout(() => this.#spoken(), this.#speakMs)
  }

  /** Something came from the server. */
  heard(): void {
    this.#silentTimer.refresh()
  }

  /** Something went to the server. */
  spoke(): void {
    this.#speakTimer.refresh()
  }

  stop(): void {
    clearTimeout(this.#silentTimer)
    clearTimeout(this.#speakTimer)
  }

  #spoken(): void {
    this.#speak()
    this.#speakTimer.refresh()
  }
}
