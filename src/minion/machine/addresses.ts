/** IP addresses and networks as Python's ipaddress reckons with them. */
import { isIP, isIPv4 } from 'node:net'

/** Networks that are not for the public internet (ipaddress's is_private), RFC 6890 and its successors. */
const PRIVATE = [
  ...['0.0.0.0/8', '10.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/29', '192.0.0.170/31', '192.0.2.0/24'],
  ...['192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '240.0.0.0/4', '255.255.255.255/32'],
  ...[
    '::1/128',
    '::/128',
    '::ffff:0:0/96',
    '100::/64',
    '2001::/23',
    '2001:2::/48',
    '2001:db8::/32',
    '2001:10::/28',
    'fc00::/7',
    'fe80::/10'
  ]
]
const LOOPBACK = ['127.0.0.0/8', '::1/128']

export function isAddress(text: string): boolean {
  return isIP(text) !== 0
}

export function isPrivate(address: string): boolean {
  return inOneOf(PRIVATE, address)
}

export function isLoopback(address: string): boolean {
  return inOneOf(LOOPBACK, address)
}

function inOneOf(networks: readonly string[], address: string): boolean {
  return networks.some(network => contains(parseCidr(network)!, address))
}

/** An address as its number, with how many bits it has. */
export interface Value {
  readonly bits: 32 | 128
  readonly value: bigint
}

/** Null when the text is no address. */
export function ipNumber(address: string): Value | null {
  const version = isIP(address)
  if (version === 4) return { bits: 32, value: address.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n) }
  if (version !== 6) return null
  // URL writes the shortest form, without a dotted part.
  const [head, tail] = new URL(`http://[${address.replace(/%.*/, '')}]/`).hostname.slice(1, -1).split('::') as [string, string | undefined]
  const groups = (text: string | undefined) => (text ? text.split(':').map(group => BigInt(`0x${group}`)) : [])
  const [first, last] = [groups(head), groups(tail)]
  const all = [...first, ...Array<bigint>(8 - first.length - last.length).fill(0n), ...last]
  return { bits: 128, value: all.reduce((sum, group) => (sum << 16n) | group, 0n) }
}

export function textOf({ bits, value }: Value): string {
  const parts = (count: number, width: bigint) =>
    Array.from({ length: count }, (_, i) => (value >> (BigInt(count - 1 - i) * width)) & ((1n << width) - 1n))
  if (bits === 32) return parts(4, 8n).join('.')
  const groups = parts(8, 16n).map(group => group.toString(16))
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1)
}

export interface Cidr {
  readonly bits: 32 | 128
  readonly network: bigint
  readonly prefix: number
}

/** `10.1.2.3/8`, `10.1.2.3/255.0.0.0` or an address alone; host bits are cut. Null when it is none of these. */
export function parseCidr(text: string): Cidr | null {
  const [address = '', mask] = text.split('/', 2)
  const found = ipNumber(address)
  if (found === null) return null
  const prefix = mask === undefined ? found.bits : isIPv4(mask) ? prefixOfMask(mask) : /^\d{1,3}$/.test(mask) ? Number(mask) : null
  if (prefix === null || prefix > found.bits) return null
  const host = BigInt(found.bits - prefix)
  return { bits: found.bits, network: (found.value >> host) << host, prefix }
}

/** 24 for `255.255.255.0`; null when the ones are not all in front. */
export function prefixOfMask(mask: string): number | null {
  const found = ipNumber(mask)
  if (found === null) return null
  const bits = found.value.toString(2).padStart(found.bits, '0')
  return /^1*0*$/.test(bits) ? bits.lastIndexOf('1') + 1 : null
}

export function maskOf(prefix: number): string {
  return textOf({ bits: 32, value: ((1n << BigInt(prefix)) - 1n) << BigInt(32 - prefix) })
}

export function contains({ bits, network, prefix }: Cidr, address: string): boolean {
  const found = ipNumber(address)
  return found !== null && found.bits === bits && found.value >> BigInt(bits - prefix) === network >> BigInt(bits - prefix)
}

export function cidrText({ bits, network, prefix }: Cidr): string {
  return `${textOf({ bits, value: network })}/${prefix}`
}

/** The last address of a network. */
export function broadcastOf({ bits, network, prefix }: Cidr): string {
  return textOf({ bits, value: network | ((1n << BigInt(bits - prefix)) - 1n) })
}
