import { createHash } from 'node:crypto'

/**
 * Salt's fingerprint of a public key (`salt-key -f`): the hash of the PEM's body lines with their newlines, header and footer dropped, as
 * colon-separated hex (golden/wire section 3).
 * @param hashType a name that Node's crypto knows; throws its error otherwise
 */
export function fingerprint(pem: string, hashType = 'sha256'): string {
  const lines = pem.split(/\r?\n/).filter(line => line.trim() !== '')
  const body = lines.slice(1, -1).map(line => `${line}\n`)
  const hex = createHash(hashType).update(body.join('')).digest('hex')
  return hex.match(/../g)!.join(':')
}
