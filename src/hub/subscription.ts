import type { Caller } from '../auth/caller.js'
import { isBrineError } from '../errors.js'
import { eventId, type Seq } from '../events/event.js'
import type { EncodedPage, EventQuery, TagFilter } from '../store/store.js'
import type { Encoding } from './encoding.js'
import type { Hub } from './hub.js'
import { locate, type Start } from './position.js'
import type { Delivered } from './recent.js'
import { type EndReason, endFrame, gapFrame } from './sse.js'

/** What the hub writes to directly: a socket, seen from here. */
export interface Sink {
  /** Takes the bytes; they are shared with other streams and never changed. */
  write(bytes: Uint8Array): unknown
  /** Bytes taken and not yet handed to the system. */
  readonly writableLength: number
}

/** Where a subscription's bytes go: a connection. */
export interface Outlet {
  readonly sink: Sink
  /** Writes several at once. */
  writeAll(parts: readonly Uint8Array[]): void
  /** Resolves when the backlog is gone, or after `withinMs`: true when it is gone. */
  drained(withinMs: number): Promise<boolean>
  /** Writes these bytes, then ends the answer and the connection, at last by force. */
  end(last: Uint8Array, withinMs: number): void
  /** Drops the connection at once. */
  cut(): void
}

export interface SubscribeOptions {
  readonly filter: TagFilter
  readonly start: Start
  readonly encoding: Encoding
  readonly outlet: Outlet
  /** Whose token carries the stream; it ends with the token. */
  readonly caller: Pick<Caller, 'jti' | 'expiresUs'>
  /** End after so many events. */
  readonly count?: number
  /** End after so long. */
  readonly timeoutMs?: number
}

/** A reader of history that takes nothing for so long is gone; it would hold a place in the log open. */
const STALL_MS = 60_000

/** A reader may take so long for what was sent before its stream ended; less when the server stops, which takes 2 s at most. */
const END_MS = 10_000
const STOP_MS = 1000

/**
 * One stream: history, then live, by one algorithm.
 *
 *     behind ── catches up with the log at the reader's own pace ──► live ── pushed to by the hub ──► ended
 *
 * While it is behind it pulls pages from the store, each after the last one is taken, so its memory does not depend on how far behind it is.
 * When the hub's recent events reach back to its cursor it takes those and becomes live in the same turn: nothing can be delivered
 * in between, so there is no gap and nothing comes twice. A live reader whose backlog grows beyond the hub's bound is cut off;
 * it comes back with its Last-Event-ID and is behind again.
 */
export class Subscription {
  readonly filter: TagFilter
  readonly encoding: Encoding
  readonly caller: Pick<Caller, 'jti' | 'expiresUs'>
  /** Which of the heartbeat's turns is this stream's, so that thousands are not written at once. */
  readonly slot: number
  readonly #hub: Hub
  readonly #outlet: Outlet
  #remaining: number
  #timer: NodeJS.Timeout | null = null
  #state: 'behind' | 'live' | 'ended' = 'behind'

  constructor(hub: Hub, options: SubscribeOptions, slot: number) {
    this.#hub = hub
    this.filter = options.filter
    this.encoding = options.encoding
    this.caller = options.caller
    this.slot = slot
    this.#outlet = options.outlet
    this.#remaining = options.count ?? Number.POSITIVE_INFINITY
    if (options.timeoutMs !== undefined) this.#timer = setTimeout(() => this.end('timeout'), options.timeoutMs)
  }

  get live(): boolean {
    return this.#state === 'live'
  }

  get ended(): boolean {
    return this.#state === 'ended'
  }

