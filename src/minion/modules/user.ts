import { readFile } from 'node:fs/promises'
import { type Account, accounts, findAccount, findGroup, groups, groupsOf, resolveGroup } from '../accounts.js'
import type { ModuleContext } from '../context.js'
import { CommandExecutionError, InvocationError } from './errors.js'
import type { Module } from './module.js'
import { rootOf, rootOption, runTool, toolFn } from './tool.js'
import { flag, type Mapping, number, text, textOrNull, texts } from './values.js'

/** Salt's `user` module, over shadow-utils (useradd, usermod, userdel). `root`: the directory that stands for `/` (chroot). */
export const user: Module = {
  name: 'user',
  functions: [
    toolFn(
      "add(name, uid=None, gid=None, groups=None, home=None, shell=None, unique=True, system=False, fullname='', roomnumber='', workphone='', homephone='', other='', createhome=True, loginclass=None, nologinit=False, root=None, usergroup=None, local=False)",
      'Adds a user; whether that could be done. createhome makes the home directory, usergroup a group of the same name, system takes a number of the system range, unique=False allows a number that is taken.',
      'user.add name <uid> <gid> <groups> <home> <shell>',
      add
    ),
    toolFn(
      'delete(name, remove=False, force=False, root=None, local=False)',
      'Removes a user (remove: the home directory too; force: even when logged in); whether that could be done.',
      'user.delete name remove=True force=True',
      remove
    ),
    toolFn('getent(refresh=False, root=None)', 'Returns all users as user.info does, as a list.', 'user.getent', getent),
    toolFn('info(name, root=None)', 'Returns all that is known of a user; {} when there is none.', 'user.info root', async (_ctx, a) => {
      const account = await findAccount(text(a.name, 'name'), rootOf(a.root))
      return account ? infoOf(account, rootOf(a.root)) : {}
    }),
    toolFn('list_users(root=None)', 'Returns the names of all users, sorted.', 'user.list_users', async (_ctx, a) =>
      (await accounts(rootOf(a.root))).map(account => account.name).sort()
    ),
    toolFn('list_groups(name, root=None)', 'Returns the groups that a user is in.', 'user.list_groups foo', async (_ctx, a) => {
      const account = await findAccount(text(a.name, 'name'), rootOf(a.root))
      return account ? groupsOf(account, rootOf(a.root)) : namedIn(text(a.name, 'name'), rootOf(a.root))
    }),
    toolFn('primary_group(name, root=None)', "Returns the name of a user's primary group.", 'user.primary_group saltadmin', primaryGroup),
    toolFn('chuid(name, uid, root=None)', "Changes a user's number.", 'user.chuid foo 4376', (ctx, a) =>
      changed(ctx, a, ['-u', text(a.uid, 'uid')], 'uid', number(a.uid, 'uid'))
    ),
    toolFn('chgid(name, gid, root=None)', "Changes a user's primary group (a name or a number).", 'user.chgid foo 4376', chgid),
    toolFn('chshell(name, shell, root=None)', "Changes a user's shell.", 'user.chshell foo /bin/zsh', (ctx, a) =>
      changed(ctx, a, ['-s', text(a.shell, 'shell')], 'shell', text(a.shell, 'shell'))
    ),
    toolFn(
      'chhome(name, home, persist=False, root=None)',
      "Changes a user's home directory; persist moves what is in the old one.",
      'user.chhome foo /home/users/foo True',
      (ctx, a) => changed(ctx, a, ['-d', text(a.home, 'home'), ...(flag(a.persist) ? ['-m'] : [])], 'home', text(a.home, 'home'))
    ),
    toolFn(
      'chgroups(name, groups, append=False, root=None)',
      'Sets the groups that a user is in beside the primary one (a list, or names with commas); append keeps those that are there.',
      'user.chgroups foo wheel,root append=True',
      chgroups
    ),
    ...(['fullname', 'roomnumber', 'workphone', 'homephone', 'other'] as const).map(field =>
      toolFn(
        `ch${field}(name, ${field}, root=None)`,
        `Changes ${field} in a user's GECOS field.`,
        `user.ch${field} foo "Foo Bar"`,
        (ctx, a) => chgecos(ctx, a, field)
      )
    ),
    toolFn(
      'chloginclass(name, loginclass, root=None)',
      'Login classes are of the BSDs: False.',
      'user.chloginclass foo staff',
      () => false
    ),
    toolFn('get_loginclass(name, root=None)', 'Login classes are of the BSDs: False.', 'user.get_loginclass foo', () => false),
    toolFn('rename(name, new_name, root=None)', "Changes a user's name.", 'user.rename name new_name', rename)
  ]
}

