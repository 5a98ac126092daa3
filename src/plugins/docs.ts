import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import { packageRoot } from '../shared/paths.js'

/** Collects the schemas of all routes into OpenAPI and shows them at /docs. Must come before the routes. */
export default fp(
  async app => {
    const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string }
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'brine',
          version,
          description:
            "Salt's API on a durable event log. Every refusal is an `Error`. Tokens come from POST /login and travel as `X-Auth-Token`, " +
            '`Authorization: Bearer`, the cookie `session_id`, or, on event streams only, as `?token=`.'
        },
        components: {
          securitySchemes: {
            token: { type: 'apiKey', in: 'header', name: 'X-Auth-Token' },
            bearer: { type: 'http', scheme: 'bearer' },
            cookie: { type: 'apiKey', in: 'cookie', name: 'session_id' },
            minion: { type: 'http', scheme: 'bearer', description: "A minion's own short token." }
          }
        }
      },
      transform: ({ schema, url }) => ({ schema, url: url.replace(/\*$/, ':path') }),
      // Schemas keep the names that they were given.
      refResolver: { buildLocalReference: (json, _base, _fragment, i) => (json.$id as string | undefined) ?? `def-${i}` }
    })
    // It has a policy of its own: the page's scripts come from here and from nowhere else.
    await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true, uiConfig: { docExpansion: 'list' } })
  },
  { name: 'docs', dependencies: ['security'] }
)
