import { randomBytes } from 'node:crypto'
import { chmodSync, readFileSync } from 'node:fs'
import { brineError } from '../errors.js'
import { writePrivateFile } from './private-file.js'

/** What signs and reads tokens: @fastify/jwt's functions, with the options below. Services know nothing else of it. */
export interface TokenCodec {
  sign(claims: Record<string, unknown>): string
  /** The claims of a token that this server signed. Throws for anything else. Expiry is not looked at here. */
  verify(token: string): Record<string, unknown>
}

const KEY_BYTES = 32

/** The key that signs this server's tokens: 32 random bytes in base64, made at the first start, mode 0600. */
export function readOrCreateKey(file: string): string {
  try {
    const key = readFileSync(file, 'utf8').trim()
    if (Buffer.from(key, 'base64').length < KEY_BYTES)
      throw brineError('CONFIG_INVALID', 'a mistake', `  ${file}: is no key; delete it to get a new one`)
    chmodSync(file, 0o600)
    return key
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const key = randomBytes(KEY_BYTES).toString('base64')
  writePrivateFile(file, `${key}\n`)
  return key
}

/**
 * Options for @fastify/jwt. HS256 and nothing else, whatever a token's header says. Expiry is checked by `Authenticator` at each use against the
 * server's own clock, so the library does not look at it; it keeps no cache, the Authenticator has one that knows revocation.
 */
export function jwtOptions(key: string) {
  return {
    secret: Buffer.from(key, 'base64'),
    sign: { algorithm: 'HS256' as const, noTimestamp: true },
    verify: { algorithms: ['HS256' as const], ignoreExpiration: true, cache: false }
  }
}
