import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'

/** GET /metrics: figures for Prometheus. Open, as health is: there are no names, tags or tokens in it. */
export const metrics: FastifyPluginAsyncTypebox = async app => {
  const schema = { tags: ['health'], summary: 'Figures for Prometheus', produces: ['text/plain'], response: { 200: Type.String() } }
  app.get('/metrics', { schema }, async (_request, reply) => reply.type(app.metrics.contentType).send(await app.metrics.metrics()))
}
