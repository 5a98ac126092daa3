import type { Config } from '../../config/schema.js'

/** The settings `auth.ldap.*`, by what stands behind the last dot. */
export type LdapSettings = {
  readonly [K in keyof Config as K extends `auth.ldap.${infer Name}` ? Name : never]: Config[K]
}

export function ldapSettings(config: Partial<Config>): LdapSettings {
  const prefix = 'auth.ldap.'
  const entries = Object.entries(config).filter(([name]) => name.startsWith(prefix))
  return Object.fromEntries(entries.map(([name, value]) => [name.slice(prefix.length), value])) as unknown as LdapSettings
}
