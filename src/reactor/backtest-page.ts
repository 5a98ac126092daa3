/**
 * What one page of past events after the other would have led to, and how that compares with what was done. Options are decided by the code of the
 * live reactor (`decide.ts`), by the stamps of the events. Pure but for the SLS files that are read; runs in the backtest's thread.
 */
import type { Seq, StoredEvent } from '../events/event.js'
import type { Blocked } from '../store/store.js'
import { type CompiledReaction, type CompileSls, inSaltsOrder, type SlsEvent } from './compiled.js'
import { Conditions } from './conditions.js'
import { Decider, type DecidingOption, type Decision } from './decide.js'
import { activeAgain } from './gate.js'
import { detachedGuards, type Guards } from './guards.js'
import { type DoneCall, Ledger, type WouldCall, withoutOrder } from './ledger.js'
import { Lines } from './lines.js'
import { rulesByTag } from './match.js'
import { NO_OPTIONS, type RuleOptions } from './options.js'
import { packed } from './packed.js'
import type { Rule } from './rules.js'
import { reactsTo } from './scope.js'
import { withoutSecretKeys } from './secrets.js'
import { type SlsFiles, SlsMissing } from './sources.js'
import { WindowMemory } from './window-memory.js'
import { MAX_WINDOWS, Windows } from './windows.js'

export interface BacktestRule extends Partial<RuleOptions> {
  readonly id: string
  readonly tag: string
  readonly match: 'glob' | 'path'
  readonly sls: readonly string[]
}

export interface PageOptions {
  /** In the order in which they apply. */
  readonly rules: readonly BacktestRule[]
  readonly texts: ReadonlyMap<string, string>
  readonly files: Pick<SlsFiles, 'expand' | 'load'>
  readonly compile: CompileSls
  readonly maxDepth: number
  /** What is reacted to at events after `after` and up to `upTo` counts; events around it only fill and close windows. */
  readonly after: Seq
  readonly upTo: Seq
  /** What is not due by then (microseconds) still waits. */
  readonly endUs: number
  /** Examples of each kind that are kept. */
  readonly samples: number
  /** Whether to look at what was done. */
  readonly compare: boolean
}

export interface Counts {
  /** Events with the tag of a rule; those at which a call would be made; calls; calls that could not be made; files and conditions with mistakes. */
  matched: number
  reacting: number
  calls: number
  refused: number
  failed: number
  /** Reactions to windows; reactions that stood in line before they began. */
  windows: number
  queued: number
  /** Calls of rules with `concurrency` or `breaker` that were never made: how long they take, and whether they succeed, is not known. */
  unknown: number
  /** Windows closed early, because there were too many. */
  early: number
  /** Against what was done: the same call; another call of the same section; a call more; one less. */
  same: number
  changed: number
  added: number
  removed: number
}

/** What became of the events that a rule's tag matches: each was reacted to, is waiting (in a window, in line, for its time), or was passed over. */
export interface RuleCounts {
  matched: number
  reacted: number
  waiting: number
  /** By the option that did it. */
  readonly passed: Partial<Record<PassedBy, number>>
  calls: number
  failed: number
}

/** What passes an event over: an option of the rule, or a guard. */
export type PassedBy = DecidingOption | 'accumulate' | Blocked

export interface Sample {
  readonly event: Seq
  readonly section: string
  readonly call: unknown
  /** `changed`: the call that was made. */
  readonly was?: unknown
}

export interface Summary {
  readonly counts: Counts
  readonly passed: Partial<Record<PassedBy, number>>
  readonly rules: Record<string, RuleCounts>
  readonly samples: {
    calls: Sample[]
    changed: Sample[]
    added: Sample[]
    removed: Sample[]
    errors: { event: Seq; file: string; error: string }[]
  }
}

/** A file whose rendering was stopped at its limits so often is not rendered again: the rest of the test would take hours. */
const MAX_STOPPED = 5
/** Events of open windows are in memory here; beyond this windows are closed early, and counted. */
const MAX_BYTES = 128 * 1024 * 1024

/** A rule's reaction to an event, or to a window of them. */
interface Reaction {
  readonly rule: Rule
  /** The event that stands for it. */
  readonly event: StoredEvent & Pick<SlsEvent, 'events'>
  /** All that are reacted to. */
  readonly members: readonly StoredEvent[]
  readonly startUs: number
  readonly slot: string | null
}

interface Rendered {
  readonly reaction: Reaction
  readonly file: string
  readonly calls: readonly CompiledReaction[]
  readonly error: string | null
}

interface Outcome {
  readonly us: number
  readonly rule: string
  readonly event: Seq
  readonly failure: string | null
}

