import { chown, mkdir } from 'node:fs/promises'
import { findAccount, type Group, groups, resolveGroup } from '../accounts.js'
import { isDirectory } from '../command.js'
import { callFunction } from '../invoke.js'
import { messageOf } from '../modules/errors.js'
import { InformedError } from '../modules/nested.js'
import { pyStr } from '../modules/python.js'
import { flag, isMapping, type Mapping, numberOrNull, text, textOrNull, texts } from '../modules/values.js'
import { type StateContext, type StateModule, type StateResult, stateFn } from './state.js'

/** Salt's `user` states. */
export const user: StateModule = {
  name: 'user',
  functions: [
    stateFn(
      'present(name, uid=None, gid=None, usergroup=None, groups=None, optional_groups=None, remove_groups=True, home=None, createhome=True, password=None, hash_password=False, enforce_password=True, empty_password=False, shell=None, unique=True, system=False, fullname=None, roomnumber=None, workphone=None, homephone=None, other=None, loginclass=None, date=None, mindays=None, maxdays=None, inactdays=None, warndays=None, expire=None, win_homedrive=None, win_profile=None, win_logonscript=None, win_description=None, nologinit=False, allow_uid_change=False, allow_gid_change=False)',
      `A user that is there, with what is named: uid, gid, groups (which must be there; nothing said: as they are), optional_groups, home, shell,
password (a hash, or with hash_password a plain text), the fields of the comment, and how the password ages. uid and gid of a user that is
there change only with allow_uid_change and allow_gid_change. changes: what user.info and shadow.info tell otherwise than before.`,
      present
    ),
    stateFn(
      'absent(name, purge=False, force=False, local=False)',
      'A user that is not there; purge removes the home directory too, force also one who is logged in.',
      absent
    )
  ]
}

const HIDDEN = 'XXX-REDACTED-XXX'

function answer(name: string, result: boolean | null, comment: string, changes: Mapping = {}): StateResult {
  return { name, changes, result, comment }
}

const call = (ctx: StateContext, fun: string, ...args: unknown[]): Promise<unknown> => callFunction(ctx, fun, args)

async function mappingOf(ctx: StateContext, fun: string, name: string): Promise<Mapping> {
  const value = await call(ctx, fun, name)
  return isMapping(value) ? value : {}
}

/** What a state says that a user should be. */
interface Wish {
  readonly args: Mapping
  /** null: nothing said. */
  readonly groups: readonly string[] | null
  readonly optional: readonly string[]
  readonly removeGroups: boolean
  readonly home: string | null
  readonly createHome: boolean
  /** A hash. */
  readonly password: string | null
  readonly emptyPassword: boolean
}

const COMMENT_FIELDS = ['fullname', 'roomnumber', 'workphone', 'homephone', 'other'] as const
/** A state's parameter, the key of shadow.info, the function that sets it, and how Salt calls it. */
const AGES = [
  ['date', 'lstchg', 'set_date', 'last change date'],
  ['mindays', 'min', 'set_mindays', 'minimum days'],
  ['maxdays', 'max', 'set_maxdays', 'maximum days'],
  ['inactdays', 'inact', 'set_inactdays', 'inactive days'],
  ['warndays', 'warn', 'set_warndays', 'warn days'],
  ['expire', 'expire', 'set_expire', 'expire days']
] as const

async function present(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name')
  for (const field of ['fullname', 'roomnumber', 'workphone'])
    if (String(a[field] ?? '').includes(',')) return answer(name, false, `Unsupported char ',' in ${a[field]}`)
  const all = new Set([...(await groups(null)).map(group => group.name), ...groupsToCome(ctx)])
  const wanted = a.groups === null ? null : texts(a.groups, 'groups')
  const missing = (wanted ?? []).filter(group => !all.has(group))
  if (missing.length > 0) return answer(name, false, `The following group(s) are not present: ${missing.join(',')}`)
  const wish: Wish = {
    ...{ args: a, groups: wanted, optional: texts(a.optional_groups, 'optional_groups').filter(group => all.has(group)) },
    ...{ removeGroups: flag(a.remove_groups), home: textOrNull(a.home, 'home'), createHome: flag(a.createhome) },
    ...{ password: await hashOf(ctx, name, a), emptyPassword: flag(a.empty_password) }
  }
  try {
    const changes = await changesOf(ctx, name, wish)
    if (!changes) return await create(ctx, name, wish)
    if (Object.keys(changes).length === 0) return answer(name, true, `User ${name} is present and up to date`)
    return ctx.test ? predict(name, wish, changes) : await modify(ctx, name, wish, changes)
  } catch (error) {
    if (error instanceof InformedError) return answer(name, false, error.message)
    throw error
  }
}

