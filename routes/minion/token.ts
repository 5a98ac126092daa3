import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { refusals } from '../../src/plugins/errors.js'
import { Identity } from './enroll.js'

const Body = Type.Object(
  {
    ...Identity,
    nonce: Type.String({ maxLength: 256 }),
    signature: Type.String({ maxLength: 4096, description: 'Base64; RSASSA-PKCS1-v1_5 with SHA-256' }),
    renewal: Type.Boolean({ description: 'The minion is connected and only needs a newer token' })
  },
  { additionalProperties: false }
)

/** POST /minion/token: the signed challenge buys a token for the routes of the link. */
export const token: FastifyPluginAsyncTypebox = async app => {
  const { link } = app.services
  const schema = {
    tags: ['link'],
    summary: 'A minion proves its key and gets a token',
    body: Body,
    response: { 200: Type.Object({ token: Type.String(), expires_seconds: Type.Number() }), ...refusals(400, 401, 403, 429, 503) }
  }
  app.post('/minion/token', { schema }, async (request, reply) => {
    reply.header('cache-control', 'no-store')
    return link.token(request.body)
  })
}
