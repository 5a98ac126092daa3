import type { EventLog } from '../events/log.js'
import { PRESENCE_CHANGE, PRESENCE_PRESENT } from '../tags/tags.js'
import type { MinionLink } from './link.js'

export interface PresenceOptions {
  readonly link: Pick<MinionLink, 'connected'>
  readonly events: Pick<EventLog, 'fire'>
  /** `loop_interval` in seconds. */
  readonly config: { readonly presence_events: boolean; readonly loop_interval: number }
  readonly log: { error(fields: object, text: string): void }
}

/**
 * Tells who is connected: every `loop_interval` `salt/presence/present {present}`, and before it, when it changed, `salt/presence/change
 * {new, lost}` (golden/events/presence.jsonl). Does nothing unless `presence_events` is set.
 */
export class Presence {
  readonly #o: PresenceOptions
  #known: ReadonlySet<string> = new Set()
  #timer: NodeJS.Timeout | null = null

  constructor(options: PresenceOptions) {
    this.#o = options
  }

  /** Begins. May be called twice. */
  start(): void {
    const { presence_events, loop_interval } = this.#o.config
    if (presence_events) this.#timer ??= setInterval(() => void this.#tell(), loop_interval * 1000).unref()
  }

  /** May be called twice. */
  stop(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
  }

  /** One round: fires the change, if there is one, and who is present. */
  async round(): Promise<void> {
    const present = this.#o.link.connected()
    const now = new Set(present)
    const added = present.filter(id => !this.#known.has(id))
    const lost = [...this.#known].filter(id => !now.has(id))
    if (added.length + lost.length > 0) await this.#o.events.fire(PRESENCE_CHANGE, { new: added, lost }, { source: 'server' })
    this.#known = now
    await this.#o.events.fire(PRESENCE_PRESENT, { present }, { source: 'server' })
  }

  async #tell(): Promise<void> {
    try {
      await this.round()
    } catch (error) {
      this.#o.log.error({ err: error }, 'who is present could not be told; it is tried again in the next round')
    }
  }
}
