/**
 * What keeps a rule from doing too much: it can be paused, it may have a rate limit, and a circuit breaker that opens after failures. What a guard
 * stops is a dead letter with the reason (`blocked`), which can be driven again. State is kept in the store and told by events
 * `salt/reactor/<rule>/{paused,resumed,breaker,blocked}` (`salt/reactor/{paused,resumed}` of the reactor itself).
 */
import type { Cause, EventData, NewEvent, Seq, StoredEvent } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import type { Clock } from '../shared/clock.js'
import { stampOf } from '../shared/clock.js'
import { addTo } from '../shared/multimap.js'
import type { Blocked, ReactionStore, RuleState } from '../store/store.js'
import { reactorBlocked, reactorBreaker, reactorPaused, reactorResumed } from '../tags/tags.js'
import { durationUs, type RuleOptions, shownDuration } from './options.js'
import type { Author } from './rules.js'

/** closed: all pass; open: none; half-open: one event was let through, and what becomes of it decides. */
export type BreakerState = 'closed' | 'open' | 'half-open'

interface Breaker {
  readonly state: 'open' | 'half-open'
  readonly sinceUs: number
  /** When (again) an event is tried. */
  readonly untilUs: number
  readonly reason: string
  readonly trial?: Seq
}

interface Body {
  readonly paused?: { readonly by: string; readonly us: number }
  readonly breaker?: Breaker
  /** When the breaker moved last: failures up to then count no more. */
  readonly movedUs?: number
  /** Events reacted to, and blocked, in the time that began then. */
  readonly rate?: Rate
}

interface Rate {
  readonly sinceUs: number
  readonly count: number
  readonly blocked: number
}

type GuardedRule = { readonly id: string } & Pick<RuleOptions, 'rate_limit' | 'breaker'>

export interface GuardsOptions {
  readonly store: Pick<ReactionStore, 'states' | 'control' | 'failures'>
  readonly events: Pick<EventLog, 'prepare'>
  readonly clock: Clock
  /** The rule of this id as it is now; null when it is no more. */
  readonly ruleOf: (id: string) => GuardedRule | null
  readonly rules: () => readonly GuardedRule[]
  /** For rules that have none of their own: the settings reactor_rate_limit and reactor_breaker. */
  readonly defaults: Pick<RuleOptions, 'rate_limit' | 'breaker'>
  readonly log: { warn(fields: object, text: string): void }
}

/** Stopped by a guard, with what is to be told of it. */
export interface Stopped {
  readonly blocked: Blocked
  readonly error: string
  readonly events: readonly NewEvent[]
}

/** A rule's guards as people see them. */
export interface ShownGuards {
  readonly paused: { readonly by: string; readonly us: number } | null
  readonly breaker: { readonly state: BreakerState; readonly failures: number } & Partial<Omit<Breaker, 'state'>>
  readonly rate: Body['rate'] | null
}

/** The reactor itself. */
const ALL = ''
const MINUTE_US = 60_000_000
/** Failures on record that a start looks at, the newest ones: far more than open all breakers together. */
const MAX_RECALLED = 100_000

export class Guards {
  readonly #o: GuardsOptions
  readonly #bodies = new Map<string, Body>()
  readonly #changed = new Set<string>()
  /** What rules without a limit of their own did. It is not kept: a restart ends a rush as well. */
  readonly #rates = new Map<string, Rate>()
  /** When each rule failed, as long as it counts. They are on record as reactions and plans that failed, where a start finds them again (`recall`). */
  readonly #failures = new Map<string, number[]>()
  /** States that are being written. */
  readonly #writing = new Set<Promise<void>>()
  #written = 0

  constructor(options: GuardsOptions) {
    this.#o = options
  }

