import { setTimeout as wait } from 'node:timers/promises'
import { brineError, isBrineError } from '../errors.js'
import { compileGlob } from '../tags/glob.js'
import { eventData, seconds } from './arguments.js'
import { type Client, connect, type RemoteOptions, ServerError } from './client.js'
import type { Exit } from './exit.js'
import { exitOfStatus } from './exit.js'
import { format } from './output.js'
import { type Frame, readFrames } from './sse.js'
import { readAll, type Terminal } from './terminal.js'

export interface WatchOptions extends RemoteOptions {
  readonly since?: string
  readonly exclude?: readonly string[]
  readonly count?: string
  readonly timeout?: string
  readonly pretty?: boolean
  readonly out?: string
}

/** Pauses between attempts to get a lost stream back. With jitter, so that watchers of a restarted server do not come all at once. */
const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 5000

/** `brine event watch`: prints events as they come. A lost stream is taken up where it ended; each event is printed once. */
export async function watch(terminal: Terminal, globs: readonly string[], options: WatchOptions): Promise<Exit> {
  const count = options.count === undefined ? Number.POSITIVE_INFINITY : Number(options.count)
  if (!(count >= 1)) throw brineError('USAGE', '--count must be 1 or more')
  const query = new URLSearchParams()
  for (const glob of globs) query.append('tag', glob)
  for (const glob of options.exclude ?? []) query.append('exclude', glob)
  const print = printerFor(terminal, options)
  return follow(terminal, connect(terminal, options), {
    query,
    ...(options.since === undefined ? {} : { since: options.since }),
    ...(options.timeout === undefined ? {} : { timeoutMs: seconds(options.timeout) * 1000 }),
    count,
    wants: () => true,
    print
  })
}

/** `salt-run state.event`: tag, a TAB, JSON; with `pretty` keys sorted and indented by four (golden/README "state.event"). */
export async function stateEvent(terminal: Terminal, options: RemoteOptions, kwargs: Record<string, unknown>): Promise<Exit> {
  const { tagmatch = '*', count = -1, quiet = false, pretty = false, ...others } = kwargs
  const unknown = Object.keys(others).filter(name => name !== 'node' && name !== 'sock_dir')
  if (unknown.length > 0) throw brineError('USAGE', `state.event takes tagmatch, count, quiet and pretty, not ${unknown.join(', ')}`)
  const limit = Number(count) < 0 ? Number.POSITIVE_INFINITY : Number(count)
  const exit = await follow(terminal, connect(terminal, options), {
    query: new URLSearchParams(),
    count: limit,
    wants: tagMatcher(String(tagmatch)),
    print: frame => {
      if (quiet !== true) terminal.out(`${frame.tag}\t${pretty === true ? prettyJson(frame.data) : frame.data}\n`)
    }
  })
  if (exit === 'ok') terminal.out('None\n')
  return exit
}

/** As state.event matches: a glob, or a regular expression anchored at both ends; one that does not parse matches nothing. */
export function tagMatcher(tagmatch: string): (tag: string) => boolean {
  const glob = compileGlob(tagmatch)
  let pattern: RegExp | null = null
  try {
    pattern = new RegExp(`^(?:${tagmatch})$`, 's')
  } catch {
    // Most globs are no regular expressions.
  }
  return tag => glob(tag) || pattern?.test(tag) === true
}

interface Following {
  readonly query: URLSearchParams
  /** Where to begin; now, if not said. */
  readonly since?: string
  readonly timeoutMs?: number
  readonly count: number
  readonly wants: (tag: string) => boolean
  readonly print: (frame: Event) => void
}

/** `data` is the event's own data as JSON, as the server sent it. */
interface Event {
  readonly id: string
  readonly tag: string
  readonly data: string
}

async function follow(terminal: Terminal, client: Client, options: Following): Promise<Exit> {
  const interrupted = terminal.interrupted()
  const deadline = options.timeoutMs === undefined ? null : AbortSignal.timeout(options.timeoutMs)
  const signal = deadline === null ? interrupted : AbortSignal.any([interrupted, deadline])
  let left = options.count
  let pauseMs = FIRST_PAUSE_MS
  // Known before the stream is opened, so that a stream that is lost before its first event can be taken up, too.
  let cursor = options.since ?? (await head(client, signal))
  for (;;) {
    try {
      for await (const frame of openStream(client, options.query, cursor, signal)) {
        pauseMs = FIRST_PAUSE_MS
        cursor = frame.id ?? cursor
        if (frame.event === 'gap') terminal.err(`gap: ${frame.data}\n`)
        else if (frame.event === 'end') endOf(frame, terminal)
        else if (options.wants(frame.tag)) {
          options.print(eventOf(frame))
          if (--left <= 0) return 'ok'
        }
      }
    } catch (error) {
      if (interrupted.aborted) return 'interrupted'
      if (deadline?.aborted) return left === Number.POSITIVE_INFINITY ? 'ok' : 'failed'
      if (!isPassing(error)) throw error
    }
    await wait(pauseMs * (0.5 + Math.random() / 2), null, { signal }).catch(() => {})
    if (interrupted.aborted) return 'interrupted'
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
  }
}

