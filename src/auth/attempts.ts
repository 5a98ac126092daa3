import type { Clock } from '../shared/clock.js'

/** So many addresses and names are remembered; the one that was tried longest ago is forgotten first. About 2 MB when full. */
const MAX_REMEMBERED = 10_000

/**
 * Counts failed logins: a bucket of `perMinute` attempts per key that fills again at that rate. An attempt is taken before the password is
 * looked at and given back when it was right, so that attempts at the same time cannot slip through together.
 */
export class Attempts {
  readonly #perMinute: number
  readonly #clock: Clock
  readonly #buckets = new Map<string, { left: number; atUs: number }>()

  constructor(options: { perMinute: number; clock: Clock }) {
    this.#perMinute = options.perMinute
    this.#clock = options.clock
  }

  /** Takes one attempt for each key, or none; then says how many seconds to wait. */
  take(keys: readonly string[]): { waitSeconds: number } | null {
    const now = this.#clock.nowUs()
    const left = keys.map(key => this.#left(key, now))
    const least = Math.min(...left)
    if (least < 1) return { waitSeconds: Math.ceil(((1 - least) * 60) / this.#perMinute) }
    for (const [i, key] of keys.entries()) this.#set(key, left[i]! - 1, now)
    return null
  }

  giveBack(keys: readonly string[]): void {
    const now = this.#clock.nowUs()
    for (const key of keys) this.#set(key, this.#left(key, now) + 1, now)
  }

  /** Keys that are remembered, for tests and metrics. */
  get size(): number {
    return this.#buckets.size
  }

  #left(key: string, now: number): number {
    const bucket = this.#buckets.get(key)
    if (bucket === undefined) return this.#perMinute
    return Math.min(this.#perMinute, bucket.left + ((now - bucket.atUs) / 60_000_000) * this.#perMinute)
  }

  #set(key: string, left: number, now: number): void {
    this.#buckets.delete(key)
    if (left >= this.#perMinute) return
    if (this.#buckets.size >= MAX_REMEMBERED) this.#buckets.delete(this.#buckets.keys().next().value!)
    this.#buckets.set(key, { left, atUs: now })
  }
}

/** The address as it counts: an IPv6 customer has a /64 at least, so its addresses count as one. */
export function addressKey(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address.replace(/^::ffff:/, '')
  const [head = '', tail] = address.split('%')[0]!.split('::') as [string, string?]
  const left = head.split(':').filter(Boolean)
  const right = tail === undefined ? [] : tail.split(':').filter(Boolean)
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  const groups = [...left, ...Array<string>(zeros).fill('0'), ...right].map(group => group.toLowerCase().replace(/^0+(?=.)/, ''))
  return `${groups.slice(0, 4).join(':')}::/64`
}
