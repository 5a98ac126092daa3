import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { brineError } from '../src/errors.js'
import { SESSION_COOKIE } from '../src/plugins/authenticate.js'
import { refusals } from '../src/plugins/errors.js'

/** POST /logout: the token that the request came with is dead at once, and with it its streams. The body is ignored. */
export const logout: FastifyPluginAsyncTypebox = async app => {
  const { auth } = app.services
  const schema = {
    tags: ['auth'],
    summary: 'Log out',
    response: { 200: Type.Object({ return: Type.String() }), ...refusals(401) }
  }
  app.post('/logout', { schema }, async (request, reply) => {
    if (request.caller.jti !== null) await auth.revoke(request.caller.jti)
    reply.clearCookie(SESSION_COOKIE, { path: '/', httpOnly: true, sameSite: 'lax', secure: request.protocol === 'https' })
    return { return: 'Your token has been cleared' }
  })
}

/** GET /logout: nothing to read there, with a token or without (golden/api section 15, 27). */
export const logoutByGet: FastifyPluginAsyncTypebox = async app => {
  app.get('/logout', { schema: { hide: true } }, request => {
    throw brineError('METHOD_NOT_ALLOWED', request.method)
  })
}
