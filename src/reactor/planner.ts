import type { Seq, StoredEvent } from '../events/event.js'
import type { NewPlan, Store } from '../store/store.js'
import type { Rules } from './rules.js'
import { reactsTo } from './scope.js'
import type { SlsFiles } from './sources.js'

export interface PlannerOptions {
  readonly store: {
    readonly events: Pick<Store['events'], 'read' | 'watch' | 'head'>
    readonly reactions: Pick<Store['reactions'], 'cursor' | 'plan'>
  }
  readonly rules: Pick<Rules, 'matching'>
  readonly files: Pick<SlsFiles, 'expand'>
  readonly maxDepth: number
  readonly log: { warn(fields: object, text: string): void }
  /** Called after each commit with the events that have new plans. */
  readonly planned: (events: readonly StoredEvent[], plans: number) => void
}

/** Events that are matched, and whose plans are written, together. */
const BATCH = 500
/** Live events kept in memory until they are matched. What does not fit is read from the log again, so nothing is lost. */
const MAX_RECENT = 5000
const MAX_RECENT_CHARS = 16 * 1024 * 1024
/** Where nothing matches, the cursor is written this often: events that are looked at twice after a crash cost little, a write per event would not. */
const CURSOR_EVERY_EVENTS = 10_000
const CURSOR_EVERY_MS = 1000
/** Wait before the store is asked again when it could not write (disk full, too busy). */
const RETRY_MS = 500

/**
 * Follows the log from the cursor: matches each event against the rules and writes a plan per (event, rule version, SLS file), in one transaction
 * with the cursor. Restarted at any moment it goes on at the cursor; plans that are there already are not written again. It cannot fall
 * behind unseen: `lag` says by how much, and ingest is refused before it grows without bound (`Reactor.overloaded`).
 */
export class Planner {
  readonly #o: PlannerOptions
  #recent: StoredEvent[] = []
  #recentChars = 0
  #head: Seq = 0
  #planned: Seq = 0
  #written: Seq = 0
  #stopped = true
  #unwatch: (() => void) | null = null
  #running: Promise<void> | null = null
  #wake: (() => void) | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(options: PlannerOptions) {
    this.#o = options
  }

  /** Events committed and not matched yet. */
  get lag(): number {
    return this.#head - this.#planned
  }

  /** Resolves once it follows the log; what was missed is planned from then on. */
  async start(): Promise<void> {
    if (!this.#stopped) return
    this.#stopped = false
    this.#unwatch = this.#o.store.events.watch(events => this.#gather(events))
    this.#planned = this.#written = await this.#o.store.reactions.cursor()
    this.#head = Math.max(this.#head, this.#planned, await this.#o.store.events.head())
    this.#timer = setInterval(() => this.#wake?.(), CURSOR_EVERY_MS)
    this.#timer.unref()
    this.#running = this.#run()
  }

  /** Ends after the batch at hand and writes the cursor. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#unwatch?.()
    this.#unwatch = null
    if (this.#timer) clearInterval(this.#timer)
    this.#wake?.()
    await this.#running
    this.#running = null
  }

  #gather(events: readonly StoredEvent[]): void {
    const last = events[events.length - 1]
    if (last === undefined) return
    this.#head = Math.max(this.#head, last.seq)
    for (const event of events) {
      this.#recent.push(event)
      this.#recentChars += event.json.length
    }
    if (this.#recent.length > MAX_RECENT || this.#recentChars > MAX_RECENT_CHARS) this.#forget()
    this.#wake?.()
  }

  #forget(): void {
    this.#recent = []
    this.#recentChars = 0
  }

  async #run(): Promise<void> {
    let cursorDue = performance.now() + CURSOR_EVERY_MS
    while (!this.#stopped) {
      try {
        for await (const { events, upTo } of this.#ahead()) {
          await this.#plan(events, upTo)
          if (this.#stopped) break
        }
        const behind = this.#planned - this.#written
        if (behind >= CURSOR_EVERY_EVENTS || (behind > 0 && performance.now() >= cursorDue)) {
          await this.#write([], this.#planned)
          cursorDue = performance.now() + CURSOR_EVERY_MS
        }
        if (!this.#stopped && this.#head <= this.#planned) await this.#moved()
      } catch (error) {
        this.#o.log.warn({ err: error, cursor: this.#planned }, 'the reactor could not plan; it tries again')
        await pause(RETRY_MS)
      }
    }
    // The last look at the cursor is not worth failing for: what was planned is in the store.
    if (this.#planned > this.#written) await this.#write([], this.#planned).catch(() => {})
  }

  /** The next events in order: from memory while they are there, else from the log. `upTo`: all events up to here have been given. */
  async *#ahead(): AsyncGenerator<{ events: readonly StoredEvent[]; upTo: Seq }> {
    const first = this.#dropPlanned()
    if (first === this.#planned + 1) {
      const events = this.#recent.slice(0, BATCH)
      yield { events, upTo: events[events.length - 1]!.seq }
      return
    }
    const upTo = first === null ? this.#head : first - 1
    if (upTo <= this.#planned) return
    for await (const page of this.#o.store.events.read({ after: this.#planned, upTo })) {
      const last = page[page.length - 1]
      if (last !== undefined) yield { events: page, upTo: last.seq }
    }
    yield { events: [], upTo } // numbers that no event has any more, or never had
  }

  /** Seq of the oldest event in memory that is not planned yet; null when there is none. */
  #dropPlanned(): Seq | null {
    const keep = this.#recent.findIndex(event => event.seq > this.#planned)
    if (keep < 0) this.#forget()
    else for (const event of this.#recent.splice(0, keep)) this.#recentChars -= event.json.length
    return this.#recent[0]?.seq ?? null
  }

  async #plan(events: readonly StoredEvent[], upTo: Seq): Promise<void> {
    const plans: NewPlan[] = []
    const reacting: StoredEvent[] = []
    for (const event of events) {
      const before = plans.length
      await this.#match(event, plans)
      if (plans.length > before) reacting.push(event)
    }
    if (plans.length > 0) {
      await this.#write(plans, upTo)
      this.#o.planned(reacting, plans.length)
    }
    this.#planned = upTo
  }

  /** The same SLS file reached by several rules is rendered once, as in Salt: for the first of them. */
  async #match(event: StoredEvent, plans: NewPlan[]): Promise<void> {
    const rules = this.#o.rules.matching(event.tag)
    if (rules.length === 0) return
    const seen = new Set<string>()
    for (const rule of rules) {
      if (!reactsTo(rule, event, this.#o.maxDepth)) continue
      for (const reference of rule.sls) {
        // Most references name one file: only globs are worth leaving the turn for.
        const files = /[*?[]/.test(reference) ? await this.#o.files.expand(reference) : [reference]
        for (const sls of files) {
          if (seen.has(sls)) continue
          plans.push({ event: event.seq, rule: rule.id, version: rule.version, sls, position: seen.size })
          seen.add(sls)
        }
      }
    }
  }

  async #write(plans: readonly NewPlan[], upTo: Seq): Promise<void> {
    await this.#o.store.reactions.plan(plans, upTo)
    this.#written = upTo
  }

  /** Until there are events, or the timer says that the cursor may be due. */
  async #moved(): Promise<void> {
    await new Promise<void>(resolve => {
      this.#wake = resolve
    })
    this.#wake = null
  }
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms).unref())
}
