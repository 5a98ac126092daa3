import type { PassedOver } from '../reactor/passed.js'
import type { TracedEvent, TracedPlan, TracedReaction, TracedWindow } from '../reactor/trace.js'
import { type Client, connect, type RemoteOptions } from './client.js'
import type { Exit } from './exit.js'
import { type Format, format, table } from './output.js'
import type { Terminal } from './terminal.js'

interface Options extends RemoteOptions {
  readonly out?: Format
}

export interface TraceOptions extends Options {
  /** Also print what SLS files rendered to. */
  readonly rendered?: boolean
}

/** `brine event trace`: what an event led to, as a tree. */
export async function trace(terminal: Terminal, id: string, options: TraceOptions): Promise<Exit> {
  const traced = (await connect(terminal, options).json('GET', `/events/${encodeURIComponent(id)}/trace`)) as TracedEvent
  if (options.out !== undefined) terminal.out(format(traced, options.out))
  else terminal.out(`${printEvent(traced, traced.stamp, options).join('\n')}\n`)
  return 'ok'
}

/** A line and what hangs below it. */
interface Branch {
  readonly lines: readonly string[]
  readonly below: readonly Branch[]
}

function printEvent(event: TracedEvent, start: string, options: TraceOptions): string[] {
  const cause = event.cause === null ? [] : [`caused by ${event.cause.id} (depth ${event.cause.depth})`]
  const root = eventBranch(event, start, options)
  return [...root.lines, ...cause.map(line => `│ ${line}`), ...drawn(root.below)]
}

function drawn(branches: readonly Branch[]): string[] {
  return branches.flatMap((branch, i) => {
    const last = i === branches.length - 1
    const [first, ...more] = [...branch.lines, ...drawn(branch.below)]
    return [`${last ? '└─' : '├─'} ${first}`, ...more.map(line => `${last ? '  ' : '│ '} ${line}`)]
  })
}

function eventBranch(event: TracedEvent, start: string, options: TraceOptions): Branch {
  const more: Branch[] = event.truncated ? [{ lines: ['… more than is shown here'], below: [] }] : []
  return {
    lines: [`${event.tag}  ${event.id}  ${since(event.stamp, start)}`],
    below: [
      ...(event.windows ?? []).filter(({ reacted }) => reacted !== event.id).map(windowBranch),
      ...(event.passed ?? []).map(passedBranch),
      ...event.plans.map(plan => planBranch(plan, start, options)),
      ...event.events.map(each => eventBranch(each, start, options)),
      ...more
    ]
  }
}

function windowBranch({ rule, first, reacted, plans, reactions }: TracedWindow): Branch {
  const where = reacted === null ? 'which is open' : `reacted to at ${reacted}`
  return {
    lines: [`rule ${rule}  in the window of ${first}, ${where}`],
    below: [
      ...plans
        .filter(({ state }) => state !== 'rendered')
        .map(plan => ({ lines: [`${plan.sls}  ${planState(plan)}`, ...errorLines(plan.error)], below: [] })),
      ...reactions.map(({ section, state, jid }) => ({ lines: [`${section}  ${state}  jid ${jid}`], below: [] }))
    ]
  }
}

function passedBranch({ rule, why, reason, event, as_of }: PassedOver): Branch {
  const instead = event === undefined ? '' : `: ${event}`
  const now = as_of === 'now' ? '  (asked of the rule as it is now)' : ''
  return { lines: [`rule ${rule}  passed over (${why})  ${reason}${instead}${now}`], below: [] }
}

function planState({ state, held, blocked }: Pick<TracedPlan, 'state' | 'held' | 'blocked'>): string {
  if (held !== undefined) return held === 'reactor' ? 'held (the reactor is paused)' : `held (${held})`
  return blocked === undefined ? state : `blocked (${blocked})`
}

function planBranch(plan: TracedPlan, start: string, options: TraceOptions): Branch {
  const when = plan.changed === null ? '' : `  ${since(plan.changed, start)}`
  const window = plan.window === undefined ? '' : `  window of ${plan.window}`
  const head = `rule ${plan.rule}  ${plan.sls}  ${planState(plan)}${window}${when}`
  const text = options.rendered && plan.rendered !== undefined ? plan.rendered.trimEnd().split('\n') : []
  return {
    lines: [head, ...errorLines(plan.error), ...text.map(line => `  ${line}`)],
    below: plan.reactions.map(reaction => reactionBranch(reaction, start, options))
  }
}

function reactionBranch(reaction: TracedReaction, start: string, options: TraceOptions): Branch {
  const { client, fun, tgt } = reaction.call as { client: string; fun: string; tgt?: unknown }
  const target = tgt === undefined ? '' : ` on ${typeof tgt === 'string' ? tgt : JSON.stringify(tgt)}`
  const head = `${reaction.section}: ${client}.${fun}${target}  ${reaction.state}  jid ${reaction.jid}  ${since(reaction.changed, start)}`
  const returns: Branch[] = (reaction.job?.returns ?? []).map(ret => ({
    lines: [`${ret.minion}: ${ret.success ? 'ok' : `failed (${ret.retcode})`}  ${shortened(ret.return)}  ${since(ret.stamp, start)}`],
    below: []
  }))
  return {
    lines: [head, ...errorLines(reaction.error)],
    below: [...returns, ...reaction.events.map(event => eventBranch(event, start, options))]
  }
}

