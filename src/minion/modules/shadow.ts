import { randomInt } from 'node:crypto'
import { findShadow, type Shadow, shadows } from '../accounts.js'
import type { ModuleContext } from '../context.js'
import { CommandExecutionError, InvocationError } from './errors.js'
import type { Module, ModuleFunction } from './module.js'
import { type ShaCrypt, shaCrypt } from './shacrypt.js'
import { rootOf, rootOption, runTool, toolFn } from './tool.js'
import { type Mapping, number, text, textOrNull } from './values.js'

/** Salt's `shadow` module: passwords and how they age, over chage, chpasswd and usermod. Days since 1970; -1: none. */
export const shadow: Module = {
  name: 'shadow',
  functions: [
    toolFn('default_hash()', 'Returns what stands for a password that was never set.', 'shadow.default_hash', () => '!'),
    toolFn(
      'gen_password(password, crypt_salt=None, algorithm=None)',
      'Returns the hash of a password: sha512 (the default) or sha256, of crypt(3).',
      "shadow.gen_password 'I_am_password'",
      genPassword
    ),
    toolFn(
      'info(name, root=None)',
      'Returns name, passwd, lstchg, min, max, warn, inact and expire of a user; empty texts when there is none.',
      'shadow.info root',
      info
    ),
    toolFn('list_users(root=None)', 'Returns the names of all users that have a password line.', 'shadow.list_users', async (_ctx, a) =>
      (await shadows(rootOf(a.root))).map(line => line.name).sort()
    ),
    toolFn(
      'set_password(name, password, use_usermod=False, root=None)',
      "Sets a user's password, given as a hash.",
      "shadow.set_password root '$6$UYCIxa628.9qXjpQjKM4a'",
      setPassword
    ),
    toolFn('del_password(name, root=None)', "Empties a user's password.", 'shadow.del_password username', (ctx, a) =>
      passwd(ctx, a, '-d', line => line.passwd === '')
    ),
    toolFn('lock_password(name, root=None)', "Locks a user's password.", 'shadow.lock_password username', async (ctx, a) => {
      if ((await known(a)).passwd.startsWith('!')) return true
      return passwd(ctx, a, '-l', line => line.passwd.startsWith('!'))
    }),
    toolFn('unlock_password(name, root=None)', "Unlocks a user's password.", 'shadow.unlock_password username', async (ctx, a) => {
      if (!(await known(a)).passwd.startsWith('!')) return true
      return passwd(ctx, a, '-u', line => !line.passwd.startsWith('!'))
    }),
    aged('set_date', 'date', '-d', 'lstchg', 'the day of the last change of a password (a number of days, or a date)'),
    aged('set_mindays', 'mindays', '-m', 'min', 'the days that must go by between two changes'),
    aged('set_maxdays', 'maxdays', '-M', 'max', 'the days after which a password must be changed'),
    aged('set_inactdays', 'inactdays', '-I', 'inact', 'the days after which an account is locked once its password has expired'),
    aged('set_warndays', 'warndays', '-W', 'warn', 'the days of warning before a password expires'),
    aged('set_expire', 'expire', '-E', 'expire', 'the day on which an account expires (a number of days, or a date)')
  ]
}

function aged(name: string, param: string, option: string, field: keyof Shadow, says: string): ModuleFunction {
  return toolFn(`${name}(name, ${param}, root=None)`, `Sets ${says}.`, `shadow.${name} username 7`, async (ctx, a) => {
    const wanted = text(a[param], param)
    if (!/^(-?\d+|\d{4}-\d{2}-\d{2})$/.test(wanted)) throw new InvocationError(`${param} must be a number of days, not '${wanted}'`)
    const days = wanted.includes('-', 1) ? Date.parse(`${wanted}T00:00:00Z`) / 86_400_000 : number(wanted, param)
    if ((await known(a))[field] === days) return true
    await runTool(ctx, ['chage', option, wanted, ...rootOption(a), text(a.name, 'name')])
    return (await known(a))[field] === days
  })
}

async function known(a: Mapping): Promise<Shadow> {
  const name = text(a.name, 'name')
  const line = await findShadow(name, rootOf(a.root))
  if (!line || name.startsWith('-')) throw new CommandExecutionError(`User '${name}' does not exist`)
  return line
}

async function info(_ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const line = await findShadow(text(a.name, 'name'), rootOf(a.root))
  return { ...(line ?? { name: '', passwd: '', lstchg: '', min: '', max: '', warn: '', inact: '', expire: '' }) }
}

const SALT_LETTERS = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** As many letters as crypt(3) takes. */
const SALT_LENGTH = 16

function genPassword(_ctx: ModuleContext, a: Mapping): string {
  const algorithm = textOrNull(a.algorithm, 'algorithm') ?? 'sha512'
  if (algorithm !== 'sha512' && algorithm !== 'sha256') throw new InvocationError(`Algorithm '${algorithm}' is not supported`)
  const fresh = (): string => Array.from({ length: SALT_LENGTH }, () => SALT_LETTERS[randomInt(SALT_LETTERS.length)]).join('')
  return shaCrypt(text(a.password, 'password'), textOrNull(a.crypt_salt, 'crypt_salt') ?? fresh(), algorithm satisfies ShaCrypt)
}

/** By chpasswd's standard input: a hash among the words of a command could be read by everybody. `use_usermod` asks for that all the same. */
async function setPassword(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const { name } = await known(a)
  const hash = text(a.password, 'password')
  if (/[:\n]/.test(hash)) throw new InvocationError('password must be a hash: it has a colon or a line end in it')
  const within = rootOption(a)
  if (a.use_usermod === true) await runTool(ctx, ['usermod', '-p', hash, ...within, name])
  else await runTool(ctx, ['chpasswd', '-e', ...within], { stdin: `${name}:${hash}\n` })
  return (await known(a)).passwd === hash
}

async function passwd(ctx: ModuleContext, a: Mapping, option: string, reached: (line: Shadow) => boolean): Promise<boolean> {
  const { name } = await known(a)
  await runTool(ctx, ['passwd', option, ...rootOption(a), name])
  return reached(await known(a))
}
