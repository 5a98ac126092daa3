import { brineError } from '../../src/errors.js'
import type { NewEvent, Seq, StoredEvent } from '../../src/events/event.js'
import { encodeEvent, type WireFormat } from '../../src/events/wire.js'
import type { Appended, EncodedPage, EventQuery, EventStore } from '../../src/store/store.js'
import { compileFilter } from '../../src/tags/glob.js'
import { newEvent } from './store.js'

/** A log in memory whose moments a test can hold: pages of a given size, and a stop before each of them. */
export class MemoryEvents implements EventStore {
  readonly epoch = 'e1'
  readonly events: StoredEvent[] = []
  /** Called before each page is read; what it awaits holds the reader. */
  beforePage: (after: Seq) => unknown = () => {}
  pageSize = 2
  readonly #listeners = new Set<(events: readonly StoredEvent[]) => void>()
  #head = 0

  /** Commits events with these tags as one batch. */
  fire(...tags: string[]): void {
    void this.append(tags.map(tag => newEvent(tag)))
  }

  async append(events: readonly NewEvent[]): Promise<Appended> {
    const stored = events.map(event => ({ ...event, seq: ++this.#head }))
    this.events.push(...stored)
    for (const deliver of this.#listeners) deliver(stored)
    return { status: 'appended', seqs: stored.map(({ seq }) => seq) }
  }

  async get(seq: Seq): Promise<StoredEvent | null> {
    return this.events.find(event => event.seq === seq) ?? null
  }

  async causedBy(seq: Seq, limit: number): Promise<readonly StoredEvent[]> {
    return this.events.filter(event => event.cause?.seq === seq).slice(0, limit)
  }

  async head(): Promise<Seq> {
    return this.#head
  }

  async oldest(): Promise<Seq> {
    return this.events[0]?.seq ?? this.#head + 1
  }

  async seqBefore(us: number): Promise<Seq> {
    return this.events.findLast(event => event.stampUs < us)?.seq ?? 0
  }

  async *read(query: EventQuery): AsyncGenerator<readonly StoredEvent[]> {
    const matches = compileFilter(query.filter ?? {})
    let after = Math.max(query.after, (await this.oldest()) - 1)
    let left = query.limit ?? Number.POSITIVE_INFINITY
    while (after < query.upTo && left > 0) {
      await this.beforePage(after)
      if ((await this.oldest()) > after + 1) throw brineError('EVENTS_GONE', (await this.oldest()) - 1)
      const page = this.events
        .filter(({ seq, tag }) => seq > after && seq <= query.upTo && matches(tag))
        .slice(0, Math.min(left, this.pageSize))
      if (page.length === 0) return
      yield page
      left -= page.length
      after = page.at(-1)!.seq
    }
  }

  async *readEncoded(query: EventQuery, format: WireFormat): AsyncGenerator<EncodedPage> {
    for await (const page of this.read(query)) {
      const parts = page.map(event => Buffer.from(encodeEvent(this.epoch, event, format)))
      const ends = Uint32Array.from(parts.map((_, i) => parts.slice(0, i + 1).reduce((sum, part) => sum + part.length, 0)))
      const seqs = Float64Array.from(page.map(({ seq }) => seq))
      yield { bytes: Buffer.concat(parts), count: page.length, ends, seqs, scannedTo: page.at(-1)!.seq }
    }
  }

  watch(deliver: (events: readonly StoredEvent[]) => void): () => void {
    this.#listeners.add(deliver)
    return () => this.#listeners.delete(deliver)
  }

  async trim({ keep = 0 }: { keep?: number }): Promise<number> {
    return this.events.splice(0, Math.max(0, this.events.length - keep)).length
  }

  async trimIdempotencyKeys(): Promise<number> {
    return 0
  }

  async count(): Promise<number> {
    return this.events.length
  }
}
