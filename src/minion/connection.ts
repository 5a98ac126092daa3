/**
 * The loop that keeps a minion connected: prove the key, get a token, hold the stream, come back when it ends.
 */
import type { IncomingMessage } from 'node:http'
import type { ByeReason, Down, EnrollAnswer, JobMessage, TokenAnswer } from '../protocol/messages.js'
import { PROTOCOL } from '../protocol/version.js'
import { Backoff } from '../shared/backoff.js'
import { fingerprint } from '../shared/fingerprint.js'
import { sleep } from '../shared/sleep.js'
import type { MinionLog } from './context.js'
import { Heartbeat } from './heartbeat.js'
import { type Answer, packable, Refused, type Request, refused, type ServerHttp, Unreachable } from './http.js'
import type { Identity } from './identity.js'
import type { Credentials, Masters } from './masters.js'

/** A stream that lasted so long was a good one: the next pause is short again. */
const GOOD_MS = 10_000
/** A rejected or denied minion asks so many times less often than one that waits: people have decided already. */
const DECIDED = 6
/** Another agent runs with this key and took the stream: coming back at once would only take it back. */
const REPLACED_MS = 30_000
/** A token is renewed when so much of its life is over, at a random moment, so that a fleet does not do it at once. */
const RENEW = { from: 0.6, to: 0.8 }
const RENEW_AGAIN_MS = 30_000
/** A line of the stream is a job with its arguments, which an event had to hold: 1 MiB unless the server was told otherwise. */
const MAX_LINE = 32 * 1024 * 1024

export interface ConnectionOptions {
  /** Where the servers are; the next one is tried when one does not answer. */
  readonly masters: Masters
  readonly id: string
  /** What may let a new minion in without people. */
  readonly credentials?: Credentials
  readonly identity: Identity
  /** A job came. The next line is read when this has resolved. */
  readonly onJob: (job: JobMessage) => Promise<void>
  /** The stream is open. `grains`: the server asks for them. */
  readonly onOpen: (hello: { grains: boolean }) => void
  /** Nothing was sent for a while: something should be, so that the server knows that the minion lives. */
  readonly onIdle: () => void
  readonly acceptanceWaitMs: number
  readonly reconnectMs: { readonly first: number; readonly max: number }
  readonly log: MinionLog
  readonly random?: () => number
}

/** What people can do about it, at the server. */
const HINTS = {
  pending: id => `accept it there with: brine key accept ${id}`,
  rejected: id => `it was refused there; to let it in: brine key accept --include-rejected ${id}`,
  denied: id => `the id is taken by another key; if this machine was set up anew, there: brine key delete ${id}`
} as const satisfies Record<Exclude<EnrollAnswer['state'], 'accepted'>, (id: string) => string>

interface Token {
  readonly text: string
  readonly expiresMs: number
}

/** The key is not accepted (yet): nothing but time and people help. */
class NotAccepted extends Error {
  readonly state: Exclude<EnrollAnswer['state'], 'accepted'>
  constructor(state: NotAccepted['state']) {
    super(`the server has the key as ${state}`)
    this.state = state
  }
}

export class Connection {
  readonly #o: ConnectionOptions
  readonly #masters: Masters
  readonly #backoff: Backoff
  readonly #random: () => number
  readonly #stopping = new AbortController()
  #failback: NodeJS.Timeout | null = null
  #token: Token | null = null
  #renewal: NodeJS.Timeout | null = null
  #stream: IncomingMessage | null = null
  #heartbeat: Heartbeat | null = null
  #loop: Promise<void> | null = null
  #said = ''

  constructor(options: ConnectionOptions) {
    this.#o = options
    this.#masters = options.masters
    this.#random = options.random ?? Math.random
    this.#backoff = new Backoff({ firstMs: options.reconnectMs.first, maxMs: options.reconnectMs.max, random: this.#random })
  }

  /** Begins. May be called twice. */
  start(): void {
    this.#loop ??= this.#run()
  }

