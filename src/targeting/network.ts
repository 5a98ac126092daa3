import { type Address, inNetwork as lies, type Network, networkOf, parseAddress } from '../shared/ip.js'

/** Reads an address or a network; null when it is neither, or when a network has host bits set (`10.0.0.1/8`), as Python's ipaddress says. */
export function parseNetwork(text: string): Address | null {
  const found = text.includes('%') ? null : parseAddress(text)
  return found === null || networkOf(found).first !== found.value ? null : found
}

/** True when one of a minion's addresses (grain `ipv4` or `ipv6`) is the address, or lies in the network. */
export function inNetwork(network: Address, addresses: readonly unknown[]): boolean {
  const within = networkOf(network)
  if (network.version === 4) return addresses.some(inIpv4(within))
  return addresses.some(text => {
    const address = typeof text === 'string' && !/[%/]/.test(text) ? parseAddress(text) : null
    return address !== null && lies(address, within)
  })
}

/** In numbers, because a fleet has many of these. */
function inIpv4(within: Network): (text: unknown) => boolean {
  const [first, last] = [Number(within.first), Number(within.last)]
  return text => {
    const value = typeof text === 'string' ? ipv4Number(text) : null
    return value !== null && value >= first && value <= last
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
