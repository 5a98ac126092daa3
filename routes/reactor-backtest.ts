import { Readable } from 'node:stream'
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { brineError } from '../src/errors.js'
import { eventId, parseEventId } from '../src/events/event.js'
import { saltJson } from '../src/events/json.js'
import { parseTime } from '../src/hub/position.js'
import { negotiate } from '../src/plugins/answers.js'
import { refusals } from '../src/plugins/errors.js'
import { type BacktestProgress, type BacktestQuestion, Backtests } from '../src/reactor/backtest.js'
import { optionsOf, type RuleOptions } from '../src/reactor/options.js'
import type { Services } from '../src/services.js'
import { seqOf } from './event-of.js'
import { Candidates, candidatesOf, mayTry } from './reactor-test.js'
import { TOKEN } from './schemas.js'

const NDJSON = 'application/x-ndjson'
const SSE = 'text/event-stream'
const FORMS = [NDJSON, 'application/json', SSE] as const

/** Examples of each kind. */
const SAMPLES = { usual: 5, most: 100 }

const Question = Type.Object(
  {
    ...Candidates,
    tag: Type.Optional(Type.String({ maxLength: 1024, description: 'With a lone text in `sls`: the tags (a glob) that it is tried on' })),
    rule: Type.Optional(Type.String({ description: 'Only this rule, compared with what it did' })),
    compare: Type.Optional(Type.Boolean({ description: 'Whether to compare with what was done; yes, unless a lone text is tried' })),
    since: Type.Optional(
      Type.String({ description: '`earliest` (default), an event id (excluded), an ISO time, seconds since 1970, `7d` ago' })
    ),
    until: Type.Optional(Type.String({ description: 'An event id (included) or a time; now by default' })),
    samples: Type.Optional(Type.Integer({ minimum: 0, maximum: SAMPLES.most }))
  },
  { additionalProperties: false, title: 'ReactorBacktest' }
)
const Numbers = Type.Record(Type.String(), Type.Integer())
const OfRule = Type.Object(
  {
    matched: Type.Integer({ description: 'Events with its tag; each was reacted to, is waiting, or was passed over' }),
    reacted: Type.Integer(),
    waiting: Type.Integer({ description: 'At the end in a window, in line, or until the rule is active' }),
    passed: Numbers,
    calls: Type.Integer(),
    failed: Type.Integer()
  },
  { title: 'BacktestOfRule' }
)
const Report = Type.Object(
  {
    done: Type.Boolean({ description: 'False in reports on the way; the last one is the result' }),
    scanned: Type.Integer(),
    total: Type.Integer(),
    at: Type.String(),
    seconds: Type.Number(),
    counts: Numbers,
    passed: { ...Numbers, description: 'Events that were passed over, by the option that did it, over all rules' },
    rules: Type.Record(Type.String(), OfRule),
    samples: Type.Optional(Type.Record(Type.String(), Type.Array(Type.Unknown()))),
    partial: Type.Optional(Type.Boolean({ description: 'More was done in some part of the log than was compared' }))
  },
  { title: 'BacktestReport' }
)

/** POST /reactor/backtest: what rules would have done about the past; nothing is executed. */
export const reactorBacktest: FastifyPluginAsyncTypebox = async app => {
  const { services } = app
  const { store, config } = services
  const roots = { fileRoots: config.file_roots, reactorRoots: config.reactor_roots }
  const backtests = new Backtests({ store, ...roots, maxDepth: config.reactor_max_depth, clock: services.clock })
  const schema = {
    tags: ['reactor'],
    security: TOKEN,
    summary: 'Try rules on the events of the past; nothing is executed',
    description:
      'The rules in use, candidates beside them or in their place (`only`), one `rule`, or a lone SLS text with a `tag`: how many calls they would have ' +
      'made, examples, mistakes, and what is the same, changed, added and removed against what was done. Options count as they do live, by the stamps of the ' +
      'events: windows (begun before the range, closed after it), rate limits, times; `concurrency` and `breaker` with the lengths and outcomes that the same ' +
      'calls had, and as calls that succeed at once where they were never made (`counts.unknown`). Answers with reports as it goes (NDJSON, or ' +
      'SSE by `Accept`); as JSON with the result alone. Closing the connection cancels it.',
    body: Question,
    response: {
      200: {
        description: 'Reports; the last one is the result',
        content: { [NDJSON]: { schema: Report }, [SSE]: { schema: Report }, 'application/json': { schema: Report } }
      },
      ...refusals(400, 401, 403, 404, 503)
    }
  }
  app.post('/reactor/backtest', { schema }, async (request, reply) => {
    mayTry(request.caller, request.body)
    // It reads all events, whatever tags the caller may see.
    if (request.caller.readable === null || Object.keys(request.caller.readable).length > 0) {
      throw brineError('NOT_PERMITTED', request.caller.user, 'read all events, which a backtest does')
    }
    const question = await questionOf(services, request.body)
    const form = negotiate(request.headers.accept, FORMS) ?? NDJSON
    const abort = new AbortController()
    reply.raw.once('close', () => abort.abort())
    const reports = reportsOf(services, backtests.run(question, abort.signal))
    // What is wrong from the start is an ordinary refusal.
    const first = await reports.next()
    if (form === 'application/json') {
      let last = first.value
      for await (const report of reports) last = report
      return last as never
    }
    const print = form === SSE ? frameOf : (report: object) => `${saltJson(report)}\n`
    reply.header('content-type', form === SSE ? `${SSE};charset=utf-8` : NDJSON).header('cache-control', 'no-store')
    return reply.send(Readable.from(printed(first, reports, print), { objectMode: false }) as never)
  })
}

