import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { WebSocket } from 'ws'
import type { Caller } from '../src/auth/caller.js'
import { brineError } from '../src/errors.js'
import type { EventData, StoredEvent } from '../src/events/event.js'
import { saltJson } from '../src/events/json.js'
import { FormattedEvents } from '../src/hub/formatted.js'
import { refusals } from '../src/plugins/errors.js'
import type { Services } from '../src/services.js'
import { filterOf } from './events.js'
import { TOKEN } from './schemas.js'

/** What a client says when it wants to be told; nothing comes before. */
const READY = 'websocket client ready'
const RECEIVED = 'server received message'

/** Clients say hello and little else; whoever sends more is cut. */
const MAX_MESSAGE = 16 * 1024
/** A reader that takes nothing for so long is gone, or as good as gone. */
const STALL_MS = 60_000
/** Replies of at most 125 bytes that wait for a client: who has more talks without ever listening, and is cut. */
const MAX_REPLIES = 1000
/** setTimeout's longest time is 24 days; tokens may count for longer. */
const DAY_MS = 86_400_000

/** So long may a client take to answer the last frame when the server stops. */
const FAREWELL_MS = 500

/** Codes of RFC 6455, section 7.4.1. */
const POLICY = 1008
const FAILED = 1011
const RESTARTING = 1012

const Query = Type.Object(
  {
    token: Type.Optional(Type.String({ description: 'A session, for clients that cannot send headers.' })),
    format_events: Type.Optional(Type.String({ description: 'Any value or none: jobs and minions, gathered, instead of events.' }))
  },
  { additionalProperties: true }
)

/**
 * GET /ws[/<token>]: events over a WebSocket, as salt-api has it (golden/api section 11). After the client's ready message, each event is a text frame
 * `data: {"data": …, "tag": …}\n\n`, or with `format_events` what it says of a job or minion. The log is read at the client's pace.
 */
export const ws: FastifyPluginAsync = async app => {
  await app.register(websocket, {
    options: { maxPayload: MAX_MESSAGE, perMessageDeflate: false, autoPong: false, handleProtocols: () => false },
    preClose: done => {
      for (const client of app.websocketServer.clients) client.close(RESTARTING, 'server is stopping')
      app.websocketServer.close(() => done())
      // Whoever does not answer the farewell is cut, or closing would wait for it.
      setTimeout(() => {
        for (const client of app.websocketServer.clients) client.terminate()
      }, FAREWELL_MS).unref()
    }
  })
  app.websocketServer.on('headers', headers => {
    headers.push('Allow: GET, HEAD', 'Content-Type: text/plain;charset=utf-8', 'Sec-WebSocket-Version: 13')
  })
  const schema = {
    tags: ['events'],
    summary: 'Watch events over a WebSocket',
    description:
      "Send the text `websocket client ready`; each event is a text frame then, in Salt's form. A page of another site needs a token in path or header.",
    querystring: Query,
    security: TOKEN,
    response: { 101: { type: 'null', description: 'A WebSocket' }, ...refusals(400, 401, 403, 426, 503) }
  }
  const open: Set<WebSocket> = new Set()
  const refuse = async (request: FastifyRequest, reply: FastifyReply) => checkHandshake(request, reply, open.size, app.services)
  const serve = (socket: WebSocket, request: FastifyRequest) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    converse(socket, request, app)
  }
  const handler = () => {
    throw brineError('UPGRADE_REQUIRED')
  }
  app.route({ method: 'GET', url: '/ws', schema, preValidation: refuse, handler, wsHandler: serve })
  const params = Type.Object({ token: Type.String() })
  app.route({ method: 'GET', url: '/ws/:token', schema: { ...schema, params }, preValidation: refuse, handler, wsHandler: serve })
}

/** Everything that can be refused is refused before the protocol changes: afterwards there is no status to say it with. */
function checkHandshake(request: FastifyRequest, reply: FastifyReply, open: number, { config, hub }: Services): void {
  const { upgrade, 'sec-websocket-version': version, 'sec-websocket-key': key } = request.headers
  if (upgrade?.toLowerCase() !== 'websocket') {
    reply.header('upgrade', 'websocket')
    throw brineError('UPGRADE_REQUIRED')
  }
  if (version !== '13') {
    reply.header('sec-websocket-version', '13')
    throw brineError('WEBSOCKET_VERSION', (version ?? '').slice(0, 20))
  }
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key ?? '')) throw brineError('FIELD_INVALID', 'Sec-WebSocket-Key', 'must be 16 bytes in base64')
  const { params, query } = request as { params: { token?: string }; query: { token?: string } }
  if (params.token !== undefined && query.token !== undefined) throw brineError('NOT_FOUND', 'query parameter token')
  filterOf(request.caller, {})
  hub.checkRoom()
  if (open >= config.max_subscribers) throw brineError('STREAMS_FULL', config.max_subscribers)
}

