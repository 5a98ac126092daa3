import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { brineError } from '../errors.js'

/** Settings that name a path of the API. */
const NAMES = ['rest_cherrypy.webhook_url', 'rest_cherrypy.app_path', 'rest_cherrypy.static_path'] as const

/**
 * A path that a setting names must not be asked for what another answers already. Must come before all routes. Throws CONFIG_INVALID, naming the
 * settings, where the router would only say that there are two.
 */
export default fp(
  async (app: FastifyInstance) => {
    const { config } = app.services
    const taken = new Set<string>()
    app.addHook('onRoute', ({ method, url }) => {
      const path = url.replace(/\/\*?$/, '')
      for (const each of [method].flat()) {
        const route = `${each} ${url.replace(/\/$/, '')}`
        const names = taken.has(route) ? NAMES.filter(name => config[name] === path) : []
        taken.add(route)
        if (names.length === 0) continue
        throw brineError('CONFIG_INVALID', 'a mistake', `  ${names.join(' and ')}: ${path} has something else already`)
      }
    })
  },
  { name: 'setting-paths' }
)
