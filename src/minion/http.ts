import http, { type IncomingHttpHeaders, type IncomingMessage, type RequestOptions } from 'node:http'
import https from 'node:https'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { createGunzip, gzip } from 'node:zlib'
import { PACK_FROM } from '../shared/packing.js'
import { type Dialer, dialer, type Way } from './dial.js'

/** No byte in either direction for so long: the connection is dead. Long uploads and downloads are bounded by silence, not by their length. */
const SILENCE_MS = 60_000
/** Connections to a server beside the stream: requests of jobs (files) do not wait for a long return to be sent. */
const CONNECTIONS = 4
/** JSON answers of the link are small; a list of files is the largest. Unpacked. */
const MAX_ANSWER = 64 * 1024 * 1024

export interface Request {
  readonly method: 'GET' | 'POST'
  /** Begins with a slash; the query is part of it. */
  readonly path: string
  readonly token?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly json?: string
  readonly signal?: AbortSignal
  /** The stream: once it is open, silence is watched by whoever reads it. */
  readonly endless?: boolean
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** To be read or destroyed. */
  readonly body: IncomingMessage
}

/** The server does not answer. Trying again later, or elsewhere, is what helps. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable'
}

/** The server refused. `code` is brine's. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly status: number
  readonly code: string
  /** Seconds after which it may be repeated. */
  readonly retryAfter: number | null

  constructor(status: number, code: string, text: string, retryAfter: number | null) {
    super(text)
    this.status = status
    this.code = code
    this.retryAfter = retryAfter
  }
}

/** Requests to one server, over connections that are kept. */
export class ServerHttp {
  readonly url: string
  /** The server unpacks gzip: it says so when a stream opens. */
  packs = false
  readonly #base: URL
  readonly #dialer: Dialer
  readonly #agent: http.Agent
  /** A connection that lives as long as the stream would take one of the few that are shared. */
  readonly #ownAgent: http.Agent
  readonly #request: typeof http.request

  /**
   * @param url `http://host:port` or https, with a path if the server lies below one
   * @param way how it is reached, and how it proves who it is
   */
  constructor(url: string, way: Way = {}) {
    this.url = url
    this.#base = new URL(url)
    this.#dialer = dialer(this.#base, way)
    this.#request = this.#base.protocol === 'https:' ? https.request : http.request
    this.#agent = this.#dialer.agent(CONNECTIONS)
    this.#ownAgent = this.#dialer.agent(Number.POSITIVE_INFINITY)
  }

  /** Sends a request; resolves with the head of the answer, whatever its status. Throws Unreachable. */
  async send({ method, path, token, headers, json, signal, endless }: Request): Promise<Answer> {
    const body = json === undefined ? undefined : await this.#body(json)
    const url = new URL(`${this.#base.pathname.replace(/\/$/, '')}${path}`, this.#base)
    const { forward } = this.#dialer
    const options: RequestOptions = {
      method,
      agent: endless ? this.#ownAgent : this.#agent,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...body?.headers,
        ...forward,
        ...headers
      },
      // A proxy is told the whole address.
      ...(forward === null ? {} : { path: url.href }),
      ...(signal === undefined ? {} : { signal }),
      ...(endless ? {} : { timeout: SILENCE_MS })
    }
    return new Promise((resolve, reject) => {
      const request = this.#request(url, options)
      const silent = () => void request.destroy(new Error(`silent for ${SILENCE_MS / 1000} seconds`))
      request.once('timeout', silent)
      // The stream's head must come soon; after that its reader listens for heartbeats.
      const timer = endless ? setTimeout(silent, SILENCE_MS) : undefined
      request.once('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(timer)
        reject(new Unreachable(`${this.url}: ${error.code ?? error.message}`))
      })
      request.once('response', body => {
        clearTimeout(timer)
        // A connection that breaks later is told by the body.
        request.on('error', () => {})
        resolve({ status: body.statusCode ?? 0, headers: body.headers, body })
      })
      request.end(body?.bytes)
    })
  }

  async #body(json: string): Promise<{ bytes: Buffer; headers: Record<string, string | number> }> {
    const plain = Buffer.from(json)
    const packed = this.packs && plain.length >= PACK_FROM ? await promisify(gzip)(plain) : null
    const bytes = packed ?? plain
    const encoding = packed === null ? {} : { 'content-encoding': 'gzip' }
    return { bytes, headers: { 'content-type': 'application/json', 'content-length': bytes.length, ...encoding } }
  }

  /** Sends a request and reads a JSON answer. Throws Unreachable, or Refused when the status is not 2xx. */
  async json<T>(request: Request): Promise<T> {
    const answer = await this.send(packable(request))
    const text = await this.text(answer)
    if (answer.status < 200 || answer.status > 299) throw refused(answer, text)
    try {
      return JSON.parse(text) as T
    } catch {
      throw new Unreachable(`${this.url}: the answer is not JSON; is it a brine server?`)
    }
  }

  /** The whole body. Throws Unreachable when the connection breaks. */
  async text({ body, headers }: Answer): Promise<string> {
    const chunks: Buffer[] = []
    let bytes = 0
    try {
      for await (const chunk of unpacked(body, headers)) {
        chunks.push(chunk as Buffer)
        bytes += (chunk as Buffer).length
        if (bytes > MAX_ANSWER) throw new Error('the answer is too long')
      }
    } catch (error) {
      throw new Unreachable(`${this.url}: ${(error as Error).message}`)
    }
    return Buffer.concat(chunks).toString('utf8')
  }

  /** Ends kept connections. */
  close(): void {
    this.#agent.destroy()
    this.#ownAgent.destroy()
  }
}

/** The request with the word that its answer may come packed. For answers that `text` or `unpacked` reads. */
export function packable<T extends Omit<Request, 'token'>>(request: T): T {
  return { ...request, headers: { 'accept-encoding': 'gzip', ...request.headers } }
}

/** The body as it was before it was packed. */
export function unpacked(body: IncomingMessage, headers: IncomingHttpHeaders): Readable {
  if (headers['content-encoding'] !== 'gzip') return body
  const gunzip = createGunzip()
  body.once('error', error => gunzip.destroy(error))
  gunzip.once('close', () => body.destroy())
  return body.pipe(gunzip)
}

/** The error of an answer that is none: brine's body, or what a proxy said. */
export function refused({ status, headers }: Answer, text: string): Refused {
  const after = Number(headers['retry-after'])
  const retryAfter = headers['retry-after'] !== undefined && Number.isFinite(after) ? after : null
  try {
    const { code, error } = JSON.parse(text) as { code?: unknown; error?: unknown }
    if (typeof code === 'string' && typeof error === 'string') return new Refused(status, code, error, retryAfter)
  } catch {
    // Not brine's own answer.
  }
  return new Refused(status, '', `the server answered with status ${status}`, retryAfter)
}
