import { Users } from '../auth/users.js'
import { brineError } from '../errors.js'
import { SystemClock, stampOf } from '../shared/clock.js'
import { dataFiles } from '../shared/data-dir.js'
import { dataDir } from './client.js'
import type { Exit } from './exit.js'
import { type Format, format, table } from './output.js'
import { readAll, type Terminal } from './terminal.js'

export interface UserOptions {
  readonly data?: string
  readonly groups?: string
  readonly passwordStdin?: boolean
  readonly out?: Format
}

/** `brine user add`: a user of the backend `file`. Works on the data directory, with or without a running server. */
export async function add(terminal: Terminal, name: string, options: UserOptions): Promise<Exit> {
  const users = open(terminal, options)
  if (users.get(name) !== null) throw brineError('CONFLICT', `user '${name}' exists already`)
  const groups = (options.groups ?? '').split(',').filter(Boolean)
  await users.add(name, await newPassword(terminal, options), groups)
  terminal.out(`${name}  added\n`)
  terminal.err(`What ${name} may do stands in the setting external_auth, under file. Without an entry there a login is refused.\n`)
  return 'ok'
}

/** `brine user passwd`: every token that the user has is dead from then on. */
export async function passwd(terminal: Terminal, name: string, options: UserOptions): Promise<Exit> {
  const users = open(terminal, options)
  if (users.get(name) === null) throw brineError('NOT_FOUND', `user ${name}`)
  await users.setPassword(name, await newPassword(terminal, options))
  terminal.out(`${name}  password changed\n`)
  return 'ok'
}

/** `brine user delete`. */
export async function remove(terminal: Terminal, name: string, options: UserOptions): Promise<Exit> {
  open(terminal, options).delete(name)
  terminal.out(`${name}  deleted\n`)
  return 'ok'
}

/** `brine user list`; never a hash. */
export async function list(terminal: Terminal, options: UserOptions): Promise<Exit> {
  const users = open(terminal, options)
    .list()
    .map(({ name, groups, sinceUs }) => ({ name, groups, password_since: stampOf(sinceUs) }))
  if (options.out !== undefined) terminal.out(format(users, options.out))
  else
    terminal.out(
      table(
        ['NAME', 'PASSWORD SINCE (UTC)', 'GROUPS'],
        users.map(user => [user.name, user.password_since, user.groups.join(',')])
      )
    )
  return 'ok'
}

function open(terminal: Terminal, options: UserOptions): Users {
  return new Users({ file: dataFiles(dataDir(terminal, options.data)).users, clock: new SystemClock() })
}

/** From stdin's first line with `--password-stdin`, else asked for, twice. Never from the command line, where everybody on the machine sees it. */
async function newPassword(terminal: Terminal, { passwordStdin }: UserOptions): Promise<string> {
  if (passwordStdin) return (await readAll(terminal.stdin, 4096)).split(/\r?\n/, 1)[0] ?? ''
  const first = await terminal.askSecret('Password: ')
  if (first === null) throw brineError('USAGE', 'no password was given; without a terminal use --password-stdin')
  const second = await terminal.askSecret('Again: ')
  if (first !== second) throw brineError('USAGE', 'the passwords differ')
  return first
}
