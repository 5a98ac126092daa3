import { randomBytes } from 'node:crypto'
import type { Config } from '../config/schema.js'
import { BrineError, brineError, isBrineError } from '../errors.js'
import type { Clock } from '../shared/clock.js'
import type { TagFilter, TokenStore } from '../store/store.js'
import { admitsFrom } from './api-acl.js'
import { Attempts, addressKey } from './attempts.js'
import type { Backend, LoggedIn } from './backends/backend.js'
import { FileBackend } from './backends/file.js'
import { remoteBackends } from './backends/remote.js'
import { SharedSecretBackend } from './backends/sharedsecret.js'
import type { Caller } from './caller.js'
import { Gate } from './gate.js'
import type { TokenCodec } from './jwt.js'
import { DEFAULT_COST, hashPassword, type ScryptCost } from './password.js'
import { ADMIN_EAUTH, callerFor, coversPattern, type MinionsMatching, minionCaller, permissionsOf } from './permissions.js'
import { newOpaqueToken, type OpaqueKind, opaqueJti, opaqueKind, type Session, Sessions } from './sessions.js'
import { MAX_NAME, MAX_PASSWORD, type Users } from './users.js'

export interface AuthenticatorOptions {
  readonly config: Pick<
    Config,
    'external_auth' | 'sharedsecret' | 'token_expire' | 'token_expire_user_override' | 'ticket_seconds' | 'login_attempts_per_minute'
  > &
    Partial<Config>
  readonly store: TokenStore
  readonly clock: Clock
  readonly users: Users
  readonly codec: TokenCodec
  /** Ids that a target means now: for permissions that hold for some minions. */
  readonly minionsMatching: MinionsMatching
  readonly log: { info(fields: object, text: string): void; warn(fields: object, text: string): void }
  /** What checking an unknown user's password costs; tests make it cheap. */
  readonly cost?: ScryptCost
}

export interface LoginRequest {
  readonly username: string
  readonly password: string
  readonly eauth: string
  /** Where it comes from: attempts are counted per address too. */
  readonly address: string
  /** Lifetime that the client asks for, in seconds; granted when `token_expire_user_override` says so. */
  readonly tokenExpire?: number
}

export interface Login {
  readonly token: string
  readonly caller: Caller
  /** Microseconds since 1970 UTC. */
  readonly startUs: number
  readonly expiresUs: number
}

export interface IssueRequest {
  readonly user: string
  /** `admin`, `token` (users of external_auth.token: they have no password) or a login backend. */
  readonly eauth: string
  /** What it is for, for people: `login`, `admin`, `ci`. */
  readonly label: string
  readonly expiresSeconds: number
  /** What a remote backend told of the user at the login. */
  readonly groups?: readonly string[]
  /** `stream`: good for reading events and nothing else. */
  readonly scope?: 'full' | 'stream'
  /** With scope `stream`: the tags that it may read; each must be covered by what the user may read. */
  readonly tags?: readonly string[]
}

/** Verified tokens that are remembered. Two generations of this size: about 20 MB when both are full. */
const CACHE = 10_000
/** Passwords that are hashed at the same time (each takes 32 MiB and one of libuv's four threads), and that wait for it. */
const MAX_HASHING = 2
const MAX_HASHING_WAITING = 64
/** Logins that ask a directory or a helper at the same time, and that wait for it: a directory that is away must not hold up the others. */
const MAX_ASKING = 16
const MAX_ASKING_WAITING = 256
/** A used ticket is remembered until it would have expired; beyond this none is honoured for a moment. */
const MAX_USED_TICKETS = 100_000
const MAX_TICKET_TAGS = 100
/** Addresses from which somebody has logged in, each with the name; the one longest ago goes first. */
const MAX_PLACES = 10_000
const SWEEP_MS = 60_000
/** A minion renews its token with every connection and long before this. */
export const MINION_TOKEN_SECONDS = 3600
const TEN_YEARS = 10 * 365 * 86_400

