import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, sign } from 'node:crypto'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { challengeText } from '../protocol/messages.js'
import { readIfThere, writeDurably } from './disk.js'

/** Salt's default; what the server takes at least. */
const KEY_BITS = 2048

/** Who a minion is: its key pair, in `<dir>/pki/minion.pem` (0600) and `minion.pub`, with Salt's names and forms. */
export class Identity {
  /** PEM, SubjectPublicKeyInfo, without a final newline. */
  readonly pub: string
  readonly #key: KeyObject

  private constructor(key: KeyObject) {
    this.#key = key
    this.pub = String(createPublicKey(key).export({ type: 'spki', format: 'pem' })).trim()
  }

  /** Reads the key pair, or makes it at the first start (which takes a fraction of a second). */
  static async open(dir: string): Promise<Identity> {
    const file = join(dir, 'pki', 'minion.pem')
    const pem = await readIfThere(file)
    if (pem !== null) {
      await chmod(file, 0o600)
      return new Identity(createPrivateKey(pem))
    }
    const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: KEY_BITS })
    const identity = new Identity(privateKey)
    await writeDurably(file, String(privateKey.export({ type: 'pkcs1', format: 'pem' })))
    await writeDurably(join(dir, 'pki', 'minion.pub'), identity.pub)
    return identity
  }

  /** The answer to a server's challenge, base64. */
  answer(id: string, nonce: string): string {
    return sign('sha256', Buffer.from(challengeText(id, nonce)), this.#key).toString('base64')
  }
}
