import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { refusals } from '../../src/plugins/errors.js'

export const Identity = {
  protocol: Type.Integer({ description: 'Version of the link that the minion speaks' }),
  id: Type.String({ description: "The minion's id" }),
  pub: Type.String({ description: 'Its RSA public key: PEM, SubjectPublicKeyInfo' }),
  autosign_grains: Type.Optional(
    Type.Record(Type.String({ maxLength: 100 }), Type.Unknown(), {
      maxProperties: 100,
      description: 'Facts by which a new minion may be let in (autosign_grains_dir)'
    })
  ),
  enrolment_token: Type.Optional(Type.String({ maxLength: 200, description: 'A one-time token that lets a new minion in' }))
}

const Answer = Type.Object({
  state: Type.Union([Type.Literal('accepted'), Type.Literal('pending'), Type.Literal('rejected'), Type.Literal('denied')]),
  nonce: Type.Optional(Type.String({ description: 'accepted: to be signed for POST /minion/token' })),
  expires_seconds: Type.Optional(Type.Number())
})

/** POST /minion/enroll: a minion says who it is, and learns the state of its key. */
export const enroll: FastifyPluginAsyncTypebox = async app => {
  const { link } = app.services
  const schema = {
    tags: ['link'],
    summary: 'A minion says who it is',
    body: Type.Object(Identity, { additionalProperties: false }),
    response: { 200: Answer, ...refusals(400, 429, 503) }
  }
  app.post('/minion/enroll', { schema }, async request => link.enroll(request.body))
}
