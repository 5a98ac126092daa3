/**
 * A job of the schedule, as it is written (Salt's option names: https://docs.saltproject.io/en/3006/topics/jobs/#scheduling-jobs).
 */
import { isMapping, type Mapping } from '../modules/values.js'

export type Entry = Mapping

/** What `schedule.list` shows of a job; anything else in it is the scheduler's own. */
export const SHOWN: ReadonlySet<string> = new Set([
  ...['name', 'maxrunning', 'function', 'splay', 'range', 'when', 'once', 'once_fmt', 'returner', 'jid_include', 'args', 'kwargs'],
  ...['seconds', 'minutes', 'hours', 'days', 'enabled', 'return_job', 'metadata', 'cron', 'until', 'after', 'return_config'],
  ...['return_kwargs', 'run_on_start', 'skip_during_range', 'run_after_skip_range']
])

/** Keys of a schedule that are no jobs. */
export const SWITCHES: ReadonlySet<string> = new Set(['enabled', 'skip_function', 'skip_during_range'])

const INTERVALS: readonly (readonly [string, number])[] = [
  ['seconds', 1],
  ['minutes', 60],
  ['hours', 3600],
  ['days', 86_400]
]

/** Seconds between two runs: all given units together; 0 when there is none. */
export function intervalOf(entry: Entry): number {
  return INTERVALS.reduce((sum, [unit, seconds]) => sum + (Number(entry[unit] ?? 0) || 0) * seconds, 0)
}

/** Salt's text when an entry says when to run in two ways; null when it does not. */
export function timeConflict(given: Mapping): string | null {
  const interval = INTERVALS.some(([unit]) => given[unit] !== undefined)
  if (interval && (given.when !== undefined || given.cron !== undefined)) {
    return 'Unable to use "seconds", "minutes", "hours", or "days" with "when" or "cron" options.'
  }
  return given.when !== undefined && given.cron !== undefined ? 'Unable to use "when" and "cron" options together.  Ignoring.' : null
}

export interface Refused {
  readonly comment: string
  readonly result: false
}

/** A job from the arguments of `schedule.add`, keys in Salt's order; else what is wrong with them. */
export function buildEntry(name: string, given: Mapping): Entry | Refused {
  const refused = (comment: string): Refused => ({ comment, result: false })
  if (name === '') return refused('Job name is required.')
  const conflict = timeConflict(given)
  if (conflict !== null) return refused(conflict)
  if (typeof given.function !== 'string') return refused('Job function is required.')
  if (given.job_args !== undefined && !Array.isArray(given.job_args))
    return refused('job_args is not a list. please correct and try again.')
  if (given.job_kwargs !== undefined && !isMapping(given.job_kwargs))
    return refused('job_kwargs is not a dict. please correct and try again.')
  const entry: Entry = { function: given.function }
  const copy = (...names: readonly string[]): void => {
    for (const option of names) if (given[option] !== undefined && given[option] !== null) entry[option] = given[option]
  }
  copy('seconds', 'minutes', 'hours', 'days', 'return_job', 'metadata')
  if (given.job_args !== undefined) entry.args = given.job_args
  if (given.job_kwargs !== undefined) entry.kwargs = given.job_kwargs
  entry.maxrunning = given.maxrunning ?? 1
  entry.name = given.name ?? name
  entry.enabled = given.enabled ?? true
  if (given.jid_include ?? true) entry.jid_include = true
  copy('splay', 'range', 'when', 'once', 'once_fmt', 'cron', 'returner', 'after', 'return_config', 'return_kwargs', 'until')
  copy('run_on_start', 'skip_during_range', 'run_after_skip_range')
  return entry
}

export function isRefused(built: Entry | Refused): built is Refused {
  return built.result === false && typeof built.comment === 'string'
}

/** A job as `schedule.list` shows it. */
export function shownEntry(entry: Entry): Entry {
  const shown = Object.entries(entry).filter(([option, value]) => SHOWN.has(option) && value !== null && value !== undefined)
  return { ...Object.fromEntries(shown), ...(entry.enabled === undefined ? { enabled: true } : {}) }
}
