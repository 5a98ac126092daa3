import type { Logger } from 'pino'
import type { Caller } from '../auth/caller.js'
import { brineError } from '../errors.js'
import type { Seq, StoredEvent } from '../events/event.js'
import { type Clock, SystemClock } from '../shared/clock.js'
import type { EventStore, TagFilter } from '../store/store.js'
import { compileFilter, filterKey, type TagTest } from '../tags/glob.js'
import { GlobIndex } from '../tags/index.js'
import type { Encoding } from './encoding.js'
import { locate, type Start } from './position.js'
import { Delivered, Recent } from './recent.js'
import { type EndReason, HEARTBEAT } from './sse.js'
import { type Sink, type SubscribeOptions, Subscription } from './subscription.js'

export interface HubOptions {
  readonly events: EventStore
  readonly log: Logger
  readonly clock?: Clock
  /** Setting max_subscribers. */
  readonly maxSubscribers?: number
  /** Setting subscriber_buffer_bytes: a live reader that lags by more is cut off. */
  readonly bufferBytes?: number
  /** Setting sse_heartbeat_seconds. */
  readonly heartbeatSeconds?: number
}

/** Streams that get the same bytes. */
class Streams {
  /** By what is written to, so that a round over thousands touches no more memory than their sockets. */
  readonly endless = new Map<Sink, Subscription>()
  readonly counted = new Set<Subscription>()

  get empty(): boolean {
    return this.endless.size + this.counted.size === 0
  }

  add(subscription: Subscription): void {
    if (subscription.counted) this.counted.add(subscription)
    else this.endless.set(subscription.sink, subscription)
  }

  delete(subscription: Subscription): void {
    this.counted.delete(subscription)
    if (this.endless.get(subscription.sink) === subscription) this.endless.delete(subscription.sink)
  }

  write(events: readonly Delivered[], encoding: Encoding, maxBacklog: number): void {
    if (this.endless.size > 0) {
      const bytes = joinBytes(events, encoding)
      for (const [sink, subscription] of this.endless) {
        if (sink.writableLength > maxBacklog) subscription.cut()
        else sink.write(bytes)
      }
    }
    for (const subscription of this.counted) subscription.push(events)
  }
}

/** One distinct filter and all who have it: it is asked once per event, whoever and however many they are. */
class Group {
  readonly key: string
  readonly patterns: readonly string[]
  /** What the index has not asked yet. */
  readonly rest: TagTest
  /** The whole filter. */
  readonly wants: TagTest
  readonly listeners = new Set<(event: StoredEvent) => void>()
  readonly streams = new Map<Encoding, Streams>()
  /** Events for the streams, not yet written. */
  pending: Delivered[] = []
  /** Seq of the event that was asked about last: several patterns of one filter may match. */
  asked: Seq = 0

  constructor(key: string, filter: TagFilter) {
    this.key = key
    this.patterns = filter.include?.length ? filter.include : ['*']
    const { include: _, ...rest } = filter
    this.rest = compileFilter(rest)
    this.wants = compileFilter(filter)
  }

  get empty(): boolean {
    return this.listeners.size === 0 && this.streams.size === 0
  }
}

/** How often expiry is looked at and a share of the heartbeats goes out: an expired token's stream ends within 2 s. */
const SWEEP_MS = 1000

/** Events of one turn are written together up to this, then at once: memory does not depend on how much arrives in a turn. */
const MAX_PENDING_BYTES = 4 * 1024 * 1024

/** A live event waits for no longer than this for others to be written with it. */
const MAX_GATHER_MS = 10

/**
 * Who listens. Hears of each committed batch, in order, from the store and hands it on: to listeners in the same turn, to streams with one
 * write per stream and round: at once when nothing was written just now, else together with what arrives meanwhile.
 */
export class Hub {
  readonly events: EventStore
  readonly log: Logger
  readonly bufferBytes: number
  /** For /metrics. */
  readonly counters = { delivered: 0, cut: 0 }
  readonly #clock: Clock
  readonly #maxSubscribers: number
  readonly #heartbeatTurns: number
  readonly #groups = new Map<string, Group>()
  readonly #index = new GlobIndex<Group>()
  readonly #subscriptions = new Set<Subscription>()
  readonly #dirty = new Set<Group>()
  readonly #heartbeats = new Map<Encoding, Uint8Array>()
  readonly #unwatch: () => void
  #recent: Recent | null = null
  #head: Seq = 0
  /** Those that wait for the next event; who gives up leaves. */
  readonly #waiters = new Set<() => void>()
  #ready: Promise<void> | null = null
  #pendingBytes = 0
  #gathering = false
  #sweeper: NodeJS.Timeout | null = null
  #turn = 0
  #slot = 0
  #stopped = false

