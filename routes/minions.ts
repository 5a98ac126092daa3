import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { brineError } from '../src/errors.js'
import { readLowstate } from '../src/jobs/chunk.js'
import { refusals } from '../src/plugins/errors.js'
import { callFrom } from './call-from.js'
import { Lowstate, Return, TOKEN, uncheckedHere } from './schemas.js'

const Links = Type.Object({ jobs: Type.Array(Type.Object({ href: Type.String() })) })
const Started = Type.Object({ return: Type.Array(Type.Unknown()), _links: Links })
const Query = Type.Object({ mid: Type.Optional(Type.String({ description: 'Glob of minion ids' })) }, { additionalProperties: false })

/** GET /minions[/:mid]: the grains of the minions, asked of them (grains.items). POST /minions: publish jobs and do not wait. */
export const minions: FastifyPluginAsyncTypebox = async app => {
  const { commands } = app.services
  const schema = {
    tags: ['minions'],
    summary: 'Grains of the minions',
    security: TOKEN,
    querystring: Query,
    response: { 200: Return, ...refusals(401, 404, 406, 503) }
  }
  app.get('/minions', { schema }, async (request, reply) => {
    const chunk = { client: 'local', tgt: request.query.mid ?? '*', fun: 'grains.items' }
    return { return: [await commands.run(chunk, request.caller, callFrom(request, reply))] }
  })

  const one = { ...schema, summary: 'Grains of a minion', params: Type.Object({ mid: Type.String({ description: 'Id or glob' }) }) }
  app.get('/minions/:mid', { schema: one }, async (request, reply) => {
    const chunk = { client: 'local', tgt: request.params.mid, fun: 'grains.items' }
    return { return: [await commands.run(chunk, request.caller, callFrom(request, reply))] }
  })

  const publish = {
    tags: ['minions'],
    summary: 'Publish jobs without waiting for returns',
    description: "Chunks as for POST /; their client is always local_async. `_links` says where each job's returns will be.",
    security: TOKEN,
    body: Lowstate,
    response: { 202: Started, ...refusals(400, 401, 406, 409, 413, 503) }
  }
  app.post('/minions', { schema: publish, validatorCompiler: uncheckedHere }, async (request, reply) => {
    const chunks = readLowstate(request.body).map((chunk, at) => ({ ...mapping(chunk, at), client: 'local_async' }))
    const entries = await commands.runAll(chunks, request.caller, callFrom(request, reply))
    const jobs = entries.flatMap(entry => {
      const { jid } = entry as { jid?: string }
      return jid === undefined ? [] : [{ href: `/jobs/${jid}` }]
    })
    return reply.code(202).send({ return: entries, _links: { jobs } })
  })
}

function mapping(chunk: unknown, at: number): object {
  if (typeof chunk === 'object' && chunk !== null && !Array.isArray(chunk)) return chunk
  throw brineError('FIELD_INVALID', `[${at}]`, 'must be a mapping')
}
