import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from '../src/auth/caller.js'
import { brineError } from '../src/errors.js'
import { refusals } from '../src/plugins/errors.js'
import { NewRule, RULE_FIELD_TYPES, RuleBody, RulePatch } from '../src/reactor/rule-schema.js'
import { type Rule, specOf } from '../src/reactor/rules.js'
import { stampOf } from '../src/shared/clock.js'
import { TOKEN } from './schemas.js'

const RuleAnswer = Type.Object({
  id: Type.String(),
  version: Type.Integer(),
  ...RULE_FIELD_TYPES,
  source: Type.Union([Type.Literal('config'), Type.Literal('api')], { description: 'Rules of the configuration cannot be changed here' }),
  changed_by: Type.String(),
  changed: Type.Union([Type.String(), Type.Null()], { description: 'UTC' })
})
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
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
        after: Type.Optional(Type.String({ description: 'Go on after the rule with this id' }))
      },
      { additionalProperties: false }
    ),
    response: { 200: Rules, ...refusals(401, 403, 404) }
  }
  app.get('/reactor/rules', { schema: list }, async request => {
    allow(request.caller, false)
    const { tag, limit = 1000, after } = request.query
    const all = tag === undefined ? services.reactor.rules.all() : services.reactor.rules.matching(tag)
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
    allow(request.caller, true)
    const rule = await services.reactor.rules.create(request.body, authorOf(request))
    return withVersion(reply.code(201).header('location', `/reactor/rules/${rule.id}`), rule)
  })

  const get = { ...common, summary: 'A rule', params: Id, response: { 200: RuleAnswer, ...refusals(401, 403, 404) } }
  app.get('/reactor/rules/:id', { schema: get }, async (request, reply) => {
    allow(request.caller, false)
    return withVersion(reply, services.reactor.rules.get(request.params.id))
  })

  const change = { ...common, params: Id, headers: Type.Object({ 'if-match': Type.Optional(Type.String()) }) }
  const put = {
    ...change,
    summary: 'Put a rule in place, new or instead of the one with this id',
    description: 'With `If-Match` (a version, as the ETag header tells it) only over that version.',
    body: RuleBody,
    response: { 200: RuleAnswer, 201: RuleAnswer, ...refusals(400, 401, 403, 404, 409, 412) }
  }
  app.put('/reactor/rules/:id', { schema: put }, async (request, reply) => {
    allow(request.caller, true)
    const { id } = request.params
    const input = request.body
    const version = versionOf(request)
    const isNew = version === undefined && !services.reactor.rules.has(id)
    if (isNew) return withVersion(reply.code(201), await services.reactor.rules.create({ ...input, id }, authorOf(request)))
    return withVersion(reply, await services.reactor.rules.replace(id, input, authorOf(request), version))
  })

  const patch = {
    ...change,
    summary: 'Change fields of a rule',
    body: RulePatch,
    response: { 200: RuleAnswer, ...refusals(400, 401, 403, 404, 409, 412) }
  }
  app.patch('/reactor/rules/:id', { schema: patch }, async (request, reply) => {
    allow(request.caller, true)
    return withVersion(reply, await services.reactor.rules.change(request.params.id, request.body, authorOf(request), versionOf(request)))
  })

  const remove = {
    ...change,
    summary: 'Remove a rule',
    description: 'What was planned because of it still happens.',
    response: { 200: Type.Object({ success: Type.Literal(true) }), ...refusals(401, 403, 404, 409, 412) }
  }
  app.delete('/reactor/rules/:id', { schema: remove }, async request => {
    allow(request.caller, true)
    await services.reactor.rules.remove(request.params.id, authorOf(request), versionOf(request))
    return { success: true as const }
  })
}

/** @throws NOT_PERMITTED */
function allow(caller: Caller, write: boolean): void {
  if (!caller.may({ kind: 'rules', write }))
    throw brineError('NOT_PERMITTED', caller.user, write ? 'change reactor rules' : 'see reactor rules')
}

function authorOf({ caller }: FastifyRequest) {
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
  const { id, version, source, changedBy, changedUs } = rule
  const { sls, tags, ...spec } = specOf(rule)
  const changed = changedUs === 0 ? null : stampOf(changedUs)
  return { id, version, ...spec, sls: [...sls], tags: [...tags], source, changed_by: changedBy, changed } as Static<typeof RuleAnswer>
}
