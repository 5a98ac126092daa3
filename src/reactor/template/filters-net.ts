/** Salt's filters on addresses and networks. */

import { randomBytes } from 'node:crypto'
import { type Address, bitsOf, inNetwork, isKind, networkOf, parseAddress, printAddress, printInterface } from '../../shared/ip.js'
import { integerOf } from '../../shared/numbers.js'
import { REQUIRED, text } from './bind.js'
import type { Env, Filter } from './env.js'
import { limitError, runtimeError } from './errors.js'
import { filterTable } from './filter-table.js'
import { flat, listOf } from './operators.js'
import { str } from './text.js'
import { PyBytes, PyDict, PyIterator, PyList, PyTuple, type Value } from './values.js'

const { table, filter } = filterTable()

export const netFilters: ReadonlyMap<string, Filter> = table

/** More hosts than this are no list for a template. */
const MAX_HOSTS = 65_536

/** The address when it has the version and is of all the kinds that `options` names. */
function matching(input: Value, version: 4 | 6 | null, options: Value): Address | null {
  const value = flat(input)
  const address = typeof value === 'string' ? parseAddress(value) : null
  if (address === null || (version !== null && address.version !== version)) return null
  if (options === null || options === '') return address
  const kinds = text(options, 'options').split(',')
  return kinds.every(kind => isKind(address, kind.trim()) !== false) ? address : null
}

function isList(value: Value): boolean {
  return value instanceof PyList || value instanceof PyTuple || value instanceof PyIterator
}

/** One address as text or null; of a list those that match. */
function filtered(value: Value, version: 4 | 6, options: Value, env: Env): Value {
  if (!isList(value)) {
    const address = matching(value, version, options)
    return address === null ? null : printInterface(address)
  }
  return new PyList(
    listOf(value, env.budget)
      .map(item => matching(item, version, options))
      .filter(address => address !== null)
      .map(printInterface)
  )
}

filter('is_ip', { options: null }, (value, [options]) => matching(value, null, options!) !== null)
filter('is_ipv4', { options: null }, (value, [options]) => matching(value, 4, options!) !== null)
filter('is_ipv6', { options: null }, (value, [options]) => matching(value, 6, options!) !== null)
filter('ipv4', { options: null }, (value, [options], env) => filtered(value, 4, options!, env))
filter('ipv6', { options: null }, (value, [options], env) => filtered(value, 6, options!, env))
filter('ipaddr', { options: null }, (value, [options], env) => {
  const items = value instanceof PyIterator ? new PyList(listOf(value, env.budget)) : value
  const [v4, v6] = [filtered(items, 4, options!, env), filtered(items, 6, options!, env)]
  return v4 instanceof PyList && v6 instanceof PyList ? new PyList([...v4.items, ...v6.items]) : (v4 ?? v6)
})

/** Applies a function of one address to a value or to each of a list. */
function each(name: string, make: (address: Address, env: Env) => Value): void {
  filter(name, { options: null, version: null }, (value, [options, version], env) => {
    const wanted = version === 4 || version === 6 ? version : null
    if (!isList(value)) {
      const address = matching(value, wanted, options!)
      return address === null ? null : make(address, env)
    }
    const addresses = listOf(value, env.budget).map(item => matching(item, wanted, options!))
    return new PyList(addresses.filter(address => address !== null).map(address => make(address, env)))
  })
}

each('ip_host', address => printInterface({ ...address, prefix: address.prefix ?? bitsOf(address.version) }))
each('network_size', address => {
  const { first, last } = networkOf(address)
  return integerOf(last - first + 1n)
})
each('network_hosts', (address, env) => {
  const { first, last, version, prefix } = networkOf(address)
  const single = bitsOf(version) - prefix <= 1
  const from = single ? first : first + 1n
  const to = single || version === 6 ? last : last - 1n
  if (to - from >= BigInt(MAX_HOSTS)) throw limitError(`a network with more than ${MAX_HOSTS} hosts`)
  const hosts: Value[] = []
  for (let host = from; host <= to; host++) {
    env.budget.step()
    env.budget.grow(16)
    hosts.push(printAddress(version, host))
  }
  return new PyList(hosts)
})

filter('ipwrap', {}, (value, _args, env) => {
  const wrap = (item: Value): Value => (matching(item, 6, null) === null ? item : `[${str(flat(item), env.budget)}]`)
  return isList(value) ? new PyList(listOf(value, env.budget).map(wrap)) : wrap(value)
})

filter('filter_by_networks', { networks: REQUIRED }, (value, [networks], env) => {
  const nets = listOf(networks!, env.budget).map(item => {
    const parsed = parseAddress(text(item, 'network'))
    if (parsed === null) throw runtimeError(`'${text(item, 'network')}' does not appear to be an IPv4 or IPv6 network`)
    return networkOf(parsed)
  })
  const keep = (items: Value) =>
    new PyList(
      listOf(items, env.budget).filter(item => {
        env.budget.step(nets.length)
        const address = matching(item, null, null)
        return address !== null && nets.some(net => inNetwork(address, net))
      })
    )
  return value instanceof PyDict ? PyDict.of([...value.entries()].map(([name, items]) => [name, keep(items)] as const)) : keep(value)
})

filter('gen_mac', {}, value => {
  const prefix = typeof value === 'string' && value !== '' ? value : 'AC:DE:48'
  return `${prefix}:${randomBytes(3)
    .toString('hex')
    .toUpperCase()
    .replace(/(..)(?=.)/g, '$1:')}`
})

filter('mac_str_to_bytes', {}, value => {
  const mac = text(value, 'mac_str')
  const digits = mac.replaceAll(mac[2] ?? ':', '')
  if (!/^[\da-fA-F]{12}$/.test(digits)) throw runtimeError('Invalid MAC address')
  return new PyBytes(Buffer.from(digits, 'hex'))
})
