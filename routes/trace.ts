import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { Caller } from '../src/auth/caller.js'
import { brineError } from '../src/errors.js'
import { eventId, type StoredEvent } from '../src/events/event.js'
import { refusals } from '../src/plugins/errors.js'
import { stampOf } from '../src/shared/clock.js'
import { tagsSeenBy, visibleEvent } from './event-of.js'
import { checkFire, checkRoom } from './ingest.js'
import { TOKEN } from './schemas.js'

const Nested = (description: string) => Type.Array(Type.Object({}, { additionalProperties: true }), { description })
const Trace = Type.Object(
  {
    id: Type.String(),
    tag: Type.String(),
    stamp: Type.String(),
    source: Type.String(),
    cause: Type.Union([Type.Null(), Type.Object({ id: Type.String(), depth: Type.Integer() })]),
    windows: Type.Optional(
      Nested(
        'Windows of rules that it is in: `{rule, first, reacted, plans, reactions}`; `reacted` is the event at which the window was reacted to (null while ' +
          'it is open), `reactions` the calls that this led to'
      )
    ),
    passed: Type.Optional(
      Nested(
        'Rules whose tag matches and that did nothing about it: `{rule, version, as_of, why, reason, event}`. `why`: `disabled`, `own`, `waiting`, ' +
          '`when`, `active`, `throttle` (`event`: the one that was reacted to instead), `accumulate`, `shared`, `unknown`. `as_of`: `then` ' +
          'when the version of the time of the event was asked, `now` when the rule as it is now had to be'
      )
    ),
    plans: Nested('`{rule, version, sls, state, error, attempts, changed, rendered, reactions: [{call, jid, state, job, events, …}]}`'),
    events: Nested('Events that it led to otherwise, each a trace like this one'),
    truncated: Type.Optional(Type.Boolean())
  },
  { additionalProperties: true, title: 'Trace' }
)

const Id = Type.Object({ id: Type.String() })

/** The trace of an event, and its emission once more. Behind a token. */
export const trace: FastifyPluginAsyncTypebox = async app => {
  const { services } = app
  const schema = {
    tags: ['events', 'reactor'],
    security: TOKEN,
    summary: 'What an event led to, and what not',
    description:
      'As a tree: the SLS files that were rendered because of it (with the text that came out, secrets removed), the calls they asked for, the jobs, ' +
      'their returns, and the events of those with what they led to in turn. `cause` is what led to the event itself, `passed` says which rules did ' +
      'nothing about it and why.',
    params: Id,
    response: { 200: Trace, ...refusals(401, 403, 404) }
  }
  app.get('/events/:id/trace', { schema }, async request => {
    const event = await visibleEvent(services, request.params.id, request.caller)
    if (!request.caller.may({ kind: 'rules', write: false })) throw brineError('NOT_PERMITTED', request.caller.user, 'see reactor rules')
    return (await services.reactor.trace(event, tagsSeenBy(request.caller))) as never
  })

  const again = {
    tags: ['events'],
    security: TOKEN,
    summary: 'Fire an event again',
    description:
      'A new event with the tag and the data of this one, a new `_stamp`, and this one as its cause. Rules react to it as to any other. Who may change ' +
      'rules may do so with every event; others with tags that they may fire.',
    params: Id,
    response: { 200: Type.Object({ success: Type.Boolean(), id: Type.String() }), ...refusals(401, 403, 404, 503) }
  }
  app.post('/events/:id/re-emit', { schema: again }, async request => {
    const { caller } = request
    const event = await visibleEvent(services, request.params.id, caller)
    mayEmit(caller, event)
    checkRoom(services)
    const { store, clock } = services
    const stampUs = clock.nowUs()
    const cause = { seq: event.seq, depth: event.cause?.depth ?? 0 }
    const { seqs } = await store.events.append([
      { tag: event.tag, json: restamped(event.json, stampUs), stampUs, source: caller.source, cause }
    ])
    return { success: true, id: eventId(store.events.epoch, seqs[0]!) }
  })
}

/** What the server has recorded may be said again by those who decide what follows from it. @throws NOT_PERMITTED */
function mayEmit(caller: Caller, { tag }: StoredEvent): void {
  if (!caller.may({ kind: 'rules', write: true })) checkFire(caller, tag)
}

/** The same data with another `_stamp`. It is the last key of what the log writes, so the rest keeps its bytes. */
function restamped(json: string, stampUs: number): string {
  return json.replace(/"_stamp": "[^"]*"\}$/, `"_stamp": "${stampOf(stampUs)}"}`)
}
