import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox'
import type { Caller } from '../src/auth/caller.js'
import { brineError, isBrineError } from '../src/errors.js'
import { meantMinions } from '../src/jobs/target.js'
import { refusals } from '../src/plugins/errors.js'
import { detachedGuards } from '../src/reactor/guards.js'
import { compilePath } from '../src/reactor/match.js'
import { optionFault, optionsOf } from '../src/reactor/options.js'
import { pastedEvent } from '../src/reactor/pasted.js'
import { RULE_FIELD_TYPES } from '../src/reactor/rule-schema.js'
import { withoutSecretKeys } from '../src/reactor/secrets.js'
import {
  asStored,
  type TrialRule,
  type TriedCall,
  type TriedEvent,
  type TriedRule,
  type TriedWindow,
  tryEvents
} from '../src/reactor/trial.js'
import { openWindows } from '../src/reactor/trial-windows.js'
import type { Services } from '../src/services.js'
import { stampOf } from '../src/shared/clock.js'
import { tagsSeenBy, visibleEvent } from './event-of.js'
import { TOKEN } from './schemas.js'

/** Rules and texts that one request may bring, and how long a text may be: a rule set that people wrote, not a load test. */
const MAX_CANDIDATES = 1000
const MAX_TEXTS = 100
const MAX_TEXT = 1024 * 1024

/** What a rule is shown with and what says nothing about what it does: a rule as it was read may be pasted. */
const Ignored = Type.Unknown({ description: 'Has no effect here' })

const CandidateRule = Type.Object(
  {
    ...Type.Partial(Type.Object(RULE_FIELD_TYPES)).properties,
    id: Type.Optional(Type.String({ maxLength: 200, description: 'With the id of a rule that exists it stands in its place' })),
    tag: Type.String({ minLength: 1, maxLength: 1024 }),
    sls: Type.Array(Type.String({ minLength: 1, maxLength: 4096 }), { minItems: 1, maxItems: 100 }),
    version: Type.Optional(Ignored),
    source: Type.Optional(Ignored),
    changed_by: Type.Optional(Ignored),
    changed: Type.Optional(Ignored)
  },
  { additionalProperties: false, title: 'CandidateRule' }
)

/** Candidates: what is tried although it is not stored. */
export const Candidates = {
  rules: Type.Optional(
    Type.Array(CandidateRule, {
      maxItems: MAX_CANDIDATES,
      description: 'Rules to try beside those that exist, with their options, in the order in which they apply; they need not be stored'
    })
  ),
  only: Type.Optional(Type.Boolean({ description: 'Only the rules given here: a whole configuration in the place of the one in use' })),
  sls: Type.Optional(
    Type.Union(
      [
        Type.String({ maxLength: MAX_TEXT }),
        Type.Record(Type.String({ maxLength: 4096 }), Type.String({ maxLength: MAX_TEXT }), { maxProperties: MAX_TEXTS })
      ],
      { description: 'SLS texts in the place of files, by the reference that rules use; a lone text is tried as a rule of its own' }
    )
  )
}

/** Events that are tried together: a window is a matter of some, a history one of a backtest. */
const MAX_EVENTS = 100

const Pasted = Type.Object(
  { tag: Type.String(), data: Type.Optional(Type.Record(Type.String(), Type.Unknown())) },
  { additionalProperties: false }
)
const Question = Type.Object(
  {
    event: Type.Optional(Type.Union([Type.String(), Pasted], { description: 'The id of an event on the log, or `{tag, data}`' })),
    events: Type.Optional(
      Type.Array(Type.Union([Type.String(), Pasted]), {
        minItems: 1,
        maxItems: MAX_EVENTS,
        description: 'Several of them, one after the other: their times are those of `_stamp` in `data`; without it they come now'
      })
    ),
    tag: Type.Optional(Type.String({ description: 'With `data`: the same as `event: {tag, data}`' })),
    data: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    ...Candidates
  },
  { additionalProperties: false, title: 'ReactorTest' }
)

