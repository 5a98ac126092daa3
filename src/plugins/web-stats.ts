import type { AddressInfo } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { loggedPath } from './logging.js'

declare module 'fastify' {
  interface FastifyInstance {
    readonly webStats: WebStats
  }
}

/** Requests that the report lists: those under way, and the last ones. Enough for a look; more would only grow. */
const MAX_LISTED = 100

interface Listed {
  readonly client: string
  readonly line: string
  readonly start: number
  bytesRead: number
  bytesWritten: number
  status: string | null
  end: number | null
}

/** What GET /stats tells, under the names that salt-api's web server has for it (golden/api/stats.json). */
class WebStats {
  readonly #app: FastifyInstance
  readonly #enabled: boolean
  readonly #started = Date.now() / 1000
  readonly #listed = new Map<string, Listed>()
  #current = 0
  #accepts = 0
  #socketErrors = 0
  readonly #total = { requests: 0, read: 0, written: 0, seconds: 0 }

  constructor(app: FastifyInstance, enabled: boolean) {
    this.#app = app
    this.#enabled = enabled
  }

  accepted(): void {
    this.#accepts++
  }

  failed(): void {
    this.#socketErrors++
  }

  /** The request's path is listed without its query and without what could be a token (golden/api section 15, 5). */
  begin(request: FastifyRequest): void {
    this.#current++
    if (this.#listed.size >= MAX_LISTED) this.#listed.delete(this.#listed.keys().next().value!)
    const line = `${request.method} ${loggedPath(request.url)} HTTP/${request.raw.httpVersion}`
    const start = Date.now() / 1000
    this.#listed.set(request.id, { client: request.ip, line, start, bytesRead: 0, bytesWritten: 0, status: null, end: null })
  }

  end(request: FastifyRequest, status: number, written: number): void {
    const now = Date.now() / 1000
    const read = Number(request.headers['content-length'] ?? 0) || 0
    this.#current--
    this.#total.requests++
    this.#total.read += read
    this.#total.written += written
    const listed = this.#listed.get(request.id)
    if (listed === undefined) return
    this.#total.seconds += now - listed.start
    Object.assign(listed, { status: String(status), end: now, bytesRead: read, bytesWritten: written })
  }

  report(): Record<string, unknown> {
    return { 'CherryPy Applications': this.#application(), [`Cheroot HTTPServer ${process.pid}`]: this.#server() }
  }

  #application(): object {
    const now = Date.now() / 1000
    const { requests, read, written, seconds } = this.#total
    const uptime = now - this.#started
    const per = (amount: number, of: number) => (of > 0 ? amount / of : 0)
    return {
      Enabled: this.#enabled,
      'Bytes Read/Request': per(read, requests),
      'Bytes Read/Second': per(read, uptime),
      'Bytes Written/Request': per(written, requests),
      'Bytes Written/Second': per(written, uptime),
      'Current Time': now,
      'Current Requests': this.#current,
      'Requests/Second': per(requests, uptime),
      'Server Version': this.#app.version,
      'Start Time': this.#started,
      'Total Bytes Read': read,
      'Total Bytes Written': written,
      'Total Requests': requests,
      'Total Time': seconds,
      Uptime: uptime,
      Requests: Object.fromEntries([...this.#listed].map(([id, each]) => [id, shown(each, now)]))
    }
  }

  /** One thread does the work of salt-api's pool, so that there are no workers to list. */
  #server(): object {
    const { requests, read, written, seconds } = this.#total
    const address = this.#app.server.address() as AddressInfo | null
    const running = this.#enabled ? Date.now() / 1000 - this.#started : 0
    const per = (amount: number, of: number) => (of > 0 ? amount / of : 0)
    return {
      Enabled: this.#enabled,
      'Bind Address': address === null ? '' : `('${address.address}', ${address.port})`,
      'Run time': this.#enabled ? running : -1,
      Accepts: this.#accepts,
      'Accepts/sec': per(this.#accepts, running),
      Queue: 0,
      Threads: 1,
      'Threads Idle': this.#current > 0 ? 0 : 1,
      'Socket Errors': this.#socketErrors,
      Requests: this.#enabled ? requests : -1,
      'Bytes Read': this.#enabled ? read : -1,
      'Bytes Written': this.#enabled ? written : -1,
      'Work Time': this.#enabled ? seconds : -1,
      'Read Throughput': this.#enabled ? per(read, seconds) : -1,
      'Write Throughput': this.#enabled ? per(written, seconds) : -1,
      'Worker Threads': {}
    }
  }
}

function shown({ client, line, start, bytesRead, bytesWritten, status, end }: Listed, now: number): object {
  return {
    'Bytes Read': bytesRead,
    'Bytes Written': bytesWritten,
    Client: client,
    'Start Time': start,
    'End Time': end,
    'Processing Time': (end ?? now) - start,
    'Request-Line': line,
    'Response Status': status
  }
}

/** Counts requests when `collect_stats` is set; costs nothing otherwise. */
export default fp(
  async app => {
    const enabled = app.services.config['rest_cherrypy.collect_stats']
    const stats = new WebStats(app, enabled)
    app.decorate('webStats', stats)
    if (!enabled) return
    app.server.on('connection', () => stats.accepted())
    app.server.on('clientError', () => stats.failed())
    app.addHook('onRequest', (request, _reply, done) => {
      stats.begin(request)
      done()
    })
    app.addHook('onResponse', (request, reply, done) => {
      stats.end(request, reply.statusCode, Number(reply.getHeader('content-length') ?? 0) || 0)
      done()
    })
  },
  { name: 'web-stats' }
)
