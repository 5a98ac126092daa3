import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'

const Health = Type.Object({ status: Type.Literal('ok') })
const Ready = Type.Object({ status: Type.Union([Type.Literal('ready'), Type.Literal('not ready')]), reason: Type.Optional(Type.String()) })

/** GET /healthz: the process answers. GET /readyz: it can take events; 503 with the reason while the store refuses writes. */
export const health: FastifyPluginAsyncTypebox = async app => {
  const { store } = app.services
  app.get('/healthz', { schema: { tags: ['health'], summary: 'The process answers', response: { 200: Health } } }, () => ({
    status: 'ok' as const
  }))
  const schema = { tags: ['health'], summary: 'The server can take events', response: { 200: Ready, 503: Ready } }
  app.get('/readyz', { schema }, async (_request, reply) => {
    const { failing } = store.stats()
    if (failing === null) return reply.send({ status: 'ready' })
    return reply.code(503).header('retry-after', '5').send({ status: 'not ready', reason: failing })
  })
}
