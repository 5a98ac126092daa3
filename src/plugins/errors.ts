import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import { type TSchema, Type } from 'typebox'
import { BrineError, brineError, type ErrorCode } from '../errors.js'
import { saltJson } from '../events/json.js'
import { errorPage, wantsPage } from './error-page.js'
import { promiseNoMore } from './security.js'

/** Every refusal has this body; on salt-api's paths a page says the same to who does not ask for JSON (`error-page.ts`). */
const ErrorAnswer = Type.Object(
  {
    status: Type.Integer({ description: 'The HTTP status, again.' }),
    code: Type.String({ description: 'Stable; for programs.' }),
    error: Type.String({ description: 'For people.' }),
    hint: Type.Optional(Type.String({ description: 'What to do about it.' })),
    line: Type.Optional(Type.Integer({ description: 'In a stream of lines: the line at fault.' })),
    request_id: Type.String({ description: 'The server log has more under this id.' })
  },
  { $id: 'Error', description: 'Every refusal.' }
)

/** Seconds after which a refused request may be repeated, where the error does not say. */
const RETRY_AFTER: Partial<Record<ErrorCode, number>> = {
  STORE_BUSY: 1,
  REACTOR_BUSY: 2,
  STORE_FULL: 5,
  STORE_FAILED: 5,
  SHUTTING_DOWN: 5,
  STREAMS_FULL: 10
}

/** The refusals that a route may give, for its schema. */
export function refusals(...statuses: number[]): Record<number, TSchema> {
  return Object.fromEntries(statuses.map(status => [status, Type.Ref('Error')]))
}

/** The answer's body for an error. */
export function errorBody({ status, code, message, hint, line }: BrineError, requestId: string, more: object = {}): string {
  return saltJson({ status, code, error: message, hint, line, ...more, request_id: requestId })
}

/** Fastify's own errors, in our words; anything unknown is INTERNAL, and only the log hears what it was. */
function asBrineError(error: unknown, request: FastifyRequest): BrineError {
  if (error instanceof BrineError) return error
  const { code = '', statusCode = 500, validation } = error as Partial<FastifyError>
  if (validation) return invalid(error as FastifyError)
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return brineError('BODY_TOO_LARGE', request.routeOptions.bodyLimit)
  if (code.startsWith('FST_ERR_CTP_INVALID_MEDIA')) return brineError('MEDIA_TYPE', (request.headers['content-type'] ?? '').slice(0, 100))
  if (code === 'FST_ERR_CTP_INVALID_CONTENT_LENGTH')
    return brineError('BODY_MALFORMED', 'request', 'its size is not what Content-Length says')
  // A client that went away in the middle of its body: nothing failed here, and nobody hears the answer.
  if (code === 'ECONNRESET') return brineError('BODY_MALFORMED', 'request', 'it ended too early')
  if (code === 'FST_ERR_BAD_URL') return brineError('FIELD_INVALID', 'path', 'is not a valid URL path')
  // A path with dot segments, where files are.
  if (statusCode === 403) return brineError('FORBIDDEN')
  if (statusCode === 429) return brineError('RATE_LIMITED', Math.ceil(((error as { ttl?: number }).ttl ?? 60_000) / 1000))
  if (code.startsWith('FST_JWT') || code.startsWith('FAST_JWT')) return brineError('NO_TOKEN')
  return brineError('INTERNAL')
}

/** An undeclared query parameter is answered as salt-api does, 404 (golden/api section 2); all else names the field. */
function invalid(error: FastifyError): BrineError {
  const [first] = error.validation!
  const { keyword, instancePath, params, message } = first!
  const field = instancePath.slice(1).replaceAll('/', '.')
  if (keyword === 'required') return brineError('FIELD_MISSING', [field, params.missingProperty].filter(Boolean).join('.'))
  if (keyword === 'additionalProperties') {
    const name = String(params.additionalProperty).slice(0, 100)
    if (error.validationContext === 'querystring') return brineError('NOT_FOUND', `query parameter ${name}`)
    return brineError('FIELD_INVALID', [field, name].filter(Boolean).join('.'), 'is not known here')
  }
  return brineError('FIELD_INVALID', field || (error.validationContext ?? 'body'), message ?? 'is not valid')
}

