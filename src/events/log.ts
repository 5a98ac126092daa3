import { brineError } from '../errors.js'
import { type Clock, stampOf } from '../shared/clock.js'
import type { Appended, Store } from '../store/store.js'
import { checkTag } from '../tags/tags.js'
import { type Cause, type EventData, eventId, type NewEvent, type Seq, type Source } from './event.js'
import { saltJson } from './json.js'

/** What is shown of a refused tag; a tag may be a kilobyte, an error should fit a line. */
const SHOWN_TAG = 80

/** Whom an event comes from, and what led to it. */
export interface From {
  readonly source: Source
  readonly cause?: Cause | null
}

export interface Fired {
  /** `<epoch>-<seq>`, as clients see it. */
  readonly id: string
  readonly seq: Seq
  /** The idempotency key had been used: id and seq are those of the first time. */
  readonly duplicate: boolean
}

/** The door to the log: every event passes `prepare`, whoever fires it. */
export class EventLog {
  readonly #store: Store
  readonly #clock: Clock
  readonly #maxEventSize: number

  /** `maxEventSize`: bytes of an event's data as JSON, its `_stamp` included. */
  constructor({ store, clock, maxEventSize }: { store: Store; clock: Clock; maxEventSize: number }) {
    this.#store = store
    this.#clock = clock
    this.#maxEventSize = maxEventSize
  }

  /**
   * An event that is ready to be written, here or together with what it implies (`store.jobs.publish` and the like). The time of the event
   * is now; a `_stamp` in the data is overwritten. Throws TAG_INVALID, EVENT_TOO_LARGE.
   */
  prepare(tag: string, data: EventData, from: From): NewEvent {
    const reason = checkTag(tag)
    if (reason !== null) throw brineError('TAG_INVALID', shown(tag), reason)
    const stampUs = this.#clock.nowUs()
    const json = saltJson({ ...data, _stamp: stampOf(stampUs) })
    this.#checkSize(json)
    return { tag, json, stampUs, source: from.source, cause: from.cause ?? null }
  }

  /** Writes one event. Resolves once it is durable. Throws what `prepare` throws, and STORE_BUSY, STORE_FULL. */
  async fire(tag: string, data: EventData, from: From, options: { idempotencyKey?: string } = {}): Promise<Fired> {
    const { status, seqs } = await this.#store.events.append([this.prepare(tag, data, from)], options)
    const seq = seqs[0]!
    return { id: eventId(this.#store.events.epoch, seq), seq, duplicate: status === 'duplicate' }
  }

  /** Writes all of them, one right after the other, or none. */
  async fireMany(
    list: readonly { readonly tag: string; readonly data: EventData }[],
    from: From,
    options: { idempotencyKey?: string } = {}
  ): Promise<Appended> {
    return await this.#store.events.append(
      list.map(({ tag, data }) => this.prepare(tag, data, from)),
      options
    )
  }

  #checkSize(json: string): void {
    // A UTF-16 unit takes one to three bytes: nearly always the length alone decides, and nothing has to be counted.
    if (json.length * 3 <= this.#maxEventSize) return
    const bytes = Buffer.byteLength(json)
    if (bytes > this.#maxEventSize) throw brineError('EVENT_TOO_LARGE', bytes, this.#maxEventSize)
  }
}

function shown(tag: string): string {
  return JSON.stringify(tag.length > SHOWN_TAG ? `${tag.slice(0, SHOWN_TAG)}…` : tag)
}
