/**
 * Runs a command as Salt's cmd module does: shell or argument list, directory, environment, user, umask, time limit, success codes. Functions
 * (`cmd.run`) and states (`cmd.run`, `onlyif`) share it.
 */
import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { delimiter, isAbsolute, join } from 'node:path'
import type { ModuleContext } from './context.js'
import { shellOf } from './grains/shell.js'
import { CommandExecutionError, InvocationError } from './modules/errors.js'
import { pyRepr } from './modules/python.js'
import { quoteWord, splitWords } from './modules/shlex.js'
import { flag, isMapping, type Mapping, mapping, number, numberOrNull, text, textOrNull } from './modules/values.js'
import { type ProcessResult, type ProcessSpec, runProcess, startProcess } from './process.js'
import { findGroupId, findUser, type User } from './users.js'

/** The named arguments of cmd.*, as they come; all may be absent. */
export type CommandOptions = Mapping

/** The result of cmd.run_all. */
export interface CommandResult {
  readonly pid: number
  readonly retcode: number
  readonly stdout: string
  readonly stderr: string
}

/** Locale variables that are set to C unless `reset_system_locale=False`, so that output does not depend on where the agent was started. */
const LOCALE_VARIABLES = [
  'CTYPE',
  'NUMERIC',
  'TIME',
  'COLLATE',
  'MONETARY',
  'MESSAGES',
  'PAPER',
  'NAME',
  'ADDRESS',
  'TELEPHONE',
  'MEASUREMENT',
  'IDENTIFICATION'
]

/** `cmd`: a command line or a list of words. Throws CommandExecutionError when it cannot be started. */
export async function runCommand(
  ctx: ModuleContext,
  cmd: unknown,
  options: CommandOptions,
  { mergeStderr = false }: { mergeStderr?: boolean } = {}
): Promise<CommandResult> {
  const timeout = numberOrNull(options.timeout, 'timeout')
  const spec = await commandSpec(ctx, cmd, options, mergeStderr)
  const done = await runProcess({ ...spec, ...(timeout === null ? {} : { timeoutMs: timeout * 1000 }) })
  if (done.timedOut) return { pid: done.pid, retcode: 1, stdout: `${commandText(cmd)} : Timed out after ${timeout} seconds`, stderr: '' }
  return finished(done, options, commandText(cmd))
}

/** Starts a command that outlives the job; its process id. */
export async function startCommand(ctx: ModuleContext, cmd: unknown, options: CommandOptions): Promise<number> {
  return startProcess(await commandSpec(ctx, cmd, options, false))
}

function finished(done: ProcessResult, options: CommandOptions, cmd: string): CommandResult {
  const strip = options.rstrip === undefined || flag(options.rstrip)
  const stdout = strip ? done.stdout.trimEnd() : done.stdout
  const stderr = strip ? done.stderr.trimEnd() : done.stderr
  const retcode = succeeded(done, options, stdout, stderr) ? 0 : done.retcode
  if (retcode !== 0 && flag(options.raise_err)) {
    throw new CommandExecutionError(`Command '${cmd}' failed with return code: ${retcode}${stdout || stderr ? `\n${stdout}${stderr}` : ''}`)
  }
  return { pid: done.pid, retcode, stdout, stderr }
}

/** success_retcodes, success_stdout and success_stderr name outcomes that count as return code 0. */
function succeeded(done: ProcessResult, options: CommandOptions, stdout: string, stderr: string): boolean {
  const codes = list(options.success_retcodes).map(code => number(code, 'success_retcodes'))
  return codes.includes(done.retcode) || list(options.success_stdout).includes(stdout) || list(options.success_stderr).includes(stderr)
}

async function commandSpec(ctx: ModuleContext, cmd: unknown, options: CommandOptions, mergeStderr: boolean): Promise<ProcessSpec> {
  const user = await runasUser(options.runas)
  const cwd = await workingDirectory(options.cwd, user)
  const env = commandEnvironment(options, user)
  const umask = textOrNull(options.umask, 'umask')
  if (umask !== null && !/^[0-7]{1,4}$/.test(umask)) throw new CommandExecutionError(`Invalid umask: '${umask}'`)
  const stdin = textOrNull(options.stdin, 'stdin')
  const argv = await argumentVector(ctx, cmd, options, env, cwd)
  return {
    ...{ argv: await asUser(argv, user, options.group), cwd, env, mergeStderr, maxBytes: ctx.options.cmd_output_max_bytes },
    ...{ signal: ctx.signal, processes: ctx.processes },
    ...(stdin === null ? {} : { stdin }),
    ...(umask === null ? {} : { umask })
  }
}

async function argumentVector(
  ctx: ModuleContext,
  cmd: unknown,
  options: CommandOptions,
  env: NodeJS.ProcessEnv,
  cwd: string
): Promise<string[]> {
  const shell = textOrNull(options.shell, 'shell') ?? shellOf(process.env)
  if (usesShell(ctx, options)) {
    if (!isAbsolute(shell) || !(await isExecutable(shell))) throw new CommandExecutionError(`The shell ${shell} is not available`)
    return [shell, '-c', Array.isArray(cmd) ? cmd.map(word => quoteWord(text(word, 'cmd'))).join(' ') : text(cmd, 'cmd')]
  }
  const words = Array.isArray(cmd) ? cmd.map(word => text(word, 'cmd')) : splitWords(text(cmd, 'cmd'))
  if (words.length === 0) throw new InvocationError('cmd is empty')
  const program = await findProgram(words[0]!, env.PATH ?? '', cwd)
  if (program === null) {
    const why = `[Errno 2] No such file or directory: '${words[0]}'`
    throw new CommandExecutionError(
      `Unable to run command '${pyRepr(words)}' with the context '${pyRepr({ cwd, shell: false })}', reason: ${why}`
    )
  }
  return [program, ...words.slice(1)]
}

