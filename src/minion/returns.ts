/**
 * The loop that brings what the spool holds to the server: returns, events, and with them acknowledgements and grains.
 */
import { MAX_ACKS, MAX_ITEMS, type Up, type UpAnswer, type UpItem } from '../protocol/messages.js'
import { Backoff } from '../shared/backoff.js'
import { sleep } from '../shared/sleep.js'
import type { MinionLog } from './context.js'
import { Refused } from './http.js'
import { inParts, isLong } from './parts.js'
import type { Batch, Spool } from './spool.js'

/** An acknowledgement waits so long for company: a quick job's return, which makes it needless. */
const ACK_MS = 250
/** First and longest pause after a request that failed. The stream, not this loop, finds out when the server is back. */
const PAUSE_MS = { firstMs: 500, maxMs: 30_000 }
const UNDELIVERABLE = 'the return could not be delivered'

export interface ReturnsOptions {
  readonly spool: Spool
  /** Sends one request; throws Unreachable or Refused. */
  readonly post: (up: Up) => Promise<UpAnswer>
  /** True while the server can be reached. */
  readonly isOpen: () => boolean
  readonly log: MinionLog
}

export class Returns {
  readonly #o: ReturnsOptions
  readonly #backoff = new Backoff(PAUSE_MS)
  readonly #stopping = new AbortController()
  /** Jobs to acknowledge. As many as have arrived and not returned; the minion bounds those. */
  readonly #acks = new Set<string>()
  #acksDue = false
  #ackTimer: NodeJS.Timeout | null = null
  #grains: Readonly<Record<string, unknown>> | null = null
  #pulse = false
  /** Items of the next request at most. */
  #limit = MAX_ITEMS
  #wake: () => void = () => {}
  #unpause: () => void = () => {}
  #loop: Promise<void> | null = null
  #flushed: (() => void)[] = []
  #unlisten: (() => void) | null = null

  constructor(options: ReturnsOptions) {
    this.#o = options
  }

  /** Begins. May be called twice. */
  start(): void {
    this.#unlisten ??= this.#o.spool.onAdded(() => this.#wake())
    this.#loop ??= this.#run()
  }

  /** Ends the loop after the request under way. What was not sent stays in the spool. May be called twice. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#wake()
    this.#unpause()
    if (this.#ackTimer) clearTimeout(this.#ackTimer)
    this.#unlisten?.()
    await this.#loop
  }

  /** Waits until the server has everything, `withinMs` at most. */
  async flush(withinMs: number): Promise<void> {
    if (this.#loop === null || this.#stopping.signal.aborted || !this.#o.isOpen()) return
    const late = new AbortController()
    const done = new Promise<void>(resolve => this.#flushed.push(resolve))
    this.#acksDue = this.#acks.size > 0
    this.#wake()
    await Promise.race([done, sleep(withinMs, late.signal)])
    late.abort()
  }

  /** The job is on this minion's disk: the server need not send it again. */
  acknowledge(jid: string): void {
    this.#acks.add(jid)
    this.#ackTimer ??= setTimeout(() => {
      this.#ackTimer = null
      this.#acksDue = this.#acks.size > 0
      this.#wake()
    }, ACK_MS)
  }

  /** The grains go with the next request, before everything else. */
  setGrains(grains: Readonly<Record<string, unknown>>): void {
    this.#grains = grains
    this.#wake()
  }

  /** Something is to be said, even if there is nothing to say. */
  pulse(): void {
    this.#pulse = true
    this.#wake()
  }

  /** The server can be reached again: no reason to wait longer. */
  connected(): void {
    this.#backoff.reset()
    this.#unpause()
    this.#wake()
  }

