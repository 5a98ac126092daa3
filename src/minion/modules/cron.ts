import type { CommandResult } from '../command.js'
import type { ModuleContext } from '../context.js'
import { findUser } from '../users.js'
import {
  type Change,
  type EntryWish,
  parseTab,
  removeJob,
  removeSpecial,
  removeVariable,
  renderTab,
  setJob,
  setSpecial,
  setVariable,
  type Tab,
  TIMES,
  type Times
} from './crontab.js'
import { InvocationError } from './errors.js'
import type { Module } from './module.js'
import { runTool, toolFn } from './tool.js'
import { flag, type Mapping, text, textOrNull } from './values.js'

const OUTCOMES = "'new', 'updated' or 'present'; a text of crontab's when it refuses"

/** Salt's `cron` module, over crontab(1). The format of what it writes is in crontab.ts. */
export const cron: Module = {
  name: 'cron',
  functions: [
    toolFn('raw_cron(user)', "Returns the text of a user's crontab.", 'cron.raw_cron root', (ctx, a) => rawCron(ctx, userOf(a))),
    ...['list_tab', 'ls'].map(name =>
      toolFn(
        `${name}(user)`,
        "Returns a user's crontab: pre (lines above the managed ones), crons, special, env.",
        `cron.${name} root`,
        (ctx, a) => listTab(ctx, userOf(a))
      )
    ),
    toolFn(
      'get_entry(user, identifier=None, cmd=None)',
      'Returns a job by its identifier or command; False when there is none.',
      'cron.get_entry root identifier=task1',
      getEntry
    ),
    toolFn(
      'set_job(user, minute, hour, daymonth, month, dayweek, cmd, commented=False, comment=None, identifier=None)',
      `Sets a job: ${OUTCOMES}. Times may be 'random' (and minute, hour, month, dayweek a range 'from:to' of which one is chosen).`,
      "cron.set_job root '*' '*' '*' '*' 1 /usr/local/weekly",
      (ctx, a) => write(ctx, userOf(a), tab => setJob(tab, { ...wishOf(a), ...timesOf(a) }))
    ),
    toolFn(
      'set_special(user, special, cmd, commented=False, comment=None, identifier=None)',
      `Sets a job with a time like @hourly: ${OUTCOMES}.`,
      "cron.set_special root @hourly 'echo foobar'",
      (ctx, a) => write(ctx, userOf(a), tab => setSpecial(tab, { ...wishOf(a), spec: oneLine(a.special, 'special') }))
    ),
    ...['rm_job', 'rm'].map(name =>
      toolFn(
        `${name}(user, cmd, minute=None, hour=None, daymonth=None, month=None, dayweek=None, identifier=None)`,
        "Removes a job, with times only one that has them: 'removed' or 'absent'.",
        `cron.${name} root /usr/bin/foo dayweek=1`,
        (ctx, a) => {
          const when = Object.fromEntries(TIMES.map(time => [time, textOrNull(a[time], time)?.toLowerCase() ?? null]))
          return write(ctx, userOf(a), tab => removeJob(tab, text(a.cmd, 'cmd'), textOrNull(a.identifier, 'identifier'), when))
        }
      )
    ),
    toolFn(
      'rm_special(user, cmd, special=None, identifier=None)',
      "Removes a job with a time like @hourly: 'removed' or 'absent'.",
      'cron.rm_special root /usr/bin/foo',
      (ctx, a) =>
        write(ctx, userOf(a), tab =>
          removeSpecial(tab, text(a.cmd, 'cmd'), textOrNull(a.identifier, 'identifier'), textOrNull(a.special, 'special'))
        )
    ),
    toolFn('set_env(user, name, value=None)', `Sets a variable: ${OUTCOMES}.`, 'cron.set_env root MAILTO user@example.com', (ctx, a) =>
      write(ctx, userOf(a), tab => setVariable(tab, variableName(a.name), variableValue(a.value)))
    ),
    toolFn('rm_env(user, name)', "Removes a variable: 'removed' or 'absent'.", 'cron.rm_env root MAILTO', (ctx, a) =>
      write(ctx, userOf(a), tab => removeVariable(tab, text(a.name, 'name')))
    ),
    toolFn(
      'write_cron_file(user, path)',
      "Makes a file a user's crontab; whether that could be done.",
      'cron.write_cron_file root /tmp/new_cron',
      async (ctx, a) => (await crontab(ctx, userOf(a), [text(a.path, 'path')])).retcode === 0
    ),
    toolFn(
      'write_cron_file_verbose(user, path)',
      "Makes a file a user's crontab; returns as cmd.run_all.",
      'cron.write_cron_file_verbose root /tmp/new_cron',
      (ctx, a) => crontab(ctx, userOf(a), [text(a.path, 'path')])
    )
  ]
}

