import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { Authenticator } from '../src/auth/authenticator.js'
import { brineError, isBrineError } from '../src/errors.js'
import { refusals } from '../src/plugins/errors.js'
import { asText } from './credentials.js'
import { Welcome, welcomeTo } from './root.js'
import { None, uncheckedHere } from './schemas.js'

const Token = Type.Object({
  start: Type.Number({ description: 'Seconds since 1970 UTC' }),
  expire: Type.Number({ description: 'Seconds since 1970 UTC' }),
  name: Type.String(),
  eauth: Type.String(),
  token: Type.String({ description: '64 hex digits: `token` of a chunk of POST /run, `?token=` of GET /events.' })
})
const Wanted = Type.Object({ username: Type.String(), password: Type.String(), eauth: Type.String() }, { additionalProperties: true })

/** As many in one request as anybody has users at hand; each costs a password check. */
const MAX_WANTED = 20

/** POST /token: a token for programs, without a session; a bare list (golden/api section 9). Needs the permission for the runner auth.mk_token. */
export const token: FastifyPluginAsyncTypebox = async app => {
  const { auth, commands } = app.services
  const open = { tags: ['auth'], summary: 'Welcome', querystring: None, response: { 200: Welcome, ...refusals(404, 406) } }
  app.get('/token', { schema: open }, () => welcomeTo(commands))

  const schema = {
    tags: ['auth'],
    summary: 'Log in for a token without a session',
    description: 'Body: an object with `username`, `password`, `eauth`, or a list of them. All other fields are ignored.',
    body: Type.Union([Type.Array(Wanted), Wanted]),
    response: { 200: Type.Array(Token), ...refusals(400, 401, 406, 429) }
  }
  app.post('/token', { schema, validatorCompiler: uncheckedHere }, async (request, reply) => {
    reply.header('cache-control', 'no-store')
    const wanted = readWanted(request.body)
    const made: Awaited<ReturnType<typeof mint>>[] = []
    for (const each of wanted) made.push(await mint(auth, each, request.ip))
    return made
  })
}

interface Credentials {
  readonly username: string
  readonly password: string
  readonly eauth: string
  readonly tokenExpire?: number
}

/** All are read before the first is tried. */
function readWanted(body: unknown): Credentials[] {
  const list: unknown[] = Array.isArray(body) ? body : [body]
  if (list.length > MAX_WANTED) throw brineError('FIELD_INVALID', 'body', `has more than ${MAX_WANTED} credentials`)
  return list.map(each => {
    if (typeof each !== 'object' || each === null || Array.isArray(each)) {
      throw brineError('FIELD_INVALID', 'body', 'must be an object with username, password and eauth, or a list of them')
    }
    const { username, password, eauth, token_expire } = each as Record<string, unknown>
    if (username === undefined || password === undefined || eauth === undefined) throw brineError('CREDENTIALS_MISSING')
    const expire = Number(token_expire)
    const wanted = { username: asText(username), password: asText(password), eauth: asText(eauth) }
    return Number.isFinite(expire) && expire > 0 ? { ...wanted, tokenExpire: expire } : wanted
  })
}

async function mint(auth: Authenticator, wanted: Credentials, address: string) {
  const { username: name, eauth } = wanted
  try {
    const { token: text, caller, startUs, expiresUs } = await auth.login({ ...wanted, address }, 'eauth')
    if (!caller.may({ kind: 'runner', fun: 'auth.mk_token', args: [], kwargs: {} })) {
      if (caller.jti !== null) await auth.revoke(caller.jti)
      throw brineError('LOGIN_FAILED')
    }
    return { start: startUs / 1e6, expire: expiresUs / 1e6, name, eauth, token: text }
  } catch (error) {
    if (isBrineError(error, 'LOGIN_FAILED') || isBrineError(error, 'NO_TOKEN')) throw brineError('FUNCTION_REFUSED', 'eauth', name)
    throw error
  }
}
