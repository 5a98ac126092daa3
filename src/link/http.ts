/**
 * The HTTP link, server side: proves minions' keys, holds one stream to each, and takes what they send. `routes/minion/` puts it on HTTP;
 * jobs, keys and presence see `MinionLink`.
 */
import { verify } from 'node:crypto'
import type { Writable } from 'node:stream'
import { type Authenticator, MINION_TOKEN_SECONDS } from '../auth/authenticator.js'
import type { Caller } from '../auth/caller.js'
import { type BrineError, brineError } from '../errors.js'
import type { EventLog } from '../events/log.js'
import { FileRoots } from '../fileserver/roots.js'
import type { Credentials } from '../keys/admission.js'
import { checkIdentity, type Keys } from '../keys/keys.js'
import {
  challengeText,
  type EnrollAnswer,
  type EnrollRequest,
  type TokenAnswer,
  type TokenRequest,
  type Up,
  type UpAnswer
} from '../protocol/messages.js'
import { PROTOCOL, speaks } from '../protocol/version.js'
import type { Clock } from '../shared/clock.js'
import type { Delivery, JobStore, KeyState } from '../store/store.js'
import { CHALLENGE_SECONDS, Challenges } from './challenges.js'
import type { MinionLink } from './link.js'
import { Receiver, type Returns } from './receive.js'
import { jobLine, MinionStream, type StreamHost } from './stream.js'

/** Streams are looked after (heartbeats, lost jobs, readers that went away) so often. */
const TICK_MS = 5000

export interface HttpLinkOptions {
  readonly keys: Keys
  readonly auth: Pick<Authenticator, 'minionToken'>
  readonly store: { readonly jobs: Pick<JobStore, 'pending' | 'acknowledge' | 'addPart' | 'parts' | 'dropParts'> }
  readonly events: Pick<EventLog, 'fire'>
  readonly clock: Clock
  readonly config: {
    readonly file_roots: Readonly<Record<string, readonly string[]>>
    readonly enable_legacy_startup_events: boolean
  }
  readonly log: {
    info(fields: object, text: string): void
    warn(fields: object, text: string): void
    error(fields: object, text: string): void
  }
}

/** Until somebody records returns, minions keep them. */
const NOBODY: Returns = {
  recordReturn: () => Promise.reject(brineError('SHUTTING_DOWN')),
  causeOf: () => Promise.reject(brineError('SHUTTING_DOWN'))
}

type PresenceListener = (id: string, connected: boolean) => void

export class HttpLink implements MinionLink {
  /** What minions may read of `file_roots`. */
  readonly files: FileRoots
  /** Who records returns: `Jobs`, which needs this link and is therefore made after it. */
  returns: Returns = NOBODY
  readonly #o: HttpLinkOptions
  readonly #challenges: Challenges
  readonly #receiver: Receiver
  readonly #streams = new Map<string, MinionStream>()
  readonly #host: StreamHost
  #line: { readonly jid: string; readonly text: string } | null = null
  /** Microseconds since 1970 UTC until which a connected minion's newest token counts. */
  readonly #tokenEnds = new Map<string, number>()
  readonly #listeners = new Set<PresenceListener>()
  #timer: NodeJS.Timeout | null = null
  readonly #unlisten: () => void
  #stopped = false

