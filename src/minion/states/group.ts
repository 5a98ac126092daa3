import { callFunction } from '../invoke.js'
import { pyStr } from '../modules/python.js'
import { isMapping, type Mapping, numberOrNull, text, texts } from '../modules/values.js'
import { type StateContext, type StateModule, type StateResult, stateFn } from './state.js'

/** Salt's `group` states. */
export const group: StateModule = {
  name: 'group',
  functions: [
    stateFn(
      'present(name, gid=None, system=False, addusers=None, delusers=None, members=None, non_unique=False, local=False)',
      'A group that is there: its number, and who is in it. members: these and nobody else; addusers, delusers: these among others.',
      present
    ),
    stateFn('absent(name, local=False)', 'A group that is not there.', absent)
  ]
}

function answer(name: string, result: boolean | null, comment: string, changes: Mapping = {}): StateResult {
  return { name, changes, result, comment }
}

interface GroupInfo {
  readonly gid: number
  readonly members: readonly string[]
}

async function infoOf(ctx: StateContext, name: string): Promise<GroupInfo | null> {
  const info = await callFunction(ctx, 'group.info', [name])
  return isMapping(info) && Object.keys(info).length > 0 ? (info as unknown as GroupInfo) : null
}

interface Wish {
  readonly gid: number | null
  readonly addusers: readonly string[]
  readonly delusers: readonly string[]
  /** null: whoever is in it. */
  readonly members: readonly string[] | null
}

/** What is not as wanted, with Salt's keys; null: there is no such group. */
async function changesOf(ctx: StateContext, name: string, wish: Wish): Promise<Mapping | null> {
  const now = await infoOf(ctx, name)
  if (!now) return null
  const change: Mapping = {}
  if (wish.gid !== null && wish.gid !== now.gid) change.gid = wish.gid
  if (wish.members && (wish.members.some(user => !now.members.includes(user)) || now.members.some(user => !wish.members!.includes(user)))) {
    if (wish.members.length > 0) change.members = wish.members
    else change.delusers = now.members
  }
  const add = wish.addusers.filter(user => !now.members.includes(user))
  const remove = wish.delusers.filter(user => now.members.includes(user))
  if (add.length > 0) change.addusers = add
  if (remove.length > 0) change.delusers = remove
  return change
}

async function present(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name')
  const wish: Wish = {
    gid: numberOrNull(a.gid, 'gid'),
    addusers: texts(a.addusers, 'addusers'),
    delusers: texts(a.delusers, 'delusers'),
    members: a.members === null ? null : texts(a.members, 'members')
  }
  if (wish.members?.length && (wish.addusers.length > 0 || wish.delusers.length > 0)) {
    return answer(name, null, 'Error: Conflicting options "members" with "addusers" and/or "delusers" can not be used together. ')
  }
  if (wish.addusers.some(user => wish.delusers.includes(user)))
    return answer(name, null, 'Error. Same user(s) can not be added and deleted simultaneously')
  const changes = await changesOf(ctx, name, wish)
  if (!changes) return create(ctx, a, name, wish)
  if (Object.keys(changes).length === 0) return answer(name, true, `Group ${name} is present and up to date`)
  return modify(ctx, a, { name, wish, changes })
}

async function modify(
  ctx: StateContext,
  a: Mapping,
  { name, wish, changes }: { name: string; wish: Wish; changes: Mapping }
): Promise<StateResult> {
  const planned = Object.entries(changes)
    .map(([key, value]) => `${key}: ${pyStr(value)}\n`)
    .join('')
  const comment = `The following group attributes are set to be changed:\n${planned}`
  if (ctx.test) return answer(name, null, comment, changes)
  if ('gid' in changes) await callFunction(ctx, 'group.chgid', [name, changes.gid], { non_unique: a.non_unique })
  for (const user of texts(changes.addusers, 'addusers')) await callFunction(ctx, 'group.adduser', [name, user])
  for (const user of texts(changes.delusers, 'delusers')) await callFunction(ctx, 'group.deluser', [name, user])
  if ('members' in changes) await callFunction(ctx, 'group.members', [name, changes.members])
  const left = await changesOf(ctx, name, wish)
  if (left && Object.keys(left).length === 0) return answer(name, true, comment, { Final: 'All changes applied successfully' })
  return answer(name, false, `${comment}Some changes could not be applied`, { Failed: left })
}

async function create(ctx: StateContext, a: Mapping, name: string, wish: Wish): Promise<StateResult> {
  if (ctx.test) return answer(name, null, `Group ${name} set to be added`, { [name]: 'added' })
  const all = (await callFunction(ctx, 'group.getent')) as { name: string; gid: number }[]
  const taken = wish.gid === null || a.non_unique === true ? undefined : all.find(({ gid }) => gid === wish.gid)
  if (taken) return answer(name, false, `Group ${name} is not present but gid ${wish.gid} is already taken by group ${taken.name}`)
  const { system, non_unique, local } = a
  if ((await callFunction(ctx, 'group.add', [name], { gid: wish.gid, system, non_unique, local })) !== true)
    return answer(name, false, `Failed to create new group ${name}`)
  const users = wish.members?.length ? wish.members : wish.addusers
  if (users.length > 0) await callFunction(ctx, 'group.members', [name, users])
  const left = await changesOf(ctx, name, wish)
  if (left && Object.keys(left).length === 0) return answer(name, true, `New group ${name} created`, { ...(await infoOf(ctx, name)) })
  return answer(name, false, `Group ${name} has been created but, some changes could not be applied`, { Failed: left })
}

async function absent(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name')
  if (!(await infoOf(ctx, name))) return answer(name, true, 'Group not present')
  if (ctx.test) return answer(name, null, `Group ${name} is set for removal`, { [name]: '' })
  const done = await callFunction(ctx, 'group.delete', [name], { local: a.local })
  return done === true ? answer(name, true, `Removed group ${name}`, { [name]: '' }) : answer(name, false, `Failed to remove group ${name}`)
}
