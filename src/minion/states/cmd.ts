import { randomBytes } from 'node:crypto'
import { chmod, copyFile, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CommandResult, isDirectory, runCommand } from '../command.js'
import { messageOf } from '../modules/errors.js'
import { flag, isMapping, type Mapping, text, textOrNull } from '../modules/values.js'
import { localCopy } from '../sources.js'
import { renderTemplate } from '../template.js'
import { type StateContext, type StateModule, type StateResult, stateFn } from './state.js'

const COMMON =
  'cwd=None, root=None, runas=None, shell=None, env=None, prepend_path=None, stateful=False, umask=None, output_loglevel=None, hide_output=False, use_vt=False, success_retcodes=None, success_stdout=None, success_stderr=None'

/** Salt's `cmd` states. `onlyif`, `unless` and `creates` are looked at before a state is called, for all states alike. */
export const cmd: StateModule = {
  name: 'cmd',
  functions: [
    stateFn(
      `run(name, onlyif=None, unless=None, creates=None, ${COMMON}, timeout=None, ignore_timeout=False, stdin=None, **kwargs)`,
      'Runs a command. changes: pid, retcode, stdout, stderr. stateful: the last line of its output says what changed.',
      run
    ),
    stateFn(
      `wait(name, onlyif=None, unless=None, creates=None, ${COMMON}, **kwargs)`,
      'Runs a command only when a watched state changed.',
      (_ctx, { name }) => ({ name: String(name), changes: {}, result: true, comment: '' })
    ),
    stateFn(
      `script(name, source=None, template=None, onlyif=None, unless=None, creates=None, ${COMMON}, timeout=None, args=None, context=None, defaults=None, stdin=None, **kwargs)`,
      'Fetches a script and runs it.',
      script
    ),
    stateFn(
      `wait_script(name, source=None, template=None, onlyif=None, unless=None, creates=None, ${COMMON}, **kwargs)`,
      'Fetches and runs a script only when a watched state changed.',
      (_ctx, { name }) => ({ name: String(name), changes: {}, result: true, comment: '' })
    )
  ],
  watch: stateFn(
    `mod_watch(name, sfun=None, onlyif=None, unless=None, creates=None, source=None, template=None, ${COMMON}, timeout=None, ignore_timeout=False, args=None, context=None, defaults=None, stdin=None, **kwargs)`,
    'Runs the command or script.',
    (ctx, a) => (String(a.sfun).includes('script') ? script(ctx, a) : run(ctx, a))
  )
}

async function run(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name')
  const blocked = await preflight(ctx, a, name)
  if (blocked) return blocked
  try {
    return conclude(ctx, a, name, await runCommand(ctx, commandOf(ctx, a), { ...optionsOf(a), python_shell: true }))
  } catch (error) {
    return { name, changes: {}, result: false, comment: messageOf(error) }
  }
}

/** With `stateful: [{test_name: …}]`, test mode runs that command, which says what would change. */
function testName(a: Mapping): string | null {
  const [first] = Array.isArray(a.stateful) ? a.stateful : []
  return isMapping(first) && first.test_name !== undefined ? text(first.test_name, 'test_name') : null
}

function commandOf(ctx: StateContext, a: Mapping): string {
  return (ctx.test && testName(a)) || text(a.name, 'name')
}

function optionsOf(a: Mapping): Mapping {
  const { kwargs, name: _name, onlyif: _onlyif, unless: _unless, creates: _creates, ...options } = a
  return { ...(isMapping(kwargs) ? kwargs : {}), ...options }
}

/** What can be said without running anything; null: go ahead. */
async function preflight(ctx: StateContext, a: Mapping, name: string): Promise<StateResult | null> {
  const answer = (result: boolean | null, comment: string): StateResult => ({ name, changes: {}, result, comment })
  if (a.env !== null && a.env !== undefined && !isMapping(a.env) && !Array.isArray(a.env)) {
    return answer(false, "Invalidly-formatted 'env' parameter. See documentation.")
  }
  if (ctx.test && testName(a) === null) return answer(null, `Command "${name}" would have been executed`)
  const cwd = textOrNull(a.cwd, 'cwd')
  if (cwd !== null && !(await isDirectory(cwd))) return answer(false, `Desired working directory "${cwd}" is not available`)
  return null
}

