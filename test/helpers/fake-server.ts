import { createPublicKey, verify } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { createGunzip, gzipSync } from 'node:zlib'
import {
  challengeText,
  type Down,
  type EnrollRequest,
  type JobMessage,
  type TokenRequest,
  type Up,
  type UpItem,
  type UpPart
} from '../../src/protocol/messages.js'

interface Test {
  teardown(handler: () => unknown): unknown
}

type Refusal = { readonly status: number; readonly code?: string; readonly headers?: Record<string, string> }

/** The server's end of the link as a minion sees it: answers as told, and notes what comes. Nothing of ours but the messages. */
export class FakeServer {
  /** What it answers to `enroll`. */
  state: 'accepted' | 'pending' | 'rejected' | 'denied' = 'accepted'
  heartbeatSeconds = 30
  tokenSeconds = 3600
  grainsWanted = false
  /** Looks at each `up` before it is taken; what it returns is answered instead. */
  refuse: (up: Up) => Refusal | null = () => null
  /** Items that are refused for good within an answer. */
  refuseItem: (item: UpItem) => boolean = () => false
  /** What `hello` says of packed bodies. */
  gzip = false
  /** Bodies that came packed. */
  packed = 0
  /** Texts of parts by place in the spool; what is deleted here is lost. */
  readonly parts = new Map<number, string>()
  readonly files = new Map<string, { hash: string; content: string; breakAfter?: number[]; packed?: 'whole' | 'broken' }>()
  /** All that happened, one word each: `enroll`, `token`, `renewal`, `stream`, `up`, `401`, `part`. */
  readonly seen: string[] = []
  readonly ups: Up[] = []
  /** Bodies of requests, as they came. */
  readonly asked: { readonly path: string; readonly body: unknown }[] = []
  streams: ServerResponse[] = []
  #http: Server
  #port = 0
  #nonce = 0
  #tokens = new Set<string>()
  #waiting: (() => void)[] = []

  private constructor() {
    this.#http = this.#create()
  }

