/** Grains about names and addresses. No name server is asked: a minion must start at once where none answers. */
import os from 'node:os'
import { readText } from './read.js'

type Grains = Record<string, unknown>

export async function networkGrains(): Promise<Grains> {
  const interfaces = Object.entries(os.networkInterfaces()).map(([name, addresses]) => [name, addresses ?? []] as const)
  const all = interfaces.flatMap(([, addresses]) => addresses)
  const by = (family: string) => Object.fromEntries(interfaces.map(([name, list]) => [name, addressesOf(list, family)]))
  return {
    ...hostNames(os.hostname(), (await readText('/etc/hosts')) ?? ''),
    ...{ ipv4: unique(addressesOf(all, 'IPv4')).sort(), ipv6: unique(addressesOf(all, 'IPv6')).sort() },
    ip_interfaces: Object.fromEntries(interfaces.map(([name, list]) => [name, list.map(({ address }) => address)])),
    ...{ ip4_interfaces: by('IPv4'), ip6_interfaces: by('IPv6') },
    hwaddr_interfaces: Object.fromEntries(interfaces.map(([name, list]) => [name, list[0]?.mac ?? ''])),
    ...gateways((await readText('/proc/net/route')) ?? ''),
    dns: resolver((await readText('/etc/resolv.conf')) ?? '')
  }
}

function addressesOf(list: readonly os.NetworkInterfaceInfo[], family: string): string[] {
  return list.filter(entry => entry.family === family).map(({ address }) => address)
}

/** fqdn: the machine's name if it has a domain, else the full name that the hosts file has for it. */
export function hostNames(nodename: string, hosts: string): Grains {
  const short = nodename.split('.')[0]!
  const lines = hosts.split('\n').map(line => line.replace(/#.*/, '').trim().split(/\s+/).slice(1))
  const full = nodename.includes('.')
    ? nodename
    : lines.find(names => names.includes(nodename))?.find(name => name.startsWith(`${nodename}.`))
  const fqdn = full ?? nodename
  return { nodename, localhost: nodename, fqdn, host: short, domain: fqdn.includes('.') ? fqdn.slice(fqdn.indexOf('.') + 1) : '' }
}

/** The default route of /proc/net/route, whose addresses are hexadecimal in the machine's byte order. */
export function gateways(routes: string): Grains {
  for (const line of routes.split('\n').slice(1)) {
    const [, destination, gateway] = line.split(/\s+/)
    if (destination !== '00000000' || gateway === undefined || !/^[0-9A-F]{8}$/i.test(gateway)) continue
    const bytes = Buffer.from(gateway, 'hex')
    if (os.endianness() === 'LE') bytes.reverse()
    return { ip_gw: true, ip4_gw: [...bytes].join('.') }
  }
  return { ip_gw: false, ip4_gw: false }
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
