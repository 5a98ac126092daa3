/** Interfaces, routes and sockets of the machine. */
import os from 'node:os'
import { printAddress } from '../../shared/ip.js'
import { broadcastOf, parseCidr } from './addresses.js'
import { type Source, words } from './source.js'

export interface Inet {
  readonly address: string
  readonly netmask: string
  readonly broadcast: string | null
  readonly label: string
}

export interface Inet6 {
  readonly address: string
  readonly prefixlen: string
  readonly scope: string
}

/** As Salt shows one: `inet` and `inet6` only where it has addresses. */
export interface Interface {
  readonly up: boolean
  readonly hwaddr?: string
  readonly inet?: Inet[]
  readonly inet6?: Inet6[]
}

/** Flags of <net/if.h>. */
const [UP, BROADCAST] = [0x1, 0x2]

/** All interfaces that the kernel has, with those addresses that Node sees. */
export async function interfaces(source: Source, seen: ReturnType<typeof os.networkInterfaces> = os.networkInterfaces()) {
  const names = [...new Set([...(await source.names('/sys/class/net')), ...Object.keys(seen)])].sort()
  const entries = await Promise.all(names.map(async name => [name, await interfaceOf(source, name, seen[name] ?? [])] as const))
  return Object.fromEntries(entries.filter(entry => entry[1] !== null)) as Record<string, Interface>
}

async function interfaceOf(source: Source, name: string, addresses: readonly os.NetworkInterfaceInfo[]): Promise<Interface | null> {
  const about = `/sys/class/net/${name}`
  const [flagText, mac] = await Promise.all([source.text(`${about}/flags`), source.text(`${about}/address`)])
  // bonding_masters lies beside the interfaces and is none.
  if (flagText === null && addresses.length === 0) return null
  const flags = flagText === null ? UP : Number(flagText.trim())
  const inet = addresses.filter(({ family }) => family === 'IPv4').map(entry => inetOf(entry, name, (flags & BROADCAST) !== 0))
  const inet6 = addresses.filter(({ family }) => family === 'IPv6').map(inet6Of)
  const hwaddr = mac?.trim() || addresses[0]?.mac
  return {
    up: (flags & UP) !== 0,
    ...(hwaddr ? { hwaddr } : {}),
    ...(inet.length > 0 ? { inet } : {}),
    ...(inet6.length > 0 ? { inet6 } : {})
  }
}

function inetOf({ address, netmask }: os.NetworkInterfaceInfo, label: string, broadcasts: boolean): Inet {
  const network = parseCidr(`${address}/${netmask}`)
  return { address, netmask, broadcast: broadcasts && network && network.prefix < 31 ? broadcastOf(network) : null, label }
}

function inet6Of({ address, cidr }: os.NetworkInterfaceInfo): Inet6 {
  const scope = address === '::1' ? 'host' : /^fe[89ab]/i.test(address) ? 'link' : /^fe[c-f]/i.test(address) ? 'site' : 'global'
  return { address, prefixlen: cidr?.split('/')[1] ?? '128', scope }
}

/** As Salt shows one, of netstat's columns. */
export interface Route {
  readonly addr_family: 'inet' | 'inet6'
  readonly destination: string
  readonly gateway: string
  readonly netmask: string
  readonly flags: string
  readonly interface: string
}

/** Routes that count: flag U. */
const ROUTE_UP = 0x1
const ROUTE_FLAGS: readonly (readonly [number, string])[] = [
  [0x1, 'U'],
  [0x2, 'G'],
  [0x4, 'H'],
  [0x10, 'D'],
  [0x20, 'M'],
  [0x40000, 'A'],
  [0x1000000, 'C'],
  [0x200, '!']
]

function routeFlags(flags: number): string {
  return ROUTE_FLAGS.filter(([bit]) => (flags & bit) !== 0)
    .map(([, letter]) => letter)
    .join('')
}

export interface KernelRoute extends Route {
  readonly prefix: number
  readonly metric: number
}

/** /proc/net/route: hexadecimal numbers in the byte order of the machine. */
export async function routes4(source: Source): Promise<KernelRoute[]> {
  const lines = (await source.lines('/proc/net/route')).slice(1).map(words)
  return lines
    .filter(([, , , flags]) => (Number.parseInt(flags!, 16) & ROUTE_UP) !== 0)
    .map(([name, destination, gateway, flags, , , metric, mask]) => {
      const netmask = hexAddress(mask!)
      const prefix = parseCidr(`0.0.0.0/${netmask}`)?.prefix ?? 32
      return {
        ...{ addr_family: 'inet', destination: hexAddress(destination!), gateway: hexAddress(gateway!), netmask },
        ...{ flags: routeFlags(Number.parseInt(flags!, 16)), interface: name!, prefix, metric: Number(metric) }
      }
    })
}

const ROUTE_REJECT = 0x200

