import type { Gap } from './position.js'

/**
 * The SSE frames beside those of events (`src/events/wire.ts`). Salt's stream begins with the retry line and no blank line after it
 * (golden/api section 10), so that it belongs to the first block that follows.
 */
export const RETRY = 'retry: 400\n'

/** A comment: readers skip it, proxies see that the connection lives, and a dead peer is noticed. */
export const HEARTBEAT = ': heartbeat\n\n'

/** Why a stream ends; the text that its last frame carries. */
export type EndReason = 'count' | 'timeout' | 'token expired' | 'token revoked' | 'server is stopping' | 'error'

/**
 * What the reader asked for is not there. `id` makes a reader that comes back now go on after the gap instead of being told again.
 */
export function gapFrame(gap: Gap): string {
  return `id: ${gap.to}\nevent: gap\ndata: ${JSON.stringify(gap)}\n\n`
}

/** The last frame of a stream that the server ends. It has no id: the reader's cursor stays where it is. */
export function endFrame(reason: EndReason): string {
  return `event: end\ndata: ${JSON.stringify({ reason })}\n\n`
}
