import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { readLowstate } from '../src/jobs/chunk.js'
import type { Sent } from '../src/jobs/lowstate.js'
import { refusals } from '../src/plugins/errors.js'
import { callFrom } from './call-from.js'
import { authenticate } from './credentials.js'
import { Welcome, welcomeTo } from './root.js'
import { Lowstate, None, Return, uncheckedHere } from './schemas.js'

/** POST /run: commands without a session; each chunk says who calls, with `token`, or with `username`, `password` and `eauth`. */
export const run: FastifyPluginAsyncTypebox = async app => {
  const { commands, auth } = app.services
  const open = {
    tags: ['commands'],
    summary: 'Welcome, and the names of the clients',
    querystring: None,
    response: { 200: Welcome, ...refusals(404, 406) }
  }
  app.get('/run', { schema: open }, () => welcomeTo(commands))

  const schema = {
    tags: ['commands'],
    summary: 'Run commands with credentials in each chunk',
    description: 'As POST /, without a session: each chunk has `token`, or `username`, `password` and `eauth`.',
    body: Lowstate,
    response: { 200: Return, ...refusals(400, 401, 406, 409, 413, 429, 503, 504) }
  }
  app.post('/run', { schema, validatorCompiler: uncheckedHere }, async (request, reply) => {
    const authenticated: Sent[] = []
    for (const chunk of readLowstate(request.body)) {
      const fields = typeof chunk === 'object' && chunk !== null ? (chunk as Record<string, unknown>) : {}
      const { caller, credential, rest } = await authenticate(auth, fields, request.ip)
      authenticated.push({ chunk: rest, caller, credential })
    }
    return { return: await commands.runEach(authenticated, callFrom(request, reply)) }
  })
}
