import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { BrineError } from '../errors.js'
import type { Clock } from '../shared/clock.js'

/** Signing takes a minion milliseconds; a minute allows for slow links. */
export const CHALLENGE_SECONDS = 60
/** Answered challenges that are remembered until they expire: more than 1,500 proofs a second for a minute. Beyond it proofs are refused for a moment. */
const MAX_USED = 100_000

/**
 * Challenges that this server gives to minions. A challenge is bound to an id, expires, and counts once. What was given out is not kept (it says
 * itself, authenticated, for whom and until when), so that asking for challenges costs nothing and cannot push out anybody else's.
 */
export class Challenges {
  readonly #secret = randomBytes(32)
  readonly #clock: Clock
  /** In the order of use, with the end of their time. */
  readonly #used = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  give(id: string): string {
    const expiresUs = this.#clock.nowUs() + CHALLENGE_SECONDS * 1_000_000
    const open = `${expiresUs.toString(36)}.${randomBytes(16).toString('hex')}`
    return `${open}.${this.#mac(id, open)}`
  }

  /** True when the challenge was given to this id, is not used and not expired. */
  counts(id: string, nonce: string): boolean {
    const [expires = '', random = '', mac = '', ...more] = nonce.split('.')
    // With anything after it, it would be another text and count once more.
    if (more.length > 0) return false
    const right = Buffer.from(this.#mac(id, `${expires}.${random}`))
    const given = Buffer.from(mac)
    if (given.length !== right.length || !timingSafeEqual(given, right)) return false
    return Number.parseInt(expires, 36) > this.#clock.nowUs() && !this.#used.has(nonce)
  }

  /** The challenge was answered: it never counts again. */
  use(nonce: string): void {
    const now = this.#clock.nowUs()
    for (const [used, expiresUs] of this.#used) {
      if (expiresUs > now) break
      this.#used.delete(used)
    }
    if (this.#used.size >= MAX_USED) throw new BrineError('TOO_MANY', ['minions prove their keys'], { retryAfter: 5 })
    this.#used.set(nonce, now + CHALLENGE_SECONDS * 1_000_000)
  }

  #mac(id: string, open: string): string {
    return createHmac('sha256', this.#secret).update(`${id}\n${open}`).digest('hex')
  }
}
