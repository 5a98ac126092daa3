import os from 'node:os'
import { type Network, printAddress } from '../../shared/ip.js'
import type { ModuleContext } from '../context.js'
import { addressOf, broadcastOf, cidrText, contains, isLoopback, isPrivate, maskOf, parseCidr } from '../machine/addresses.js'
import {
  type Interface,
  interfaces,
  type KernelRoute,
  neighbours,
  routes4,
  routes6,
  shownRoute,
  socketLines,
  sockets
} from '../machine/net.js'
import { tryToConnect } from '../machine/reach.js'
import { Source } from '../machine/source.js'
import { InvocationError } from './errors.js'
import { doc, fn, type Module, type ModuleFunction } from './module.js'
import { runTool, toolFn } from './tool.js'
import { flag, type Mapping, text, textOrNull, texts } from './values.js'

/** Salt's `network` module: interfaces, addresses, routes and sockets from the kernel, questions to others by the system's programs. */
export const network: Module = networkModule({ source: new Source() })

interface Machine {
  readonly source: Source
  /** What the kernel says of addresses; the machine's own by default. */
  readonly seen?: () => ReturnType<typeof os.networkInterfaces>
}

/** The same over recordings of another machine. */
export function networkModule(machine: Machine): Module {
  const { source } = machine
  const all = () => interfaces(source, (machine.seen ?? os.networkInterfaces)())
  const named = (name: string, param: string, says: string, show: (found: Interface) => unknown): ModuleFunction =>
    fn(`${name}(${param})`, doc(says, `network.${name} eth0`), async (_ctx, a) => {
      const found = await all()
      const iface = text(a[param], param)
      return Object.hasOwn(found, iface) ? show(found[iface]!) : unknownInterface(iface, found)
    })
  return {
    name: 'network',
    functions: [
      fn('interfaces()', doc('Returns all interfaces: up, hwaddr, inet, inet6.', 'network.interfaces'), all),
      named(
        'interface',
        'iface',
        'Returns the IPv4 addresses of an interface with netmask, broadcast and label.',
        found => found.inet ?? ''
      ),
      named('interface_ip', 'iface', 'Returns the first IPv4 address of an interface.', found => found.inet?.[0]?.address ?? ''),
      ...['hw_addr', 'hwaddr'].map(name =>
        named(name, 'iface', 'Returns the hardware address of an interface.', found => found.hwaddr ?? '')
      ),
      ...addressFunctions(all),
      ...subnetFunctions(all),
      ...reckoning(),
      ...routeFunctions(source, all),
      ...socketFunctions(source),
      ...names(),
      ...questions()
    ]
  }
}

type All = () => Promise<Record<string, Interface>>

function unknownInterface(iface: string, found: Readonly<Record<string, Interface>>): string {
  return `Interface "${iface}" not in available interfaces: "${Object.keys(found).join('", "')}"`
}

// ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function addressFunctions(all: All): ModuleFunction[] {
  const four = (name: string): ModuleFunction =>
    fn(
      `${name}(interface=None, include_loopback=False, cidr=None, type=None)`,
      doc(
        "Returns the IPv4 addresses, of one interface, inside a network, or of a type ('public', 'private').",
        `network.${name} cidr=10.0.0.0/8`
      ),
      async (_ctx, a) => {
        const type = textOrNull(a.type, 'type')
        const found = chosen(await addresses(all, 'inet', a), a)
        return type === 'public' || type === 'private' ? found.filter(address => isPrivate(address) === (type === 'private')) : found
      }
    )
  const six = (name: string): ModuleFunction =>
    fn(
      `${name}(interface=None, include_loopback=False, cidr=None)`,
      doc('Returns the IPv6 addresses, of one interface, or inside a network.', `network.${name} cidr=2000::/3`),
      async (_ctx, a) => chosen(await addresses(all, 'inet6', a), a)
    )
  return [
    ...['ip_addrs', 'ipaddrs'].map(four),
    ...['ip_addrs6', 'ipaddrs6'].map(six),
    fn(
      'ifacestartswith(cidr)',
      doc('Returns the interfaces with an IPv4 address that begins so.', 'network.ifacestartswith 10.0'),
      async (_ctx, a) => {
        const begin = text(a.cidr, 'cidr')
        return Object.entries(await all()).flatMap(([name, { inet }]) =>
          inet?.some(({ address }) => address.startsWith(begin)) ? [name] : []
        )
      }
    )
  ]
}

