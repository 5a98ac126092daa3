/** What each option of a rule says of an event that is tried, in words and with what it rests on. */
import type { StoredEvent } from '../events/event.js'
import { stampOf } from '../shared/clock.js'
import type { DecidedRule, Decision } from './decide.js'
import { activeAgain, conditionOn, isActive } from './gate.js'
import type { Guards, Stopped } from './guards.js'
import { type RuleOptions, shownDuration } from './options.js'
import type { Joined } from './windows.js'

export interface OptionEffect {
  readonly option: keyof RuleOptions | 'depth' | 'paused' | 'quarantine'
  /** Whether a reaction may follow as far as this option goes, now. */
  readonly passes: boolean
  readonly reason: string
  /** The window in which the event is. */
  readonly window?: ShownJoined
}

export interface ShownJoined {
  /** The value of `group_by` as JSON; empty without. */
  readonly key: string
  /** The event opens it; else it joins, or is passed over by, one that is open. */
  readonly opens: boolean
  /** Events in it, this one included, and those that were passed over. */
  readonly events: number
  readonly passed: number
  readonly opened: string
  readonly due: string
}

/** What holds reactions on a running server. */
export interface Running {
  /** Why a rule, or the reactor, waits; null when it does not. */
  readonly paused: (rule: string) => string | null
  /** Events of a rule's line: those that are worked on, and those that wait. */
  readonly line: (rule: string, key: string) => Promise<{ readonly working: number; readonly waiting: number }>
}

interface Surroundings {
  readonly guards: Guards
  readonly running: Running | null
}

/** In the order in which they are asked; those behind one that stops the event are left out. */
export async function optionsTold(
  rule: DecidedRule,
  event: StoredEvent,
  decision: Exclude<Decision<DecidedRule>, { kind: 'window' }>,
  around: Surroundings
): Promise<OptionEffect[]> {
  if (decision.kind === 'resting') return [{ option: 'quarantine', passes: false, reason: decision.error }]
  if (decision.kind === 'dead' && decision.option === 'depth') return [{ option: 'depth', passes: false, reason: decision.error }]
  const told = [...activeTold(rule, event), ...conditionTold(rule, event)]
  if (decision.kind === 'dead' && decision.option !== 'when')
    told.push({ option: decision.option as 'group_by' | 'concurrency', passes: false, reason: decision.error })
  const window = decision.kind === 'dead' ? null : decision.window
  if (window !== null) told.push(windowTold(rule, window, decision.kind === 'react'))
  if (decision.kind === 'react') told.push(...(await guardsTold(rule, decision.slot, decision.stopped, around)))
  return told
}

/** What stands between the decision to react and the call. */
export async function guardsTold(
  rule: DecidedRule,
  slot: string | null,
  stopped: Stopped | null,
  { guards, running }: Surroundings
): Promise<OptionEffect[]> {
  const { rate, breaker } = guards.shown(rule.id)
  const told: OptionEffect[] = []
  if (rule.breaker !== null || stopped?.blocked === 'breaker')
    told.push(guard('breaker', stopped, `the circuit breaker is ${breaker.state}`))
  if (stopped?.blocked === 'breaker') return told
  const rates = rule.rate_limit ?? (stopped === null ? null : guards.defaults.rate_limit)
  if (rates !== null) {
    const { limit, per } = rates
    told.push(guard('rate_limit', stopped, `with it ${rate?.count ?? 0} of ${limit} in ${shownDuration(per)}`))
  }
  if (stopped !== null) return told
  const paused = running?.paused(rule.id) ?? null
  if (paused !== null) told.push({ option: 'paused', passes: false, reason: paused })
  if (rule.concurrency !== null && slot !== null) told.push(await lineTold(rule, rule.concurrency.limit, slot, running))
  if (rule.retry !== null) {
    const { attempts } = rule.retry
    const many = attempts === undefined ? 'as many attempts as the setting reactor_attempts says' : `${attempts} attempts`
    told.push({ option: 'retry', passes: true, reason: `${many} while nothing was published` })
  }
  return told
}

function guard(option: 'breaker' | 'rate_limit', stopped: Stopped | null, otherwise: string): OptionEffect {
  return stopped?.blocked === option ? { option, passes: false, reason: stopped.error } : { option, passes: true, reason: otherwise }
}

function activeTold(rule: DecidedRule, { stampUs }: StoredEvent): OptionEffect[] {
  if (rule.active === null) return []
  if (isActive(rule, stampUs)) return [{ option: 'active', passes: true, reason: `active at ${stampOf(stampUs)}` }]
  const againUs = activeAgain(rule, stampUs)
  const then = againUs === null ? 'not within eight days' : `again at ${stampOf(againUs)}`
  const held = rule.outside === 'hold' ? '; the event is held until then' : ''
  return [{ option: 'active', passes: false, reason: `not active at ${stampOf(stampUs)}; ${then}${held}` }]
}

function conditionTold(rule: DecidedRule, event: StoredEvent): OptionEffect[] {
  if (rule.when === null) return []
  const refusal = conditionOn(rule, event)
  if (refusal === null) return [{ option: 'when', passes: true, reason: 'the condition holds' }]
  const reason = refusal.kind === 'fault' ? refusal.error : refusal.why
  return [{ option: 'when', passes: false, reason: reason.replace(/^when: /, '') }]
}

function windowTold(rule: DecidedRule, window: Joined, reacts: boolean): OptionEffect {
  const option = rule.throttle !== null ? 'throttle' : rule.debounce !== null ? 'debounce' : 'accumulate'
  const { key, opens, count, passed, openedUs, dueUs } = window
  const shown = { key, opens, events: count, passed, opened: stampOf(openedUs), due: stampOf(dueUs) }
  const which = `${opens ? 'opens' : 'joins'} ${key === '' ? 'the window' : `the window of ${key}`}`
  const reached = option === 'accumulate' ? `, ${count} of ${rule.accumulate!.threshold}` : `, closed at ${shown.due}`
  if (window.kind !== 'once_within') return { option, passes: false, reason: `${which}${reached}`, window: shown }
  const reason = reacts
    ? `${which}: others are passed over until ${shown.due}`
    : `an earlier event was reacted to; passed over until ${shown.due}`
  return { option, passes: reacts, reason, window: shown }
}

async function lineTold({ id }: DecidedRule, limit: number, slot: string, running: Running | null): Promise<OptionEffect> {
  const line = slot === '' ? 'the line' : `the line of ${slot}`
  if (running === null) return { option: 'concurrency', passes: true, reason: `stands in ${line}, of which ${limit} go at a time` }
  const { working, waiting } = await running.line(id, slot)
  const passes = working < limit && waiting === 0
  return { option: 'concurrency', passes, reason: `${working} of ${limit} of ${line} go now, ${waiting} wait` }
}
