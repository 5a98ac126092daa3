import type { TokenRecord, TokenStore } from '../store.js'
import type { Database } from './database.js'
import type { Readers } from './readers.js'
import type { Writer } from './writer.js'

/** Expired tokens that one call of `trim` drops at most. */
const TRIM_STEP = 1_000

type TokenRow = [
  jti: string,
  user: string,
  eauth: string,
  label: string,
  issuedUs: number,
  expiresUs: number,
  revokedUs: number | null,
  /** JSON: a list. */
  groups: string | null
]

export function tokenWrites(db: Database) {
  // Not a replacement: a token that is revoked stays so, whoever puts it again.
  const put = db.prepare(
    `INSERT INTO tokens (jti, user, eauth, label, issued_us, expires_us, revoked_us, groups) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (jti) DO UPDATE SET user = excluded.user, eauth = excluded.eauth, label = excluded.label,
       issued_us = excluded.issued_us, expires_us = excluded.expires_us, groups = excluded.groups`
  )
  const revoke = db.prepare('UPDATE tokens SET revoked_us = ifnull(revoked_us, ?) WHERE jti = ?')
  const trim = db.prepare('DELETE FROM tokens WHERE jti IN (SELECT jti FROM tokens WHERE expires_us <= ? ORDER BY expires_us LIMIT ?)')
  return {
    'tokens.put': (row: TokenRow): void => {
      put.run(...row)
    },
    'tokens.revoke': ([jti, nowUs]: [jti: string, nowUs: number]) => (revoke.run(nowUs, jti).changes > 0 ? 'revoked' : 'unknown'),
    'tokens.trim': (nowUs: number): number => trim.run(nowUs, TRIM_STEP).changes
  }
}

export function tokenReads(db: Database) {
  const live = db
    .prepare(
      `SELECT jti, user, eauth, label, issued_us, expires_us, revoked_us, groups FROM tokens
       WHERE expires_us > ? ORDER BY issued_us DESC, jti`
    )
    .raw()
  return {
    'tokens.live': (nowUs: number): TokenRow[] => live.all(nowUs) as TokenRow[]
  }
}

export class SqliteTokens implements TokenStore {
  readonly #writer: Writer
  readonly #readers: Readers

  constructor(writer: Writer, readers: Readers) {
    this.#writer = writer
    this.#readers = readers
  }

  async put({ jti, user, eauth, label, issuedUs, expiresUs, groups }: Omit<TokenRecord, 'revokedUs'>): Promise<void> {
    await this.#writer.run('tokens.put', [jti, user, eauth, label, issuedUs, expiresUs, null, groups ? JSON.stringify(groups) : null])
  }

  async revoke(jti: string, nowUs: number): Promise<'revoked' | 'unknown'> {
    return (await this.#writer.run('tokens.revoke', [jti, nowUs])).result
  }

  async live(nowUs: number): Promise<readonly TokenRecord[]> {
    const rows = await this.#readers.ask('tokens.live', nowUs)
    return rows.map(([jti, user, eauth, label, issuedUs, expiresUs, revokedUs, groups]) => {
      const told = groups === null ? {} : { groups: JSON.parse(groups) as string[] }
      return { jti, user, eauth, label, issuedUs, expiresUs, revokedUs, ...told }
    })
  }

  async trim(nowUs: number): Promise<number> {
    return (await this.#writer.run('tokens.trim', nowUs)).result
  }
}
