/**
 * What a rule may say besides its tag and its files: when it applies, how events are gathered before it acts, and how much it may do. Here is what
 * each may be (`checkOptions`); `gate.ts` has what they do when an event comes, `windows.ts` how events are gathered.
 */
import { brineError } from '../errors.js'
import { type ActiveTime, activeFault, DAYS } from './active.js'
import { expressionFault } from './render.js'

/** Seconds, or text with a unit: `500ms`, `30s`, `5m`, `2h`, `1d`. */
export type Duration = number | string

/** Each is null where the rule does not have it. */
export interface RuleOptions {
  /** An expression over `tag` and `data`: the rule only reacts where it holds. What it names and is not there does not hold. */
  readonly when: string | null
  readonly active: readonly ActiveTime[] | null
  /** What becomes of events outside of `active`: `skip` (the default) passes them over, `hold` reacts when the rule is active again. */
  readonly outside: 'skip' | 'hold' | null
  /** `once_within`: react to the first event, pass over the others of that time; `once_after`: gather for that long, then react once to all. */
  readonly throttle: { readonly once_within: Duration } | { readonly once_after: Duration } | null
  /** React to all events together once none has come for `period`, but at the latest `max` after the first. */
  readonly debounce: { readonly period: Duration; readonly max?: Duration } | null
  /** React to `threshold` events together when so many came `within` a time. */
  readonly accumulate: { readonly within: Duration; readonly threshold: number } | null
  /** An expression over the event: events with different values are gathered apart. For the three above. */
  readonly group_by: string | null
  /** So many events (for each value of the expression `key`) are worked on at a time, their jobs included; others wait in line. */
  readonly concurrency: { readonly key?: string; readonly limit: number } | null
  /**
   * How often something is tried, the first pause, what it is multiplied with each time, and by what part it varies. Without `on` that is what was
   * never published (a store that could not write, a file that is missing); `on` adds what may be done more than once.
   */
  readonly retry: {
    readonly attempts?: number
    readonly pause?: Duration
    readonly factor?: number
    readonly jitter?: number
    readonly on?: readonly RetryOn[]
  } | null
  /** Reactions to more than `limit` events in each time `per` are blocked. */
  readonly rate_limit: { readonly limit: number; readonly per: Duration } | null
  /** After `failures` within a time the rule is blocked for `rest`; then one event is tried. */
  readonly breaker: { readonly failures: number; readonly within?: Duration; readonly rest?: Duration } | null
}

/**
 * unmatched: no minion matched the target; failed: a runner or wheel function raised, or minions returned a failure; absent: minions did not return in
 * time; interrupted: a crash of the server interrupted a runner or wheel function.
 */
export const RETRY_ON = ['unmatched', 'failed', 'absent', 'interrupted'] as const
export type RetryOn = (typeof RETRY_ON)[number]

export const NO_OPTIONS = {
  when: null,
  active: null,
  outside: null,
  throttle: null,
  debounce: null,
  accumulate: null,
  group_by: null,
  concurrency: null,
  retry: null,
  rate_limit: null,
  breaker: null
} as const satisfies RuleOptions

export const OPTION_NAMES = Object.keys(NO_OPTIONS) as (keyof RuleOptions)[]

/** The options of a rule, each that it does not have as null. */
export function optionsOf(rule: Partial<RuleOptions>): RuleOptions {
  return Object.fromEntries(OPTION_NAMES.map(name => [name, rule[name] ?? null])) as unknown as RuleOptions
}

/** Only the options that a rule has: as a request, or a file, says them. */
export function givenOptions(rule: RuleOptions): Partial<RuleOptions> {
  return Object.fromEntries(OPTION_NAMES.filter(name => rule[name] !== null).map(name => [name, rule[name]]))
}

/** Expressions are a line, not a program. */
const MAX_EXPRESSION = 2000
const MAX_TIMES = 50
/** Windows and rests beyond a month belong into a schedule. */
const MAX_SECONDS = 31 * 86_400
/** Events that one window gathers; `windows.ts` has what happens there. */
export const MAX_THRESHOLD = 10_000
const MAX_COUNT = 1_000_000

const UNITS: Readonly<Record<string, number>> = { ms: 1e3, s: 1e6, m: 60e6, h: 3600e6, d: 86_400e6 }

/** Microseconds; null when the value is no duration. */
export function durationUs(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) && value > 0 ? Math.round(value * 1e6) : null
  if (typeof value !== 'string') return null
  const match = /^(\d{1,9}(?:\.\d{1,6})?) ?(ms|s|m|h|d)?$/.exec(value)
  const us = match ? Math.round(Number(match[1]) * UNITS[match[2] ?? 's']!) : 0
  return us > 0 ? us : null
}

/** For people: `30 s`, or as the author wrote it. */
export function shownDuration(duration: Duration): string {
  return typeof duration === 'number' ? `${duration} s` : duration
}

/** @throws FIELD_INVALID naming the first option that cannot be */
export function checkOptions(options: Partial<Readonly<Record<keyof RuleOptions, unknown>>>): void {
  const fault = optionFault(options)
  if (fault !== null) throw brineError('FIELD_INVALID', fault.field, fault.reason)
}

interface OptionFault {
  readonly field: string
  readonly reason: string
}

type Check = (value: unknown, field: string) => OptionFault | null

