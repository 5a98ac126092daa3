import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { type Logger, pino } from 'pino'
import { Authenticator, type AuthenticatorOptions } from '../../src/auth/authenticator.js'
import { readOrCreateKey } from '../../src/auth/jwt.js'
import { Users } from '../../src/auth/users.js'
import { loadConfig } from '../../src/config/load.js'
import type { Config } from '../../src/config/schema.js'
import { createTokenCodec } from '../../src/plugins/jwt.js'
import type { TokenRecord, TokenStore } from '../../src/store/store.js'
import { TestClock } from './store.js'

interface Test {
  teardown(undo: () => unknown): unknown
}

/** As cheap as scrypt gets: what is tested is not how long it takes. */
export const CHEAP = { N: 16, r: 1, p: 1 } as const

/** Tokens kept in memory; what the contract tests prove of an engine holds here too. */
export class MemoryTokens implements TokenStore {
  readonly records = new Map<string, TokenRecord>()

  async put(token: Omit<TokenRecord, 'revokedUs'>): Promise<void> {
    this.records.set(token.jti, { ...token, revokedUs: null })
  }

  async revoke(jti: string, nowUs: number): Promise<'revoked' | 'unknown'> {
    const record = this.records.get(jti)
    if (record === undefined) return 'unknown'
    this.records.set(jti, { ...record, revokedUs: nowUs })
    return 'revoked'
  }

  async live(nowUs: number): Promise<readonly TokenRecord[]> {
    return [...this.records.values()].filter(record => record.expiresUs > nowUs).reverse()
  }

  async trim(nowUs: number): Promise<number> {
    const dead = [...this.records.values()].filter(record => record.expiresUs <= nowUs)
    for (const { jti } of dead) this.records.delete(jti)
    return dead.length
  }
}

/** A log whose lines can be looked at. */
export function keptLog(): { log: Logger; lines: string[] } {
  const lines: string[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString())
      done()
    }
  })
  return { log: pino({ level: 'trace' }, stream), lines }
}

export interface AuthSetup {
  readonly auth: Authenticator
  readonly users: Users
  readonly clock: TestClock
  readonly store: TokenStore
  readonly dir: string
  readonly lines: string[]
  readonly log: Logger
  readonly config: Config
  /** Another server on the same data, as after a restart. */
  again(): Promise<AuthSetup>
}

export interface SetupOptions {
  readonly settings?: Record<string, unknown>
  readonly store?: TokenStore
  readonly dir?: string
  readonly clock?: TestClock
  readonly minionsMatching?: AuthenticatorOptions['minionsMatching']
}

/** A started Authenticator on a temporary directory; stopped when the test ends. */
export async function startAuth(t: Test, options: SetupOptions = {}): Promise<AuthSetup> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'brine-auth-'))
  const clock = options.clock ?? new TestClock()
  const store = options.store ?? new MemoryTokens()
  const { log, lines } = keptLog()
  const { config } = loadConfig({ flags: { data_dir: dir, ...options.settings } })
  const users = new Users({ file: join(dir, 'users.yaml'), clock, cost: CHEAP })
  const codec = await createTokenCodec(readOrCreateKey(join(dir, 'jwt.key')))
  const minionsMatching = options.minionsMatching ?? (() => [])
  const auth = new Authenticator({ config, store, clock, users, codec, minionsMatching, log, cost: CHEAP })
  await auth.start()
  t.teardown(() => {
    auth.stop()
    if (options.dir === undefined) rmSync(dir, { recursive: true, force: true })
  })
  return { auth, users, clock, store, dir, lines, log, config, again: () => startAuth(t, { ...options, dir, store, clock }) }
}