const Call = Type.Object({
  rule: Type.String(),
  file: Type.String(),
  section: Type.String(),
  call: Type.Unknown(),
  minions: Type.Optional(Type.Array(Type.String(), { description: 'Whom the target means now; 100 at most' })),
  minion_count: Type.Optional(Type.Integer())
})
const Place = Type.Object({
  kind: Type.String(),
  message: Type.String(),
  file: Type.String(),
  line: Type.Integer(),
  column: Type.Integer()
})
const File = Type.Object({
  file: Type.String(),
  error: Type.Optional(Type.String()),
  fault: Type.Optional(Place),
  warnings: Type.Optional(Type.Array(Type.Object({ line: Type.Integer(), column: Type.Integer(), message: Type.String() }))),
  rendered: Type.Optional(Type.String({ description: 'What the SLS rendered to; secrets are taken out, long texts are cut' })),
  skipped: Type.Optional(Type.String()),
  reactions: Type.Array(Type.Object({ section: Type.String(), call: Type.Unknown() }))
})
const Window = Type.Object({
  key: Type.String({ description: 'The value of `group_by` as JSON; a long one as its hash' }),
  opens: Type.Boolean({ description: 'The event opens it; else it joins, or is passed over by, one that is open' }),
  events: Type.Integer(),
  passed: Type.Integer(),
  opened: Type.String(),
  due: Type.String()
})
const Option = Type.Object(
  {
    option: Type.String({ description: 'An option of the rule; `paused`, `depth`' }),
    passes: Type.Boolean({ description: 'Whether a reaction may follow now, as far as this one goes' }),
    reason: Type.String(),
    window: Type.Optional(Window)
  },
  { title: 'OptionEffect' }
)
const told = {
  outcome: Type.String({
    description:
      '`reacts`; `waits`: made later (paused, in line, not active); `gathered`: in a window; `passed`: an option passes it over; `blocked`: by a guard; ' +
      '`fault`: an option has a mistake'
  }),
  refusal: Type.Optional(Type.String({ description: 'Why the rule does nothing although its tag matches' })),
  options: Type.Array(Option, { description: 'What each option of the rule says, in the order in which they are asked' }),
  sls: Type.Array(File)
}
const RuleTried = Type.Object({ rule: Type.String(), tag: Type.String(), source: Type.String(), ...told })
const WindowTried = Type.Object({
  rule: Type.String(),
  tag: Type.String(),
  key: Type.String(),
  kind: Type.String(),
  events: Type.Integer({ description: 'Events in it, with those that a running server has gathered already' }),
  closes: Type.String({ description: 'When it is closed' }),
  ...told
})
const EventTried = {
  event: Type.Object({ id: Type.Optional(Type.String()), tag: Type.String(), data: Type.Unknown() }),
  rules: Type.Array(RuleTried),
  windows: Type.Array(WindowTried, {
    description: 'Windows that are closed: by the event, before it, or (of the last event) when nothing else comes'
  })
}
const Calls = Type.Array(Call, { description: 'All calls in the order in which they would be made' })
const Answer = Type.Object({
  ...Type.Partial(Type.Object(EventTried)).properties,
  events: Type.Optional(Type.Array(Type.Object({ ...EventTried, calls: Calls }), { description: 'Where `events` were asked about' })),
  calls: Calls
})

/** POST /reactor/test: what would be done about events; nothing is executed, planned or written. */
export const reactorTest: FastifyPluginAsyncTypebox = async app => {
  const { services } = app
  const schema = {
    tags: ['reactor'],
    security: TOKEN,
    summary: 'Try rules and SLS files on an event, or on several; nothing is executed',
    description:
      'Events of the log or such that are given here: which rules match, what each of their options says (conditions and times; the window that is opened ' +
      'or joined, those that are open now included; whether a pause, rate limit, breaker or line stops it now), what their SLS files render to, which calls ' +
      'would be made, and mistakes with file, line and column. After the events time passes until their windows are closed. Rules and SLS texts of the ' +
      'request are tried without being stored (that needs the right to change rules).',
    body: Question,
    response: { 200: Answer, ...refusals(400, 401, 403, 404) }
  }
  app.post('/reactor/test', { schema }, async request => {
    const { body, caller } = request
    mayTry(caller, body)
    const asked = await eventsOf(services, body, caller)
    const { rules, texts } = candidatesOf(services, body, asked.length === 1 ? literally(asked[0]!.tag) : '*')
    const events = asStored(asked)
    const { reactor, store, config } = services
    const byId = new Map(rules.map(rule => [rule.id, rule]))
    const trial = await tryEvents(events, {
      ...{ ...reactor.sls, texts, rules, maxDepth: config.reactor_max_depth },
      ...(await openWindows(store.reactions, rules, events, tagsSeenBy(caller))),
      guards: detachedGuards(id => byId.get(id) ?? null, services.clock, reactor.guards),
      running: { paused: rule => pauseOf(services, rule), line: (rule, key) => store.reactions.line(rule, key) }
    })
    const calls = trial.calls.map(call => ({ ...hidden(call), ...minionsOf(services, call) }))
    const shown = trial.events.map((tried, i) => shownEvent(asked[i]!, tried))
    const last = shown[shown.length - 1]!
    const closed = { ...last, windows: [...last.windows, ...trial.windows.map(shownWindow)] }
    const { calls: _, ...one } = closed
    const answer = body.events === undefined ? one : { events: [...shown.slice(0, -1), closed] }
    return { ...answer, calls } as unknown as Static<typeof Answer>
  })
}

function shownEvent({ id, tag, json }: Asked, { rules, windows, calls }: TriedEvent) {
  const data: unknown = JSON.parse(json)
  const event = { ...(id === undefined ? {} : { id }), tag, data }
  return { event, rules: rules.map(hiddenFiles), windows: windows.map(shownWindow), calls: calls.map(hidden) }
}

const shownWindow = (window: TriedWindow) => hiddenFiles(window)

function hiddenFiles<T extends Pick<TriedRule, 'sls'>>(rule: T): T {
  return { ...rule, sls: rule.sls.map(file => ({ ...file, reactions: file.reactions.map(hidden) })) }
}

