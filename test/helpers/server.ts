import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** The program as a user runs it: `node …/cli.js`. */
export const CLI = fileURLToPath(new URL('../../src/bin/cli.js', import.meta.url))

export interface StartOptions {
  /** Extra arguments of `brine start`. */
  readonly args?: readonly string[]
  /** Data directory; a temporary one by default, removed at the end of the test. */
  readonly data?: string
  readonly port?: number
  readonly env?: NodeJS.ProcessEnv
}

export interface BrineProcess {
  readonly url: string
  readonly data: string
  readonly token: string
  readonly child: ChildProcess
  /** Everything it printed so far, line by line. */
  readonly output: readonly string[]
  /** Ends it as Ctrl-C does; resolves with exit code and milliseconds taken. */
  stop(): Promise<{ code: number | null; ms: number }>
  /** Ends it as a power cut does, and any minion that it started with it. */
  crash(): Promise<void>
  fetch(path: string, init?: RequestInit): Promise<Response>
}

interface Test {
  teardown(undo: () => unknown): void
}

/** A data directory that goes away with the test. */
export function tempData(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'brine-test-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }))
  return dir
}

/** Starts `brine start` on a free port and waits for its first line, which names the URL. Stopped at the end of the test. */
export async function startBrine(t: Test, options: StartOptions = {}): Promise<BrineProcess> {
  const data = options.data ?? tempData(t)
  const args = ['start', '--host', '127.0.0.1', '--port', String(options.port ?? 0), '--data', data, ...(options.args ?? [])]
  const child = spawn(process.execPath, ['--enable-source-maps', CLI, ...args], {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that `crash` takes the embedded minion along, as a power cut would.
    detached: true
  })
  const output: string[] = []
  createInterface({ input: child.stderr! }).on('line', line => output.push(line))
  const lines = createInterface({ input: child.stdout! })
  const url = await new Promise<string>((resolve, reject) => {
    lines.on('line', line => {
      output.push(line)
      const match = /http:\/\/[^\s]+/.exec(line)
      if (match) resolve(match[0])
    })
    child.once('exit', code => reject(new Error(`brine start ended with ${code}:\n${output.join('\n')}`)))
  })
  const token = readFileSync(join(data, 'admin.token'), 'utf8').trim()
  const ended = once(child, 'exit')

  const brine: BrineProcess = {
    url,
    data,
    token,
    child,
    output,
    async stop() {
      const from = performance.now()
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGINT')
      await ended
      return { code: child.exitCode, ms: performance.now() - from }
    },
    async crash() {
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGKILL')
      await ended
    },
    fetch: (path, init = {}) => {
      const headers = new Headers(init.headers)
      if (!headers.has('x-auth-token')) headers.set('x-auth-token', token)
      return fetch(url + path, { ...init, headers })
    }
  }
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) await brine.crash()
  })
  return brine
}

export interface StreamedEvent {
  readonly id: string
  readonly event?: string
  readonly tag: string
  readonly data: Record<string, unknown>
}

/** Reads `/events` as an SSE client does, until `done` says so or the stream ends. */
export async function readEvents(
  url: string,
  headers: Record<string, string>,
  done: (event: StreamedEvent, all: readonly StreamedEvent[]) => boolean,
  signal?: AbortSignal
): Promise<StreamedEvent[]> {
  const abort = new AbortController()
  const response = await fetch(url, { headers, signal: signal ? AbortSignal.any([signal, abort.signal]) : abort.signal })
  if (response.status !== 200) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  const events: StreamedEvent[] = []
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      rest += decoder.decode(chunk, { stream: true })
      const blocks = rest.split('\n\n')
      rest = blocks.pop()!
      for (const block of blocks) {
        const event = parseBlock(block)
        if (!event) continue
        events.push(event)
        if (done(event, events)) return events
      }
    }
  } catch (error) {
    if (!signal?.aborted) throw error
  } finally {
    abort.abort()
  }
  return events
}

function parseBlock(block: string): StreamedEvent | null {
  const fields = new Map<string, string>()
  for (const line of block.split('\n')) {
    const colon = line.indexOf(': ')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 2))
  }
  const data = fields.get('data')
  if (data === undefined) return null
  const parsed = JSON.parse(data) as { tag?: string; data?: Record<string, unknown> }
  const event = fields.get('event')
  return {
    id: fields.get('id') ?? '',
    tag: fields.get('tag') ?? '',
    data: parsed.data ?? (parsed as Record<string, unknown>),
    ...(event === undefined ? {} : { event })
  }
}
