import { connect, type RemoteOptions } from './client.js'
import type { Exit } from './exit.js'
import { type Format, format, table } from './output.js'
import type { Terminal } from './terminal.js'

interface ControlOptions extends RemoteOptions {
  readonly out?: Format
}

interface Guarded {
  readonly paused: { readonly by: string; readonly since: string } | null
  readonly breaker: { readonly state: string; readonly reason?: string; readonly until?: string }
}

const pathOf = (rule: string | undefined) => (rule === undefined ? '/reactor' : `/reactor/rules/${encodeURIComponent(rule)}`)

/** `brine reactor pause` and `resume`: the whole reactor, or one rule. Doing it twice is no mistake. */
export async function setPaused(
  terminal: Terminal,
  act: 'pause' | 'resume',
  rule: string | undefined,
  options: ControlOptions
): Promise<Exit> {
  const answer = (await connect(terminal, options).json('POST', `${pathOf(rule)}/${act}`)) as { changed: boolean }
  const what = rule === undefined ? 'the reactor' : `rule ${rule}`
  const told = act === 'pause' ? 'is paused; what happens meanwhile is kept' : 'goes on'
  terminal.out(options.out === undefined ? `${what} ${told}${answer.changed ? '' : ' (as before)'}\n` : format(answer, options.out))
  return 'ok'
}

/** `brine reactor breaker RULE open|closed`. */
export async function setBreaker(terminal: Terminal, rule: string, state: string, options: ControlOptions): Promise<Exit> {
  const answer = await connect(terminal, options).json('POST', `${pathOf(rule)}/breaker`, { state })
  terminal.out(options.out === undefined ? `the breaker of rule ${rule} is ${state}\n` : format(answer, options.out))
  return 'ok'
}

/** `brine reactor status`: what waits, and what is stopped. Fails while the reactor is paused. */
export async function status(terminal: Terminal, options: ControlOptions): Promise<Exit> {
  const answer = (await connect(terminal, options).json('GET', '/reactor/status')) as {
    paused: Guarded['paused']
    lag: number
    waiting: Readonly<Record<string, number>>
    running: number
    rules: (Guarded & { rule: string })[]
  }
  if (options.out !== undefined) terminal.out(format(answer, options.out))
  else {
    const { paused, lag, waiting, running, rules } = answer
    terminal.out(paused === null ? 'the reactor runs\n' : `the reactor is paused by ${paused.by} since ${paused.since}\n`)
    terminal.out(`${lag} events to match, ${waitingText(waiting)}, ${running} calls under way\n`)
    const rows = rules.map(({ rule, paused, breaker }) => [
      rule,
      paused === null ? '' : `${paused.by} ${paused.since}`,
      breakerText(breaker)
    ])
    if (rows.length > 0) terminal.out(table(['RULE', 'PAUSED', 'BREAKER'], rows))
  }
  return answer.paused === null ? 'ok' : 'failed'
}

/** `3 plans to work on (2 paused, 1 inactive)` */
function waitingText({ due = 0, ...held }: Readonly<Record<string, number>>): string {
  const all = Object.values(held).reduce((sum, count) => sum + count, due)
  const why = Object.entries(held).map(([reason, count]) => `${count} ${reason}`)
  return `${all} plans to work on${why.length === 0 ? '' : ` (${why.join(', ')})`}`
}

function breakerText({ state, until, reason }: Guarded['breaker']): string {
  return state === 'closed' ? '' : `${state}${until === undefined ? '' : ` until ${until}`}${reason === undefined ? '' : `: ${reason}`}`
}

/** `brine reactor state RULE`: its guards, what waits, and its open windows, a hundred of them. */
export async function state(terminal: Terminal, rule: string, options: ControlOptions): Promise<Exit> {
  terminal.out(format(await connect(terminal, options).json('GET', `${pathOf(rule)}/state`), options.out ?? 'yaml'))
  return 'ok'
}
