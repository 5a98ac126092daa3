/** One block of an event stream as brine sends it: Salt's `tag:` line, and `id:`, `event:`, `data:`. */
export interface Frame {
  readonly id: string | null
  /** `gap` and `end` for what is no event; null for events. */
  readonly event: string | null
  readonly tag: string
  readonly data: string
}

/** A block of more characters than this is no event of ours (64 MiB is the largest that may be configured). */
const MAX_BLOCK = 80 * 1024 * 1024

/** Reads the blocks of a stream that have data. Comments and the retry line are skipped. */
export async function* readFrames(body: AsyncIterable<Uint8Array>): AsyncGenerator<Frame, void, undefined> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true })
    if (rest.length > MAX_BLOCK) throw new Error('the stream has a block that does not end')
    let end = rest.indexOf('\n\n')
    while (end >= 0) {
      const frame = parseBlock(rest.slice(0, end))
      rest = rest.slice(end + 2)
      if (frame !== null) yield frame
      end = rest.indexOf('\n\n')
    }
  }
}

function parseBlock(block: string): Frame | null {
  const fields = new Map<string, string>()
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).replace(/^ /, ''))
  }
  const data = fields.get('data')
  return data === undefined
    ? null
    : { id: fields.get('id') ?? null, event: fields.get('event') ?? null, tag: fields.get('tag') ?? '', data }
}
