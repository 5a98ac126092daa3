import type { Writable } from 'node:stream'
import type { Down } from '../protocol/messages.js'
import { PROTOCOL } from '../protocol/version.js'
import type { Delivery } from '../store/store.js'

/** Jobs on their way to one minion that it has not acknowledged. Acknowledging takes it milliseconds; the rest waits in the store. */
const WINDOW = 100
/** Bytes that wait in one socket: beyond this jobs stay in the store until it has drained. A job has a megabyte at most. */
const MAX_BACKLOG = 4 * 1024 * 1024
/** A line comes at least so often, so that both sides notice a dead connection. */
export const HEARTBEAT_SECONDS = 30
/** A job that was not acknowledged after so long was lost on the way, or its acknowledgement was. */
const RESEND_MS = 30_000
/** A socket that has not drained for so long has no reader. */
const STALLED_MS = 60_000
/** A minion sends something every `HEARTBEAT_SECONDS`; after so many of them without a word it is gone. */
const MISSED_HEARTBEATS = 4

export interface MinionStreamOptions {
  readonly id: string
  readonly out: Writable
  /** Deliveries that the minion has not acknowledged, oldest first. */
  readonly pending: (limit: number) => Promise<readonly Delivery[]>
  /** Milliseconds that only grow. */
  readonly now: () => number
  readonly grainsWanted: boolean
  readonly onClose: () => void
  readonly onError: (error: unknown) => void
}

/**
 * The server's end of one minion's stream. Jobs come from the store (what was pending when the minion connected, and what did not fit) and
 * directly from whoever publishes; each is sent again until it is acknowledged. Ends by `bye`, by `cut`, or when the connection closes.
 */
export class MinionStream {
  readonly #o: MinionStreamOptions
  /** Sent and not acknowledged: jid → when. */
  readonly #sent = new Map<string, number>()
  #filling = false
  /** The store may have deliveries that were not sent. */
  #more = true
  #ended = false
  #written: number
  #heard: number
  #stalledSince: number | null = null

  constructor(options: MinionStreamOptions) {
    this.#o = options
    this.#written = this.#heard = options.now()
    const { out } = options
    out.once('close', () => this.#close())
    out.on('error', () => out.destroy())
    out.on('drain', () => {
      this.#stalledSince = null
      if (this.#more) this.#fill()
    })
    this.#write({ type: 'hello', protocol: PROTOCOL, heartbeat_seconds: HEARTBEAT_SECONDS, grains: options.grainsWanted, gzip: true })
    this.#fill()
  }

  /** Sends a job, or leaves it in the store for now when there is no room. */
  send(job: Delivery): void {
    if (this.#ended || this.#sent.has(job.jid)) return
    if (!this.#hasRoom()) {
      this.#more = true
      return
    }
    this.#sent.set(job.jid, this.#o.now())
    this.#write({ type: 'job', job: jobMessage(job) })
  }

  /** The minion has these jobs (or their returns are here): there is room for others. */
  acknowledged(jids: Iterable<string>): void {
    for (const jid of jids) this.#sent.delete(jid)
    if (this.#more) this.#fill()
  }

  /** Something came from the minion. */
  heard(): void {
    this.#heard = this.#o.now()
  }

  /** Looks after the stream; called every few seconds. */
  tick(): void {
    const now = this.#o.now()
    if (now - this.#heard > MISSED_HEARTBEATS * HEARTBEAT_SECONDS * 1000) this.bye('silent')
    else if (this.#stalledSince !== null && now - this.#stalledSince > STALLED_MS) this.bye('slow')
    else this.#tend(now)
  }

  #tend(now: number): void {
    for (const [jid, sentAt] of this.#sent) {
      if (now - sentAt < RESEND_MS) break
      this.#sent.delete(jid)
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
    const { out } = this.#o
    out.end()
    const timer = setTimeout(() => out.destroy(), 1000)
    timer.unref()
    out.once('close', () => clearTimeout(timer))
  }

  #hasRoom(): boolean {
    return this.#sent.size < WINDOW && this.#o.out.writableLength < MAX_BACKLOG
  }

  #fill(): void {
    if (this.#filling || this.#ended || !this.#hasRoom()) return
    this.#filling = true
    this.#more = false
    this.#read()
      .catch(error => {
        this.#more = true
        this.#o.onError(error)
      })
      .finally(() => {
        this.#filling = false
      })
  }

  async #read(): Promise<void> {
    // What was sent is among the pending, so this many are enough to fill the window.
    const jobs = await this.#o.pending(WINDOW + 1)
    if (jobs.length > WINDOW) this.#more = true
    for (const job of jobs) this.send(job)
  }

  #write(line: Down): void {
    const { out } = this.#o
    if (this.#ended || out.destroyed || out.writableEnded) return
    this.#written = this.#o.now()
    if (!out.write(`${JSON.stringify(line)}\n`)) this.#stalledSince ??= this.#written
  }

  #close(): void {
    this.#ended = true
    this.#o.onClose()
  }
}

function jobMessage({ jid, fun, arg, tgt, tgtType, user, ret, metadata }: Delivery) {
  return { jid, fun, arg, tgt, tgt_type: tgtType, user, ret, ...(metadata === undefined ? {} : { metadata }) }
}
