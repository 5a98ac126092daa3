import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from '../src/auth/caller.js'
import { brineError } from '../src/errors.js'
import { refusals } from '../src/plugins/errors.js'
import { NewRule, RULE_FIELD_TYPES, RuleBody, RulePatch } from '../src/reactor/rule-schema.js'
import { type Rule, ruleDiff, specOf } from '../src/reactor/rules.js'
import { stampOf } from '../src/shared/clock.js'
import type { RuleRecord } from '../src/store/store.js'
import { TOKEN } from './schemas.js'

const RuleAnswer = Type.Object({
  id: Type.String(),
  version: Type.Integer(),
  ...RULE_FIELD_TYPES,
  source: Type.Union([Type.Literal('config'), Type.Literal('api')], { description: 'Rules of the configuration cannot be changed here' }),
  changed_by: Type.String(),
  changed: Type.Union([Type.String(), Type.Null()], { description: 'UTC' })
})
const VersionAnswer = Type.Object({
  version: Type.Integer(),
  ...RULE_FIELD_TYPES,
  changed_by: Type.String(),
  changed: Type.Union([Type.String(), Type.Null()])
})
const VersionNumber = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })
const Rules = Type.Object({
  rules: Type.Array(RuleAnswer),
  next: Type.Optional(Type.String({ description: '`after` of the next page' }))
})

const Id = Type.Object({ id: Type.String() })
const common = { tags: ['reactor'], security: TOKEN }

/** Rules. Behind a token; whoever may see or change them is asked of `caller.may`. */
export const reactor: FastifyPluginAsyncTypebox = async app => {
  const { services } = app
  const list = {
    ...common,
    summary: 'Reactor rules, in the order in which they apply',
    querystring: Type.Object(
      {
        tag: Type.Optional(Type.String({ description: 'Only the enabled rules that apply to an event with this tag' })),
        tagged: Type.Optional(Type.String({ description: 'Only rules that have this word among their tags' })),
        owner: Type.Optional(Type.String({ description: 'Only rules of this owner' })),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
        after: Type.Optional(Type.String({ description: 'Go on after the rule with this id' }))
      },
      { additionalProperties: false }
    ),
    response: { 200: Rules, ...refusals(401, 403, 404) }
  }
  app.get('/reactor/rules', { schema: list }, async request => {
    allowRules(request.caller, false)
    const { tag, tagged, owner, limit = 1000, after } = request.query
    const asked = tag === undefined ? services.reactor.rules.all() : services.reactor.rules.matching(tag)
    const all = asked.filter(rule => (tagged === undefined || rule.tags.includes(tagged)) && (owner === undefined || rule.owner === owner))
    const from = after === undefined ? 0 : all.findIndex(rule => rule.id === after) + 1
    const page = all.slice(from, from + limit)
    return { rules: page.map(shownRule), ...(from + limit < all.length ? { next: page[page.length - 1]!.id } : {}) }
  })

  const create = {
    ...common,
    summary: 'Make a rule',
    description: 'It applies to events from now on. Without an id it gets one.',
    body: NewRule,
    response: { 201: RuleAnswer, ...refusals(400, 401, 403, 409) }
  }
  app.post('/reactor/rules', { schema: create }, async (request, reply) => {
    allowRules(request.caller, true)
    const rule = await services.reactor.rules.create(request.body, authorOf(request))
    return withVersion(reply.code(201).header('location', `/reactor/rules/${rule.id}`), rule)
  })

  const get = { ...common, summary: 'A rule', params: Id, response: { 200: RuleAnswer, ...refusals(401, 403, 404) } }
  app.get('/reactor/rules/:id', { schema: get }, async (request, reply) => {
    allowRules(request.caller, false)
    return withVersion(reply, services.reactor.rules.get(request.params.id))
  })

  const change = { ...common, params: Id, headers: conditions }
  const put = {
    ...change,
    summary: 'Put a rule in place, new or instead of the one with this id',
    description:
      'Over a rule that is there only with `If-Match`: a version, as the ETag header tells it, or * (428 without, 412 over another version). ' +
      '`If-None-Match: *` only where none is.',
    body: RuleBody,
    response: { 200: RuleAnswer, 201: RuleAnswer, ...refusals(400, 401, 403, 404, 409, 412, 428) }
  }
  app.put('/reactor/rules/:id', { schema: put }, async (request, reply) => {
    allowRules(request.caller, true)
    const { id } = request.params
    const input = request.body
    const version = versionOf(request)
    const isThere = services.reactor.rules.has(id)
    if (isThere && request.headers['if-none-match'] !== undefined) throw brineError('PRECONDITION_FAILED', `rule ${id}`)
    if (isThere && request.headers['if-match'] === undefined && services.reactor.rules.get(id).source === 'api')
      throw brineError('PRECONDITION_REQUIRED', `rule ${id}`)
    if (!isThere && request.headers['if-match'] === undefined)
      return withVersion(reply.code(201), await services.reactor.rules.create({ ...input, id }, authorOf(request)))
    return withVersion(reply, await services.reactor.rules.replace(id, input, authorOf(request), version))
  })

  const patch = {
    ...change,
    summary: 'Change fields of a rule',
    body: RulePatch,
    response: { 200: RuleAnswer, ...refusals(400, 401, 403, 404, 409, 412) }
  }
  app.patch('/reactor/rules/:id', { schema: patch }, async (request, reply) => {
    allowRules(request.caller, true)
    return withVersion(reply, await services.reactor.rules.change(request.params.id, request.body, authorOf(request), versionOf(request)))
  })

  const remove = {
    ...change,
    summary: 'Remove a rule',
    description: 'What was planned because of it still happens.',
    response: { 200: Type.Object({ success: Type.Literal(true) }), ...refusals(401, 403, 404, 409, 412) }
  }
  app.delete('/reactor/rules/:id', { schema: remove }, async request => {
    allowRules(request.caller, true)
    await services.reactor.rules.remove(request.params.id, authorOf(request), versionOf(request))
    return { success: true as const }
  })
}

