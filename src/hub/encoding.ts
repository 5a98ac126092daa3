import { encodeEvent, type WireEvent, type WireFormat } from '../events/wire.js'

/**
 * How text becomes the bytes of one kind of connection. Streams of the same encoding share every buffer, so an encoding is a constant and
 * never made per connection.
 */
export interface Encoding {
  readonly name: string
  /** The form in which the store encodes history for it. */
  readonly format: WireFormat
  /** Bytes of some text that is complete in itself (a frame, a comment). */
  text(text: string): Uint8Array
  /** Bytes around a page of history that the store has encoded; written one after the other. */
  page(bytes: Uint8Array): readonly Uint8Array[]
}

/** An event's bytes in an encoding; live stream and history agree because both come from `encodeEvent`. */
export function eventBytes(encoding: Encoding, epoch: string, event: WireEvent): Uint8Array {
  return encoding.text(encodeEvent(epoch, event, encoding.format))
}

const CRLF = Buffer.from('\r\n')

function chunkSize(bytes: number): string {
  return `${bytes.toString(16)}\r\n`
}

/** HTTP/1.1: each text is a chunk with its size before it, so that prepared bytes go to the socket as they are. */
export const SSE_CHUNKED: Encoding = {
  name: 'sse-chunked',
  format: 'sse',
  text: text => Buffer.from(`${chunkSize(Buffer.byteLength(text))}${text}\r\n`),
  page: bytes => [Buffer.from(chunkSize(bytes.length)), bytes, CRLF]
}

/** HTTP/1.0 has no chunks: the answer ends where the connection does. */
export const SSE_PLAIN: Encoding = {
  name: 'sse-plain',
  format: 'sse',
  text: text => Buffer.from(text),
  page: bytes => [bytes]
}
