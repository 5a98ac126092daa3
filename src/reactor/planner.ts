import { setImmediate as turn } from 'node:timers/promises'
import type { NewEvent, Seq, StoredEvent } from '../events/event.js'
import type { Clock } from '../shared/clock.js'
import type { NewPlan, PlanChanges, Store } from '../store/store.js'
import { Conditions } from './conditions.js'
import { Decider, type Decision } from './decide.js'
import type { ReactorErrors } from './errors.js'
import { isActive } from './gate.js'
import type { Guards } from './guards.js'
import type { Rule, Rules } from './rules.js'
import { isGlob, type SlsFiles } from './sources.js'
import { Windows } from './windows.js'

export interface PlannerOptions {
  readonly store: {
    readonly events: Pick<Store['events'], 'read' | 'watch' | 'head'>
    readonly reactions: Pick<Store['reactions'], 'cursor' | 'plan' | 'windows' | 'windowEvents' | 'release' | 'waiting'>
  }
  readonly rules: Pick<Rules, 'matching' | 'find' | 'all'>
  readonly files: Pick<SlsFiles, 'expand'>
  readonly guards: Pick<Guards, 'load' | 'paused' | 'pass' | 'changes' | 'changed' | 'told'>
  readonly errors: Pick<ReactorErrors, 'about'>
  readonly clock: Clock
  readonly maxDepth: number
  readonly log: { warn(fields: object, text: string): void }
  /** Called after each commit with the events that have new plans to work on. */
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
/** Matching goes on for so long before others have their turn: conditions may take milliseconds each. */
const TURN_MS = 8
/** Longest wait until the clock is looked at again. */
const LOOK_MS = 1000
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
  readonly #windows = new Windows()
  readonly #decider: Decider<Rule>
  /** Rules with plans that wait until the rule is active. */
  readonly #inactive = new Set<string>()
  /** Resolves when the next look at log and clock is over. */
  #turn: Promise<void> = Promise.resolve()
  #turned = () => {}
  /** What is in memory may not be what is in the store. */
  #astray = false

  constructor(options: PlannerOptions) {
    this.#o = options
    const { rules, guards, maxDepth, clock } = options
    const conditions = new Conditions(() => clock.nowUs() / 1000)
    this.#decider = new Decider({ windows: this.#windows, guards, conditions, maxDepth, find: id => rules.find(id) })
  }

  /** Events committed and not matched yet. */
  get lag(): number {
    return this.#head - this.#planned
  }

  /** All events up to here have been matched. */
  get upTo(): Seq {
    return this.#planned
  }

