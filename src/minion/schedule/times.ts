/** When a job of the schedule is due: intervals, times of day and dates as people write them, cron expressions. Local time, as in Salt. */
import type { Cron } from 'croner'
import { CommandExecutionError } from '../modules/errors.js'
import { isMapping } from '../modules/values.js'

const DAY_MS = 86_400_000
const WEEKDAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday']
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']

interface Parts {
  date?: { year: number; month: number; day: number }
  weekday?: number
  hours?: number
  minutes?: number
  seconds?: number
}

/**
 * The moment that a text means: `5:00pm`, `Monday 5:00pm`, `2026-11-22T17:00:00`, `11/22/2026 5pm`, `22 Nov 2026 17:00`, as Python's
 * dateutil reads the forms that Salt's documentation uses. Without a date: today, a weekday: the next one (today counts). Numbers are seconds
 * since 1970. null: the text is none of these.
 */
export function parseMoment(value: unknown, nowMs: number): number | null {
  if (typeof value === 'number') return value * 1000
  if (typeof value !== 'string') return null
  const parts = partsOf(value.trim())
  if (parts === null) return null
  const now = new Date(nowMs)
  const { date, weekday, hours = 0, minutes = 0, seconds = 0 } = parts
  const day = date ?? { year: now.getFullYear(), month: now.getMonth(), day: now.getDate() }
  const moment = new Date(day.year, day.month, day.day, hours, minutes, seconds)
  if (weekday !== undefined && !date) moment.setDate(moment.getDate() + ((weekday - moment.getDay() + 7) % 7))
  return moment.getTime()
}

/** True when the text names a day itself, so that it does not come again tomorrow. */
function isDated(value: unknown): boolean {
  return typeof value === 'number' || (typeof value === 'string' && partsOf(value.trim())?.date !== undefined)
}

