import { brineError } from '../errors.js'
import { eventId, parseEventId, type Seq } from '../events/event.js'
import type { EventStore } from '../store/store.js'

/** Where a reader wants to begin. */
export type Start =
  | { readonly kind: 'now' }
  /** The oldest event that is kept. */
  | { readonly kind: 'earliest' }
  /** After this event: `Last-Event-ID`. */
  | { readonly kind: 'id'; readonly epoch: string; readonly seq: Seq }
  /** The first event with this stamp or a later one. */
  | { readonly kind: 'time'; readonly us: number }

/** Events that a reader asked for and cannot have. Ids, both included in what is missing's reach: after `from`, up to and with `to`. */
export interface Gap {
  readonly from: string
  readonly to: string
  /** `retention`: dropped by age or count. `epoch`: the id is from another log. `ahead`: this log ends before the id. */
  readonly reason: 'retention' | 'epoch' | 'ahead'
}

/** Where reading begins: the first event after `after`. */
export interface Position {
  readonly after: Seq
  readonly gap: Gap | null
}

const UNITS_US: Readonly<Record<string, number>> = { s: 1e6, m: 60e6, h: 3600e6, d: 86_400e6 }

/**
 * Reads `?since=`: `now`, `earliest`, an event id, an ISO time (UTC unless it says otherwise, as Salt's `_stamp`), seconds since 1970, or
 * how long ago (`90s`, `15m`, `2h`, `1d`). Throws CURSOR_INVALID.
 */
export function parseStart(text: string, nowUs: number): Start {
  if (text === 'now') return { kind: 'now' }
  if (text === 'earliest') return { kind: 'earliest' }
  const id = parseEventId(text)
  if (id) return { kind: 'id', ...id }
  return { kind: 'time', us: parseTime(text, nowUs) }
}

/** Microseconds since 1970 UTC. Throws CURSOR_INVALID. */
export function parseTime(text: string, nowUs: number): number {
  const ago = /^(\d{1,9})([smhd])$/.exec(text)
  if (ago) return Math.max(0, nowUs - Number(ago[1]) * UNITS_US[ago[2]!]!)
  if (/^\d{1,11}(\.\d{1,6})?$/.test(text)) return Math.round(Number(text) * 1e6)
  const iso = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,6}))?)?(Z|[+-]\d\d:?\d\d)?$/.exec(text)
  // Seconds by Date, the fraction by hand: Date has milliseconds only.
  const ms = iso ? Date.parse(`${iso[1]}T${iso[2] ?? '00:00'}${zone(iso[4])}`) : Number.NaN
  if (!iso || Number.isNaN(ms)) throw brineError('CURSOR_INVALID', text.slice(0, 80))
  return ms * 1000 + Number((iso[3] ?? '').padEnd(6, '0'))
}

function zone(text: string | undefined): string {
  if (text === undefined || text === 'Z') return 'Z'
  return text.includes(':') ? text : `${text.slice(0, 3)}:${text.slice(3)}`
}

/**
 * Turns a wish into a place in the log, and says what cannot be had. `head` is the newest event that the caller knows of.
 */
export async function locate(events: EventStore, start: Start, head: Seq): Promise<Position> {
  if (start.kind === 'now') return { after: head, gap: null }
  const before = (await events.oldest()) - 1
  if (start.kind === 'earliest') return { after: before, gap: null }
  const id = (seq: Seq) => eventId(events.epoch, seq)
  if (start.kind === 'time') return notBefore(before, await events.seqBefore(start.us), id)
  const asked = eventId(start.epoch, start.seq)
  if (start.epoch !== events.epoch) return { after: before, gap: { from: asked, to: id(before), reason: 'epoch' } }
  // The caller may not have heard of the newest events yet; the log knows.
  const last = start.seq > head ? await events.head() : head
  if (start.seq > last) return { after: last, gap: { from: asked, to: id(last), reason: 'ahead' } }
  return notBefore(before, start.seq, id)
}

/** A cursor older than the log is a gap, never "caught up". */
function notBefore(before: Seq, seq: Seq, id: (seq: Seq) => string): Position {
  if (seq >= before) return { after: seq, gap: null }
  return { after: before, gap: { from: id(seq), to: id(before), reason: 'retention' } }
}
