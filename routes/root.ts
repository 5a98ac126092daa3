import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import type { Commands } from '../src/jobs/lowstate.js'
import { refusals } from '../src/plugins/errors.js'
import { callFrom } from './call-from.js'
import { Lowstate, None, Return, TOKEN, uncheckedHere } from './schemas.js'

export const Welcome = Type.Object({ return: Type.String(), clients: Type.Array(Type.String()) })

/** What GET says wherever a POST runs commands. */
export function welcomeTo(commands: Commands): { return: string; clients: string[] } {
  return { return: 'Welcome', clients: [...commands.clients] }
}

/** GET / (and /index): says that a server is there and which clients it knows. Open to all. */
export const welcome: FastifyPluginAsyncTypebox = async app => {
  const schema = {
    tags: ['commands'],
    summary: 'Welcome, and the names of the clients',
    querystring: None,
    response: { 200: Welcome, ...refusals(404, 406) }
  }
  for (const path of ROOTS) app.get(path, { schema }, () => welcomeTo(app.services.commands))
}

/** The root has two names in salt-api. */
const ROOTS = ['/', '/index'] as const

/** POST /: runs a lowstate, a list of chunks or a single one. All chunks are checked before the first one runs. */
export const lowstate: FastifyPluginAsyncTypebox = async app => {
  for (const path of ROOTS) takeLowstate(app, path)
}

/** POST /jobs does the same, as in salt-api. */
export function takeLowstate(app: FastifyInstance, path: string): void {
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
  app.post(path, { schema, validatorCompiler: uncheckedHere }, async (request, reply) => ({
    return: await commands.runAll(request.body, request.caller, callFrom(request, reply))
  }))
}
