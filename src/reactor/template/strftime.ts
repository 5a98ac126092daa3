/** Salt's `strftime` filter: a time stamp (seconds, UTC) or an ISO date, in C's format language. */
import { runtimeError } from './errors.js'
import { isNumber, toFloat, typeName } from './operators.js'
import type { Value } from './values.js'

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December']

export function strftime(value: Value, format: string): string {
  const seconds = secondsOf(value)
  const date = new Date(Math.floor(seconds * 1000))
  if (Number.isNaN(date.getTime())) throw runtimeError(`year is out of range: ${seconds}`)
  const micros = Math.round((seconds - Math.floor(seconds)) * 1e6)
  return format.replace(/%[-]?([a-zA-Z%])/g, (whole, code: string) => {
    const text = field(code, date, micros)
    if (text === null) return whole
    return whole[1] === '-' ? text.replace(/^0+(?=\d)/, '') : text
  })
}

function secondsOf(value: Value): number {
  if (value === null) return Date.now() / 1000
  if (isNumber(value)) return toFloat(value)
  if (typeof value !== 'string') throw runtimeError(`Unable to parse date from ${typeName(value)}`)
  if (/^\d+(?:\.\d+)?$/.test(value)) return Number(value)
  const iso = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?))?(Z|[-+]\d{2}:?\d{2})?$/.exec(value.trim())
  const millis = iso === null ? Number.NaN : Date.parse(`${iso[1]}T${iso[2] ?? '00:00'}${iso[3] ?? 'Z'}`)
  if (Number.isNaN(millis)) throw runtimeError(`Unable to parse date '${value}'`)
  return millis / 1000
}

function pad(value: number, width = 2, fill = '0'): string {
  return String(value).padStart(width, fill)
}

function field(code: string, date: Date, micros: number): string | null {
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
  const [hour, minute, second] = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
  switch (code) {
    case 'Y':
      return pad(year, 4)
    case 'y':
      return pad(year % 100)
    case 'C':
      return pad(Math.floor(year / 100))
    case 'm':
      return pad(month + 1)
    case 'd':
      return pad(day)
    case 'e':
      return pad(day, 2, ' ')
    case 'H':
      return pad(hour)
    case 'I':
      return pad(hour % 12 || 12)
    case 'M':
      return pad(minute)
    case 'S':
      return pad(second)
    case 'f':
      return pad(micros, 6)
    case 'p':
      return hour < 12 ? 'AM' : 'PM'
    default:
      return names(code, date) ?? composed(code, date, micros)
  }
}

function names(code: string, date: Date): string | null {
  const weekday = date.getUTCDay()
  switch (code) {
    case 'a':
      return DAYS[weekday]!.slice(0, 3)
    case 'A':
      return DAYS[weekday]!
    case 'b':
    case 'h':
      return MONTHS[date.getUTCMonth()]!.slice(0, 3)
    case 'B':
      return MONTHS[date.getUTCMonth()]!
    case 'w':
      return String(weekday)
    case 'u':
      return String(weekday || 7)
    case 'j':
      return pad(dayOfYear(date) + 1, 3)
    case 'U':
      return pad(Math.floor((dayOfYear(date) + 7 - weekday) / 7))
    case 'W':
      return pad(Math.floor((dayOfYear(date) + 7 - ((weekday + 6) % 7)) / 7))
    default:
      return isoWeek(code, date)
  }
}

function dayOfYear(date: Date): number {
  return Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000)
}

function isoWeek(code: string, date: Date): string | null {
  if (code !== 'V' && code !== 'G') return null
  const thursday = new Date(date.getTime() + (3 - ((date.getUTCDay() + 6) % 7)) * 86_400_000)
  return code === 'G' ? pad(thursday.getUTCFullYear(), 4) : pad(Math.floor(dayOfYear(thursday) / 7) + 1)
}

function composed(code: string, date: Date, micros: number): string | null {
  const format: Record<string, string> = {
    D: 'm/d/y',
    F: 'Y-m-d',
    T: 'H:M:S',
    R: 'H:M',
    x: 'm/d/y',
    X: 'H:M:S',
    c: 'a b e H:M:S Y',
    r: 'I:M:S p'
  }
  const pattern = format[code]
  if (pattern !== undefined) return pattern.replace(/[a-zA-Z]/g, letter => field(letter, date, micros)!)
  const literal: Record<string, string> = { s: String(Math.floor(date.getTime() / 1000)), z: '', Z: '', n: '\n', t: '\t', '%': '%' }
  return literal[code] ?? null
}
