import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findAccount } from '../accounts.js'
import type { CommandResult } from '../command.js'
import { callFunction } from '../invoke.js'
import { listTab, planJob, planVariable } from '../modules/cron.js'
import { removeJob, removeSpecial, removeVariable } from '../modules/crontab.js'
import { InvocationError } from '../modules/errors.js'
import { flag, type Mapping, text, textOrNull } from '../modules/values.js'
import { ContentError, wantedContent } from './file/content.js'
import { diffOf } from './file/diff.js'
import { type StateContext, type StateModule, type StateResult, stateFn } from './state.js'

/** Salt's `cron` states. A job is known by its identifier, which is its command unless it is named. */
export const cron: StateModule = {
  name: 'cron',
  functions: [
    stateFn(
      "present(name, user='root', minute='*', hour='*', daymonth='*', month='*', dayweek='*', comment=None, commented=False, identifier=False, special=None)",
      "A job in a user's crontab. name: its command. Times may be 'random'. special: @hourly and the like. commented: it is there, but off.",
      present
    ),
    stateFn("absent(name, user='root', identifier=False, special=None, **kwargs)", "A job that is not in a user's crontab.", absent),
    stateFn(
      "file(name, source_hash='', source_hash_name=None, user='root', template=None, context=None, replace=True, defaults=None, backup='', **kwargs)",
      "A user's whole crontab from a file (salt:// or a path). replace=False leaves one that is there alone. changes: diff.",
      file
    ),
    stateFn("env_present(name, value=None, user='root')", "A variable in a user's crontab.", envPresent),
    stateFn("env_absent(name, user='root')", "A variable that is not in a user's crontab.", envAbsent)
  ]
}

function answer(name: string, result: boolean | null, comment: string, changes: Mapping = {}): StateResult {
  return { name, changes, result, comment }
}

interface CronJobCall {
  readonly name: string
  readonly user: string
  readonly identifier: string
}

function callOf(a: Mapping): CronJobCall {
  const name = text(a.name, 'name').trim()
  return { name, user: text(a.user, 'user'), identifier: a.identifier === false ? name : text(a.identifier, 'identifier') }
}

function failed({ name, user }: CronJobCall, why: unknown): StateResult {
  return answer(name, false, `Cron ${name} for user ${user} failed to commit with error \n${why}`)
}

async function present(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const call = callOf(a)
  const { name, user, identifier } = call
  const wish = { ...a, cmd: name, identifier }
  const special = textOrNull(a.special, 'special')
  if (ctx.test) return predict(ctx, call, wish)
  try {
    // The same job of the other kind goes: it is the one whose time is being changed.
    const other = await callFunction(ctx, special === null ? 'cron.rm_special' : 'cron.rm_job', [user, name], { identifier })
    const { minute, hour, daymonth, month, dayweek, comment, commented } = a
    const common = { user, cmd: name, comment, commented, identifier }
    const done =
      special === null
        ? await callFunction(ctx, 'cron.set_job', [], { ...common, minute, hour, daymonth, month, dayweek })
        : await callFunction(ctx, 'cron.set_special', [], { ...common, special })
    return concluded(call, done, other)
  } catch (error) {
    if (error instanceof InvocationError) return failed(call, error.message)
    throw error
  }
}

function concluded(call: CronJobCall, done: unknown, other: unknown): StateResult {
  const { name, user } = call
  const changes = { [user]: name }
  if (other !== 'removed' && other !== 'absent') return failed(call, other)
  if (done === 'present') {
    return other === 'removed'
      ? answer(name, true, `Duplicate Cron ${name} removed`, changes)
      : answer(name, true, `Cron ${name} already present`)
  }
  if (done === 'new') {
    return answer(
      name,
      true,
      other === 'removed' ? `Cron ${name} time specification changed` : `Cron ${name} added to ${user}'s crontab`,
      changes
    )
  }
  return done === 'updated' ? answer(name, true, `Cron ${name} updated`, changes) : failed(call, done)
}

async function predict(ctx: StateContext, call: CronJobCall, wish: Mapping): Promise<StateResult> {
  const { name, user, identifier } = call
  const tab = await listTab(ctx, user)
  try {
    const { outcome } = planJob(tab, wish)
    const other = wish.special === null ? removeSpecial(tab, name, identifier) : removeJob(tab, name, identifier)
    if (outcome === 'present' && other.outcome === 'absent') return answer(name, true, `Cron ${name} already present`)
    return answer(name, null, `Cron ${name} is set to be ${outcome === 'new' && other.outcome === 'absent' ? 'added' : 'updated'}`, {
      [user]: name
    })
  } catch (error) {
    if (error instanceof InvocationError) return failed(call, error.message)
    throw error
  }
}