/** The id of the newest event: what comes after it is new. */
async function head(client: Client, signal: AbortSignal): Promise<string> {
  const { next } = (await client.json('GET', '/events?since=now&limit=1', undefined, signal)) as { next: string }
  return next
}

async function* openStream(client: Client, query: URLSearchParams, cursor: string, signal: AbortSignal): AsyncGenerator<Frame> {
  const parameters = new URLSearchParams(query)
  parameters.set('since', cursor)
  const response = await client.fetch(`/events?${parameters}`, { headers: { accept: 'text/event-stream' }, signal })
  yield* readFrames(response.body as unknown as AsyncIterable<Uint8Array>)
}

/** What ends a stream by the server's will. A stopping server may come back; a token that ended does not. */
function endOf(frame: Frame, terminal: Terminal): void {
  const { reason } = JSON.parse(frame.data) as { reason?: string }
  if (reason?.startsWith('token'))
    throw new ServerError(401, 'NO_TOKEN', `the stream was ended: ${reason}`, 'log in again, or make a new token')
  terminal.err(`stream ended: ${reason ?? 'no reason given'}; trying again\n`)
}

function isPassing(error: unknown): boolean {
  if (error instanceof ServerError) return exitOfStatus(error.status) === 'unreachable'
  return isBrineError(error, 'UNREACHABLE') || (error instanceof TypeError && error.message === 'terminated')
}

function eventOf({ id, tag, data }: Frame): Event {
  // `{"data": {…}, "tag": "…"}`: cut out as text, so that what is printed has the same bytes as the log.
  const end = data.lastIndexOf(`, "tag": ${JSON.stringify(tag)}}`)
  const inner =
    data.startsWith('{"data": ') && end > 0 ? data.slice('{"data": '.length, end) : JSON.stringify((JSON.parse(data) as Event).data)
  return { id: id ?? '', tag, data: inner }
}

function printerFor(terminal: Terminal, { out, pretty }: WatchOptions): (event: Event) => void {
  if (out === 'json')
    return ({ id, tag, data }) => terminal.out(`{"id": ${JSON.stringify(id)}, "tag": ${JSON.stringify(tag)}, "data": ${data}}\n`)
  if (out === 'yaml') return ({ id, tag, data }) => terminal.out(`---\n${format({ id, tag, data: JSON.parse(data) as unknown }, 'yaml')}`)
  return ({ tag, data }) => terminal.out(`${tag}\t${pretty ? prettyJson(data) : data}\n`)
}

function prettyJson(data: string): string {
  return JSON.stringify(sorted(JSON.parse(data)), null, 4)
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const names = Object.keys(value).sort()
  return Object.fromEntries(names.map(name => [name, sorted((value as Record<string, unknown>)[name])]))
}

export interface SendOptions extends RemoteOptions {
  readonly json?: string
  readonly lines?: boolean
  readonly idempotencyKey?: string
  readonly out?: string
}

/** An event is 1 MiB by default; what is read from stdin at once is bounded well above. */
const MAX_STDIN = 64 * 1024 * 1024

/** `brine event send`: fires one event, or with `--lines` one per line of stdin. Done when the server has it on disk. */
export async function send(terminal: Terminal, tag: string | undefined, texts: readonly string[], options: SendOptions): Promise<Exit> {
  const client = connect(terminal, options)
  const headers: Record<string, string> = options.idempotencyKey === undefined ? {} : { 'idempotency-key': options.idempotencyKey }
  if (options.lines) {
    if (tag !== undefined) throw brineError('USAGE', 'with --lines each line of stdin has its own tag')
    return sendLines(terminal, client, headers)
  }
  if (tag === undefined) throw brineError('USAGE', 'a tag is missing')
  const json = options.json === '-' ? await readAll(terminal.stdin, MAX_STDIN) : options.json
  const response = await client.fetch('/events', {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ tag, data: eventData(json, texts) })
  })
  const { id } = (await response.json()) as { id: string }
  terminal.out(options.out === undefined ? `${id}\n` : format({ id }, options.out as 'json'))
  return 'ok'
}

async function sendLines(terminal: Terminal, client: Client, headers: Record<string, string>): Promise<Exit> {
  const response = await client.fetch('/events', {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/x-ndjson' },
    body: terminal.stdin as unknown as ReadableStream,
    duplex: 'half'
  } as RequestInit)
  const answer = await response.text()
  terminal.out(answer)
  const last = answer.trimEnd().split('\n').at(-1) ?? ''
  return /"(error|code)":/.test(last) ? 'failed' : 'ok'
}
