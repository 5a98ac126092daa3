import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox'
import type { Caller } from '../src/auth/caller.js'
import { brineError } from '../src/errors.js'
import { eventId } from '../src/events/event.js'
import { refusals } from '../src/plugins/errors.js'
import type { ShownGuards } from '../src/reactor/guards.js'
import { shownWindow } from '../src/reactor/windows.js'
import type { Services } from '../src/services.js'
import { stampOf } from '../src/shared/clock.js'
import { TOKEN } from './schemas.js'

const OrNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()])
const Paused = OrNull(Type.Object({ by: Type.String(), since: Type.String() }))
const Breaker = Type.Object({
  state: Type.Union([Type.Literal('closed'), Type.Literal('open'), Type.Literal('half-open')]),
  failures: Type.Integer({ description: 'Failures that count now' }),
  reason: Type.Optional(Type.String()),
  since: Type.Optional(Type.String()),
  until: Type.Optional(Type.String({ description: 'Then an event is tried' }))
})
const Guarded = { paused: Paused, breaker: Breaker }
const Status = Type.Object(
  {
    paused: Paused,
    lag: Type.Integer({ description: 'Events not matched yet' }),
    open: Type.Integer({ description: 'Plans that are being worked on, or next' }),
    waiting: Type.Record(Type.String(), Type.Integer(), {
      description:
        'Plans on record that wait: `due` for their turn (or for the reactor, while it is paused), `paused`, `inactive`, `concurrency`'
    }),
    running: Type.Integer({ description: 'Runner and wheel calls under way' }),
    rules: Type.Array(Type.Object({ rule: Type.String(), ...Guarded }), {
      description: 'Rules that are paused or whose breaker is not closed'
    }),
    windows_closed_early: Type.Integer({ description: 'Since the start, because too many were open' })
  },
  { title: 'ReactorStatus' }
)
const Window = Type.Object({
  key: Type.String({ description: 'The value of `group_by` as JSON; a long one as its hash' }),
  kind: Type.String(),
  opened: Type.String(),
  due: Type.String({ description: 'When it is closed if nothing comes' }),
  first: Type.String({ description: 'Id of the event that opened it' }),
  last: Type.String(),
  events: Type.Integer({ description: 'Events in it' }),
  passed: Type.Integer({ description: 'Events passed over, or let go' })
})
const State = Type.Object(
  {
    rule: Type.String(),
    ...Guarded,
    rate: OrNull(Type.Object({ since: Type.String(), count: Type.Integer(), blocked: Type.Integer() })),
    waiting: Type.Record(Type.String(), Type.Integer(), { description: 'Plans that wait, by reason: paused, inactive, concurrency' }),
    windows: Type.Array(Window, { description: 'Open windows by key' }),
    next: Type.Optional(Type.String({ description: '`after` of the next page' }))
  },
  { title: 'RuleState' }
)
const Changed = Type.Object({ success: Type.Literal(true), changed: Type.Boolean({ description: 'False: it was so already' }) })
const Id = Type.Object({ id: Type.String() })
const common = { tags: ['reactor'], security: TOKEN }