async function absent(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const call = callOf(a)
  const { name, user, identifier } = call
  const special = textOrNull(a.special, 'special')
  if (ctx.test) {
    const tab = await listTab(ctx, user)
    const { outcome } = special === null ? removeJob(tab, name, identifier) : removeSpecial(tab, name, identifier, special)
    if (outcome === 'absent') return answer(name, true, `Cron ${name} is absent`)
    return answer(name, null, `Cron ${name} is set to be removed`, { [user]: name })
  }
  const done =
    special === null
      ? await callFunction(ctx, 'cron.rm_job', [user, name], { identifier })
      : await callFunction(ctx, 'cron.rm_special', [user, name], { special, identifier })
  if (done === 'absent') return answer(name, true, `Cron ${name} already absent`)
  return done === 'removed' ? answer(name, true, `Cron ${name} removed from ${user}'s crontab`, { [user]: name }) : failed(call, done)
}

async function envPresent(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const [name, user] = [text(a.name, 'name'), text(a.user, 'user')]
  const changes = { [user]: name }
  if (ctx.test) {
    const { outcome } = planVariable(await listTab(ctx, user), a)
    if (outcome === 'present') return answer(name, true, `Cron env ${name} already present`)
    return answer(name, null, `Cron env ${name} is set to be ${outcome === 'new' ? 'added' : 'updated'}`, changes)
  }
  const done = await callFunction(ctx, 'cron.set_env', [user, name], { value: a.value })
  if (done === 'present') return answer(name, true, `Cron env ${name} already present`)
  if (done === 'new') return answer(name, true, `Cron env ${name} added to ${user}'s crontab`, changes)
  if (done === 'updated') return answer(name, true, `Cron env ${name} updated`, changes)
  return answer(name, false, `Cron env ${name} for user ${user} failed to commit with error \n${done}`)
}

async function envAbsent(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const [name, user] = [text(a.name, 'name').trim(), text(a.user, 'user')]
  const changes = { [user]: name }
  if (ctx.test) {
    if (removeVariable(await listTab(ctx, user), name).outcome === 'absent') return answer(name, true, `Cron env ${name} is absent`)
    return answer(name, null, `Cron env ${name} is set to be removed`, changes)
  }
  const done = await callFunction(ctx, 'cron.rm_env', [user, name])
  if (done === 'absent') return answer(name, true, `Cron env ${name} already absent`)
  if (done === 'removed') return answer(name, true, `Cron env ${name} removed from ${user}'s crontab`, changes)
  return answer(name, false, `Cron env ${name} for user ${user} failed to commit with error ${done}`)
}

async function file(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const [name, user] = [text(a.name, 'name'), text(a.user, 'user')]
  if (!(await findAccount(user, null))) return answer(name, false, `Could not identify group for user ${user}`)
  const now = Buffer.from(String(await callFunction(ctx, 'cron.raw_cron', [user])))
  if (!flag(a.replace) && now.length > 0) return answer(name, true, `User ${user} already has a crontab. No changes made`)
  try {
    const wanted = await wantedContent(ctx, { ...a, source: name, name: `crontab of ${user}` })
    const diff = diffOf(now, wanted ?? Buffer.alloc(0))
    if (diff === '') return answer(name, true, `Crontab for user ${user} is in the correct state`)
    if (ctx.test) return answer(name, null, `The following values are set to be changed:\ndiff: ${diff}\n`, { diff })
    return await install(ctx, { name, user, content: wanted!, diff })
  } catch (error) {
    if (error instanceof ContentError) return answer(name, false, error.message)
    throw error
  }
}

async function install(
  ctx: StateContext,
  { name, user, content, diff }: { name: string; user: string; content: Buffer; diff: string }
): Promise<StateResult> {
  const path = join(tmpdir(), `brine-crontab-${randomBytes(8).toString('hex')}`)
  try {
    await writeFile(path, content, { mode: 0o600, flag: 'wx' })
    const done = (await callFunction(ctx, 'cron.write_cron_file_verbose', [user, path])) as CommandResult
    if (done.retcode === 0) return answer(name, true, `Crontab for user ${user} was updated`, { diff })
    return answer(name, false, `Unable to update user ${user} crontab ${path}. Error: ${done.stderr}`)
  } finally {
    await rm(path, { force: true })
  }
}
