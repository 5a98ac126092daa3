/** Password hashes of crypt(3) by Ulrich Drepper's public specification ("Unix crypt using SHA-256 and SHA-512"): `$5$salt$…` and `$6$salt$…`. */
import { createHash } from 'node:crypto'

export type ShaCrypt = 'sha256' | 'sha512'

/** The rounds that crypt(3) makes when none are named, and the bounds that the specification sets. */
const ROUNDS = 5000
const MIN_ROUNDS = 1000
/** The specification allows 999,999,999, which is a quarter of an hour; a million is a second. */
const MAX_ROUNDS = 1_000_000
const MAX_SALT = 16

const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** Bytes of the digest in the order in which three at a time make four letters. */
const ORDER: Readonly<Record<ShaCrypt, readonly number[]>> = {
  sha256: [0, 10, 20, 21, 1, 11, 12, 22, 2, 3, 13, 23, 24, 4, 14, 15, 25, 5, 6, 16, 26, 27, 7, 17, 18, 28, 8, 9, 19, 29, 31, 30],
  sha512: [
    ...[0, 21, 42, 22, 43, 1, 44, 2, 23, 3, 24, 45, 25, 46, 4, 47, 5, 26, 6, 27, 48, 28, 49, 7, 50, 8, 29, 9, 30, 51, 31, 52],
    ...[10, 53, 11, 32, 12, 33, 54, 34, 55, 13, 56, 14, 35, 15, 36, 57, 37, 58, 16, 59, 17, 38, 18, 39, 60, 40, 61, 19, 62, 20],
    ...[41, 63]
  ]
}

/** `salt` may begin with `rounds=N$`. */
export function shaCrypt(password: string, saltText: string, kind: ShaCrypt): string {
  const { salt, rounds, written } = readSalt(saltText)
  const key = Buffer.from(password)
  const digest = mixed(key, Buffer.from(salt), rounds, kind)
  return `$${kind === 'sha256' ? 5 : 6}$${written}${salt}$${encoded(digest, kind)}`
}

function readSalt(text: string): { salt: string; rounds: number; written: string } {
  const match = /^rounds=(\d+)\$(.*)$/.exec(text)
  const rounds = match ? Math.min(MAX_ROUNDS, Math.max(MIN_ROUNDS, Number(match[1]))) : ROUNDS
  return { salt: (match ? match[2]! : text).slice(0, MAX_SALT), rounds, written: match ? `rounds=${rounds}$` : '' }
}

const hash = (kind: ShaCrypt, ...parts: readonly Buffer[]): Buffer => {
  const sum = createHash(kind)
  for (const part of parts) sum.update(part)
  return sum.digest()
}

/** The first `length` bytes of a block repeated. */
function repeated(block: Buffer, length: number): Buffer {
  return Buffer.alloc(length, block)
}

function mixed(key: Buffer, salt: Buffer, rounds: number, kind: ShaCrypt): Buffer {
  const b = hash(kind, key, salt, key)
  const bits: Buffer[] = []
  for (let left = key.length; left > 0; left >>= 1) bits.push(left & 1 ? b : key)
  const a = hash(kind, key, salt, key.length === 0 ? Buffer.alloc(0) : repeated(b, key.length), ...bits)
  const p = key.length === 0 ? Buffer.alloc(0) : repeated(hash(kind, ...Array<Buffer>(key.length).fill(key)), key.length)
  const s = salt.length === 0 ? Buffer.alloc(0) : repeated(hash(kind, ...Array<Buffer>(16 + a[0]!).fill(salt)), salt.length)
  let c = a
  for (let round = 0; round < rounds; round++) {
    const parts = [round & 1 ? p : c]
    if (round % 3) parts.push(s)
    if (round % 7) parts.push(p)
    parts.push(round & 1 ? c : p)
    c = hash(kind, ...parts)
  }
  return c
}

/** crypt's base 64: six bits at a time, the lowest first. */
function encoded(digest: Buffer, kind: ShaCrypt): string {
  const order = ORDER[kind]
  let text = ''
  for (let at = 0; at < order.length; at += 3) {
    const bytes = order.slice(at, at + 3).map(index => digest[index]!)
    let value = bytes.reduce((sum, byte) => (sum << 8) | byte, 0)
    for (let letters = bytes.length + 1; letters > 0; letters--, value >>= 6) text += ALPHABET[value & 63]
  }
  return text
}