  constructor(options: HttpLinkOptions) {
    this.#o = options
    this.files = new FileRoots(options.config.file_roots)
    this.#challenges = new Challenges(options.clock)
    this.#receiver = new Receiver({ ...options, returns: () => this.returns })
    this.#host = {
      pending: (id, limit) => options.store.jobs.pending(id, options.clock.nowUs(), limit),
      now: () => performance.now(),
      closed: stream => this.#gone(stream.id, stream),
      failed: ({ id }, error) => options.log.error({ err: error, id }, 'pending jobs could not be read; it is tried again')
    }
    this.#unlisten = options.keys.onChange((id, state) => {
      if (state !== 'accepted') this.disconnect(id, state === 'rejected' ? 'rejected' : 'deleted')
    })
  }

  /** Ends all streams, saying so, and opens no more. To be called before the HTTP server closes, which waits for them. May be called twice. */
  stop(): void {
    this.#stopped = true
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
    this.#unlisten()
    for (const id of this.connected()) this.disconnect(id, 'stopping')
  }

  // ── MinionLink ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  connected(): string[] {
    return [...this.#streams.keys()].sort()
  }

  isConnected(id: string): boolean {
    return this.#streams.has(id)
  }

  send(id: string, job: Delivery): boolean {
    const stream = this.#streams.get(id)
    stream?.send(job, this.#lineOf(job))
    return stream !== undefined
  }

  disconnect(id: string, reason: string): void {
    const stream = this.#streams.get(id)
    if (stream === undefined) return
    stream.bye(reason)
    this.#gone(id, stream)
    this.#o.log.info({ id, reason }, 'minion disconnected')
  }

  onPresence(listener: PresenceListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  // ── what the routes call ────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * A minion says who it is. An accepted key gets a challenge; any other contact is recorded, with its `salt/auth` event.
   * @throws PROTOCOL_VERSION, MINION_ID_INVALID, KEY_INVALID, RATE_LIMITED, TOO_MANY
   */
  async enroll(request: EnrollRequest): Promise<EnrollAnswer> {
    const { id } = request
    checkVersion(request.protocol)
    const pem = checkIdentity(id, request.pub)
    const credentials = credentialsOf(request)
    if (!(await this.#o.keys.expects(id, pem, credentials))) {
      const state = await this.#o.keys.contact(id, pem, { ...credentials, proved: false })
      // Accepted this very moment: the next question gets the challenge.
      return { state: state === 'accepted' ? 'pending' : state }
    }
    return { state: 'accepted', nonce: this.#challenges.give(id), expires_seconds: CHALLENGE_SECONDS }
  }

  /**
   * A minion proves its key with a signed challenge. That is its authentication, and Salt's `salt/auth` event tells of it, except when it only
   * renews the token of a connection that stands.
   * @throws what `enroll` throws; KEY_PROOF when challenge or signature do not count; KEY_NOT_ACCEPTED, KEY_REJECTED, KEY_DENIED
   */
  async token(request: TokenRequest): Promise<TokenAnswer> {
    const { id, nonce } = request
    checkVersion(request.protocol)
    const pem = checkIdentity(id, request.pub)
    if (!this.#challenges.counts(id, nonce) || !provesKey(request, pem)) throw brineError('KEY_PROOF', id)
    this.#challenges.use(nonce)
    const quiet = request.renewal && this.isConnected(id) && this.#o.keys.stateOf(id, pem) === 'accepted'
    const state = quiet ? 'accepted' : await this.#o.keys.contact(id, pem, credentialsOf(request))
    if (state !== 'accepted') throw keyError(state, id)
    const { token, expiresUs } = this.#o.auth.minionToken(id)
    if (this.isConnected(id)) this.#tokenEnds.set(id, expiresUs)
    return { token, expires_seconds: Math.floor((expiresUs - this.#o.clock.nowUs()) / 1_000_000) }
  }

  /** Whether a minion's token still counts: its key is accepted, and was so all the time since the token was issued. */
  admits(caller: Caller): boolean {
    const key = this.#o.keys.get(caller.user)
    return caller.kind === 'minion' && key?.state === 'accepted' && caller.expiresUs - MINION_TOKEN_SECONDS * 1_000_000 >= key.changedUs
  }

  /** Opens the minion's stream on `out`, instead of the one that it may have. Lines are those of `Down`. */
  open(minion: Caller, out: Writable): void {
    const id = minion.user
    const before = this.#streams.get(id)
    before?.bye('replaced')
    const stream = new MinionStream(this.#host, { id, out, grainsWanted: !this.#o.keys.hasFacts(id) })
    this.#streams.set(id, stream)
    this.#tokenEnds.set(id, minion.expiresUs)
    if (this.#stopped) {
      this.disconnect(id, 'stopping')
      return
    }
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref()
    this.#o.log.info({ id }, before ? 'minion connected again' : 'minion connected')
    if (!before) this.#tell(id, true)
  }

  /** Takes what the minion sends. Its id is the caller's; what the payload says of it is checked against that. */
  async receive(minion: Caller, up: Up): Promise<UpAnswer> {
    const id = minion.user
    this.#streams.get(id)?.heard()
    const answer = await this.#receiver.receive(minion, up)
    for (const { n, code, error } of answer.refused) this.#o.log.warn({ id, n, code }, `refused what a minion sent: ${error}`)
    const returned = up.items.flatMap(item => (item.kind === 'return' ? [String(item.return.jid)] : []))
    this.#streams.get(id)?.acknowledged([...up.acks, ...returned])
    return answer
  }

  // ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whoever publishes sends one job to many minions in a row. */
  #lineOf(job: Delivery): string {
    if (this.#line?.jid !== job.jid) this.#line = { jid: job.jid, text: jobLine(job) }
    return this.#line.text
  }

  #gone(id: string, stream: MinionStream): void {
    if (this.#streams.get(id) !== stream) return
    this.#streams.delete(id)
    this.#tokenEnds.delete(id)
    this.#tell(id, false)
  }

  #tick(): void {
    const now = this.#o.clock.nowUs()
    for (const [id, stream] of [...this.#streams]) {
      if ((this.#tokenEnds.get(id) ?? 0) <= now) this.disconnect(id, 'expired')
      else stream.tick()
    }
  }

  #tell(id: string, connected: boolean): void {
    for (const listener of this.#listeners) {
      try {
        listener(id, connected)
      } catch (error) {
        this.#o.log.error({ err: error, id }, 'a listener for presence failed')
      }
    }
  }
}

function credentialsOf({ autosign_grains: grains, enrolment_token: enrolment }: EnrollRequest): Credentials {
  return { ...(grains === undefined ? {} : { grains }), ...(enrolment === undefined ? {} : { enrolment }) }
}

function checkVersion(protocol: number): void {
  if (!speaks(protocol)) throw brineError('PROTOCOL_VERSION', protocol, PROTOCOL)
}

function provesKey({ id, nonce, signature }: TokenRequest, pem: string): boolean {
  return verify('sha256', Buffer.from(challengeText(id, nonce)), pem, Buffer.from(signature, 'base64'))
}

function keyError(state: Exclude<KeyState, 'accepted'>, id: string): BrineError {
  const codes = { pending: 'KEY_NOT_ACCEPTED', rejected: 'KEY_REJECTED', denied: 'KEY_DENIED' } as const
  return brineError(codes[state], id, id)
}
