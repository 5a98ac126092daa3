import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { sleep } from '../shared/sleep.js'
import { checkTag } from '../tags/tags.js'
import type { MinionBus } from './bus.js'
import type { Connection } from './connection.js'
import { type Answer, Refused, type Request, refused, Unreachable, unpacked } from './http.js'
import type { MasterClient, MasterFile, MineAsk, PillarAsk, RootsShape, SendOptions } from './master.js'
import type { Spool } from './spool.js'

/** So long does a function wait for a server that is away, then it fails and says so: a restart takes seconds, an outage should not hold jobs. */
const PATIENCE_MS = 60_000
const AGAIN_MS = 500
/** A file that nobody has begun to read after so long was forgotten; its connection is needed. */
const ABANDONED_MS = 60_000

/** What functions ask of the server, over the link. */
export class ServerClient implements MasterClient {
  readonly #connection: Pick<Connection, 'send' | 'json'>
  readonly #spool: Pick<Spool, 'add'>
  readonly #bus: MinionBus
  readonly #signal: AbortSignal

  /** `signal` ends all waiting. */
  constructor(options: { connection: Pick<Connection, 'send' | 'json'>; spool: Pick<Spool, 'add'>; bus: MinionBus; signal: AbortSignal }) {
    this.#connection = options.connection
    this.#spool = options.spool
    this.#bus = options.bus
    this.#signal = options.signal
  }

  async fetchFile(path: string, saltenv: string, known?: string): Promise<MasterFile | 'unchanged' | null> {
    const headers = known === undefined ? {} : { 'if-none-match': `"${known}"` }
    const url = `/minion/file?${new URLSearchParams({ path, saltenv })}`
    const answer = await this.#patiently(() => this.#get(url, { 'accept-encoding': 'gzip', ...headers }))
    if (answer.status === 200) return fileOf(answer, (from, etag) => this.#rest(url, from, etag))
    answer.body.resume()
    return answer.status === 304 ? 'unchanged' : null
  }

  async listFiles(saltenv: string): Promise<string[]> {
    const query = new URLSearchParams({ saltenv })
    return (await this.#patiently(() => this.#json<{ files: string[] }>(`/minion/files?${query}`))).files
  }

  async listTree(saltenv: string): Promise<RootsShape> {
    const query = new URLSearchParams({ saltenv })
    const { directories = [], links = {} } = await this.#patiently(() => this.#json<Partial<RootsShape>>(`/minion/files?${query}`))
    return { directories, links }
  }

  async listEnvironments(): Promise<string[]> {
    return (await this.#patiently(() => this.#json<{ environments: string[] }>('/minion/environments'))).environments
  }

  async pillar(ask: PillarAsk = {}): Promise<Record<string, unknown>> {
    const request = { method: 'POST' as const, path: '/minion/pillar', json: JSON.stringify(ask), signal: this.#signal }
    return (await this.#patiently(() => this.#connection.json<{ pillar: Record<string, unknown> }>(request))).pillar
  }

  async mine(ask: MineAsk): Promise<unknown> {
    const request = { method: 'POST' as const, path: '/minion/mine', json: JSON.stringify(ask), signal: this.#signal }
    return (await this.#patiently(() => this.#connection.json<{ result: unknown }>(request))).result
  }

  async sendEvent(tag: string, data: unknown, options: SendOptions = {}): Promise<void> {
    const reason = checkTag(tag)
    if (reason !== null) throw new Error(`tag ${JSON.stringify(tag.slice(0, 80))}: ${reason}`)
    const { preload, jid } = options
    await this.#spool.add({ kind: 'event', tag, data, ...(preload ? { preload } : {}), ...(jid === undefined ? {} : { jid }) })
  }

  async fireLocal(tag: string, data: unknown): Promise<void> {
    this.#bus.fire(tag, data)
  }

  /** What is left of a file from a byte on. Throws when the server has another one by now. */
  async #rest(url: string, from: number, etag: string): Promise<IncomingMessage> {
    const answer = await this.#patiently(() => this.#get(url, { range: `bytes=${from}-`, 'if-range': etag }))
    if (answer.status === 206) return answer.body
    answer.body.destroy()
    throw new Error('the file was changed on the server while it was fetched')
  }

  /** A file, or the answer that there is none or no newer one. */
  async #get(path: string, headers: Record<string, string>): Promise<Answer> {
    const request: Omit<Request, 'token'> = { method: 'GET', path, headers, signal: this.#signal }
    const answer = await this.#connection.send(request)
    if ([200, 206, 304, 404].includes(answer.status)) return answer
    const chunks: Buffer[] = []
    for await (const chunk of answer.body) chunks.push(chunk as Buffer)
    throw refused(answer, Buffer.concat(chunks).toString())
  }

  #json<T>(path: string): Promise<T> {
    return this.#connection.json<T>({ method: 'GET', path, signal: this.#signal })
  }

  /** Tries again while the server is away or busy, for a while. */
  async #patiently<T>(attempt: () => Promise<T>): Promise<T> {
    const until = performance.now() + PATIENCE_MS
    for (;;) {
      try {
        return await attempt()
      } catch (error) {
        if (!mayPass(error) || performance.now() > until || this.#signal.aborted) throw error
        await sleep(AGAIN_MS, this.#signal)
      }
    }
  }
}

function mayPass(error: unknown): boolean {
  return error instanceof Unreachable || (error instanceof Refused && (error.status >= 500 || error.status === 401 || error.status === 429))
}

/** A connection that breaks again and again before it has brought a byte is no way to get a file. */
const MAX_FRUITLESS = 5

/** The file, fetched further from where a connection broke off. */
function fileOf({ headers, body: first }: Answer, rest: (from: number, etag: string) => Promise<IncomingMessage>): MasterFile {
  const etag = String(headers.etag ?? '')
  const size = Number(headers['x-file-size'] ?? headers['content-length'] ?? 0)
  const abandoned = setTimeout(() => first.destroy(new Error('nobody read the file')), ABANDONED_MS)
  const content = async function* () {
    clearTimeout(abandoned)
    let body: Readable = unpacked(first, headers)
    let at = 0
    for (let fruitless = 0; ; fruitless++) {
      const before = at
      try {
        for await (const chunk of body) {
          at += (chunk as Uint8Array).length
          yield chunk as Uint8Array
        }
        if (at >= size) return
      } catch (error) {
        if (fruitless >= MAX_FRUITLESS) throw error
      }
      if (at > before) fruitless = 0
      else if (fruitless >= MAX_FRUITLESS) throw new Error('the file could not be fetched whole')
      body = await rest(at, etag)
    }
  }
  return { hash: etag.replaceAll('"', ''), size, content: content() }
}
