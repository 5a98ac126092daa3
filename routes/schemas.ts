import { Type } from '@fastify/type-provider-typebox'

/** A job id: 20 digits, the UTC time to the microsecond (golden/jids.json). */
export const JobId = Type.String({
  pattern: '^\\d{20}(_\\d{1,10})?$',
  description: 'Job id: 20 digits',
  examples: ['20261122203758556109']
})

/** One command of a lowstate, for the documentation; what a chunk may hold depends on its client and is checked in `src/jobs/chunk.ts`. */
const Chunk = Type.Object(
  {
    client: Type.Optional(
      Type.String({ description: 'local, local_async, local_batch, local_subset, runner, runner_async, wheel, wheel_async' })
    ),
    fun: Type.Optional(Type.Unknown({ description: "A function's name; for a compound command a list of names" })),
    tgt: Type.Optional(Type.Unknown({ description: 'local: who is meant' })),
    tgt_type: Type.Optional(Type.Unknown({ description: 'local: glob (default), list, grain, pcre, compound, nodegroup, …' })),
    arg: Type.Optional(Type.Unknown({ description: 'Arguments; texts `name=value` are keyword arguments' })),
    kwarg: Type.Optional(Type.Unknown({ description: 'Keyword arguments' })),
    timeout: Type.Optional(Type.Unknown({ description: 'Seconds to wait for returns' })),
    full_return: Type.Optional(Type.Unknown({ description: 'Also tell retcode and job id' })),
    metadata: Type.Optional(Type.Unknown({ description: 'Kept with the job' }))
  },
  { additionalProperties: true, title: 'Chunk' }
)

/** Salt's answers: what stands in `return` depends on what was asked. */
export const Return = Type.Object({ return: Type.Array(Type.Unknown()) })

/** What POST /, /run and /minions take. */
export const Lowstate = Type.Union([Type.Array(Chunk), Chunk])

/** For routes whose body is documented by `Lowstate` and checked by the service, which tells the place and the field better. */
export const uncheckedHere = () => () => true

/** No query at all: whatever is there is answered with 404, as salt-api does. */
export const None = Type.Object({}, { additionalProperties: false })

/** The ways to send a token, for the documentation. */
export const TOKEN = [{ token: [] }, { bearer: [] }, { cookie: [] }]