  constructor(options: HubOptions) {
    this.events = options.events
    this.log = options.log
    this.#clock = options.clock ?? new SystemClock()
    this.#maxSubscribers = options.maxSubscribers ?? 10_000
    this.bufferBytes = options.bufferBytes ?? 1024 * 1024
    this.#heartbeatTurns = Math.max(1, Math.round(((options.heartbeatSeconds ?? 15) * 1000) / SWEEP_MS))
    this.#unwatch = this.events.watch(events => this.#deliver(events))
  }

  /** Finds the head of the log; `subscribe` and `follow` wait for it. May be called twice. */
  start(): Promise<void> {
    this.#ready ??= this.events.head().then(head => {
      this.#head = Math.max(this.#head, head)
      this.#recent ??= this.#newRecent(head)
      this.#sweeper = setInterval(() => this.sweep(this.#clock.nowUs()), SWEEP_MS)
      this.#sweeper.unref()
    })
    return this.#ready
  }

  /** The newest event that was delivered (or was there at the start). */
  get head(): Seq {
    return this.#head
  }

  get subscribers(): number {
    return this.#subscriptions.size
  }

  /** Streams whose readers have caught up. */
  get live(): number {
    let live = 0
    for (const subscription of this.#subscriptions) if (subscription.live) live++
    return live
  }

  /** Programs that wait for the next event. */
  get following(): number {
    return this.#waiters.size
  }

  /** Distinct filters in use, for /metrics. */
  get filters(): number {
    return this.#groups.size
  }

  /**
   * Live events that match, one by one, in order, in the turn in which they are committed. A listener must be quick; its errors are logged
   * and stop nobody. Returns its undo.
   */
  listen(filter: TagFilter, deliver: (event: StoredEvent) => void): () => void {
    const group = this.#group(filter)
    // Of its own, so that the same function may listen twice.
    const listener = (event: StoredEvent) => deliver(event)
    group.listeners.add(listener)
    return () => {
      group.listeners.delete(listener)
      this.#dropIfEmpty(group)
    }
  }

  /** Opens a stream: history from `start`, then live. Throws STREAMS_FULL and SHUTTING_DOWN. */
  subscribe(options: SubscribeOptions): Subscription {
    this.checkRoom()
    const subscription = new Subscription(this, options, this.#slot++ % this.#heartbeatTurns)
    this.#subscriptions.add(subscription)
    void subscription.run(options.start)
    return subscription
  }

  /** Throws when no further stream can be opened, so that it can be refused before anything is answered. */
  checkRoom(): void {
    if (this.#stopped) throw brineError('SHUTTING_DOWN')
    if (this.#subscriptions.size >= this.#maxSubscribers) throw brineError('STREAMS_FULL', this.#maxSubscribers)
  }

  /**
   * The same for programs: matching events from `start` on, at the consumer's pace, without end (until `signal` says so). Nothing is
   * buffered: a consumer that is behind reads the log.
   */
  async *follow(options: { start: Start; filter?: TagFilter; signal?: AbortSignal }): AsyncGenerator<StoredEvent, void, undefined> {
    await this.start()
    const filter = options.filter ?? {}
    const matches = compileFilter(filter)
    let cursor = (await locate(this.events, options.start, this.#head)).after
    while (!options.signal?.aborted && !this.#stopped) {
      const upTo = this.#head
      if (this.#recent!.covers(cursor)) {
        for (const { event } of this.#recent!.since(cursor)) {
          if (matches(event.tag)) yield event
          if (options.signal?.aborted) return
        }
      } else {
        for await (const page of this.events.read({ after: cursor, upTo, filter })) yield* page
      }
      cursor = upTo
      if (this.#head === cursor) await this.#moved(options.signal)
    }
  }

  /** Ends the streams of a token that was revoked. */
  revoked(jti: string): void {
    this.endWhere(caller => caller.jti === jti, 'token revoked')
  }

  endWhere(test: (caller: Pick<Caller, 'jti' | 'expiresUs'>) => boolean, reason: EndReason): void {
    for (const subscription of [...this.#subscriptions]) if (test(subscription.caller)) subscription.end(reason)
  }

  /** What is done every second: streams of expired tokens end, and every stream gets its heartbeat when it is its turn. */
  sweep(nowUs: number): void {
    this.endWhere(caller => caller.expiresUs <= nowUs, 'token expired')
    const turn = this.#turn++ % this.#heartbeatTurns
    for (const subscription of this.#subscriptions)
      if (subscription.slot === turn) subscription.heartbeat(this.#heartbeat(subscription.encoding))
  }

  /** Ends all streams and stops listening. May be called twice. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#unwatch()
    if (this.#sweeper) clearInterval(this.#sweeper)
    this.#flush()
    this.endWhere(() => true, 'server is stopping')
    this.#wake()
  }

  // ── for Subscription ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Makes a stream whose reader has everything up to `after` a live one; false when the recent events do not reach back that far.
   * In one turn: what is gathered goes out first, so that nothing is pushed to the newcomer twice.
   */
  join(subscription: Subscription, after: Seq): boolean {
    if (this.#stopped || !this.#recent!.covers(after)) return false
    this.#flush()
    const group = this.#group(subscription.filter)
    const missed = this.#recent!.since(after).filter(({ event }) => group.wants(event.tag))
    if (missed.length > 0) subscription.push(missed)
    if (subscription.ended) {
      this.#dropIfEmpty(group)
      return true
    }
    const streams = group.streams.get(subscription.encoding) ?? new Streams()
    streams.add(subscription)
    group.streams.set(subscription.encoding, streams)
    subscription.joined()
    return true
  }

  leave(subscription: Subscription): void {
    this.#subscriptions.delete(subscription)
    const group = this.#groups.get(filterKey(subscription.filter))
    const streams = group?.streams.get(subscription.encoding)
    if (!group || !streams) return
    streams.delete(subscription)
    if (streams.empty) group.streams.delete(subscription.encoding)
    this.#dropIfEmpty(group)
  }

  // ── delivery ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #deliver(events: readonly StoredEvent[]): void {
    for (const event of events) {
      // Older than the head that `start` found: listeners have not seen it, but no stream lacks it.
      const known = event.seq <= this.#head
      const delivered = new Delivered(event, this.events.epoch)
      if (!known) this.#note(delivered)
      for (const group of this.#index.match(event.tag)) {
        if (group.asked === event.seq) continue
        group.asked = event.seq
        if (!group.rest(event.tag)) continue
        for (const listener of group.listeners) this.#tell(listener, event)
        if (!known && group.streams.size > 0) this.#hold(group, delivered)
      }
    }
    this.counters.delivered += events.length
    if (this.#waiters.size > 0) this.#wake()
    if (!this.#gathering) this.#flush()
  }

  #note(delivered: Delivered): void {
    this.#head = delivered.event.seq
    this.#recent ??= this.#newRecent(delivered.event.seq - 1)
    this.#recent.add(delivered)
  }

  #tell(listener: (event: StoredEvent) => void, event: StoredEvent): void {
    try {
      listener(event)
    } catch (error) {
      this.log.error({ err: error, tag: event.tag }, 'a listener failed')
    }
  }

  #hold(group: Group, delivered: Delivered): void {
    group.pending.push(delivered)
    this.#dirty.add(group)
    this.#pendingBytes += delivered.event.json.length
    if (this.#pendingBytes > MAX_PENDING_BYTES) this.#flush()
  }

  /** Writes what is pending; what comes next is gathered for a while. */
  #flush(): void {
    if (this.#dirty.size === 0) return
    const from = performance.now()
    const groups = [...this.#dirty]
    this.#dirty.clear()
    this.#pendingBytes = 0
    for (const group of groups) {
      const events = group.pending
      group.pending = []
      for (const [encoding, streams] of group.streams) streams.write(events, encoding, this.bufferBytes)
    }
    if (!this.#gathering) this.#gather(performance.now() - from)
  }

  /**
   * Until the turn is over, or for as long as the last round took, if that was long: then at most half of the time goes into writing, the
   * other half into what there is to write, and the more streams there are the more goes into one write.
   */
  #gather(roundMs: number): void {
    this.#gathering = true
    const done = () => {
      this.#gathering = false
      this.#flush()
    }
    if (roundMs < 1) setImmediate(done)
    else setTimeout(done, Math.min(roundMs, MAX_GATHER_MS))
  }

  // ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  #group(filter: TagFilter): Group {
    const key = filterKey(filter)
    let group = this.#groups.get(key)
    if (group === undefined) {
      group = new Group(key, filter)
      this.#groups.set(key, group)
      for (const pattern of group.patterns) this.#index.add(pattern, group)
    }
    return group
  }

  #dropIfEmpty(group: Group): void {
    if (!group.empty || this.#groups.get(group.key) !== group) return
    this.#groups.delete(group.key)
    for (const pattern of group.patterns) this.#index.remove(pattern, group)
  }

  #newRecent(floor: Seq): Recent {
    // Half, so that a reader that joins is not cut for what it was given at once.
    return new Recent(floor, this.bufferBytes / 2)
  }

  #heartbeat(encoding: Encoding): Uint8Array {
    const bytes = this.#heartbeats.get(encoding) ?? encoding.text(HEARTBEAT)
    this.#heartbeats.set(encoding, bytes)
    return bytes
  }

  #moved(signal: AbortSignal | undefined): Promise<void> {
    return new Promise(resolve => {
      const wake = () => {
        signal?.removeEventListener('abort', wake)
        this.#waiters.delete(wake)
        resolve()
      }
      signal?.addEventListener('abort', wake, { once: true })
      this.#waiters.add(wake)
    })
  }

  #wake(): void {
    for (const wake of [...this.#waiters]) wake()
  }
}

function joinBytes(events: readonly Delivered[], encoding: Encoding): Uint8Array {
  return events.length === 1 ? events[0]!.bytes(encoding) : Buffer.concat(events.map(event => event.bytes(encoding)))
}
