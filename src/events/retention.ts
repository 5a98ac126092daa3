import type { Logger } from 'pino'
import { isBrineError } from '../errors.js'
import type { Clock } from '../shared/clock.js'
import type { Store } from '../store/store.js'

/** How long what is kept, by the settings of the same names. */
export interface RetentionSettings {
  /** 0: events are kept whatever their age. */
  readonly event_retention_seconds: number
  /** 0: events are kept however many they are. */
  readonly event_retention_count: number
  /** 0: jobs and reactions are kept whatever their age. */
  readonly keep_jobs_seconds: number
  readonly idempotency_keep_seconds: number
}

/** Rounds are this far apart; what is to go is old already, so a minute more does not matter. */
const ROUND_MS = 60_000

/** Rows per step: some five milliseconds of the writer's time, so that whoever waits for a commit hardly notices. */
const STEP = 1_000

/** Rest between two steps: leaves most of the writer's time to others, and still drops 60,000 rows a second, faster than they come. */
const REST_MS = 10

/** Drops up to `limit` old rows of one kind; returns how many it dropped, 0 when nothing is left to drop. */
type Step = (limit: number) => Promise<number>

/** Lets go of what is old: events, jobs, reactions, tokens, idempotency keys. In small steps, each a commit of its own. */
export class Retention {
  readonly #store: Store
  readonly #clock: Clock
  readonly #settings: RetentionSettings
  readonly #log: Pick<Logger, 'info' | 'warn'>
  #timer: NodeJS.Timeout | null = null
  #round: Promise<void> | null = null
  #stopped = false
  /** Ends a rest between two steps early. */
  #wake: () => void = () => {}

  constructor(parts: { store: Store; clock: Clock; settings: RetentionSettings; log: Pick<Logger, 'info' | 'warn'> }) {
    this.#store = parts.store
    this.#clock = parts.clock
    this.#settings = parts.settings
    this.#log = parts.log
  }

  /** The first round comes at once: a server that was away may have a lot to drop. May be called twice. */
  start(): void {
    if (this.#timer !== null) return
    this.#stopped = false
    this.#timer = setInterval(() => void this.round(), ROUND_MS).unref()
    void this.round()
  }

  /** Waits for the step in progress. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#wake()
    await this.#round
  }

  /** Drops everything that is due now; resolves when nothing is left, or when stopped. Never rejects: what failed is tried in the next round. */
  round(): Promise<void> {
    this.#round ??= this.#dropAll().finally(() => {
      this.#round = null
    })
    return this.#round
  }

  async #dropAll(): Promise<void> {
    try {
      for (const [what, step] of Object.entries(this.#steps())) {
        const dropped = await this.#drain(step)
        if (dropped > 0) this.#log.info({ what, dropped }, 'retention')
      }
    } catch (error) {
      // A busy or full store has better things to do now. Anything else is worth a line, and no reason to stop either.
      if (!isBrineError(error, 'STORE_BUSY')) this.#log.warn({ err: error }, 'retention was interrupted; the next round goes on')
    }
  }

  #steps(): Record<string, Step> {
    const { events, jobs, reactions, tokens } = this.#store
    const nowUs = this.#clock.nowUs()
    const ago = (seconds: number) => nowUs - seconds * 1_000_000
    const { event_retention_seconds, event_retention_count, keep_jobs_seconds, idempotency_keep_seconds } = this.#settings
    const bounds = {
      ...(event_retention_seconds > 0 && { beforeUs: ago(event_retention_seconds) }),
      ...(event_retention_count > 0 && { keep: event_retention_count })
    }
    // What a reaction did is told by its job: they are kept for equally long.
    const jobSteps: Record<string, Step> = {
      jobs: limit => jobs.trim(ago(keep_jobs_seconds), limit),
      reactions: limit => reactions.trim(ago(keep_jobs_seconds), limit)
    }
    return {
      events: limit => events.trim({ ...bounds, limit }),
      ...(keep_jobs_seconds > 0 ? jobSteps : {}),
      tokens: () => tokens.trim(nowUs),
      idempotencyKeys: limit => events.trimIdempotencyKeys(ago(idempotency_keep_seconds), limit)
    }
  }

  async #drain(step: Step): Promise<number> {
    let dropped = 0
    while (!this.#stopped) {
      const count = await step(STEP)
      dropped += count
      if (count === 0) break
      await this.#rest()
    }
    return dropped
  }

  #rest(): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, REST_MS)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
