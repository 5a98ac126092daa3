import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Logger } from 'pino'
import { BrineError, brineError } from '../../errors.js'
import type { NewEvent, Seq, StoredEvent } from '../../events/event.js'
import { type Batch, type Committed, emptyBatch, type Failure, type FromWriter, pushEvent, type Refused } from './batch.js'
import { errorOf, RETRY_AFTER_SECONDS } from './failures.js'
import type { Writes } from './operations.js'
import { threadFlags } from './thread.js'
import type { WriterData } from './worker.js'

export interface WriterOptions {
  readonly file: string
  /** Operations that may wait; the next one is refused with STORE_BUSY. */
  readonly maxWaiting: number
  /** Bytes that may wait. */
  readonly maxWaitingBytes: number
  readonly maxPages?: number
  readonly log?: Pick<Logger, 'error' | 'warn' | 'info'>
}

/** What an operation did. `first`: seq of its first event, 0 when it wrote none; the others follow without a hole. */
export interface Written<T> {
  readonly result: T
  readonly first: Seq
}

type Deliver = (events: readonly StoredEvent[]) => void

/** An operation that was accepted and is not committed yet. */
interface Waiting {
  readonly events: readonly NewEvent[]
  readonly bytes: number
  readonly resolve: (written: Written<never>) => void
  readonly reject: (error: Error) => void
}

/** What an operation weighs beside its texts: objects on both sides, the row's other columns. */
const OPERATION_BYTES = 256

/** How often a store that cannot write looks whether it can again, when nobody writes. */
const PROBE_MS = 1_000

/**
 * The API's side of the writer thread: gathers the operations of one turn of the event loop into one message, bounds what waits, tells
 * the listeners of each commit and then the callers.
 */
export class Writer {
  readonly #worker: Worker
  readonly #options: WriterOptions
  readonly #listeners = new Set<Deliver>()
  #gathered: Batch = emptyBatch()
  #posting: NodeJS.Immediate | null = null
  /** In the order in which they were posted, which is the order of the writer's answers. */
  #waiting: Waiting[] = []
  #answered = 0
  #waitingBytes = 0
  #probe: NodeJS.Timeout | null = null
  #gone: BrineError | null = null
  #draining = false
  #onAnswered: (() => void)[] = []
  #closing: Promise<void> | null = null
  #head: Seq
  readonly epoch: string
  commits = 0
  committedEvents = 0
  failing: string | null = null

