/** From where users may log in: user (or `*` for those who are not named) → addresses, or `*` for all. */
export type ApiAcl = Readonly<Record<string, readonly string[]>>

/**
 * salt-api's `api_acl`, asked wherever credentials are taken. An empty list of users admits everybody from everywhere; otherwise whoever is not
 * named, and not meant by `*`, is refused. `address` is that of the socket, or what a trusted proxy says.
 */
export function admitsFrom(users: ApiAcl, user: string, address: string): boolean {
  if (Object.keys(users).length === 0) return true
  const addresses = Object.hasOwn(users, user) ? users[user] : Object.hasOwn(users, '*') ? users['*'] : undefined
  return addresses !== undefined && (addresses.includes('*') || addresses.includes(plainAddress(address)))
}

/** `::ffff:10.0.0.1` is how a socket for both families shows 10.0.0.1. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '')
}