/** Sorted as numbers; those of the loopback only when they are asked for. */
async function addresses(all: All, kind: 'inet' | 'inet6', a: Mapping): Promise<string[]> {
  const wanted = textOrNull(a.interface, 'interface')
  const found = Object.entries(await all()).filter(([name]) => wanted === null || name === wanted)
  const list = found.flatMap(([, { inet = [], inet6 = [] }]) => (kind === 'inet' ? inet : inet6).map(({ address }) => address))
  const shown = list.filter(address => flag(a.include_loopback ?? false) || !isLoopback(address))
  return [...new Set(shown)].sort(byValue)
}

function byValue(a: string, b: string): number {
  const [left, right] = [addressOf(a)?.value ?? 0n, addressOf(b)?.value ?? 0n]
  return left < right ? -1 : left > right ? 1 : 0
}

function chosen(list: readonly string[], a: Mapping): string[] {
  const cidr = textOrNull(a.cidr, 'cidr')
  if (cidr === null || cidr === '') return [...list]
  const within = networkOf(cidr)
  return list.filter(address => contains(within, address))
}

/** Throws InvocationError. */
function networkOf(cidr: string): Network {
  const found = parseCidr(cidr)
  if (found === null) throw new InvocationError(`'${cidr}' does not appear to be an IPv4 or IPv6 network`)
  return found
}

// ── networks ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function subnetFunctions(all: All): ModuleFunction[] {
  const networks = async (kind: 'inet' | 'inet6', wanted: readonly string[], loopback = false): Promise<string[]> => {
    const found = Object.entries(await all()).filter(([name]) => wanted.length === 0 || wanted.includes(name))
    const cidrs = found.flatMap(([, iface]) => [
      ...(kind === 'inet' ? (iface.inet ?? []).map(({ address, netmask }) => ({ address, mask: netmask })) : []),
      ...(kind === 'inet6' ? (iface.inet6 ?? []).map(({ address, prefixlen }) => ({ address, mask: prefixlen })) : [])
    ])
    const shown = cidrs.filter(({ address }) => loopback || !isLoopback(address))
    return [...new Set(shown.map(({ address, mask }) => cidrText(networkOf(`${address}/${mask}`))))].sort()
  }
  const ip = (name: string, kind: 'inet' | 'inet6', version: string): ModuleFunction =>
    fn(
      `${name}(interface=None, include_loopback=False)`,
      doc(`Returns the ${version} networks that the machine is in.`, `network.${name}`),
      (_ctx, a) => networks(kind, texts(a.interface, 'interface'), flag(a.include_loopback))
    )
  return [
    fn('subnets(interfaces=None)', doc('Returns the IPv4 networks that the machine is in.', 'network.subnets eth1'), (_ctx, a) =>
      networks('inet', texts(a.interfaces, 'interfaces'))
    ),
    fn('subnets6()', doc('Returns the IPv6 networks that the machine is in.', 'network.subnets6'), () => networks('inet6', [])),
    ip('ip_networks', 'inet', 'IPv4'),
    ip('ip_networks6', 'inet6', 'IPv6'),
    fn(
      'in_subnet(cidr)',
      doc('Returns whether the machine has an address in a network.', 'network.in_subnet 10.0.0.0/16'),
      async (_ctx, a) => {
        const within = networkOf(text(a.cidr, 'cidr'))
        const everything = { include_loopback: true, interface: null }
        const own = await addresses(all, within.version === 4 ? 'inet' : 'inet6', everything)
        return own.some(address => contains(within, address))
      }
    )
  ]
}

