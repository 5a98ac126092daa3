import type { Cause } from '../events/event.js'

/** What a return needs to know of its job. */
export interface Origin {
  readonly user: string
  readonly metadata?: unknown
  readonly cause: Cause | null
  readonly minions: ReadonlySet<string>
}

/**
 * Minions of all remembered jobs together, counting each job as one more. 200,000 ids are some 20 MB; what is forgotten is read from the store
 * again.
 */
const MAX_REMEMBERED = 200_000

/** The origins of the newest jobs, so that a return usually costs no read. The oldest are forgotten first. */
export class Origins {
  readonly #byJid = new Map<string, Origin>()
  #size = 0

  get(jid: string): Origin | undefined {
    return this.#byJid.get(jid)
  }

  set(jid: string, origin: Origin): void {
    this.#forget(jid)
    this.#byJid.set(jid, origin)
    this.#size += weight(origin)
    for (const oldest of this.#byJid.keys()) {
      if (this.#size <= MAX_REMEMBERED) return
      this.#forget(oldest)
    }
  }

  #forget(jid: string): void {
    const origin = this.#byJid.get(jid)
    if (!origin) return
    this.#byJid.delete(jid)
    this.#size -= weight(origin)
  }
}

function weight(origin: Origin): number {
  return origin.minions.size + 1
}
