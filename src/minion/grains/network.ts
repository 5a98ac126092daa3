/** Grains about names and addresses. No name server is asked: a minion must start at once where none answers. */
import os from 'node:os'
import { type Interface, interfaces } from '../machine/net.js'
import { Source } from '../machine/source.js'

type Grains = Record<string, unknown>

/** Interfaces that are down, or without address, are there too, as in Salt. */
export async function networkGrains(source = new Source(), seen = os.networkInterfaces()): Promise<Grains> {
  const found = Object.entries(await interfaces(source, seen))
  const by = (of: (iface: Interface) => string[]) => Object.fromEntries(found.map(([name, iface]) => [name, of(iface)]))
  const four = ({ inet = [] }: Interface) => inet.map(({ address }) => address)
  const six = ({ inet6 = [] }: Interface) => inet6.map(({ address }) => address)
  const all = found.map(([, iface]) => iface)
  return {
    ...hostNames(os.hostname(), (await source.text('/etc/hosts')) ?? ''),
    ...{ ipv4: unique(all.flatMap(four)).sort(), ipv6: unique(all.flatMap(six)).sort() },
    ...{ ip_interfaces: by(iface => [...four(iface), ...six(iface)]), ip4_interfaces: by(four), ip6_interfaces: by(six) },
    hwaddr_interfaces: Object.fromEntries(found.flatMap(([name, { hwaddr }]) => (hwaddr ? [[name, hwaddr]] : []))),
    ...gateways((await source.text('/proc/net/route')) ?? '', (await source.text('/proc/net/ipv6_route')) ?? ''),
    dns: resolver((await source.text('/etc/resolv.conf')) ?? '')
  }
}

/** fqdn: the machine's name if it has a domain, else the full name that the hosts file has for it. */
export function hostNames(nodename: string, hosts: string): Grains {
  const short = nodename.split('.')[0]!
  const lines = hosts.split('\n').map(line => line.replace(/#.*/, '').trim().split(/\s+/).slice(1))
  const full = nodename.includes('.')
    ? nodename
    : lines.find(names => names.includes(nodename))?.find(name => name.startsWith(`${nodename}.`))
  const fqdn = full ?? nodename
  const known = hosts.split('\n').flatMap(line => {
    const [address, ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    return address && names.includes(fqdn) ? [address] : []
  })
  const addresses = { fqdn_ip4: known.filter(address => !address.includes(':')), fqdn_ip6: known.filter(address => address.includes(':')) }
  return {
    ...addresses,
    fqdns: fqdn.includes('.') ? [fqdn] : [],
    nodename,
    localhost: nodename,
    fqdn,
    host: short,
    domain: fqdn.includes('.') ? fqdn.slice(fqdn.indexOf('.') + 1) : ''
  }
}

/** The default routes: IPv4 as a grain `ip4_gw`, IPv6 as `ip6_gw`, an address or False; `ip_gw` is True when there is one. */
export function gateways(routes: string, routes6 = ''): Grains {
  const [ip4_gw, ip6_gw] = [gateway4(routes), gateway6(routes6)]
  return { ip_gw: ip4_gw !== false || ip6_gw !== false, ip4_gw, ip6_gw }
}

/** A line of /proc/net/ipv6_route: destination, its prefix, source, its prefix, next hop … as 32 hexadecimal digits. */
function gateway6(routes: string): string | false {
  for (const line of routes.split('\n')) {
    const [destination, prefix, , , hop] = line.split(/\s+/)
    if (destination === undefined || prefix !== '00' || /[^0]/.test(destination) || hop === undefined || !/[^0]/.test(hop)) continue
    const address = (hop.match(/.{4}/g) ?? []).map(part => part.replace(/^0{1,3}/, '')).join(':')
    return new URL(`http://[${address}]/`).hostname.slice(1, -1)
  }
  return false
}

/** The addresses of /proc/net/route are hexadecimal in the machine's byte order. */
function gateway4(routes: string): string | false {
  for (const line of routes.split('\n').slice(1)) {
    const [, destination, gateway] = line.split(/\s+/)
    if (destination !== '00000000' || gateway === undefined || !/^[0-9A-F]{8}$/i.test(gateway)) continue
    const bytes = Buffer.from(gateway, 'hex')
    if (os.endianness() === 'LE') bytes.reverse()
    return [...bytes].join('.')
  }
  return false
}

/** Salt's `dns` grain. */
export function resolver(source: string): Grains {
  const values = (keyword: string): string[] =>
    [...source.matchAll(new RegExp(`^\\s*${keyword}\\s+(.+)$`, 'gm'))].flatMap(match => match[1]!.trim().split(/\s+/))
  const nameservers = values('nameserver')
  return {
    ...{
      nameservers,
      ip4_nameservers: nameservers.filter(ip => !ip.includes(':')),
      ip6_nameservers: nameservers.filter(ip => ip.includes(':'))
    },
    ...{ sortlist: values('sortlist'), domain: values('domain')[0] ?? '', search: values('search'), options: values('options') }
  }
}

function unique(list: readonly string[]): string[] {
  return [...new Set(list)]
}