function errorLines(error: string | null): string[] {
  return error === null ? [] : error.split('\n').map(line => `  ! ${line}`)
}

/** A stamp for the root, `+0.123s` for what comes later. */
function since(stamp: string, start: string): string {
  if (stamp === start) return stamp
  return `+${((Date.parse(`${stamp.slice(0, 23)}Z`) - Date.parse(`${start.slice(0, 23)}Z`)) / 1000).toFixed(3)}s`
}

/** Returns are for looking at; all of one is a job's matter. */
const SHOWN = 60

function shortened(text: string): string {
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text
}

/** `brine event re-emit`: fires an event again, with itself as the cause. Prints the new id. */
export async function reEmit(terminal: Terminal, id: string, options: Options): Promise<Exit> {
  const answer = (await connect(terminal, options).json('POST', `/events/${encodeURIComponent(id)}/re-emit`)) as { id: string }
  terminal.out(options.out === undefined ? `${answer.id}\n` : format(answer, options.out))
  return 'ok'
}

export interface ReactionsOptions extends Options {
  readonly rule?: string
  readonly event?: string
  readonly jid?: string
  readonly state?: string
  readonly since?: string
  readonly until?: string
  readonly limit?: number
}

interface Reaction {
  readonly id: number
  readonly rule: string
  readonly section: string
  readonly state: string
  readonly changed: string
  readonly error: string | null
}

interface Plan {
  readonly id: number
  readonly rule: string
  readonly sls: string
  readonly state: string
  readonly held: string | null
  readonly blocked: string | null
  readonly changed: string | null
  readonly error: string | null
}

/** `brine reactor reactions`: what was done because of events, newest first; dead letters of rendering too where those are asked for. */
export async function reactions(terminal: Terminal, options: ReactionsOptions): Promise<Exit> {
  const client = connect(terminal, options)
  const found = PLANS_ALONE.includes(options.state ?? '')
    ? { reactions: [] }
    : ((await client.json('GET', `/reactor/reactions?${queryOf(options, ['jid'])}`)) as { reactions: Reaction[] })
  const plans =
    options.jid === undefined && ['dead', 'failed', ...PLANS_ALONE].includes(options.state ?? '') ? await plansOf(client, options) : []
  if (options.out !== undefined) terminal.out(format({ reactions: found.reactions, plans }, options.out))
  else {
    const rows = [
      ...plans.map(({ id, rule, sls, state, held, blocked, changed, error }) => {
        return [`plan ${id}`, held ?? blocked ?? state, changed ?? '', rule, sls, firstLine(error)]
      }),
      ...found.reactions.map(({ id, rule, section, state, changed, error }) => [
        String(id),
        state,
        changed,
        rule,
        section,
        firstLine(error)
      ])
    ]
    terminal.out(table(['ID', 'STATE', 'CHANGED', 'RULE', 'SECTION', 'ERROR'], rows))
  }
  return 'ok'
}

/** States that reactions do not have: they wait, or are stopped, before there are any. */
const PLANS_ALONE = ['held', 'blocked']

async function plansOf(client: Client, options: ReactionsOptions): Promise<Plan[]> {
  return ((await client.json('GET', `/reactor/plans?${queryOf(options, [])}`)) as { plans: Plan[] }).plans
}

function queryOf(options: ReactionsOptions, more: readonly 'jid'[]): URLSearchParams {
  const query = new URLSearchParams()
  for (const name of ['rule', 'event', 'state', 'since', 'until', 'limit', ...more] as const) {
    const value = options[name]
    if (value !== undefined) query.set(name, String(value))
  }
  return query
}

function firstLine(error: string | null): string {
  return shortened(error?.split('\n')[0] ?? '')
}

export interface RetryOptions extends ReactionsOptions {
  readonly plan?: boolean
}

/** `brine reactor retry`: drives one dead letter again, or all that match. Fails when there was nothing to drive. */
export async function retry(terminal: Terminal, id: string | undefined, options: RetryOptions): Promise<Exit> {
  const client = connect(terminal, options)
  const { rule, event, state, since: from, until } = options
  const answer =
    id === undefined
      ? await client.json('POST', '/reactor/retry', { rule, event, state, since: from, until })
      : await client.json('POST', `/reactor/${options.plan ? 'plans' : 'reactions'}/${encodeURIComponent(id)}/retry`)
  const { plans, reactions } = answer as { plans: number; reactions: number }
  terminal.out(options.out === undefined ? `${plans} plans and ${reactions} reactions are tried again\n` : format(answer, options.out))
  return plans + reactions > 0 ? 'ok' : 'failed'
}