function userOf(a: Mapping): string {
  const user = text(a.user, 'user')
  if (user === '' || user.startsWith('-')) throw new InvocationError(`user '${user}' is not the name of a user`)
  return user
}

/** A line end in a command would begin a job of its own. */
function oneLine(value: unknown, name: string): string {
  const line = text(value, name).trim()
  if (/[\n\r]/.test(line)) throw new InvocationError(`${name} must be one line`)
  return line
}

function variableName(value: unknown): string {
  const name = oneLine(value, 'name')
  if (name === '' || /[=\s#]/.test(name)) throw new InvocationError(`name '${name}' is not the name of a variable`)
  return name
}

const variableValue = (value: unknown): string => (value === null ? '' : oneLine(value, 'value'))

function identifierOf(value: unknown): string | null {
  return value === null || value === false || value === '' ? null : oneLine(value, 'identifier')
}

function wishOf(a: Mapping): EntryWish {
  return {
    ...{ cmd: oneLine(a.cmd, 'cmd'), identifier: identifierOf(a.identifier) },
    ...{ comment: textOrNull(a.comment, 'comment'), commented: flag(a.commented) }
  }
}

function timesOf(a: Mapping): Times {
  const times = Object.fromEntries(TIMES.map(time => [time, oneLine(a[time], time).toLowerCase()]))
  for (const [name, value] of Object.entries(times))
    if (value === '' || /\s/.test(value)) throw new InvocationError(`${name} must be one field of a crontab, not '${value}'`)
  return times as unknown as Times
}

/** The tab that a call asks for: states predict with it. */
export function planJob(tab: Tab, a: Mapping): Change {
  return a.special === null || a.special === undefined
    ? setJob(tab, { ...wishOf(a), ...timesOf(a) })
    : setSpecial(tab, { ...wishOf(a), spec: oneLine(a.special, 'special') })
}

export function planVariable(tab: Tab, a: Mapping): Change {
  return setVariable(tab, variableName(a.name), variableValue(a.value))
}

/** crontab(1) for a user; `-u` is root's alone, so that it is not said of oneself. */
async function crontab(ctx: ModuleContext, user: string, words: readonly string[], stdin?: string): Promise<CommandResult> {
  const self = (await findUser(user))?.uid === process.getuid?.()
  return runTool(ctx, ['crontab', ...(self ? [] : ['-u', user]), ...words], { rstrip: false, ...(stdin === undefined ? {} : { stdin }) })
}

/** Some systems put three lines of their own in front. */
const FOREIGN_HEADER = '# DO NOT EDIT THIS FILE - edit the master and reinstall.'

async function rawCron(ctx: ModuleContext, user: string): Promise<string> {
  const { stdout, retcode } = await crontab(ctx, user, ['-l'])
  if (retcode !== 0) return ''
  return stdout.startsWith(FOREIGN_HEADER) ? stdout.split('\n').slice(3).join('\n') : stdout
}

export async function listTab(ctx: ModuleContext, user: string): Promise<Tab> {
  return parseTab(await rawCron(ctx, user))
}

async function getEntry(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const { crons } = await listTab(ctx, userOf(a))
  const [identifier, cmd] = [textOrNull(a.identifier, 'identifier'), textOrNull(a.cmd, 'cmd')]
  return crons.find(job => (identifier ? job.identifier === identifier : cmd !== null && job.cmd === cmd)) ?? false
}

/** Changes a crontab in one step, if there is something to change. */
async function write(ctx: ModuleContext, user: string, change: (tab: Tab) => Change): Promise<string> {
  const now = await listTab(ctx, user)
  const { outcome, tab } = change(now)
  if (tab === now) return outcome
  const done = await crontab(ctx, user, ['-'], renderTab(tab))
  return done.retcode === 0 ? outcome : done.stderr.trim() || `crontab ended with ${done.retcode}`
}
