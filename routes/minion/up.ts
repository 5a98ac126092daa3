import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { refusals } from '../../src/plugins/errors.js'
import { MAX_ACKS, MAX_ITEM_CHARS, MAX_ITEMS, MAX_UP_BYTES, type Up } from '../../src/protocol/messages.js'
import { unpack } from './packed.js'

const Number_ = Type.Integer({ minimum: 1, description: 'Place in the spool; never used twice' })
const Mapping = Type.Record(Type.String(), Type.Unknown())

const Event = Type.Object(
  {
    kind: Type.Literal('event'),
    n: Number_,
    tag: Type.String(),
    data: Type.Unknown(),
    preload: Type.Optional(Mapping),
    flat: Type.Optional(Type.Boolean({ description: "A beacon's: data is the event's own" })),
    jid: Type.Optional(Type.String({ description: 'The job that fired it' }))
  },
  { additionalProperties: false }
)
const Return = Type.Object({ kind: Type.Literal('return'), n: Number_, return: Mapping }, { additionalProperties: false })

const Part = Type.Object(
  {
    n: Number_,
    at: Type.Integer({ minimum: 0, maximum: MAX_ITEM_CHARS, description: 'Characters (UTF-16) before this part' }),
    length: Type.Integer({ minimum: 1, maximum: MAX_ITEM_CHARS, description: 'Characters of the whole' }),
    text: Type.String({ minLength: 1, description: 'A piece of the JSON text of a return' })
  },
  { additionalProperties: false }
)

const Body = Type.Object(
  {
    spool: Type.String({ pattern: '^[0-9a-f]{8,32}$', description: 'Names the spool that the numbers belong to' }),
    items: Type.Array(Type.Union([Event, Return]), { maxItems: MAX_ITEMS }),
    acks: Type.Array(Type.String({ pattern: '^\\d{20}$' }), { maxItems: MAX_ACKS, description: "Jobs that are on the minion's disk" }),
    grains: Type.Optional(Mapping),
    part: Type.Optional(Part)
  },
  { additionalProperties: false }
)
const Answer = Type.Object({
  refused: Type.Array(Type.Object({ n: Type.Integer(), code: Type.String(), error: Type.String() }), {
    description: 'Items that will never be taken. All others are recorded.'
  }),
  have: Type.Optional(Type.Integer({ description: 'To a part: so many characters are here, and more are wanted' }))
})

/** POST /minion/up: what a minion has to say. A repeated request changes nothing. */
export const up: FastifyPluginAsync = async app => {
  const { link } = app.services
  const schema = {
    tags: ['link'],
    summary: 'Returns, events, grains and acknowledgements of a minion',
    description: 'The body may come with Content-Encoding: gzip; its limit counts unpacked.',
    security: [{ bearer: [] }],
    body: Body,
    response: { 200: Answer, ...refusals(400, 401, 413, 503) }
  }
  app.post<{ Body: Up }>('/minion/up', { schema, bodyLimit: MAX_UP_BYTES, preParsing: unpack }, async request =>
    link.receive(request.caller, request.body)
  )
}
