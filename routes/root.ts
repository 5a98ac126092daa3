import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { refusals } from '../src/plugins/errors.js'
import { callFrom } from './call-from.js'
import { Lowstate, Return, TOKEN, uncheckedHere } from './schemas.js'

const Welcome = Type.Object({ return: Type.String(), clients: Type.Array(Type.String()) })

/** GET /: says that a server is there and which clients it knows. Open to all. */
export const welcome: FastifyPluginAsyncTypebox = async app => {
  app.get(
    '/',
    { schema: { tags: ['commands'], summary: 'Welcome, and the names of the clients', response: { 200: Welcome, ...refusals(406) } } },
    () => ({
      return: 'Welcome',
      clients: [...app.services.commands.clients]
    })
  )
}

/** POST /: runs a lowstate, a list of chunks or a single one. All chunks are checked before the first one runs. */
export const lowstate: FastifyPluginAsyncTypebox = async app => {
  const { commands } = app.services
  const schema = {
    tags: ['commands'],
    summary: 'Run commands',
    description:
      'Body: a list of chunks or one chunk (form, JSON, YAML, or JSON as text/plain). One entry of `return` per chunk, in order.',
    security: TOKEN,
    body: Lowstate,
    response: { 200: Return, ...refusals(400, 401, 406, 409, 413, 503, 504) }
  }
  app.post('/', { schema, validatorCompiler: uncheckedHere }, async (request, reply) => ({
    return: await commands.runAll(request.body, request.caller, callFrom(request, reply))
  }))
}