async function* printed(
  first: IteratorResult<object, unknown>,
  rest: AsyncGenerator<object>,
  print: (report: object) => string
): AsyncGenerator<Buffer> {
  if (!first.done) yield Buffer.from(print(first.value))
  for await (const report of rest) yield Buffer.from(print(report))
}

function frameOf(report: object): string {
  return `event: ${(report as { done: boolean }).done ? 'result' : 'progress'}\ndata: ${saltJson(report)}\n\n`
}

/** Between two reports on the way. */
const EVERY_MS = 250

/** Reports for people: ids instead of positions, samples with the result alone. The last one is the result. */
async function* reportsOf(services: Services, progress: AsyncGenerator<BacktestProgress>): AsyncGenerator<object> {
  let told = performance.now()
  let last: BacktestProgress | null = null
  for await (const step of progress) {
    last = step
    if (!step.done && performance.now() - told >= EVERY_MS) {
      told = performance.now()
      yield report(services, step, false)
    }
  }
  if (last !== null) yield report(services, last, last.done)
}

function report({ store }: Services, { scanned, total, at, seconds, summary, partial }: BacktestProgress, done: boolean): object {
  const { epoch } = store.events
  const named = (list: readonly { readonly event: number }[]) => list.map(each => ({ ...each, event: eventId(epoch, each.event) }))
  const samples = Object.fromEntries(Object.entries(summary.samples).map(([kind, list]) => [kind, named(list)]))
  const { counts, passed, rules } = summary
  const about = { done, scanned, total, at: eventId(epoch, at), seconds: Math.round(seconds * 1000) / 1000, counts, passed, rules }
  return { ...about, ...(done ? { samples } : {}), ...(partial ? { partial } : {}) }
}

interface Wanted {
  readonly rules?: NonNullable<Parameters<typeof candidatesOf>[1]['rules']>
  readonly only?: boolean
  readonly sls?: string | Record<string, string>
  readonly tag?: string
  readonly rule?: string
  readonly compare?: boolean
  readonly since?: string
  readonly until?: string
  readonly samples?: number
}

/** @throws NOT_FOUND, FIELD_INVALID, FIELD_MISSING, CURSOR_INVALID */
async function questionOf(services: Services, wanted: Wanted): Promise<BacktestQuestion> {
  const lone = typeof wanted.sls === 'string'
  if (lone && wanted.tag === undefined) throw brineError('FIELD_MISSING', 'tag')
  const { rules: all, texts } = candidatesOf(services, wanted, wanted.tag ?? '')
  const rules = all.filter(rule => rule.enabled && (wanted.rule === undefined || rule.id === wanted.rule))
  if (wanted.rule !== undefined && rules.length === 0) throw brineError('NOT_FOUND', `rule ${wanted.rule.slice(0, 100)}`)
  const compare = wanted.compare ?? !lone
  return {
    rules: rules.map(rule => ({
      id: rule.id,
      tag: rule.tag,
      match: rule.match,
      sls: rule.sls,
      ...withDefaults(optionsOf(rule), services)
    })),
    texts,
    samples: wanted.samples ?? SAMPLES.usual,
    compare: compare ? (wanted.rule === undefined ? {} : { rule: wanted.rule }) : null,
    ...(await rangeOf(services, wanted))
  }
}

/** The guards of rules without such options of their own: the settings reactor_rate_limit and reactor_breaker. */
function withDefaults(options: RuleOptions, { reactor }: Services): RuleOptions {
  const { rate_limit, breaker } = reactor.guards.defaults
  return { ...options, rate_limit: options.rate_limit ?? rate_limit, breaker: options.breaker ?? breaker }
}

async function rangeOf(
  services: Services,
  { since = 'earliest', until }: Wanted
): Promise<Pick<BacktestQuestion, 'after' | 'upTo' | 'fromUs' | 'untilUs'>> {
  const { events } = services.store
  const nowUs = services.clock.nowUs()
  const head = await events.head()
  const oldest = (await events.oldest()) - 1
  const isId = (text: string) => parseEventId(text) !== null
  const fromUs = since === 'earliest' || isId(since) ? undefined : parseTime(since, nowUs)
  const after = fromUs !== undefined ? await events.seqBefore(fromUs) : isId(since) ? seqOf(services, since) : 0
  const untilUs = until === undefined || isId(until) ? undefined : parseTime(until, nowUs)
  const upTo =
    untilUs !== undefined ? await events.seqBefore(untilUs + 1) : until !== undefined ? Math.min(head, seqOf(services, until)) : head
  const times = { ...(fromUs === undefined ? {} : { fromUs }), ...(untilUs === undefined ? {} : { untilUs }) }
  return { after: Math.min(Math.max(after, oldest), upTo), upTo, ...times }
}
