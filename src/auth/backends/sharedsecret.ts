import { createHash, timingSafeEqual } from 'node:crypto'
import { verifyPassword } from '../password.js'
import type { Account, Backend, LoggedIn } from './backend.js'

/** Salt's sharedsecret: one password for all users that `external_auth.sharedsecret` names. */
export class SharedSecretBackend implements Backend {
  readonly #secret: string | null
  readonly #decoy: Promise<string>

  constructor(secret: string | null, decoy: Promise<string>) {
    this.#secret = secret === '' ? null : secret
    this.#decoy = decoy
  }

  async login(_user: string, password: string): Promise<LoggedIn | null> {
    // As slow as the file backend: guessing a shared secret is no cheaper, and time does not tell which backend was asked.
    await verifyPassword(password, await this.#decoy)
    return this.#secret !== null && timingSafeEqual(digest(password), digest(this.#secret)) ? {} : null
  }

  account(): Account {
    return { groups: [], sinceUs: 0 }
  }

  onChange(): () => void {
    return () => {}
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