function conclude(ctx: StateContext, a: Mapping, name: string, done: CommandResult): StateResult {
  const changes = flag(a.hide_output) ? { ...done, stdout: '', stderr: '' } : { ...done }
  let result: StateResult = { name, changes, result: done.retcode === 0, comment: `Command "${name}" run` }
  if (flag(a.ignore_timeout) && done.retcode === 1 && done.stdout.includes('Timed out after')) {
    result = { ...result, changes: { ...changes, retcode: 0 }, result: true }
  }
  if (Array.isArray(a.stateful) ? a.stateful.length > 0 : flag(a.stateful)) result = reinterpreted(result, done)
  return ctx.test && result.result === true && Object.keys(result.changes).length > 0 ? { ...result, result: null } : result
}

/** The last line of a stateful command's output is JSON, or `changed=yes comment='…' key=value`. */
function reinterpreted(result: StateResult, done: CommandResult): StateResult {
  const lines = done.stdout.split('\n').filter(line => line.trim() !== '')
  const said = statement(lines.at(-1) ?? '')
  const { changed, comment, ...more } = said
  if (changed === undefined) {
    return {
      ...result,
      changes: {},
      result: false,
      comment: `${result.comment}\nFailed parsing script output! Stdout must be JSON or a line of name=value pairs.`
    }
  }
  return {
    ...result,
    changes: flag(changed) ? { ...result.changes, ...more } : {},
    result: done.retcode === 0,
    comment: comment === undefined ? result.comment : String(comment)
  }
}

function statement(line: string): Mapping {
  try {
    const value: unknown = JSON.parse(line)
    if (isMapping(value)) return value
  } catch {
    // no JSON: pairs
  }
  return Object.fromEntries(
    [...line.matchAll(/(\w+)=(?:'([^']*)'|"([^"]*)"|(\S+))/g)].map(match => [match[1]!, match[2] ?? match[3] ?? match[4]!])
  )
}

async function script(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name')
  const blocked = await preflight(ctx, a, name)
  if (blocked) return blocked
  // Without a source the name is one, and what follows it are its arguments.
  const [first, ...rest] = name.split(' ')
  const source = textOrNull(a.source, 'source') ?? first!
  const args = textOrNull(a.args, 'args') ?? (a.source ? name.split(' ').slice(1) : rest).join(' ')
  const path = join(tmpdir(), `brine-script-${randomBytes(8).toString('hex')}`)
  try {
    if (!(await fetchScript(ctx, a, source, path)))
      return { name, changes: {}, result: false, comment: `Unable to cache script ${source} from saltenv '${ctx.saltenv}'` }
    return conclude(ctx, a, name, await runCommand(ctx, `${path} ${args}`.trim(), { ...optionsOf(a), python_shell: true }))
  } catch (error) {
    return { name, changes: {}, result: false, comment: messageOf(error) }
  } finally {
    await rm(path, { force: true })
  }
}

async function fetchScript(ctx: StateContext, a: Mapping, source: string, path: string): Promise<boolean> {
  const copy = await localCopy(ctx, source, ctx.saltenv)
  if (copy === null) return false
  if (textOrNull(a.template, 'template') === null) await copyFile(copy, path)
  else {
    const context = { ...(isMapping(a.defaults) ? a.defaults : {}), ...(isMapping(a.context) ? a.context : {}) }
    await writeFile(path, await renderTemplate(ctx, await readFile(copy, 'utf8'), { file: source, saltenv: ctx.saltenv, context }))
  }
  await chmod(path, a.runas ? 0o555 : 0o500)
  return true
}
