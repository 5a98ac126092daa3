import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox'
import type { Caller } from '../src/auth/caller.js'
import { brineError, isBrineError } from '../src/errors.js'
import type { StoredEvent } from '../src/events/event.js'
import { saltJson } from '../src/events/json.js'
import { meantMinions } from '../src/jobs/target.js'
import { refusals } from '../src/plugins/errors.js'
import { refusalOf } from '../src/reactor/gate.js'
import { RuleIndex } from '../src/reactor/match.js'
import type { Rule } from '../src/reactor/rules.js'
import { reactsTo, tooDeep } from '../src/reactor/scope.js'
import { withoutSecretKeys } from '../src/reactor/secrets.js'
import { asStored, type TrialRule, type TriedCall, tryRules } from '../src/reactor/trial.js'
import type { Services } from '../src/services.js'
import { stampOf } from '../src/shared/clock.js'
import { checkTag } from '../src/tags/tags.js'
import { visibleEvent } from './event-of.js'
import { TOKEN } from './schemas.js'

/** Rules and texts that one request may bring, and how long a text may be: a rule set that people wrote, not a load test. */
const MAX_CANDIDATES = 1000
const MAX_TEXTS = 100
const MAX_TEXT = 1024 * 1024

const CandidateRule = Type.Object(
  {
    id: Type.Optional(Type.String({ maxLength: 200, description: 'With the id of a rule that exists it stands in its place' })),
    tag: Type.String({ minLength: 1, maxLength: 1024 }),
    match: Type.Optional(Type.Union([Type.Literal('glob'), Type.Literal('path')])),
    sls: Type.Array(Type.String({ minLength: 1, maxLength: 4096 }), { minItems: 1, maxItems: 100 })
  },
  { additionalProperties: true, title: 'CandidateRule' }
)

