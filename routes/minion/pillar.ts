import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { refusals } from '../../src/plugins/errors.js'
import { pack } from './packed.js'

// null first: coercion would make the empty text of it
const Env = Type.Optional(Type.Union([Type.Null(), Type.String({ maxLength: 255 })]))
const Mapping = Type.Record(Type.String(), Type.Unknown())
const Body = Type.Object(
  {
    saltenv: Env,
    pillarenv: Env,
    override: Type.Optional(Type.Unsafe<Record<string, unknown>>({ ...Mapping, description: 'Values over the compiled ones' })),
    refresh: Type.Optional(Type.Boolean({ description: 'Fires minion/refresh/<id>' }))
  },
  { additionalProperties: false }
)

/** POST /minion/pillar: the pillar of the minion that asks, and of nobody else. */
export const pillar: FastifyPluginAsync = async app => {
  const { pillars } = app.services
  const schema = {
    tags: ['link'],
    security: [{ bearer: [] }],
    summary: "Compiles the minion's pillar",
    description: 'From the top files of pillar_roots and the grains that the minion sent last. Errors stand in `_errors`, as texts.',
    body: Body,
    response: { 200: Type.Object({ pillar: Mapping }), ...refusals(400, 401, 503) }
  }
  app.post<{ Body: { saltenv?: string | null; pillarenv?: string | null; override?: Record<string, unknown>; refresh?: boolean } }>(
    '/minion/pillar',
    { schema, onSend: pack },
    async ({ body: { refresh, ...ask }, caller: { user: id } }) => ({
      pillar: (refresh ? await pillars.refreshed(id, ask) : await pillars.of(id, ask)).pillar
    })
  )
}
