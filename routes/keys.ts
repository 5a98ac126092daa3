import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { refusals } from '../src/plugins/errors.js'
import { TOKEN } from './schemas.js'

const Answer = Type.Object({ return: Type.Record(Type.String(), Type.Unknown()) })
const None = Type.Object({}, { additionalProperties: false })

/** GET /keys: the minion keys by state; GET /keys/:mid: their fingerprints. Without Salt's outer list, as recorded. */
export const keys: FastifyPluginAsyncTypebox = async app => {
  const { commands } = app.services
  const list = {
    tags: ['keys'],
    summary: 'Minion keys by state',
    security: TOKEN,
    querystring: None,
    response: { 200: Answer, ...refusals(401, 404, 406) }
  }
  app.get('/keys', { schema: list }, async request => ({
    return: (await commands.query('wheel', 'key.list_all', {}, request.caller)) as Record<string, unknown>
  }))

  const finger = {
    ...list,
    summary: 'Fingerprints of minion keys',
    params: Type.Object({ mid: Type.String({ description: 'Id, glob, or several separated by commas' }) })
  }
  app.get('/keys/:mid', { schema: finger }, async request => ({
    return: (await commands.query('wheel', 'key.finger', { match: request.params.mid }, request.caller)) as Record<string, unknown>
  }))
}