const GECOS = ['fullname', 'roomnumber', 'workphone', 'homephone', 'other'] as const
type Gecos = Record<(typeof GECOS)[number], string>

/** The parts of the comment field; what stands behind the fourth comma is `other`. */
function gecosOf({ gecos }: Account): Gecos {
  const parts = gecos.split(',')
  const [fullname = '', roomnumber = '', workphone = '', homephone = ''] = parts
  return { fullname, roomnumber, workphone, homephone, other: parts.slice(4).join(',') }
}

function gecosText(gecos: Gecos): string {
  return GECOS.map(field => gecos[field])
    .join(',')
    .replace(/,+$/, '')
}

/** Salt's keys in Salt's order. */
async function infoOf(account: Account, root: string | null): Promise<Mapping> {
  const { name, passwd, uid, gid, home, shell } = account
  return { gid, groups: await groupsOf(account, root), home, name, passwd, shell, uid, ...gecosOf(account) }
}

async function getent(_ctx: ModuleContext, a: Mapping): Promise<Mapping[]> {
  const root = rootOf(a.root)
  const all = await groups(root)
  return (await accounts(root)).map(account => {
    const { name, passwd, uid, gid, home, shell } = account
    const mine = all.filter(group => group.gid === gid || group.members.includes(name)).map(group => group.name)
    return { gid, groups: [...new Set(mine)].sort(), home, name, passwd, shell, uid, ...gecosOf(account) }
  })
}

async function namedIn(name: string, root: string | null): Promise<string[]> {
  return (await groups(root))
    .filter(group => group.members.includes(name))
    .map(group => group.name)
    .sort()
}

async function primaryGroup(_ctx: ModuleContext, a: Mapping): Promise<string> {
  const account = await known(a)
  const group = (await groups(rootOf(a.root))).find(({ gid }) => gid === account.gid)
  return group?.name ?? String(account.gid)
}

async function known(a: Mapping): Promise<Account> {
  const name = text(a.name, 'name')
  const account = await findAccount(name, rootOf(a.root))
  if (!account) throw new CommandExecutionError(`User '${name}' does not exist`)
  return account
}

/** A name that a tool would take for an option is no name. */
function nameOf(value: unknown, what = 'name'): string {
  const name = text(value, what)
  if (name === '' || /^-|[:\n/]/.test(name)) throw new InvocationError(`${what} '${name}' is not the name of a user`)
  return name
}

function given(value: unknown): boolean {
  return value !== null && value !== undefined && value !== ''
}

async function add(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const name = nameOf(a.name)
  const wanted = texts(a.groups, 'groups')
  const options = [
    ...(given(a.shell) ? ['-s', text(a.shell, 'shell')] : []),
    ...(given(a.uid) ? ['-u', text(a.uid, 'uid')] : []),
    ...(await groupOption(a, name, wanted)),
    flag(a.createhome) ? '-m' : '-M',
    ...(flag(a.nologinit) ? ['-l'] : []),
    ...(given(a.home) ? ['-d', text(a.home, 'home')] : []),
    ...(flag(a.unique) ? [] : ['-o']),
    ...(flag(a.system) ? ['-r'] : [])
  ]
  const done = await runTool(ctx, [flag(a.local) ? 'luseradd' : 'useradd', ...options, ...rootOption(a), name])
  if (done.retcode !== 0) {
    ctx.log.error({ name, stderr: done.stderr }, 'useradd could not add a user')
    return false
  }
  // The user is there now, whatever becomes of what follows: a further run finds what is missing.
  if (wanted.length > 0) await chgroups(ctx, { name, groups: wanted, append: false, root: a.root })
  for (const field of GECOS) if (given(a[field])) await chgecos(ctx, { name, [field]: a[field], root: a.root }, field)
  return true
}

