/**
 * What becomes of events, rule by rule: options, windows and guards in their order. The one course for the live reactor (which plans what is decided),
 * for backtests and trials (which count and show it) and for a minion's own reactor.
 */
import type { NewEvent, StoredEvent } from '../events/event.js'
import type { Conditions, Resting } from './conditions.js'
import type { GatedRule } from './gate.js'
import type { Guards, Stopped } from './guards.js'
import { reactsTo, tooDeep } from './scope.js'
import type { Fired, Joined, Windows } from './windows.js'

/** A rule as it is decided. */
export type DecidedRule = GatedRule & { readonly tag: string }

/** An option, or a guard, that decides about an event. */
export type DecidingOption = 'when' | 'active' | 'throttle' | 'group_by' | 'concurrency' | 'depth'

export type Decision<R extends DecidedRule> =
  /** Nothing: an option passes the event over. */
  | {
      readonly kind: 'passed'
      readonly rule: R
      readonly event: StoredEvent
      readonly option: 'when' | 'active' | 'throttle'
      readonly why: string
      readonly window: Joined | null
    }
  /** A dead letter from the beginning: too deep, or an expression with a mistake. */
  | {
      readonly kind: 'dead'
      readonly rule: R
      readonly event: StoredEvent
      readonly option: 'depth' | 'when' | 'group_by' | 'concurrency'
      readonly error: string
    }
  /** A dead letter: the expressions of the rule rest, since they take too much. */
  | { readonly kind: 'resting'; readonly rule: R; readonly event: StoredEvent; readonly resting: Resting; readonly error: string }
  /** It waits in a window. */
  | { readonly kind: 'gathered'; readonly rule: R; readonly event: StoredEvent; readonly window: Joined }
  /** A reaction to the event alone, unless a guard stops it. `inactive`: not before the rule is active; `slot`: key of its line. */
  | ({
      readonly kind: 'react'
      readonly rule: R
      readonly event: StoredEvent
      readonly inactive: boolean
      readonly slot: string | null
      readonly window: Joined | null
    } & Guarded)
  /** A reaction to a window that is closed, unless a guard stops it. `rule`: null when it is no more. */
  | ({ readonly kind: 'window'; readonly rule: R | null; readonly fired: Fired } & Guarded)

interface Guarded {
  readonly stopped: Stopped | null
  /** What guards have to tell. */
  readonly told: readonly NewEvent[]
}

export interface DeciderOptions<R extends DecidedRule> {
  readonly windows: Windows
  readonly guards: Pick<Guards, 'pass'>
  readonly conditions: Pick<Conditions, 'judge'>
  readonly maxDepth: number
  /** The rule of this id as it is now. */
  readonly find: (id: string) => R | null
}

export class Decider<R extends DecidedRule> {
  readonly #o: DeciderOptions<R>

  constructor(options: DeciderOptions<R>) {
    this.#o = options
  }

  /** Decides about an event for the rules that match its tag, in their order. What was due before it is to be taken first (`due`). */
  event(rules: readonly R[], event: StoredEvent): Decision<R>[] {
    const decisions: Decision<R>[] = []
    for (const rule of rules) if (reactsTo(rule, event)) this.#decide(rule, event, decisions)
    return decisions
  }

  /** Windows whose time was over at `us`. */
  due(us: number): Decision<R>[] {
    return this.#o.windows.due(us).map(fired => this.#window(fired))
  }

  #decide(rule: R, event: StoredEvent, decisions: Decision<R>[]): void {
    const { windows, guards, conditions, maxDepth } = this.#o
    const deep = tooDeep(event, maxDepth)
    if (deep !== null) return void decisions.push({ kind: 'dead', rule, event, option: 'depth', error: deep })
    const verdict = conditions.judge(rule, event, windows)
    if (verdict.kind === 'nothing') {
      const { option, why } = verdict
      return void decisions.push({ kind: 'passed', rule, event, option, why, window: null })
    }
    if (verdict.kind === 'resting') return void decisions.push(resting(rule, event, verdict))
    if (verdict.kind === 'fault') {
      const { option, error } = verdict
      return void decisions.push({ kind: 'dead', rule, event, option, error })
    }
    for (const fired of verdict.fired) decisions.push(this.#window(fired))
    if (verdict.kind === 'gathered') return void decisions.push(gathered(rule, event, verdict.window))
    const { stopped, events: told } = guards.pass(rule, event)
    const { inactive, slot, window } = verdict
    decisions.push({ kind: 'react', rule, event, inactive, slot, window, stopped, told })
  }

  #window(fired: Fired): Decision<R> {
    const rule = this.#o.find(fired.rule)
    if (rule === null) return { kind: 'window', rule, fired, stopped: null, told: [] }
    const { last: seq, stampUs } = fired
    const { stopped, events: told } = this.#o.guards.pass(rule, { seq, stampUs, tag: rule.tag, cause: null })
    return { kind: 'window', rule, fired, stopped, told }
  }
}

function resting<R extends DecidedRule>(rule: R, event: StoredEvent, resting: Resting): Decision<R> {
  const error = `blocked: quarantined, ${resting.why}; they are tried again in ${resting.seconds} s, or once the rule is another`
  return { kind: 'resting', rule, event, resting, error }
}

function gathered<R extends DecidedRule>(rule: R, event: StoredEvent, window: Joined): Decision<R> {
  if (window.kind !== 'once_within') return { kind: 'gathered', rule, event, window }
  return { kind: 'passed', rule, event, option: 'throttle', why: 'throttle: an earlier event of this time was reacted to', window }
}
