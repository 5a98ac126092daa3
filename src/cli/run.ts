import { brineError } from '../errors.js'
import { parseArguments } from '../shared/arguments.js'
import { parseYaml } from '../shared/yaml.js'
import { functionArguments } from './arguments.js'
import { connect, type RemoteOptions } from './client.js'
import type { Exit } from './exit.js'
import { highstate } from './highstate.js'
import { type Format, format } from './output.js'
import type { Terminal } from './terminal.js'

export interface RunOptions extends RemoteOptions, TargetFlags {
  readonly out?: Format
  readonly wheel?: boolean
  readonly target?: string
  readonly targetType?: string
  readonly timeout?: string
  readonly async?: boolean
  /** How many minions at a time: a number, or a part of them as `25%`. */
  readonly batch?: string
  /** On so many minions, taken by chance. */
  readonly subset?: string
  /** JSON or YAML; kept with the job. */
  readonly metadata?: string
}

/** Salt's letters for how a target is meant. */
interface TargetFlags {
  readonly pcre?: boolean
  readonly list?: boolean
  readonly grain?: boolean
  readonly grainPcre?: boolean
  readonly compound?: boolean
  readonly nodegroup?: boolean
  readonly pillar?: boolean
  readonly pillarPcre?: boolean
  readonly ipcidr?: boolean
}

const TARGET_FLAGS: Readonly<Record<keyof TargetFlags, string>> = {
  ...{ pcre: 'pcre', list: 'list', grain: 'grain', grainPcre: 'grain_pcre', compound: 'compound', nodegroup: 'nodegroup' },
  ...{ pillar: 'pillar', pillarPcre: 'pillar_pcre', ipcidr: 'ipcidr' }
}

/**
 * `brine run FUN`: a runner function, with `--wheel` a wheel function, with `--target` a function on minions. Arguments are those of Salt's
 * command line: texts, and `name=value`. The exit code is `failed` when the function says that it failed.
 */
export async function run(terminal: Terminal, fun: string, arg: readonly string[], options: RunOptions): Promise<Exit> {
  if (options.wheel && options.target !== undefined) throw brineError('USAGE', '--wheel and --target exclude each other')
  if (fun === 'state.event' && !options.wheel && options.target === undefined) return watchLikeSalt(terminal, arg, options)
  if (options.target !== undefined) return onMinions(terminal, fun, arg, options)
  if (options.batch !== undefined || options.subset !== undefined) throw brineError('USAGE', '--batch and --subset need --target')
  const kind = options.wheel ? 'wheel' : 'runner'
  const chunk = {
    ...{ client: options.async ? `${kind}_async` : kind, fun, arg: functionArguments(arg) },
    ...(options.timeout === undefined ? {} : { timeout: Number(options.timeout) }),
    ...(options.async || kind === 'wheel' ? {} : { full_return: true })
  }
  const entry = await connect(terminal, options).run(chunk, terminal.interrupted())
  const { value, failed } = options.async ? { value: entry, failed: false } : readFunction(entry)
  terminal.out(format(value, options.out ?? 'nested'))
  return failed ? 'failed' : 'ok'
}

async function onMinions(terminal: Terminal, fun: string, arg: readonly string[], options: RunOptions): Promise<Exit> {
  const { async: detached, batch, subset, timeout, metadata } = options
  const ways = [detached && '--async', batch !== undefined && '--batch', subset !== undefined && '--subset'].filter(Boolean)
  if (ways.length > 1) throw brineError('USAGE', `${ways.join(' and ')} exclude each other`)
  const { args, kwargs } = parseArguments(functionArguments(arg))
  const type = targetType(options)
  const chunk = {
    client: detached ? 'local_async' : batch !== undefined ? 'local_batch' : subset !== undefined ? 'local_subset' : 'local',
    // Keywords apart and a list as a list: so the job's event has them, as from Salt's own command line.
    ...{ fun, arg: args, ...(Object.keys(kwargs).length > 0 ? { kwarg: kwargs } : {}) },
    ...{ tgt: type === 'list' ? options.target!.split(',') : options.target, tgt_type: type },
    ...(timeout === undefined ? {} : { timeout: Number(timeout) }),
    ...(metadata === undefined ? {} : { metadata: parseYaml(metadata) }),
    ...(batch === undefined ? {} : { batch, raw: true }),
    ...(subset === undefined ? {} : { subset: Number(subset) }),
    ...(detached || batch !== undefined ? {} : { full_return: true })
  }
  const entries = await connect(terminal, options).runAll(chunk, terminal.interrupted())
  if (detached) return told(terminal, options, readPublished(entries[0]))
  return told(terminal, options, readMinions(batch === undefined ? entries[0] : byMinion(entries)))
}