  /** Catches up and goes live. Resolves when it is live or ended; never rejects. */
  async run(start: Start): Promise<void> {
    try {
      await this.#hub.start()
      const { after, gap } = await locate(this.#hub.events, start, this.#hub.head)
      if (gap && !this.ended) this.#say(gapFrame(gap))
      let cursor = after
      while (!this.ended && !this.#hub.join(this, cursor)) cursor = await this.#replay(cursor, this.#hub.head)
    } catch (error) {
      this.#hub.log.error({ err: error }, 'a stream could not be read from the log')
      this.end('error')
    }
  }

  get sink(): Sink {
    return this.#outlet.sink
  }

  /** It ends after a number of events, so it does not get the same bytes as the others. */
  get counted(): boolean {
    return Number.isFinite(this.#remaining)
  }

  /** Events for this stream alone: what it missed until it joined, and all events when it is counted. */
  push(events: readonly Delivered[]): void {
    if (this.ended || this.#isSlow()) return
    for (const event of events.slice(0, this.#remaining)) this.sink.write(event.bytes(this.encoding))
    this.#remaining -= events.length
    if (this.#remaining <= 0) this.end('count')
  }

  /** Called by the hub when this stream is among those it pushes to. */
  joined(): void {
    this.#state = 'live'
  }

  heartbeat(bytes: Uint8Array): void {
    if (this.live && !this.#isSlow()) this.sink.write(bytes)
  }

  /** Ends the stream with a last frame that says why. */
  end(reason: EndReason): void {
    if (this.#leave()) this.#outlet.end(this.encoding.text(endFrame(reason)), reason === 'server is stopping' ? STOP_MS : END_MS)
  }

  /** The reader went away. */
  closed(): void {
    this.#leave()
  }

  /** The reader is too slow: drops the connection, last frame or not. It comes back with its cursor. */
  cut(): void {
    if (!this.#leave()) return
    this.#hub.log.info({ backlog: this.sink.writableLength }, 'a stream was cut: its reader is too slow')
    this.#hub.counters.cut++
    this.#outlet.cut()
  }

  #leave(): boolean {
    if (this.ended) return false
    this.#state = 'ended'
    if (this.#timer) clearTimeout(this.#timer)
    this.#hub.leave(this)
    return true
  }

  #isSlow(): boolean {
    if (this.sink.writableLength <= this.#hub.bufferBytes) return false
    this.cut()
    return true
  }

  #say(frame: string): void {
    this.sink.write(this.encoding.text(frame))
  }

  /** Sends history up to and with `upTo`; returns the cursor after it. */
  async #replay(after: Seq, upTo: Seq): Promise<Seq> {
    const limit = Number.isFinite(this.#remaining) ? { limit: this.#remaining } : {}
    const query: EventQuery = { after, upTo, filter: this.filter, ...limit }
    let cursor = after
    let first: Seq | null = null
    try {
      for await (const page of this.#hub.events.readEncoded(query, this.encoding.format)) {
        first ??= await this.#sayLoss(after, page.seqs[0]!)
        if (!(await this.#send(page))) return cursor
        cursor = page.scannedTo
      }
      if (first === null) await this.#sayLoss(after, upTo + 1)
      return upTo
    } catch (error) {
      // Retention has overtaken a slow reader in the middle of its history.
      if (!isBrineError(error, 'EVENTS_GONE')) throw error
      return this.#sayGap(cursor, Number(error.values[0]))
    }
  }

  /** False when the stream has ended with it. */
  async #send(page: EncodedPage): Promise<boolean> {
    if (this.ended) return false
    this.#outlet.writeAll(this.encoding.page(page.bytes))
    this.#remaining -= page.count
    if (this.#remaining <= 0) this.end('count')
    else if (!(await this.#outlet.drained(STALL_MS))) this.cut()
    return !this.ended
  }

  /** Between finding the start and reading from it, retention may have moved: that is a gap too. Returns the first event's seq. */
  async #sayLoss(after: Seq, first: Seq): Promise<Seq> {
    if (first === after + 1) return first
    const before = Math.min((await this.#hub.events.oldest()) - 1, first - 1)
    if (before > after) this.#sayGap(after, before)
    return first
  }

  #sayGap(after: Seq, before: Seq): Seq {
    const { epoch } = this.#hub.events
    if (!this.ended) this.#say(gapFrame({ from: eventId(epoch, after), to: eventId(epoch, before), reason: 'retention' }))
    return before
  }
}
