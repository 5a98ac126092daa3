import Fastify, {
  type FastifyInstance,
  type FastifyPluginAsync,
  type FastifyReply,
  type FastifyRequest,
  LogController,
  type RouteOptions
} from 'fastify'
import { saltJson } from '../events/json.js'
import type { Services } from '../services.js'
import bodies from './bodies.js'
import connections from './connections.js'
import docs from './docs.js'
import errors, { answerError, clientError } from './errors.js'
import logging, { requestId, requestLog } from './logging.js'
import metrics from './metrics.js'
import rootPrefix, { belowPrefix } from './root-prefix.js'
import security from './security.js'
import settingPaths from './setting-paths.js'
import { streamUrl } from './stream-url.js'
import webStats from './web-stats.js'

export interface HttpOptions {
  /** `routes/index.ts`; passed in because only `app.ts` knows the routes. */
  readonly routes: FastifyPluginAsync
  /** Told of every route as the router gets it: for tests of all of them. */
  readonly onRoute?: (route: RouteOptions) => void
}

/** A client that is slower than this with its request's head is cut: it holds a connection for nothing. */
const HEAD_MS = 30_000

/** So long may a whole request take to arrive. Bulk firing streams for longer, so it is generous; bodies are bounded in size besides. */
const REQUEST_MS = 3_600_000

/** An idle connection is kept for the next request; longer than proxies in front keep theirs, so that it is they who close. */
const KEEP_ALIVE_MS = 75_000

/**
 * The HTTP server over the services, ready to `listen`. Closing it ends open streams first (with a last frame), then waits for requests
 * under way.
 */
export async function buildHttp(services: Services, options: HttpOptions): Promise<FastifyInstance> {
  const { config, hub, auth } = services
  const withoutPrefix = belowPrefix(config['rest_cherrypy.root_prefix'])
  const app = Fastify({
    loggerInstance: services.log,
    // Fastify's own lines have the URL with its query, where a token may be; `logging` writes ours.
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: requestLog,
    genReqId: requestId,
    bodyLimit: config.max_request_body_size,
    trustProxy: config.trusted_proxies.length > 0 ? [...config.trusted_proxies] : false,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    http: { headersTimeout: HEAD_MS },
    return503OnClosing: true,
    rewriteUrl: request => streamUrl(withoutPrefix(request)),
    clientErrorHandler: clientError,
    // A URL that cannot be decoded has no route whose error handler could answer.
    frameworkErrors: (error, request, reply) => {
      answerError(error, request as FastifyRequest, reply as unknown as FastifyReply)
    },
    // Salt's paths: a slash more makes no difference (golden/api section 2).
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, maxParamLength: 1024 },
    // Names that a schema does not know are refused, not dropped in silence.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: 'array', useDefaults: true, allErrors: false } }
  })
  // Answers are printed as Salt prints JSON; schemas of answers are for the reader and need no code of their own.
  app.setSerializerCompiler(() => saltJson)
  if (options.onRoute) app.addHook('onRoute', options.onRoute)
  app.decorate('services', services)
  app.decorateRequest('caller')
  for (const plugin of [connections, settingPaths, logging, errors, security, rootPrefix, webStats, bodies, metrics, docs])
    await app.register(plugin)
  await app.register(options.routes)
  const unlisten = auth.onRevoked(jti => hub.revoked(jti))
  app.addHook('onClose', async () => unlisten())
  // By `onClose` it would be too late: closing waits for the streams.
  app.addHook('preClose', async () => hub.stop())
  await app.ready()
  return app as unknown as FastifyInstance
}