  private constructor(worker: Worker, options: WriterOptions, ready: { epoch: string; head: Seq }) {
    this.#worker = worker
    this.#options = options
    this.epoch = ready.epoch
    this.#head = ready.head
    worker.on('message', (message: FromWriter) => this.#onMessage(message))
    worker.on('error', error => this.#lost(error.message))
    worker.on('exit', () => this.#lost('the writer ended'))
  }

  /** Starts the thread; resolves once the file is open and migrated. */
  static async start(options: WriterOptions): Promise<Writer> {
    const data: WriterData = { file: options.file, ...(options.maxPages === undefined ? {} : { maxPages: options.maxPages }) }
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: data, name: 'brine-writer', execArgv: threadFlags() })
    const [message] = (await once(worker, 'message')) as [FromWriter]
    if (message.kind === 'ready') return new Writer(worker, options, message)
    await worker.terminate()
    throw message.kind === 'failed' ? errorOf(message.failure) : brineError('STORE_FAILED', 'the writer did not start')
  }

  /** Seq of the newest event that listeners know of. */
  get head(): Seq {
    return this.#head
  }

  get waiting(): number {
    return this.#waiting.length - this.#answered
  }

  watch(deliver: Deliver): () => void {
    // A listener of its own for each call, so that watching twice with one function is undone once each.
    const listener: Deliver = events => deliver(events)
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Has an operation run in the writer's next transaction, together with its events. `bytes`: rough size of `args`.
   * Rejects with STORE_BUSY at once when too much waits; a single operation larger than the bound is taken when nothing else waits.
   */
  run<N extends keyof Writes & string>(
    name: N,
    args: Parameters<Writes[N]>[0],
    events: readonly NewEvent[] = [],
    bytes = 0
  ): Promise<Written<ReturnType<Writes[N]>>> {
    if (this.#gone !== null) return Promise.reject(this.#gone)
    if (this.#draining) return Promise.reject(brineError('STORE_FAILED', 'it is closed'))
    let weight = bytes + OPERATION_BYTES
    for (const event of events) weight += event.json.length + event.tag.length + OPERATION_BYTES
    if (this.#isBusy(weight)) return Promise.reject(new BrineError('STORE_BUSY', [], { retryAfter: RETRY_AFTER_SECONDS }))
    return new Promise((resolve, reject) => this.#accept(name, args, { events, bytes: weight, resolve, reject }))
  }

  /** Refuses further operations and waits for those that were accepted. */
  async drain(): Promise<void> {
    this.#draining = true
    this.#post()
    while (this.waiting > 0) await new Promise<void>(resolve => this.#onAnswered.push(resolve))
  }

  /** Waits for what was accepted, then ends the thread. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #isBusy(weight: number): boolean {
    if (this.waiting === 0) return false
    return this.waiting >= this.#options.maxWaiting || this.#waitingBytes + weight > this.#options.maxWaitingBytes
  }

  #accept(name: string, args: unknown, waiting: Waiting): void {
    const batch = this.#gathered
    batch.names.push(name)
    batch.args.push(args)
    batch.counts.push(waiting.events.length)
    for (const event of waiting.events) pushEvent(batch.events, event)
    batch.bytes += waiting.bytes
    this.#waitingBytes += waiting.bytes
    this.#waiting.push(waiting)
    // After this turn's other callbacks: all requests that were read from sockets together go in one message.
    this.#posting ??= setImmediate(() => this.#post())
  }

  #post(): void {
    if (this.#posting !== null) clearImmediate(this.#posting)
    this.#posting = null
    if (this.#gathered.names.length === 0) return
    this.#worker.postMessage(this.#gathered)
    this.#gathered = emptyBatch()
  }

  #onMessage(message: FromWriter): void {
    if (message.kind === 'committed') this.#committed(message)
    else if (message.kind === 'refused') this.#refused(message)
  }

  #committed(message: Committed): void {
    const done = this.#take(message.results.length)
    this.#head = message.head
    this.commits++
    this.#setFailing(null)
    const stored = storedEvents(done, message.firsts)
    this.committedEvents += stored.length
    if (stored.length > 0) this.#deliver(stored)
    const failures = message.failures.length > 0 ? new Map<number, Failure>(message.failures) : null
    for (let i = 0; i < done.length; i++) {
      const failure = failures?.get(i)
      if (failure === undefined) done[i]!.resolve({ result: message.results[i] as never, first: message.firsts[i]! })
      else done[i]!.reject(errorOf(failure))
    }
  }

  #refused(message: Refused): void {
    const done = this.#take(message.count)
    const error = errorOf(message.failure)
    this.#setFailing(message.failure.code === 'STORE_FULL' ? 'the disk is full' : message.reason)
    for (const waiting of done) waiting.reject(error)
  }

  /** A listener's error is its own: the others and the writers must still hear of the commit. */
  #deliver(events: readonly StoredEvent[]): void {
    for (const listener of this.#listeners) {
      try {
        listener(events)
      } catch (error) {
        this.#options.log?.error({ err: error }, 'a listener of the log failed')
      }
    }
  }

  /** The oldest `count` waiting operations, which are answered now. */
  #take(count: number): readonly Waiting[] {
    const done = this.#waiting.slice(this.#answered, this.#answered + count)
    this.#answered += count
    for (const waiting of done) this.#waitingBytes -= waiting.bytes
    // Dropped in bulk: shifting one by one would move the whole list each time.
    if (this.#answered === this.#waiting.length || this.#answered > 4_096) {
      this.#waiting = this.#waiting.slice(this.#answered)
      this.#answered = 0
    }
    for (const resolve of this.#onAnswered.splice(0)) resolve()
    return done
  }

  /** While writing fails it is tried now and then even when nobody writes, so that readiness comes back by itself. */
  #setFailing(reason: string | null): void {
    if (reason !== null && this.failing === null) this.#options.log?.error({ reason }, 'the log cannot be written')
    if (reason === null && this.failing !== null) this.#options.log?.info('the log can be written again')
    this.failing = reason
    this.#setProbing(reason !== null)
  }

  #setProbing(on: boolean): void {
    if (on === (this.#probe !== null)) return
    if (this.#probe !== null) clearInterval(this.#probe)
    this.#probe = on ? setInterval(() => this.#tryToWrite(), PROBE_MS).unref() : null
  }

  #tryToWrite(): void {
    if (this.waiting > 0 || this.#draining) return
    const ignore = () => {}
    this.run('room.fill', null).then(() => this.run('room.empty', null).catch(ignore), ignore)
  }

  async #close(): Promise<void> {
    this.#setProbing(false)
    await this.drain()
    if (this.#gone !== null) return
    const exited = once(this.#worker, 'exit')
    this.#worker.postMessage('close')
    await exited
  }

  /** Whether what waits was committed is not known; nothing can be written any more. */
  #lost(reason: string): void {
    if (this.#gone !== null) return
    this.#gone = brineError('STORE_FAILED', this.#closing === null ? reason : 'it is closed')
    this.failing = this.#closing === null ? reason : null
    for (const waiting of this.#take(this.waiting)) waiting.reject(this.#gone)
  }
}

function storedEvents(done: readonly Waiting[], firsts: readonly Seq[]): StoredEvent[] {
  const stored: StoredEvent[] = []
  for (let i = 0; i < done.length; i++) {
    let seq = firsts[i]!
    if (seq === 0) continue
    for (const { tag, json, stampUs, source, cause } of done[i]!.events) stored.push({ seq: seq++, tag, json, stampUs, source, cause })
  }
  return stored
}
