import { createHash, randomBytes } from 'node:crypto'
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

const GUESSED_RELOAD_US = 1_000_000

/**
 * salt-api's two kinds of token (golden/api section 5), which say nothing by themselves: 40 hex digits name a session, 64 are the token that POST
 * /token gives. Clients look at their form and keep them in places that are made for it.
 */
const OPAQUE_BYTES = { session: 20, eauth: 32 } as const
export type OpaqueKind = keyof typeof OPAQUE_BYTES

export function newOpaqueToken(kind: OpaqueKind): string {
  return randomBytes(OPAQUE_BYTES[kind]).toString('hex')
}

/** Null for what has neither form: a signed token, or none at all. */
export function opaqueKind(token: string): OpaqueKind | null {
  if (!/^[0-9a-f]+$/.test(token)) return null
  return token.length === 40 ? 'session' : token.length === 64 ? 'eauth' : null
}

/** The id under which an opaque token is kept: its hash, so that nobody who reads the store has the token. */
export function opaqueJti(token: string): string {
  return createHash('sha256').update(token).digest('hex').slice(0, 32)
}

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
  #loadedUs = Number.NEGATIVE_INFINITY

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

  /**
   * The same for an id that anybody can make up: the store is asked once a second at most, whoever guesses. A session of another server is known
   * here after that time.
   */
  async findGuessed(jti: string): Promise<Session | null> {
    if (!this.#live.has(jti) && this.#clock.nowUs() - this.#loadedUs >= GUESSED_RELOAD_US) await this.load()
    return this.get(jti)
  }

  all(): Session[] {
    return [...this.#live.values()]
  }

  /** Reads the store. Several who ask at the same time share one reading. */
  load(): Promise<void> {
    this.#loadedUs = this.#clock.nowUs()
    this.#reloading ??= this.#store
      .live(this.#clock.nowUs())
      .then(records => this.#merge(records))
      .finally(() => {
        this.#reloading = null
      })
    return this.#reloading
  }

  /** `jti`: made from an opaque token (`opaqueJti`); without it one that nobody has. */
  async add(session: Omit<Session, 'revoked' | 'jti'>, jti = randomBytes(16).toString('hex')): Promise<Session> {
    if (this.#live.size >= MAX_LIVE) await this.#makeRoom()
    const added: Session = { ...session, jti, revoked: false }
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
