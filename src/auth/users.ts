import { readFileSync, type Stats, statSync, unwatchFile, watchFile } from 'node:fs'
import { isMapping } from '../config/setting.js'
import { brineError } from '../errors.js'
import { type Clock, stampOf } from '../shared/clock.js'
import { dumpYaml, parseYaml, YamlError } from '../shared/yaml.js'
import { DEFAULT_COST, hashPassword, isPasswordHash, type ScryptCost } from './password.js'
import { writePrivateFile } from './private-file.js'

/** A user of the `file` backend. What the user may do stands in `external_auth.file`. */
export interface User {
  readonly name: string
  /** See `password.ts`. */
  readonly hash: string
  /** For `external_auth` entries that end in `%`. */
  readonly groups: readonly string[]
  /** When the password was set; microseconds since 1970 UTC. Tokens from before it do not count any more. */
  readonly sinceUs: number
}

/** How often a running server looks whether the file was changed, by `brine user` or an editor. */
const WATCH_MS = 500

/**
 * The users file, `DATA/users.yaml`: name → password hash, groups, since when. Mode 0600, written as a whole, read again when it has changed.
 * `brine user` works on the file itself, so it needs no running server and no token.
 */
export class Users {
  readonly file: string
  readonly #clock: Clock
  readonly #cost: ScryptCost
  readonly #listeners = new Set<() => void>()
  #users: ReadonlyMap<string, User> = new Map()
  #seen = ''
  #watching = false

  constructor(options: { file: string; clock: Clock; cost?: ScryptCost }) {
    this.file = options.file
    this.#clock = options.clock
    this.#cost = options.cost ?? DEFAULT_COST
    this.reload()
  }

  get(name: string): User | null {
    return this.#users.get(name) ?? null
  }

  list(): User[] {
    return [...this.#users.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** @throws CONFLICT when there is such a user; FIELD_INVALID for a name or password that cannot be */
  async add(name: string, password: string, groups: readonly string[] = []): Promise<void> {
    checkName(name)
    if (this.get(name) !== null) throw brineError('CONFLICT', `user '${name}' exists already`)
    await this.#put(name, password, groups)
  }

  /** Sets a new password; tokens that the user has are dead from then on. @throws NOT_FOUND, FIELD_INVALID */
  async setPassword(name: string, password: string): Promise<void> {
    const user = this.get(name)
    if (user === null) throw brineError('NOT_FOUND', name)
    await this.#put(name, password, user.groups)
  }

  /** @throws NOT_FOUND */
  delete(name: string): void {
    this.reload()
    if (this.get(name) === null) throw brineError('NOT_FOUND', name)
    this.#write(this.list().filter(user => user.name !== name))
  }

  /** Looks at the file from time to time until `stop`. */
  start(): void {
    if (this.#watching) return
    this.#watching = true
    watchFile(this.file, { interval: WATCH_MS, persistent: false }, this.#onFile)
  }

  stop(): void {
    this.#watching = false
    unwatchFile(this.file, this.#onFile)
  }

  /** Called when users were added, changed or removed. Returns its undo. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Reads the file if it is another one than last time. A file that does not parse changes nothing: who could log in still can. */
  reload(): void {
    const stats = statSync(this.file, { throwIfNoEntry: false })
    const seen = stats === undefined ? '' : identity(stats)
    if (seen === this.#seen) return
    this.#users = stats === undefined ? new Map() : readUsers(this.file)
    this.#seen = seen
    for (const listener of this.#listeners) listener()
  }

  readonly #onFile = (): void => {
    try {
      this.reload()
    } catch {
      // Half-edited by hand; it is looked at again when it changes. `brine user list` says what is wrong with it.
    }
  }

  async #put(name: string, password: string, groups: readonly string[]): Promise<void> {
    checkPassword(password)
    const hash = await hashPassword(password, this.#cost)
    // Hashing took its time; somebody else may have written meanwhile.
    this.reload()
    this.#write([...this.list().filter(user => user.name !== name), { name, hash, groups, sinceUs: this.#clock.nowUs() }])
  }

  #write(users: readonly User[]): void {
    const entries = users.map(({ name, hash, groups, sinceUs }) => [name, { password: hash, groups: [...groups], since: stampOf(sinceUs) }])
    writePrivateFile(this.file, dumpYaml(Object.fromEntries(entries)))
    this.reload()
  }
}

/** Longer than any real one, short enough that hashing it costs nothing. */
export const MAX_NAME = 256
export const MAX_PASSWORD = 1024

function checkName(name: string): void {
  if (name === '' || name.length > MAX_NAME || /[\u0000-\u001f\u007f]/.test(name) || name === '*' || name.endsWith('%')) {
    throw brineError(
      'FIELD_INVALID',
      'user',
      `'${name.slice(0, 40)}' cannot be a user name (1 to ${MAX_NAME} characters, not '*', not ending in '%')`
    )
  }
}

function checkPassword(password: string): void {
  if (password === '' || password.length > MAX_PASSWORD)
    throw brineError('FIELD_INVALID', 'password', `must have 1 to ${MAX_PASSWORD} characters`)
}

function identity(stats: Stats): string {
  return [stats.ino, stats.size, stats.mtimeMs].join(':')
}

function readUsers(file: string): Map<string, User> {
  let values: unknown
  try {
    values = parseYaml(readFileSync(file, 'utf8'))
  } catch (error) {
    // The reason alone: the text around the place has password hashes in it.
    if (error instanceof YamlError) throw brineError('CONFIG_INVALID', 'a mistake', `  ${file}: line ${error.line}: ${error.reason}`)
    throw error
  }
  if (values !== null && !isMapping(values)) throw brineError('CONFIG_INVALID', 'a mistake', `  ${file}: must be a mapping of users`)
  return new Map(Object.entries(values ?? {}).map(([name, entry]) => [name, readUser(file, name, entry)]))
}

function readUser(file: string, name: string, entry: unknown): User {
  const { password, groups = [], since = '' } = isMapping(entry) ? entry : {}
  if (typeof password !== 'string' || !isPasswordHash(password)) {
    throw brineError('CONFIG_INVALID', 'a mistake', `  ${file}: ${name}: password is no hash that 'brine user passwd' writes`)
  }
  if (!Array.isArray(groups) || !groups.every(group => typeof group === 'string')) {
    throw brineError('CONFIG_INVALID', 'a mistake', `  ${file}: ${name}: groups must be a list of texts`)
  }
  return { name, hash: password, groups, sinceUs: microseconds(String(since)) }
}

/** Reads what `stampOf` writes. Unreadable: 0, so that tokens of any age count. */
function microseconds(stamp: string): number {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{6})$/.exec(stamp)
  return match === null ? 0 : Date.parse(`${match[1]}Z`) * 1000 + Number(match[2])
}