/** Answers with an error, whatever it is: one shape, no stack. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = asBrineError(error, request)
  if (known.status >= 500 && known.code === 'INTERNAL') request.log.error({ err: error }, 'a request failed')
  const after = known.retryAfter ?? RETRY_AFTER[known.code]
  if (after !== undefined) reply.header('retry-after', String(after))
  const page = isSaltPath(request) && wantsPage(request)
  reply.code(known.status).header('x-request-id', request.id).serializer(passOn)
  // Behind a token the answer is private already, as salt-api says it.
  if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
  if (page) reply.header('content-security-policy', PAGE_POLICY)
  return reply
    .header('content-type', page ? 'text/html;charset=utf-8' : 'application/json')
    .send(page ? errorPage(known, request) : errorBody(known, request.id))
}

/** The page's own style sheet, and nothing else. */
const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

declare module 'fastify' {
  interface FastifyRequest {
    /** The request is one of salt-api's on a path that also has others. */
    saltApi: boolean
  }
  interface FastifyContextConfig {
    /** The path is salt-api's: refusals may be pages, `Allow` is told with every answer. */
    saltApi?: boolean
  }
}

/** Paths that nobody knows count as salt-api's. */
function isSaltPath(request: FastifyRequest): boolean {
  return request.is404 || request.saltApi || request.routeOptions.config.saltApi === true
}

/** Marks the paths of this scope as salt-api's, and tells in `Allow`, with every answer, what they can do. `known`: filled by the time of the first request. */
export function speakSalt(app: FastifyInstance, known: PathMethods): void {
  app.addHook('onRoute', route => {
    route.config = { ...route.config, saltApi: true }
  })
  app.addHook('onRequest', (request, reply, done) => {
    const allow = allowed(known, request.routeOptions.url ?? '')
    if (allow !== '') reply.header('allow', allow)
    done()
  })
}

const allowTexts = new WeakMap<PathMethods, Map<string, string>>()

/** `GET, HEAD, POST`: made once per path, because every answer carries it. */
function allowed(known: PathMethods, url: string): string {
  const texts = allowTexts.get(known) ?? new Map<string, string>()
  allowTexts.set(known, texts)
  let text = texts.get(url)
  if (text === undefined) {
    // salt-api says for /jobs/<jid> what it says for /jobs: it is one resource to it.
    const resource = url.replace(/\/[:*].*$/, '')
    const methods = known.get(known.has(resource) ? resource : url)
    text = METHODS.filter(method => methods?.has(method)).join(', ')
    texts.set(url, text)
  }
  return text
}

/** The body is text already. */
const passOn = (body: unknown) => body as string

/** What salt-api's web server says of HTTP that it cannot read (golden/api/errors.json). */
const MALFORMED: Readonly<Record<string, string>> = {
  HPE_INVALID_CONTENT_LENGTH: 'Malformed Content-Length Header.',
  HPE_INVALID_METHOD:
    'Malformed method name: According to RFC 2616 (section 5.1.1) and its successors RFC 7230 (section 3.1.1) and RFC 7231 (section 4.1) ' +
    'method names are case-sensitive and uppercase.'
}

