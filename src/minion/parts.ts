/** Items that are too long for one request, on their way up. */
import { PART_CHARS, type Up, type UpAnswer, type UpItem } from '../protocol/messages.js'
import { Unreachable } from './http.js'

/** How often a server may ask for what it had already (it was set up anew, or took too long to come back) before this is given up for now. */
const MAX_RESTARTS = 3

/** True for an item that goes up in parts. Only returns do: an event has to fit into one of the server's. */
export function isLong(item: UpItem): boolean {
  return item.kind === 'return' && JSON.stringify(item.return).length > PART_CHARS
}

/**
 * Sends an item piece by piece, from where the server has it: what a broken connection had brought need not be sent again. The answer is that to
 * the whole. Throws what `post` throws; Unreachable when the server never has enough.
 */
export async function inParts(post: (up: Up) => Promise<UpAnswer>, spool: string, item: UpItem): Promise<UpAnswer> {
  const text = JSON.stringify(item)
  const { length } = text
  let restarts = 0
  let at = 0
  for (;;) {
    const answer = await post({ spool, items: [], acks: [], part: { n: item.n, at, length, text: pieceOf(text, at) } })
    if (answer.have === undefined) return answer
    if (answer.have <= at && ++restarts > MAX_RESTARTS) throw new Unreachable('the server loses what it was sent')
    at = Math.min(answer.have, length - 1)
  }
}

/** Never between the halves of a character: text of half a one would not survive. */
function pieceOf(text: string, at: number): string {
  const end = at + PART_CHARS
  const isSplit = end < text.length && /[\uD800-\uDBFF]/.test(text[end - 1]!)
  return text.slice(at, isSplit ? end - 1 : end)
}