/** Nothing here asks the machine. */
function reckoning(): ModuleFunction[] {
  const about = (name: string, says: string, find: (address: string) => unknown): ModuleFunction =>
    fn(`${name}(ip_addr)`, doc(says, `network.${name} 10.0.0.3`), (_ctx, a) => find(checkedAddress(text(a.ip_addr, 'ip_addr'))))
  return [
    about('is_private', 'Returns whether an address is not for the public internet.', isPrivate),
    about('is_loopback', 'Returns whether an address means the machine itself.', isLoopback),
    about('reverse_ip', 'Returns the name under which name servers keep an address.', reverseName),
    fn('iphexval(ip)', doc('Returns an IPv4 address as hexadecimal digits.', 'network.iphexval 10.0.0.1'), (_ctx, a) =>
      checkedAddress(text(a.ip, 'ip'))
        .split('.')
        .map(part => Number(part).toString(16).toUpperCase().padStart(2, '0'))
        .join('')
    ),
    fn(
      'ip_in_subnet(ip_addr, cidr)',
      doc('Returns whether an address lies in a network.', 'network.ip_in_subnet 172.17.0.4 172.16.0.0/12'),
      (_ctx, a) => contains(networkOf(text(a.cidr, 'cidr')), checkedAddress(text(a.ip_addr, 'ip_addr')))
    ),
    fn(
      'convert_cidr(cidr)',
      doc('Returns network, netmask and broadcast of a network.', 'network.convert_cidr 172.31.0.0/16'),
      (_ctx, a) => {
        const found = parseCidr(text(a.cidr, 'cidr'))
        if (found === null || found.version !== 4) return { network: null, netmask: null, broadcast: null }
        return { network: printAddress(4, found.first), netmask: maskOf(found.prefix), broadcast: broadcastOf(found) }
      }
    ),
    fn(
      'calc_net(ip_addr, netmask=None)',
      doc('Returns the network of an address.', 'network.calc_net 172.17.0.5 255.255.255.240'),
      (_ctx, a) => {
        const [address, mask] = [text(a.ip_addr, 'ip_addr'), textOrNull(a.netmask, 'netmask')]
        return cidrText(networkOf(mask === null ? address : `${address}/${mask}`))
      }
    )
  ]
}

function checkedAddress(address: string): string {
  if (addressOf(address) === null) throw new InvocationError(`'${address}' does not appear to be an IPv4 or IPv6 address`)
  return address
}

function reverseName(address: string): string {
  const { version, value } = addressOf(address)!
  if (version === 4) return `${address.split('.').reverse().join('.')}.in-addr.arpa`
  return `${[...value.toString(16).padStart(32, '0')].reverse().join('.')}.ip6.arpa`
}

// ── routes ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function routeFunctions(source: Source, all: All): ModuleFunction[] {
  const routes = async (family: string | null): Promise<KernelRoute[]> => {
    if (family !== null && family !== 'inet' && family !== 'inet6') throw new InvocationError(`Invalid address family ${family}`)
    return [...(family === 'inet6' ? [] : await routes4(source)), ...(family === 'inet' ? [] : await routes6(source))]
  }
  return [
    fn(
      'routes(family=None)',
      doc('Returns the routes (family: inet, inet6): destination, gateway, netmask, flags, interface.', 'network.routes'),
      async (_ctx, a) => (await routes(textOrNull(a.family, 'family'))).map(shownRoute)
    ),
    fn('default_route(family=None)', doc('Returns the default routes (family: inet, inet6).', 'network.default_route'), async (_ctx, a) =>
      (await routes(textOrNull(a.family, 'family')))
        .filter(({ destination, prefix }) => prefix === 0 && /^(0\.0\.0\.0|::\/0)$/.test(destination))
        .map(shownRoute)
    ),
    fn(
      'get_route(ip)',
      doc('Returns how an address is reached: destination, gateway, interface and the source address.', 'network.get_route 10.10.10.10'),
      async (_ctx, a) => {
        const address = checkedAddress(text(a.ip, 'ip'))
        const own = Object.entries(await all())
        // These stand in the kernel's table `local`, which is not in /proc.
        if (isLoopback(address) || own.some(([, iface]) => hasAddress(iface, address)))
          return { destination: address, gateway: null, interface: 'lo', source: address }
        const route = bestRoute(await routes(addressOf(address)!.version === 4 ? 'inet' : 'inet6'), address)
        if (route === null) return { destination: address, gateway: null, interface: null, source: null }
        const [, iface] = own.find(([name]) => name === route.interface) ?? []
        const unset = /^(0\.0\.0\.0|::)$/.test(route.gateway)
        return {
          ...{ destination: address, gateway: unset ? null : route.gateway, interface: route.interface },
          source: iface === undefined ? null : sourceAddress(iface, unset ? address : route.gateway)
        }
      }
    )
  ]
}

/** The one with the longest prefix, then with the least metric. */
function bestRoute(routes: readonly KernelRoute[], address: string): KernelRoute | null {
  const fitting = routes.filter(({ destination, prefix }) => contains(networkOf(`${destination.split('/')[0]}/${prefix}`), address))
  return fitting.sort((a, b) => b.prefix - a.prefix || a.metric - b.metric)[0] ?? null
}

