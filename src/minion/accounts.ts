/**
 * The user, group and password databases of this machine (passwd(5), group(5), shadow(5)), or of a system below another root. The machine's own
 * come by getent, so that directory services count too; where there is no getent, and below another root, from the files.
 */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

export interface Account {
  readonly name: string
  readonly passwd: string
  readonly uid: number
  readonly gid: number
  readonly gecos: string
  readonly home: string
  readonly shell: string
}

export interface Group {
  readonly name: string
  readonly passwd: string
  readonly gid: number
  readonly members: readonly string[]
}

/** A line of shadow(5); days since 1970, -1 where there is nothing. */
export interface Shadow {
  readonly name: string
  readonly passwd: string
  readonly lstchg: number
  readonly min: number
  readonly max: number
  readonly warn: number
  readonly inact: number
  readonly expire: number
}

type Database = 'passwd' | 'group'

const run = promisify(execFile)
/** Long enough for a directory service that answers at all. */
const GETENT_MS = 30_000
/** A directory with some hundred thousand users. */
const GETENT_BYTES = 64 * 1024 * 1024

/** All users, in the order of the database. */
export async function accounts(root: string | null): Promise<Account[]> {
  return (await lines('passwd', root)).filter(fields => fields.length >= 7).map(accountOf)
}

export async function findAccount(name: string, root: string | null): Promise<Account | null> {
  const found = await entry('passwd', name, root)
  return found && found.length >= 7 ? accountOf(found) : null
}

/** All groups, in the order of the database. */
export async function groups(root: string | null): Promise<Group[]> {
  return (await lines('group', root)).filter(fields => fields.length >= 4).map(groupOf)
}

export async function findGroup(name: string, root: string | null): Promise<Group | null> {
  const found = await entry('group', name, root)
  return found && found.length >= 4 ? groupOf(found) : null
}

/** A group by its name, else by its number. */
export async function resolveGroup(group: string | number, root: string | null): Promise<Group | null> {
  const all = await groups(root)
  return all.find(({ name }) => name === String(group)) ?? all.find(({ gid }) => String(gid) === String(group)) ?? null
}

/** Names of the groups that a user is in, the primary one too, sorted. */
export async function groupsOf(account: Pick<Account, 'name' | 'gid'>, root: string | null): Promise<string[]> {
  const mine = (await groups(root)).filter(group => group.gid === account.gid || group.members.includes(account.name))
  return [...new Set(mine.map(group => group.name))].sort()
}

/** Only root can read it; null: no such line, or it may not be read. */
export async function findShadow(name: string, root: string | null): Promise<Shadow | null> {
  const found = (await shadows(root)).find(shadow => shadow.name === name)
  return found ?? null
}

export async function shadows(root: string | null): Promise<Shadow[]> {
  const text = await readFile(join(root ?? '/', 'etc/shadow'), 'utf8').catch(() => '')
  return split(text)
    .filter(fields => fields.length >= 2)
    .map(([name, passwd, ...numbers]) => {
      const [lstchg, min, max, warn, inact, expire] = [0, 1, 2, 3, 4, 5].map(index => (numbers[index] ? Number(numbers[index]) : -1))
      return { name: name!, passwd: passwd!, lstchg: lstchg!, min: min!, max: max!, warn: warn!, inact: inact!, expire: expire! }
    })
}

function accountOf([name, passwd, uid, gid, gecos, home, shell]: readonly string[]): Account {
  return { name: name!, passwd: passwd!, uid: Number(uid), gid: Number(gid), gecos: gecos!, home: home!, shell: shell! }
}

function groupOf([name, passwd, gid, members]: readonly string[]): Group {
  return { name: name!, passwd: passwd!, gid: Number(gid), members: members === '' ? [] : members!.split(',') }
}

function split(text: string): string[][] {
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => line.split(':'))
}

async function lines(database: Database, root: string | null): Promise<string[][]> {
  if (root === null) {
    try {
      return split((await run('getent', [database], { timeout: GETENT_MS, maxBuffer: GETENT_BYTES })).stdout)
    } catch {
      // no getent here, or a directory that does not answer: the files are what there is
    }
  }
  return split(await readFile(join(root ?? '/', 'etc', database), 'utf8').catch(() => ''))
}

/** One line by its name. Directory services answer for one name even where they do not list all. */
async function entry(database: Database, name: string, root: string | null): Promise<string[] | null> {
  const listed = (await lines(database, root)).find(fields => fields[0] === name)
  if (listed || root !== null || name === '' || name.startsWith('-')) return listed ?? null
  try {
    const [found] = split((await run('getent', [database, name], { timeout: GETENT_MS })).stdout)
    return found?.[0] === name ? found : null // getent takes numbers for names
  } catch {
    return null
  }
}
