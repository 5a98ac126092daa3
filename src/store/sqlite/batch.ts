import type { ErrorCode } from '../../errors.js'
import type { NewEvent, Seq } from '../../events/event.js'

/**
 * What crosses between the API's thread and the writer's. Flat lists of primitives: they are copied by structured clone, which is several
 * times faster for them than for lists of objects, and this is the path of every event.
 */
export interface Batch {
  /** Per operation: its name (a key of `Writes`). */
  names: string[]
  /** Per operation: its arguments, as its function in the worker takes them. */
  args: unknown[]
  /** Per operation: how many of `events` are its own. */
  counts: number[]
  /** Every operation's events one after the other, `FIELDS` values each: tag, json, stampUs, source, cause seq, cause depth. */
  events: EventField[]
  /** Rough size in bytes, for the writer's bound on one transaction. */
  bytes: number
}

export type EventField = string | number | null

/** Values per event in `Batch.events`. */
export const FIELDS = 6

export function emptyBatch(): Batch {
  return { names: [], args: [], counts: [], events: [], bytes: 0 }
}

export function pushEvent(fields: EventField[], event: NewEvent): void {
  const { cause } = event
  fields.push(event.tag, event.json, event.stampUs, event.source, cause === null ? null : cause.seq, cause === null ? null : cause.depth)
}

/** An error on its way between threads: `BrineError` by its code and values. */
export interface Failure {
  readonly code: ErrorCode
  readonly values: readonly string[]
}

/** The writer's answer to the next `results.length` operations in the order in which they were posted: one transaction. */
export interface Committed {
  readonly kind: 'committed'
  readonly results: readonly unknown[]
  /** Per operation: seq of its first event; 0 when it wrote none. */
  readonly firsts: readonly Seq[]
  /** Operations that failed by themselves (their index above), while the others were committed. */
  readonly failures: readonly (readonly [index: number, failure: Failure])[]
  /** Head after this transaction. */
  readonly head: Seq
}

/** The next `count` operations were not written, all for one reason: the disk is full, say. */
export interface Refused {
  readonly kind: 'refused'
  readonly count: number
  readonly failure: Failure
  /** The reason for people. */
  readonly reason: string
}

/** What the writer says once it has opened the file, or why it could not. */
export interface Ready {
  readonly kind: 'ready'
  readonly epoch: string
  readonly head: Seq
}
export interface NotReady {
  readonly kind: 'failed'
  readonly failure: Failure
}
export interface Closed {
  readonly kind: 'closed'
}

export type FromWriter = Committed | Refused | Ready | NotReady | Closed
export type ToWriter = Batch | 'close'