/** Goes through events, page by page, and counts. */
export class Backtest {
  readonly #o: PageOptions
  readonly #matching: (tag: string) => Rule[]
  readonly #rules = new Map<string, Rule>()
  readonly #stopped = new Map<string, number>()
  readonly #expanded = new Map<string, Promise<readonly string[]>>()
  readonly #windows = new Windows({ ...MAX_WINDOWS, bytes: MAX_BYTES })
  readonly #memory = new WindowMemory<StoredEvent>()
  readonly #guards: Guards
  readonly #decider: Decider<Rule>
  readonly #lines = new Lines()
  readonly #ledger = new Ledger()
  /** What becomes known of reactions later on: for breakers. */
  #outcomes: Outcome[] = []
  #nowUs = 0
  readonly summary: Summary

  constructor(options: PageOptions) {
    this.#o = options
    const none = { matched: 0, reacting: 0, calls: 0, refused: 0, failed: 0, windows: 0, queued: 0, unknown: 0, early: 0 }
    const samples = { calls: [], changed: [], added: [], removed: [], errors: [] }
    this.summary = { counts: { ...none, same: 0, changed: 0, added: 0, removed: 0 }, passed: {}, rules: {}, samples }
    const rules = options.rules.map(given => ({ ...NO_OPTIONS, version: 0, ...given, enabled: true }) as unknown as Rule)
    this.#matching = rulesByTag(rules)
    for (const rule of rules) {
      this.#rules.set(rule.id, rule)
      this.summary.rules[rule.id] = { matched: 0, reacted: 0, waiting: 0, passed: {}, calls: 0, failed: 0 }
    }
    const find = (id: string) => this.#rules.get(id) ?? null
    this.#guards = detachedGuards(find, { nowUs: () => this.#nowUs })
    const conditions = new Conditions(() => this.#nowUs / 1000)
    this.#decider = new Decider({ windows: this.#windows, guards: this.#guards, conditions, maxDepth: options.maxDepth, find })
  }

  /** `done`: what was done about events up to `upTo`, those that are not in `events` included. */
  async page(events: readonly StoredEvent[], done: readonly DoneCall[], upTo: Seq): Promise<void> {
    for (const call of done) this.#ledger.did(call)
    for (const event of events) await this.#event(event)
    this.#compare(upTo, this.#windows.lasts())
  }

  /** No more events: closes what was due by the end, and counts what still waits. */
  async finish(): Promise<void> {
    await this.#advance(this.#o.endUs)
    for (const { rule, events } of this.#memory.waiting()) this.summary.rules[rule]!.waiting += events.filter(this.#counts).length
    this.#compare(Number.MAX_SAFE_INTEGER, new Set())
  }

  /** True for an event in the range that is asked about. */
  readonly #counts = ({ seq }: Pick<StoredEvent, 'seq'>): boolean => seq > this.#o.after && seq <= this.#o.upTo

  async #event(event: StoredEvent): Promise<void> {
    await this.#advance(event.stampUs)
    const rules = this.#matching(event.tag).filter(rule => reactsTo(rule, event))
    if (rules.length === 0) return
    if (this.#counts(event)) {
      this.summary.counts.matched++
      for (const { id } of rules) this.summary.rules[id]!.matched++
    }
    await this.#take(this.#decider.event(rules, event), event)
  }

  /** Lets time pass: what becomes known, and what is due, in its order. */
  async #advance(us: number): Promise<void> {
    for (let dueUs = this.#windows.nextUs; dueUs <= us; dueUs = this.#windows.nextUs) {
      this.#learn(dueUs)
      await this.#take(this.#decider.due(dueUs), null)
    }
    this.#learn(us)
  }

