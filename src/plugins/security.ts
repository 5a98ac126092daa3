import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import fp from 'fastify-plugin'

/** Cookies, the headers that tell browsers to be careful, and which other sites' pages may call the API. */
export default fp(
  async app => {
    await app.register(cookie)
    await app.register(helmet, {
      // What is answered is data; pages (docs, console) bring a policy of their own.
      contentSecurityPolicy: { useDefaults: false, directives: { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"] } },
      // TLS ends at a proxy, which knows whether the whole host has it.
      strictTransportSecurity: false
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
