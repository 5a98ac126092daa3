import type { IncomingMessage } from 'node:http'
import fp from 'fastify-plugin'

/** Where machines look, whatever the prefix of the API is. */
const UNPREFIXED = /^\/+(?:minion|healthz|readyz|metrics)(?:[/?]|$)/

/** Requests that are outside of the prefix, and those for the prefix itself without its slash. */
const outside = new WeakSet<IncomingMessage>()
const bare = new WeakSet<IncomingMessage>()

/** `root_prefix`: the API's paths are those below it. Gives the path without it. */
export function belowPrefix(prefix: string): (request: IncomingMessage) => string {
  if (prefix === '/') return request => request.url ?? '/'
  return request => {
    const url = (request.url ?? '/').replace(/^\/+/, '/')
    if (url.startsWith(`${prefix}/`)) return url.slice(prefix.length)
    if (url === prefix || url.startsWith(`${prefix}?`)) bare.add(request)
    else if (!UNPREFIXED.test(url)) outside.add(request)
    return request.url ?? '/'
  }
}

/** What is outside of the prefix is not there: 404 without a body. The prefix itself leads to its slash, as in salt-api (golden/api section 12). */
export default fp(
  async app => {
    const prefix = app.services.config['rest_cherrypy.root_prefix']
    if (prefix === '/') return
    app.addHook('onRequest', async (request, reply) => {
      if (bare.has(request.raw)) return reply.redirect(`${prefix}/`, 301)
      if (outside.has(request.raw)) return reply.code(404).removeHeader('content-type').send('')
    })
  },
  { name: 'root-prefix', dependencies: ['security'] }
)
