import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
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

/** Cookies, careful headers, and which other sites' pages may call the API. */
export default fp(
  async app => {
    await app.register(cookie)
    app.addHook('onRequest', (_request, reply, done) => {
      reply.headers(HEADERS)
      done()
    })
    const origins = app.services.config.cors_origin
    if (origins.length === 0) return
    await app.register(cors, {
      // Only those listed are echoed, and never `*`, because credentials are allowed (golden/api section 15, 12).
      origin: origins.filter(origin => origin !== '*'),
      credentials: true,
      methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
      allowedHeaders: ['Content-Type', 'X-Auth-Token', 'X-Requested-With', 'Last-Event-ID', 'Idempotency-Key', 'If-Match'],
      exposedHeaders: ['GET', 'POST', 'X-Event-Id', 'X-Request-Id', 'Retry-After', 'ETag'],
      maxAge: 1400,
      optionsSuccessStatus: 200,
      strictPreflight: false
    })
  },
  { name: 'security' }
)
