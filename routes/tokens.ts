import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { Caller } from '../src/auth/caller.js'
import { ADMIN_EAUTH } from '../src/auth/permissions.js'
import { brineError } from '../src/errors.js'
import { refusals } from '../src/plugins/errors.js'
import { stampOf } from '../src/shared/clock.js'

/** Ten years: longer is for ever, and nobody would remember it. */
const MAX_SECONDS = 10 * 365 * 86_400

const Token = Type.Object({
  id: Type.String({ description: 'What DELETE /tokens/:id takes. Not the token itself, which is told once and never stored.' }),
  user: Type.String(),
  eauth: Type.String(),
  label: Type.String(),
  issued: Type.String({ description: 'UTC' }),
  expires: Type.String({ description: 'UTC' })
})

const Wanted = Type.Object(
  {
    user: Type.Optional(Type.String({ minLength: 1, maxLength: 256, description: 'Whose permissions it has; your own by default.' })),
    eauth: Type.Optional(
      Type.String({ maxLength: 32, description: 'Under which external_auth has them; `token` by default with `user`.' })
    ),
    label: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: 'What it is for.' })),
    expire_seconds: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: MAX_SECONDS, description: '30 days by default.' })),
    scope: Type.Optional(
      Type.Union([Type.Literal('full'), Type.Literal('stream')], { description: 'stream: good for GET /events alone.' })
    ),
    tags: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), { maxItems: 100, description: 'With scope stream: these tags alone.' })
    )
  },
  { additionalProperties: false }
)

/**
 * Tokens made on purpose, for programs. Needs the wheel permission `token.create`, `.list` or `.revoke` (`@wheel`, `@token`). A token for somebody
 * else can be made by the administrator alone, so that this is no way to more than one has.
 */
export const tokens: FastifyPluginAsyncTypebox = async app => {
  const { auth } = app.services

  const listed = {
    tags: ['auth'],
    summary: 'Tokens that are alive',
    querystring: Type.Object({}, { additionalProperties: false }),
    response: { 200: Type.Object({ tokens: Type.Array(Token) }), ...refusals(401, 403) }
  }
  app.get('/tokens', { schema: listed }, async request => {
    demand(request.caller, 'list')
    return {
      tokens: auth.tokens().map(({ jti, user, eauth, label, issuedUs, expiresUs }) => ({
        id: jti,
        user,
        eauth,
        label,
        issued: stampOf(issuedUs),
        expires: stampOf(expiresUs)
      }))
    }
  })

  const created = {
    tags: ['auth'],
    summary: 'Make a token for a program',
    body: Wanted,
    response: { 201: Type.Object({ token: Type.String(), id: Type.String(), expires: Type.String() }), ...refusals(400, 401, 403, 404) }
  }
  app.post('/tokens', { schema: created }, async (request, reply) => {
    demand(request.caller, 'create')
    const { caller, body } = request
    const owner = ownerOf(caller, body)
    if (body.tags !== undefined && body.scope !== 'stream') throw brineError('FIELD_INVALID', 'tags', "needs scope 'stream'")
    const made = await auth.issue({
      ...owner,
      label: body.label ?? 'api',
      expiresSeconds: body.expire_seconds ?? 30 * 86_400,
      ...(body.scope === undefined ? {} : { scope: body.scope }),
      ...(body.tags === undefined ? {} : { tags: body.tags })
    })
    reply.code(201).header('cache-control', 'no-store')
    return { token: made.token, id: made.jti, expires: stampOf(made.expiresUs) }
  })

  const ended = {
    tags: ['auth'],
    summary: 'Revoke a token; its streams end at once',
    params: Type.Object({ id: Type.String({ maxLength: 64 }) }),
    response: { 200: Type.Object({ revoked: Type.String() }), ...refusals(401, 403, 404) }
  }
  app.delete('/tokens/:id', { schema: ended }, async request => {
    demand(request.caller, 'revoke')
    const { id } = request.params
    if ((await auth.revoke(id)) === 'unknown') throw brineError('NOT_FOUND', id)
    return { revoked: id }
  })
}

function demand(caller: Caller, what: 'list' | 'create' | 'revoke'): void {
  if (!caller.may({ kind: 'wheel', fun: `token.${what}`, args: [], kwargs: {} }))
    throw brineError('NOT_PERMITTED', caller.user, `${what} tokens`)
}

function ownerOf(caller: Caller, { user, eauth }: { user?: string; eauth?: string }): { user: string; eauth: string } {
  if (user === undefined && eauth === undefined) return { user: caller.user, eauth: caller.eauth }
  const wanted = { user: user ?? caller.user, eauth: eauth ?? 'token' }
  const own = wanted.user === caller.user && wanted.eauth === caller.eauth
  if (!own && caller.eauth !== ADMIN_EAUTH)
    throw brineError('NOT_PERMITTED', caller.user, `make a token for ${wanted.eauth} user ${wanted.user}`)
  return wanted
}
