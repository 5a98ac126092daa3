import type { Clock } from '../shared/clock.js'

/**
 * Job ids are Salt's: the UTC time as 20 digits, year to microsecond (`20261122203758556109`).
 */
export class JidSource {
  readonly #clock: Clock
  #last = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A new id, greater than every one before it: where the clock stands still or goes back, one microsecond is added to the last. */
  next(): string {
    const now = this.#clock.nowUs()
    this.#last = now > this.#last ? now : this.#last + 1
    return jidOf(this.#last)
  }
}

/** The id of an instant (microseconds since 1970 UTC). */
export function jidOf(us: number): string {
  const seconds = new Date(Math.floor(us / 1000)).toISOString().slice(0, 19)
  return seconds.replace(/[-T:]/g, '') + String(us % 1_000_000).padStart(6, '0')
}

/**
 * Salt's test: 20 characters that Python's `int()` reads (so signs, single `_` between digits and non-ASCII digits slip through), or more when the
 * 21st is an underscore with something behind it (`unique_jid`).
 */
export function isJid(value: unknown): value is string {
  if (typeof value !== 'string') return false
  const chars = [...value]
  if (!hasJidLength(chars)) return false
  return /^[\s\p{Zs}]*[+-]?\p{Nd}+(?:_\p{Nd}+)*[\s\p{Zs}]*$/u.test(chars.slice(0, 20).join(''))
}

const MONTHS = ['', 'Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** `2026, Nov 22 20:37:58.556109`; empty text for what is no job id or has no such month. */
export function jidToTime(value: unknown): string {
  try {
    return parseJidTime(value)
  } catch {
    return ''
  }
}

/** As `jidToTime`, but a month that does not exist (or is no number) is a RangeError, as Salt's own function raises there. */
export function parseJidTime(value: unknown): string {
  const chars = [...String(value ?? '')]
  if (!hasJidLength(chars)) return ''
  const cut = (from: number, to: number) => chars.slice(from, to).join('')
  const month = Number(cut(4, 6).trim() || Number.NaN)
  const name = MONTHS[month]
  if (name === undefined) throw new RangeError(`'${cut(0, 20)}' has no month`)
  return `${cut(0, 4)}, ${name} ${cut(6, 8)} ${cut(8, 10)}:${cut(10, 12)}:${cut(12, 14)}.${cut(14, 20)}`
}

function hasJidLength(chars: readonly string[]): boolean {
  return chars.length === 20 || (chars.length > 21 && chars[20] === '_')
}
