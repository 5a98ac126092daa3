import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { refusals } from '../src/plugins/errors.js'
import { MAX_LISTED } from '../src/runners/jobs.js'
import { takeLowstate } from './root.js'
import { JobId, None, Return, TOKEN } from './schemas.js'

/**
 * What a path or query may have in the place of a job id. salt-api answers any text that is none like an id that nobody has (golden/api section 9);
 * what looks like the way to a file is refused (jobs-traversal).
 */
const AnyJobId = Type.String({
  pattern: '^(?!\\.)[^/\\\\\\u0000-\\u001f]{0,255}$',
  description: 'Job id: 20 digits; of another text nothing is known',
  examples: ['20261122203758556109']
})

const List = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_LISTED, description: 'So many jobs, the newest ones' })),
    before: Type.Optional(JobId),
    jid: Type.Optional(AnyJobId),
    timeout: Type.Optional(Type.String({ description: "Salt's; without effect" }))
  },
  { additionalProperties: false }
)
const One = Type.Object({ timeout: Type.Optional(Type.String()) }, { additionalProperties: false })
const Job = Type.Object({ info: Type.Array(Type.Unknown()), return: Type.Array(Type.Unknown()) })

/** GET /jobs: the jobs that are kept, newest first, a page at a time; GET /jobs/:jid: one with its returns. */
export const jobs: FastifyPluginAsyncTypebox = async app => {
  const { commands } = app.services
  takeLowstate(app, '/jobs')

  const show = async (jid: string, caller: Parameters<typeof commands.query>[3]) => {
    const report = (await commands.query('runner', 'jobs.list_job', { jid }, caller)) as { Result: Record<string, { return: unknown }> }
    const returns = Object.entries(report.Result).map(([minion, result]) => [minion, result.return])
    return { info: [report], return: [Object.fromEntries(returns)] }
  }

  const schema = {
    tags: ['jobs'],
    summary: 'Jobs, newest first',
    description: `{jid: {Function, Arguments, Target, Target-type, User, StartTime}}, ${MAX_LISTED} at most. When there are more, the Link header names the next page.`,
    security: TOKEN,
    querystring: List,
    response: { 200: Type.Union([Job, Return]), ...refusals(400, 401, 404, 406) }
  }
  app.get('/jobs', { schema }, async (request, reply) => {
    const { jid, before, limit = MAX_LISTED } = request.query
    if (jid !== undefined && jid !== '') return show(jid, request.caller)
    const page = await commands.query('runner', 'jobs.list_jobs', { limit, ...(before === undefined ? {} : { before }) }, request.caller)
    const ids = Object.keys(page as object)
    if (ids.length === limit) reply.header('link', `</jobs?limit=${limit}&before=${ids.at(-1)}>; rel="next"`)
    return { return: [page] }
  })

  const one = {
    tags: ['jobs'],
    summary: 'A job and its returns',
    params: Type.Object({ jid: AnyJobId }),
    querystring: One,
    security: TOKEN,
    response: { 200: Job, ...refusals(400, 401, 404, 406) }
  }
  app.get('/jobs/:jid', { schema: one }, request => show(request.params.jid, request.caller))

  const timed = {
    ...one,
    summary: 'The same; the timeout has no effect, as in Salt',
    params: Type.Object({ jid: AnyJobId, timeout: Type.String() }),
    querystring: None
  }
  app.get('/jobs/:jid/:timeout', { schema: timed }, request => show(request.params.jid, request.caller))
}
