import { statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { brineError } from '../errors.js'
import type { MinionLog } from '../minion/context.js'
import { pyRepr, pyStr } from '../minion/modules/python.js'
import { functionArguments } from './arguments.js'
import { type ConfigOptions, load } from './config.js'
import type { Exit } from './exit.js'
import { highstate } from './highstate.js'
import { format } from './output.js'
import type { Terminal } from './terminal.js'

/** Salt's outputters that `--out` takes. */
const CALL_FORMATS = ['nested', 'json', 'yaml', 'highstate', 'txt', 'raw', 'pprint', 'quiet'] as const
export type CallFormat = (typeof CALL_FORMATS)[number]

export interface CallOptions extends ConfigOptions {
  readonly configDir?: readonly string[]
  readonly local?: boolean
  readonly out?: CallFormat
  readonly outIndent?: string
  readonly retcodePassthrough?: boolean
  readonly fileRoot?: string
  readonly pillarRoot?: string
  readonly id?: string
  readonly master?: string
  readonly dir?: string
  readonly data?: string
  readonly logLevel?: string
  readonly metadata?: boolean
  readonly doc?: boolean
  readonly grains?: boolean
}

/**
 * `brine call FUN …` (Salt's salt-call): runs one function of this machine's minion and prints what it returns, under `local`. The exit code is
 * `failed` when the function fails; with `--retcode-passthrough` it is the function's own return code.
 */
export async function call(
  terminal: Terminal,
  fun: string | undefined,
  texts: readonly string[],
  options: CallOptions
): Promise<Exit | number> {
  const { callOnce, config, minion } = await prepared(terminal, options)
  const [name, raw] = options.doc
    ? ['sys.doc', fun === undefined ? [] : [fun, ...texts]]
    : options.grains
      ? ['grains.items', []]
      : [fun, texts]
  if (name === undefined) throw brineError('USAGE', 'which function? for example: brine call test.ping')
  const { jid, outcome } = await reported(
    callOnce({
      ...{ ...minion, fun: name, raw, arg: functionArguments(raw), log: textLog(terminal, config.log_level) },
      signal: terminal.interrupted()
    })
  )
  const shown = options.metadata ? { jid, ...outcome } : outcome.return
  terminal.out(printed(shown, options.metadata ? undefined : outcome.out, options))
  const retcode = typeof outcome.retcode === 'number' ? outcome.retcode : 1
  if (options.retcodePassthrough) return retcode
  return retcode === 0 ? 'ok' : 'failed'
}

/** What the server says about the conversation itself, as errors that a person can act on. */
async function reported<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const { name, message } = error as Error
    if (name === 'Unreachable') throw brineError('MASTER_UNREACHABLE', message)
    if (name === 'NotAccepted') throw brineError('MASTER_KEY', message)
    if (name === 'Refused') throw brineError('MASTER_REFUSED', message)
    throw error
  }
}

/** The configuration as this call has it. What runs functions is loaded here, once the command line is known to be right. */
async function prepared(terminal: Terminal, options: CallOptions) {
  const named = [...(options.config ?? []), ...(options.configDir ?? [])]
  const files = named.length > 0 ? named : terminal.env.BRINE_CONFIG?.split(':').filter(Boolean)
  const { config, origins } = load(terminal, files ? { config: minionFiles(terminal, files) } : {}, flags(terminal, options))
  const [{ callOnce }, { minionDir, optionsOf, remembered, credentialsOf }, { mastersOf }] = await Promise.all([
    import('../minion/oneshot.js'),
    import('../minion/settings.js'),
    import('../minion/masters.js')
  ])
  const dir = minionDir(config)
  const local = config.file_client === 'local'
  // The agent's own server, where the configuration names none: an embedded minion's is wherever its server listens.
  const master = origins.has('master') ? config.master : (remembered(dir, 'minion_master') ?? config.master)
  const agent = optionsOf(config)
  const masters = local ? null : mastersOf(config, { id: agent.id, master })
  return { callOnce, config, minion: { options: agent, dir, masters, credentials: credentialsOf(config, config.grains) } }
}

/** A directory that has Salt's `minion` file means that file, whatever else (a `master`) lies there. */
export function minionFiles({ cwd }: Terminal, paths: readonly string[]): string[] {
  return paths.map(path => {
    const whole = resolve(cwd, path)
    if (!statSync(whole, { throwIfNoEntry: false })?.isDirectory()) return path
    const file = join(whole, 'minion')
    return statSync(file, { throwIfNoEntry: false })?.isFile() ? file : path
  })
}

function flags(terminal: Terminal, options: CallOptions): Record<string, unknown> {
  const roots = (dir: string | undefined) => (dir === undefined ? undefined : { base: [resolve(terminal.cwd, dir)] })
  const local = options.local || options.fileRoot !== undefined
  return {
    ...{ id: options.id, master: options.master, minion_dir: options.dir, data_dir: options.data, log_level: options.logLevel },
    ...{ file_client: local ? 'local' : undefined, file_roots: roots(options.fileRoot), pillar_roots: roots(options.pillarRoot) }
  }
}

function printed(value: unknown, out: string | undefined, options: CallOptions): string {
  const as = options.out ?? (out === 'highstate' ? 'highstate' : 'nested')
  switch (as) {
    case 'quiet':
      return ''
    case 'json':
      return `${JSON.stringify({ local: value ?? null }, null, options.outIndent === undefined ? 4 : Math.max(0, Number(options.outIndent)))}\n`
    case 'raw':
    case 'pprint':
      return `${pyRepr({ local: value })}\n`
    case 'txt':
      return plainText('local', value)
    case 'highstate':
      return highstateText(value)
    default:
      return format({ local: value }, as)
  }
}

/** State runs as Salt shows them; anything else as the nested outputter does. */
function highstateText(value: unknown): string {
  return highstate('local', value) ?? format({ local: value }, 'nested')
}

/** Salt's txt outputter: each line behind the name. */
function plainText(name: string, value: unknown): string {
  return pyStr(value)
    .split('\n')
    .map(line => `${name}: ${line}\n`)
    .join('')
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']
const NAMES = { debug: 'DEBUG', info: 'INFO', warn: 'WARNING', error: 'ERROR' } as const

/** The log of a call is for the person at the terminal: text on stderr, as salt-call's. */
function textLog(terminal: Terminal, level: string): MinionLog {
  const at = (name: keyof typeof NAMES) => (fields: object, text: string) => {
    if (LEVELS.indexOf(name) < LEVELS.indexOf(level)) return
    const more = Object.entries(fields).map(([key, value]) => ` ${key}=${value instanceof Error ? value.message : String(value)}`)
    terminal.err(`[${NAMES[name].padEnd(8)}] ${text}${more.join('')}\n`)
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