  /** Resolves once it follows the log; what was missed is planned from then on. */
  async start(): Promise<void> {
    if (!this.#stopped) return
    this.#stopped = false
    this.#unwatch = this.#o.store.events.watch(events => this.#gather(events))
    await this.#load()
    this.#head = Math.max(this.#head, this.#planned, await this.#o.store.events.head())
    this.#running = this.#run()
  }

  /** Windows closed early because there were too many, since the start. */
  get early(): number {
    return this.#windows.early
  }

  /** Looks at the clock now: for tests, whose clock is their own. Resolves when what was due is planned. */
  async look(): Promise<void> {
    // Twice: the turn under way may have looked at the clock already.
    for (let turn = 0; turn < 2; turn++) {
      this.#wake?.()
      await this.#turn
    }
  }

  /** Ends after the batch at hand and writes the cursor. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#unwatch?.()
    this.#unwatch = null
    this.#wake?.()
    await this.#running
    this.#turned()
    this.#running = null
  }

  async #load(): Promise<void> {
    const { reactions } = this.#o.store
    await this.#windows.load(reactions)
    await this.#o.guards.load()
    this.#planned = this.#written = await reactions.cursor()
    for (const rule of this.#o.rules.all()) {
      if (rule.outside === 'hold' && ((await reactions.waiting(rule.id)).inactive ?? 0) > 0) this.#inactive.add(rule.id)
    }
    this.#astray = false
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
        if (this.#astray) await this.#load()
        // Before the log is looked at: what comes after this moment belongs to no window that was over by then.
        const nowUs = this.#o.clock.nowUs()
        for await (const { events, upTo } of this.#ahead()) {
          await this.#plan(events, upTo)
          if (this.#stopped) break
        }
        const behind = this.#planned - this.#written
        if (behind >= CURSOR_EVERY_EVENTS || (behind > 0 && performance.now() >= cursorDue)) {
          await this.#write(new Batch(), this.#planned)
          cursorDue = performance.now() + CURSOR_EVERY_MS
        }
        if (!this.#stopped && this.#head <= this.#planned) {
          await this.#byTheClock(nowUs)
          await this.#moved()
        }
      } catch (error) {
        this.#astray = true
        this.#o.log.warn({ err: error, cursor: this.#planned }, 'the reactor could not plan; it tries again')
        await pause(RETRY_MS)
      }
    }
    // The last look at the cursor is not worth failing for: what was planned is in the store.
    if (this.#planned > this.#written && !this.#astray) await this.#write(new Batch(), this.#planned).catch(() => {})
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
    const batch = new Batch()
    let from = performance.now()
    for (const event of events) {
      await this.#match(event, batch)
      if (performance.now() - from < TURN_MS) continue
      await turn()
      from = performance.now()
    }
    // Where nothing but the cursor moves, it is written now and then.
    if (!batch.isEmpty || this.#windows.changed || this.#o.guards.changed) await this.#write(batch, upTo)
    this.#planned = upTo
  }

  /** The same SLS file reached by several rules is rendered once, as in Salt: for the first of them. */
  async #match(event: StoredEvent, batch: Batch): Promise<void> {
    // By the time of events, whether they are seen one by one or after a backlog.
    for (const decision of this.#decider.due(event.stampUs)) await this.#take(decision, new Set(), batch)
    const rules = this.#o.rules.matching(event.tag)
    if (rules.length === 0) return
    const seen = new Set<string>()
    for (const decision of this.#decider.event(rules, event)) await this.#take(decision, seen, batch)
  }

  async #take(decision: Decision<Rule>, seen: Set<string>, batch: Batch): Promise<void> {
    if (decision.kind === 'dead') return this.#stop(decision, batch)
    if (decision.kind === 'window') return this.#fire(decision, batch)
    if (decision.kind === 'resting') return this.#rests(decision, batch)
    if (decision.kind !== 'react') return
    const { rule, event, inactive, slot, stopped, told } = decision
    batch.events.push(...told)
    if (stopped !== null) {
      const { blocked, error } = stopped
      batch.events.push(...stopped.events)
      await this.#add(rule, event.seq, { blocked, error }, new Set(), batch)
      return
    }
    const more = { held: inactive ? ('inactive' as const) : null, slot: slotOf(rule, slot) }
    if (inactive) this.#inactive.add(rule.id)
    const before = batch.plans.length
    await this.#add(rule, event.seq, more, seen, batch)
    if (batch.plans.length > before) batch.reacting.add(event)
  }

  /** A dead letter from the beginning, and the event that tells of it. */
  async #stop({ rule, event, option, error }: Extract<Decision<Rule>, { kind: 'dead' }>, batch: Batch): Promise<void> {
    const about: Partial<NewPlan> = { error, ...(option === 'depth' ? { blocked: option } : {}) }
    for (const sls of await this.#add(rule, event.seq, about, new Set(), batch)) {
      batch.events.push(...this.#o.errors.about({ rule: rule.id, sls, state: 'dead', attempts: 0, error }, event))
    }
  }

  /** A dead letter because the rule's expressions rest; told of once. */
  async #rests({ rule, event, resting, error }: Extract<Decision<Rule>, { kind: 'resting' }>, batch: Batch): Promise<void> {
    const { first, seconds, why } = resting
    await this.#add(rule, event.seq, { blocked: 'quarantine', error }, new Set(), batch)
    if (first) batch.events.push(this.#o.guards.told(rule.id, { blocked: 'quarantine', reason: why, rest: seconds }, event))
  }

  /** A plan for a window that is closed. */
  async #fire({ rule, fired, stopped, told }: Extract<Decision<Rule>, { kind: 'window' }>, batch: Batch): Promise<void> {
    const { rule: id, version, sls, first, last, slot } = fired
    // What was gathered for a rule that is gone, or switched off, is still reacted to, once.
    const as = rule?.enabled ? rule : { id, version, sls }
    batch.events.push(...told, ...(stopped?.events ?? []))
    const about =
      stopped === null ? { slot: rule === null ? null : slotOf(rule, slot) } : { blocked: stopped.blocked, error: stopped.error }
    await this.#add(as, last, { gathered: first, ...about }, new Set(), batch)
  }

