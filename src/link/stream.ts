import type { Writable } from 'node:stream'
import type { Down } from '../protocol/messages.js'
import { PROTOCOL } from '../protocol/version.js'
import type { Delivery } from '../store/store.js'

/** Jobs on their way to one minion that it has not acknowledged. Acknowledging takes it milliseconds; the rest waits in the store. */
const WINDOW = 100
/** Bytes that wait in one socket: beyond this jobs stay in the store until it has drained. A job has a megabyte at most. */
const MAX_BACKLOG = 4 * 1024 * 1024
/** A line comes at least so often, so that both sides notice a dead connection. */
const HEARTBEAT_SECONDS = 30
/** A job that was not acknowledged after so long was lost on the way, or its acknowledgement was. */
const RESEND_MS = 30_000
/** A socket that has not drained for so long has no reader. */
const STALLED_MS = 60_000
/** A minion sends something every `HEARTBEAT_SECONDS`; after so many of them without a word it is gone. */
const MISSED_HEARTBEATS = 4

/** What streams need of the link, which is the same for all of them. */
export interface StreamHost {
  /** Deliveries that the minion has not acknowledged, oldest first. */
  pending(id: string, limit: number): Promise<readonly Delivery[]>
  /** Milliseconds that only grow. */
  now(): number
  closed(stream: MinionStream): void
  failed(stream: MinionStream, error: unknown): void
}

export interface MinionStreamOptions {
  readonly id: string
  readonly out: Writable
  readonly grainsWanted: boolean
}

/**
 * The server's end of one minion's stream. Jobs come from the store (what was pending when the minion connected, and what did not fit) and
 * directly from whoever publishes; each is sent again until it is acknowledged. Ends by `bye`, by `cut`, or when the connection closes.
 */
export class MinionStream {
  readonly id: string
  readonly #host: StreamHost
  readonly #out: Writable
  /** Sent and not acknowledged: jid → when. Made when there is something: most of ten thousand have nothing to do. */
  #sent: Map<string, number> | null = null
  #filling = false
  /** The store may have deliveries that were not sent. */
  #more = true
  #ended = false
  #written: number
  #heard: number
  #stalledSince: number | null = null

  constructor(host: StreamHost, { id, out, grainsWanted }: MinionStreamOptions) {
    this.id = id
    this.#host = host
    this.#out = out
    this.#written = this.#heard = host.now()
    out.once('close', () => this.#close())
    out.on('error', () => out.destroy())
    out.on('drain', () => {
      this.#stalledSince = null
      if (this.#more) this.#fill()
    })
    this.#write({ type: 'hello', protocol: PROTOCOL, heartbeat_seconds: HEARTBEAT_SECONDS, grains: grainsWanted, gzip: true })
    this.#fill()
  }

  /** Sends a job (`line`: as `jobLine` has it), or leaves it in the store for now when there is no room. */
  send(job: Delivery, line = jobLine(job)): void {
    if (this.#ended || this.#sent?.has(job.jid)) return
    if (!this.#hasRoom()) {
      this.#more = true
      return
    }
    this.#sent ??= new Map()
    this.#sent.set(job.jid, this.#host.now())
    this.#writeLine(line)
  }

  /** The minion has these jobs (or their returns are here): there is room for others. */
  acknowledged(jids: Iterable<string>): void {
    for (const jid of jids) this.#sent?.delete(jid)
    if (this.#sent?.size === 0) this.#sent = null
    if (this.#more) this.#fill()
  }

  /** Something came from the minion. */
  heard(): void {
    this.#heard = this.#host.now()
  }

  /** Looks after the stream; called every few seconds. */
  tick(): void {
    const now = this.#host.now()
    if (now - this.#heard > MISSED_HEARTBEATS * HEARTBEAT_SECONDS * 1000) this.bye('silent')
    else if (this.#stalledSince !== null && now - this.#stalledSince > STALLED_MS) this.bye('slow')
    else this.#tend(now)
  }

  #tend(now: number): void {
    for (const [jid, sentAt] of this.#sent ?? []) {
      if (now - sentAt < RESEND_MS) break
      this.#sent!.delete(jid)
      this.#more = true
    }
    if (this.#more) this.#fill()
    if (now - this.#written >= HEARTBEAT_SECONDS * 1000) this.#write({ type: 'ping' })
  }

  /** Says why, then ends. What the minion does not read in time is cut off. */
  bye(reason: string): void {
    if (this.#ended) return
    this.#write({ type: 'bye', reason })
    this.#ended = true
    const out = this.#out
    out.end()
    const timer = setTimeout(() => out.destroy(), 1000)
    timer.unref()
    out.once('close', () => clearTimeout(timer))
  }

  #hasRoom(): boolean {
    return (this.#sent?.size ?? 0) < WINDOW && this.#out.writableLength < MAX_BACKLOG
  }

  #fill(): void {
    if (this.#filling || this.#ended || !this.#hasRoom()) return
    this.#filling = true
    this.#more = false
    this.#read()
      .catch(error => {
        this.#more = true
        this.#host.failed(this, error)
      })
      .finally(() => {
        this.#filling = false
      })
  }

  async #read(): Promise<void> {
    // What was sent is among the pending, so this many are enough to fill the window.
    const jobs = await this.#host.pending(this.id, WINDOW + 1)
    if (jobs.length > WINDOW) this.#more = true
    for (const job of jobs) this.send(job)
  }

  #write(line: Down): void {
    this.#writeLine(`${JSON.stringify(line)}\n`)
  }

  #writeLine(line: string): void {
    const out = this.#out
    if (this.#ended || out.destroyed || out.writableEnded) return
    this.#written = this.#host.now()
    if (!out.write(line)) this.#stalledSince ??= this.#written
  }

  #close(): void {
    this.#ended = true
    this.#host.closed(this)
  }
}

/** A job as it goes down. The same for every minion that it is for. */
export function jobLine(job: Delivery): string {
  return `${JSON.stringify({ type: 'job', job: jobMessage(job) } satisfies Down)}\n`
}

function jobMessage({ jid, fun, arg, tgt, tgtType, user, ret, metadata }: Delivery) {
  return { jid, fun, arg, tgt, tgt_type: tgtType, user, ret, ...(metadata === undefined ? {} : { metadata }) }
}
