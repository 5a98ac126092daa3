import { Type } from 'typebox'
import { DAYS } from './active.js'
import { RETRY_ON } from './options.js'

const Duration = Type.Union([Type.Number(), Type.String()], { description: 'Seconds, or text: `500ms`, `30s`, `5m`, `2h`, `1d`' })
const strict = { additionalProperties: false } as const
const orNone = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T, description: string) =>
  Type.Union([schema, Type.Null()], { description })

/** Options of rules; the limits of their values are in `options.ts`, which names the field it refuses. */
export const ruleOptions = {
  when: orNone(Type.String(), 'An expression over `tag` and `data`, as templates have them: the rule reacts where it holds'),
  active: orNone(
    Type.Array(
      Type.Object(
        {
          days: Type.Optional(Type.Array(Type.Union(DAYS.map(day => Type.Literal(day))))),
          from: Type.Optional(Type.String({ description: '`HH:MM`' })),
          to: Type.Optional(Type.String({ description: '`HH:MM`, excluded; before `from`: past midnight' })),
          cron: Type.Optional(Type.String({ description: 'Instead: the minutes that this expression matches' })),
          timezone: Type.Optional(Type.String({ description: 'IANA name; UTC by default' }))
        },
        strict
      )
    ),
    'Times in which the rule is active, by the stamp of the event'
  ),
  outside: orNone(
    Type.Union([Type.Literal('skip'), Type.Literal('hold')]),
    'Events outside of `active`: passed over (default), or held until it is active'
  ),
  throttle: orNone(
    Type.Union([Type.Object({ once_within: Duration }, strict), Type.Object({ once_after: Duration }, strict)]),
    '`once_within`: react to the first event and to no other in that time. `once_after`: gather for that long, then react once to all'
  ),
  debounce: orNone(
    Type.Object({ period: Duration, max: Type.Optional(Duration) }, strict),
    'React once to all events when none has come for `period`, at the latest `max` after the first'
  ),
  accumulate: orNone(
    Type.Object({ within: Duration, threshold: Type.Integer() }, strict),
    'React once to `threshold` events that came within a time'
  ),
  group_by: orNone(Type.String(), 'An expression: events with different values are gathered apart'),
  concurrency: orNone(
    Type.Object({ key: Type.Optional(Type.String()), limit: Type.Integer() }, strict),
    'So many events (of each value of the expression `key`) at a time, until their jobs are over; others wait in line'
  ),
  retry: orNone(
    Type.Object(
      {
        attempts: Type.Optional(Type.Integer()),
        pause: Type.Optional(Duration),
        factor: Type.Optional(Type.Number()),
        jitter: Type.Optional(Type.Number()),
        on: Type.Optional(Type.Array(Type.Union(RETRY_ON.map(each => Type.Literal(each)))))
      },
      strict
    ),
    'How often is tried what was never published, the first pause, its growth, and by what part it varies; `on`: what is made again though it was made'
  ),
  rate_limit: orNone(Type.Object({ limit: Type.Integer(), per: Duration }, strict), 'More than so many events in a time are blocked'),
  breaker: orNone(
    Type.Object({ failures: Type.Integer(), within: Type.Optional(Duration), rest: Type.Optional(Duration) }, strict),
    'After so many failures within a time (1m) the rule is blocked for `rest` (1m); then one event is tried'
  )
}