  /** Ends the stream and the loop. May be called twice. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#stream?.destroy()
    await this.#loop
    this.#forgetToken()
    this.#masters.close()
  }

  /** The server that is talked to now. */
  get #server(): ServerHttp {
    return this.#masters.current
  }

  /** True while the stream is open: what is sent now should arrive. */
  get isOpen(): boolean {
    return this.#stream !== null
  }

  /** Sends a request with the minion's token. Throws Unreachable (also while there is no stream). A token that does not count is got anew. */
  async send(request: Omit<Request, 'token'>): Promise<Answer> {
    const token = this.#token
    if (token === null || this.#stream === null) throw new Unreachable('there is no connection to the server')
    const answer = await this.#server.send({ ...request, token: token.text })
    this.#heartbeat?.spoke()
    if (answer.status === 401 && this.#token === token) {
      this.#forgetToken()
      this.#stream?.destroy()
    }
    return answer
  }

  /** As `send`, with a JSON answer. Throws Unreachable, Refused. */
  async json<T>(request: Omit<Request, 'token'>): Promise<T> {
    const answer = await this.send(packable(request))
    const text = await this.#server.text(answer)
    if (answer.status < 200 || answer.status > 299) throw refused(answer, text)
    return JSON.parse(text) as T
  }

  /**
   * One round is one attempt to have a stream, for as long as it lasts. The only way out is `stop`: whatever else happens (no answer, no
   * acceptance, a refusal, the end of the stream), the next round comes after a pause that fits the reason.
   */
  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      let pauseMs: number
      try {
        if (this.#token === null || this.#token.expiresMs <= performance.now()) await this.#authenticate(false)
        pauseMs = this.#pauseAfterEnd(await this.#holdStream())
      } catch (error) {
        pauseMs = this.#pauseAfterError(error)
      }
      if (!signal.aborted) await sleep(pauseMs, signal)
    }
  }

  /** Proves the key and gets a token. Throws NotAccepted, Refused, Unreachable. */
  async #authenticate(renewal: boolean): Promise<void> {
    const server = this.#server
    const { id, identity } = this.#o
    const who = { protocol: PROTOCOL, id, pub: identity.pub, ...(renewal ? {} : this.#o.credentials) }
    const { signal } = this.#stopping
    const enrolled = await server.json<EnrollAnswer>({ method: 'POST', path: '/minion/enroll', json: JSON.stringify(who), signal })
    if (enrolled.state !== 'accepted') throw new NotAccepted(enrolled.state)
    const { nonce } = enrolled
    const proof = JSON.stringify({ ...who, nonce, signature: identity.answer(id, nonce), renewal })
    const { token, expires_seconds } = await server.json<TokenAnswer>({ method: 'POST', path: '/minion/token', json: proof, signal })
    this.#token = { text: token, expiresMs: performance.now() + expires_seconds * 1000 }
    this.#planRenewal(expires_seconds * 1000 * (RENEW.from + this.#random() * (RENEW.to - RENEW.from)))
  }

  #planRenewal(inMs: number): void {
    if (this.#renewal) clearTimeout(this.#renewal)
    this.#renewal = setTimeout(() => void this.#renew(), inMs)
  }

  /** A renewal that fails, or finds no connection, is tried again until the token ends; then the stream ends too, and the loop begins anew. */
  async #renew(): Promise<void> {
    try {
      if (this.#stream === null) this.#planRenewal(RENEW_AGAIN_MS)
      else await this.#authenticate(true)
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      this.#o.log.warn({ error: (error as Error).message }, 'the token could not be renewed; it is tried again')
      this.#planRenewal(RENEW_AGAIN_MS)
    }
  }

  #forgetToken(): void {
    this.#token = null
    if (this.#renewal) clearTimeout(this.#renewal)
    this.#renewal = null
  }

  /** Opens the stream and reads it to its end. The reason is what the server said, or `lost`. Throws Unreachable, Refused. */
  async #holdStream(): Promise<ByeReason | string> {
    const server = this.#server
    const token = this.#token!.text
    const answer = await server.send({ method: 'GET', path: '/minion/stream', token, endless: true, signal: this.#stopping.signal })
    if (answer.status !== 200) {
      if (answer.status === 401) this.#forgetToken()
      throw refused(answer, await server.text(answer))
    }
    const since = performance.now()
    this.#stream = answer.body
    try {
      return await this.#read(answer.body)
    } finally {
      this.#stream = null
      this.#heartbeat?.stop()
      this.#heartbeat = null
      if (this.#failback) clearTimeout(this.#failback)
      answer.body.destroy()
      if (performance.now() - since >= GOOD_MS) this.#backoff.reset()
    }
  }

  async #read(body: IncomingMessage): Promise<string> {
    try {
      for await (const line of linesOf(body)) {
        this.#heartbeat?.heard()
        const end = await this.#take(JSON.parse(line) as Down, body)
        if (end !== null) return end
      }
    } catch (error) {
      this.#o.log.debug({ error: (error as Error).message }, 'the stream broke')
    }
    return 'lost'
  }

  /** The reason when the line is the last one. Kinds of lines that are not known are passed over. */
  async #take(line: Down, body: IncomingMessage): Promise<string | null> {
    if (line.type === 'job') await this.#o.onJob(line.job)
    else if (line.type === 'bye') return line.reason
    else if (line.type === 'hello') this.#opened(line, body)
    return null
  }

  #opened(hello: Down & { type: 'hello' }, body: IncomingMessage): void {
    this.#heartbeat?.stop()
    this.#heartbeat = new Heartbeat({
      seconds: hello.heartbeat_seconds,
      silent: () => body.destroy(new Error('the server has been silent for too long')),
      speak: this.#o.onIdle
    })
    this.#server.packs = hello.gzip === true
    this.#planFailback(body)
    this.#say('info', `connected to ${this.#server.url}`)
    this.#o.onOpen({ grains: hello.grains })
  }

  #pauseAfterEnd(reason: string): number {
    if (this.#stopping.signal.aborted) return 0
    this.#say('warn', `the connection ended: ${reason}`)
    if (reason === 'replaced') return REPLACED_MS * (1 + this.#random())
    if (reason === 'rejected' || reason === 'deleted' || reason === 'expired') this.#forgetToken()
    return this.#backoff.next()
  }

  #pauseAfterError(error: unknown): number {
    if (this.#stopping.signal.aborted) return 0
    if (error instanceof NotAccepted) return this.#pauseUntilAccepted(error)
    this.#say('warn', (error as Error).message)
    if (error instanceof Unreachable) return this.#nextServer()
    if (!(error instanceof Refused)) this.#o.log.error({ err: error }, 'connecting failed')
    else if (error.retryAfter !== null) return error.retryAfter * 1000 * (1 + this.#random())
    // The server will not change its mind soon (another protocol, an id that it does not take).
    else if (error.status === 400) return this.#acceptanceWait() * DECIDED
    return this.#backoff.next()
  }

  /** Shows the fingerprint, so that people can compare it with `brine key finger` before they accept. */
  #pauseUntilAccepted({ state }: NotAccepted): number {
    const { id, identity } = this.#o
    const key = `the key of '${id}' (${fingerprint(identity.pub)})`
    this.#say(state === 'pending' ? 'info' : 'error', `${this.#server.url} has ${key} as ${state}; ${HINTS[state](id)}`)
    return this.#acceptanceWait() * (state === 'pending' ? 1 : DECIDED)
  }

  /** With jitter, so that minions that wait together do not ask together. */
  #acceptanceWait(): number {
    return this.#o.acceptanceWaitMs * (0.75 + this.#random() / 2)
  }

  /** Tries the others at once; a pause comes when all have been tried. A token is good for the server that gave it. */
  #nextServer(): number {
    if (this.#masters.isOnlyOne) return this.#backoff.next()
    this.#forgetToken()
    return this.#masters.next() ? 0 : this.#backoff.next()
  }

  /** While a server that is not the preferred one is talked to, the preferred one is asked from time to time whether it is back (master_failback). */
  #planFailback(body: IncomingMessage): void {
    const intervalMs = this.#masters.failbackMs
    if (intervalMs === null) return
    const look = async () => {
      if (!(await this.#masters.preferredAnswers())) {
        this.#failback = setTimeout(() => void look(), intervalMs)
        return
      }
      if (this.#stream !== body) return
      this.#forgetToken()
      this.#masters.goBack()
      body.destroy(new Error('the preferred server is back'))
    }
    this.#failback = setTimeout(() => void look(), intervalMs)
  }

  /** The same news is told once. */
  #say(level: 'info' | 'warn' | 'error', text: string): void {
    if (text === this.#said) return
    this.#said = text
    this.#o.log[level]({}, text)
  }
}

async function* linesOf(body: IncomingMessage): AsyncGenerator<string> {
  let rest = ''
  body.setEncoding('utf8')
  for await (const chunk of body) {
    const lines = (rest + (chunk as string)).split('\n')
    rest = lines.pop()!
    if (rest.length > MAX_LINE) throw new Error('a line of the stream is too long')
    yield* lines
  }
}
