import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { loadConfig } from '../config/load.js'
import { brineError } from '../errors.js'
import { dataFiles } from '../shared/data-dir.js'
import type { Terminal } from './terminal.js'

/** An answer of the server that is a refusal. Its text and hint are the server's. */
export class ServerError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint: string | undefined
  ) {
    super(message)
    this.name = 'ServerError'
  }
}

/** Options that every command which talks to a server has. */
export interface RemoteOptions {
  readonly url?: string
  readonly token?: string
  readonly data?: string
}

/** Speaks to one server with one token. */
export class Client {
  readonly url: string
  readonly #token: string | null

  constructor(url: string, token: string | null) {
    this.url = url.replace(/\/+$/, '')
    this.#token = token
  }

  /** The answer, if it is 2xx. @throws UNREACHABLE; ServerError */
  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers)
    if (this.#token !== null) headers.set('x-auth-token', this.#token)
    let response: Response
    try {
      response = await fetch(this.url + path, { ...init, headers })
    } catch (error) {
      if (init.signal?.aborted) throw error
      throw brineError('UNREACHABLE', this.url, reasonOf(error))
    }
    if (!response.ok) throw await refusal(response)
    return response
  }

  /** Sends JSON (or nothing) and reads JSON. */
  async json(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown, signal?: AbortSignal): Promise<unknown> {
    const response = await this.fetch(path, {
      method,
      headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {})
    })
    return response.json()
  }

  /** Runs one command of Salt's lowstate and gives its entry of `return`. */
  async run(chunk: Record<string, unknown>, signal?: AbortSignal): Promise<unknown> {
    return (await this.runAll(chunk, signal))[0]
  }

  /** The same with all entries: a batch has one for each minion. */
  async runAll(chunk: Record<string, unknown>, signal?: AbortSignal): Promise<unknown[]> {
    return ((await this.json('POST', '/', [chunk], signal)) as { return: unknown[] }).return
  }
}

/**
 * The server that is meant: `--url` and `--token`, else BRINE_URL and BRINE_TOKEN, else the server of the data directory (its `url` and
 * `admin.token`). A token of the data directory is sent to that directory's server alone, never to another URL.
 */
export function connect(terminal: Terminal, options: RemoteOptions): Client {
  const url = options.url ?? terminal.env.BRINE_URL
  const token = options.token ?? terminal.env.BRINE_TOKEN
  if (url !== undefined) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) throw brineError('USAGE', `'${url}' is no http URL`)
    return new Client(url, token?.trim() ?? null)
  }
  const dir = dataDir(terminal, options.data)
  const files = dataFiles(dir)
  const here = readLine(files.url)
  if (here === null) throw brineError('UNREACHABLE', dir, 'no server has been started on this data directory')
  return new Client(here, token?.trim() ?? readLine(files.adminToken))
}

/** `--data`, else BRINE_DATA_DIR, else what brine.yaml here says, else ./data. */
export function dataDir(terminal: Terminal, data: string | undefined): string {
  const given = data ?? terminal.env.BRINE_DATA_DIR
  if (given !== undefined) return resolve(terminal.cwd, given)
  const own = resolve(terminal.cwd, 'brine.yaml')
  return loadConfig({ files: existsSync(own) ? [own] : [], cwd: terminal.cwd }).config.data_dir
}

function readLine(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return null
    throw brineError(
      'USAGE',
      `${file}: ${code === 'EACCES' ? 'this user may not read it; use --url and --token' : (error as Error).message}`
    )
  }
}

async function refusal(response: Response): Promise<ServerError> {
  const text = await response.text()
  try {
    const { code, error, hint } = JSON.parse(text) as { code?: unknown; error?: unknown; hint?: unknown }
    if (typeof error === 'string') return new ServerError(response.status, String(code), error, typeof hint === 'string' ? hint : undefined)
  } catch {
    // Not brine's: a proxy in front of it, or another server.
  }
  return new ServerError(response.status, '', `${response.status} ${response.statusText}`, undefined)
}

/** fetch says "fetch failed"; what failed is in the cause. */
function reasonOf(error: unknown): string {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause
  return cause?.code ?? cause?.message ?? (error as Error).message
}