  /** Forgets what was not written and reads what was. */
  async load(): Promise<void> {
    let states: readonly RuleState[]
    let written: number
    do {
      // What is written meanwhile may not be in what is read.
      await Promise.allSettled(this.#writing)
      written = this.#written
      states = await this.#o.store.states()
    } while (this.#writing.size > 0 || written !== this.#written)
    this.#bodies.clear()
    this.#changed.clear()
    for (const { rule, body } of states) this.#bodies.set(rule, body as Body)
  }

  /**
   * Counts the failures on record, before anything is done; a breaker for which they are enough opens, as it would have if the server had not stopped
   * before it could. Where dead letters were driven again or trimmed since, they count no more.
   */
  async recall(): Promise<void> {
    const nowUs = this.#o.clock.nowUs()
    const broken = this.#o.rules().flatMap(rule => {
      const breaker = this.#breakerOf(rule)
      return breaker === null ? [] : [{ id: rule.id, breaker }]
    })
    if (broken.length === 0) return
    const longestUs = broken.reduce((longest, { breaker }) => Math.max(longest, withinUs(breaker)), 0)
    const byRule = new Map<string, { us: number; error: string }[]>()
    for (const { rule, ...failure } of await this.#o.store.failures(nowUs - longestUs, MAX_RECALLED)) addTo(byRule, rule, failure)
    for (const { id, breaker } of broken) {
      const { breaker: before, movedUs = 0 } = this.#bodies.get(id) ?? {}
      const recent = (byRule.get(id) ?? []).filter(({ us }) => us > Math.max(movedUs, nowUs - withinUs(breaker)))
      if (before !== undefined || recent.length === 0) continue
      const last = recent.slice(-breaker.failures)
      this.#failures.set(
        id,
        last.map(({ us }) => us)
      )
      if (recent.length >= breaker.failures)
        await this.#open(id, breaker, `${breaker.failures} failures, the last one: ${last.at(-1)!.error}`)
    }
  }

  /** What counts for rules that have none of their own. */
  get defaults(): GuardsOptions['defaults'] {
    return this.#o.defaults
  }

