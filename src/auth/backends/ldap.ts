/**
 * Salt's `ldap`: passwords and groups of a directory (Salt's documentation of `salt.auth.ldap`; the settings `auth.ldap.*` have its names).
 *
 * - With binddn and bindpw a search finds the user's entry, which must be one, and the password is tried on it. Without them the user binds
 *   as `binddn`, in which `{{ username }}` stands for the name.
 * - Groups are entries of class groupclass with the user in accountattributename, and what stands in the user's own groupattribute.
 *
 * What a user types reaches the directory as a value, never as filter or name syntax.
 */
import { readFileSync } from 'node:fs'
import { AndFilter, Client, type Entry, EqualityFilter, type Filter, FilterParser, InvalidCredentialsError, OrFilter } from 'ldapts'
import { type Account, type Backend, type LoggedIn, MAX_GROUPS, ONLY_AT_LOGIN } from './backend.js'
import type { LdapSettings } from './ldap-settings.js'

/** Scopes by Salt's (python-ldap's) numbers. */
const SCOPES = ['base', 'one', 'sub'] as const
/** Entries that a search for one user may give: two are enough to know that it is not one. */
const ENOUGH = 2

export class LdapBackend implements Backend {
  readonly remote = true
  readonly #settings: LdapSettings

  constructor(settings: LdapSettings) {
    this.#settings = settings
  }

  /** @throws what the directory or the way to it says, when it could not be asked */
  async login(user: string, password: string): Promise<LoggedIn | null> {
    // a bind without a password succeeds on many directories, as nobody
    if (user === '' || password === '') return null
    const client = this.#client()
    try {
      if (this.#settings.starttls) await client.startTLS(this.#tls())
      const dn = await this.#bind(client, user, password)
      return dn === null ? null : { groups: await this.#groups(client, user, dn) }
    } finally {
      await client.unbind().catch(() => {})
    }
  }

  account(): Account {
    return ONLY_AT_LOGIN
  }

  onChange(): () => void {
    return () => {}
  }

  #client(): Client {
    const { uri, tls, server, port, timeout } = this.#settings
    const url = uri ?? `${tls ? 'ldaps' : 'ldap'}://${server.includes(':') ? `[${server}]` : server}:${port}`
    // the library takes these alone as the wish for TLS
    const secure = url.startsWith('ldaps:') ? { tlsOptions: this.#tls() } : {}
    return new Client({ url, timeout: timeout * 1000, connectTimeout: timeout * 1000, strictDN: false, ...secure })
  }

  #tls() {
    const { no_verify, cafile } = this.#settings
    return { rejectUnauthorized: !no_verify, ...(cafile === null ? {} : { ca: readFileSync(cafile) }) }
  }

  /** The user's name in the directory when the password is right, else null. The client is bound as one who may look for groups then. */
  async #bind(client: Client, user: string, password: string): Promise<string | null> {
    const { binddn, bindpw, activedirectory, anonymous } = this.#settings
    if (bindpw === null && !anonymous && binddn !== null) {
      const dn = binddn.replace(USERNAME, () => escapedName(user))
      return (await tried(client, dn, password)) ? dn : null
    }
    if (!anonymous && binddn !== null)
      await client.bind(
        binddn.replace(USERNAME, () => escapedName(user)),
        bindpw ?? ''
      )
    const dn = await this.#find(client, user)
    if (dn === null || !(await tried(client, dn, password))) return null
    // Active Directory lets users read groups; elsewhere whoever found the user also finds them.
    if (!activedirectory && !anonymous && binddn !== null) await client.bind(binddn, bindpw ?? '')
    return dn
  }