function partsOf(text: string): Parts | null {
  const parts: Parts = {}
  let rest = ` ${text.toLowerCase().replaceAll(',', ' ')} `
  const take = (pattern: RegExp, use: (match: RegExpExecArray) => void): void => {
    const match = pattern.exec(rest)
    if (!match) return
    use(match)
    rest = `${rest.slice(0, match.index)} ${rest.slice(match.index + match[0].length)}`
  }
  const date = (year: string, month: number, day: string) => {
    parts.date = { year: Number(year), month, day: Number(day) }
  }
  take(/(\d{4})-(\d{1,2})-(\d{1,2})(?=[t\s])t?/, m => date(m[1]!, Number(m[2]) - 1, m[3]!))
  take(/\s(\d{1,2})\/(\d{1,2})\/(\d{4})(?=\s)/, m => date(m[3]!, Number(m[1]) - 1, m[2]!))
  const month = `(${MONTHS.join('|')})[a-z]*`
  take(new RegExp(`\\s(\\d{1,2})\\s+${month}\\.?\\s+(\\d{4})(?=\\s)`), m => date(m[3]!, MONTHS.indexOf(m[2]!), m[1]!))
  take(new RegExp(`\\s${month}\\.?\\s+(\\d{1,2})\\s+(\\d{4})(?=\\s)`), m => date(m[3]!, MONTHS.indexOf(m[1]!), m[2]!))
  take(/(\d{1,2})(?::(\d{2})(?::(\d{2})(?:\.\d+)?)?)?\s*(am|pm)(?=\s)/, m => time(parts, m))
  take(/(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?z?(?=\s)/, m => time(parts, m))
  take(new RegExp(`\\s(${WEEKDAYS.map(name => `${name}|${name.slice(0, 3)}`).join('|')})(?=\\s)`), m => {
    parts.weekday = WEEKDAYS.findIndex(name => name.startsWith(m[1]!.slice(0, 3)))
  })
  return rest.trim() === '' && Object.keys(parts).length > 0 ? parts : null
}

function time(parts: Parts, [, hours, minutes = '0', seconds = '0', half]: RegExpExecArray): void {
  const twelve = Number(hours) % 12
  parts.hours = half === 'pm' ? twelve + 12 : half === 'am' ? twelve : Number(hours)
  parts.minutes = Number(minutes)
  parts.seconds = Number(seconds)
}

/** The first of one or more moments that is not over; those without a date come again on another day. null: there is none. */
export function nextWhen(when: unknown, nowMs: number): number | null {
  const moments = (Array.isArray(when) ? when : [when]).map(each => {
    const moment = parseMoment(each, nowMs)
    if (moment === null) throw new CommandExecutionError(`Invalid date string ${String(each)}`)
    if (moment >= nowMs || isDated(each)) return moment
    const again = new Date(moment)
    again.setDate(again.getDate() + (/[a-z]{3}/i.test(String(each).replace(/\b(am|pm)\b/gi, '')) ? 7 : 1))
    return again.getTime()
  })
  const coming = moments.filter(moment => moment >= nowMs)
  return coming.length > 0 ? Math.min(...coming) : null
}

/** The next moment of a cron expression after now; null: never. Throws when it is none. */
export async function nextCron(expression: unknown, nowMs: number): Promise<number | null> {
  // Loaded when a job needs it.
  const { Cron: Pattern } = await import('croner')
  let pattern: Cron
  try {
    pattern = new Pattern(String(expression), { paused: true })
  } catch {
    throw new CommandExecutionError(`Invalid cron string ${String(expression)}`)
  }
  return pattern.nextRun(new Date(nowMs))?.getTime() ?? null
}

/** `once: 2026-11-22T17:00:00`, or in the form that `once_fmt` says (strptime). */
export function onceMoment(once: unknown, format: unknown, nowMs: number): number | null {
  if (typeof format !== 'string') return parseMoment(once, nowMs)
  const names: string[] = []
  const pattern = format.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/%([YmdHMSyp])/g, (_all, name: string) => {
    names.push(name)
    return name === 'Y' ? '(\\d{4})' : name === 'p' ? '([AaPp][Mm])' : '(\\d{1,2})'
  })
  const match = new RegExp(`^${pattern}$`).exec(String(once))
  if (!match) return null
  const of = (name: string, fallback: number) => (names.includes(name) ? Number(match[names.indexOf(name) + 1]) : fallback)
  const year = names.includes('y') ? 2000 + of('y', 0) : of('Y', 1900)
  const half = names.includes('p') ? match[names.indexOf('p') + 1]!.toLowerCase() : ''
  const hours = half === '' ? of('H', 0) : (of('H', 0) % 12) + (half === 'pm' ? 12 : 0)
  return new Date(year, of('m', 1) - 1, of('d', 1), hours, of('M', 0), of('S', 0)).getTime()
}

/** Whether now lies in `{start, end}`; a range whose end is before its start goes over midnight. */
export function inRange(range: unknown, nowMs: number): boolean {
  if (!isMapping(range)) throw new CommandExecutionError('schedule range must be a mapping with start and end')
  const [start, end] = [parseMoment(range.start, nowMs), parseMoment(range.end, nowMs)]
  if (start === null || end === null) throw new CommandExecutionError('Invalid date string for start or end of a schedule range')
  const inside = end >= start ? nowMs >= start && nowMs <= end : nowMs >= start || nowMs <= end
  return inside !== (range.invert === true)
}

/** Salt's default format of fire times: `2026-11-22T17:00:00`, local. */
export function localTime(ms: number): string {
  const date = new Date(ms)
  const two = (value: number) => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

/** A random addition: up to so many seconds, or between start and end. */
export function splayMs(splay: unknown, random: () => number): number {
  if (isMapping(splay)) {
    const [start, end] = [Number(splay.start ?? 0), Number(splay.end ?? 0)]
    return end > start ? (start + random() * (end - start)) * 1000 : Math.max(0, start) * 1000
  }
  const seconds = Number(splay ?? 0)
  return seconds > 0 ? random() * Math.min(seconds, DAY_MS / 1000) * 1000 : 0
}
