/**
 * Templates that were stopped at their limits again and again are not rendered for a while: each attempt holds up the process for as long as a
 * rendering may take, and the next would end no better. A template is known by its text, so one that was mended is tried at once.
 */

/** So many stops … */
const STOPS = 3
/** … within this time; and how long a template then rests. */
const WITHIN_MS = 60_000
const REST_MS = 60_000
/** Templates that are remembered; those that behave never are. */
const MAX_KNOWN = 200

interface Record {
  /** When it was stopped, in milliseconds of the clock. */
  stops: number[]
  until: number
}

export class Quarantine {
  readonly #known = new Map<string, Record>()
  readonly #now: () => number

  /** `now`: milliseconds; any zero. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Seconds that this template still rests; 0 when it may be rendered. */
  rests(text: string): number {
    if (this.#known.size === 0) return 0
    const until = this.#known.get(text)?.until ?? 0
    return Math.max(0, Math.ceil((until - this.#now()) / 1000))
  }

  /** It was stopped at its limits. */
  stopped(text: string): void {
    const now = this.#now()
    const record = this.#known.get(text) ?? { stops: [], until: 0 }
    this.#known.delete(text)
    record.stops = [...record.stops.filter(at => now - at < WITHIN_MS), now]
    if (record.stops.length >= STOPS) {
      record.stops = []
      record.until = now + REST_MS
    }
    this.#keep(text, record)
  }

  /** It rests from now on, whatever it did before. */
  rest(text: string): void {
    this.#known.delete(text)
    this.#keep(text, { stops: [], until: this.#now() + REST_MS })
  }

  #keep(text: string, record: Record): void {
    this.#known.set(text, record)
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!)
  }
}
