import { brineError } from '../../errors.js'
import type { NewEvent, Seq, Source, StoredEvent } from '../../events/event.js'
import { encodeEvent, type WireFormat } from '../../events/wire.js'
import type { Clock } from '../../shared/clock.js'
import { compileFilter } from '../../tags/glob.js'
import type { Appended, EncodedPage, EventQuery, EventStore, TagFilter } from '../store.js'
import { type EventField, FIELDS } from './batch.js'
import type { Database } from './database.js'
import type { Readers } from './readers.js'
import type { Writer } from './writer.js'

/** Positions per row of `event_blocks`. */
const BLOCK = 1_024

/** A page ends after so many events, … */
const PAGE_EVENTS = 1_000

/** … or so many bytes, whichever comes first: what a replay holds in memory, and one write to a socket. */
const PAGE_BYTES = 256 * 1024

/** … or after looking at so many positions, when few of them match: some 10 ms, so that other readers get their turn. */
const PAGE_SCANNED = 20_000

/** What one step of trimming may free: long events cost a page of bookkeeping per 4 KiB. */
const TRIM_BYTES = 4 * 1024 * 1024

// ── in the writer's thread ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Gives positions to the events of the transaction in progress and writes them. The head is counted here and saved with each commit, so
 * positions have no holes, and a rolled-back transaction gives its positions back.
 */
export class Appender {
  readonly #insert
  readonly #widenBlock
  readonly #save
  #head: Seq
  #committedHead: Seq
  #fields: readonly EventField[] = []
  #at = 0
  #count = 0
  #first = 0
  #block = -1
  #minUs = 0
  #maxUs = 0

