import { randomBytes } from 'node:crypto'
import { chmod, chown, copyFile, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CommandOptions, type CommandResult, findProgram, runCommand, startCommand } from '../command.js'
import type { ModuleContext } from '../context.js'
import { localCopy } from '../sources.js'
import { renderTemplate } from '../template.js'
import { findUser } from '../users.js'
import { CommandExecutionError } from './errors.js'
import { doc, fn, type Module, type ModuleFunction } from './module.js'
import { quoteWord } from './shlex.js'
import { flag, type Mapping, text, textOrNull, texts } from './values.js'

/** Parameters that all functions which run a command have. */
const COMMON =
  "cwd=None, stdin=None, runas=None, group=None, shell=None, python_shell=None, env=None, clean_env=False, template=None, rstrip=True, umask=None, output_encoding=None, output_loglevel='debug', log_callback=None, hide_output=False, timeout=None, reset_system_locale=True, ignore_retcode=False, saltenv=None, use_vt=False, password=None, prepend_path=None, success_retcodes=None, success_stdout=None, success_stderr=None, **kwargs"

const PARAMETERS = `
cmd: the command, a line for a shell or a list of words. cwd: absolute path of its directory (default: the user's home). stdin: text that it
reads. runas, group: user and group that it runs as. shell: the shell (default: the agent's). python_shell: False runs the words without a
shell. env: variables as a mapping, or a list of mappings; clean_env: nothing but these. template: renders the command first (jinja).
rstrip: white space at the end of output is cut. umask: octal digits. timeout: seconds, then the command and all that it started is ended.
reset_system_locale: messages in English. ignore_retcode: an exit code other than 0 is no failure of the job. success_retcodes,
success_stdout, success_stderr: outcomes that count as success. prepend_path: goes before PATH. hide_output: returns no output.`

/** Salt's `cmd` module. */
export const cmd: Module = {
  name: 'cmd',
  functions: [
    command(
      `run(cmd, ${COMMON}, bg=False, raise_err=False)`,
      'Runs a command and returns its output, standard error included.',
      'cmd.run "ls -l | grep foo"',
      run
    ),
    command(`shell(cmd, ${COMMON}, bg=False)`, 'Runs a command in a shell and returns its output.', 'cmd.shell "ls -l | grep foo"', shell),
    command(`run_stdout(cmd, ${COMMON})`, 'Runs a command and returns its standard output.', 'cmd.run_stdout "ls -l"', runStdout),
    command(`run_stderr(cmd, ${COMMON})`, 'Runs a command and returns its standard error.', 'cmd.run_stderr "ls -l"', runStderr),
    command(
      `run_all(cmd, ${COMMON}, redirect_stderr=False, bg=False)`,
      'Runs a command and returns pid, retcode, stdout and stderr.',
      'cmd.run_all "ls -l"',
      runAll
    ),
    command(`retcode(cmd, ${COMMON})`, 'Runs a command and returns its exit code.', 'cmd.retcode "file /bin/bash"', retcode),
    command(
      `run_bg(cmd, ${COMMON})`,
      'Starts a command and returns its process id; nothing waits for it.',
      "cmd.run_bg 'sleep 100'",
      runBg
    ),
    command(
      `script(source, args=None, ${COMMON}, bg=False)`,
      'Fetches a script (salt:// or a path), runs it, returns as run_all.',
      'cmd.script salt://a.sh',
      script
    ),
    command(
      `script_retcode(source, args=None, ${COMMON})`,
      'Fetches a script (salt:// or a path), runs it and returns its exit code.',
      'cmd.script_retcode salt://scripts/runme.sh',
      scriptRetcode
    ),
    command(
      'exec_code(lang, code, cwd=None, args=None, **kwargs)',
      'Runs code with an interpreter; returns its output.',
      "cmd.exec_code ruby 'puts 1'",
      execCode
    ),
    command(
      'exec_code_all(lang, code, cwd=None, args=None, **kwargs)',
      'Runs code with an interpreter; returns as run_all.',
      "cmd.exec_code_all python3 'print(1)'",
      execCodeAll
    ),
    fn('which(cmd)', doc('Returns the path of a program, None when there is none.', 'cmd.which cat'), which),
    fn('which_bin(cmds)', doc('Returns the first program of a list that there is.', "cmd.which_bin '[pip2, pip]'"), whichBin),
    fn('has_exec(cmd)', doc('Returns whether there is a program.', 'cmd.has_exec cat'), async (ctx, a) => (await which(ctx, a)) !== null),
    fn('shells()', doc('Returns the login shells of /etc/shells.', 'cmd.shells'), shells)
  ]
}

function command(signature: string, says: string, cli: string, run: ModuleFunction['run']): ModuleFunction {
  // **kwargs comes last in a signature; functions add their own parameters after the common ones
  const ordered = signature.replace(/, \*\*kwargs(.*)\)$/, '$1, **kwargs)')
  return fn(ordered, `${doc(says, cli)}\n${PARAMETERS}`, run, { isolated: true })
}

/** All arguments of a call, also those that came as further keywords (`__pub_jid` says that a job called). */
function optionsOf(a: Mapping): CommandOptions {
  return { ...(a.kwargs as Mapping | undefined), ...a }
}