/** Earlier versions of rules, and the rules of the configuration read anew. */
export const reactorVersions: FastifyPluginAsyncTypebox = async app => {
  const { reactor } = app.services
  const versions = {
    ...common,
    summary: 'Versions of a rule, newest first',
    description: 'Those that are kept (500), also of a rule that was removed. Each with who made it and when.',
    params: Id,
    response: { 200: Type.Object({ versions: Type.Array(VersionAnswer) }), ...refusals(401, 403, 404) }
  }
  app.get('/reactor/rules/:id/versions', { schema: versions }, async request => {
    allowRules(request.caller, false)
    return { versions: (await reactor.rules.versions(request.params.id)).map(shownVersion) }
  })

  const one = {
    ...common,
    summary: 'A rule as it was in a version',
    params: Type.Object({ id: Type.String(), version: VersionNumber }),
    response: { 200: VersionAnswer, ...refusals(400, 401, 403, 404) }
  }
  app.get('/reactor/rules/:id/versions/:version', { schema: one }, async request => {
    allowRules(request.caller, false)
    return shownVersion(await reactor.rules.version(request.params.id, request.params.version))
  })

  const diff = {
    ...common,
    summary: 'What changed between two versions of a rule',
    params: Id,
    querystring: Type.Object(
      {
        from: Type.Optional({ ...VersionNumber, description: 'The one before `to` by default' }),
        to: Type.Optional({ ...VersionNumber, description: 'The newest by default' })
      },
      { additionalProperties: false }
    ),
    response: {
      200: Type.Object({
        from: Type.Integer(),
        to: Type.Integer(),
        fields: Type.Array(Type.String(), { description: 'The fields that differ' }),
        diff: Type.String({ description: 'Unified, of the rule as YAML; empty for equal versions' })
      }),
      ...refusals(400, 401, 403, 404)
    }
  }
  app.get('/reactor/rules/:id/diff', { schema: diff }, async request => {
    allowRules(request.caller, false)
    const { id } = request.params
    const all = await reactor.rules.versions(id)
    const to = await reactor.rules.version(id, request.query.to ?? all[0]!.version)
    const before = all.find(({ version }) => version < to.version) ?? to
    const from = request.query.from === undefined ? before : await reactor.rules.version(id, request.query.from)
    return { from: from.version, to: to.version, ...ruleDiff(from, to) }
  })

  const restore = {
    ...common,
    summary: 'Make a rule what it was in an earlier version',
    description: 'That becomes the newest version; a rule that was removed is there again. With `If-Match` only over that version.',
    params: Id,
    headers: conditions,
    body: Type.Object({ version: VersionNumber }, { additionalProperties: false }),
    response: { 200: RuleAnswer, ...refusals(400, 401, 403, 404, 409, 412) }
  }
  app.post('/reactor/rules/:id/restore', { schema: restore }, async (request, reply) => {
    allowRules(request.caller, true)
    const { version } = request.body
    return withVersion(reply, await reactor.rules.restore(request.params.id, version, authorOf(request), versionOf(request)))
  })

  const reload = {
    ...common,
    summary: 'Read the rules of the configuration anew',
    description:
      'They also are by themselves when a file of the configuration changes (setting reactor_reload_interval). Files with mistakes change ' +
      'nothing: 409 tells what is wrong. Ids of the rules that are new, other than before, and gone.',
    response: {
      200: Type.Object({ created: Type.Array(Type.String()), changed: Type.Array(Type.String()), removed: Type.Array(Type.String()) }),
      ...refusals(401, 403, 409)
    }
  }
  app.post('/reactor/reload', { schema: reload }, async request => {
    allowRules(request.caller, true)
    const { created, changed, removed } = await reactor.reload(request.caller.user)
    return { created: [...created], changed: [...changed], removed: [...removed] }
  })
}

