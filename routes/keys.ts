import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { Caller } from '../src/auth/caller.js'
import { brineError } from '../src/errors.js'
import { checkMinionId } from '../src/keys/id.js'
import { refusals } from '../src/plugins/errors.js'
import { KEY_BITS } from '../src/wheel/key.js'
import { callFrom } from './call-from.js'
import { authenticate } from './credentials.js'
import { keyArchive } from './key-archive.js'
import { None, TOKEN, uncheckedHere } from './schemas.js'

const Mid = Type.String({ description: 'Id, glob, or several separated by commas: their fingerprints' })
const Answer = Type.Object({ return: Type.Record(Type.String(), Type.Unknown()) })

/** GET /keys: the minion keys by state; GET /keys/:mid: their fingerprints. Without Salt's outer list, as recorded. */
export const keys: FastifyPluginAsyncTypebox = async app => {
  const { commands } = app.services
  const list = {
    tags: ['keys'],
    summary: 'Minion keys by state',
    security: TOKEN,
    querystring: Type.Object({ mid: Type.Optional(Mid) }, { additionalProperties: false }),
    response: { 200: Answer, ...refusals(401, 404, 406) }
  }
  const fingerprints = async (match: string, caller: Caller) => ({
    return: (await commands.query('wheel', 'key.finger', { match }, caller)) as Record<string, unknown>
  })
  app.get('/keys', { schema: list }, async ({ query: { mid }, caller }) =>
    mid ? fingerprints(mid, caller) : { return: (await commands.query('wheel', 'key.list_all', {}, caller)) as Record<string, unknown> }
  )

  const finger = { ...list, summary: 'Fingerprints of minion keys', querystring: None, params: Type.Object({ mid: Mid }) }
  app.get('/keys/:mid', { schema: finger }, ({ params, caller }) => fingerprints(params.mid, caller))
}

const Wanted = Type.Object(
  {
    mid: Type.Optional(Type.String({ description: "The minion's id; `id_` does too" })),
    keysize: Type.Optional(
      Type.Integer({
        minimum: KEY_BITS.min,
        maximum: KEY_BITS.max,
        default: KEY_BITS.fallback,
        description: 'Bits of the RSA key; a number'
      })
    ),
    force: Type.Optional(Type.Boolean({ description: 'Replace the key of a minion that has an accepted one' })),
    token: Type.Optional(Type.String({ description: 'Or username, password and eauth' })),
    username: Type.Optional(Type.String()),
    password: Type.Optional(Type.String()),
    eauth: Type.Optional(Type.String())
  },
  { additionalProperties: true, title: 'KeyRequest' }
)

/**
 * POST /keys: makes a key pair for a minion, accepts it and answers with both files in a tar archive. Credentials stand in the body; a session
 * does not count, and Accept is not looked at (golden/api section 9; what salt-api fails at is section 15, 15 and 16).
 */
export const makeKeys: FastifyPluginAsyncTypebox = async app => {
  const { commands, auth } = app.services
  const schema = {
    tags: ['keys'],
    summary: 'Make a key pair for a minion and accept it',
    description: 'Body (form, JSON, YAML): `mid` and credentials. The answer is a tar archive with minion.pub and minion.pem.',
    body: Wanted,
    produces: ['application/x-tar'],
    response: {
      200: {
        description: 'ustar archive of minion.pub and minion.pem',
        content: { 'application/x-tar': { schema: Type.Unsafe<Buffer>({ type: 'string', format: 'binary' }) } }
      },
      ...refusals(400, 401, 406, 409, 413, 429, 503)
    }
  }
  app.post('/keys', { schema, validatorCompiler: uncheckedHere }, async (request, reply) => {
    const fields = fieldsOf(request.body)
    const who = await authenticate(auth, { ...fields, client: 'wheel' }, request.ip)
    const wanted = readWanted(who.rest)
    const sent = { chunk: { client: 'wheel', fun: 'key.gen_accept', ...wanted }, caller: who.caller, credential: who.credential }
    const [entry] = await commands.runEach([sent], callFrom(request, reply))
    const { data } = entry as { data: { success: boolean; return: Partial<Record<'priv' | 'pub', string>> | string } }
    if (typeof data.return === 'string') throw brineError('CONFLICT', data.return)
    const { priv, pub } = data.return
    if (priv === undefined || pub === undefined)
      throw brineError('CONFLICT', `minion '${wanted.id_}' has an accepted key; force=True replaces it`)
    return reply
      .header('content-type', 'application/x-tar')
      .header('content-disposition', `attachment; filename="saltkeys-${wanted.id_}.tar"`)
      .header('cache-control', 'no-cache')
      .send(await keyArchive({ priv, pub }))
  })
}

/** An object, or a list whose first element counts, as for /login. */
function fieldsOf(body: unknown): Readonly<Record<string, unknown>> {
  const fields = Array.isArray(body) ? (body[0] as unknown) : body
  if (typeof fields === 'object' && fields !== null && !Array.isArray(fields)) return fields as Record<string, unknown>
  throw brineError('FIELD_INVALID', 'body', 'must be an object with mid and credentials')
}

/** Checked before a key is made: an id that is no file name of another place, a size that can be made, a flag that is one. */
function readWanted({ mid, id_, keysize = KEY_BITS.fallback, force = false }: Readonly<Record<string, unknown>>) {
  const id = mid ?? id_
  if (id === undefined || id === null) throw brineError('FIELD_MISSING', 'mid')
  const reason = typeof id === 'string' ? checkMinionId(id) : 'must be text'
  if (typeof id !== 'string' || reason !== null) throw brineError('FIELD_INVALID', 'mid', reason ?? 'must be text')
  const { min, max } = KEY_BITS
  if (!Number.isInteger(keysize) || Number(keysize) < min || Number(keysize) > max)
    throw brineError('FIELD_INVALID', 'keysize', `must be a number, ${min} to ${max}`)
  if (typeof force !== 'boolean' && !/^(?:true|false)$/i.test(String(force)))
    throw brineError('FIELD_INVALID', 'force', 'must be true or false')
  return { id_: id, keysize: Number(keysize), force: /^true$/i.test(String(force)) }
}
