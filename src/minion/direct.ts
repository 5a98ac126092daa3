/**
 * A short conversation with the server, for `brine call`: proves the minion's key, asks and sends what one function needs, and ends. It holds no
 * stream and has no spool: what the server does not take is an error that the caller sees.
 */
import { randomBytes } from 'node:crypto'
import type { EnrollAnswer, TokenAnswer, Up, UpAnswer, UpItem } from '../protocol/messages.js'
import { PROTOCOL } from '../protocol/version.js'
import { type Answer, packable, Refused, type Request, refused, type ServerHttp, Unreachable } from './http.js'
import type { Identity } from './identity.js'
import type { Credentials } from './masters.js'
import { inParts, isLong } from './parts.js'
import type { NewItem } from './spool.js'

/** The server has the key as pending, rejected or denied. */
class NotAccepted extends Error {
  override readonly name = 'NotAccepted'
}

export class DirectLink {
  /** Names the numbers of this conversation's items, as a spool's name does. */
  readonly #spool = randomBytes(8).toString('hex')
  readonly #servers: readonly ServerHttp[]
  readonly #id: string
  readonly #identity: Identity
  readonly #credentials: Credentials
  #server: ServerHttp | null = null
  #token = ''
  #sent = 0

  constructor(options: { servers: readonly ServerHttp[]; id: string; identity: Identity; credentials: Credentials }) {
    this.#servers = options.servers
    this.#id = options.id
    this.#identity = options.identity
    this.#credentials = options.credentials
  }

  /** Proves the key to the first server that answers. Throws Unreachable, Refused, NotAccepted. */
  async open(): Promise<void> {
    let last: unknown
    for (const server of this.#servers) {
      try {
        await this.#authenticate(server)
        this.#server = server
        return
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error
        last = error
      }
    }
    throw last
  }

  async send(request: Omit<Request, 'token'>): Promise<Answer> {
    if (this.#server === null) throw new Unreachable('there is no connection to the server')
    return this.#server.send({ ...request, token: this.#token })
  }

  async json<T>(request: Omit<Request, 'token'>): Promise<T> {
    const answer = await this.send(packable(request))
    const text = await this.#server!.text(answer)
    if (answer.status < 200 || answer.status > 299) throw refused(answer, text)
    return JSON.parse(text) as T
  }

  /** Resolves when the server has it. Throws Refused when it will never take it. */
  async add(item: NewItem): Promise<void> {
    const numbered: UpItem = { ...item, n: ++this.#sent }
    if (isLong(numbered)) throwRefused(await inParts(up => this.#post(up), this.#spool, numbered))
    else await this.#up({ spool: this.#spool, items: [numbered], acks: [] })
  }

  async putGrains(grains: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#up({ spool: this.#spool, items: [], acks: [], grains })
  }

  close(): void {
    for (const server of this.#servers) server.close()
  }

  async #up(up: Up): Promise<void> {
    throwRefused(await this.#post(up))
  }

  #post(up: Up): Promise<UpAnswer> {
    return this.json<UpAnswer>({ method: 'POST', path: '/minion/up', json: JSON.stringify(up) })
  }

  async #authenticate(server: ServerHttp): Promise<void> {
    const who = { protocol: PROTOCOL, id: this.#id, pub: this.#identity.pub, ...this.#credentials }
    const enrolled = await server.json<EnrollAnswer>({ method: 'POST', path: '/minion/enroll', json: JSON.stringify(who) })
    if (enrolled.state !== 'accepted') throw new NotAccepted(`${server.url} has the key of '${this.#id}' as ${enrolled.state}`)
    const { nonce } = enrolled
    const proof = { ...who, nonce, signature: this.#identity.answer(this.#id, nonce), renewal: false }
    this.#token = (await server.json<TokenAnswer>({ method: 'POST', path: '/minion/token', json: JSON.stringify(proof) })).token
  }
}

function throwRefused({ refused: [first] }: UpAnswer): void {
  if (first) throw new Refused(400, first.code, first.error, null)
}