  /** A plan per file; returns the files. */
  async #add(
    { id, version, sls }: Pick<Rule, 'id' | 'version' | 'sls'>,
    event: Seq,
    more: Partial<NewPlan>,
    seen: Set<string>,
    batch: Batch
  ): Promise<readonly string[]> {
    const added: string[] = []
    for (const reference of sls) {
      // Most references name one file: only globs are worth leaving the turn for.
      const files = isGlob(reference) ? await this.#o.files.expand(reference) : [reference]
      for (const file of files) {
        if (seen.has(file)) continue
        batch.plans.push({ event, rule: id, version, sls: file, position: seen.size, ...more })
        seen.add(file)
        added.push(file)
      }
    }
    return added
  }

  /** What is due although nothing happens: windows whose time is over, rules that are active again. */
  async #byTheClock(nowUs: number): Promise<void> {
    const due = this.#decider.due(nowUs)
    if (due.length > 0 || this.#windows.changed) {
      const batch = new Batch()
      for (const decision of due) await this.#take(decision, new Set(), batch)
      await this.#write(batch, this.#planned)
    }
    for (const id of this.#inactive) {
      const rule = this.#o.rules.find(id)
      if (rule !== null && rule.outside === 'hold' && !isActive(rule, nowUs)) continue
      const released = await this.#o.store.reactions.release(id, 'inactive')
      this.#inactive.delete(id)
      this.#o.planned([], released)
    }
  }

  async #write({ plans, events, reacting }: Batch, upTo: Seq): Promise<void> {
    // Now, and not when they were made: a rule that is paused from here on has all of its plans held.
    const placed = plans.map(plan => (this.#o.guards.paused(plan.rule) ? { ...plan, held: 'paused' as const } : plan))
    const changes: PlanChanges = { ...this.#windows.changes(), states: this.#o.guards.changes(), events }
    await this.#o.store.reactions.plan(placed, upTo, changes)
    this.#written = upTo
    const live = placed.filter(plan => !isDead(plan) && !plan.held)
    // Those that stand in line are not counted as waiting for this process: they wait for one another.
    if (live.length > 0) this.#o.planned([...reacting], live.filter(plan => !plan.slot).length)
  }

  /** Until there are events, or the clock is to be looked at: something is due, or the cursor may be. */
  async #moved(): Promise<void> {
    this.#turned()
    this.#turn = new Promise(resolve => {
      this.#turned = resolve
    })
    const dueMs = (this.#windows.nextUs - this.#o.clock.nowUs()) / 1000
    await new Promise<void>(resolve => {
      this.#wake = resolve
      this.#timer = setTimeout(resolve, Math.min(LOOK_MS, Math.max(1, dueMs)))
      this.#timer.unref()
    })
    this.#wake = null
    if (this.#timer) clearTimeout(this.#timer)
  }
}

/** What is written together. */
class Batch {
  readonly plans: NewPlan[] = []
  readonly events: NewEvent[] = []
  /** Events that are reacted to by themselves: whoever works on them need not read them again. */
  readonly reacting = new Set<StoredEvent>()

  get isEmpty(): boolean {
    return this.plans.length + this.events.length === 0
  }
}

function isDead({ error, blocked }: NewPlan): boolean {
  return (error ?? null) !== null || (blocked ?? null) !== null
}

function slotOf({ concurrency }: Pick<Rule, 'concurrency'>, key: string | null): NonNullable<NewPlan['slot']> | null {
  return concurrency === null || key === null ? null : { key, limit: concurrency.limit }
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms).unref())
}
