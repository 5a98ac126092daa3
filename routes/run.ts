import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { Authenticator } from '../src/auth/authenticator.js'
import type { Caller } from '../src/auth/caller.js'
import { brineError, isBrineError } from '../src/errors.js'
import { readLowstate } from '../src/jobs/chunk.js'
import { refusals } from '../src/plugins/errors.js'
import { callFrom } from './call-from.js'
import { Lowstate, Return, uncheckedHere } from './schemas.js'

const Welcome = Type.Object({ return: Type.String(), clients: Type.Array(Type.String()) })
/** What of a chunk says who calls. It is taken off before the chunk is run. */
const CREDENTIALS = ['token', 'username', 'password', 'eauth'] as const
type Fields = Record<string, unknown>

/** POST /run: commands without a session; each chunk says who calls, with `token`, or with `username`, `password` and `eauth`. */
export const run: FastifyPluginAsyncTypebox = async app => {
  const { commands, auth } = app.services
  const open = { tags: ['commands'], summary: 'Welcome, and the names of the clients', response: { 200: Welcome, ...refusals(406) } }
  app.get('/run', { schema: open }, () => ({ return: 'Welcome', clients: [...commands.clients] }))

  const schema = {
    tags: ['commands'],
    summary: 'Run commands with credentials in each chunk',
    description: 'As POST /, without a session: each chunk has `token`, or `username`, `password` and `eauth`.',
    body: Lowstate,
    response: { 200: Return, ...refusals(400, 401, 406, 409, 413, 429, 503, 504) }
  }
  app.post('/run', { schema, validatorCompiler: uncheckedHere }, async (request, reply) => {
    const authenticated: { chunk: unknown; caller: Caller; credential: 'token' | 'eauth' }[] = []
    for (const chunk of readLowstate(request.body)) {
      const fields = typeof chunk === 'object' && chunk !== null ? (chunk as Fields) : {}
      const caller = await authenticate(auth, fields, request.ip)
      const rest = Object.fromEntries(Object.entries(fields).filter(([name]) => !(CREDENTIALS as readonly string[]).includes(name)))
      authenticated.push({ chunk: rest, caller, credential: fields.token === undefined ? 'eauth' : 'token' })
    }
    return { return: await commands.runEach(authenticated, callFrom(request, reply)) }
  })
}

/** Who calls, in Salt's order of checks and with its texts: a token first, else user name and password. */
async function authenticate(auth: Authenticator, fields: Fields, address: string): Promise<Caller> {
  const { token, username, password, eauth } = fields
  try {
    if (token !== undefined) {
      if (typeof token !== 'string' || token === '') throw brineError('CHUNK_TOKEN')
      return await auth.verify(token)
    }
    if (typeof username !== 'string' || typeof password !== 'string' || typeof eauth !== 'string') throw brineError('NO_CREDENTIALS')
    return (await auth.login({ username, password, eauth, address })).caller
  } catch (error) {
    if (isBrineError(error, 'NO_TOKEN') || isBrineError(error, 'LOGIN_FAILED')) throw refused(fields)
    throw error
  }
}

function refused({ client, token, username }: Fields): Error {
  const isFunction = typeof client === 'string' && /^(runner|wheel)/.test(client)
  if (!isFunction) return brineError('AUTHENTICATION')
  return token === undefined
    ? brineError('FUNCTION_REFUSED', 'eauth', String(username))
    : brineError('FUNCTION_REFUSED', 'token', 'UNKNOWN')
}
