import type { FastifyInstance, InjectOptions, LightMyRequestResponse, RouteOptions } from 'fastify'
import { routes } from '../../routes/index.js'
import { buildHttp } from '../../src/plugins/http.js'
import type { Services } from '../../src/services.js'

/** One method of one path, as the router has it. */
export interface Door {
  readonly method: string
  readonly url: string
  /** `GET /jobs/:jid` */
  readonly name: string
  readonly schema: { readonly body?: unknown; readonly querystring?: unknown } | undefined
}

/** The HTTP server over these services, and every route of its router: whoever adds one finds it here. */
export async function doorsOf(services: Services): Promise<{ http: FastifyInstance; doors: Door[] }> {
  const doors: Door[] = []
  const onRoute = ({ method, url, schema }: RouteOptions) => {
    for (const each of [method].flat()) doors.push({ method: each, url, name: `${each} ${url}`, schema: schema as Door['schema'] })
  }
  return { http: await buildHttp(services, { routes, onRoute }), doors }
}

/** A request through a door; what its schema demands in query and body is made up, so that the request gets as far as it can. */
export function through(
  http: FastifyInstance,
  door: Door,
  fill: (name: string) => string,
  more: InjectOptions = {}
): Promise<LightMyRequestResponse> {
  const path = door.url.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(fill(name))).replace('*', () => fill('*'))
  const query = sampleOf(door.schema?.querystring) as Record<string, string> | undefined
  const body = bodyOf(door.schema?.body)
  const hasBody = body !== undefined && !['GET', 'HEAD', 'OPTIONS'].includes(door.method)
  return http.inject({
    method: door.method as 'GET',
    url: path,
    ...(query === undefined ? {} : { query }),
    ...(hasBody ? { payload: JSON.stringify(body) } : {}),
    ...more,
    // As fetch and curl ask: refusals come as JSON.
    headers: { accept: '*/*', ...(hasBody ? { 'content-type': 'application/json' } : {}), ...more.headers }
  })
}

/** Routes with several media types have a schema for each. */
function bodyOf(schema: unknown): unknown {
  const content = (schema as { content?: Record<string, { schema: unknown }> } | undefined)?.content
  return sampleOf(content === undefined ? schema : (content['application/json'] ?? Object.values(content)[0])?.schema)
}

interface Schema {
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly minItems?: number
  readonly minimum?: number
  readonly minProperties?: number
  readonly examples?: readonly unknown[]
}

/** The least value that a JSON schema accepts; undefined without one. */
function sampleOf(schema: unknown): unknown {
  if (schema === undefined || schema === null) return undefined
  const { type, anyOf, properties = {}, required = [], items, ...rest } = schema as Schema
  if (rest.const !== undefined) return rest.const
  if (rest.enum !== undefined) return rest.enum[0]
  if (anyOf !== undefined) return sampleOf(anyOf[0])
  if (type === 'object') {
    const names = required.length === 0 && (rest.minProperties ?? 0) > 0 ? Object.keys(properties).slice(0, 1) : required
    return Object.fromEntries(names.map(name => [name, sampleOf(properties[name])]))
  }
  if (type === 'array') return items === undefined ? [] : [sampleOf(items)]
  if (type === 'integer' || type === 'number') return rest.minimum ?? 1
  if (type === 'boolean') return true
  if (type === 'string') return rest.examples?.[0] ?? '/x'
  return {}
}
