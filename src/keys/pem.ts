import { createPublicKey, type KeyObject } from 'node:crypto'

/** Bits of an RSA key that is taken: smaller ones can be factored, larger ones make the server work for whoever sends them. */
const KEY_BITS = { min: 2048, max: 8192 }
/** An RSA key of 8192 bits is 1.4 KB of PEM. */
const MAX_PEM = 4096

/**
 * A public key as it is kept and compared: PEM, SubjectPublicKeyInfo, lines of 64, without a final newline (as Salt's minions send it).
 * Null when the text is no RSA key of a sensible size.
 */
export function normalPem(pem: string): string | null {
  const key = pem.length <= MAX_PEM ? readPublicKey(pem) : null
  const bits = key?.asymmetricKeyDetails?.modulusLength ?? 0
  if (key === null || key.asymmetricKeyType !== 'rsa' || bits < KEY_BITS.min || bits > KEY_BITS.max) return null
  return String(key.export({ type: 'spki', format: 'pem' })).trim()
}

function readPublicKey(pem: string): KeyObject | null {
  // A private key would be read too, and its public half taken: whoever sends one made a mistake that should not stay unnoticed.
  if (!/^\s*-----BEGIN (?:RSA )?PUBLIC KEY-----/.test(pem)) return null
  try {
    return createPublicKey(pem)
  } catch {
    return null
  }
}
