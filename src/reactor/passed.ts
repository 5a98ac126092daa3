/**
 * Why a rule did nothing about an event that its tag matches: every "why did nothing happen?" has an answer.
 *
 * Nothing is written when an event is passed over, since at 1,000 events a second and 10,000 rules that would be most of what is written. It is found
 * out when somebody asks, from what is on record anyway: the event, the versions of the rule, its plans and windows.
 *
 * - What only looks at the event (`when`, `active`, being switched off) is judged again, by the version of the rule that was in force at the time of the
 *   event. Of a rule of the configuration that is known from the last start (or reload that changed it) on; for earlier events it is the rule as
 *   it is now that answers, which is said (`as_of: now`).
 * - What depends on other events is told by what is missing: a rule with `once_within` that would have taken the event and has neither a plan nor a window
 *   for it was throttled; the plan of the event that it did react to is looked for.
 *
 * It costs an event nothing when it comes. Asked about one, it is matched against the rules once (and against those that are switched off), each rule's
 * condition is evaluated again (100 ms at most), the versions of rules that were changed since are read, and for once_within the rule's plans of that
 * time and their events, MAX_LOOKED of them. Rules that are gone are not asked: what they did is on record, what they passed over is not known.
 */
import { eventId, type Seq, type StoredEvent } from '../events/event.js'
import type { PlanRecord, Store } from '../store/store.js'
import { groupKeyOf, refusalOf } from './gate.js'
import { RuleIndex, rulesByTag } from './match.js'
import { durationUs, shownDuration } from './options.js'
import { RULE_DEFAULTS, type Rule, type Rules } from './rules.js'
import { reactsTo, whyNotReactsTo } from './scope.js'
import { isGlob, type SlsFiles } from './sources.js'

/**
 * disabled: switched off; own: an event of the reactor's own doing; waiting: the reactor has not come to it yet; when, active, throttle, accumulate: the
 * option of that name; shared: its files are rendered because of an earlier rule; unknown: not on record (any more).
 */
export type PassedWhy = 'disabled' | 'own' | 'waiting' | 'when' | 'active' | 'throttle' | 'accumulate' | 'shared' | 'unknown'

export interface PassedOver {
  readonly rule: string
  /** The version that was asked. */
  readonly version: number
  /** Whether that is the version of the time of the event, or the rule as it is now because nobody knows. */
  readonly as_of: 'then' | 'now'
  readonly why: PassedWhy
  /** For people. */
  readonly reason: string
  /** throttle: the event that was reacted to instead. */
  readonly event?: string
}

export interface PassedOptions {
  readonly rules: Pick<Rules, 'all' | 'matching' | 'versions' | 'sameSinceUs'>
  readonly files: Pick<SlsFiles, 'expand'>
  readonly store: {
    readonly events: Pick<Store['events'], 'epoch' | 'get' | 'seqBefore'>
    readonly reactions: Pick<Store['reactions'], 'reactedTo'>
  }
  /** Events up to here have been matched. */
  readonly plannedUpTo: Seq
  /** Plans of events before this may have been dropped. */
  readonly recordsFromUs: number
}

/** Rules that were changed since the event and whose versions are read. */
const MAX_CHANGED = 200
/** Plans that are looked at for the event that was reacted to instead, and events among which they are looked for. */
const MAX_LOOKED = 200
const MAX_SEARCHED = 200_000

interface InForce {
  readonly rule: Rule
  readonly asOf: 'then' | 'now'
}

export class PassedBy {
  readonly #o: PassedOptions
  #disabled: RuleIndex | null = null

  constructor(options: PassedOptions) {
    this.#o = options
  }