function converse(socket: WebSocket, request: FastifyRequest, { services }: FastifyInstance): void {
  const { caller, log } = request
  const gone = new AbortController()
  const format = (request.query as Record<string, unknown>).format_events === undefined ? plainText : formatter()
  let told = false
  let unsaid = 0
  const reply = (send: (done: () => void) => void) => {
    if (++unsaid > MAX_REPLIES) return socket.terminate()
    send(() => {
      unsaid--
    })
  }
  socket.on('ping', data => reply(done => socket.pong(data, false, done)))
  socket.on('message', data => {
    reply(done => socket.send(RECEIVED, done))
    if (told || String(data) !== READY) return
    told = true
    tell(socket, caller, format, services, gone.signal).catch(error => {
      log.warn({ err: error }, 'a WebSocket could not be told of events')
      socket.close(FAILED, 'the log could not be read')
    })
  })
  const undo = [watchToken(socket, caller, services), keepAlive(socket, services.config.sse_heartbeat_seconds)]
  socket.on('error', () => socket.terminate())
  socket.once('close', () => {
    gone.abort()
    for (const each of undo) each()
  })
}

async function tell(
  socket: WebSocket,
  caller: Caller,
  format: (event: StoredEvent) => string | null,
  { hub }: Services,
  signal: AbortSignal
): Promise<void> {
  for await (const event of hub.follow({ start: { kind: 'now' }, filter: filterOf(caller, {}), signal })) {
    const text = format(event)
    if (text !== null && !(await sent(socket, text))) return
  }
}

/** False when the client is gone, or takes too long: it is cut then. */
function sent(socket: WebSocket, text: string): Promise<boolean> {
  if (socket.readyState !== socket.OPEN) return Promise.resolve(false)
  return new Promise(resolve => {
    const stalled = setTimeout(() => {
      socket.terminate()
      resolve(false)
    }, STALL_MS)
    socket.send(text, error => {
      clearTimeout(stalled)
      resolve(!error)
    })
  })
}

function plainText({ tag, json }: StoredEvent): string {
  return `data: {"data": ${json}, "tag": ${JSON.stringify(tag)}}\n\n`
}

function formatter(): (event: StoredEvent) => string | null {
  const formatted = new FormattedEvents()
  return ({ tag, json }) => {
    const frame = formatted.take(tag, JSON.parse(json) as EventData)
    return frame === null ? null : saltJson(frame)
  }
}

/** A stream lasts no longer than the token that opened it. */
function watchToken(socket: WebSocket, { jti, expiresUs }: Caller, { auth, clock }: Services): () => void {
  const end = () => socket.close(POLICY, 'the token has ended')
  let timer: NodeJS.Timeout | undefined
  const look = () => {
    const leftMs = (expiresUs - clock.nowUs()) / 1000
    if (leftMs <= 0) end()
    else timer = setTimeout(look, Math.min(leftMs, DAY_MS))
  }
  look()
  const unlisten = auth.onRevoked(revoked => {
    if (revoked === jti) end()
  })
  return () => {
    clearTimeout(timer)
    unlisten()
  }
}

/** A dead peer is noticed when it answers no ping until the next one. */
function keepAlive(socket: WebSocket, seconds: number): () => void {
  let alive = true
  socket.on('pong', () => {
    alive = true
  })
  const timer = setInterval(() => {
    if (!alive) return socket.terminate()
    alive = false
    socket.ping()
  }, seconds * 1000)
  return () => clearInterval(timer)
}

/**
 * As soon as a server speaks WebSocket, Node hands it the socket of every request that asks for another protocol, and reads no more from it. What is
 * answered to one on another path (`Upgrade: h2c`, as some clients try) ends the connection, or it would stay open for nobody.
 */
export function endRefusedUpgrades(app: FastifyInstance): void {
  app.addHook('onResponse', (request, _reply, done) => {
    if (request.headers.upgrade !== undefined) request.raw.socket.end()
    done()
  })
}
