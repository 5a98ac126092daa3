import { Readable } from 'node:stream'
import ssePlugin from '@fastify/sse'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import type { Caller } from '../src/auth/caller.js'
import { brineError } from '../src/errors.js'
import { eventId, parseEventId } from '../src/events/event.js'
import { saltJson } from '../src/events/json.js'
import { SSE_CHUNKED, SSE_PLAIN } from '../src/hub/encoding.js'
import type { Hub } from '../src/hub/hub.js'
import { HttpOutlet } from '../src/hub/outlet.js'
import { parseStart, type Start } from '../src/hub/position.js'
import { RETRY } from '../src/hub/sse.js'
import { negotiate } from '../src/plugins/answers.js'
import { refuseUnlessEmpty } from '../src/plugins/bodies.js'
import { refusals } from '../src/plugins/errors.js'
import type { TagFilter } from '../src/store/store.js'
import { compileFilter } from '../src/tags/glob.js'
import { history } from './history.js'
import { checkFire, checkRoom, idempotencyKey, readIncoming } from './ingest.js'
import { fireLines } from './ndjson.js'
import { TOKEN, uncheckedHere } from './schemas.js'

/** Its types describe the module as a namespace; what Node imports is the plugin itself. */
const sse = ssePlugin as unknown as FastifyPluginAsync

const SSE = 'text/event-stream'
const NDJSON = 'application/x-ndjson'
/** Without a wish, a stream, as salt-api answers whatever is wished for. */
const FORMS = [SSE, NDJSON, 'application/json'] as const

/** A filter has so many patterns at most; each costs a little with every event. */
const MAX_PATTERNS = 100
const Patterns = (description: string) =>
  Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), { maxItems: MAX_PATTERNS, description })

/** A day: whoever waits for longer comes back with the cursor. */
const MAX_TIMEOUT = 86_400

export const EventsQuery = Type.Object(
  {
    tag: Type.Optional(Patterns('Only events with a tag that one of these globs matches (`*` crosses `/`). Repeatable.')),
    exclude: Type.Optional(Patterns('No events with a tag that one of these globs matches. Repeatable.')),
    since: Type.Optional(
      Type.String({
        description: 'Begin there: `earliest`, `now`, an event id (excluded), an ISO time (UTC), seconds since 1970, or `15m` ago.'
      })
    ),
    count: Type.Optional(Type.Integer({ minimum: 1, description: 'End after so many events.' })),
    timeout: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: MAX_TIMEOUT, description: 'End after so many seconds.' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'History: events per page (JSON: 10,000 at most).' })),
    after: Type.Optional(Type.String({ description: 'History: as `since`; the `next` of the page before.' })),
    before: Type.Optional(
      Type.String({ description: 'History: only events before this id. Reads backward unless `direction` says otherwise.' })
    ),
    until: Type.Optional(Type.String({ description: 'History: only events up to this time.' })),
    direction: Type.Optional(
      Type.Union([Type.Literal('forward'), Type.Literal('backward')], { description: 'History: oldest or newest first.' })
    ),
    token: Type.Optional(Type.String({ description: 'A token or ticket, for clients that cannot send headers.' })),
    salt_token: Type.Optional(Type.String({ description: 'The same.' }))
  },
  { additionalProperties: false }
)
export type EventsQuery = Static<typeof EventsQuery>

const Event = Type.Object({ id: Type.String(), tag: Type.String(), data: Type.Record(Type.String(), Type.Unknown()) })
const Page = Type.Object({
  events: Type.Array(Event),
  next: Type.String({ description: 'Where the next page starts: `after` (forward) or `before` (backward).' }),
  more: Type.Boolean(),
  gap: Type.Optional(Type.Object({ from: Type.String(), to: Type.String(), reason: Type.String() }))
})

/** GET /events: history, then what happens, as SSE; or a page of history as JSON or NDJSON, by `Accept`. */
export const stream: FastifyPluginAsync = async app => {
  await app.register(sse)
  const { hub, clock } = app.services
  const schema = {
    tags: ['events'],
    summary: 'Watch events, or read history',
    description:
      'As `text/event-stream`: Salt\'s frames (`tag:`, `data: {"tag", "data"}`) with an `id:`; `Last-Event-ID` goes on after that event. What cannot be ' +
      'had any more is told by one `event: gap`; a stream that the server ends has a last `event: end` with the reason. As `application/json` or ' +
      '`application/x-ndjson`: a page of history; with `timeout` it waits for the first event.',
    querystring: EventsQuery,
    security: TOKEN,
    response: {
      200: {
        description: 'Frames without end, or a page',
        content: {
          [SSE]: { schema: Type.String({ description: 'id: <id>\\ntag: <tag>\\ndata: {"data": {…}, "tag": <tag>}\\n\\n' }) },
          [NDJSON]: { schema: Event },
          'application/json': { schema: Page }
        }
      },
      ...refusals(400, 401, 404, 503)
    }
  }
  app.get<{ Querystring: EventsQuery }>('/events', { schema, sse: { kind: 'manual', heartbeat: false } }, async (request, reply) => {
    const filter = filterOf(request.caller, request.query)
    const form = isPlain(request.query) ? plainForm(request.headers.accept) : (negotiate(request.headers.accept, FORMS) ?? SSE)
    if (form !== SSE) return history(app.services, request, reply, filter, form === NDJSON ? 'ndjson' : 'json')
    refuseForHistory(request.query)
    const start = startOf(request, clock.nowUs())
    hub.checkRoom()
    reply.header('content-type', `${SSE};charset=utf-8`).header('cache-control', 'no-cache').header('x-accel-buffering', 'no')
    if (request.method === 'HEAD') return reply.send(Buffer.alloc(0))
    await openStream(hub, request, reply, { filter, start })
  })
}

