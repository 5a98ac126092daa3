import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

/**
 * What tells browsers to be careful, as helmet would (which costs a tenth of a hook's time, header by header). What is answered is data: it is
 * not to be guessed at, framed, run or loaded by other sites. Pages (docs) set a policy of their own. No HSTS: TLS ends at a proxy, which knows
 * whether the whole host has it.
 */
const HEADERS = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY'
}

/** What pages of listed origins may send; the first ones are salt-api's. Browsers ask again after `max-age` (salt-api's 1400 s). */
const PREFLIGHT = {
  'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
  'access-control-allow-headers': 'Content-Type, X-Auth-Token, X-Requested-With, Last-Event-ID, Idempotency-Key, If-Match',
  'access-control-max-age': '1400'
}

/**
 * For a method that the path does not have nothing is promised; GET and POST salt-api promises everywhere (golden/api section 6). Call it in whatever
 * answers OPTIONS.
 */
export function promiseNoMore(request: FastifyRequest, reply: FastifyReply, methods: ReadonlySet<string>): void {
  const wished = request.headers['access-control-request-method'] ?? 'GET'
  if (wished === 'GET' || wished === 'POST' || methods.has(wished)) return
  for (const name of Object.keys(PREFLIGHT)) reply.removeHeader(name)
}

/** Cookies, careful headers, and which other sites' pages may call the API. */
export default fp(
  async app => {
    await app.register(cookie)
    const origins = new Set(app.services.config.cors_origin.filter(origin => origin !== '*'))
    const isListed = (origin: string | undefined) => origin !== undefined && origins.has(origin)
    app.addHook('onRequest', (request, reply, done) => {
      reply.headers(HEADERS)
      if (request.method === 'OPTIONS') {
        reply.header('content-type', 'text/html')
        const asks = request.headers['access-control-request-method'] !== undefined
        if (asks && isListed(request.headers.origin)) reply.headers(PREFLIGHT)
      }
      done()
    })
    if (origins.size === 0) return
    await app.register(cors, {
      // Only those listed are echoed, and never `*`, because credentials are allowed (golden/api section 15, 12). Others are told nothing.
      origin: async (origin: string | undefined) => (isListed(origin) ? origin! : false),
      credentials: true,
      exposedHeaders: ['GET', 'POST', 'X-Event-Id', 'X-Request-Id', 'Retry-After', 'ETag'],
      // Every path answers OPTIONS itself, with what it can do.
      preflight: false
    })
  },
  { name: 'security' }
)