  /** Takes over what others know now. */
  copy(of: Guards): void {
    for (const [rule, body] of of.#bodies) this.#bodies.set(rule, body)
    for (const [rule, rate] of of.#rates) this.#rates.set(rule, rate)
    for (const [rule, failures] of of.#failures) this.#failures.set(rule, failures)
  }

  /** Whether a rule is paused; without an id: the whole reactor. */
  paused(rule: string = ALL): boolean {
    return this.#bodies.get(rule)?.paused !== undefined
  }

  shown(rule: string): ShownGuards {
    const { paused = null, breaker, rate = this.#rates.get(rule) ?? null } = this.#bodies.get(rule) ?? {}
    const failures = this.#recent(rule).length
    return { paused, breaker: { state: 'closed', failures, ...breaker }, rate }
  }

  /** Rules that are paused or whose breaker is not closed. */
  stopped(): readonly string[] {
    return [...this.#bodies].filter(([rule, { paused, breaker }]) => rule !== ALL && (paused || breaker)).map(([rule]) => rule)
  }

  /** Whether a rule may react to this event; counted when it may. What changes is written with the plans (`changes`). */
  pass(
    rule: GuardedRule,
    event: Pick<StoredEvent, 'seq' | 'stampUs' | 'tag' | 'cause'>
  ): { stopped: Stopped | null; events: readonly NewEvent[] } {
    const { rate_limit } = rule
    const breaker = this.#breakerOf(rule)
    const limit = rate_limit ?? this.#o.defaults.rate_limit
    if (limit === null && breaker === null) return { stopped: null, events: [] }
    const opened = breaker === null ? null : this.#tryBreaker(rule, event)
    if (opened !== null && 'blocked' in opened) return { stopped: opened, events: [] }
    const setting = rate_limit === null ? 'reactor_rate_limit' : 'rate_limit'
    const limited = limit === null ? null : this.#count(rule.id, limit, event, setting)
    return { stopped: limited, events: limited === null && opened !== null ? opened.events : [] }
  }

  /** The event that tells once of what a guard stops: `salt/reactor/<rule>/blocked`. */
  told(
    rule: string,
    why: { readonly blocked: Blocked } & EventData,
    { seq, tag, cause }: Pick<StoredEvent, 'seq' | 'tag' | 'cause'>
  ): NewEvent {
    return this.#o.events.prepare(
      reactorBlocked(rule),
      { rule, ...why, tag, user: 'Reactor' },
      { source: 'reactor', cause: after(seq, cause) }
    )
  }

  /** What changed since this was asked last, for the store. */
  changes(): readonly RuleState[] {
    const states = [...this.#changed].map(rule => this.#state(rule))
    this.#changed.clear()
    return states
  }

  get changed(): boolean {
    return this.#changed.size > 0
  }

  /** A reaction ended. Never rejects: what could not be written is decided again by the next one. */
  async outcome(rule: string, event: Seq, failure: string | null): Promise<void> {
    const breaker = this.#breakerOf(this.#o.ruleOf(rule))
    if (breaker === null) return
    const before = this.#bodies.get(rule)?.breaker
    if (before?.state === 'open' || (before?.state === 'half-open' && before.trial !== event)) return
    try {
      if (failure === null) await this.#succeeded(rule, before)
      else await this.#failed(rule, breaker, failure, before !== undefined)
    } catch (error) {
      this.#o.log.warn({ err: error, rule }, 'the state of a circuit breaker could not be written')
    }
  }

  /** Opens or closes a breaker by hand. */
  async setBreaker(rule: string, state: 'open' | 'closed', { user, source }: Author): Promise<void> {
    const rest = durationUs(this.#breakerOf(this.#o.ruleOf(rule))?.rest ?? 60)!
    const nowUs = this.#o.clock.nowUs()
    this.#failures.delete(rule)
    const breaker: Breaker | null =
      state === 'closed' ? null : { state, sinceUs: nowUs, untilUs: nowUs + rest, reason: `opened by ${user}` }
    await this.#move(rule, breaker, [this.#o.events.prepare(reactorBreaker(rule), { rule, state, user }, { source })])
  }

  /** Holds what a rule (or, without an id, the reactor) would do; it is planned and kept. False: it was so already. */
  async setPaused(rule: string | null, paused: boolean, { user, source }: Author): Promise<boolean> {
    const id = rule ?? ALL
    const before = this.#bodies.get(id) ?? {}
    if ((before.paused !== undefined) === paused) return false
    const { paused: _, ...rest } = before
    // At once, so that what is planned from here on is held (or is not).
    this.#bodies.set(id, paused ? { ...rest, paused: { by: user, us: this.#o.clock.nowUs() } } : rest)
    const tag = (paused ? reactorPaused : reactorResumed)(rule)
    const event = this.#o.events.prepare(tag, { ...(rule === null ? {} : { rule }), user }, { source })
    try {
      await this.#keep(id, paused ? 'pause' : 'resume', [event])
    } catch (error) {
      const { paused: _, ...now } = this.#bodies.get(id) ?? {}
      this.#bodies.set(id, before.paused === undefined ? now : { ...now, paused: before.paused })
      throw error
    }
    return true
  }

  #tryBreaker(
    rule: GuardedRule,
    { seq, stampUs, tag, cause }: Pick<StoredEvent, 'seq' | 'stampUs' | 'tag' | 'cause'>
  ): Stopped | { events: NewEvent[] } | null {
    const breaker = this.#bodies.get(rule.id)?.breaker
    if (breaker === undefined) return null
    if (stampUs < breaker.untilUs) {
      const error = `blocked: the circuit breaker of the rule is ${breaker.state} (${breaker.reason})`
      return { blocked: 'breaker', error, events: [] }
    }
    // One event is tried; another one when nothing is known of it after as long a rest.
    const rest = durationUs(this.#breakerOf(rule)?.rest ?? 60)!
    this.#put(rule.id, { breaker: { ...breaker, state: 'half-open', untilUs: stampUs + rest, trial: seq } })
    const data = { rule: rule.id, state: 'half-open', reason: breaker.reason, tag, user: 'Reactor' }
    return { events: [this.#o.events.prepare(reactorBreaker(rule.id), data, { source: 'reactor', cause: after(seq, cause) })] }
  }

  #count(
    rule: string,
    { limit, per }: NonNullable<RuleOptions['rate_limit']>,
    event: Pick<StoredEvent, 'seq' | 'stampUs' | 'tag' | 'cause'>,
    setting: 'rate_limit' | 'reactor_rate_limit'
  ): Stopped | null {
    const known = setting === 'rate_limit' ? this.#bodies.get(rule)?.rate : this.#rates.get(rule)
    const put = (rate: Rate) => (setting === 'rate_limit' ? this.#put(rule, { rate }) : this.#rates.set(rule, rate))
    const over = known === undefined || event.stampUs >= known.sinceUs + durationUs(per)!
    const rate = over ? { sinceUs: event.stampUs, count: 0, blocked: 0 } : known
    if (rate.count < limit) {
      put({ ...rate, count: rate.count + 1 })
      return null
    }
    put({ ...rate, blocked: rate.blocked + 1 })
    const error = `blocked: more than ${limit} events in ${shownDuration(per)} (${setting})`
    // Told once in each time: the others are on record.
    const told = rate.blocked > 0 ? [] : [this.told(rule, { blocked: 'rate_limit', limit, per }, event)]
    return { blocked: 'rate_limit', error, events: told }
  }

  async #succeeded(rule: string, before: Breaker | undefined): Promise<void> {
    if (before === undefined) return
    this.#failures.delete(rule)
    const data = { rule, state: 'closed', user: 'Reactor' }
    await this.#move(rule, null, [this.#o.events.prepare(reactorBreaker(rule), data, { source: 'reactor' })])
  }

  async #failed(rule: string, breaker: NonNullable<RuleOptions['breaker']>, why: string, trial: boolean): Promise<void> {
    const { failures } = breaker
    const nowUs = this.#o.clock.nowUs()
    const recent = [...this.#recent(rule).filter(us => us > nowUs - withinUs(breaker)), nowUs]
    this.#failures.set(rule, recent.slice(-failures))
    if (!trial && recent.length < failures) return
    await this.#open(rule, breaker, trial ? `the event that was tried failed: ${why}` : `${failures} failures, the last one: ${why}`)
  }

  async #open(rule: string, { rest = MINUTE_US / 1e6 }: NonNullable<RuleOptions['breaker']>, why: string): Promise<void> {
    const nowUs = this.#o.clock.nowUs()
    this.#failures.delete(rule)
    const breaker = { state: 'open', sinceUs: nowUs, untilUs: nowUs + durationUs(rest)!, reason: why.slice(0, 500) } as const
    const data = { rule, state: 'open', reason: breaker.reason, until: stampOf(breaker.untilUs), user: 'Reactor' }
    await this.#move(rule, breaker, [this.#o.events.prepare(reactorBreaker(rule), data, { source: 'reactor' })])
  }

  #recent(rule: string): number[] {
    return this.#failures.get(rule) ?? []
  }

  async #move(rule: string, breaker: Breaker | null, events: readonly NewEvent[]): Promise<void> {
    const { breaker: _, ...rest } = this.#bodies.get(rule) ?? {}
    const body = { ...rest, movedUs: this.#o.clock.nowUs() }
    this.#bodies.set(rule, breaker === null ? body : { ...body, breaker })
    await this.#keep(rule, null, events)
  }

  #keep(rule: string, act: 'pause' | 'resume' | null, events: readonly NewEvent[]): Promise<void> {
    const writing = this.#o.store.control(this.#state(rule), act, events).finally(() => {
      this.#writing.delete(writing)
      this.#written++
    })
    this.#writing.add(writing)
    return writing
  }

  #put(rule: string, change: Partial<Body>): void {
    this.#bodies.set(rule, { ...this.#bodies.get(rule), ...change })
    this.#changed.add(rule)
  }

  #breakerOf(rule: GuardedRule | null): RuleOptions['breaker'] {
    return rule === null ? null : (rule.breaker ?? this.#o.defaults.breaker)
  }

  #state(rule: string): RuleState {
    const body = this.#bodies.get(rule) ?? {}
    return { rule, paused: body.paused !== undefined, body }
  }
}

function withinUs({ within = MINUTE_US / 1e6 }: NonNullable<RuleOptions['breaker']>): number {
  return durationUs(within)!
}

/** Guards that keep nothing and tell nobody: for what only tries. `of`: begins as those guards are now. */
export function detachedGuards(ruleOf: GuardsOptions['ruleOf'], clock: Clock, of?: Guards): Guards {
  const store = { states: async () => [], control: async () => {}, failures: async () => [] }
  const prepare: EventLog['prepare'] = (tag, _, { source, cause = null }) => ({ tag, json: '{}', stampUs: 0, source, cause })
  const defaults = of?.defaults ?? { rate_limit: null, breaker: null }
  const guards = new Guards({ store, events: { prepare }, clock, ruleOf, rules: () => [], defaults, log: { warn: () => {} } })
  if (of !== undefined) guards.copy(of)
  return guards
}

function after(seq: Seq, cause: Cause | null): Cause {
  return { seq, depth: (cause?.depth ?? 0) + 1 }
}