interface Cached {
  readonly caller: Caller
  readonly expiresUs: number
  /** Null: a minion's token, which no table lists. */
  readonly session: Session | null
}

/** Establishes who is calling: logins, tokens, tickets, and what ends them. */
export class Authenticator {
  readonly #o: AuthenticatorOptions
  readonly #sessions: Sessions
  readonly #attempts: Attempts
  #backends: ReadonlyMap<string, Backend> = new Map()
  readonly #undo: (() => void)[] = []
  #cache = new Map<string, Cached>()
  #cacheBefore = new Map<string, Cached>()
  readonly #usedTickets = new Map<string, number>()
  readonly #places = new Set<string>()
  readonly #hashing = new Gate(MAX_HASHING, MAX_HASHING_WAITING, () => rateLimited(1))
  readonly #asking = new Gate(MAX_ASKING, MAX_ASKING_WAITING, () => rateLimited(1))
  #sweeper: NodeJS.Timeout | null = null

  constructor(options: AuthenticatorOptions) {
    this.#o = options
    this.#sessions = new Sessions({ store: options.store, clock: options.clock })
    this.#attempts = new Attempts({ perMinute: options.config.login_attempts_per_minute, clock: options.clock })
  }

  /** Reads the tokens that are alive. Nothing is verified before. */
  async start(): Promise<void> {
    if (this.#sweeper !== null) return
    // Made beside the start, which need not wait for its 200 ms; the first login does.
    const decoy = hashPassword(randomBytes(16).toString('hex'), this.#o.cost ?? DEFAULT_COST)
    this.#backends = new Map<string, Backend>([
      ['file', new FileBackend(this.#o.users, decoy)],
      ...remoteBackends(this.#o.config),
      ['sharedsecret', new SharedSecretBackend(this.#o.config.sharedsecret, decoy)]
    ])
    this.#o.users.start()
    for (const backend of this.#backends.values()) this.#undo.push(backend.onChange(() => this.#accountsChanged()))
    await this.#sessions.load()
    this.#accountsChanged()
    this.#sweeper = setInterval(() => void this.#sweep(), SWEEP_MS).unref()
  }

  stop(): void {
    if (this.#sweeper !== null) clearInterval(this.#sweeper)
    this.#sweeper = null
    this.#o.users.stop()
    for (const undo of this.#undo.splice(0)) undo()
  }

  // ── logging in ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Checks a password and issues a token: the id of a session, or (`eauth`) one for programs, each in salt-api's form.
   * @throws LOGIN_FAILED, the same for every reason and after the same time; NO_TOKEN when `api_acl` does not admit the user from there;
   *   RATE_LIMITED with the seconds to wait
   */
  async login(request: LoginRequest, kind: OpaqueKind = 'session'): Promise<Login> {
    const { groups } = await this.#checked(request)
    const { username: user, eauth, address } = request
    const label = kind === 'session' ? 'login' : 'eauth'
    const issue = { user, eauth, label, expiresSeconds: this.#lifetime(request), ...(groups ? { groups } : {}) }
    const login = await this.#issue(issue, newOpaqueToken(kind))
    this.#o.log.info({ user, eauth, address, jti: login.caller.jti }, 'login')
    return login
  }

  /**
   * Checks a password for one request, without a token that would stay.
   * @throws as `login`
   */
  async identify(request: LoginRequest): Promise<Caller> {
    const { groups } = await this.#checked(request)
    const { username: user, eauth } = request
    const never = { jti: null, expiresUs: Number.POSITIVE_INFINITY }
    const account = this.#accountOf({ user, eauth, issuedUs: this.#o.clock.nowUs(), ...(groups ? { groups } : {}) })
    if (account === null) throw brineError('LOGIN_FAILED')
    return callerFor({ user, eauth, ...never, groups: account.groups }, this.#o.config.external_auth, this.#o.minionsMatching)
  }

  /** What the backend told of the user, when the password is right and the configuration knows the user. */
  async #checked(request: LoginRequest): Promise<{ groups?: readonly string[] }> {
    const keys = this.#attemptKeys(request)
    const refused = this.#attempts.take(keys)
    if (refused !== null) throw rateLimited(refused.waitSeconds)
    const known = await this.#checkPassword(request)
    const { username: user, eauth, address } = request
    if (known === null) {
      this.#o.log.info({ eauth: eauth.slice(0, 32), address }, 'login refused')
      throw brineError('LOGIN_FAILED')
    }
    const admitted = admitsFrom(this.#o.config['rest_cherrypy.api_acl']?.users ?? {}, user, address)
    if (!known.permitted || !admitted) {
      const reason = admitted ? `external_auth.${eauth} has no entry for this user` : 'api_acl does not admit this user from this address'
      this.#o.log.warn({ user, eauth, address }, `login refused: the password is right, but ${reason}`)
      throw brineError(admitted ? 'LOGIN_FAILED' : 'NO_TOKEN')
    }
    this.#attempts.giveBack(keys)
    this.#rememberPlace(request)
    return known.groups ? { groups: known.groups } : {}
  }

  /**
   * What a failed attempt counts against: the address, and the name. From an address where the user has logged in before the name counts
   * for that address alone, so that strangers who try a user's name elsewhere cannot keep the user out.
   */
  #attemptKeys(request: LoginRequest): string[] {
    const place = placeOf(request)
    const name = this.#places.has(place) ? place : place.slice(place.indexOf(' ') + 1)
    return [`address ${addressKey(request.address)}`, `name ${name}`]
  }

  #rememberPlace(request: LoginRequest): void {
    const place = placeOf(request)
    this.#places.delete(place)
    if (this.#places.size >= MAX_PLACES) this.#places.delete(this.#places.values().next().value!)
    this.#places.add(place)
  }

  /** Null: wrong; not permitted: right, but external_auth does not know the user (golden/api section 15, no. 28). Always hashes or asks once. */
  async #checkPassword({ username, password, eauth }: LoginRequest): Promise<{ permitted: boolean; groups?: readonly string[] } | null> {
    const backend = this.#backends.get(eauth) ?? this.#backends.get('sharedsecret')
    if (backend === undefined) throw brineError('LOGIN_FAILED')
    const fits = username !== '' && username.length <= MAX_NAME && password !== '' && password.length <= MAX_PASSWORD
    const gate = backend.remote ? this.#asking : this.#hashing
    const found = await gate.pass(() => this.#ask(backend, eauth, fits ? username : '', fits ? password : 'x'))
    if (found === null || !fits || !this.#backends.has(eauth)) return null
    const groups = found.groups ?? backend.account(username)?.groups ?? []
    const permitted = permissionsOf(username, groups, this.#o.config.external_auth[eauth] ?? {}) !== null
    return { permitted, ...(found.groups ? { groups: found.groups } : {}) }
  }

  /** A backend that cannot be asked lets nobody in; whoever runs the server learns why. */
  async #ask(backend: Backend, eauth: string, user: string, password: string): Promise<LoggedIn | null> {
    try {
      return await backend.login(user, password)
    } catch (error) {
      this.#o.log.warn({ eauth, reason: (error as Error).message }, 'the login backend could not be asked')
      return null
    }
  }

  #lifetime({ username, eauth, tokenExpire }: LoginRequest): number {
    const { token_expire, token_expire_user_override: override } = this.#o.config
    if (tokenExpire === undefined || !(tokenExpire > 0) || tokenExpire > TEN_YEARS) return token_expire
    const may = typeof override === 'boolean' ? override : (override[eauth] ?? []).includes(username)
    return may ? tokenExpire : token_expire
  }

  // ── tokens ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Issues a token on purpose: the administrator's, one for a program. Durable when this resolves. */
  async issue(request: IssueRequest): Promise<{ token: string; jti: string; expiresUs: number }> {
    const { token, caller, expiresUs } = await this.#issue(request)
    return { token, jti: caller.jti!, expiresUs }
  }

  /** `opaque`: the token itself, kept by its hash; without one a signed token is made, which says itself what it is. */
  async #issue({ user, eauth, label, expiresSeconds, scope, tags, groups }: IssueRequest, opaque?: string): Promise<Login> {
    const startUs = this.#o.clock.nowUs()
    const expiresUs = startUs + Math.round(expiresSeconds * 1_000_000)
    const draft = { user, eauth, label, issuedUs: startUs, expiresUs, ...(groups ? { groups } : {}) }
    if (this.#accountOf(draft) === null) throw brineError('NOT_FOUND', `${eauth} user ${user}`)
    const session = await this.#sessions.add(draft, opaque === undefined ? undefined : opaqueJti(opaque))
    const claims = { kind: 'user', jti: session.jti, sub: user, eauth, ...lifetime(startUs, expiresUs) }
    const token = opaque ?? this.#o.codec.sign({ ...claims, ...(scope === 'stream' ? { scope, ...(tags ? { tags } : {}) } : {}) })
    const caller = this.#callerOf(session, scope ?? 'full', tags)
    if (caller === null) throw brineError('NO_TOKEN')
    return { token, caller, startUs, expiresUs }
  }

  /**
   * Who this token stands for. A ticket is used up by it.
   * @throws NO_TOKEN when it is unknown, expired, revoked, or not a token at all
   */
  async verify(token: string): Promise<Caller> {
    const cached = this.verifySync(token)
    if (cached !== null) return cached
    if (opaqueKind(token) !== null) return await this.#opaqueCaller(token)
    const claims = this.#claims(token)
    if (claims === null || claims.expUs <= this.#o.clock.nowUs()) throw brineError('NO_TOKEN')
    if (claims.kind === 'ticket') return await this.#redeem(claims)
    const found = claims.kind === 'minion' ? this.#minionOf(claims) : await this.#userOf(claims)
    if (found === null) throw brineError('NO_TOKEN')
    this.#remember(token, found)
    return found.caller
  }

  /** The same for a token that was verified before and still counts, else null: a Map lookup, for the hot routes. */
  verifySync(token: string): Caller | null {
    let entry = this.#cache.get(token)
    if (entry === undefined) {
      entry = this.#cacheBefore.get(token)
      if (entry === undefined) return null
      this.#remember(token, entry)
    }
    return entry.session?.revoked === true || entry.expiresUs <= this.#o.clock.nowUs() ? null : entry.caller
  }

  /** Ends a token: at once here, durably when this resolves. `unknown`: there is no such token. */
  async revoke(jti: string): Promise<'revoked' | 'unknown'> {
    const result = await this.#sessions.revoke(jti)
    if (result === 'revoked') this.#o.log.info({ jti }, 'token revoked')
    return result
  }

  /** Called with the id of each token that ends before its time, so that its streams end too. Returns its undo. */
  onRevoked(listener: (jti: string) => void): () => void {
    return this.#sessions.onRevoked(listener)
  }

  /** The token's label (`login`, `admin` …), null when it does not count. */
  label(jti: string): string | null {
    const session = this.#sessions.get(jti)
    return session === null || session.revoked ? null : session.label
  }

  /** Tokens that count, newest first; never the tokens themselves. */
  tokens(): Omit<Session, 'revoked'>[] {
    const now = this.#o.clock.nowUs()
    return this.#sessions
      .all()
      .filter(session => !session.revoked && session.expiresUs > now)
      .reverse()
      .map(({ revoked: _, ...session }) => session)
  }

  // ── tickets and minions ────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * A ticket: opens one stream of events, once, within `seconds` (the setting ticket_seconds by default), and fits into a URL that may be logged.
   * The stream lasts as long as the caller's own token would.
   * @throws NOT_PERMITTED when the caller may not read these tags
   */
  async ticket(
    caller: Caller,
    options: { tags?: readonly string[]; seconds?: number } = {}
  ): Promise<{ ticket: string; expiresUs: number }> {
    const tags = options.tags ?? []
    if (caller.scope !== 'full' || caller.jti === null || caller.readable === null)
      throw brineError('NOT_PERMITTED', caller.user, 'read events')
    if (tags.length > MAX_TICKET_TAGS) throw brineError('FIELD_INVALID', 'tag', `has more than ${MAX_TICKET_TAGS} globs`)
    const foreign = tags.find(tag => !coversPattern(caller.readable, tag))
    if (foreign !== undefined) throw brineError('NOT_PERMITTED', caller.user, `read events with tags like '${foreign}'`)
    const nowUs = this.#o.clock.nowUs()
    const expiresUs = nowUs + (options.seconds ?? this.#o.config.ticket_seconds) * 1_000_000
    const ticket = this.#o.codec.sign({
      kind: 'ticket',
      jti: randomBytes(16).toString('hex'),
      parent: caller.jti,
      ...lifetime(nowUs, expiresUs),
      ...(tags.length > 0 ? { tags } : {})
    })
    return { ticket, expiresUs }
  }

  /** A token for a minion that has proved its key. It ends after an hour; until then the link asks whether the key still counts (`admits`). */
  minionToken(id: string): { token: string; expiresUs: number } {
    const nowUs = this.#o.clock.nowUs()
    const expiresUs = nowUs + MINION_TOKEN_SECONDS * 1_000_000
    return { token: this.#o.codec.sign({ kind: 'minion', sub: id, ...lifetime(nowUs, expiresUs) }), expiresUs }
  }

  async #redeem(claims: Claims): Promise<Caller> {
    const session = typeof claims.parent === 'string' ? await this.#sessions.find(claims.parent) : null
    if (session === null || !this.#counts(session) || this.#usedTickets.has(claims.jti)) throw brineError('NO_TOKEN')
    this.#forgetTickets()
    if (this.#usedTickets.size >= MAX_USED_TICKETS) throw rateLimited(1)
    this.#usedTickets.set(claims.jti, claims.expUs)
    const caller = this.#callerOf(session, 'stream', claims.tags)
    if (caller === null) throw brineError('NO_TOKEN')
    return caller
  }

  async #opaqueCaller(token: string): Promise<Caller> {
    const session = await this.#sessions.findGuessed(opaqueJti(token))
    const caller = session === null || !this.#counts(session) ? null : this.#callerOf(session, 'full')
    if (session === null || caller === null) throw brineError('NO_TOKEN')
    this.#remember(token, { caller, expiresUs: session.expiresUs, session })
    return caller
  }

  #minionOf(claims: Claims): Cached | null {
    const caller = minionCaller(claims.sub, { jti: null, expiresUs: claims.expUs })
    return { caller, expiresUs: claims.expUs, session: null }
  }

  async #userOf(claims: Claims): Promise<Cached | null> {
    const session = await this.#sessions.find(claims.jti)
    if (session === null || !this.#counts(session) || session.user !== claims.sub || session.eauth !== claims.eauth) return null
    const caller = this.#callerOf(session, claims.scope === 'stream' ? 'stream' : 'full', claims.tags)
    return caller === null ? null : { caller, expiresUs: session.expiresUs, session }
  }

  #claims(token: string): Claims | null {
    try {
      const claims = this.#o.codec.verify(token) as unknown as Claims
      const isOurs = KINDS.includes(claims.kind) && typeof claims.iatUs === 'number' && typeof claims.expUs === 'number'
      return isOurs ? claims : null
    } catch {
      return null
    }
  }

  #counts(session: Session): boolean {
    return !session.revoked && session.expiresUs > this.#o.clock.nowUs()
  }

  /** Null: the account is gone, or its password was set after the token was issued. */
  #callerOf(session: Session, scope: 'full' | 'stream', tags?: readonly string[]): Caller | null {
    const { user, eauth, jti, expiresUs } = session
    const account = this.#accountOf(session)
    if (account === null) return null
    const identity = { user, eauth, jti, expiresUs, scope, groups: account.groups }
    const caller = callerFor(identity, this.#o.config.external_auth, this.#o.minionsMatching)
    return tags === undefined ? caller : { ...caller, readable: narrowed(caller.readable, tags) }
  }

  #accountOf(session: Pick<Session, 'user' | 'eauth' | 'issuedUs' | 'groups'>): { readonly groups: readonly string[] } | null {
    const { user, eauth, issuedUs, groups } = session
    if (eauth === ADMIN_EAUTH || eauth === 'token') return { groups: [] }
    const account = this.#backends.get(eauth)?.account(user) ?? null
    return account === null || issuedUs < account.sinceUs ? null : { groups: groups ?? account.groups }
  }

  /** Users were changed: permissions by group are made anew, and tokens of those who are gone end with their streams. */
  #accountsChanged(): void {
    this.#forgetCallers()
    for (const session of this.#sessions.all()) if (this.#accountOf(session) === null) this.#sessions.kill(session.jti)
  }

  #remember(token: string, entry: Cached): void {
    if (this.#cache.size >= CACHE) {
      this.#cacheBefore = this.#cache
      this.#cache = new Map()
    }
    this.#cache.set(token, entry)
  }

  #forgetCallers(): void {
    this.#cache = new Map()
    this.#cacheBefore = new Map()
  }

  #forgetTickets(): void {
    const now = this.#o.clock.nowUs()
    // In the order of use, which is nearly that of expiry: the first one that has not expired ends the search.
    for (const [jti, expiresUs] of this.#usedTickets) {
      if (expiresUs > now) break
      this.#usedTickets.delete(jti)
    }
  }

  async #sweep(): Promise<void> {
    this.#forgetTickets()
    try {
      await this.#sessions.sweep()
    } catch (error) {
      if (!isBrineError(error)) throw error
      this.#o.log.warn({ code: error.code }, 'expired tokens could not be removed; tried again in a minute')
    }
  }
}

const KINDS = ['user', 'ticket', 'minion'] as const

/** What the tokens of this server say. Checked field by field before use: a signature proves who wrote it, not that it is of this version. */
interface Claims {
  readonly kind: (typeof KINDS)[number]
  readonly jti: string
  readonly sub: string
  readonly eauth?: string
  /** Microseconds since 1970 UTC. */
  readonly iatUs: number
  readonly expUs: number
  readonly scope?: string
  readonly tags?: readonly string[]
  readonly parent?: string
}

/** To the microsecond for us; `exp` for who looks into a token (whole seconds, as the standard's libraries want it). */
function lifetime(iatUs: number, expUs: number) {
  return { iatUs, expUs, exp: Math.ceil(expUs / 1_000_000) }
}

/** `<address> <eauth> <name>`; names differ in case no more than mail addresses do, as far as guessing goes. */
function placeOf({ address, eauth, username }: LoginRequest): string {
  return `${addressKey(address)} ${eauth.slice(0, 32)} ${username.slice(0, MAX_NAME).toLowerCase()}`
}

/** What of the wanted tags may be read; permissions may have become fewer since the token was issued. */
function narrowed(readable: TagFilter | null, tags: readonly string[]): TagFilter | null {
  return readable === null ? null : { allowed: tags.filter(tag => coversPattern(readable, tag)) }
}

function rateLimited(seconds: number): BrineError {
  return new BrineError('RATE_LIMITED', [String(seconds)], { retryAfter: seconds })
}
