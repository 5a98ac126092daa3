import { verifyPassword } from '../password.js'
import type { Users } from '../users.js'
import type { Account, Backend, LoggedIn } from './backend.js'

/** Users of `DATA/users.yaml`. For an unknown user a hash of the same cost is checked, so that time does not tell who exists. */
export class FileBackend implements Backend {
  readonly #users: Users
  readonly #decoy: Promise<string>

  constructor(users: Users, decoy: Promise<string>) {
    this.#users = users
    this.#decoy = decoy
  }

  async login(name: string, password: string): Promise<LoggedIn | null> {
    const user = this.#users.get(name)
    const right = await verifyPassword(password, user?.hash ?? (await this.#decoy))
    return right && user !== null ? {} : null
  }

  account(name: string): Account | null {
    return this.#users.get(name)
  }

  onChange(listener: () => void): () => void {
    return this.#users.onChange(listener)
  }
}