  /** The rules that match the event and did nothing, `limit` at most. `plans`: those of the event; `gathered`: rules that have it in a window. */
  async of(event: StoredEvent, plans: readonly PlanRecord[], gathered: ReadonlySet<string>, limit: number): Promise<readonly PassedOver[]> {
    const acted = new Set([...plans.map(({ rule }) => rule), ...gathered])
    const passed: PassedOver[] = []
    for (const { rule, asOf } of await this.#inForce(event)) {
      if (acted.has(rule.id)) continue
      if (passed.length === limit) break
      // A condition may take a while: others come in between.
      if (rule.when !== null) await new Promise(resolve => setImmediate(resolve))
      passed.push({ rule: rule.id, version: rule.version, as_of: asOf, ...(await this.#why(rule, event, plans)) })
    }
    return passed
  }

  /** The rules whose tag matches, as they were at the time of the event as far as that is known. */
  async #inForce(event: StoredEvent): Promise<InForce[]> {
    const { rules } = this.#o
    const matching = [...rules.matching(event.tag), ...this.#disabledFor(event.tag)]
    const found: InForce[] = []
    for (const rule of matching) {
      const same = rules.sameSinceUs(rule) <= event.stampUs
      if (same || rule.source === 'config') found.push({ rule, asOf: same ? 'then' : 'now' })
    }
    const changed = rules.all().filter(rule => rule.source === 'api' && rule.changedUs > event.stampUs)
    for (const rule of changed.slice(0, MAX_CHANGED)) {
      const then = (await rules.versions(rule.id)).find(({ changedUs }) => changedUs <= event.stampUs)
      if (then !== undefined && matches(then, event.tag)) found.push({ rule: { ...RULE_DEFAULTS, ...then, source: 'api' }, asOf: 'then' })
    }
    return found
  }

  #disabledFor(tag: string): readonly Rule[] {
    if (this.#disabled === null) {
      this.#disabled = new RuleIndex()
      for (const rule of this.#o.rules.all()) if (!rule.enabled) this.#disabled.add({ ...rule, enabled: true })
    }
    return this.#disabled.matching(tag).map(rule => ({ ...rule, enabled: false }))
  }

  async #why(rule: Rule, event: StoredEvent, plans: readonly PlanRecord[]): Promise<Pick<PassedOver, 'why' | 'reason' | 'event'>> {
    if (!rule.enabled) return { why: 'disabled', reason: 'the rule is switched off' }
    if (!reactsTo(rule, event)) return { why: 'own', reason: whyNotReactsTo(event) }
    if (event.seq > this.#o.plannedUpTo) return { why: 'waiting', reason: 'the reactor has not come to this event yet' }
    const refusal = refusalOf(rule, event)
    if (refusal?.kind === 'nothing') return { why: refusal.option, reason: refusal.why }
    const shared = await this.#files(rule, plans)
    return shared ?? (await this.#gathering(rule, event)) ?? this.#unknown(event)
  }

  /** A file that several rules name is rendered for the first of them. */
  async #files({ sls }: Rule, plans: readonly PlanRecord[]): Promise<Pick<PassedOver, 'why' | 'reason'> | null> {
    const files: string[] = []
    for (const reference of sls) files.push(...(isGlob(reference) ? await this.#o.files.expand(reference) : [reference]))
    const others = files.map(file => plans.find(plan => plan.sls === file)?.rule)
    if (others.includes(undefined)) return null
    return { why: 'shared', reason: `its files are rendered because of ${[...new Set(others)].map(id => `rule ${id}`).join(', ')}` }
  }

  async #gathering(rule: Rule, event: StoredEvent): Promise<Pick<PassedOver, 'why' | 'reason' | 'event'> | null> {
    const { throttle, accumulate } = rule
    if (this.#isOld(event)) return null
    if (accumulate !== null) {
      const { within, threshold } = accumulate
      return {
        why: 'accumulate',
        reason: `accumulate: there were not ${threshold} events within ${shownDuration(within)}; this one counts no more`
      }
    }
    if (throttle === null || !('once_within' in throttle)) return null
    const reason = `throttle: another event was reacted to within ${shownDuration(throttle.once_within)}`
    const instead = await this.#instead(rule, event, durationUs(throttle.once_within)!)
    return { why: 'throttle', reason, ...(instead === null ? {} : { event: eventId(this.#o.store.events.epoch, instead) }) }
  }

  /** The event with the same key that a rule with once_within reacted to; null when it is not found. */
  async #instead(rule: Rule, event: StoredEvent, periodUs: number): Promise<Seq | null> {
    const { events, reactions } = this.#o.store
    const key = groupKeyOf(rule, event)
    const after = Math.max(await events.seqBefore(event.stampUs - periodUs), event.seq - MAX_SEARCHED)
    for (const seq of await reactions.reactedTo(rule.id, { after, before: event.seq }, MAX_LOOKED)) {
      const other = await events.get(seq)
      if (other !== null && other.stampUs + periodUs > event.stampUs && groupKeyOf(rule, other) === key) return seq
    }
    return null
  }

  #isOld({ stampUs }: StoredEvent): boolean {
    return stampUs < this.#o.recordsFromUs
  }

  #unknown(event: StoredEvent): Pick<PassedOver, 'why' | 'reason'> {
    const reason = this.#isOld(event)
      ? 'what the reactor did at that time is no longer on record'
      : 'the rule would react to it now, and did not then: it was another one, or the reactor did not run with it'
    return { why: 'unknown', reason }
  }
}

function matches(rule: Pick<Rule, 'tag' | 'match'>, tag: string): boolean {
  return rulesByTag([{ ...rule, enabled: true }])(tag).length > 0
}
