import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Authenticator } from '../auth/authenticator.js'
import type { Caller } from '../auth/caller.js'
import { brineError, isBrineError } from '../errors.js'

/** Where a token may stand. salt-api takes header before cookie, and a bad header is not rescued by a good cookie (golden/api section 5). */
export interface TokenPlaces {
  /** `?token=` and `?salt_token=`, which come first: for event streams, which browsers open without headers. */
  readonly query?: boolean
}

/** Name of the session cookie, as salt-api's. */
export const SESSION_COOKIE = 'session_id'

/** The token of a request and where it stood; null when there is none. */
export function findToken(
  request: FastifyRequest,
  places: TokenPlaces = {}
): { token: string; from: 'query' | 'header' | 'cookie' } | null {
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
  /** Which of Salt's texts says that there is no good token. */
  readonly refusal?: 'NO_TOKEN' | 'NO_CREDENTIALS'
}

/**
 * Every request of this scope needs a good token; `request.caller` says whose it is. Throws `refusal` (401) otherwise, before the body is read.
 */
export function requireToken(app: FastifyInstance, options: GuardOptions = {}): void {
  const { auth, config } = app.services
  const origins = new Set(config.cors_origin)
  const { refusal = 'NO_TOKEN' } = options
  app.addHook('onRequest', (request, reply, done) => {
    const found = findToken(request, options)
    if (found === null) return done(brineError(refusal))
    if (found.from === 'cookie' && isCrossSite(request, origins)) return done(brineError('CROSS_SITE'))
    const accept = (caller: Caller) => {
      if (caller.kind === 'minion' || (caller.scope !== 'full' && !options.tickets)) return done(brineError(refusal))
      request.caller = caller
      // What is answered to one caller is not for the next one's cache.
      reply.header('cache-control', 'private')
      done()
    }
    verify(auth, found.token, accept, error => done(isBrineError(error, 'NO_TOKEN') ? brineError(refusal) : error))
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
 * page does not, and changes nothing); golden/api section 15, 12.
 */
function isCrossSite(request: FastifyRequest, allowed: ReadonlySet<string>): boolean {
  if (request.method === 'GET' || request.method === 'HEAD') return false
  const { origin, host } = request.headers
  if (origin === undefined || allowed.has(origin)) return request.headers['sec-fetch-site'] === 'cross-site'
  return URL.canParse(origin) ? new URL(origin).host !== host : true
}