function hasAddress({ inet = [], inet6 = [] }: Interface, wanted: string): boolean {
  return [...inet, ...inet6].some(({ address }) => address === wanted)
}

/** The address in the same network as the next hop, else the first of the same kind. */
function sourceAddress({ inet = [], inet6 = [] }: Interface, hop: string): string | null {
  const four = addressOf(hop)?.version === 4
  const list = four
    ? inet.map(({ address, netmask }) => ({ address, mask: netmask }))
    : inet6.map(({ address, prefixlen }) => ({ address, mask: prefixlen }))
  const near = list.find(({ address, mask }) => contains(networkOf(`${address}/${mask}`), hop))
  return (near ?? list[0])?.address ?? null
}

// ── sockets and neighbours ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const ESTABLISHED = 1

function socketFunctions(source: Source): ModuleFunction[] {
  return [
    fn(
      'netstat()',
      doc('Returns the TCP and UDP sockets with their addresses, state, user and program.', 'network.netstat'),
      () => sockets(source),
      { isolated: true }
    ),
    fn('active_tcp()', doc('Returns the TCP connections that are established, numbered from 0.', 'network.active_tcp'), async () => {
      const lines = [...(await socketLines(source, 'tcp')), ...(await socketLines(source, 'tcp6'))]
      return Object.fromEntries(
        lines
          .filter(({ state }) => state === ESTABLISHED)
          .map(({ local, remote }, i) => [
            i,
            {
              ...{ local_addr: local.address, local_port: String(local.port) },
              ...{ remote_addr: remote.address, remote_port: String(remote.port) }
            }
          ])
      )
    }),
    fn('arp()', doc('Returns who was seen on the local network: hardware address → IP address.', 'network.arp'), async () =>
      Object.fromEntries((await neighbours(source)).map(({ ip, mac }) => [mac, ip]))
    ),
    fn('ip_neighs()', doc('Returns who was seen on the local network: IP address → hardware address.', 'network.ip_neighs'), async () =>
      Object.fromEntries((await neighbours(source)).map(({ ip, mac }) => [ip, mac]))
    )
  ]
}

function names(): ModuleFunction[] {
  return [
    fn('get_hostname()', doc("Returns the machine's name.", 'network.get_hostname'), () => os.hostname()),
    fn('get_fqdn()', doc("Returns the machine's name with its domain.", 'network.get_fqdn'), ctx => ctx.grains.fqdn ?? os.hostname()),
    fn('fqdns()', doc("Returns the machine's names with their domains.", 'network.fqdns'), ctx => ({ fqdns: ctx.grains.fqdns ?? [] }))
  ]
}

// ── questions to others ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

function questions(): ModuleFunction[] {
  return [
    toolFn(
      'ping(host, timeout=False, return_boolean=False)',
      'Pings a host four times; returns what ping prints, or whether it answers.',
      'network.ping archlinux.org',
      ping
    ),
    toolFn('traceroute(host)', 'Returns what traceroute prints, line by line.', 'network.traceroute archlinux.org', async (ctx, a) =>
      (await runTool(ctx, ['traceroute', checkedHost(a.host)])).stdout.split('\n').filter(line => line !== '')
    ),
    toolFn(
      'dig(host)',
      'Returns what dig prints.',
      'network.dig archlinux.org',
      async (ctx, a) => (await runTool(ctx, ['dig', checkedHost(a.host)])).stdout
    ),
    fn(
      'connect(host, port=None, **kwargs)',
      doc(
        'Tries to reach a port: result and comment. proto (tcp, udp), timeout (seconds), family (ipv4, ipv6).',
        'network.connect archlinux.org 80'
      ),
      (_ctx, a) => tryToConnect(a.host, a.port, a.kwargs as Mapping),
      { isolated: true }
    )
  ]
}

async function ping(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const timeout = a.timeout === false || a.timeout === null ? [] : ['-W', text(a.timeout, 'timeout')]
  const { stdout, retcode } = await runTool(ctx, ['ping', ...timeout, '-c', '4', checkedHost(a.host)])
  return flag(a.return_boolean) ? retcode === 0 : stdout
}

/** A name or an address: nothing that a program takes for an option. */
function checkedHost(value: unknown): string {
  const host = text(value, 'host').trim()
  if (!/^[A-Za-z0-9_:.%-]+$/.test(host) || host.startsWith('-')) throw new InvocationError(`'${host}' is no host`)
  return host
}
