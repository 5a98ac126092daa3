/**
 * When a rule is active: times of the week as people say them (`{days: [mon, fri], from: '22:00', to: '06:00', timezone: Europe/Berlin}`), or the
 * minutes that a cron expression names (`{cron: '* 8-17 * * 1-5'}`).
 */
import { Cron } from 'croner'

/** One time in which a rule is active. Without days: every day; without from and to: all day. `to` before `from`: past midnight. */
export interface ActiveTime {
  readonly days?: readonly Day[]
  /** `HH:MM`; `to` is excluded. */
  readonly from?: string
  readonly to?: string
  /** Instead of the three above: active in every minute that this expression matches. */
  readonly cron?: string
  /** IANA name; UTC when none is given. */
  readonly timezone?: string
}

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type Day = (typeof DAYS)[number]

const MINUTE_US = 60_000_000
const DAY_MINUTES = 24 * 60
/** How far the next opening is looked for minute by minute: times of the week come within eight days, a change of the clock included. */
const SEARCHED_MINUTES = 8 * DAY_MINUTES

/** Null when it is a time that can be, else the field below it and what is wrong. */
export function activeFault(time: ActiveTime): { field: string; reason: string } | null {
  const { days, from, to, cron, timezone } = time
  if (timezone !== undefined && !isZone(timezone)) return { field: 'timezone', reason: `'${timezone.slice(0, 60)}' is no time zone` }
  if (cron !== undefined) {
    if (days !== undefined || from !== undefined || to !== undefined) return { field: 'cron', reason: 'stands alone: no days, from or to' }
    return isCron(cron) ? null : { field: 'cron', reason: `'${cron.slice(0, 60)}' is no cron expression` }
  }
  if (days === undefined && from === undefined && to === undefined) return { field: '', reason: 'names no days, no from and to, no cron' }
  if ((from === undefined) !== (to === undefined)) return { field: from === undefined ? 'from' : 'to', reason: 'is missing' }
  for (const [field, text] of Object.entries({ from, to })) {
    if (text !== undefined && minuteOf(text) === null) return { field, reason: `must be a time of day, HH:MM, not '${text.slice(0, 20)}'` }
  }
  return null
}

/** Times joined: active when one of them is. */
export class ActiveTimes {
  readonly #times: readonly ((us: number) => boolean)[]
  #known: { from: number; until: number; next: number | null } | null = null

  constructor(times: readonly ActiveTime[]) {
    this.#times = times.map(compiled)
  }

  /** `us`: microseconds since 1970 UTC. */
  at(us: number): boolean {
    return this.#times.some(active => active(us))
  }

  /** The beginning of the next minute in which it is active, within eight days; null when there is none. */
  next(us: number): number | null {
    if (this.#known !== null && us >= this.#known.from && us < this.#known.until) return this.#known.next
    let minute = (Math.floor(us / MINUTE_US) + 1) * MINUTE_US
    const last = minute + SEARCHED_MINUTES * MINUTE_US
    while (minute < last && !this.at(minute)) minute += MINUTE_US
    this.#known = { from: us, until: minute, next: minute < last ? minute : null }
    return this.#known.next
  }
}

function compiled({ days, from, to, cron, timezone = 'UTC' }: ActiveTime): (us: number) => boolean {
  if (cron !== undefined) {
    const pattern = new Cron(cron, { timezone, paused: true })
    // The first second of the minute: expressions of five fields mean that one.
    return us => pattern.match(new Date(Math.floor(us / MINUTE_US) * 60_000))
  }
  const local = localTimes(timezone)
  const wanted = new Set<number>((days ?? DAYS).map(day => DAYS.indexOf(day)))
  const begin = from === undefined ? 0 : minuteOf(from)!
  const end = to === undefined ? DAY_MINUTES : minuteOf(to)!
  return us => {
    const { day, minute } = local(us)
    if (begin < end) return wanted.has(day) && minute >= begin && minute < end
    // Past midnight (or, when both are the same, a whole day from there): the day is the one on which it began.
    return minute >= begin ? wanted.has(day) : minute < end && wanted.has((day + 6) % 7)
  }
}

/** Day of the week (0: Monday) and minute of the day in a time zone. The minute asked last is remembered: events come close together. */
function localTimes(timeZone: string): (us: number) => { day: number; minute: number } {
  const format = new Intl.DateTimeFormat('en-US', { timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
  let last = { at: Number.NaN, day: 0, minute: 0 }
  return us => {
    const at = Math.floor(us / MINUTE_US)
    if (at === last.at) return last
    const parts = Object.fromEntries(format.formatToParts(at * 60_000).map(({ type, value }) => [type, value]))
    const day = DAYS.indexOf(parts.weekday!.toLowerCase() as Day)
    last = { at, day, minute: Number(parts.hour) * 60 + Number(parts.minute) }
    return last
  }
}

function minuteOf(text: string): number | null {
  const match = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(text)
  return match ? Number(match[1]) * 60 + Number(match[2]) : null
}

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name })
    return true
  } catch {
    return false
  }
}

function isCron(expression: string): boolean {
  try {
    new Cron(expression, { paused: true })
    return true
  } catch {
    return false
  }
}
