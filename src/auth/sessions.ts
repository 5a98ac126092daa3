import { randomBytes } from 'node:crypto'
import { brineError } from '../errors.js'
import type { Clock } from '../shared/clock.js'
import type { TokenRecord, TokenStore } from '../store/store.js'

/** A token that was issued and has not expired, as this process knows it. */
export interface Session {
  readonly jti: string
  readonly user: string
  readonly eauth: string
  readonly label: string
  /** What a remote backend told at the login. */
  readonly groups?: readonly string[]
  readonly issuedUs: number
  readonly expiresUs: number
  revoked: boolean
}

/**
 * Tokens that are alive at a time. A login that would go beyond it ends the oldest login; tokens made on purpose (`admin`, `brine token create`)
 * stay. About 30 MB when full: a script that logs in before each call, all day long.
 */
const MAX_LIVE = 100_000

/**
 * The tokens that count: a mirror of `store.tokens` in memory, so that asking about one costs a Map lookup. A token that is not in it was never
 * issued by this log's server (or is dead), whatever its signature says.
 */
export class Sessions {
  readonly #store: TokenStore
  readonly #clock: Clock
  /** In the order in which they were issued. */
  readonly #live = new Map<string, Session>()
  readonly #listeners = new Set<(jti: string) => void>()
  #reloading: Promise<void> | null = null

  constructor(options: { store: TokenStore; clock: Clock }) {
    this.#store = options.store
    this.#clock = options.clock
  }

  get(jti: string): Session | null {
    return this.#live.get(jti) ?? null
  }

  /** The session, asking the store when it is not known here: another server on the same store may have issued it. */
  async find(jti: string): Promise<Session | null> {
    if (!this.#live.has(jti)) await this.load()
    return this.get(jti)
  }

  all(): Session[] {
    return [...this.#live.values()]
  }

  /** Reads the store. Several who ask at the same time share one reading. */
  load(): Promise<void> {
    this.#reloading ??= this.#store
      .live(this.#clock.nowUs())
      .then(records => this.#merge(records))
      .finally(() => {
        this.#reloading = null
      })
    return this.#reloading
  }

  async add(session: Omit<Session, 'revoked' | 'jti'>): Promise<Session> {
    if (this.#live.size >= MAX_LIVE) await this.#makeRoom()
    const added: Session = { ...session, jti: randomBytes(16).toString('hex'), revoked: false }
    const { revoked: _, ...record } = added
    await this.#store.put(record)
    this.#live.set(added.jti, added)
    return added
  }

  /** Dead at once for this process, and durably so when this resolves. Listeners are told first, so that streams end whatever the disk does. */
  async revoke(jti: string): Promise<'revoked' | 'unknown'> {
    this.kill(jti)
    return this.#store.revoke(jti, this.#clock.nowUs())
  }

  /** Dead for this process: what the caller knows from elsewhere (its user is gone) need not be written down. */
  kill(jti: string): void {
    const session = this.#live.get(jti)
    if (session === undefined || session.revoked) return
    session.revoked = true
    for (const listener of this.#listeners) listener(jti)
  }

  onRevoked(listener: (jti: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Forgets what has expired, here and in the store. */
  async sweep(): Promise<void> {
    const now = this.#clock.nowUs()
    for (const [jti, session] of this.#live) if (session.expiresUs <= now) this.#live.delete(jti)
    await this.#store.trim(now)
  }

  #merge(records: readonly TokenRecord[]): void {
    for (const record of [...records].sort((a, b) => a.issuedUs - b.issuedUs)) {
      const { revokedUs, ...rest } = record
      if (!this.#live.has(record.jti)) this.#live.set(record.jti, { ...rest, revoked: revokedUs !== null })
      else if (revokedUs !== null) this.kill(record.jti)
    }
  }

  async #makeRoom(): Promise<void> {
    await this.sweep()
    if (this.#live.size < MAX_LIVE) return
    const oldest = this.all().find(session => session.label === 'login')
    if (oldest === undefined) throw brineError('CONFLICT', `there are ${MAX_LIVE} tokens already; revoke some`)
    await this.revoke(oldest.jti)
    this.#live.delete(oldest.jti)
  }
}