  /** One round sends one request. The only way out is `stop`; a request that fails is made again, with the same items. */
  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const woken = new Promise<void>(resolve => {
        this.#wake = resolve
      })
      const batch = this.#o.isOpen() ? await this.#batch() : null
      const idle = batch === null && !this.#hasMore()
      if (idle) this.#tellFlushed()
      if (idle || !this.#o.isOpen()) await woken
      else await this.#send(batch)
    }
  }

  /** Items that a broken disk does not give are asked for again later. */
  async #batch(): Promise<Batch | null> {
    try {
      return await this.#o.spool.take(this.#limit)
    } catch (error) {
      this.#o.log.error({ err: error }, 'the spool cannot be read')
      await this.#pause()
      return null
    }
  }

  #hasMore(): boolean {
    return this.#acksDue || this.#grains !== null || this.#pulse
  }

  #tellFlushed(): void {
    for (const tell of this.#flushed.splice(0)) tell()
  }

  /** Grains go alone: if the server does not take them, nothing else is at fault. */
  async #send(batch: Batch | null): Promise<void> {
    const grains = this.#grains
    const items = grains === null ? (batch?.items ?? []) : []
    if (items.length === 1 && isLong(items[0]!)) return this.#sendInParts(items[0]!)
    // A return says that the job arrived, and saves the server writing that down.
    for (const item of items) if (item.kind === 'return') this.#acks.delete(String(item.return.jid))
    const acks = this.#acksDue ? [...this.#acks].slice(0, MAX_ACKS) : []
    this.#pulse = false
    await this.#delivering(items, async () => {
      const answer = await this.#o.post({ spool: this.#o.spool.id, items, acks, ...(grains ? { grains } : {}) })
      this.#forget(acks, grains)
      return answer
    })
  }

  /** An item that is too long for a request. Acknowledgements go before it, so that the server need not wait for its end. */
  async #sendInParts(item: UpItem): Promise<void> {
    const { post, spool } = this.#o
    await this.#delivering([item], async () => {
      const acks = [...this.#acks].slice(0, MAX_ACKS)
      if (acks.length > 0) await post({ spool: spool.id, items: [], acks })
      this.#forget(acks, null)
      return inParts(post, spool.id, item)
    })
  }

  async #delivering(items: readonly UpItem[], deliver: () => Promise<UpAnswer>): Promise<void> {
    try {
      const { refused } = await deliver()
      for (const { n, code, error } of refused) this.#o.log.error({ n, code }, `the server does not take this: ${error}`)
      if (items.length > 0) await this.#o.spool.settle()
      this.#limit = Math.min(this.#limit * 2, MAX_ITEMS)
      this.#backoff.reset()
    } catch (error) {
      if (error instanceof Refused && isFinal(error)) await this.#narrow(error, items)
      else {
        this.#o.log.debug({ error: (error as Error).message }, 'what the spool holds could not be sent; it is tried again')
        await this.#pause()
      }
    }
  }

  #forget(acks: readonly string[], grains: Readonly<Record<string, unknown>> | null): void {
    for (const jid of acks) this.#acks.delete(jid)
    this.#acksDue = this.#acks.size > 0 && this.#ackTimer === null
    if (this.#grains === grains) this.#grains = null
  }

  /** The server will never take this request. Smaller ones find the item at fault, and that one is given up, so that it does not stand in the way for ever. */
  async #narrow(error: Refused, items: readonly UpItem[]): Promise<void> {
    if (items.length > 1) {
      this.#limit = Math.ceil(items.length / 2)
      return
    }
    this.#o.log.error({ status: error.status, code: error.code, n: items[0]?.n }, `the server does not take this: ${error.message}`)
    if (items.length === 1) await this.#giveUp(items[0]!, error)
    else this.#grains = null
  }

  /** A job whose return cannot be taken as it is still ends, saying so. */
  async #giveUp(item: UpItem, { message }: Refused): Promise<void> {
    if (item.kind === 'return' && !String(item.return.return).startsWith(UNDELIVERABLE)) {
      const { jid, fun } = item.return
      const text = `${UNDELIVERABLE}: ${message}`
      await this.#o.spool.add({ kind: 'return', return: { jid, fun, fun_args: [], return: text, retcode: 1, success: false } })
    }
    await this.#o.spool.settle()
  }

  /** Until it is worth trying again: after the next pause, or when the connection is back. */
  async #pause(): Promise<void> {
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, this.#backoff.next())
      this.#unpause = () => {
        clearTimeout(timer)
        resolve()
      }
      if (this.#stopping.signal.aborted) this.#unpause()
    })
  }
}

/** Only what brine itself says of the request counts: a proxy that answers 404 while the server is away has not seen what is in it. */
function isFinal({ status, code }: Refused): boolean {
  return code !== '' && (status === 400 || status === 413)
}
