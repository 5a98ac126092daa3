/** IP addresses and networks as texts, as the kernel and Salt's `network` module have them. */
import { type Address, inNetwork, isKind, type Network, networkOf, parseAddress, printAddress } from '../../shared/ip.js'

/** An address alone, without a prefix length; null for anything else. */
export function addressOf(text: string): Address | null {
  const found = parseAddress(text)
  return found?.prefix === null ? found : null
}

/** `10.1.2.3/8`, `10.1.2.3/255.0.0.0` or an address alone; host bits are cut. Null when it is none of these. */
export function parseCidr(text: string): Network | null {
  const found = parseAddress(text)
  return found === null ? null : networkOf(found)
}

/** Whether an address is not for the public internet (Python's `is_private`). */
export function isPrivate(address: string): boolean {
  return isOf('private', address)
}

export function isLoopback(address: string): boolean {
  return isOf('loopback', address)
}

function isOf(kind: string, text: string): boolean {
  const address = addressOf(text)
  return address !== null && isKind(address, kind) === true
}

export function contains(network: Network, text: string): boolean {
  const address = addressOf(text)
  return address !== null && inNetwork(address, network)
}

/** `10.0.0.0/8` */
export function cidrText({ version, first, prefix }: Network): string {
  return `${printAddress(version, first)}/${prefix}`
}

/** The last address of a network. */
export function broadcastOf({ version, last }: Network): string {
  return printAddress(version, last)
}

/** The netmask of an IPv4 prefix length. */
export function maskOf(prefix: number): string {
  return printAddress(4, ((1n << BigInt(prefix)) - 1n) << BigInt(32 - prefix))
}