/** Pauses, breakers and windows of rules. Behind a token. */
export const reactorControl: FastifyPluginAsyncTypebox = async app => {
  const { services } = app
  const { reactor } = services

  const status = { ...common, summary: 'What the reactor does, and what is stopped', response: { 200: Status, ...refusals(401, 403) } }
  app.get('/reactor/status', { schema: status }, async request => {
    allow(request.caller, false)
    const rules = reactor.guards.stopped().map(rule => ({ rule, ...shownGuards(reactor.guards.shown(rule)) }))
    const { paused } = shownGuards(reactor.guards.shown(''))
    const waiting = { ...(await services.store.reactions.allWaiting()) } as Record<string, number>
    return { paused, ...reactor.backlog(), waiting, rules, windows_closed_early: reactor.windowsClosedEarly }
  })

  for (const act of ['pause', 'resume'] as const) {
    const whole = {
      ...common,
      summary: `${act === 'pause' ? 'Pause' : 'Resume'} the reactor`,
      description:
        act === 'pause'
          ? 'Events are matched and what they lead to is planned and kept; nothing is done until it is resumed, also over a restart. Fires `salt/reactor/paused`.'
          : 'What waited is done, in order. Fires `salt/reactor/resumed`.',
      response: { 200: Changed, ...refusals(401, 403, 503) }
    }
    app.post(`/reactor/${act}`, { schema: whole }, async ({ caller }) => {
      allow(caller, true)
      return { success: true as const, changed: await reactor[act](authorOf(caller)) }
    })
    const one = {
      ...whole,
      summary: `${act === 'pause' ? 'Pause' : 'Resume'} a rule`,
      description: `The same for one rule, be it of the configuration or the API. Fires \`salt/reactor/<rule>/${act}d\`.`,
      params: Id,
      response: { 200: Changed, ...refusals(401, 403, 404, 503) }
    }
    app.post(`/reactor/rules/:id/${act}`, { schema: one }, async ({ caller, params }) => {
      allow(caller, true)
      return { success: true as const, changed: await reactor[act](authorOf(caller), params.id) }
    })
  }

  const breaker = {
    ...common,
    summary: 'Open or close the circuit breaker of a rule',
    description:
      'While it is open what the rule would do is blocked: on record as dead letters, which can be driven again once it is closed.',
    params: Id,
    body: Type.Object({ state: Type.Union([Type.Literal('open'), Type.Literal('closed')]) }, { additionalProperties: false }),
    response: { 200: Type.Object({ success: Type.Literal(true), breaker: Breaker }), ...refusals(400, 401, 403, 404, 409, 503) }
  }
  app.post('/reactor/rules/:id/breaker', { schema: breaker }, async ({ caller, params, body }) => {
    allow(caller, true)
    const { id, breaker } = reactor.rules.get(params.id)
    if (breaker === null) throw brineError('CONFLICT', `rule '${id}' has no breaker`)
    await reactor.guards.setBreaker(id, body.state, authorOf(caller))
    return { success: true as const, breaker: shownGuards(reactor.guards.shown(id)).breaker }
  })

  const state = {
    ...common,
    summary: 'What a rule has gathered, and what holds it',
    params: Id,
    querystring: Type.Object(
      {
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
        after: Type.Optional(Type.String({ description: 'Windows after the one with this key' }))
      },
      { additionalProperties: false }
    ),
    response: { 200: State, ...refusals(400, 401, 403, 404) }
  }
  app.get('/reactor/rules/:id/state', { schema: state }, async ({ caller, params, query }) => {
    allow(caller, false)
    return stateOf(services, params.id, query)
  })
}

async function stateOf(
  { reactor, store }: Services,
  id: string,
  { limit = 100, after }: { limit?: number; after?: string }
): Promise<Static<typeof State>> {
  const windows = await store.reactions.windows({ rule: id, limit, ...(after === undefined ? {} : { after }) })
  const waiting = await store.reactions.waiting(id)
  // A rule that is gone may still have something waiting.
  if (windows.length === 0 && Object.keys(waiting).length === 0) reactor.rules.get(id)
  const { rate, ...guards } = reactor.guards.shown(id)
  const shown = windows.map(window => {
    const { key, kind, openedUs, dueUs, first, last, count, passed } = shownWindow(window)
    const ids = { first: eventId(store.events.epoch, first), last: eventId(store.events.epoch, last) }
    return { key, kind, opened: stampOf(openedUs), due: stampOf(dueUs), ...ids, events: count, passed }
  })
  return {
    rule: id,
    ...shownGuards({ ...guards, rate }),
    rate: rate ? { since: stampOf(rate.sinceUs), count: rate.count, blocked: rate.blocked } : null,
    waiting: { ...waiting } as Record<string, number>,
    windows: shown,
    ...(windows.length === limit ? { next: windows[limit - 1]!.key } : {})
  }
}

function shownGuards({ paused, breaker }: ShownGuards): { paused: Static<typeof Paused>; breaker: Static<typeof Breaker> } {
  const { state, failures, reason, sinceUs, untilUs } = breaker
  const about = {
    ...(reason === undefined ? {} : { reason }),
    ...(sinceUs === undefined ? {} : { since: stampOf(sinceUs) }),
    ...(untilUs === undefined ? {} : { until: stampOf(untilUs) })
  }
  return { paused: paused && { by: paused.by, since: stampOf(paused.us) }, breaker: { state, failures, ...about } }
}

/** @throws NOT_PERMITTED */
function allow(caller: Caller, write: boolean): void {
  if (!caller.may({ kind: 'rules', write }))
    throw brineError('NOT_PERMITTED', caller.user, write ? 'control the reactor' : 'see reactor rules')
}

function authorOf({ user, source }: Caller) {
  return { user, source }
}
