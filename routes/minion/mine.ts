import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { refusals } from '../../src/plugins/errors.js'
import { pack } from './packed.js'

const Mapping = Type.Record(Type.String(), Type.Unknown())
const Functions = Type.Union([Type.String({ maxLength: 255 }), Type.Array(Type.String({ maxLength: 255 }), { maxItems: 100 })])

const Body = Type.Union([
  Type.Object(
    {
      kind: Type.Literal('send'),
      data: Type.Unsafe<Record<string, unknown>>({ ...Mapping, description: 'Function → value' }),
      clear: Type.Optional(Type.Boolean({ description: 'These entries and no others' }))
    },
    { additionalProperties: false }
  ),
  Type.Object({ kind: Type.Literal('delete'), fun: Type.String({ maxLength: 255 }) }, { additionalProperties: false }),
  Type.Object({ kind: Type.Literal('flush') }, { additionalProperties: false }),
  Type.Object(
    { kind: Type.Literal('get'), tgt: Type.Unknown(), tgt_type: Type.String({ maxLength: 32 }), fun: Functions },
    { additionalProperties: false }
  )
])

type Ask =
  | { kind: 'send'; data: Record<string, unknown>; clear?: boolean }
  | { kind: 'delete'; fun: string }
  | { kind: 'flush' }
  | { kind: 'get'; tgt: unknown; tgt_type: string; fun: string | string[] }

/** POST /minion/mine: a minion puts its own results into the mine, takes them out, or reads those of others that it may see. */
export const mine: FastifyPluginAsync = async app => {
  const schema = {
    tags: ['link'],
    security: [{ bearer: [] }],
    summary: 'The mine: results of functions that minions share',
    body: Body,
    response: { 200: Type.Object({ result: Type.Unknown() }), ...refusals(400, 401, 413, 503) }
  }
  app.post<{ Body: Ask }>('/minion/mine', { schema, bodyLimit: 16 * 1024 * 1024, onSend: pack }, async request => {
    const { body, caller } = request
    const { mine: entries } = app.services
    if (body.kind === 'get') return { result: await entries.get(body.tgt, body.tgt_type, body.fun, caller.user) }
    if (body.kind === 'send') await entries.send(caller.user, body.data, { clear: body.clear ?? false })
    else await entries.clear(caller.user, body.kind === 'delete' ? body.fun : undefined)
    return { result: true }
  })
}