  async #find(client: Client, user: string): Promise<string | null> {
    const { basedn, filter, scope } = this.#settings
    const { searchEntries } = await client.search(basedn, {
      scope: SCOPES[scope] ?? 'sub',
      filter: userFilter(filter, user),
      attributes: ['1.1'],
      sizeLimit: ENOUGH
    })
    return searchEntries.length === 1 ? searchEntries[0]!.dn : null
  }

  async #groups(client: Client, user: string, dn: string): Promise<string[]> {
    const { basedn, group_basedn, groupou, groupattribute } = this.#settings
    const base = group_basedn ?? (groupou === null || groupou === '' ? basedn : `ou=${groupou},${basedn}`)
    const [found, own] = await Promise.all([
      this.#search(client, base, this.#groupFilter(user, dn), ['cn'], 'sub'),
      this.#search(client, dn, null, [groupattribute], 'base')
    ])
    const named = found.flatMap(entry => [...textsOf(entry, 'cn'), firstOf(entry.dn)])
    const told = own.flatMap(entry => textsOf(entry, groupattribute).map(firstOf))
    return [...new Set([...named, ...told])].filter(name => name !== '').slice(0, MAX_GROUPS)
  }

  /** Entries below a name that may not exist. */
  async #search(client: Client, base: string, filter: Filter | null, attributes: string[], scope: 'base' | 'sub'): Promise<Entry[]> {
    try {
      const options = { scope, attributes, sizeLimit: MAX_GROUPS, ...(filter === null ? {} : { filter }) }
      return (await client.search(base, options)).searchEntries
    } catch (error) {
      if (isAbsent(error)) return []
      throw error
    }
  }

  /** Groups that name the user by account name, or by the name in the directory where the attribute holds such. */
  #groupFilter(user: string, dn: string): Filter {
    const { activedirectory, accountattributename, groupclass, group_filter } = this.#settings
    if (group_filter !== null) return userFilter(group_filter, user)
    if (activedirectory) return and(equals('member', dn), equals('objectClass', 'group'))
    const isName = /^(unique)?member$/i.test(accountattributename)
    const names = isName ? [dn] : [user]
    return and(new OrFilter({ filters: names.map(name => equals(accountattributename, name)) }), equals('objectClass', groupclass))
  }
}

/** Right: true; wrong: false. What else goes wrong is thrown. */
async function tried(client: Client, dn: string, password: string): Promise<boolean> {
  try {
    await client.bind(dn, password)
    return true
  } catch (error) {
    if (error instanceof InvalidCredentialsError || isAbsent(error) || isRefusedName(error)) return false
    throw error
  }
}

/** LDAP result 32, noSuchObject. */
function isAbsent(error: unknown): boolean {
  return (error as { code?: unknown }).code === 32
}

/** LDAP results 34 and 53: a name made of what was typed that is none, an account that may not bind. */
function isRefusedName(error: unknown): boolean {
  return [34, 53].includes(Number((error as { code?: unknown }).code))
}

const USERNAME = /\{\{\s*username\s*\}\}/g

/** The configured filter with the name in it as a value (RFC 4515, section 3). */
function userFilter(template: string, user: string): Filter {
  const escaped = user.replace(/[\\*()\0]/g, c => `\\${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
  const text = template.replace(USERNAME, () => escaped)
  return FilterParser.parseString(text.startsWith('(') ? text : `(${text})`)
}

/** A name as the value of a part of a distinguished name (RFC 4514, section 2.4). */
function escapedName(user: string): string {
  return user.replace(/[\\,+"<>;=#\0]/g, c => `\\${c.charCodeAt(0).toString(16).padStart(2, '0')}`).replace(/^ | $/g, '\\20')
}

function equals(attribute: string, value: string): Filter {
  return new EqualityFilter({ attribute, value })
}

function and(...filters: Filter[]): Filter {
  return new AndFilter({ filters })
}

/** The values of an attribute, whatever the case of its name. */
function textsOf(entry: Entry, attribute: string): string[] {
  const key = Object.keys(entry).find(each => each.toLowerCase() === attribute.toLowerCase())
  return key === undefined ? [] : [entry[key]!].flat().map(String)
}

/** `cn=ops,ou=groups,dc=example` → `ops`. */
function firstOf(dn: string): string {
  const match = /^[^=]+=((?:\\.|[^\\,])*)/.exec(dn)
  return (match?.[1] ?? '').replace(/\\([0-9a-f]{2}|.)/gi, (_, c: string) =>
    c.length === 2 ? String.fromCharCode(Number.parseInt(c, 16)) : c
  )
}