/** HTTP that does not parse has no request and no route: answered on the socket, in plain text as salt-api does. */
export function clientError(error: Error & { code?: string }, socket: import('node:net').Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
  const body = MALFORMED[error.code ?? ''] ?? STATUS_CODES[status]!
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`
  )
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

/** Which methods the paths of a scope have. */
export type PathMethods = Map<string, Set<string>>

/** Notes the methods of every path that is registered in this scope from now on. */
export function notePaths(app: FastifyInstance, paths: PathMethods): void {
  app.addHook('onRoute', ({ url, method }) => {
    const methods = paths.get(url) ?? new Set()
    for (const each of Array.isArray(method) ? method : [method]) methods.add(each)
    paths.set(url, methods)
  })
}

/**
 * Adds 405 with `Allow` for the methods that these paths do not have (`known` lists all scopes' methods of a path, and those that are added
 * here; `allowed` the ones that do something). Register it in a scope with the paths' own guard: who may not know of a path is refused by that
 * first (golden/api section 2).
 */
export function refuseOtherMethods(app: FastifyInstance, paths: PathMethods, known: PathMethods, allowed: PathMethods): void {
  for (const url of paths.keys()) {
    const methods = known.get(url)!
    const allow = METHODS.filter(method => methods.has(method)).join(', ')
    const others = METHODS.filter(method => !methods.has(method))
    if (others.length === 0) continue
    app.route({
      method: others,
      url,
      exposeHeadRoute: false,
      schema: { hide: true } as FastifySchema,
      handler: (request, reply) => {
        if (!reply.hasHeader('allow')) reply.header('allow', allow)
        // salt-api's resource has the method and does not take what follows its name: POST /minions/m1.
        const resource = url.replace(/\/:.*$/, '')
        const isSurplus = isSaltPath(request) && resource !== url && allowed.get(resource)?.has(request.method)
        throw isSurplus ? brineError('NOT_FOUND', `path segment after ${resource}`) : brineError('METHOD_NOT_ALLOWED', request.method)
      }
    })
  }
}

/**
 * What is too much in the path of one of salt-api's is 404 behind the guard of the method there, where a path that does not exist needs none
 * (golden/api section 2). `allowed` learns of these paths; `taken` knows which of their methods other scopes have dealt with.
 */
export function refuseSurplusSegments(app: FastifyInstance, paths: PathMethods, allowed: PathMethods, taken: PathMethods): void {
  for (const [url, own] of paths) {
    const surplus = `${url}/*`
    const hasParameter = [...allowed.keys()].some(each => each.startsWith(`${url}/:`))
    const before = taken.get(surplus)
    if (url === '/' || url.endsWith('*') || hasParameter || (allowed.has(surplus) && before === undefined)) continue
    const all = allowed.get(url) ?? new Set()
    const method = METHODS.filter(each => !before?.has(each) && (own.has(each) || !all.has(each)))
    allowed.set(surplus, all)
    taken.set(surplus, new Set([...(before ?? []), ...method]))
    if (method.length === 0) continue
    app.route({
      method,
      url: surplus,
      exposeHeadRoute: false,
      schema: { hide: true } as FastifySchema,
      handler: () => {
        throw brineError('NOT_FOUND', `path segment after ${url}`)
      }
    })
  }
}

/**
 * What a path does not take is told before anybody is asked for a token: on paths where salt-api itself asks for one only when it runs what was
 * asked (golden/api section 2, /keys). Register it before the guard.
 */
export function refuseSurplusFirst(app: FastifyInstance): void {
  app.addHook('onRequest', (request, _reply, done) => {
    const { url = '', schema } = request.routeOptions
    if (url.endsWith('/*')) return done(brineError('NOT_FOUND', `path segment after ${url.slice(0, -2)}`))
    const { properties } = (schema?.querystring ?? {}) as { properties?: object }
    const surplus = properties && Object.keys(request.query as object).find(name => !Object.hasOwn(properties, name))
    done(surplus === undefined ? undefined : brineError('NOT_FOUND', `query parameter ${surplus.slice(0, 100)}`))
  })
}

/** Answers OPTIONS with what a path can do. No guard: a browser's preflight has no token. */
export function answerOptions(app: FastifyInstance, known: PathMethods): void {
  for (const [url, methods] of [...known]) {
    if (methods.has('OPTIONS')) continue
    const allow = METHODS.filter(method => methods.has(method)).join(', ')
    app.options(url, { schema: { hide: true } as FastifySchema }, (request, reply) => {
      promiseNoMore(request, reply, methods)
      return reply.header('allow', allow).send()
    })
  }
}

/**
 * Ajv reads the text `Infinity` as a number and then skips the limits of its schema, which are for finite numbers alone. So routes whose input
 * is coerced look again. Throws FIELD_INVALID with the field's name.
 */
function refuseEndless(request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void {
  const endless = [request.query, request.body].flatMap(part => Object.entries(part ?? {})).find(([, value]) => isEndless(value))
  done(endless && brineError('FIELD_INVALID', endless[0], 'must be a finite number'))
}

const isEndless = (value: unknown) => value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY

export default fp(
  async app => {
    app.addSchema(ErrorAnswer)
    app.decorateRequest('saltApi', false)
    app.addHook('onRoute', route => {
      // What no validator has touched was not coerced.
      if ((!route.schema?.querystring && !route.schema?.body) || route.validatorCompiler) return
      route.preHandler = [refuseEndless, ...[route.preHandler ?? []].flat()]
    })
    app.setErrorHandler(answerError)
    app.setNotFoundHandler((request, reply) => {
      // salt-api answers a preflight of a path that does not exist like all others.
      if (request.method === 'OPTIONS') {
        promiseNoMore(request, reply, new Set())
        return reply.send()
      }
      throw brineError('NOT_FOUND', request.url.split('?', 1)[0]!.slice(0, 200))
    })
  },
  { name: 'errors' }
)