/** In test mode: groups that states before this one would have added. Salt fails here, though the run itself would not. */
function groupsToCome(ctx: StateContext): string[] {
  if (!ctx.test) return []
  const predicted = [...ctx.results].filter(([tag, { result }]) => result === null && /^group_\|-.*_\|-present$/s.test(tag))
  return predicted.map(([, { name }]) => name)
}

/** The hash that is wanted; a plain text is hashed with the salt of the hash that is there, so that it comes out the same. */
async function hashOf(ctx: StateContext, name: string, a: Mapping): Promise<string | null> {
  const password = textOrNull(a.password, 'password')
  if (!password || !flag(a.hash_password)) return password
  const [, kind, rounds, crypt_salt] =
    /^\$([56])\$(rounds=\d+\$)?([^$]*)\$/.exec(String((await mappingOf(ctx, 'shadow.info', name)).passwd)) ?? []
  const again = kind === undefined ? {} : { crypt_salt: `${rounds ?? ''}${crypt_salt}`, algorithm: kind === '5' ? 'sha256' : 'sha512' }
  return String(await callFunction(ctx, 'shadow.gen_password', [password], again))
}

/** What is not as wanted, with Salt's keys; null: there is no such user. Throws InformedError for changes that are not permitted. */
async function changesOf(ctx: StateContext, name: string, wish: Wish, permitted?: 'all'): Promise<Mapping | null> {
  const now = await mappingOf(ctx, 'user.info', name)
  if (Object.keys(now).length === 0) return null
  const change: Mapping = {}
  const { args } = wish
  const uid = numberOrNull(args.uid, 'uid')
  if (uid !== null && now.uid !== uid) change.uid = uid
  const gid = await wantedGid(name, args)
  if (gid !== null && now.gid !== gid) change.gid = gid
  const difference = await groupChange(name, wish, now, gid)
  if (difference) change.groups = difference
  await homeChange(wish, now, change)
  if (args.shell && now.shell !== args.shell) change.shell = args.shell
  await passwordChanges(ctx, name, wish, change)
  for (const field of COMMENT_FIELDS) {
    const value = textOrNull(args[field], field)
    if (value !== null && now[field] !== value) change[field] = value
  }
  if (permitted !== 'all') refuseForbidden(args, now, change)
  return change
}

/** Salt compares a group's name too; a name that stands for the number that is there is no change. */
async function wantedGid(name: string, args: Mapping): Promise<number | null> {
  const own = flag(args.usergroup ?? false) ? await resolveGroup(name, null) : null
  if (own) return own.gid
  if (args.gid === null) return null
  const named = text(args.gid, 'gid')
  return (await resolveGroup(named, null))?.gid ?? numberOrNull(named, 'gid')
}

async function groupChange(name: string, wish: Wish, now: Mapping, gid: number | null): Promise<string[] | null> {
  const all = await groups(null)
  const nameOf = (id: unknown): string => all.find((group: Group) => group.gid === id)?.name ?? ''
  const primary = [nameOf(gid ?? now.gid), nameOf(now.gid)]
  const current = texts(now.groups, 'groups')
  const wanted = [...new Set([...(wish.groups ?? current), ...wish.optional])].filter(group => group !== primary[0]).sort()
  const old = current.filter(group => !primary.includes(group) && (group !== name || wanted.includes(name)))
  // The primary group counts as fulfilled, and so does the old one while it is being changed.
  if (wish.groups === null && wish.optional.every(group => current.includes(group))) return null
  const lacking = wanted.some(group => !old.includes(group))
  const tooMany = wish.removeGroups && old.some(group => !wanted.includes(group))
  return lacking || tooMany ? wanted : null
}