/** Candidates: what is tried although it is not stored. */
export const Candidates = {
  rules: Type.Optional(
    Type.Array(CandidateRule, { maxItems: MAX_CANDIDATES, description: 'Rules to try beside those that exist; they need not be stored' })
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

const Pasted = Type.Object(
  { tag: Type.String(), data: Type.Optional(Type.Record(Type.String(), Type.Unknown())) },
  { additionalProperties: false }
)
const Question = Type.Object(
  {
    event: Type.Optional(Type.Union([Type.String(), Pasted], { description: 'The id of an event on the log, or `{tag, data}`' })),
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
const Answer = Type.Object({
  event: Type.Object({ id: Type.Optional(Type.String()), tag: Type.String(), data: Type.Unknown() }),
  rules: Type.Array(
    Type.Object({
      rule: Type.String(),
      tag: Type.String(),
      source: Type.String(),
      refusal: Type.Optional(Type.String({ description: 'Why the rule does nothing although its tag matches' })),
      sls: Type.Array(File)
    })
  ),
  calls: Type.Array(Call, { description: 'All calls in the order in which they would be made' })
})

/** POST /reactor/test: what would be done about an event; nothing is executed, planned or written. */
export const reactorTest: FastifyPluginAsyncTypebox = async app => {
  const { services } = app
  const schema = {
    tags: ['reactor'],
    security: TOKEN,
    summary: 'Try rules and SLS files on an event; nothing is executed',
    description:
      'An event of the log or one that is given here: which rules match, what their SLS files render to, which calls would be made, and mistakes ' +
      'with file, line and column. Rules and SLS texts of the request are tried without being stored (that needs the right to change rules).',
    body: Question,
    response: { 200: Answer, ...refusals(400, 401, 403, 404) }
  }
  app.post('/reactor/test', { schema }, async request => {
    const { body, caller } = request
    mayTry(caller, body)
    const { id, event } = await eventOf(services, body, caller)
    const { rules, texts } = candidatesOf(services, body, event.tag)
    const refusal = ({ id, tag, source }: TrialRule) => {
      if (!reactsTo({ tag }, event)) return 'the loop guard: the reactor does not react to this event'
      // A candidate stands for itself: it has no options.
      const rule = source === 'candidate' ? null : services.reactor.rules.find(id)
      const refused = rule === null ? null : refusalOf(rule, event)
      return refused === null ? tooDeep(event, services.config.reactor_max_depth) : 'why' in refused ? refused.why : refused.error
    }
    const matching = matchingRules(rules, event.tag)
    const trial = await tryRules(matching, event, { ...services.reactor.sls, texts, refusal })
    const data: unknown = JSON.parse(event.json)
    return {
      event: { ...(id === null ? {} : { id }), tag: event.tag, data },
      rules: trial.rules.map(rule => ({ ...rule, sls: rule.sls.map(file => ({ ...file, reactions: file.reactions.map(hidden) })) })),
      calls: trial.calls.map(call => ({ ...hidden(call), ...minionsOf(services, call) }))
    } as unknown as Static<typeof Answer>
  })
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

async function eventOf(
  services: Services,
  { event, tag, data }: Static<typeof Question>,
  caller: Caller
): Promise<{ id: string | null; event: StoredEvent }> {
  if (typeof event === 'string') return { id: event, event: await visibleEvent(services, event, caller) }
  const pasted = event ?? (tag === undefined ? undefined : { tag, ...(data === undefined ? {} : { data }) })
  if (pasted === undefined) throw brineError('FIELD_MISSING', 'event')
  const fault = checkTag(pasted.tag)
  if (fault !== null) throw brineError('TAG_INVALID', JSON.stringify(pasted.tag.slice(0, 80)), fault)
  const stamp = pasted.data !== undefined && '_stamp' in pasted.data ? {} : { _stamp: stampOf(services.clock.nowUs()) }
  const json = saltJson({ ...pasted.data, ...stamp })
  return { id: null, event: { ...asStored({ tag: pasted.tag, json }), stampUs: services.clock.nowUs() } }
}

/** A rule as it is tried. */
export type ToTry = Pick<Rule, 'id' | 'tag' | 'sls' | 'match' | 'enabled'> & { readonly source: TrialRule['source'] }

/** The rules that count (those in use, with the candidates in their places or behind them) and the texts of files. */
export function candidatesOf(
  { reactor }: Pick<Services, 'reactor'>,
  { rules = [], only = false, sls }: CandidateBody,
  tag: string
): { rules: readonly ToTry[]; texts: ReadonlyMap<string, string> } {
  const texts = new Map(typeof sls === 'object' ? Object.entries(sls) : [])
  const given: ToTry[] = rules.map(({ id, tag, match = 'glob', sls }, i) => {
    return { id: id ?? `candidate-${i + 1}`, tag, match, sls, enabled: true, source: 'candidate' }
  })
  if (typeof sls === 'string') {
    texts.set(LONE, sls)
    given.push({ id: 'candidate', tag: literally(tag), match: 'glob', sls: [LONE], enabled: true, source: 'candidate' })
  }
  const places = new Map(given.map(rule => [rule.id, rule]))
  const kept = only || typeof sls === 'string' ? [] : reactor.rules.all()
  const replaced = kept.map(rule => places.get(rule.id) ?? rule)
  const known = new Set(kept.map(rule => rule.id))
  return { rules: [...replaced, ...given.filter(rule => !known.has(rule.id))], texts }
}

/** How a text without a file of its own is called. */
const LONE = '(given)'

/** A glob that means this tag and no other. */
function literally(tag: string): string {
  return tag.replace(/[*?[]/g, '[$&]')
}

/** The enabled rules that match a tag, in their order. @throws FIELD_INVALID for a pattern that is none */
function matchingRules(rules: readonly ToTry[], tag: string): readonly ToTry[] {
  const index = new RuleIndex()
  for (const rule of rules) index.add(rule as Rule)
  const found = new Set<unknown>(index.matching(tag))
  return rules.filter(rule => found.has(rule))
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
