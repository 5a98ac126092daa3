/** IP addresses and networks as Python's `ipaddress` reads and prints them. */

export interface Address {
  readonly version: 4 | 6
  readonly value: bigint
  /** Prefix length; null when only an address was given. */
  readonly prefix: number | null
}

/** An address, with or without a prefix length (or an IPv4 netmask); null for anything else. */
export function parseAddress(text: string): Address | null {
  const [host, mask, ...rest] = text.split('/')
  if (host === undefined || rest.length > 0) return null
  const version = host.includes(':') ? 6 : 4
  const value = version === 6 ? parseV6(host) : parseV4(host)
  if (value === null) return null
  if (mask === undefined) return { version, value, prefix: null }
  const prefix = parsePrefix(mask, version)
  return prefix === null ? null : { version, value, prefix }
}

export function bitsOf(version: 4 | 6): number {
  return version === 4 ? 32 : 128
}

function parsePrefix(mask: string, version: 4 | 6): number | null {
  if (/^\d{1,3}$/.test(mask)) return Number(mask) <= bitsOf(version) ? Number(mask) : null
  const value = version === 4 ? parseV4(mask) : null
  if (value === null) return null
  const bits = value.toString(2).padStart(32, '0')
  if (/^1*0*$/.test(bits)) return bits.replaceAll('0', '').length
  return /^0*1*$/.test(bits) ? bits.replaceAll('1', '').length : null
}

function parseV4(text: string): bigint | null {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every(part => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return null
  return parts.reduce((value, part) => value * 256n + BigInt(part), 0n)
}

function parseV6(input: string): bigint | null {
  const text = input.replace(/%[^%]+$/, '')
  const v4 = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  const tail = v4 === null ? null : parseV4(v4[2]!)
  if (v4 !== null && tail === null) return null
  const full = v4 === null ? text : `${v4[1]}${(tail! >> 16n).toString(16)}:${(tail! & 0xffffn).toString(16)}`
  const halves = full.split('::')
  if (halves.length > 2) return null
  const groups = (half: string) => (half === '' ? [] : half.split(':'))
  const head = groups(halves[0]!)
  const end = halves.length === 2 ? groups(halves[1]!) : []
  const missing = 8 - head.length - end.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null
  const all = [...head, ...Array.from({ length: halves.length === 2 ? missing : 0 }, () => '0'), ...end]
  if (!all.every(group => /^[\da-fA-F]{1,4}$/.test(group))) return null
  return all.reduce((value, group) => value * 65536n + BigInt(`0x${group}`), 0n)
}

export function printAddress(version: 4 | 6, value: bigint): string {
  if (version === 4) return [24n, 16n, 8n, 0n].map(shift => String((value >> shift) & 255n)).join('.')
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - index * 16)) & 0xffffn).toString(16))
  return compressed(groups)
}

/** The longest run of zero groups (two at least, the first of equals) becomes `::`. */
function compressed(groups: readonly string[]): string {
  let best = { start: 0, length: 1 }
  for (let start = 0; start < 8; start++) {
    let length = 0
    while (groups[start + length] === '0') length++
    if (length > best.length) best = { start, length }
  }
  if (best.length < 2) return groups.join(':')
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`
}

/** `192.168.0.1` or `192.168.0.1/24`. */
export function printInterface(address: Address): string {
  const text = printAddress(address.version, address.value)
  return address.prefix === null ? text : `${text}/${address.prefix}`
}

export interface Network {
  readonly version: 4 | 6
  readonly first: bigint
  readonly last: bigint
  readonly prefix: number
}

export function networkOf(address: Address): Network {
  const bits = bitsOf(address.version)
  const prefix = address.prefix ?? bits
  const size = 1n << BigInt(bits - prefix)
  const first = address.value - (address.value % size)
  return { version: address.version, first, last: first + size - 1n, prefix }
}

export function inNetwork(address: Address, network: Network): boolean {
  return address.version === network.version && address.value >= network.first && address.value <= network.last
}

const KINDS: Record<string, readonly string[]> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  multicast: ['224.0.0.0/4', 'ff00::/8'],
  'link-local': ['169.254.0.0/16', 'fe80::/10'],
  'site-local': ['fec0::/10'],
  reserved: [
    '240.0.0.0/4',
    '::/8',
    '100::/8',
    '200::/7',
    '400::/6',
    '800::/5',
    '1000::/4',
    '4000::/3',
    '6000::/3',
    '8000::/3',
    'a000::/3',
    'c000::/3',
    'e000::/4',
    'f000::/5',
    'f800::/6',
    'fe00::/9'
  ],
  unspecified: ['0.0.0.0/32', '::/128'],
  private: [
    '0.0.0.0/8',
    '10.0.0.0/8',
    '127.0.0.0/8',
    '169.254.0.0/16',
    '172.16.0.0/12',
    '192.0.0.0/29',
    '192.0.0.170/31',
    '192.0.2.0/24',
    '192.168.0.0/16',
    '198.18.0.0/15',
    '198.51.100.0/24',
    '203.0.113.0/24',
    '240.0.0.0/4',
    '255.255.255.255/32',
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
}

const ALIASES: Record<string, string> = { lo: 'loopback', ll: 'link-local', linklocal: 'link-local', sl: 'site-local' }

/** Whether an address is of a kind (`private`, `loopback`, `global` …); null for an unknown kind. */
export function isKind(address: Address, name: string): boolean | null {
  const kind = ALIASES[name] ?? name
  if (kind === 'public' || kind === 'global') return isKind(address, 'private') === false && !within(address, ['100.64.0.0/10'])
  const networks = KINDS[kind]
  return networks === undefined ? null : within(address, networks)
}

function within(address: Address, networks: readonly string[]): boolean {
  return networks.some(text => inNetwork(address, networkOf(parseAddress(text)!)))
}
