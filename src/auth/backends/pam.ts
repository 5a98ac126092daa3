/**
 * Salt's `pam`: the accounts of this machine. Node cannot speak PAM itself, so a helper of the system does: `pamtester` (which runs a whole PAM
 * service, the setting auth.pam.service) where it is installed, else `unix_chkpwd`, which comes with PAM and checks the machine's own
 * passwords; it answers root alone. The password goes to the helper's standard input: neither arguments nor environment show it.
 */
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { type Account, type Backend, type LoggedIn, MAX_GROUPS, ONLY_AT_LOGIN } from './backend.js'

export interface PamSettings {
  /** The PAM service that says how to authenticate: a file of /etc/pam.d. */
  readonly service: string
  /** Seconds that a login may take; PAM waits some two seconds after a wrong password. */
  readonly timeout: number
  /** Another helper than the ones of the system, called as `pamtester` is (tests). */
  readonly helper?: string
}

/** Names that may be accounts (POSIX), and may be handed to a program. */
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}\$?$/
const PAMTESTER = ['/usr/bin/pamtester', '/usr/local/bin/pamtester']
const UNIX_CHKPWD = ['/usr/sbin/unix_chkpwd', '/sbin/unix_chkpwd']
/** What a helper may print before it is ended: the names of a user's groups, at most. */
const MAX_OUTPUT = 64 * 1024

export class PamBackend implements Backend {
  readonly remote = true
  readonly #settings: PamSettings

  constructor(settings: PamSettings) {
    this.#settings = settings
  }

  /** @throws when there is no helper, or it does not answer in time */
  async login(user: string, password: string): Promise<LoggedIn | null> {
    // A line ends the password for one helper, a NUL for the other.
    if (!NAME.test(user) || password === '' || /[\0\n\r]/.test(password)) return null
    const { program, args, input } = this.#helper(user, password)
    const { code } = await this.#run(program, args, input)
    if (code !== 0) return null
    const { output } = await this.#run('id', ['-Gn', '--', user], '')
    return { groups: output.trim().split(/\s+/).slice(0, MAX_GROUPS) }
  }

  account(): Account {
    return ONLY_AT_LOGIN
  }

  onChange(): () => void {
    return () => {}
  }

  #helper(user: string, password: string): { program: string; args: string[]; input: string } {
    const tester = this.#settings.helper ?? PAMTESTER.find(isProgram)
    if (tester !== undefined) {
      return { program: tester, args: [this.#settings.service, user, 'authenticate', 'acct_mgmt'], input: `${password}\n` }
    }
    const checker = UNIX_CHKPWD.find(isProgram)
    if (checker === undefined) throw new Error('there is neither pamtester nor unix_chkpwd on this machine')
    return { program: checker, args: [user, 'nonull'], input: `${password}\0` }
  }

  #run(program: string, args: readonly string[], input: string): Promise<{ code: number | null; output: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'], env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' } })
      const late = setTimeout(() => {
        child.kill('SIGKILL')
        reject(new Error(`${program} did not answer within ${this.#settings.timeout} seconds`))
      }, this.#settings.timeout * 1000)
      let output = ''
      child.stdout.on('data', (data: Buffer) => {
        if (output.length < MAX_OUTPUT) output += data.toString()
      })
      child.on('error', error => {
        clearTimeout(late)
        reject(error)
      })
      child.on('close', code => {
        clearTimeout(late)
        resolve({ code, output })
      })
      // It may have ended without reading.
      child.stdin.on('error', () => {})
      child.stdin.end(input)
    })
  }
}

/** Whether this machine has a helper that can check passwords for this process. */
export function pamHelper(): 'pamtester' | 'unix_chkpwd' | null {
  return PAMTESTER.some(isProgram) ? 'pamtester' : UNIX_CHKPWD.some(isProgram) ? 'unix_chkpwd' : null
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