/** A command that came as a job has a shell unless it says otherwise; one that another function runs only when it says so. */
function usesShell(ctx: ModuleContext, options: CommandOptions): boolean {
  const wish = options.python_shell ?? null
  if (wish !== null) return flag(wish)
  return options.__pub_jid !== undefined || !ctx.options.cmd_safe
}

async function workingDirectory(given: unknown, user: User | null): Promise<string> {
  const cwd = textOrNull(given, 'cwd')
  if (cwd === null || cwd === '') {
    const home = user?.home ?? process.env.HOME ?? '/'
    return (await isDirectory(home)) ? home : '/'
  }
  if (isAbsolute(cwd) && (await isDirectory(cwd))) return cwd
  throw new CommandExecutionError(`Specified cwd '${cwd}' either not absolute or does not exist`)
}

function commandEnvironment(options: CommandOptions, user: User | null): NodeJS.ProcessEnv {
  const given = environmentOf(options.env)
  if (flag(options.clean_env)) return given
  const env: NodeJS.ProcessEnv = {}
  // The agent's own settings may hold secrets; NOTIFY_SOCKET would let a command speak to systemd in the agent's name.
  for (const [name, value] of Object.entries(process.env)) if (!name.startsWith('BRINE_') && name !== 'NOTIFY_SOCKET') env[name] = value
  if (options.reset_system_locale === undefined || flag(options.reset_system_locale)) {
    for (const name of LOCALE_VARIABLES) env[`LC_${name}`] = 'C'
    env.LANGUAGE = 'C'
    delete env.LC_ALL
  }
  if (user) Object.assign(env, { HOME: user.home, USER: user.name, LOGNAME: user.name, SHELL: user.shell })
  const path = textOrNull(options.prepend_path, 'prepend_path')
  if (path) env.PATH = `${path}${delimiter}${env.PATH ?? ''}`
  return { ...env, ...given }
}

/** A mapping, or a list of mappings; a value None removes nothing but becomes an empty text, as in Salt. */
function environmentOf(given: unknown): Record<string, string> {
  if (given !== null && given !== undefined && !isMapping(given) && !Array.isArray(given)) {
    throw new InvocationError(`Invalid input: ${pyRepr(given)}, must be a dict or list of dicts`)
  }
  const entries = Object.entries(mapping(given, 'env'))
  return Object.fromEntries(entries.map(([name, value]) => [name, value === null ? '' : text(value, `env ${name}`)]))
}

async function runasUser(given: unknown): Promise<User | null> {
  const runas = textOrNull(given, 'runas')
  if (runas === null || runas === '') return null
  const user = await findUser(runas)
  if (!user) throw new CommandExecutionError(`User '${runas}' is not available`)
  if (process.getuid?.() !== 0 && process.getuid?.() !== user.uid)
    throw new CommandExecutionError(`The minion may not run commands as user '${runas}'`)
  return user
}

/** Puts `setpriv` (util-linux) in front: it also gives the user's further groups, which Node's own way does not. */
async function asUser(argv: string[], user: User | null, group: unknown): Promise<string[]> {
  const named = textOrNull(group, 'group')
  const gid = named === null ? user?.gid : await findGroupId(named)
  if (gid === null) throw new CommandExecutionError(`Group '${named}' is not available`)
  if (gid === undefined || (user?.uid === process.getuid?.() && named === null)) return argv
  const setpriv = await findProgram('setpriv', process.env.PATH ?? '/usr/bin:/bin', '/')
  if (setpriv === null) throw new CommandExecutionError('runas and group need the program setpriv (util-linux)')
  const uid = user ? [`--reuid=${user.uid}`] : []
  return [setpriv, ...uid, `--regid=${gid}`, user ? '--init-groups' : '--keep-groups', '--', ...argv]
}

/** The absolute path of a program, looked up as a shell does; null when there is none. */
export async function findProgram(name: string, path: string, cwd: string): Promise<string | null> {
  if (name.includes('/')) {
    const file = isAbsolute(name) ? name : join(cwd, name)
    return (await isExecutable(file)) ? file : null
  }
  for (const dir of path.split(delimiter)) {
    const file = join(dir || cwd, name)
    if (name !== '' && (await isExecutable(file))) return file
  }
  return null
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK)
    return (await stat(file)).isFile()
  } catch {
    return false
  }
}

export async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() ?? false
}

function commandText(cmd: unknown): string {
  return Array.isArray(cmd) ? cmd.map(word => text(word, 'cmd')).join(' ') : text(cmd, 'cmd')
}

function list(value: unknown): unknown[] {
  if (value === null || value === undefined) return []
  return Array.isArray(value) ? value : typeof value === 'string' ? value.split(',') : [value]
}