  constructor(db: Database) {
    this.#insert = db.prepare('INSERT INTO events (tag, json, stamp_us, source, cause_seq, cause_depth, seq) VALUES (?, ?, ?, ?, ?, ?, ?)')
    this.#widenBlock = db.prepare(
      `INSERT INTO event_blocks (block, min_us, max_us) VALUES (?, ?, ?)
       ON CONFLICT (block) DO UPDATE SET min_us = min(min_us, excluded.min_us), max_us = max(max_us, excluded.max_us)`
    )
    this.#save = db.prepare('UPDATE log SET head = ?')
    this.#head = db.prepare('SELECT max(head, (SELECT ifnull(max(seq), 0) FROM events)) FROM log').pluck().get() as Seq
    this.#committedHead = this.#head
  }

  get head(): Seq {
    return this.#head
  }

  /** Seq of the first event that the current operation wrote, 0 when it wrote none. */
  get first(): Seq {
    return this.#first
  }

  /** The events of the batch whose operations come next. */
  load(fields: readonly EventField[]): void {
    this.#fields = fields
    this.#at = 0
    this.#count = 0
  }

  /** The next `count` events of the batch belong to the operation that runs now. */
  take(count: number): void {
    this.#at += this.#count * FIELDS
    this.#count = count
    this.#first = 0
  }

  /** Writes the current operation's events. */
  append(): void {
    const fields = this.#fields
    if (this.#count > 0) this.#first = this.#head + 1
    for (let at = this.#at, end = at + this.#count * FIELDS; at < end; at += FIELDS) {
      const seq = ++this.#head
      this.#insert.run(fields[at], fields[at + 1], fields[at + 2], fields[at + 3], fields[at + 4], fields[at + 5], seq)
      this.#note(seq, fields[at + 2] as number)
    }
  }

  /** Before the commit: what the transaction's events changed beside their table. */
  saveHead(): void {
    if (this.#head === this.#committedHead) return
    this.#saveBlock()
    this.#save.run(this.#head)
  }

  committed(): void {
    this.#committedHead = this.#head
  }

  rolledBack(): void {
    this.#head = this.#committedHead
    this.#block = -1
  }

  /** For `backTo`, when only the current operation is rolled back. (Its stamps stay in the block's bounds: those may be too wide, never too narrow.) */
  mark(): Seq {
    return this.#head
  }

  backTo(mark: Seq): void {
    this.#head = mark
    this.#first = 0
  }

  #note(seq: Seq, stampUs: number): void {
    const block = Math.floor(seq / BLOCK)
    if (block !== this.#block) {
      this.#saveBlock()
      this.#block = block
      this.#minUs = stampUs
      this.#maxUs = stampUs
    } else if (stampUs > this.#maxUs) this.#maxUs = stampUs
    else if (stampUs < this.#minUs) this.#minUs = stampUs
  }

  #saveBlock(): void {
    if (this.#block >= 0) this.#widenBlock.run(this.#block, this.#minUs, this.#maxUs)
    this.#block = -1
  }
}

export function eventWrites(db: Database, log: Appender) {
  const findKey = db.prepare('SELECT first_seq, count FROM idempotency_keys WHERE key = ?').raw()
  const saveKey = db.prepare('INSERT INTO idempotency_keys (key, first_seq, count, used_us) VALUES (?, ?, ?, ?)')
  const trimKeys = db.prepare(
    `DELETE FROM idempotency_keys WHERE key IN
     (SELECT key FROM idempotency_keys WHERE used_us < ? ORDER BY used_us LIMIT ?)`
  )
  const fillRoom = db.prepare('INSERT INTO room (filler) VALUES (zeroblob(65536))')
  const emptyRoom = db.prepare('DELETE FROM room')
  return {
    'events.append': (_: null): void => log.append(),
    /** With an idempotency key: seq and number of the events that were written under it before, null when it is new. */
    'events.appendOnce': ([key, nowUs, count]: [key: string, nowUs: number, count: number]): [first: Seq, count: number] | null => {
      const known = findKey.get(key) as [Seq, number] | undefined
      if (known !== undefined) return known
      log.append()
      saveKey.run(key, log.first, count, nowUs)
      return null
    },
    'events.trim': trimmer(db, log),
    'events.trimKeys': ([beforeUs, limit]: [beforeUs: number, limit: number]): number => trimKeys.run(beforeUs, limit).changes,
    'room.fill': (_: null): void => {
      fillRoom.run()
    },
    'room.empty': (_: null): void => {
      emptyRoom.run()
    }
  }
}

/**
 * Drops from the front only, so that the log never has a hole. An event whose stamp lies ahead of its neighbours' (a clock that was wrong)
 * therefore keeps those behind it until it is old enough itself, or until there are too many.
 */
function trimmer(db: Database, log: Appender) {
  const oldest = db.prepare('SELECT seq, stamp_us, octet_length(json) FROM events ORDER BY seq LIMIT ?').raw()
  const drop = db.prepare('DELETE FROM events WHERE seq <= ?')
  const dropBlocks = db.prepare('DELETE FROM event_blocks WHERE block < ?')
  return ([beforeUs, keep, limit]: [beforeUs: number | null, keep: number | null, limit: number]): number => {
    const excessUpTo = keep === null ? 0 : log.head - keep
    let upTo = 0
    let count = 0
    let bytes = 0
    for (const row of oldest.iterate(limit)) {
      const [seq, stampUs, size] = row as [Seq, number, number]
      if (seq > excessUpTo && (beforeUs === null || stampUs >= beforeUs)) break
      upTo = seq
      count++
      bytes += size
      if (bytes > TRIM_BYTES) break
    }
    if (count === 0) return 0
    drop.run(upTo)
    dropBlocks.run(Math.floor((upTo + 1) / BLOCK))
    return count
  }
}

// ── in a reader's thread ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A stored event as it crosses threads: seq, tag, json, stampUs, source, cause seq, cause depth. */
export type EventRow = [Seq, string, string, number, Source, number | null, number | null]

/** One page's worth of a query, made from `EventQuery` by `SqliteEvents`. */
export interface PageQuery {
  readonly after: Seq
  readonly upTo: Seq
  readonly filter: TagFilter | null
  readonly fromUs: number
  readonly untilUs: number
  readonly backward: boolean
  readonly limit: number
}

interface Page {
  /** Rows of `EventRow`. */
  readonly rows: EventRow[]
  readonly scannedTo: Seq
}

const COLUMNS = 'seq, tag, json, stamp_us, source, cause_seq, cause_depth'

export function eventReads(db: Database) {
  const get = db.prepare(`SELECT ${COLUMNS} FROM events WHERE seq = ?`).raw()
  const causedBy = db.prepare(`SELECT ${COLUMNS} FROM events WHERE cause_seq = ? ORDER BY seq LIMIT ?`).raw()
  const oldest = db.prepare('SELECT ifnull((SELECT min(seq) FROM events), head + 1) FROM log').pluck()
  const head = db.prepare('SELECT head FROM log').pluck()
  const times = timeIndex(db)
  const pages = pageReader(db)
  return {
    'events.get': (seq: Seq): EventRow | null => (get.get(seq) as EventRow | undefined) ?? null,
    'events.causedBy': ([seq, limit]: [seq: Seq, limit: number]): EventRow[] => causedBy.all(seq, limit) as EventRow[],
    'events.oldest': (_: null): Seq => oldest.get() as Seq,
    'events.count': (_: null): number => (head.get() as Seq) + 1 - (oldest.get() as Seq),
    'events.seqBefore': (us: number): Seq => times.seqBefore(us),
    /** The query's range, cut down to what is kept and to where its times can be. */
    'events.range': ({ after, upTo, fromUs, untilUs }: PageQuery): [after: Seq, upTo: Seq] => {
      const from = Math.max(after, (oldest.get() as Seq) - 1, Number.isFinite(fromUs) ? times.firstBlockFrom(fromUs) * BLOCK - 1 : 0)
      const to = Math.min(upTo, head.get() as Seq, Number.isFinite(untilUs) ? (times.lastBlockUntil(untilUs) + 1) * BLOCK - 1 : upTo)
      return [from, to]
    },
    'events.page': (query: PageQuery): Page => {
      const rows: EventRow[] = []
      const scannedTo = pages(query, row => {
        rows.push(row)
        return row[2].length
      })
      return { rows, scannedTo }
    },
    'events.encoded': encodedPages(pages)
  }
}

/** Finds times by `event_blocks`, whose bounds may be wider than their events and are never narrower. */
function timeIndex(db: Database) {
  const firstFrom = db.prepare('SELECT block FROM event_blocks WHERE max_us >= ? ORDER BY block LIMIT 1').pluck()
  const lastUntil = db.prepare('SELECT block FROM event_blocks WHERE min_us <= ? ORDER BY block DESC LIMIT 1').pluck()
  const lastBefore = db.prepare('SELECT block FROM event_blocks WHERE block < ? AND min_us < ? ORDER BY block DESC LIMIT 1').pluck()
  const newestBefore = db.prepare('SELECT max(seq) FROM events WHERE seq >= ? AND seq < ? AND stamp_us < ?').pluck()
  return {
    /** Beyond the last block when every event is older. */
    firstBlockFrom: (us: number): number => (firstFrom.get(us) as number | undefined) ?? Number.MAX_SAFE_INTEGER / BLOCK,
    /** -1 when every event is newer. */
    lastBlockUntil: (us: number): number => (lastUntil.get(us) as number | undefined) ?? -1,
    seqBefore(us: number): Seq {
      let block = lastBefore.get(Number.MAX_SAFE_INTEGER, us) as number | undefined
      while (block !== undefined) {
        const seq = newestBefore.get(block * BLOCK, (block + 1) * BLOCK, us) as Seq | null
        if (seq !== null) return seq
        block = lastBefore.get(block, us) as number | undefined
      }
      return 0
    }
  }
}

/** Reads one page: calls `take` with each matching row (which says how many bytes it added) and returns where the page ended. */
type PageReader = (query: PageQuery, take: (row: EventRow) => number) => Seq

function pageReader(db: Database): PageReader {
  let matches: (tag: string) => boolean = () => true
  // The filter runs inside the statement, so that rows that do not match never become JavaScript values.
  db.function('tag_matches', (tag: unknown) => (matches(tag as string) ? 1 : 0))
  const prepare = (filter: string, order: string) =>
    db
      .prepare(
        `SELECT ${COLUMNS} FROM events
         WHERE seq > ? AND seq <= ? AND stamp_us >= ? AND stamp_us <= ? ${filter} ORDER BY seq ${order} LIMIT ?`
      )
      .raw()
  const statements = {
    forward: { all: prepare('', ''), some: prepare('AND tag_matches(tag)', '') },
    backward: { all: prepare('', 'DESC'), some: prepare('AND tag_matches(tag)', 'DESC') }
  }
  const oldest = db.prepare('SELECT ifnull((SELECT min(seq) FROM events), head + 1) FROM log').pluck()

  const read: PageReader = ({ after, upTo, filter, fromUs, untilUs, backward, limit }, take) => {
    const from = backward ? Math.max(after, upTo - PAGE_SCANNED) : after
    const to = backward ? upTo : Math.min(upTo, after + PAGE_SCANNED)
    if (!backward && (oldest.get() as Seq) > after + 1) throw brineError('EVENTS_GONE', (oldest.get() as Seq) - 1)
    const statement = statements[backward ? 'backward' : 'forward'][filter === null ? 'all' : 'some']
    if (filter !== null) matches = compileFilter(filter)
    const rowLimit = Math.min(limit, PAGE_EVENTS)
    let bytes = 0
    let count = 0
    for (const row of statement.iterate(from, to, fromUs, untilUs, rowLimit) as IterableIterator<EventRow>) {
      bytes += take(row)
      count++
      if (bytes >= PAGE_BYTES || count === rowLimit) return row[0]
    }
    return backward ? from + 1 : to
  }
  // One snapshot for the check and the rows: events trimmed between the two would be a silent gap.
  const snapshot = db.transaction(read)
  return (query, take) => snapshot(query, take)
}

function encodedPages(pages: PageReader) {
  // Used again for every page; what leaves is a copy of the part that was filled.
  let buffer: Buffer = Buffer.allocUnsafeSlow(PAGE_BYTES * 2)
  return ([query, epoch, format]: [PageQuery, string, WireFormat]): EncodedPage => {
    const ends: number[] = []
    const seqs: number[] = []
    let length = 0
    const scannedTo = pages(query, ([seq, tag, json]) => {
      const text = encodeEvent(epoch, { seq, tag, json }, format)
      // Three bytes are the most that a UTF-16 unit takes in UTF-8.
      if (length + text.length * 3 > buffer.length) buffer = grown(buffer, length, length + text.length * 3)
      const size = buffer.write(text, length, 'utf8')
      length += size
      ends.push(length)
      seqs.push(seq)
      return size
    })
    const bytes = new Uint8Array(length)
    bytes.set(buffer.subarray(0, length))
    if (buffer.length > PAGE_BYTES * 4) buffer = Buffer.allocUnsafeSlow(PAGE_BYTES * 2)
    return { bytes, count: seqs.length, ends: Uint32Array.from(ends), seqs: Float64Array.from(seqs), scannedTo }
  }
}

function grown(buffer: Buffer, used: number, needed: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.max(needed, buffer.length * 2))
  buffer.copy(larger, 0, 0, used)
  return larger
}

// ── in the API's thread ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

export class SqliteEvents implements EventStore {
  readonly #writer: Writer
  readonly #readers: Readers
  readonly #clock: Clock

  constructor(writer: Writer, readers: Readers, clock: Clock) {
    this.#writer = writer
    this.#readers = readers
    this.#clock = clock
  }

  get epoch(): string {
    return this.#writer.epoch
  }

  async append(events: readonly NewEvent[], options: { idempotencyKey?: string } = {}): Promise<Appended> {
    const { idempotencyKey: key } = options
    if (key === undefined) {
      const { first } = await this.#writer.run('events.append', null, events)
      return { status: 'appended', seqs: seqsFrom(first, events.length) }
    }
    const { result: known, first } = await this.#writer.run(
      'events.appendOnce',
      [key, this.#clock.nowUs(), events.length],
      events,
      key.length
    )
    if (known !== null) return { status: 'duplicate', seqs: seqsFrom(known[0], known[1]) }
    return { status: 'appended', seqs: seqsFrom(first, events.length) }
  }

  async get(seq: Seq): Promise<StoredEvent | null> {
    const row = await this.#readers.ask('events.get', seq)
    return row === null ? null : eventOf(row)
  }

  async causedBy(seq: Seq, limit: number): Promise<readonly StoredEvent[]> {
    return (await this.#readers.ask('events.causedBy', [seq, limit])).map(eventOf)
  }

  async head(): Promise<Seq> {
    return this.#writer.head
  }

  oldest(): Promise<Seq> {
    return this.#readers.ask('events.oldest', null)
  }

  seqBefore(us: number): Promise<Seq> {
    return this.#readers.ask('events.seqBefore', us)
  }

  count(): Promise<number> {
    return this.#readers.ask('events.count', null)
  }

  async *read(query: EventQuery): AsyncGenerator<readonly StoredEvent[]> {
    const pages = this.#pages(query, async rest => {
      const { rows, scannedTo } = await this.#readers.scan('events.page', rest)
      return { page: rows, count: rows.length, scannedTo }
    })
    for await (const rows of pages) yield rows.map(eventOf)
  }

  async *readEncoded(query: EventQuery, format: WireFormat): AsyncGenerator<EncodedPage> {
    yield* this.#pages(query, async rest => {
      const page = await this.#readers.scan('events.encoded', [rest, this.epoch, format])
      return { page, count: page.count, scannedTo: page.scannedTo }
    })
  }

  watch(deliver: (events: readonly StoredEvent[]) => void): () => void {
    return this.#writer.watch(deliver)
  }

  async trim({ beforeUs, keep, limit }: { beforeUs?: number; keep?: number; limit: number }): Promise<number> {
    return (await this.#writer.run('events.trim', [beforeUs ?? null, keep ?? null, limit])).result
  }

  async trimIdempotencyKeys(beforeUs: number, limit: number): Promise<number> {
    return (await this.#writer.run('events.trimKeys', [beforeUs, limit])).result
  }

  /** Page by page; the next one is read while the consumer works on this one, and no further. Empty pages are passed over. */
  async *#pages<P>(
    query: EventQuery,
    readPage: (rest: PageQuery) => Promise<{ page: P; count: number; scannedTo: Seq }>
  ): AsyncGenerator<P> {
    let rest: PageQuery | null = await this.#range(query)
    let next = rest === null ? null : ahead(readPage(rest))
    while (rest !== null && next !== null) {
      const { page, count, scannedTo }: { page: P; count: number; scannedTo: Seq } = await next
      rest = remaining(rest, count, scannedTo)
      next = rest === null ? null : ahead(readPage(rest))
      if (count > 0) yield page
    }
  }

  async #range(query: EventQuery): Promise<PageQuery | null> {
    const whole: PageQuery = {
      after: query.after,
      upTo: query.upTo,
      filter: query.filter ?? null,
      fromUs: query.fromUs ?? Number.NEGATIVE_INFINITY,
      untilUs: query.untilUs ?? Number.POSITIVE_INFINITY,
      backward: query.direction === 'backward',
      limit: query.limit ?? Number.MAX_SAFE_INTEGER
    }
    const [after, upTo] = await this.#readers.ask('events.range', whole)
    return after < upTo && whole.limit > 0 ? { ...whole, after, upTo } : null
  }
}

/** What is left of a query after a page; null when nothing is. */
function remaining(query: PageQuery, count: number, scannedTo: Seq): PageQuery | null {
  const limit = query.limit - count
  const rest = query.backward ? { ...query, upTo: scannedTo - 1, limit } : { ...query, after: scannedTo, limit }
  return limit > 0 && rest.after < rest.upTo ? rest : null
}

/** A promise that nobody may ever wait for (the consumer stopped): then its failure is nobody's business. */
function ahead<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

function seqsFrom(first: Seq, count: number): Seq[] {
  const seqs: Seq[] = []
  for (let i = 0; i < count; i++) seqs.push(first + i)
  return seqs
}

export function eventOf([seq, tag, json, stampUs, source, causeSeq, causeDepth]: EventRow): StoredEvent {
  return { seq, tag, json, stampUs, source, cause: causeSeq === null ? null : { seq: causeSeq, depth: causeDepth ?? 0 } }
}