/** Runs the command of a call and notes its exit code as that of the job. */
async function perform(
  ctx: ModuleContext,
  a: Mapping,
  options: { mergeStderr?: boolean; python_shell?: boolean } = {}
): Promise<CommandResult> {
  const given: CommandOptions = { ...optionsOf(a), ...(options.python_shell === undefined ? {} : { python_shell: options.python_shell }) }
  const line = await rendered(ctx, a.cmd, given)
  if (flag(given.bg)) return { pid: await startCommand(ctx, line, given), retcode: 0, stdout: '', stderr: '' }
  const result = await runCommand(ctx, line, given, { mergeStderr: options.mergeStderr ?? false })
  ctx.outcome.retcode = flag(given.ignore_retcode) ? 0 : result.retcode
  return flag(given.hide_output) ? { ...result, stdout: '', stderr: '' } : result
}

async function rendered(ctx: ModuleContext, line: unknown, options: CommandOptions): Promise<unknown> {
  const engine = textOrNull(options.template, 'template')
  if (engine === null) return line
  if (engine !== 'jinja') throw new CommandExecutionError(`Attempted to render file paths with unavailable engine ${engine}`)
  return renderTemplate(ctx, text(line, 'cmd'), { file: 'cmd', saltenv: textOrNull(options.saltenv, 'saltenv') ?? 'base' })
}

async function run(ctx: ModuleContext, a: Mapping): Promise<string> {
  return (await perform(ctx, a, { mergeStderr: true })).stdout
}

async function shell(ctx: ModuleContext, a: Mapping): Promise<string> {
  return (await perform(ctx, a, { mergeStderr: true, python_shell: true })).stdout
}

async function runStdout(ctx: ModuleContext, a: Mapping): Promise<string> {
  return (await perform(ctx, a)).stdout
}

async function runStderr(ctx: ModuleContext, a: Mapping): Promise<string> {
  return (await perform(ctx, a)).stderr
}

async function runAll(ctx: ModuleContext, a: Mapping): Promise<CommandResult> {
  return perform(ctx, a, { mergeStderr: flag(a.redirect_stderr) })
}

async function retcode(ctx: ModuleContext, a: Mapping): Promise<number> {
  return (await perform(ctx, a, { mergeStderr: true })).retcode
}

async function runBg(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const options = optionsOf(a)
  return { pid: await startCommand(ctx, await rendered(ctx, a.cmd, options), options) }
}

async function script(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const saltenv = textOrNull(a.saltenv, 'saltenv') ?? 'base'
  const source = text(a.source, 'source')
  const copy = await localCopy(ctx, source, saltenv)
  if (copy === null) return { pid: 0, retcode: 1, stdout: '', stderr: '', cache_error: true }
  const path = temporary()
  try {
    if (textOrNull(a.template, 'template') === null) await copyFile(copy, path)
    else await writeFile(path, await renderTemplate(ctx, await readFile(copy, 'utf8'), { file: source, saltenv }))
    return { ...(await runScript(ctx, path, a)) }
  } finally {
    await rm(path, { force: true })
  }
}

async function runScript(ctx: ModuleContext, path: string, a: Mapping): Promise<CommandResult> {
  await chmod(path, 0o500)
  const runas = textOrNull(a.runas, 'runas')
  const user = runas === null ? null : await findUser(runas)
  if (user) await chown(path, user.uid, user.gid)
  const args =
    a.args === null || a.args === undefined
      ? ''
      : ` ${Array.isArray(a.args) ? a.args.map(arg => quoteWord(text(arg, 'args'))).join(' ') : text(a.args, 'args')}`
  return perform(ctx, { ...a, template: null, cmd: `${path}${args}` })
}

async function scriptRetcode(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  return (await script(ctx, a)).retcode
}

async function execCodeAll(ctx: ModuleContext, a: Mapping): Promise<CommandResult> {
  const path = temporary()
  try {
    await writeFile(path, text(a.code, 'code'), { mode: 0o600 })
    return await perform(ctx, { ...a, cmd: [text(a.lang, 'lang'), path, ...texts(a.args, 'args')], python_shell: false })
  } finally {
    await rm(path, { force: true })
  }
}

async function execCode(ctx: ModuleContext, a: Mapping): Promise<string> {
  return (await execCodeAll(ctx, a)).stdout
}

async function which(_ctx: ModuleContext, a: Mapping): Promise<string | null> {
  return findProgram(text(a.cmd, 'cmd'), process.env.PATH ?? '', '/')
}

async function whichBin(ctx: ModuleContext, { cmds }: Mapping): Promise<string | null> {
  for (const name of texts(cmds, 'cmds')) {
    const path = await which(ctx, { cmd: name })
    if (path !== null) return path
  }
  return null
}

async function shells(): Promise<string[]> {
  const source = await readFile('/etc/shells', 'utf8').catch(() => '')
  return source
    .split('\n')
    .map(line => line.trim())
    .filter(line => line.startsWith('/'))
}

function temporary(): string {
  return join(tmpdir(), `brine-script-${randomBytes(8).toString('hex')}`)
}