/** What is wrong with the first option that cannot be; null when all can. Values may have come from YAML: nothing is known of them. */
export function optionFault(options: Partial<Readonly<Record<keyof RuleOptions, unknown>>>): OptionFault | null {
  for (const name of OPTION_NAMES) {
    const value = options[name]
    const fault = value === undefined || value === null ? null : CHECKS[name](value, name)
    if (fault !== null) return fault
  }
  const has = (name: keyof RuleOptions) => options[name] !== undefined && options[name] !== null
  const gathering = (['throttle', 'debounce', 'accumulate'] as const).filter(has)
  if (gathering.length > 1) return { field: gathering[1]!, reason: `cannot stand beside ${gathering[0]}` }
  if (has('group_by') && gathering.length === 0) return { field: 'group_by', reason: 'needs throttle, debounce or accumulate' }
  return has('outside') && !has('active') ? { field: 'outside', reason: 'needs active' } : null
}

const expression: Check = (value, field) => {
  if (typeof value !== 'string' || value.trim() === '') return { field, reason: 'must be an expression over tag and data' }
  if (value.length > MAX_EXPRESSION) return { field, reason: `is longer than ${MAX_EXPRESSION} characters` }
  const reason = expressionFault(value)
  return reason === null ? null : { field, reason: `is no expression: ${reason}` }
}

const duration: Check = (value, field) => {
  const us = durationUs(value)
  if (us === null) return { field, reason: 'must be a time: seconds, or text such as 30s, 5m, 2h, 1d' }
  return us > MAX_SECONDS * 1e6 ? { field, reason: 'must not be longer than 31 days' } : null
}

const within =
  (min: number, max: number, whole = true): Check =>
  (value, field) =>
    typeof value === 'number' && value >= min && value <= max && (!whole || Number.isInteger(value))
      ? null
      : { field, reason: `must be ${whole ? 'a whole number' : 'a number'} between ${min} and ${max}` }

/** A mapping with these fields and no others; `?` at the end of a name: it may be missing. */
function mapping(fields: Readonly<Record<string, Check>>): Check {
  const known = new Map(Object.entries(fields).map(([name, check]) => [name.replace('?', ''), check]))
  const required = Object.keys(fields).filter(name => !name.endsWith('?'))
  return (value, field) => {
    if (!isMapping(value)) return { field, reason: `must be a mapping with ${[...known.keys()].join(', ')}` }
    for (const [name, inner] of Object.entries(value)) {
      const check = known.get(name)
      if (check === undefined) return { field: `${field}.${name}`, reason: `is not known; there are ${[...known.keys()].join(', ')}` }
      const fault = check(inner, `${field}.${name}`)
      if (fault !== null) return fault
    }
    const missing = required.find(name => !Object.hasOwn(value, name))
    return missing === undefined ? null : { field: `${field}.${missing}`, reason: 'is missing' }
  }
}

const throttle: Check = (value, field) => {
  const fault = mapping({ 'once_within?': duration, 'once_after?': duration })(value, field)
  if (fault !== null) return fault
  return Object.keys(value as object).length === 1 ? null : { field, reason: 'must have either once_within or once_after' }
}

const retryOn: Check = (value, field) =>
  Array.isArray(value) && value.length > 0 && value.every(each => (RETRY_ON as readonly unknown[]).includes(each))
    ? null
    : { field, reason: `must be a list of ${RETRY_ON.join(', ')}` }

const text: Check = (value, field) => (typeof value === 'string' ? null : { field, reason: 'must be a text' })
const days: Check = (value, field) =>
  Array.isArray(value) && value.length > 0 && value.every(day => (DAYS as readonly unknown[]).includes(day))
    ? null
    : { field, reason: `must be a list of ${DAYS.join(', ')}` }
const activeTime = mapping({ 'days?': days, 'from?': text, 'to?': text, 'cron?': text, 'timezone?': text })

const active: Check = (value, field) => {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_TIMES)
    return { field, reason: `must be a list of 1 to ${MAX_TIMES} times` }
  for (const [i, time] of value.entries()) {
    const fault = activeTime(time, `${field}[${i}]`)
    if (fault !== null) return fault
    const wrong = activeFault(time as ActiveTime)
    if (wrong !== null) return { field: `${field}[${i}]${wrong.field === '' ? '' : `.${wrong.field}`}`, reason: wrong.reason }
  }
  return null
}

const debounce: Check = (value, field) => {
  const fault = mapping({ period: duration, 'max?': duration })(value, field)
  if (fault !== null) return fault
  const { period, max } = value as { period: Duration; max?: Duration }
  const tooShort = max !== undefined && durationUs(max)! < durationUs(period)!
  return tooShort ? { field: `${field}.max`, reason: 'must not be shorter than period' } : null
}

const CHECKS: Readonly<Record<keyof RuleOptions, Check>> = {
  when: expression,
  active,
  outside: (value, field) => (value === 'skip' || value === 'hold' ? null : { field, reason: 'must be skip or hold' }),
  throttle,
  debounce,
  accumulate: mapping({ within: duration, threshold: within(1, MAX_THRESHOLD) }),
  group_by: expression,
  concurrency: mapping({ 'key?': expression, limit: within(1, 10_000) }),
  retry: mapping({
    'attempts?': within(1, 100),
    'pause?': duration,
    'factor?': within(1, 10, false),
    'jitter?': within(0, 1, false),
    'on?': retryOn
  }),
  rate_limit: mapping({ limit: within(1, MAX_COUNT), per: duration }),
  breaker: mapping({ failures: within(1, MAX_COUNT), 'within?': duration, 'rest?': duration })
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
