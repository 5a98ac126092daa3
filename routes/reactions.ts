import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { brineError } from '../src/errors.js'
import { eventId } from '../src/events/event.js'
import { parseTime } from '../src/hub/position.js'
import { refusals } from '../src/plugins/errors.js'
import { shownReaction } from '../src/reactor/trace.js'
import type { Services } from '../src/services.js'
import { stampOf } from '../src/shared/clock.js'
import type { PlanQuery, PlanRecord, ReactionQuery, ReactionRecord } from '../src/store/store.js'
import { seqOf } from './event-of.js'
import { TOKEN } from './schemas.js'

const Reaction = Type.Object({
  id: Type.Integer(),
  event: Type.String({ description: 'Id of the event that was reacted to' }),
  rule: Type.String(),
  sls: Type.String(),
  section: Type.String(),
  call: Type.Unknown(),
  jid: Type.String(),
  state: Type.String(),
  held: Type.Union([Type.String(), Type.Null()], { description: 'Why it waits: `paused`' }),
  error: Type.Union([Type.String(), Type.Null()]),
  attempts: Type.Integer(),
  planned: Type.String(),
  changed: Type.String()
})
const Plan = Type.Object({
  id: Type.Integer(),
  event: Type.String(),
  rule: Type.String(),
  version: Type.Integer(),
  sls: Type.String(),
  state: Type.String(),
  held: Type.Union([Type.String(), Type.Null()], { description: 'Why it waits: `paused`, `inactive`, `concurrency`' }),
  blocked: Type.Union([Type.String(), Type.Null()], {
    description: 'The guard that stopped it: `depth`, `rate_limit`, `breaker`, `quarantine`'
  }),
  window: Type.Union([Type.String(), Type.Null()], { description: 'The first event of the window that it reacts to' }),
  error: Type.Union([Type.String(), Type.Null()]),
  attempts: Type.Integer(),
  changed: Type.Union([Type.String(), Type.Null()])
})
const Next = Type.Optional(Type.Integer({ description: '`before` of the next page' }))
const states = (...names: string[]) => Type.Union(names.map(name => Type.Literal(name)))

/** Which ones. */
const which = {
  rule: Type.Optional(Type.String()),
  event: Type.Optional(Type.String({ description: 'Id of an event' })),
  since: Type.Optional(Type.String({ description: 'From this time on: ISO (UTC), seconds since 1970, or `15m` ago' })),
  until: Type.Optional(Type.String({ description: 'Up to this time' }))
}
const page = {
  before: Type.Optional(Type.Integer({ minimum: 1, description: 'Those with a smaller id' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 }))
}
const Id = Type.Object({ id: Type.Integer({ minimum: 1 }) })
const Retried = Type.Object({ success: Type.Boolean(), plans: Type.Integer(), reactions: Type.Integer() })
const common = { tags: ['reactor'], security: TOKEN }

/** As many as one request drives again; a cursor is not needed, since what was driven is dead no more. */
const MAX_RETRIED = 1000

/** The audit of reactions, and dead letters driven again. Behind a token. */
export const reactions: FastifyPluginAsyncTypebox = async app => {
  await app.register(audit)
  await app.register(retry)
}

const audit: FastifyPluginAsyncTypebox = async app => {
  const { services } = app
  const list = {
    ...common,
    summary: 'Reactions, newest first',
    description:
      'Each call that was planned because of an event, and what became of it. `dead`: it was given up before anything was published.',
    querystring: Type.Object(
      {
        ...which,
        jid: Type.Optional(Type.String()),
        state: Type.Optional(states('planned', 'dispatched', 'succeeded', 'failed', 'dead')),
        ...page
      },
      { additionalProperties: false }
    ),
    response: { 200: Type.Object({ reactions: Type.Array(Reaction), next: Next }), ...refusals(400, 401, 403, 404) }
  }
  app.get('/reactor/reactions', { schema: list }, async request => {
    allow(request, false)
    const { limit = 100, jid, state, before } = request.query
    const query = { ...queryOf(services, request.query), ...given({ jid, state, before }), limit } as ReactionQuery
    const found = await services.store.reactions.list(query)
    const { epoch } = services.store.events
    return { reactions: found.map(each => shownReaction(epoch, each)), ...nextOf(found, limit) }
  })

  const one = { ...common, summary: 'A reaction', params: Id, response: { 200: Reaction, ...refusals(401, 403, 404) } }
  app.get('/reactor/reactions/:id', { schema: one }, async request => {
    allow(request, false)
    return shownReaction(services.store.events.epoch, await reactionOf(services, request.params.id))
  })

  const plans = {
    ...common,
    summary: 'Plans, newest first',
    description:
      'An SLS file to be rendered because of an event and a rule. `dead`: it could not be rendered, or a guard stopped it (`blocked`), and it is not ' +
      'tried again by itself. `held`: it waits.',
    querystring: Type.Object(
      { ...which, state: Type.Optional(states('planned', 'rendered', 'failed', 'dead', 'held', 'blocked')), ...page },
      { additionalProperties: false }
    ),
    response: { 200: Type.Object({ plans: Type.Array(Plan), next: Next }), ...refusals(400, 401, 403, 404) }
  }
  app.get('/reactor/plans', { schema: plans }, async request => {
    allow(request, false)
    const { limit = 100, state, before } = request.query
    const found = await services.store.reactions.plans({
      ...queryOf(services, request.query),
      ...given({ state, before }),
      limit
    } as PlanQuery)
    return { plans: found.map(plan => shownPlan(services, plan)), ...nextOf(found, limit) }
  })
}