async function homeChange(wish: Wish, now: Mapping, change: Mapping): Promise<void> {
  if (wish.home && now.home !== wish.home) change.home = wish.home
  const home = wish.home || textOrNull(now.home, 'home')
  if (wish.createHome && home && !(await isDirectory(home))) change.homeDoesNotExist = home
}

async function passwordChanges(ctx: StateContext, name: string, wish: Wish, change: Mapping): Promise<void> {
  const now = await mappingOf(ctx, 'shadow.info', name)
  if (wish.password && !wish.emptyPassword && now.passwd !== wish.password) {
    const never = now.passwd === (await call(ctx, 'shadow.default_hash'))
    if (never || flag(wish.args.enforce_password)) change.passwd = wish.password
  }
  if (wish.emptyPassword && now.passwd !== '') change.empty_password = true
  for (const [param, key] of AGES) {
    const days = numberOrNull(wish.args[param], param)
    if (days !== null && (param !== 'expire' || days !== 0) && now[key] !== days) change[param] = days
  }
}

function refuseForbidden(args: Mapping, now: Mapping, change: Mapping): void {
  const errors = (['uid', 'gid'] as const)
    .filter(key => key in change && !flag(args[`allow_${key}_change`]))
    .map(
      key =>
        `Changing ${key} (${now[key]} -> ${change[key]}) not permitted, set allow_${key}_change to True to force this change. Note that this will not change file ownership.`
    )
  if (errors.length > 0) throw new InformedError('Encountered error checking for needed changes', errors)
}

/** Changes as they may be shown. */
function shown(changes: Mapping): Mapping {
  return 'passwd' in changes ? { ...changes, passwd: HIDDEN } : changes
}

function predict(name: string, wish: Wish, changes: Mapping): StateResult {
  const lines = Object.entries(shown(changes)).map(
    ([key, value]) => `${key === 'groups' && !wish.removeGroups ? 'ensure groups' : key}: ${pyStr(value)}\n`
  )
  return answer(name, null, `The following user attributes are set to be changed:\n${lines.join('')}`, shown(changes))
}

async function modify(ctx: StateContext, name: string, wish: Wish, changes: Mapping): Promise<StateResult> {
  const before = { info: await mappingOf(ctx, 'user.info', name), shadow: await mappingOf(ctx, 'shadow.info', name) }
  await applyPassword(ctx, name, changes)
  await applyHome(ctx, name, changes, before.info)
  for (const [param, , fun] of AGES) if (param in changes) await call(ctx, `shadow.${fun}`, name, changes[param])
  for (const key of ['uid', 'gid', 'shell', ...COMMENT_FIELDS]) if (key in changes) await call(ctx, `user.ch${key}`, name, changes[key])
  // Groups come last: a changed primary group would otherwise be mixed up with them.
  if ('groups' in changes) await call(ctx, 'user.chgroups', name, changes.groups, !wish.removeGroups)
  const made = { ...(await difference(ctx, name, before)), ...createdHome(changes, before.info) }
  const left = await changesOf(ctx, name, wish, 'all')
  if (left === null || Object.keys(left).length > 0)
    return answer(name, false, `These values could not be changed: ${pyStr(shown(left ?? {}))}`, made)
  return answer(name, true, Object.keys(made).length > 0 ? `Updated user ${name}` : `User ${name} is present and up to date`, made)
}

/** A home directory that was only made is a change too, though user.info tells the same as before. */
function createdHome(changes: Mapping, before: Mapping): Mapping {
  return 'homeDoesNotExist' in changes && changes.homeDoesNotExist === before.home ? { home: before.home } : {}
}

async function applyPassword(ctx: StateContext, name: string, changes: Mapping): Promise<void> {
  if ('passwd' in changes) await call(ctx, 'shadow.set_password', name, changes.passwd)
  if ('empty_password' in changes) await call(ctx, 'shadow.del_password', name)
}

