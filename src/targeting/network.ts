import { isIP, isIPv4 } from 'node:net'

/** An address (`10.0.0.1`) or a network (`10.0.0.0/8`) of one IP version. */
export interface Network {
  readonly version: 4 | 6
  readonly base: bigint
  /** Bits that addresses have in common with `base`; null for a single address, which Salt compares as text. */
  readonly prefix: number | null
}

/** Reads an address or a network; null when it is neither, or when a network has host bits set (`10.0.0.1/8`), as Python's ipaddress says. */
export function parseNetwork(text: string): Network | null {
  const slash = text.indexOf('/')
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash))
  if (address === null) return null
  if (slash < 0) return { ...address, prefix: null }
  const prefix = prefixOf(text.slice(slash + 1), address.version)
  if (prefix === null || address.base !== cut(address.base, address.version, prefix)) return null
  return { ...address, prefix }
}

/** True when one of a minion's addresses (grain `ipv4` or `ipv6`) is the address, or lies in the network. */
export function inNetwork(network: Network, addresses: readonly unknown[]): boolean {
  if (network.version === 4) return addresses.some(inIpv4(network))
  return addresses.some(text => {
    const address = typeof text === 'string' ? parseAddress(text) : null
    if (address?.version !== 6) return false
    return cut(address.base, 6, network.prefix ?? 128) === network.base
  })
}

/** In numbers, because a fleet has many of these. */
function inIpv4({ base, prefix }: Network): (text: unknown) => boolean {
  const size = 2 ** (32 - (prefix ?? 32))
  const first = Number(base)
  return text => {
    const value = typeof text === 'string' ? ipv4Number(text) : null
    return value !== null && value >= first && value < first + size
  }
}

/** null: no four decimal numbers below 256 without leading zeros. */
function ipv4Number(text: string): number | null {
  let value = 0
  let byte = -1
  let dots = 0
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - ZERO
    if (digit === DOT) {
      if (byte < 0 || ++dots > 3) return null
      value = value * 256 + byte
      byte = -1
    } else if (digit < 0 || digit > 9 || byte === 0) return null
    else {
      byte = byte < 0 ? digit : byte * 10 + digit
      if (byte > 255) return null
    }
  }
  return dots === 3 && byte >= 0 ? value * 256 + byte : null
}

const ZERO = '0'.charCodeAt(0)
const DOT = '.'.charCodeAt(0) - ZERO

function bitsOf(version: 4 | 6): number {
  return version === 4 ? 32 : 128
}

function cut(address: bigint, version: 4 | 6, prefix: number): bigint {
  const host = BigInt(bitsOf(version) - prefix)
  return (address >> host) << host
}

/** `8`, or for IPv4 also a netmask (`255.0.0.0`) or host mask (`0.255.255.255`). */
function prefixOf(text: string, version: 4 | 6): number | null {
  if (/^\d{1,3}$/.test(text)) return Number(text) <= bitsOf(version) ? Number(text) : null
  if (version === 6 || !isIPv4(text)) return null
  const mask = ipv4Value(text)
  const all = (1n << 32n) - 1n
  for (const value of [mask, mask ^ all]) {
    const bits = value.toString(2).padStart(32, '0')
    if (/^1*0*$/.test(bits)) return bits.lastIndexOf('1') + 1
  }
  return null
}

function parseAddress(text: string): { version: 4 | 6; base: bigint } | null {
  const version = isIP(text)
  if (version === 4) return { version: 4, base: ipv4Value(text) }
  return version === 6 && !text.includes('%') ? { version: 6, base: ipv6Value(text) } : null
}

function ipv4Value(text: string): bigint {
  return text.split('.').reduce((value, part) => (value << 8n) | BigInt(part), 0n)
}

function ipv6Value(text: string): bigint {
  const [head = '', tail] = text.split('::')
  const first = groupsOf(head)
  const last = tail === undefined ? [] : groupsOf(tail)
  const zeros = Array<bigint>(tail === undefined ? 0 : 8 - first.length - last.length).fill(0n)
  return [...first, ...zeros, ...last].reduce((value, group) => (value << 16n) | group, 0n)
}

/** The 16-bit groups of one side of `::`; a dotted end counts as two. */
function groupsOf(text: string): bigint[] {
  return text
    .split(':')
    .filter(Boolean)
    .flatMap(group => {
      if (!group.includes('.')) return [BigInt(`0x${group}`)]
      const value = ipv4Value(group)
      return [value >> 16n, value & 0xffffn]
    })
}