  static async open(t: Test): Promise<FakeServer> {
    const server = new FakeServer()
    await server.up()
    t.teardown(() => server.down())
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Everything that was taken, in order of arrival. */
  get items(): UpItem[] {
    return this.ups.flatMap(up => [...up.items])
  }

  /** Returns that were taken, `{jid, return, …}`. */
  get returns(): Record<string, unknown>[] {
    return this.items.flatMap(item => (item.kind === 'return' ? [item.return] : []))
  }

  /** Begins to answer, on the same port as before. */
  async up(): Promise<void> {
    this.#http.listen(this.#port, '127.0.0.1')
    await once(this.#http, 'listening')
    this.#port = (this.#http.address() as AddressInfo).port
  }

  /** Ends at once: connections break, nobody answers. */
  async down(): Promise<void> {
    if (!this.#http.listening) return
    const closed = once(this.#http, 'close')
    this.#http.close()
    this.#http.closeAllConnections()
    await closed
    this.streams = []
    this.#http = this.#create()
  }

  /** Tokens that were given do not count any more. */
  forgetTokens(): void {
    this.#tokens.clear()
  }

  /** Writes a line to the newest stream. */
  say(line: Down): void {
    this.streams.at(-1)!.write(`${JSON.stringify(line)}\n`)
  }

  job(jid: string, more: Partial<JobMessage> = {}): void {
    this.say({ type: 'job', job: { jid, fun: 'test.ping', arg: [], tgt: '*', tgt_type: 'glob', user: 'root', ret: '', ...more } })
  }

  bye(reason: string): void {
    this.say({ type: 'bye', reason })
    this.streams.at(-1)!.end()
  }

  /** Resolves as soon as it holds; it is looked at whenever something came. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>(resolve => this.#waiting.push(resolve))
  }

  count(word: string): number {
    return this.seen.filter(each => each === word).length
  }

  #note(word: string): void {
    this.seen.push(word)
    for (const wake of this.#waiting.splice(0)) wake()
  }

  #create(): Server {
    return createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy())
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url!, 'http://x')
    const body = request.method === 'POST' ? (JSON.parse(await this.#textOf(request)) as unknown) : null
    if (body !== null) this.asked.push({ path: pathname, body })
    if (pathname === '/readyz') return reply(response, 200, {})
    if (pathname === '/minion/enroll') return this.#enroll(body as EnrollRequest, response)
    if (pathname === '/minion/token') return this.#token(body as TokenRequest, response)
    if (!this.#tokens.has(request.headers.authorization ?? '')) return this.#refuse(response, { status: 401, code: 'NO_TOKEN' }, '401')
    if (pathname === '/minion/stream') return this.#stream(response)
    if (pathname === '/minion/up') return this.#up(body as Up, response)
    if (pathname === '/minion/files') return reply(response, 200, { files: [...this.files.keys()] })
    if (pathname === '/minion/environments') return reply(response, 200, { environments: ['base'] })
    const file = this.files.get(searchParams.get('path') ?? '')
    if (file === undefined) return this.#refuse(response, { status: 404, code: 'NOT_FOUND' }, '404')
    response.setHeader('etag', `"${file.hash}"`)
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    if (request.headers['if-none-match'] === `"${file.hash}"`) response.writeHead(304).end()
    else if (file.packed && from === 0 && request.headers['accept-encoding'] === 'gzip') {
      const bytes = gzipSync(file.content)
      response.writeHead(200, { 'content-encoding': 'gzip', 'x-file-size': file.content.length })
      response.write(bytes.subarray(0, file.breakAfter?.shift() ?? bytes.length), () =>
        file.packed === 'broken' ? response.destroy() : response.end()
      )
    } else if (file.breakAfter?.length) {
      // The connection breaks off in the middle.
      response.writeHead(from > 0 ? 206 : 200, { 'content-length': file.content.length - from })
      response.write(file.content.slice(from, from + file.breakAfter.shift()!), () => response.destroy())
    } else if (request.headers.range !== undefined && request.headers['if-range'] === `"${file.hash}"`)
      response.writeHead(206, { 'content-length': file.content.length - from }).end(file.content.slice(from))
    else response.writeHead(200, { 'content-length': Buffer.byteLength(file.content) }).end(file.content)
    this.#note('file')
  }

  #textOf(request: IncomingMessage): Promise<string> {
    if (request.headers['content-encoding'] !== 'gzip') return text(request)
    this.packed++
    return text(request.pipe(createGunzip()))
  }

  #enroll({ id }: EnrollRequest, response: ServerResponse): void {
    const answer =
      this.state === 'accepted' ? { state: 'accepted', nonce: `${id}-${++this.#nonce}`, expires_seconds: 60 } : { state: this.state }
    reply(response, 200, answer)
    this.#note('enroll')
  }

  #token({ id, pub, nonce, signature, renewal }: TokenRequest, response: ServerResponse): void {
    const proved = verify('sha256', Buffer.from(challengeText(id, nonce)), createPublicKey(pub), Buffer.from(signature, 'base64'))
    if (!proved || nonce !== `${id}-${this.#nonce}`) {
      this.#refuse(response, { status: 401, code: 'KEY_PROOF' }, '401')
      return
    }
    const token = `token-${this.#nonce}`
    this.#tokens.add(`Bearer ${token}`)
    reply(response, 200, { token, expires_seconds: this.tokenSeconds })
    this.#note(renewal ? 'renewal' : 'token')
  }

  #stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    this.streams.push(response)
    this.say({ type: 'hello', protocol: 1, heartbeat_seconds: this.heartbeatSeconds, grains: this.grainsWanted, gzip: this.gzip })
    this.#note('stream')
  }

  #up(up: Up, response: ServerResponse): void {
    const refusal = this.refuse(up)
    if (refusal) {
      this.#refuse(response, refusal, 'refused')
      return
    }
    if (up.part) {
      this.#part(up.part, response)
      return
    }
    this.ups.push(up)
    const refused = up.items.filter(this.refuseItem).map(({ n }) => ({ n, code: 'NOT_PERMITTED', error: 'no' }))
    reply(response, 200, { refused })
    this.#note('up')
  }

  #part({ n, at, length, text }: UpPart, response: ServerResponse): void {
    const before = this.parts.get(n) ?? ''
    if (at === before.length) this.parts.set(n, before + text)
    const have = this.parts.get(n)?.length ?? 0
    if (have === length) this.ups.push({ spool: '', items: [JSON.parse(this.parts.get(n)!) as UpItem], acks: [] })
    reply(response, 200, have === length ? { refused: [] } : { refused: [], have })
    this.#note('part')
  }

  #refuse(response: ServerResponse, { status, code, headers = {} }: Refusal, word: string): void {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    reply(response, status, code === undefined ? {} : { status, code, error: `refused with ${code}` })
    this.#note(word)
  }
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
