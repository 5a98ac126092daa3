import { findAccount, findGroup, groups } from '../accounts.js'
import type { ModuleContext } from '../context.js'
import { CommandExecutionError, InvocationError } from './errors.js'
import type { Module } from './module.js'
import { rootOf, rootOption, runTool, toolFn } from './tool.js'
import { flag, type Mapping, number, text, texts } from './values.js'

/** Salt's `group` module, over shadow-utils (groupadd, groupmod, groupdel, gpasswd). `root`: the directory that stands for `/`. */
export const group: Module = {
  name: 'group',
  functions: [
    toolFn(
      'add(name, gid=None, system=False, root=None, non_unique=False, local=False)',
      'Adds a group; whether that could be done. system takes a number of the system range.',
      'group.add foo 3456',
      add
    ),
    toolFn('delete(name, root=None, local=False)', 'Removes a group; whether that could be done.', 'group.delete foo', async (ctx, a) =>
      succeeds(ctx, [flag(a.local) ? 'lgroupdel' : 'groupdel', ...rootOption(a), nameOf(a.name)])
    ),
    toolFn('info(name, root=None)', 'Returns name, passwd, gid and members of a group; {} when there is none.', 'group.info foo', info),
    toolFn('getent(refresh=False, root=None)', 'Returns all groups as group.info does, as a list.', 'group.getent', async (_ctx, a) =>
      (await groups(rootOf(a.root))).map(infoOf)
    ),
    toolFn('chgid(name, gid, root=None, non_unique=False)', "Changes a group's number.", 'group.chgid foo 4376', chgid),
    toolFn('adduser(name, username, root=None)', 'Adds a user to a group.', 'group.adduser foo bar', addUser),
    toolFn('deluser(name, username, root=None)', 'Removes a user from a group.', 'group.deluser foo bar', deleteUser),
    toolFn(
      'members(name, members_list, root=None)',
      'Sets the members of a group: a list, or names with commas.',
      "group.members foo 'user1,user2,user3'",
      members
    )
  ]
}

function infoOf({ name, passwd, gid, members }: { name: string; passwd: string; gid: number; members: readonly string[] }): Mapping {
  return { name, passwd, gid, members: [...members] }
}

async function info(_ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const found = await findGroup(text(a.name, 'name'), rootOf(a.root))
  return found ? infoOf(found) : {}
}

function nameOf(value: unknown): string {
  const name = text(value, 'name')
  if (name === '' || /^-|[:\n]/.test(name)) throw new InvocationError(`name '${name}' is not the name of a group`)
  return name
}

async function succeeds(ctx: ModuleContext, argv: readonly string[]): Promise<boolean> {
  const done = await runTool(ctx, argv)
  if (done.retcode !== 0) ctx.log.error({ command: argv[0], stderr: done.stderr }, 'a group could not be changed')
  return done.retcode === 0
}

async function add(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const number = a.gid === null || a.gid === '' ? [] : ['-g', text(a.gid, 'gid')]
  const options = [...number, ...(flag(a.non_unique) ? ['-o'] : []), ...(flag(a.system) ? ['-r'] : [])]
  return succeeds(ctx, [flag(a.local) ? 'lgroupadd' : 'groupadd', ...options, ...rootOption(a), nameOf(a.name)])
}

async function known(a: Mapping): Promise<{ gid: number; members: readonly string[] }> {
  const name = text(a.name, 'name')
  const found = await findGroup(name, rootOf(a.root))
  if (!found) throw new CommandExecutionError(`Group '${name}' does not exist`)
  return found
}

async function chgid(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const wanted = number(a.gid, 'gid')
  if ((await known(a)).gid === wanted) return true
  const shared = flag(a.non_unique) ? ['-o'] : []
  await succeeds(ctx, ['groupmod', '-g', String(wanted), ...shared, ...rootOption(a), nameOf(a.name)])
  return (await known(a)).gid === wanted
}

/** gpasswd calls its root `-Q`. */
function gpasswd(ctx: ModuleContext, a: Mapping, options: readonly string[]): Promise<boolean> {
  return succeeds(ctx, ['gpasswd', ...options, ...rootOption(a, '-Q'), nameOf(a.name)])
}

async function addUser(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  return gpasswd(ctx, a, ['-a', nameOf(a.username)])
}

async function deleteUser(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const name = nameOf(a.username)
  const { members: now } = await known(a)
  // Who is not in the group is out of it already, also one who is no user any more.
  return now.includes(name) ? gpasswd(ctx, a, ['-d', name]) : true
}

async function members(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const wanted = texts(a.members_list, 'members_list')
  for (const name of wanted) if (!(await findAccount(name, rootOf(a.root)))) return false
  return gpasswd(ctx, a, ['-M', wanted.join(',')])
}
