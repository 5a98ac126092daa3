import { type ClientRequest, get, type IncomingMessage } from 'node:http'
import { JidSource } from '../../src/jobs/jid.js'
import { Jobs } from '../../src/jobs/jobs.js'
import { Keys } from '../../src/keys/keys.js'
import { HttpLink } from '../../src/link/http.js'
import { Mine } from '../../src/mine/mine.js'
import { Pillars } from '../../src/pillar/pillars.js'
import type { Down, EnrollAnswer, TokenAnswer, Up } from '../../src/protocol/messages.js'
import { PROTOCOL } from '../../src/protocol/version.js'
import type { Services } from '../../src/services.js'
import { type HttpTest, type HttpTestOptions, httpServer } from './http.js'
import type { TestKey } from './keypairs.js'

type Test = Parameters<typeof httpServer>[0]

export interface Told {
  readonly tag: string
  readonly data: Record<string, unknown>
  readonly source: string
  readonly cause: unknown
}

export interface LinkTest extends HttpTest {
  readonly url: string
  readonly keys: Keys
  readonly link: HttpLink
  readonly jobs: Jobs
  /** All events so far, without stamps. */
  told(): Promise<Told[]>
}

/** The HTTP server with keys, link and jobs over a real store, listening. */
export async function linkServer(t: Test, options: Omit<HttpTestOptions, 'services'> & { readonly port?: number } = {}): Promise<LinkTest> {
  const http = await httpServer(t, { ...options, services: linkServices })
  const { keys, link, jobs, store } = http.services
  await keys.start()
  jobs.start()
  t.teardown(() => jobs.stop())
  const told = async () => {
    const found: Told[] = []
    for await (const page of store.events.read({ after: 0, upTo: await store.events.head() })) {
      for (const { tag, json, source, cause } of page) {
        const { _stamp, ...data } = JSON.parse(json) as Record<string, unknown>
        found.push({ tag, data, source, cause })
      }
    }
    return found
  }
  const url = await http.app.listen({ host: '127.0.0.1', port: options.port ?? 0 })
  return { ...http, url, keys, link, jobs, told }
}

function linkServices(base: Services): Partial<Services> {
  const keys = new Keys(base)
  const pillars = new Pillars({ ...base, keys })
  const mine = new Mine({ ...base, keys, pillars })
  const link = new HttpLink({ ...base, keys })
  const jobs = new Jobs({ ...base, keys, link, jids: new JidSource(base.clock) })
  link.returns = jobs
  return { keys, pillars, mine, link, jobs }
}

/** A minion as the server sees one: speaks the link's messages and nothing else. */
export class FakeMinion {
  readonly #url: string
  readonly id: string
  readonly #key: TestKey
  token = ''

  constructor(url: string, id: string, key: TestKey) {
    this.#url = url
    this.id = id
    this.#key = key
  }

  async post<T>(path: string, body: unknown, token = this.token): Promise<{ status: number; body: T }> {
    const headers: Record<string, string> = { 'content-type': 'application/json' }
    if (token !== '') headers.authorization = `Bearer ${token}`
    const answer = await fetch(`${this.#url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
    return { status: answer.status, body: (await answer.json()) as T }
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.#url}${path}`, { headers: { authorization: `Bearer ${this.token}`, ...headers } })
  }

  enroll(more: object = {}) {
    return this.post<EnrollAnswer & { nonce: string; code: string }>('/minion/enroll', {
      protocol: PROTOCOL,
      id: this.id,
      pub: this.#key.pub,
      ...more
    })
  }

  /** Answers a challenge. */
  prove(nonce: string, more: object = {}) {
    const signature = this.#key.sign(this.id, nonce)
    const body = { protocol: PROTOCOL, id: this.id, pub: this.#key.pub, nonce, signature, renewal: false, ...more }
    return this.post<TokenAnswer & { code: string }>('/minion/token', body)
  }

  /** Enrolls and proves; the key must be accepted. */
  async authenticate(): Promise<this> {
    const { body } = await this.enroll()
    const proved = await this.prove(body.nonce)
    if (proved.status !== 200) throw new Error(`${this.id}: ${proved.status} ${JSON.stringify(proved.body)}`)
    this.token = proved.body.token
    return this
  }

  up(more: Partial<Up>) {
    return this.post<{ refused: { n: number; code: string }[]; code: string }>('/minion/up', {
      spool: '00000001',
      items: [],
      acks: [],
      ...more
    })
  }

  /** Opens the stream and waits for its first line. */
  stream(): Promise<FakeStream> {
    return FakeStream.open(`${this.#url}/minion/stream`, this.token)
  }
}

/** Lines of a minion's stream, as they come. */
export class FakeStream {
  readonly #request: ClientRequest
  readonly #lines: Down[] = []
  #wake: () => void = () => {}
  ended = false

  private constructor(request: ClientRequest, response: IncomingMessage) {
    this.#request = request
    let rest = ''
    response.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop()!
      for (const line of lines) this.#lines.push(JSON.parse(line) as Down)
      this.#wake()
    })
    response.once('close', () => {
      this.ended = true
      this.#wake()
    })
    response.on('error', () => {})
  }

  static async open(url: string, token: string): Promise<FakeStream> {
    const request = get(url, { headers: { authorization: `Bearer ${token}` }, agent: false })
    const response = await new Promise<IncomingMessage>((resolve, reject) => request.once('response', resolve).once('error', reject))
    request.on('error', () => {})
    const stream = new FakeStream(request, response)
    if (response.statusCode !== 200) throw Object.assign(new Error(`status ${response.statusCode}`), { status: response.statusCode })
    const hello = await stream.next()
    if (hello?.type !== 'hello') throw new Error(`first line: ${JSON.stringify(hello)}`)
    return stream
  }

  /** The next line; null when the stream has ended. */
  async next(): Promise<Down | null> {
    while (this.#lines.length === 0 && !this.ended) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    return this.#lines.shift() ?? null
  }

  close(): void {
    this.#request.destroy()
  }
}