const conditions = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'Only over this version, as the ETag header tells it' })),
  'if-none-match': Type.Optional(Type.Literal('*', { description: 'Only where none is' }))
})

/** @throws NOT_PERMITTED */
export function allowRules(caller: Caller, write: boolean): void {
  if (!caller.may({ kind: 'rules', write }))
    throw brineError('NOT_PERMITTED', caller.user, write ? 'change reactor rules' : 'see reactor rules')
}

export function authorOf({ caller }: FastifyRequest) {
  return { user: caller.user, source: caller.source }
}

/** The version that `If-Match` asks for; undefined for any. @throws FIELD_INVALID */
function versionOf(request: FastifyRequest): number | undefined {
  const header = request.headers['if-match']
  if (header === undefined || header === '*') return undefined
  const version = /^(?:W\/)?"?(\d{1,10})"?$/.exec(header)
  if (version === null) throw brineError('FIELD_INVALID', 'If-Match', 'must be a version, as in the ETag header')
  return Number(version[1])
}

function withVersion(reply: FastifyReply, rule: Rule): Static<typeof RuleAnswer> {
  reply.header('etag', `"${rule.version}"`)
  return shownRule(rule)
}

function shownRule(rule: Rule): Static<typeof RuleAnswer> {
  return { id: rule.id, source: rule.source, ...shownVersion(rule) }
}

function shownVersion(rule: RuleRecord): Static<typeof VersionAnswer> {
  const { sls, tags, ...spec } = specOf(rule)
  const changed = rule.changedUs === 0 ? null : stampOf(rule.changedUs)
  return { version: rule.version, ...spec, sls: [...sls], tags: [...tags], changed_by: rule.changedBy, changed } as Static<
    typeof VersionAnswer
  >
}
