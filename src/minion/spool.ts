/**
 * What the minion has to tell the server, on disk until the server has taken it: returns and events, in one order.
 *
 * A directory with segments `<number of the first item>.ndjson`, one item per line, numbered 1, 2, 3 … and never again, and two small files:
 * `id` names this spool (the server tells repeated items by spool and number), `settled` says up to which number the server has all.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BATCH_BYTES, MAX_ITEMS, type UpEvent, type UpItem, type UpReturn } from '../protocol/messages.js'
import type { MinionLog } from './context.js'
import { LineFile, readIfThere, writeDurably } from './disk.js'

/** An item before it has its number. */
export type NewItem = Omit<UpEvent, 'n'> | Omit<UpReturn, 'n'>

export interface Batch {
  readonly items: readonly UpItem[]
}

/** A segment is closed when it is so large: small enough to be deleted soon, large enough that there are few. */
const SEGMENT_BYTES = 4 * 1024 * 1024
/** What one look at the disk reads; a line that is longer is read as a whole. */
const READ_BYTES = BATCH_BYTES
const NEWLINE = 10

interface Segment {
  readonly first: number
  readonly path: string
  /** Bytes that are whole lines on disk. */
  bytes: number
  /** Returns alone are left in it: the events were dropped to make room. */
  thinned: boolean
}

export interface SpoolOptions {
  readonly dir: string
  /** Bytes on disk at most. Beyond it the oldest events are dropped, then the oldest returns. */
  readonly maxBytes: number
  readonly log: Pick<MinionLog, 'warn' | 'error'>
}

export class Spool {
  /** 16 hex digits. */
  readonly id: string
  readonly #o: SpoolOptions
  readonly #segments: Segment[]
  #file: LineFile
  #next: number
  #settled: number
  /** Where the first item that is not settled stands, as far as is known: reading starts there. */
  #position: { segment: Segment; offset: number }
  /** Where the batch that was taken last ends. */
  #taken: { segment: Segment; offset: number; last: number } | null = null
  #turn: Promise<unknown> = Promise.resolve()
  readonly #listeners = new Set<() => void>()

  private constructor(options: SpoolOptions, found: { id: string; segments: Segment[]; file: LineFile; next: number; settled: number }) {
    this.#o = options
    this.id = found.id
    this.#segments = found.segments
    this.#file = found.file
    this.#next = found.next
    this.#settled = found.settled
    this.#position = { segment: found.segments[0]!, offset: 0 }
  }

  /** Opens or makes the spool. The torn end of a crash is cut off. */
  static async open(options: SpoolOptions): Promise<Spool> {
    const { dir } = options
    await mkdir(dir, { recursive: true, mode: 0o700 })
    const id = await spoolId(dir)
    const settled = Number((await readIfThere(join(dir, 'settled'))) ?? 0) || 0
    const found = await readSegments(dir)
    const next = 1 + Math.max(settled, ...found.map(({ segment, last }) => Math.max(last, segment.first - 1)))
    const segments = found.map(({ segment }) => segment)
    if (segments.length === 0) segments.push({ first: next, path: join(dir, segmentName(next)), bytes: 0, thinned: false })
    const newest = segments.at(-1)!
    const file = await LineFile.open(newest.path, newest.bytes)
    return new Spool(options, { id, segments, file, next, settled })
  }

  /** Bytes on disk. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Called after each item that was added. Returns its undo. */
  onAdded(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Adds an item. Resolves once it is on disk; rejects when the disk does not take it. */
  async add(item: NewItem): Promise<void> {
    await this.#makeRoom()
    const segment = this.#segments.at(-1)!
    const n = this.#next++
    segment.bytes = Math.max(segment.bytes, await this.#file.add(JSON.stringify({ n, ...item })))
    for (const listener of this.#listeners) listener()
  }

  /** The next items that the server does not have, `limit` at most; null when it has all. They come again until they are settled. */
  take(limit = MAX_ITEMS): Promise<Batch | null> {
    return this.#inTurn(async () => {
      this.#taken = null
      let { segment, offset } = this.#position
      for (;;) {
        const { items, end } = await readItems(segment, offset, this.#settled, Math.min(limit, MAX_ITEMS))
        const last = items.at(-1)
        if (last) {
          this.#taken = { segment, offset: end, last: last.n }
          return { items }
        }
        const following = this.#segments[this.#segments.indexOf(segment) + 1]
        if (following === undefined) {
          this.#position = { segment, offset: end }
          return null
        }
        segment = following
        offset = 0
        this.#position = { segment, offset }
      }
    })
  }

  /** The server has the batch that was taken last: it never comes again. */
  settle(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#taken === null) return
      const { segment, offset, last } = this.#taken
      this.#taken = null
      this.#settled = last
      if (this.#segments.includes(segment)) this.#position = { segment, offset }
      await this.#noteSettled()
      await this.#dropSettled()
    })
  }

  async close(): Promise<void> {
    await this.#inTurn(async () => this.#file.close())
  }

  /** Not synced, and no harm if it fails: the server is sent what it has already, and knows it. */
  async #noteSettled(): Promise<void> {
    const file = join(this.#o.dir, 'settled')
    try {
      await writeFile(`${file}.new`, String(this.#settled), { mode: 0o600 })
      await rename(`${file}.new`, file)
    } catch (error) {
      this.#o.log.warn({ err: error }, 'the spool cannot note what the server has')
    }
  }

  /** Segments before the one where the rest begins hold nothing that is needed. */
  async #dropSettled(): Promise<void> {
    while (this.#segments[0] !== this.#position.segment) {
      const { path } = this.#segments.shift()!
      await rm(path, { force: true })
    }
  }

  /** Begins a new segment when the last one is full, and drops the oldest items when the disk space is used up. */
  async #makeRoom(): Promise<void> {
    if (this.#segments.at(-1)!.bytes < Math.min(SEGMENT_BYTES, this.#o.maxBytes / 4)) return
    await this.#inTurn(async () => {
      if (this.#segments.at(-1)!.bytes < Math.min(SEGMENT_BYTES, this.#o.maxBytes / 4)) return
      await this.#newSegment()
      while (this.bytes > this.#o.maxBytes && this.#segments.length > 1) await this.#shrink()
    })
  }

  async #newSegment(): Promise<void> {
    const first = this.#next
    const path = join(this.#o.dir, segmentName(first))
    const file = await LineFile.open(path, 0)
    const before = this.#file
    this.#file = file
    this.#segments.push({ first, path, bytes: 0, thinned: false })
    await before.close()
  }

  async #shrink(): Promise<void> {
    const full = this.#segments.slice(0, -1)
    const segment = full.find(each => !each.thinned)
    if (segment) await this.#dropEvents(segment)
    else {
      const oldest = this.#segments.shift()!
      await rm(oldest.path, { force: true })
      this.#o.log.error({ bytes: oldest.bytes }, 'the spool is full: the oldest returns were dropped')
      this.#reread(oldest)
    }
  }

  async #dropEvents(segment: Segment): Promise<void> {
    const kept = (await readFile(segment.path, 'utf8')).split('\n').filter(line => itemOf(line)?.kind === 'return')
    const text = kept.map(line => `${line}\n`).join('')
    await writeDurably(segment.path, text)
    this.#o.log.warn({ bytes: segment.bytes - Buffer.byteLength(text) }, 'the spool is full: the oldest events were dropped')
    segment.bytes = Buffer.byteLength(text)
    segment.thinned = true
    this.#reread(segment)
  }