  #learn(us: number): void {
    if (this.#outcomes.length > 0) {
      const known = this.#outcomes.filter(outcome => outcome.us <= us).sort((a, b) => a.us - b.us)
      if (known.length > 0) this.#outcomes = this.#outcomes.filter(outcome => outcome.us > us)
      for (const outcome of known) {
        this.#nowUs = outcome.us
        void this.#guards.outcome(outcome.rule, outcome.event, outcome.failure)
      }
    }
    this.#nowUs = us
  }

  async #take(decisions: readonly Decision<Rule>[], event: StoredEvent | null): Promise<void> {
    for (const { rule, events } of this.#memory.apply(this.#windows.changes(), event)) this.#pass(rule, 'accumulate', events)
    this.summary.counts.early = this.#windows.early
    const alone = new Map<number, Reaction[]>()
    for (const decision of decisions) {
      const reaction = this.#reactionOf(decision)
      if (reaction === null) continue
      if (decision.kind === 'window') await this.#react([reaction])
      else alone.set(reaction.startUs, [...(alone.get(reaction.startUs) ?? []), reaction])
    }
    for (const reactions of alone.values()) await this.#react(reactions)
  }

  /** Null for what is passed over, gathered, or not due before the end. */
  #reactionOf(decision: Decision<Rule>): Reaction | null {
    if (decision.kind === 'window') return this.#windowOf(decision)
    const { rule, event } = decision
    if (decision.kind === 'passed') this.#pass(rule.id, decision.option, [event])
    if (decision.kind === 'resting') this.#pass(rule.id, 'quarantine', [event])
    if (decision.kind === 'dead') {
      this.#pass(rule.id, decision.option, [event])
      if (decision.option !== 'depth') this.#fault(rule, rule.sls[0] ?? '', event, decision.error)
    }
    if (decision.kind !== 'react') return null
    if (decision.stopped !== null) return this.#pass(rule.id, decision.stopped.blocked, [event])
    const startUs = decision.inactive ? (activeAgain(rule, event.stampUs) ?? Number.POSITIVE_INFINITY) : event.stampUs
    // An event from before the clock was set back has a stamp that is still to come, and was reacted to all the same.
    if (decision.inactive && startUs > this.#o.endUs) return this.#wait(rule, [event])
    return { rule, event, members: [event], startUs, slot: decision.slot }
  }

  #windowOf({ fired, stopped, rule }: Extract<Decision<Rule>, { kind: 'window' }>): Reaction | null {
    const members = this.#memory.take(fired.rule, fired.first)
    const last = members[members.length - 1]
    if (last === undefined || rule === null) return null
    if (stopped !== null) return this.#pass(rule.id, stopped.blocked, members)
    if (this.#counts(last)) this.summary.counts.windows++
    return { rule, event: { ...last, events: members }, members, startUs: Math.max(this.#nowUs, last.stampUs), slot: fired.slot }
  }

  /** Reactions about one event that begin together: each file once, a section of a later file in the place of one of the same name. */
  async #react(reactions: readonly Reaction[]): Promise<void> {
    const { event } = reactions[0]!
    // Before the range nothing is rendered: it only matters for what is gathered and limited.
    if (!this.#counts(event)) return this.#reacted(reactions)
    const rendered: Rendered[] = []
    const seen = new Set<string>()
    for (const reaction of reactions) {
      for (const file of await this.#filesOf(reaction.rule)) {
        if (seen.has(file)) continue
        seen.add(file)
        rendered.push({ reaction, file, ...(await this.#render(reaction.rule, file, reaction.event)) })
      }
    }
    const last = new Map(rendered.flatMap(({ file, calls }) => calls.map(({ section }) => [section, file] as const)))
    const kept = rendered.map(each => ({ ...each, calls: each.calls.filter(({ section }) => last.get(section) === each.file) }))
    const begun = reactions.filter(reaction =>
      this.#begin(
        reaction,
        kept.filter(each => each.reaction === reaction)
      )
    )
    this.#reacted(begun)
    this.#count(
      event.seq,
      kept.filter(({ reaction }) => begun.includes(reaction))
    )
  }

  /** Places a reaction in its line and notes how it ends. False: it does not begin before the end. */
  #begin({ rule, event, members, startUs, slot }: Reaction, rendered: readonly Rendered[]): boolean {
    if (rule.concurrency === null && rule.breaker === null) return true
    const calls = rendered.flatMap(({ calls }) => calls.filter(({ call }) => call.error === undefined))
    const made = calls.map(({ section, call }) => this.#ledger.made(event.seq, { rule: rule.id, section, call }))
    const lengthUs = Math.max(0, ...made.map(done => (done === null ? 0 : lengthOf(done))))
    const { concurrency } = rule
    const begins = concurrency === null || slot === null ? startUs : this.#lines.begin(rule.id, slot, concurrency.limit, startUs, lengthUs)
    if (begins > startUs && begins > this.#o.endUs) {
      this.#wait(rule, members)
      return false
    }
    if (begins > startUs) this.summary.counts.queued++
    this.summary.counts.unknown += made.filter(done => done === null).length
    if (rule.breaker === null) return true
    const refused = rendered.flatMap(({ calls }) => calls.flatMap(({ call }) => call.error ?? []))
    const errors = [...rendered.flatMap(({ error }) => error ?? []), ...refused]
    for (const failure of errors) this.#outcomes.push({ us: begins, rule: rule.id, event: event.seq, failure })
    // What was never made is taken to succeed at once, as does an SLS that asks for nothing.
    const known = made.length === 0 && errors.length === 0 ? [null] : made
    for (const done of known) {
      if (done === null) this.#outcomes.push({ us: begins, rule: rule.id, event: event.seq, failure: null })
      else if (isOver(done)) this.#outcomes.push({ us: begins + lengthOf(done), rule: rule.id, event: event.seq, failure: failureOf(done) })
    }
    return true
  }

  #reacted(reactions: readonly Reaction[]): void {
    for (const { rule, members } of reactions) this.summary.rules[rule.id]!.reacted += members.filter(this.#counts).length
  }

  #count(event: Seq, rendered: readonly Rendered[]): void {
    const { counts, samples, rules } = this.summary
    const all = rendered.flatMap(({ reaction, calls }) => calls.map(call => ({ rule: reaction.rule.id, call })))
    const made = all.filter(({ call }) => call.call.error === undefined)
    for (const { rule } of made) rules[rule]!.calls++
    counts.refused += all.length - made.length
    counts.calls += made.length
    if (made.length > 0) counts.reacting++
    for (const { rule, call } of all.sort((a, b) => inSaltsOrder(a.call, b.call))) {
      const { section } = call
      this.#sample(samples.calls, { event, section, call: call.call })
      if (this.#o.compare) this.#ledger.would(event, { rule, section, call: call.call } satisfies WouldCall)
    }
  }

  #pass(rule: string, option: PassedBy, events: readonly StoredEvent[]): null {
    const count = events.filter(this.#counts).length
    if (count === 0) return null
    for (const passed of [this.summary.passed, this.summary.rules[rule]!.passed]) passed[option] = (passed[option] ?? 0) + count
    return null
  }

  #wait({ id }: Rule, events: readonly StoredEvent[]): null {
    this.summary.rules[id]!.waiting += events.filter(this.#counts).length
    return null
  }

  async #filesOf(rule: BacktestRule): Promise<string[]> {
    const found: string[] = []
    for (const reference of rule.sls) {
      let files = this.#expanded.get(reference)
      if (files === undefined) {
        files = this.#o.texts.has(reference) ? Promise.resolve([reference]) : this.#o.files.expand(reference)
        this.#expanded.set(reference, files)
      }
      found.push(...(await files))
    }
    return found
  }

  async #render(rule: Rule, file: string, event: Reaction['event']): Promise<Pick<Rendered, 'calls' | 'error'>> {
    const stopped = this.#stopped.get(file) ?? 0
    if (stopped >= MAX_STOPPED) return this.#fault(rule, file, event, 'not rendered any more: it was stopped at its limits too often')
    try {
      const text = this.#o.texts.get(file)
      const source = text === undefined ? await this.#o.files.load(file) : { file, text }
      const { reactions, error, fault } = await this.#o.compile(source, event)
      if (fault?.kind === 'limit') this.#stopped.set(file, stopped + 1)
      return error === null ? { calls: reactions, error } : this.#fault(rule, file, event, error)
    } catch (error) {
      if (error instanceof SlsMissing) return this.#fault(rule, file, event, error.message)
      throw error
    }
  }

  #fault({ id }: Rule, file: string, event: Pick<StoredEvent, 'seq'>, error: string): Pick<Rendered, 'calls' | 'error'> {
    if (this.#counts(event)) {
      this.summary.counts.failed++
      this.summary.rules[id]!.failed++
      const { errors } = this.summary.samples
      // one example of each mistake: they repeat
      if (errors.length < this.#o.samples && !errors.some(each => each.error === error)) errors.push({ event: event.seq, file, error })
    }
    return { calls: [], error }
  }

  #compare(upTo: Seq, open: ReadonlySet<Seq>): void {
    if (!this.#o.compare) return
    const { counts, samples } = this.summary
    for (const { event, difference } of this.#ledger.settle(upTo, open)) {
      counts[difference.kind]++
      if (difference.kind === 'same') continue
      const { kind, ...about } = difference
      this.#sample(samples[kind], { event, ...about })
    }
  }

  #sample(list: Sample[], sample: Sample): void {
    if (list.length >= this.#o.samples) return
    const { call, was } = sample
    list.push({
      ...sample,
      call: withoutSecretKeys(withoutOrder(packed(call))),
      ...(was === undefined ? {} : { was: withoutSecretKeys(withoutOrder(was)) })
    })
  }
}

function isOver({ state }: DoneCall): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'dead'
}

/** How long a call took; what is not over has no end yet. Microseconds. */
function lengthOf(done: DoneCall): number {
  return isOver(done) ? Math.max(0, done.changedUs - done.plannedUs) : Number.POSITIVE_INFINITY
}

function failureOf({ state, error }: DoneCall): string | null {
  return state === 'succeeded' ? null : (error ?? state)
}