/** What came of it: the value, and of which minions it is that of a state run. */
interface Told {
  readonly value: unknown
  readonly failed: boolean
  readonly states?: ReadonlySet<string>
}

function told(terminal: Terminal, options: RunOptions, { value, failed, states = new Set() }: Told): Exit {
  const ownForm = options.out === undefined && states.size > 0
  terminal.out(ownForm ? byMinionInForm(value as Record<string, unknown>, states) : format(value, options.out ?? 'nested'))
  return failed ? 'failed' : 'ok'
}

/** State runs in the form that they have in Salt, when no other was asked for; what other minions said, as always. */
function byMinionInForm(value: Record<string, unknown>, states: ReadonlySet<string>): string {
  const shown = (id: string) => (states.has(id) ? highstate(id, value[id]) : null) ?? format({ [id]: value[id] }, 'nested')
  return Object.keys(value).sort().map(shown).join('')
}

function targetType(options: RunOptions): string {
  const flags = (Object.keys(TARGET_FLAGS) as (keyof TargetFlags)[]).filter(name => options[name])
  if (flags.length + (options.targetType === undefined ? 0 : 1) > 1) throw brineError('USAGE', 'a target is of one type')
  return flags[0] === undefined ? (options.targetType ?? 'glob') : TARGET_FLAGS[flags[0]]
}

async function watchLikeSalt(terminal: Terminal, arg: readonly string[], options: RunOptions): Promise<Exit> {
  const { stateEvent } = await import('./event.js')
  const { args, kwargs } = parseArguments(arg)
  const [tagmatch, count, quiet, _sockDir, pretty] = args
  const positional = Object.fromEntries(Object.entries({ tagmatch, count, quiet, pretty }).filter(([, value]) => value !== undefined))
  return stateEvent(terminal, options, { ...positional, ...kwargs })
}

/** `{tag, data: {return, success}}`, of a wheel function or of a runner with full_return. */
function readFunction(entry: unknown): Told {
  const { data } = entry as { data: { return: unknown; success: boolean } }
  return { value: data.return, failed: data.success === false }
}

const NOBODY = { value: 'No minions matched the target. No command was sent, no jid was assigned.', failed: true }

function readPublished(entry: unknown): Told {
  return Object.keys((entry ?? {}) as object).length === 0 ? NOBODY : { value: entry, failed: false }
}

/** The returns of a batch, whole as events: `{data: {id, return, retcode[, out]}}`. */
function byMinion(entries: readonly unknown[]): Record<string, unknown> {
  const returns = entries.map(entry => (entry as { data: { id: string; return: unknown; retcode: number; out?: string } }).data)
  return Object.fromEntries(returns.map(({ id, return: ret, retcode, out }) => [id, { ret, retcode, out }]))
}

/** `{minion: {ret, retcode[, out]}}`; false for a minion that did not return. Nobody at all is a failure, as with `salt`. */
function readMinions(entry: unknown): Told {
  const minions = Object.entries(entry as Record<string, false | { ret: unknown; retcode: number; out?: string }>)
  if (minions.length === 0) return NOBODY
  const value = Object.fromEntries(
    minions.map(([id, answer]) => [id, answer === false ? 'Minion did not return. [No response]' : answer.ret])
  )
  const states = minions.filter(([, answer]) => answer !== false && answer.out === 'highstate').map(([id]) => id)
  return { value, failed: minions.some(([, answer]) => answer === false || answer.retcode !== 0), states: new Set(states) }
}
