import type { Seq, StoredEvent } from '../events/event.js'
import { type Encoding, eventBytes } from './encoding.js'

/** A delivered event with its bytes, made at most once per encoding whoever asks. */
export class Delivered {
  readonly event: StoredEvent
  readonly #epoch: string
  #bytes: Map<Encoding, Uint8Array> | null = null

  constructor(event: StoredEvent, epoch: string) {
    this.event = event
    this.#epoch = epoch
  }

  bytes(encoding: Encoding): Uint8Array {
    this.#bytes ??= new Map()
    let bytes = this.#bytes.get(encoding)
    if (bytes === undefined) {
      bytes = eventBytes(encoding, this.#epoch, this.event)
      this.#bytes.set(encoding, bytes)
    }
    return bytes
  }
}

/** Events kept: at 10,000 a second this is how long a reader may take from the end of its history to the live stream. */
const MAX_EVENTS = 4096

/**
 * The newest events, so that a reader that has almost caught up joins the live stream without another look into the store, however fast
 * events arrive. Bounded by count and by bytes: what is given to a joining reader at once must fit its buffer.
 */
export class Recent {
  readonly #maxBytes: number
  #events: Delivered[] = []
  #first = 0
  #bytes = 0
  /** Everything after this seq is here. */
  #floor: Seq

  constructor(floor: Seq, maxBytes: number) {
    this.#floor = floor
    this.#maxBytes = maxBytes
  }

  add(delivered: Delivered): void {
    this.#events.push(delivered)
    this.#bytes += size(delivered)
    while (this.#events.length - this.#first > MAX_EVENTS || this.#bytes > this.#maxBytes) this.#dropOldest()
    // The array is shortened now and then, not with each event.
    if (this.#first > MAX_EVENTS) {
      this.#events = this.#events.slice(this.#first)
      this.#first = 0
    }
  }

  covers(after: Seq): boolean {
    return after >= this.#floor
  }

  /** Events after this seq, oldest first; only when `covers(after)`. */
  since(after: Seq): Delivered[] {
    let at = this.#events.length
    while (at > this.#first && this.#events[at - 1]!.event.seq > after) at--
    return this.#events.slice(at)
  }

  #dropOldest(): void {
    const oldest = this.#events[this.#first]!
    // The slot is emptied, or the array would keep what was dropped.
    ;(this.#events as (Delivered | undefined)[])[this.#first++] = undefined
    this.#bytes -= size(oldest)
    this.#floor = oldest.event.seq
  }
}

function size(delivered: Delivered): number {
  return delivered.event.json.length + delivered.event.tag.length
}
