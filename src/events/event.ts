/**
 * What an event is (DESIGN: "the log is the truth").
 *
 * An event has a tag (text), data (a mapping that always carries `_stamp`) and, once it is committed, a place in the one total order.
 * `json` is the data serialised once, as Salt prints it (`", "` and `": "` separators, UTF-8 unescaped): log, stream, history and
 * reactor all see these same bytes.
 */

/** Position in the log: 1, 2, 3 … in commit order. Readers see events in this order and never another. */
export type Seq = number

/** Who or what an event came from, kept for audit: `user:admin`, `minion:web1`, `reactor`, `server`. */
export type Source = `user:${string}` | `minion:${string}` | 'reactor' | 'server'

/** Why an event happened: the event that led to it, and how many reactions lie between it and the outside world. */
export interface Cause {
  readonly seq: Seq
  /** 0 for what came from outside; a reaction's job, its returns and what they fire have one more than the event that was reacted to. */
  readonly depth: number
}

/** An event that is checked, stamped and serialised, and not yet in the log. Made by `EventLog.prepare`. */
export interface NewEvent {
  readonly tag: string
  /** The data, `_stamp` included, as Salt prints JSON. */
  readonly json: string
  /** Microseconds since 1970 UTC; the same instant as `_stamp`. */
  readonly stampUs: number
  readonly source: Source
  readonly cause: Cause | null
}

/** An event in the log. */
export interface StoredEvent extends NewEvent {
  readonly seq: Seq
}

export type EventData = Record<string, unknown>

/** The id that clients see and send back as `Last-Event-ID`: `<epoch>-<seq>`. The epoch names the log. */
export function eventId(epoch: string, seq: Seq): string {
  return `${epoch}-${seq}`
}

/** Reads an id written by `eventId`; null when the text is not one. */
export function parseEventId(text: string): { epoch: string; seq: Seq } | null {
  const match = /^([0-9a-z]{1,32})-(\d{1,15})$/.exec(text)
  return match ? { epoch: match[1]!, seq: Number(match[2]) } : null
}
