import { isUtf8 } from 'node:buffer'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { brineError } from '../src/errors.js'
import type { EventData } from '../src/events/event.js'
import { type BodyKind, parseBody, refuseUnlessEmpty, useBodyParser } from '../src/plugins/bodies.js'
import { refusals } from '../src/plugins/errors.js'
import { netapiHook } from '../src/tags/tags.js'
import { checkFire, checkRoom, idempotencyKey } from './ingest.js'
import { TOKEN, uncheckedHere } from './schemas.js'

const Fired = Type.Object({
  success: Type.Literal(true),
  id: Type.Optional(
    Type.String({ description: "The event's id, when the request had an Idempotency-Key: of the first time, if it was repeated." })
  )
})

const Path = Type.Object({ path: Type.String({ description: 'What the tag ends with; slashes and all.' }) })

/** A body as it came, and what its type says that it means. */
interface HookBody {
  readonly bytes: Buffer
  /** Undefined for no body, and for bytes that are no text. */
  readonly value: unknown
  readonly binary: boolean
}

const NO_BODY: HookBody = { bytes: Buffer.alloc(0), value: undefined, binary: false }

/** Never in an event, whatever the setting hook_headers says: credentials, and signatures, which let a stored body be replayed elsewhere. */
const CREDENTIALS = /authorization|cookie|token|secret|password|signature|api-?key|credential|session/i

/**
 * POST /hook/<path>: whoever sends here fires `salt/netapi/hook/<path>` with `{body, post, headers}`: the body as text, the body as parsed, and
 * the headers that the setting hook_headers lists. Answered once the event is on disk.
 */
export const hook: FastifyPluginAsync = async app => {
  const { events, config } = app.services
  const base = config['rest_cherrypy.webhook_url']
  app.removeAllContentTypeParsers()
  useBodyParser(app, readBody)
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, bytes, done) =>
    done(null, { bytes, value: undefined, binary: true })
  )
  app.addContentTypeParser('*', refuseUnlessEmpty)

  const shownAs = headerNames(config.hook_headers)
  const schema = {
    tags: ['events'],
    summary: 'Fire an event from a webhook',
    description:
      'The tag is `salt/netapi/hook/` and the path. Data: `body` (text; base64 when it is no text, then `body_encoding` says so), `post` (what the ' +
      'content type makes of it), `headers`. An `Idempotency-Key` makes a repeat answer with the first event instead of firing again. ' +
      'Bodies: JSON, YAML, form, text/plain, application/octet-stream. Whole numbers beyond 2^53 are texts in `post`; `body` has them as they came.',
    body: {
      content: {
        'application/json': { schema: Type.Unknown() },
        'application/x-yaml': { schema: Type.Unknown() },
        'application/x-www-form-urlencoded': { schema: Type.Record(Type.String(), Type.Unknown()) },
        'text/plain': { schema: Type.String() },
        'application/octet-stream': { schema: Type.String({ format: 'binary' }) }
      }
    },
    security: TOKEN,
    response: { 200: Fired, ...refusals(400, 401, 403, 406, 413, 503) }
  }

  const fire = async (request: FastifyRequest, reply: FastifyReply) => {
    const tag = netapiHook(hookPath((request.params as { '*'?: string })['*'] ?? ''))
    checkFire(request.caller, tag)
    checkRoom(app.services)
    const data = hookData((request.body as HookBody | undefined) ?? NO_BODY, headersOf(request, shownAs))
    const key = idempotencyKey(request, [tag])
    const { id, duplicate } = await events.fire(tag, data, { source: request.caller.source }, key)
    reply.header('x-event-id', id)
    if (duplicate) reply.header('idempotent-replayed', 'true')
    return key.idempotencyKey === undefined ? { success: true } : { success: true, id }
  }
  // Any body will do: the schema is for the reader.
  app.post(base, { schema, validatorCompiler: uncheckedHere }, fire)
  app.post(`${base}/*`, { schema: { ...schema, params: Path }, validatorCompiler: uncheckedHere }, fire)
}

function readBody(kind: BodyKind, bytes: Buffer): HookBody {
  if (!isUtf8(bytes)) return { bytes, value: undefined, binary: true }
  return { bytes, value: parseBody(kind, bytes, { commandLine: false }), binary: false }
}

/** Empty segments vanish, as in Salt; dot segments are refused (golden/api, hook-dotdot): a tag is a name, not a way through a tree. */
function hookPath(path: string): string {
  const segments = path.split('/').filter(segment => segment !== '')
  if (segments.some(segment => segment === '..' || segment === '.'))
    throw brineError('FIELD_INVALID', 'path', "must not have '.' or '..' segments")
  return segments.join('/')
}

/** In the order in which Salt has them. What Python takes for false is an empty mapping in `post` there. */
function hookData({ bytes, value, binary }: HookBody, headers: Record<string, string>): EventData {
  if (binary) return { body: bytes.toString('base64'), body_encoding: 'base64', post: {}, headers }
  const empty = !value || (Array.isArray(value) && value.length === 0)
  return { body: bytes.toString('utf8'), post: empty ? {} : value, headers }
}

/** How a header is called in an event, in Salt's form (`X-Github-Event`); undefined for one that is not kept. `*` in the setting keeps all but credentials. */
function headerNames(listed: readonly string[]): (name: string) => string | undefined {
  const kept = new Map(listed.filter(name => !CREDENTIALS.test(name)).map(name => [name.toLowerCase(), titleCase(name)]))
  if (!listed.includes('*')) return name => kept.get(name)
  return name => (CREDENTIALS.test(name) ? undefined : titleCase(name))
}

/** In the order in which they came, after the address that they came from. */
function headersOf(request: FastifyRequest, shownAs: (name: string) => string | undefined): Record<string, string> {
  const address = shownAs('remote-addr')
  const headers: Record<string, string> = address === undefined ? {} : { [address]: request.ip }
  const raw = request.raw.rawHeaders
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase()
    const shown = name === 'remote-addr' ? undefined : shownAs(name)
    if (shown !== undefined) headers[shown] = String(request.headers[name])
  }
  return headers
}

function titleCase(name: string): string {
  return name
    .split('-')
    .map(word => word.slice(0, 1).toUpperCase() + word.slice(1).toLowerCase())
    .join('-')
}