  /** Offsets in this segment count no more: reading starts anew, and knows what is settled by its number. */
  #reread(segment: Segment): void {
    if (this.#position.segment === segment) this.#position = { segment: this.#segments[0]!, offset: 0 }
    if (this.#taken?.segment === segment) this.#taken = { ...this.#taken, segment: this.#segments[0]!, offset: 0 }
  }

  /** Reading, settling and changing segments never overlap; adding to the last one goes on meanwhile. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work, work)
    this.#turn = mine.catch(() => {})
    return mine
  }
}

async function spoolId(dir: string): Promise<string> {
  const known = (await readIfThere(join(dir, 'id')))?.trim() ?? ''
  if (/^[0-9a-f]{16}$/.test(known)) return known
  const id = randomBytes(8).toString('hex')
  await writeDurably(join(dir, 'id'), `${id}\n`)
  return id
}

function segmentName(first: number): string {
  return `${String(first).padStart(15, '0')}.ndjson`
}

async function readSegments(dir: string): Promise<{ segment: Segment; last: number }[]> {
  const names = (await readdir(dir)).filter(name => /^\d{15}\.ndjson$/.test(name)).sort()
  const found: { segment: Segment; last: number }[] = []
  for (const name of names) {
    const path = join(dir, name)
    const { bytes, last } = wholeLines(await readFile(path))
    found.push({ segment: { first: Number.parseInt(name, 10), path, bytes, thinned: false }, last })
  }
  return found
}

/** Where the last line ends that is an item, and its number. What lies behind it is the torn end of a crash; lines before it that are no items are skipped. */
function wholeLines(content: Buffer): { bytes: number; last: number } {
  let bytes = 0
  let last = 0
  for (let start = 0, end = content.indexOf(NEWLINE); end !== -1; start = end + 1, end = content.indexOf(NEWLINE, start)) {
    const item = itemOf(content.toString('utf8', start, end))
    if (item === null) continue
    last = item.n
    bytes = end + 1
  }
  return { bytes, last }
}

/** Items after `settled`, from `offset` on, and where the last of them ends. */
async function readItems(segment: Segment, offset: number, settled: number, limit: number): Promise<{ items: UpItem[]; end: number }> {
  const items: UpItem[] = []
  let end = offset
  let bytes = 0
  const handle = await open(segment.path, 'r')
  try {
    while (items.length < limit && bytes < BATCH_BYTES && end < segment.bytes) {
      const chunk = await readLines(handle, end, segment.bytes)
      for (const line of chunk) {
        const item = itemOf(line.toString('utf8'))
        const wanted = item !== null && item.n > settled
        if (wanted && items.length > 0 && (items.length >= limit || bytes + line.length > BATCH_BYTES)) return { items, end }
        end += line.length + 1
        if (!wanted) continue
        items.push(item)
        bytes += line.length
      }
    }
  } finally {
    await handle.close()
  }
  return { items, end }
}

/** Whole lines from `offset` on, one at least. */
async function readLines(handle: Awaited<ReturnType<typeof open>>, offset: number, size: number): Promise<Buffer[]> {
  for (let length = READ_BYTES; ; length *= 2) {
    const buffer = Buffer.alloc(Math.min(length, size - offset))
    await handle.read(buffer, 0, buffer.length, offset)
    const lines: Buffer[] = []
    let start = 0
    for (let end = buffer.indexOf(NEWLINE); end !== -1; end = buffer.indexOf(NEWLINE, start)) {
      lines.push(buffer.subarray(start, end))
      start = end + 1
    }
    if (lines.length > 0) return lines
    if (offset + length >= size) return [buffer]
  }
}

function itemOf(line: string): UpItem | null {
  try {
    const item = JSON.parse(line) as UpItem
    return Number.isInteger(item?.n) ? item : null
  } catch {
    return null
  }
}
