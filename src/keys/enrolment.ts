/**
 * One-time tokens for new minions: whoever proves a key and brings one is let in at once. Kept as hashes, bound to ids, used once, gone
 * after their time.
 */
import { createHash, randomBytes } from 'node:crypto'
import { BrineError, brineError } from '../errors.js'
import type { Clock } from '../shared/clock.js'
import type { EnrolmentRecord, KeyStore } from '../store/store.js'
import { compileGlob } from '../tags/glob.js'

/** Open ones at most: one for each machine of a large site that is set up today. */
const MAX_ENROLMENTS = 10_000
/** How long one may count, in seconds: what is not used in a month was forgotten. */
export const ENROLMENT_SECONDS = { min: 1, fallback: 3600, max: 30 * 86_400 }
/** Of a label and of the globs. */
const MAX_TEXT = 1000
const PREFIX = 'brine-enrol-'

export interface NewEnrolment {
  /** Globs of ids, separated by commas. */
  readonly tgt: string
  readonly ttlSeconds: number
  readonly label: string
  readonly createdBy: string
}

type Store = Pick<KeyStore, 'addEnrolment' | 'enrolment' | 'enrolments' | 'removeEnrolment'>

export class Enrolments {
  readonly #store: Store
  readonly #clock: Clock

  constructor(options: { store: Store; clock: Clock }) {
    this.#store = options.store
    this.#clock = options.clock
  }

  /** Makes one. The token is told here and never again. Throws FIELD_INVALID; TOO_MANY. */
  async create({ tgt, ttlSeconds, label, createdBy }: NewEnrolment): Promise<{ token: string; record: EnrolmentRecord }> {
    const { min, max } = ENROLMENT_SECONDS
    if (!(ttlSeconds >= min && ttlSeconds <= max)) throw brineError('FIELD_INVALID', 'ttl', `must be ${min} to ${max} seconds`)
    if (globsOf(tgt).length === 0) throw brineError('FIELD_INVALID', 'tgt', 'must name ids, as globs')
    if (tgt.length > MAX_TEXT) throw brineError('FIELD_INVALID', 'tgt', `must not be longer than ${MAX_TEXT} characters`)
    if (label.length > MAX_TEXT) throw brineError('FIELD_INVALID', 'label', `must not be longer than ${MAX_TEXT} characters`)
    const token = `${PREFIX}${randomBytes(32).toString('base64url')}`
    const createdUs = this.#clock.nowUs()
    const expiresUs = createdUs + Math.floor(ttlSeconds * 1_000_000)
    const record = { hash: hashOf(token), tgt, label, createdBy, createdUs, expiresUs, usedUs: null, usedBy: null }
    if ((await this.#store.addEnrolment(record, MAX_ENROLMENTS)) === 'full')
      throw new BrineError('TOO_MANY', ['enrolment tokens are open'], { retryAfter: 60 })
    return { token, record }
  }

  /** Those that have not expired, newest first; used ones are among them. */
  list(): Promise<readonly EnrolmentRecord[]> {
    return this.#store.enrolments(this.#clock.nowUs())
  }

  /** Ends one by its id; false when there is none. */
  async revoke(id: string): Promise<boolean> {
    const found = (await this.list()).find(({ hash }) => enrolmentId(hash) === id)
    return found !== undefined && this.#store.removeEnrolment(found.hash)
  }

  /** The hash of the token when it lets this id in now, else null. */
  async counts(token: string, id: string): Promise<string | null> {
    if (!token.startsWith(PREFIX)) return null
    const record = await this.#store.enrolment(hashOf(token))
    if (record === null || record.usedUs !== null || record.expiresUs <= this.#clock.nowUs()) return null
    return globsOf(record.tgt).some(glob => compileGlob(glob)(id)) ? record.hash : null
  }
}

/** What names a token without being it: 12 hex digits. */
export function enrolmentId(hash: string): string {
  return hash.slice(0, 12)
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

function globsOf(tgt: string): string[] {
  return tgt
    .split(',')
    .map(glob => glob.trim())
    .filter(Boolean)
}