/** /proc/net/ipv6_route: 32 hexadecimal digits in the order of the network. */
export async function routes6(source: Source): Promise<KernelRoute[]> {
  const lines = (await source.lines('/proc/net/ipv6_route')).map(words)
  const counts = (flags: string) => (Number.parseInt(flags, 16) & (ROUTE_UP | ROUTE_REJECT)) === ROUTE_UP
  return lines
    .filter(([, , , , , , , , flags]) => counts(flags!))
    .map(([destination, prefixDigits, , , hop, metric, , , flags, name]) => {
      const prefix = Number.parseInt(prefixDigits!, 16)
      return {
        ...{ addr_family: 'inet6', destination: `${hexAddress6(destination!)}/${prefix}`, gateway: hexAddress6(hop!), netmask: '' },
        ...{ flags: routeFlags(Number.parseInt(flags!, 16)), interface: name!, prefix, metric: Number.parseInt(metric!, 16) }
      }
    })
}

export function shownRoute({ prefix: _prefix, metric: _metric, ...route }: KernelRoute): Route {
  return route
}

function hexAddress(digits: string): string {
  const bytes = Buffer.from(digits, 'hex')
  if (os.endianness() === 'LE') bytes.reverse()
  return [...bytes].join('.')
}

function hexAddress6(digits: string): string {
  return printAddress(6, BigInt(`0x${digits}`))
}

/** As netstat shows one, every field a text. */
export interface Socket {
  readonly proto: string
  readonly 'recv-q': string
  readonly 'send-q': string
  readonly 'local-address': string
  readonly 'remote-address': string
  readonly state?: string
  readonly user: string
  readonly inode: string
  readonly program: string
}

const TCP_STATES = [
  ...['', 'ESTABLISHED', 'SYN_SENT', 'SYN_RECV', 'FIN_WAIT1', 'FIN_WAIT2', 'TIME_WAIT', 'CLOSE', 'CLOSE_WAIT', 'LAST_ACK', 'LISTEN'],
  ...['CLOSING', 'NEW_SYN_RECV']
]

/** TCP and UDP sockets. `program` is `pid/name` where this user may see whose it is, else `-`. */
export async function sockets(source: Source): Promise<Socket[]> {
  const owners = await socketOwners(source)
  const files = await Promise.all(['tcp', 'tcp6', 'udp', 'udp6'].map(async proto => [proto, await socketLines(source, proto)] as const))
  return files.flatMap(([proto, lines]) =>
    lines.map(({ local, remote, state, queues, uid, inode }) => {
      const [send, receive] = queues.split(':').map(digits => String(Number.parseInt(digits, 16))) as [string, string]
      return {
        ...{ proto, 'recv-q': receive, 'send-q': send, 'local-address': endpoint(local), 'remote-address': endpoint(remote) },
        ...(proto.startsWith('tcp') ? { state: TCP_STATES[state] ?? '' } : {}),
        ...{ user: uid, inode, program: owners.get(inode) ?? '-' }
      }
    })
  )
}

interface SocketLine {
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly state: number
  /** `<send>:<receive>`, hexadecimal. */
  readonly queues: string
  readonly uid: string
  readonly inode: string
}

export interface Endpoint {
  readonly address: string
  readonly port: number
}

/** proc_net_tcp: `sl local remote st tx:rx tr:when retrnsmt uid timeout inode …`. */
export async function socketLines(source: Source, proto: string): Promise<SocketLine[]> {
  const lines = (await source.lines(`/proc/net/${proto}`)).slice(1).map(words)
  return lines.map(([, local, remote, state, queues, , , uid, , inode]) => ({
    ...{ local: endpointOf(local!), remote: endpointOf(remote!), state: Number.parseInt(state!, 16) },
    ...{ queues: queues!, uid: uid!, inode: inode! }
  }))
}

/** `0100007F:1F40`: four bytes at a time in the order of the machine, then the port. */
function endpointOf(text: string): Endpoint {
  const [digits, port] = text.split(':') as [string, string]
  const bytes = Buffer.from(digits, 'hex')
  if (os.endianness() === 'LE') bytes.swap32()
  const address = bytes.length === 4 ? [...bytes].join('.') : hexAddress6(bytes.toString('hex'))
  return { address, port: Number.parseInt(port, 16) }
}

function endpoint({ address, port }: Endpoint): string {
  return `${address}:${port === 0 ? '*' : port}`
}

/** Inode of a socket → `pid/name` of a process that has it open. */
async function socketOwners(source: Source): Promise<Map<string, string>> {
  const owners = new Map<string, string>()
  for (const pid of (await source.names('/proc')).filter(name => /^\d+$/.test(name))) {
    const targets = await Promise.all((await source.names(`/proc/${pid}/fd`)).map(fd => source.link(`/proc/${pid}/fd/${fd}`)))
    const inodes = targets.flatMap(target => /^socket:\[(\d+)\]$/.exec(target ?? '')?.[1] ?? [])
    if (inodes.length === 0) continue
    const name = (await source.text(`/proc/${pid}/comm`))?.trim() ?? ''
    for (const inode of inodes) if (!owners.has(inode)) owners.set(inode, `${pid}/${name}`)
  }
  return owners
}

/** /proc/net/arp: entries that have an answer. */
export async function neighbours(source: Source): Promise<{ ip: string; mac: string; device: string }[]> {
  const lines = (await source.lines('/proc/net/arp')).slice(1).map(words)
  return lines.map(([ip, , , mac, , device]) => ({ ip: ip!, mac: mac!, device: device! })).filter(({ mac }) => mac !== '00:00:00:00:00:00')
}