/**
 * What follows `/events` and is no event's id is a token to salt-api, and a bad one, since good ones are streams here too (`stream-url.ts`): 401, whatever
 * else the request has. With one in the query it is one too many: 404.
 */
export function refuseTokenInPath(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { id } = request.params as { id?: string }
    if (request.routeOptions.url !== '/events/:id' || id === undefined || parseEventId(id) !== null) return done()
    request.saltApi = true
    reply.header('allow', 'GET, HEAD')
    const { token } = request.query as { token?: unknown }
    done(token === undefined ? brineError('NO_TOKEN') : brineError('NOT_FOUND', 'query parameter token'))
  })
}

/** Behind a token: one event, firing, tickets. */
export const events: FastifyPluginAsyncTypebox = async app => {
  const { store, auth, events: log } = app.services
  const one = {
    tags: ['events'],
    summary: 'One event',
    params: Type.Object({ id: Type.String() }),
    security: TOKEN,
    response: {
      200: Type.Object({
        ...Event.properties,
        source: Type.String({ description: 'Who fired it: `user:admin`, `minion:web1`, `reactor`, `server`.' }),
        cause: Type.Union([Type.Null(), Type.Object({ id: Type.String(), depth: Type.Integer() })])
      }),
      ...refusals(401, 404)
    }
  }
  app.get('/events/:id', { schema: one }, async (request, reply) => {
    const id = parseEventId(request.params.id)
    const event = id && id.epoch === store.events.epoch ? await store.events.get(id.seq) : null
    // What may not be seen is not there.
    const { readable } = request.caller
    if (!event || !readable || !compileFilter(readable)(event.tag)) throw brineError('NOT_FOUND', `event ${request.params.id.slice(0, 40)}`)
    const cause = event.cause && { id: eventId(store.events.epoch, event.cause.seq), depth: event.cause.depth }
    const about = {
      id: request.params.id,
      tag: event.tag,
      data: JSON.parse(event.json) as Record<string, unknown>,
      source: event.source,
      cause
    }
    // As JSON the data is answered with its own bytes, as everywhere.
    if (reply.getHeader('content-type') === 'application/json') reply.serializer(() => withJson(about, event.json))
    return about
  })

  const NewEvent = Type.Object(
    { tag: Type.String(), data: Type.Optional(Type.Record(Type.String(), Type.Unknown())) },
    { additionalProperties: false }
  )
  const fire = {
    tags: ['events'],
    summary: 'Fire events',
    description:
      'One `{tag, data}`, or a list of them (all or none). As `application/x-ndjson` one per line, for any number: they are committed in batches, and ' +
      'each batch is answered with a line. Whole numbers beyond 2^53 are kept as texts: most JSON readers would round them.',
    body: {
      content: {
        'application/json': { schema: Type.Union([NewEvent, Type.Array(NewEvent)]) },
        [NDJSON]: { schema: NewEvent }
      }
    },
    security: TOKEN,
    response: {
      200: Type.Object({ success: Type.Boolean(), id: Type.Optional(Type.String()), ids: Type.Optional(Type.Array(Type.String())) }),
      ...refusals(400, 401, 403, 406, 413, 503)
    }
  }
  app.addContentTypeParser(['application/x-ndjson', 'application/ndjson', 'application/jsonl'], (request, payload, done) => {
    if (request.routeOptions.url === '/events') done(null, payload)
    else refuseUnlessEmpty(request, payload, done)
  })
  // Checked by `readIncoming`, which names the place; the schema is for the reader.
  app.post('/events', { schema: fire, validatorCompiler: uncheckedHere }, async (request, reply) => {
    const { body, caller } = request as FastifyRequest
    if (body instanceof Readable) return fireLines(app.services, caller, body, reply)
    const list = Array.isArray(body) ? body.map((each, i) => readIncoming(each, `[${i}]`)) : [readIncoming(body, '')]
    for (const { tag } of list) checkFire(caller, tag)
    checkRoom(app.services)
    const key = idempotencyKey(
      request,
      list.map(({ tag }) => tag)
    )
    const { seqs, status } = await log.fireMany(list, { source: caller.source }, key)
    const ids = seqs.map(seq => eventId(store.events.epoch, seq))
    if (status === 'duplicate') reply.header('idempotent-replayed', 'true')
    return Array.isArray(body) ? { success: true, ids } : { success: true, id: ids[0]! }
  })

  const Wish = Type.Object(
    {
      tags: Type.Optional(Patterns('Only these tags.')),
      seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 3600, description: 'How long it may be used to open a stream.' }))
    },
    { additionalProperties: false }
  )
  const ticket = {
    tags: ['events'],
    summary: 'A ticket for one stream',
    description: 'A short-lived token that is good for GET /events and nothing else: to be put into a URL instead of a real token.',
    body: Type.Union([Wish, Type.Null()]),
    security: TOKEN,
    response: { 200: Type.Object({ ticket: Type.String(), expires: Type.Number(), url: Type.String() }), ...refusals(400, 401, 403) }
  }
  app.post('/events/ticket', { schema: ticket }, async (request, reply) => {
    const { tags, seconds } = request.body ?? {}
    const granted = await auth.ticket(request.caller, { ...(tags ? { tags } : {}), ...(seconds ? { seconds } : {}) })
    reply.header('cache-control', 'no-store')
    return { ticket: granted.ticket, expires: granted.expiresUs / 1e6, url: `/events?token=${granted.ticket}` }
  })
}

