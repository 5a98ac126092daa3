import type { FastifyInstance, FastifyRequest } from 'fastify'
import { plainAddress } from '../auth/api-acl.js'
import type { Authenticator } from '../auth/authenticator.js'
import type { Caller } from '../auth/caller.js'
import { opaqueKind } from '../auth/sessions.js'
import { brineError, type ErrorCode, isBrineError } from '../errors.js'

/** Where a token may stand. salt-api takes header before cookie, and a bad header is not rescued by a good cookie (golden/api section 5). */
export interface TokenPlaces {
  /** `?token=` and `?salt_token=`, which come first: for event streams, which browsers open without headers. */
  readonly query?: boolean
  /** A WebSocket's: in the path (`:token`) or `?token=`, which come first, and only sessions and the server's own tokens. */
  readonly webSocket?: boolean
}

/** Name of the session cookie, as salt-api's. */
export const SESSION_COOKIE = 'session_id'

/** The token of a request and where it stood; null when there is none. */
export function findToken(
  request: FastifyRequest,
  places: TokenPlaces = {}
): { token: string; from: 'query' | 'header' | 'cookie' } | null {
  if (places.webSocket) {
    const named = (request.params as Record<string, unknown>).token ?? (request.query as Record<string, unknown>).token
    if (typeof named === 'string' && named !== '') return { token: named, from: 'query' }
  }
  if (places.query) {
    const { token, salt_token } = request.query as Record<string, unknown>
    for (const value of [token, salt_token]) if (typeof value === 'string' && value !== '') return { token: value, from: 'query' }
  }
  const header = request.headers['x-auth-token']
  if (typeof header === 'string' && header !== '') return { token: header, from: 'header' }
  const bearer = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? '')
  if (bearer) return { token: bearer[1]!, from: 'header' }
  const cookie = request.cookies[SESSION_COOKIE]
  return cookie ? { token: cookie, from: 'cookie' } : null
}

export interface GuardOptions extends TokenPlaces {
  /** Tickets (scope `stream`) are good here too. */
  readonly tickets?: boolean
  /** So are the tokens of POST /token, which elsewhere belong into a chunk. */
  readonly eauthTokens?: boolean
  /** What is answered without a good token: NO_TOKEN by default. */
  readonly refusal?: ErrorCode
}

/**
 * Every request of this scope needs a good token; `request.caller` says whose it is. Throws NO_TOKEN (401) otherwise, or `refusal`, before the body is read.
 */
export function requireToken(app: FastifyInstance, options: GuardOptions = {}): void {
  const { auth, config } = app.services
  const origins = new Set(config.cors_origin)
  const { refusal = 'NO_TOKEN' } = options
  app.addHook('onRequest', (request, reply, done) => {
    const refuse = (error: Error) => done(isBrineError(error, 'NO_TOKEN') ? brineError(refusal) : error)
    const found = findToken(request, options)
    if (found === null || (opaqueKind(found.token) === 'eauth' && !options.eauthTokens)) return refuse(brineError('NO_TOKEN'))
    if (found.from === 'cookie' && isCrossSite(request, origins, options.webSocket)) return done(brineError('CROSS_SITE'))
    const accept = (caller: Caller) => {
      if (caller.kind === 'minion' || (caller.scope !== 'full' && !options.tickets)) return refuse(brineError('NO_TOKEN'))
      request.caller = caller
      // What is answered to one caller is not for the next one's cache.
      reply.header('cache-control', 'private')
      done()
    }
    verify(auth, found.token, accept, refuse)
  })
}

/** Requests of this scope need no token; all of them are this caller's. */
export function callAs(app: FastifyInstance, caller: Caller): void {
  app.addHook('onRequest', (request, _reply, done) => {
    request.caller = caller
    done()
  })
}

/** `authorized_ips`: whoever asks from another address is refused. The address is the socket's, or what a trusted proxy says; never a header's. */
export function refuseOtherAddresses(app: FastifyInstance): void {
  const addresses = new Set(app.services.config['rest_cherrypy.authorized_ips'])
  if (addresses.size === 0) return
  app.addHook('onRequest', (request, _reply, done) => {
    done(addresses.has(plainAddress(request.ip)) ? undefined : brineError('BAD_IP'))
  })
}

/** By the cache in the same turn where possible: a promise costs more than the look-up. */
export function verify(auth: Authenticator, token: string, accept: (caller: Caller) => void, refuse: (error: Error) => void): void {
  const known = auth.verifySync(token)
  if (known) accept(known)
  else auth.verify(token).then(accept, refuse)
}

/**
 * A browser sends the session cookie along with requests that another site makes. Such requests carry that site as `Origin` (a GET of a
 * page does not, and changes nothing; that of a WebSocket does, and any site may open one); golden/api section 15, 12.
 */
function isCrossSite(request: FastifyRequest, allowed: ReadonlySet<string>, isWebSocket = false): boolean {
  if (!isWebSocket && (request.method === 'GET' || request.method === 'HEAD')) return false
  const { origin, host } = request.headers
  if (origin === undefined || allowed.has(origin)) return request.headers['sec-fetch-site'] === 'cross-site'
  return URL.canParse(origin) ? new URL(origin).host !== host : true
}
