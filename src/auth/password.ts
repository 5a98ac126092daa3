import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'

/** What scrypt costs. Kept with each hash, so that it can grow later without anybody losing a password. */
export interface ScryptCost {
  readonly N: number
  readonly r: number
  readonly p: number
}

/** 32 MiB and about 0.2 s each: OWASP's recommendation for this amount of memory. */
export const DEFAULT_COST: ScryptCost = { N: 32_768, r: 8, p: 3 }
/** A hash from a file may not ask for more than this (256 MiB), or a line in users.yaml could stop the server. */
const MAX_MEMORY = 256 * 1024 * 1024
const KEY_BYTES = 32

/** `scrypt$N=32768,r=8,p=3$<salt>$<hash>`, salt and hash in base64. */
export async function hashPassword(password: string, cost: ScryptCost = DEFAULT_COST): Promise<string> {
  const salt = randomBytes(16)
  const hash = await derive(password, salt, cost)
  return `scrypt$N=${cost.N},r=${cost.r},p=${cost.p}$${salt.toString('base64')}$${hash.toString('base64')}`
}

/** True when the password is the one that was hashed. A stored text that is no hash matches nothing. */
export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const parsed = parse(stored)
  if (parsed === null) return false
  const hash = await derive(password, parsed.salt, parsed.cost)
  return hash.length === parsed.hash.length && timingSafeEqual(hash, parsed.hash)
}

/** True when the text is a hash that `verifyPassword` can check. */
export function isPasswordHash(stored: string): boolean {
  return parse(stored) !== null
}

function parse(stored: string): { cost: ScryptCost; salt: Buffer; hash: Buffer } | null {
  const match = /^scrypt\$N=(\d{1,8}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/=]{16,64})\$([A-Za-z0-9+/=]{44})$/.exec(stored)
  if (match === null) return null
  const cost = { N: Number(match[1]), r: Number(match[2]), p: Number(match[3]) }
  const isPowerOfTwo = cost.N > 1 && Number.isInteger(Math.log2(cost.N))
  if (!isPowerOfTwo || cost.r < 1 || cost.p < 1 || 128 * cost.N * cost.r > MAX_MEMORY) return null
  return { cost, salt: Buffer.from(match[4]!, 'base64'), hash: Buffer.from(match[5]!, 'base64') }
}

function derive(password: string, salt: Buffer, cost: ScryptCost): Promise<Buffer> {
  const options: ScryptOptions = { ...cost, maxmem: MAX_MEMORY + 64 * 1024 * 1024 }
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, KEY_BYTES, options, (error, key) => (error ? reject(error) : resolve(key)))
  })
}
