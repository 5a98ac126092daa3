import type { Seq } from './event.js'

/** The forms in which an event leaves the server. Made from tag and json alone, so that live stream and history have the same bytes. */
export type WireFormat = 'sse' | 'ndjson'

/** What `encodeEvent` needs of an event. */
export interface WireEvent {
  readonly seq: Seq
  readonly tag: string
  readonly json: string
}

/**
 * One event as text in the given form.
 *
 * `sse`: Salt's frame (golden/api section 10) with an `id:` line before it: `id: <epoch>-<seq>\ntag: <tag>\ndata: {"data": …, "tag": …}\n\n`.
 * `ndjson`: one line `{"id": "<epoch>-<seq>", "tag": …, "data": …}\n`.
 * A tag has no control characters (the log refuses them) and json has none unescaped, so neither can end a frame early.
 */
export function encodeEvent(epoch: string, event: WireEvent, format: WireFormat): string {
  const tag = JSON.stringify(event.tag)
  return format === 'sse'
    ? `id: ${epoch}-${event.seq}\ntag: ${event.tag}\ndata: {"data": ${event.json}, "tag": ${tag}}\n\n`
    : `{"id": "${epoch}-${event.seq}", "tag": ${tag}, "data": ${event.json}}\n`
}