/** The mapping as JSON, with `data` as it is in the log: what passes through numbers may come out as others. */
function withJson({ data: _, ...about }: Record<string, unknown>, json: string): string {
  return `${saltJson(about).slice(0, -1)}, "data": ${json}}`
}

/** What the caller asked for within what it may see. Throws EVENTS_REFUSED. */
export function filterOf(caller: Caller, { tag, exclude }: EventsQuery): TagFilter {
  const { readable } = caller
  if (readable === null) throw brineError('EVENTS_REFUSED')
  const allowed = readable.allowed ?? readable.include
  return {
    ...(tag ? { include: tag } : {}),
    ...(exclude || readable.exclude ? { exclude: [...(exclude ?? []), ...(readable.exclude ?? [])] } : {}),
    ...(allowed ? { allowed } : {})
  }
}

/** Nothing but a token: so clients of salt-api ask. */
function isPlain(query: EventsQuery): boolean {
  return Object.keys(query).every(name => name === 'token' || name === 'salt_token')
}

/** salt-api streams whatever is wished for, and its clients wish for JSON when they mean the stream. Lines are a wish that only ours have. */
function plainForm(accept: string | undefined): (typeof FORMS)[number] {
  const wished = negotiate(accept, FORMS)
  return wished === NDJSON ? NDJSON : SSE
}

/** What a stream would have to ignore is refused: whoever wrote it waits for something else. */
function refuseForHistory(query: EventsQuery): void {
  const name = (['limit', 'before', 'until', 'direction'] as const).find(each => query[each] !== undefined)
  if (name) throw brineError('FIELD_INVALID', name, `is for history: ask for it with 'Accept: application/json' or '${NDJSON}'`)
}

/** A browser that comes back sends Last-Event-ID along with the URL that it was first given, so the header counts more. Salt's ids are not ours: no wish. */
function startOf(request: FastifyRequest<{ Querystring: EventsQuery }>, nowUs: number): Start {
  const last = request.headers['last-event-id']
  const id = typeof last === 'string' ? parseEventId(last) : null
  if (id) return { kind: 'id', ...id }
  const { since, after } = request.query
  return parseStart(since ?? after ?? 'now', nowUs)
}

async function openStream(
  hub: Hub,
  request: FastifyRequest<{ Querystring: EventsQuery }>,
  reply: FastifyReply,
  what: { filter: TagFilter; start: Start }
): Promise<void> {
  const { count, timeout } = request.query
  reply.sse.keepAlive()
  reply.sse.sendHeaders()
  const outlet = await HttpOutlet.open(reply.raw, RETRY)
  if (outlet === null) return
  const { jti, expiresUs } = request.caller
  try {
    const subscription = hub.subscribe({
      ...what,
      outlet,
      caller: { jti, expiresUs },
      encoding: request.raw.httpVersion === '1.0' ? SSE_PLAIN : SSE_CHUNKED,
      ...(count === undefined ? {} : { count }),
      ...(timeout === undefined ? {} : { timeoutMs: timeout * 1000 })
    })
    reply.sse.onClose(() => subscription.closed())
  } catch (error) {
    // The last place was taken, or the server stopped, since we looked; the head is sent already.
    request.log.info({ err: error }, 'a stream could not be opened')
    outlet.cut()
  }
}