async function groupOption(a: Mapping, name: string, wanted: readonly string[]): Promise<string[]> {
  if (given(a.gid)) return ['-g', text(a.gid, 'gid')]
  if (a.usergroup !== null && a.usergroup !== undefined) return [flag(a.usergroup) ? '-U' : '-N']
  // useradd refuses to make a group of the user's own that is there already; the one that is there is meant.
  if (!wanted.includes(name) || !(await userGroupsEnabled(rootOf(a.root)))) return []
  const group = await findGroup(name, rootOf(a.root))
  return group ? ['-g', String(group.gid)] : []
}

async function userGroupsEnabled(root: string | null): Promise<boolean> {
  const definitions = await readFile(`${root ?? ''}/etc/login.defs`, 'utf8').catch(() => '')
  return /^\s*USERGROUPS_ENAB\s+yes/m.test(definitions)
}

/** Debian's userdel ends with 12 when only the mail spool was not there. */
const NO_MAIL_SPOOL = /userdel.*warning.*\/var\/mail.*No such file or directory/

async function remove(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const options = [...(flag(a.remove) ? ['-r'] : []), ...(flag(a.force) ? ['-f'] : [])]
  const done = await runTool(ctx, [flag(a.local) ? 'luserdel' : 'userdel', ...options, ...rootOption(a), nameOf(a.name)])
  if (done.retcode === 0) return true
  if (done.retcode === 12 && ctx.grains.os_family === 'Debian' && NO_MAIL_SPOOL.test(done.stderr)) return true
  ctx.log.error({ name: a.name, stderr: done.stderr }, 'userdel could not remove a user')
  return false
}

/** Changes one field with usermod; whether it has the value now. */
async function changed(
  ctx: ModuleContext,
  a: Mapping,
  options: readonly string[],
  field: 'uid' | 'gid' | 'home' | 'shell',
  wanted: unknown
): Promise<boolean> {
  if ((await known(a))[field] === wanted) return true
  await runTool(ctx, ['usermod', ...options, ...rootOption(a), nameOf(a.name)])
  return (await known(a))[field] === wanted
}

async function chgid(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const named = text(a.gid, 'gid')
  const group = await resolveGroup(named, rootOf(a.root))
  return changed(ctx, a, ['-g', named], 'gid', group?.gid ?? Number(named))
}

async function chgroups(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const name = nameOf(a.name)
  const wanted = texts(a.groups, 'groups')
  const now = await groupsOf(await known(a), rootOf(a.root))
  if (now.length === new Set(wanted).size && wanted.every(group => now.includes(group))) return true
  const append = flag(a.append) ? ['-a'] : []
  const done = await runTool(ctx, ['usermod', ...append, '-G', wanted.join(','), ...rootOption(a), name])
  if (done.retcode === 0 || !done.stderr.includes('not found in')) return done.retcode === 0
  // A user of a directory service has no line in passwd; the local groups can take it all the same.
  const all = await Promise.all(wanted.map(group => runTool(ctx, ['gpasswd', '-a', name, ...rootOption(a, '-Q'), group])))
  return all.every(({ retcode }) => retcode === 0)
}

async function chgecos(ctx: ModuleContext, a: Mapping, field: keyof Gecos): Promise<boolean> {
  const wanted = textOrNull(a[field], field) ?? ''
  const now = gecosOf(await known(a))
  if (now[field] === wanted) return true
  await runTool(ctx, ['usermod', '-c', gecosText({ ...now, [field]: wanted }), ...rootOption(a), nameOf(a.name)])
  return gecosOf(await known(a))[field] === wanted
}

async function rename(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  await known(a)
  const wanted = nameOf(a.new_name, 'new_name')
  if (await findAccount(wanted, rootOf(a.root))) throw new CommandExecutionError(`User '${wanted}' already exists`)
  await runTool(ctx, ['usermod', '-l', wanted, ...rootOption(a), nameOf(a.name)])
  return (await findAccount(wanted, rootOf(a.root))) !== null
}
