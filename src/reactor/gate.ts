/**
 * What a rule's options make of an event: nothing, a reaction to it, or a place in a window. Pure but for the windows (`windows.ts`), whose state it
 * changes; the guards (`guards.ts`) are asked afterwards, about reactions alone.
 */
import { createHash } from 'node:crypto'
import type { StoredEvent } from '../events/event.js'
import { saltJson } from '../events/json.js'
import { ActiveTimes } from './active.js'
import type { RuleOptions } from './options.js'
import { type EventExpressions, eventExpressions, isSwiftExpression, type Limits, TemplateError } from './render.js'
import { type Fired, type Gathering, gatheringOf, type Joined, type Windows } from './windows.js'

/** A rule as the gate sees it. */
export type GatedRule = { readonly id: string; readonly version: number; readonly sls: readonly string[] } & RuleOptions

export type Verdict =
  /** `why`: for whoever asks why nothing happens. */
  | { readonly kind: 'nothing'; readonly option: 'when' | 'active'; readonly why: string }
  /** The expression of an option has a mistake; `limit`: it was stopped at its limits. */
  | {
      readonly kind: 'fault'
      readonly option: 'when' | 'group_by' | 'concurrency'
      readonly error: string
      readonly limit: boolean
    }
  /** `inactive`: not before the rule is active again. `slot`: the key of its line. */
  | {
      readonly kind: 'react'
      readonly inactive: boolean
      readonly slot: string | null
      readonly fired: readonly Fired[]
      readonly window: Joined | null
    }
  /** It waits in a window, or is passed over by one (once_within); `fired`: windows that are closed by it. */
  | { readonly kind: 'gathered'; readonly window: Joined; readonly fired: readonly Fired[] }

export type Refusal = Extract<Verdict, { kind: 'nothing' | 'fault' }>

const INACTIVE = { kind: 'nothing', option: 'active', why: 'active: the rule is not active at the time of the event' } as const

/**
 * Expressions run where events are planned, each event a few of them: what takes longer than this is no condition. The steps take some milliseconds;
 * the time is for a machine that is busy with something else, where a condition must not fail because of that.
 */
const EXPRESSION_LIMITS: Partial<Limits> = { steps: 20_000, size: 200_000, milliseconds: 100 }
/** Keys are kept with each window and plan; a longer one stands as its hash. */
const MAX_KEY = 200

interface Compiled {
  readonly plain: boolean
  readonly costly: boolean
  readonly active: ActiveTimes | null
  readonly gathering: Gathering | null
}

const compiledRules = new WeakMap<GatedRule, Compiled>()

function compiledOf(rule: GatedRule): Compiled {
  const known = compiledRules.get(rule)
  if (known !== undefined) return known
  const gathering = gatheringOf(rule)
  const active = rule.active === null ? null : new ActiveTimes(rule.active)
  const plain = gathering === null && active === null && rule.when === null && rule.concurrency === null
  const costly = [rule.when, rule.group_by, rule.concurrency?.key ?? null].some(source => source !== null && !isSwiftExpression(source))
  const compiled = { gathering, active, plain, costly }
  compiledRules.set(rule, compiled)
  return compiled
}

/** True for rules with expressions that compute something: what they take is worth watching. */
export function isCostly(rule: GatedRule): boolean {
  return compiledOf(rule).costly
}

/** True while the rule is active; a rule without times always is. */
export function isActive(rule: GatedRule, us: number): boolean {
  return compiledOf(rule).active?.at(us) ?? true
}

/** The options that only look at the event: null when the rule takes it. */
export function refusalOf(rule: GatedRule, event: Pick<StoredEvent, 'tag' | 'json' | 'stampUs'>): Refusal | null {
  const { plain, active } = compiledOf(rule)
  if (plain) return null
  if (active !== null && rule.outside !== 'hold' && !active.at(event.stampUs)) return INACTIVE
  return rule.when === null ? null : conditionOf(rule.when, expressionsOf(event))
}

/** When the rule is active again: the beginning of a minute within eight days; null when it is not. */
export function activeAgain(rule: GatedRule, us: number): number | null {
  return compiledOf(rule).active?.next(us) ?? null
}

/** What a condition says of an event; null when it holds. */
export function conditionOn(rule: GatedRule, event: Pick<StoredEvent, 'tag' | 'json'>): Refusal | null {
  return rule.when === null ? null : conditionOf(rule.when, expressionsOf(event))
}

/** The key under which a rule gathers an event; null when it does not gather, or its expression has a mistake there. */
export function groupKeyOf(rule: GatedRule, event: Pick<StoredEvent, 'tag' | 'json'>): string | null {
  if (compiledOf(rule).gathering === null) return null
  try {
    return keyOf(rule.group_by ?? undefined, expressionsOf(event), 'group_by')
  } catch (error) {
    if (error instanceof TemplateError) return null
    throw error
  }
}

/** What becomes of an event that a rule matches. */
export function judge(rule: GatedRule, event: StoredEvent, windows: Windows): Verdict {
  const { plain, active, gathering } = compiledOf(rule)
  if (plain) return { kind: 'react', inactive: false, slot: null, fired: [], window: null }
  const isNow = active?.at(event.stampUs) ?? true
  if (!isNow && rule.outside !== 'hold') return INACTIVE
  const expressions = expressionsOf(event)
  const refusal = rule.when === null ? null : conditionOf(rule.when, expressions)
  if (refusal !== null) return refusal
  let option: 'group_by' | 'concurrency' = 'concurrency'
  try {
    const slot = rule.concurrency === null ? null : keyOf(rule.concurrency.key, expressions, 'concurrency.key')
    if (gathering === null) return { kind: 'react', inactive: !isNow, slot, fired: [], window: null }
    const { id, version, sls } = rule
    option = 'group_by'
    const key = keyOf(rule.group_by ?? undefined, expressions, 'group_by')
    const { now, fired, window } = windows.take({ id, version, sls, gathering }, key, event, slot)
    return now ? { kind: 'react', inactive: !isNow, slot, fired, window } : { kind: 'gathered', window, fired }
  } catch (error) {
    if (error instanceof TemplateError) return { kind: 'fault', option, error: error.describe(), limit: error.kind === 'limit' }
    throw error
  }
}

function expressionsOf({ tag, json }: Pick<StoredEvent, 'tag' | 'json'>): EventExpressions {
  return eventExpressions({ tag, json, limits: EXPRESSION_LIMITS })
}

/** A condition on what an event does not have does not hold; any other mistake in it is one. */
function conditionOf(when: string, expressions: EventExpressions): Refusal | null {
  try {
    return expressions.holds(when) ? null : { kind: 'nothing', option: 'when', why: 'when: the condition does not hold' }
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error
    if (error.kind === 'undefined') return { kind: 'nothing', option: 'when', why: `when: the condition does not hold: ${error.reason}` }
    return { kind: 'fault', option: 'when', error: `when: ${error.describe()}`, limit: error.kind === 'limit' }
  }
}

/** The value of an expression as a key; without one all events have the same. @throws TemplateError naming the option */
function keyOf(source: string | undefined, expressions: EventExpressions, option: string): string {
  if (source === undefined) return ''
  try {
    const text = saltJson(expressions.value(source))
    return text.length <= MAX_KEY ? text : `sha256:${createHash('sha256').update(text).digest('hex')}`
  } catch (error) {
    if (error instanceof TemplateError) throw new TemplateError(error.kind, `${option}: ${error.describe()}`)
    throw error
  }
}