const retry: FastifyPluginAsyncTypebox = async app => {
  const { services } = app
  const about = {
    ...common,
    description:
      'It is tried again as if nobody had tried it, under a new job id, and an event `salt/reactor/<rule>/retry` says who asked. 409 when it is neither ' +
      'dead nor failed.',
    params: Id,
    response: { 200: Retried, ...refusals(401, 403, 404, 409) }
  }
  app.post('/reactor/reactions/:id/retry', { schema: { ...about, summary: 'Drive a reaction again' } }, async request => {
    allow(request, true)
    const reaction = await reactionOf(services, request.params.id)
    const done = await redrive(services, request, [], [reaction])
    if (done.reactions === 0)
      throw brineError('CONFLICT', `reaction ${reaction.id} is ${reaction.state}; only dead or failed ones are driven again`)
    return done
  })
  app.post('/reactor/plans/:id/retry', { schema: { ...about, summary: 'Render a dead plan again' } }, async request => {
    allow(request, true)
    const { id } = request.params
    const [plan] = await services.store.reactions.plans({ before: id + 1, limit: 1 })
    if (plan?.id !== id) throw brineError('NOT_FOUND', `plan ${id}`)
    const done = await redrive(services, request, [plan], [])
    if (done.plans === 0) throw brineError('CONFLICT', `plan ${id} is ${plan.state}; only dead ones are driven again`)
    return done
  })

  const bulk = {
    ...common,
    summary: 'Drive dead letters again',
    description: `Plans and reactions that match, newest first, ${MAX_RETRIED} of each at most: repeat until it answers 0. \`state: failed\` is for reactions that ran and failed, \`blocked\` for what a guard stopped.`,
    body: Type.Object(
      {
        ...which,
        state: Type.Optional(states('dead', 'failed', 'blocked')),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_RETRIED }))
      },
      { additionalProperties: false }
    ),
    response: { 200: Retried, ...refusals(400, 401, 403, 404) }
  }
  app.post('/reactor/retry', { schema: bulk }, async request => {
    allow(request, true)
    const { limit = MAX_RETRIED } = request.body
    const state = (request.body.state ?? 'dead') as 'dead' | 'failed' | 'blocked'
    const query = { ...queryOf(services, request.body), limit }
    const reactions = state === 'blocked' ? [] : await services.store.reactions.list({ ...query, state })
    const plans = state === 'dead' || state === 'blocked' ? await services.store.reactions.plans({ ...query, state }) : []
    return redrive(services, request, plans, reactions)
  })
}

/** @throws NOT_PERMITTED */
function allow({ caller }: Pick<FastifyRequest, 'caller'>, write: boolean): void {
  if (caller.may({ kind: 'rules', write })) return
  throw brineError('NOT_PERMITTED', caller.user, write ? 'drive reactions again' : 'see reactor rules')
}

interface Which {
  readonly rule?: string
  readonly event?: string
  readonly since?: string
  readonly until?: string
}

/** @throws NOT_FOUND, CURSOR_INVALID */
function queryOf(services: Services, { rule, event, since, until }: Which): Pick<PlanQuery, 'rule' | 'event' | 'fromUs' | 'untilUs'> {
  const nowUs = services.clock.nowUs()
  return given({
    rule,
    event: event === undefined ? undefined : seqOf(services, event),
    fromUs: since === undefined ? undefined : parseTime(since, nowUs),
    untilUs: until === undefined ? undefined : parseTime(until, nowUs)
  })
}

function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}

function nextOf(found: readonly { readonly id: number }[], limit: number): { next?: number } {
  return found.length === limit ? { next: found[limit - 1]!.id } : {}
}

/** @throws NOT_FOUND */
async function reactionOf({ store }: Services, id: number): Promise<ReactionRecord> {
  const reaction = await store.reactions.get(id)
  if (reaction === null) throw brineError('NOT_FOUND', `reaction ${id}`)
  return reaction
}

async function redrive(
  { reactor }: Services,
  { caller }: Pick<FastifyRequest, 'caller'>,
  plans: readonly PlanRecord[],
  reactions: readonly ReactionRecord[]
): Promise<Static<typeof Retried>> {
  return { success: true, ...(await reactor.redrive(plans, reactions, { user: caller.user, source: caller.source })) }
}

function shownPlan({ store }: Services, plan: PlanRecord): Static<typeof Plan> {
  const { id, rule, version, sls, state, held, blocked, gathered, error, attempts, changedUs } = plan
  const changed = changedUs === 0 ? null : stampOf(changedUs)
  const window = gathered === null ? null : eventId(store.events.epoch, gathered)
  return { id, event: eventId(store.events.epoch, plan.event), rule, version, sls, state, held, blocked, window, error, attempts, changed }
}