/** Why a rule waits now; null when it does not. */
function pauseOf({ reactor }: Services, rule: string): string | null {
  for (const [id, what] of [
    ['', 'the reactor'],
    [rule, 'the rule']
  ] as const) {
    const { paused } = reactor.guards.shown(id)
    if (paused !== null) return `${what} was paused by ${paused.by} at ${stampOf(paused.us)}: it is planned and waits`
  }
  return null
}

interface CandidateBody {
  readonly rules?: readonly Static<typeof CandidateRule>[]
  readonly only?: boolean
  readonly sls?: string | Readonly<Record<string, string>>
}

/** Candidates name files of this machine and take its time: they are for those who may change rules. @throws NOT_PERMITTED */
export function mayTry(caller: Caller, { rules, sls }: CandidateBody): void {
  const write = rules !== undefined || sls !== undefined
  if (!caller.may({ kind: 'rules', write }))
    throw brineError('NOT_PERMITTED', caller.user, write ? 'try reactor rules' : 'see reactor rules')
}

type Asked = Parameters<typeof asStored>[0][number] & { readonly id?: string }

/** @throws FIELD_MISSING, FIELD_INVALID, TAG_INVALID, NOT_FOUND */
async function eventsOf(services: Services, { event, events, tag, data }: Static<typeof Question>, caller: Caller): Promise<Asked[]> {
  const one = event ?? (tag === undefined ? undefined : { tag, ...(data === undefined ? {} : { data }) })
  if (events !== undefined && one !== undefined) throw brineError('FIELD_INVALID', 'events', 'cannot stand beside event or tag')
  const all = events ?? (one === undefined ? [] : [one])
  if (all.length === 0) throw brineError('FIELD_MISSING', 'event')
  const asked: Asked[] = []
  for (const each of all) {
    if (typeof each === 'string') asked.push({ id: each, ...(await visibleEvent(services, each, caller)) })
    else asked.push(pastedEvent(each, services.clock.nowUs()))
  }
  return asked
}

/** The rules that count (those in use, with the candidates in their places or behind them) and the texts of files. `loneTag`: for a text without rules. @throws FIELD_INVALID */
export function candidatesOf(
  { reactor }: Pick<Services, 'reactor'>,
  { rules = [], only = false, sls }: CandidateBody,
  loneTag: string
): { rules: readonly TrialRule[]; texts: ReadonlyMap<string, string> } {
  const texts = new Map(typeof sls === 'object' ? Object.entries(sls) : [])
  const given = rules.map(candidate)
  if (typeof sls === 'string') {
    texts.set(LONE, sls)
    given.push(candidate({ id: 'candidate', tag: loneTag, sls: [LONE] }, 0))
  }
  const places = new Map(given.map(rule => [rule.id, rule]))
  if (places.size < given.length) {
    const twice = given.findIndex(rule => places.get(rule.id) !== rule)
    throw brineError('FIELD_INVALID', `rules[${twice}].id`, `is given twice: '${given[twice]!.id}'`)
  }
  const kept: readonly TrialRule[] = only || typeof sls === 'string' ? [] : reactor.rules.all()
  const replaced = kept.map(rule => places.get(rule.id) ?? rule)
  const known = new Set(kept.map(rule => rule.id))
  return { rules: [...replaced, ...given.filter(rule => !known.has(rule.id))], texts }
}

/** @throws FIELD_INVALID naming the rule and its field */
function candidate(given: Static<typeof CandidateRule>, i: number): TrialRule {
  const { id = `candidate-${i + 1}`, tag, match = 'glob', sls, enabled = true } = given
  const fault = optionFault(given)
  if (fault !== null) throw brineError('FIELD_INVALID', `rules[${i}].${fault.field}`, fault.reason)
  if (match === 'path') compilePath(tag)
  return { ...optionsOf(given as Parameters<typeof optionsOf>[0]), id, version: 0, tag, match, sls, enabled, source: 'candidate' }
}

/** How a text without a file of its own is called. */
const LONE = '(given)'

/** A glob that means this tag and no other. */
function literally(tag: string): string {
  return tag.replace(/[*?[]/g, '[$&]')
}

function hidden<T extends { readonly call: unknown }>(reaction: T): T {
  return { ...reaction, call: withoutSecretKeys(reaction.call) }
}

/** Names of minions that are shown. */
const MAX_MINIONS = 100

/** Whom a local call would mean now. */
function minionsOf({ keys, pillars, config }: Services, { call }: TriedCall): { minions?: string[]; minion_count?: number } {
  if (call.client !== 'local' || call.error !== undefined) return {}
  try {
    const { minions } = meantMinions(call.tgt, call.tgt_type ?? 'glob', { keys, pillars, nodegroups: config.nodegroups })
    return { minions: minions.slice(0, MAX_MINIONS), minion_count: minions.length }
  } catch (error) {
    if (isBrineError(error)) return { minions: [], minion_count: 0 }
    throw error
  }
}
