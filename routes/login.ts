import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Login } from '../src/auth/authenticator.js'
import { brineError, isBrineError } from '../src/errors.js'
import { findToken, SESSION_COOKIE } from '../src/plugins/authenticate.js'
import { refusals } from '../src/plugins/errors.js'
import { asText } from './credentials.js'
import { None } from './schemas.js'

const Session = Type.Object({
  token: Type.String({ description: 'Send it as X-Auth-Token; it is also in that header of this answer, and in the cookie session_id.' }),
  expire: Type.Number({ description: 'Seconds since 1970 UTC' }),
  start: Type.Number({ description: 'Seconds since 1970 UTC' }),
  user: Type.String(),
  eauth: Type.String(),
  perms: Type.Unknown({ description: "The user's permissions: texts first, then mappings; `{}` when there are none, as in Salt." })
})

/** GET /login asks to log in; POST /login does it, with form, JSON or YAML: `username`, `password`, `eauth` (golden/api section 9). */
export const login: FastifyPluginAsyncTypebox = async app => {
  const { auth } = app.services

  const ask = {
    tags: ['auth'],
    summary: 'A hint to log in',
    querystring: None,
    response: { 200: Type.Object({ status: Type.Null(), return: Type.String() }) }
  }
  app.get('/login', { schema: ask }, async (_request, reply) => {
    reply.header('www-authenticate', 'Session')
    return { status: null, return: 'Please log in' }
  })

  const schema = {
    tags: ['auth'],
    summary: 'Log in',
    description: 'Body: `username`, `password`, `eauth` (file, sharedsecret); `token_expire` (seconds) for users who may choose it.',
    response: { 200: Type.Object({ return: Type.Array(Session) }), ...refusals(400, 401, 406, 429) }
  }
  app.post('/login', { schema }, async (request, reply) => {
    const done = await auth.login({ ...readCredentials(request.body), address: request.ip })
    await endFormerSession(request)
    setSession(request, reply, done)
    return { return: [shown(done)] }
  })

  /** A new id at each login, and the old one is dead (golden/api section 15, 9). Tokens that were made on purpose stay. */
  async function endFormerSession(request: FastifyRequest): Promise<void> {
    const former = findToken(request)
    if (former === null) return
    try {
      const { jti } = await auth.verify(former.token)
      if (jti !== null && auth.label(jti) === 'login') await auth.revoke(jti)
    } catch (error) {
      if (!isBrineError(error, 'NO_TOKEN')) throw error
    }
  }
}

function setSession(request: FastifyRequest, reply: FastifyReply, { token, startUs, expiresUs }: Login): void {
  reply
    .header('x-auth-token', token)
    .header('cache-control', 'no-store')
    .setCookie(SESSION_COOKIE, token, {
      path: '/',
      httpOnly: true,
      sameSite: 'lax',
      secure: request.protocol === 'https',
      maxAge: Math.floor((expiresUs - startUs) / 1_000_000)
    })
}

function shown({ token, caller, startUs, expiresUs }: Login) {
  return {
    token,
    expire: expiresUs / 1_000_000,
    start: startUs / 1_000_000,
    user: caller.user,
    eauth: caller.eauth,
    perms: caller.perms.length === 0 ? {} : caller.perms
  }
}

/** An object, or a list whose first element counts. Missing fields are wrong credentials, as in Salt; anything else is no login at all. */
function readCredentials(body: unknown): { username: string; password: string; eauth: string; tokenExpire?: number } {
  const fields = Array.isArray(body) ? (body[0] as unknown) : body
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    throw brineError('FIELD_INVALID', 'body', 'must be an object with username, password and eauth')
  }
  const { username, password, eauth, token_expire } = fields as Record<string, unknown>
  const expire = Number(token_expire)
  return {
    username: asText(username),
    password: asText(password),
    eauth: asText(eauth),
    ...(Number.isFinite(expire) && expire > 0 ? { tokenExpire: expire } : {})
  }
}
