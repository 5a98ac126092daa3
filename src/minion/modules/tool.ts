/** What modules that drive the system's own programs (useradd, crontab, apt-get, systemctl …) have in common. */
import { type CommandOptions, type CommandResult, findProgram, runCommand } from '../command.js'
import type { ModuleContext } from '../context.js'
import { CommandExecutionError } from './errors.js'
import { doc, fn, type ModuleFunction } from './module.js'
import { type Mapping, textOrNull } from './values.js'

/** Directories of the administrator's programs, which a service's PATH does not always have. */
const SYSTEM_PATH = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin']

/** PATH with the directories of the system behind it. */
function systemPath(): string {
  const given = (process.env.PATH ?? '').split(':').filter(dir => dir !== '')
  return [...given, ...SYSTEM_PATH.filter(dir => !given.includes(dir))].join(':')
}

/** The absolute path of a program of the system; null when it is not there. */
export function systemProgram(name: string): Promise<string | null> {
  return findProgram(name, systemPath(), '/')
}

/** Runs a program with these words, never through a shell. Throws CommandExecutionError when there is no such program. */
export async function runTool(ctx: ModuleContext, argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [program, ...words] = argv
  const path = await systemProgram(program!)
  if (path === null) throw new CommandExecutionError(`Unable to run command '${argv.join(' ')}': there is no program ${program}`)
  const env = { PATH: systemPath(), ...(options.env as Record<string, string> | undefined) }
  return runCommand(ctx, [path, ...words], { ...options, env, python_shell: false, cwd: '/' })
}

/** `root` of a call: the directory that a tool takes for `/`. */
export function rootOf(value: unknown): string | null {
  const root = textOrNull(value, 'root')
  return root === null || root === '' || root === '/' ? null : root
}

/** `-R root` of shadow-utils, where a call names a root. */
export function rootOption(a: Mapping, option = '-R'): string[] {
  const root = rootOf(a.root)
  return root === null ? [] : [option, root]
}

/** A function that runs programs of the system: it may take long, so it has a process of its own. */
export function toolFn(signature: string, says: string, example: string, run: ModuleFunction['run']): ModuleFunction {
  return fn(signature, doc(says, example), run, { isolated: true })
}
