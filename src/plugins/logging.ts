import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Bindings } from 'pino'

const START = randomBytes(3).toString('hex')
let count = 0

/** The request's id in answers and logs: the client's own (`X-Request-Id`) when it is short and plain, else one that is unique. */
export function requestId(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given) ? given : `${START}-${(++count).toString(36)}`
}

/**
 * A request's log. Most requests log nothing, and a child logger costs more than checking their token, so it is made when it is needed.
 */
class RequestLog implements FastifyBaseLogger {
  readonly #logger: FastifyBaseLogger
  readonly #bindings: Bindings
  #child: FastifyBaseLogger | null = null

  constructor(logger: FastifyBaseLogger, bindings: Bindings) {
    this.#logger = logger
    this.#bindings = bindings
  }

  get level(): string {
    return this.#logger.level
  }

  child(bindings: Bindings): FastifyBaseLogger {
    return new RequestLog(this.#logger, { ...this.#bindings, ...bindings })
  }

  fatal(...line: unknown[]): void {
    this.#log('fatal', line)
  }

  error(...line: unknown[]): void {
    this.#log('error', line)
  }

  warn(...line: unknown[]): void {
    this.#log('warn', line)
  }

  info(...line: unknown[]): void {
    this.#log('info', line)
  }

  debug(...line: unknown[]): void {
    this.#log('debug', line)
  }

  trace(...line: unknown[]): void {
    this.#log('trace', line)
  }

  silent(): void {}

  #log(level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace', line: unknown[]): void {
    this.#child ??= this.#logger.child(this.#bindings)
    Reflect.apply(this.#child[level], this.#child, line)
  }
}

export const requestLog = (logger: FastifyBaseLogger, bindings: Bindings) => new RequestLog(logger, bindings)

/** Longer than any jid, event id or name in a path; tokens (which some clients put there) are longer still. */
const MAX_SEGMENT = 36

/** A path for logs: without its query, which may hold a token, and without what could be one. */
export function loggedPath(url: string): string {
  const path = url.split('?', 1)[0]!.slice(0, 300)
  return path
    .split('/')
    .map(segment => (segment.length > MAX_SEGMENT ? `${segment.slice(0, 6)}…` : segment))
    .join('/')
}

/** One line per request at level debug; failures of ours are logged by the error handler. Answers carry the request's id. */
export default fp(
  async app => {
    app.addHook('onRequest', (request, reply, done) => {
      reply.header('x-request-id', request.id)
      done()
    })
    if (!app.services.log.isLevelEnabled('debug')) return
    app.addHook('onResponse', (request, reply, done) => {
      request.log.debug({ ...line(request), status: reply.statusCode, ms: Math.round(reply.elapsedTime * 10) / 10 }, 'request')
      done()
    })
  },
  { name: 'logging' }
)

function line(request: FastifyRequest): object {
  const caller = request.caller as FastifyRequest['caller'] | null
  return { method: request.method, route: request.routeOptions.url, path: loggedPath(request.url), user: caller?.user, address: request.ip }
}
