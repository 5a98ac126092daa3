import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { refusals } from '../src/plugins/errors.js'
import { None, TOKEN } from './schemas.js'

/**
 * GET /stats: how the HTTP server is doing, in the form of salt-api's (golden/api/stats.json), whose names clients know. Counters are off unless
 * `collect_stats` is set; /metrics has figures in any case.
 */
export const stats: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['health'],
    summary: 'Statistics of the HTTP server',
    querystring: None,
    security: TOKEN,
    response: { 200: Type.Record(Type.String(), Type.Unknown()), ...refusals(401, 404, 406) }
  }
  app.get('/stats', { schema }, () => app.webStats.report())
}
