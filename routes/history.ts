import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { brineError } from '../src/errors.js'
import { eventId, parseEventId, type Seq } from '../src/events/event.js'
import { saltJson } from '../src/events/json.js'
import type { Hub } from '../src/hub/hub.js'
import { type Gap, locate, parseStart, parseTime } from '../src/hub/position.js'
import type { Services } from '../src/services.js'
import type { EncodedPage, EventQuery, TagFilter } from '../src/store/store.js'
import type { EventsQuery } from './events.js'

/** JSON has to be held whole by most clients; NDJSON is taken line by line. */
const LIMITS = { json: { usual: 100, most: 10_000 }, ndjson: { usual: 1000, most: 1_000_000 } } as const

/**
 * A page of history. JSON: `{"events": […], "next": id, "more": bool, "gap"?}`; NDJSON: an event per line (a gap is a line `{"gap": …}` before
 * them), the next page starts after the last line's id. Sent as it is read, at the client's pace, so a page of large events takes no memory.
 */
export async function history(
  { hub, clock }: Services,
  request: FastifyRequest<{ Querystring: EventsQuery }>,
  reply: FastifyReply,
  filter: TagFilter,
  form: 'json' | 'ndjson'
): Promise<FastifyReply> {
  await hub.start()
  const wanted = request.query
  const backward =
    wanted.direction === undefined ? wanted.before !== undefined && wanted.after === undefined : wanted.direction === 'backward'
  const nowUs = clock.nowUs()
  const since = parseStart(wanted.after ?? wanted.since ?? (wanted.timeout === undefined ? 'earliest' : 'now'), nowUs)
  const { after, gap } = await locate(hub.events, since, hub.head)
  const limit = Math.min(wanted.limit ?? wanted.count ?? LIMITS[form].usual, LIMITS[form].most)
  const query: EventQuery = {
    after,
    upTo: Math.min(hub.head, beforeOf(wanted, hub)),
    filter,
    limit,
    direction: backward ? 'backward' : 'forward',
    ...(since.kind === 'time' ? { fromUs: since.us } : {}),
    ...(wanted.until === undefined ? {} : { untilUs: parseTime(wanted.until, nowUs) })
  }
  reply.header('content-type', form === 'json' ? 'application/json' : 'application/x-ndjson').header('cache-control', 'no-store')
  if (request.method === 'HEAD') return reply.send(Buffer.alloc(0))
  if (wanted.timeout !== undefined && !backward) await someEvent(hub, query, wanted.timeout * 1000, reply)
  const upTo = wanted.timeout === undefined ? query.upTo : Math.min(hub.head, beforeOf(wanted, hub))
  const pages = hub.events.readEncoded({ ...query, upTo }, 'ndjson')
  return reply.send(
    Readable.from(form === 'json' ? asJson(pages, hub.events.epoch, { ...query, upTo }, gap) : asLines(pages, gap), { objectMode: false })
  )
}

function beforeOf({ before }: EventsQuery, hub: Hub): Seq {
  if (before === undefined) return Number.POSITIVE_INFINITY
  const id = parseEventId(before)
  if (id === null || id.epoch !== hub.events.epoch) throw brineError('CURSOR_INVALID', before.slice(0, 80))
  return id.seq - 1
}

/** Resolves when there is a matching event, the time is over, or the client has gone. */
async function someEvent(hub: Hub, query: EventQuery, withinMs: number, reply: FastifyReply): Promise<void> {
  const waiting = new AbortController()
  const timer = setTimeout(() => waiting.abort(), withinMs)
  reply.raw.once('close', () => waiting.abort())
  const start = { kind: 'id', epoch: hub.events.epoch, seq: query.after } as const
  try {
    for await (const _ of hub.follow({ start, filter: query.filter ?? {}, signal: waiting.signal })) break
  } finally {
    clearTimeout(timer)
  }
}

async function* asLines(pages: AsyncIterable<EncodedPage>, gap: Gap | null): AsyncGenerator<Uint8Array> {
  if (gap) yield Buffer.from(`${saltJson({ gap })}\n`)
  for await (const page of pages) yield page.bytes
}

const SEPARATOR = Buffer.from(', ')

/** Lines become the items of a list. */
function items({ bytes, ends }: EncodedPage): Uint8Array {
  const parts: Uint8Array[] = []
  let from = 0
  for (const end of ends) {
    if (from > 0) parts.push(SEPARATOR)
    parts.push(bytes.subarray(from, end - 1))
    from = end
  }
  return Buffer.concat(parts)
}

async function* asJson(pages: AsyncIterable<EncodedPage>, epoch: string, query: EventQuery, gap: Gap | null): AsyncGenerator<Uint8Array> {
  let count = 0
  let last: Seq = query.direction === 'backward' ? query.upTo + 1 : query.upTo
  yield Buffer.from('{"events": [')
  for await (const page of pages) {
    if (count > 0) yield SEPARATOR
    yield items(page)
    count += page.count
    last = page.seqs[page.count - 1]!
  }
  const more = count > 0 && count === query.limit && (query.direction === 'backward' ? last > query.after + 1 : last < query.upTo)
  const next = eventId(epoch, more || query.direction === 'backward' ? last : query.upTo)
  yield Buffer.from(`], ${saltJson({ next, more, ...(gap ? { gap } : {}) }).slice(1)}`)
}
