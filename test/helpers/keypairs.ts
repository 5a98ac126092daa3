import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { challengeText } from '../../src/protocol/messages.js'

export interface TestKey {
  /** PEM without final newline, as minions send it. */
  readonly pub: string
  readonly privateKey: KeyObject
  /** The answer to a challenge. */
  sign(id: string, nonce: string): string
}

/** A minion's key pair. Making one takes a while, so tests share those that they can share. */
export function makeKey(bits = 2048): TestKey {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: bits })
  return {
    pub: String(publicKey.export({ type: 'spki', format: 'pem' })).trim(),
    privateKey,
    sign: (id, nonce) => sign('sha256', Buffer.from(challengeText(id, nonce)), privateKey).toString('base64')
  }
}