async function applyHome(ctx: StateContext, name: string, changes: Mapping, before: Mapping): Promise<void> {
  if ('home' in changes) await call(ctx, 'user.chhome', name, changes.home, false)
  if (!('homeDoesNotExist' in changes)) return
  const home = text(changes.homeDoesNotExist, 'home')
  try {
    await mkdir(home, { mode: 0o755 })
    await chown(home, Number(before.uid), Number(before.gid))
  } catch (error) {
    ctx.log.error({ home, error: messageOf(error) }, 'a home directory could not be made') // the state finds that it is missing still
  }
}

async function difference(ctx: StateContext, name: string, before: { info: Mapping; shadow: Mapping }): Promise<Mapping> {
  const after = { info: await mappingOf(ctx, 'user.info', name), shadow: await mappingOf(ctx, 'shadow.info', name) }
  const changed = (kind: 'info' | 'shadow'): [string, unknown][] =>
    Object.entries(after[kind]).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(before[kind][key]))
  return shown(Object.fromEntries([...changed('info'), ...changed('shadow')]))
}

async function create(ctx: StateContext, name: string, wish: Wish): Promise<StateResult> {
  if (ctx.test) return answer(name, null, `User ${name} set to be added`, { [name]: 'added' })
  const { args } = wish
  const keys = ['uid', 'gid', 'home', 'shell', 'unique', 'system', 'createhome', 'nologinit', 'loginclass', 'usergroup', ...COMMENT_FIELDS]
  const given = Object.fromEntries(keys.map(key => [key, args[key] ?? null]))
  const wanted = [...new Set([...(wish.groups ?? []), ...wish.optional])]
  if ((await callFunction(ctx, 'user.add', [name], { ...given, groups: wanted.length > 0 ? wanted : null })) !== true)
    return answer(name, false, `Failed to create new user ${name}`)
  const changes = await mappingOf(ctx, 'user.info', name)
  if (!wish.createHome) changes.home = ''
  const failed = await setFirstPassword(ctx, name, wish, changes)
  return answer(
    name,
    failed === null,
    failed === null ? `New user ${name} created` : `User ${name} created but failed to ${failed}`,
    changes
  )
}

/** Password and ages of a new user; what could not be done, in Salt's words. */
async function setFirstPassword(ctx: StateContext, name: string, wish: Wish, changes: Mapping): Promise<string | null> {
  let failed: string | null = null
  const now = (): Promise<Mapping> => mappingOf(ctx, 'shadow.info', name)
  if (wish.password && !wish.emptyPassword) {
    await call(ctx, 'shadow.set_password', name, wish.password)
    if ((await now()).passwd !== wish.password) failed = `set password to ${HIDDEN}`
    changes.password = HIDDEN
  }
  if (wish.emptyPassword && !wish.password) {
    await call(ctx, 'shadow.del_password', name)
    if ((await now()).passwd !== '') failed = 'empty password'
    changes.password = ''
  }
  for (const [param, key, fun, called] of AGES) {
    const days = numberOrNull(wish.args[param], param)
    if (days === null || (param === 'expire' && days === 0)) continue
    await call(ctx, `shadow.${fun}`, name, days)
    if ((await now())[key] !== days) failed = `set ${called} to ${days}`
    changes[param] = days
  }
  return failed
}

async function absent(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name')
  const account = await findAccount(name, null)
  if (!account) return answer(name, true, `User ${name} is not present`)
  if (ctx.test) return answer(name, null, `User ${name} set for removal`, { [name]: 'removed' })
  const before = texts(await call(ctx, 'user.list_groups', name), 'groups')
  if ((await callFunction(ctx, 'user.delete', [name], { remove: a.purge, force: a.force, local: a.local })) !== true)
    return answer(name, false, `Failed to remove user ${name}`)
  const left = new Set((await groups(null)).map(group => group.name))
  const gone = before.filter(group => !left.has(group)).map(group => [`${group} group`, 'removed'])
  return answer(name, true, `Removed user ${name}`, { ...Object.fromEntries(gone), [name]: 'removed' })
}
