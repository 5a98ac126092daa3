import { brineError } from '../errors.js'
import { functionArguments } from './arguments.js'
import { connect, type RemoteOptions } from './client.js'
import type { Exit } from './exit.js'
import { type Format, format } from './output.js'
import type { Terminal } from './terminal.js'

export interface RunOptions extends RemoteOptions {
  readonly out?: Format
  readonly wheel?: boolean
  readonly target?: string
  readonly targetType?: string
  readonly timeout?: string
  readonly async?: boolean
}

/**
 * `brine run FUN`: a runner function, with `--wheel` a wheel function, with `--target` a function on minions. Arguments are those of Salt's
 * command line: texts, and `name=value`. The exit code is `failed` when the function says that it failed.
 */
export async function run(terminal: Terminal, fun: string, arg: readonly string[], options: RunOptions): Promise<Exit> {
  if (options.wheel && options.target !== undefined) throw brineError('USAGE', '--wheel and --target exclude each other')
  if (fun === 'state.event' && !options.wheel && options.target === undefined) return watchLikeSalt(terminal, arg, options)
  const client = connect(terminal, options)
  const kind = options.wheel ? 'wheel' : options.target === undefined ? 'runner' : 'local'
  const chunk = {
    client: options.async ? `${kind}_async` : kind,
    fun,
    arg: functionArguments(arg),
    ...(options.target === undefined ? {} : { tgt: options.target, tgt_type: options.targetType ?? 'glob' }),
    ...(options.timeout === undefined ? {} : { timeout: Number(options.timeout) }),
    ...(options.async || kind === 'wheel' ? {} : { full_return: true })
  }
  const entry = await client.run(chunk, terminal.interrupted())
  const { value, failed } = options.async ? { value: entry, failed: false } : kind === 'local' ? readMinions(entry) : readFunction(entry)
  terminal.out(format(value, options.out ?? 'nested'))
  return failed ? 'failed' : 'ok'
}

async function watchLikeSalt(terminal: Terminal, arg: readonly string[], options: RunOptions): Promise<Exit> {
  const { stateEvent } = await import('./event.js')
  const { parseArguments } = await import('../shared/arguments.js')
  const { args, kwargs } = parseArguments(arg)
  const [tagmatch, count, quiet, _sockDir, pretty] = args
  const positional = Object.fromEntries(Object.entries({ tagmatch, count, quiet, pretty }).filter(([, value]) => value !== undefined))
  return stateEvent(terminal, options, { ...positional, ...kwargs })
}

/** `{tag, data: {return, success}}`, of a wheel function or of a runner with full_return. */
function readFunction(entry: unknown): { value: unknown; failed: boolean } {
  const { data } = entry as { data: { return: unknown; success: boolean } }
  return { value: data.return, failed: data.success === false }
}

/** `{minion: {ret, retcode}}`; false for a minion that did not return. Nobody at all is a failure, as with `salt`. */
function readMinions(entry: unknown): { value: unknown; failed: boolean } {
  const minions = Object.entries(entry as Record<string, false | { ret: unknown; retcode: number }>)
  if (minions.length === 0) return { value: 'No minions matched the target. No command was sent, no jid was assigned.', failed: true }
  const value = Object.fromEntries(
    minions.map(([id, answer]) => [id, answer === false ? 'Minion did not return. [No response]' : answer.ret])
  )
  return { value, failed: minions.some(([, answer]) => answer === false || answer.retcode !== 0) }
}
