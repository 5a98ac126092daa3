/**
 * The form of what a caller says of a rule: for the routes, which make `openapi.yaml` of it, and for rules in files (`brine reactor validate`). The
 * limits of values are in `rules.ts`, whose errors name the field.
 */
import { Type } from 'typebox'
import { ruleOptions } from './option-schema.js'

export const RULE_FIELD_TYPES = {
  tag: Type.String({
    description: 'Which events: a glob as Salt has them, or with `match: path` a path pattern',
    examples: ['salt/minion/*/start']
  }),
  sls: Type.Array(Type.String(), { description: 'SLS files: absolute paths (globs are expanded), or salt://…' }),
  match: Type.Union([Type.Literal('glob'), Type.Literal('path')], {
    description: '`glob`: `*` crosses slashes, as in Salt. `path`: micromatch; `*` stays within a segment, `**` crosses.'
  }),
  enabled: Type.Boolean(),
  order: Type.Integer({ description: 'Rules with a lower number come first; those of the configuration before all' }),
  comment: Type.String(),
  tags: Type.Array(Type.String(), { description: 'Free words to find rules by' }),
  owner: Type.String({ description: 'Who answers for the rule' }),
  ...ruleOptions
}

/** Any of the fields, at least one. */
export const RulePatch = Type.Partial(Type.Object(RULE_FIELD_TYPES), { additionalProperties: false, minProperties: 1 })

/** What a rule must have, and what it may. */
export const RuleBody = Type.Object(
  { ...RulePatch.properties, tag: RULE_FIELD_TYPES.tag, sls: RULE_FIELD_TYPES.sls },
  { additionalProperties: false }
)

/** The same with the rule's name. */
export const NewRule = Type.Object({ id: Type.Optional(Type.String()), ...RuleBody.properties }, { additionalProperties: false })
