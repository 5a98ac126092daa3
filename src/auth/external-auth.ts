import { type Fault, fault, isMapping, kindOf, type Read } from '../config/setting.js'

/**
 * Salt's `external_auth`, checked and normalised: backend → user, `*` or `group%` → permissions. Who a permission applies to, and what it
 * permits, is decided in `permissions.ts`; here is its grammar, so that `brine config check` finds mistakes before anybody logs in.
 *
 *     external_auth:
 *       file:
 *         alice: ['.*', '@wheel', '@runner', '@jobs', '@events']
 *         ci:
 *           - 'web*': [test.ping, {state.apply: {args: [site], kwargs: {test: 'True'}}}]
 *           - '@runner': [jobs.list_jobs]
 *           - '@events': ['ci/*', {read: ['salt/job/*']}]
 *         'ops%': ['@jobs']
 *         '*': [test.ping]
 */
export type ExternalAuth = Readonly<Record<string, Readonly<Record<string, readonly Permission[]>>>>

export type Permission = {
  /** As it stands in the configuration: /login shows it. */
  readonly entry: unknown
} /** A function pattern (all minions), `@runner`, `@wheel`, `@jobs`, `@events` or `@<module>`. */ & (
  | { readonly kind: 'all'; readonly name: string }
  /** `{target: functions}` (compound target) or `{'@runner': functions}`. */
  | { readonly kind: 'functions'; readonly name: string; readonly functions: readonly FunctionRule[] }
  /** `{'@events': …}`: tag globs. */
  | { readonly kind: 'events'; readonly read: readonly string[]; readonly fire: readonly string[] }
)

export interface FunctionRule {
  readonly pattern: string
  /** One of these must hold; none: any arguments. */
  readonly conditions: readonly ArgumentCondition[]
}

export interface ArgumentCondition {
  /** By position; null: anything, as long as the argument is there. Further arguments are free, as in Salt. */
  readonly args: readonly (string | null)[]
  readonly kwargs: Readonly<Record<string, string | null>>
}

/** Salt's login backends. Those without a file under `backends/` load with a warning: their users cannot log in. */
const SALT_BACKENDS = ['auto', 'django', 'file', 'keystone', 'ldap', 'mysql', 'pam', 'pki', 'rest', 'sharedsecret', 'yubico']
/** Names that permissions may stand under. `token`: users without a password, for whom `brine token create` makes tokens. */
const BACKENDS = ['file', 'ldap', 'pam', 'sharedsecret', 'token'] as const

export function readExternalAuth(value: unknown): Read<ExternalAuth> {
  if (value === null) return { value: {} }
  if (!isMapping(value)) return fault(`must be a mapping of backends, not ${kindOf(value)}`, value)
  const faults: Fault[] = []
  const warnings: string[] = []
  const auth: Record<string, Record<string, Permission[]>> = {}
  for (const [backend, users] of Object.entries(value)) {
    const isOurs = (BACKENDS as readonly string[]).includes(backend)
    if (!isOurs && !SALT_BACKENDS.includes(backend)) {
      faults.push({ path: backend, text: `is no login backend; there are ${BACKENDS.join(', ')}`, value: backend })
    } else if (!isOurs) {
      warnings.push(`external_auth: the backend '${backend}' does not exist here; its users cannot log in`)
    } else {
      auth[backend] = readUsers(users, backend, faults)
    }
  }
  return faults.length > 0 ? { faults } : { value: auth, ...(warnings.length > 0 ? { warnings } : {}) }
}

/** The permissions as they stand in the configuration: backend → user → list. */
export function permissionEntries(auth: ExternalAuth): Record<string, Record<string, readonly unknown[]>> {
  const users = (of: Readonly<Record<string, readonly Permission[]>>) =>
    Object.fromEntries(Object.entries(of).map(([user, permissions]) => [user, permissions.map(each => each.entry)]))
  return Object.fromEntries(Object.entries(auth).map(([backend, of]) => [backend, users(of)]))
}

function readUsers(users: unknown, path: string, faults: Fault[]): Record<string, Permission[]> {
  if (users === null) return {}
  if (!isMapping(users)) {
    faults.push({ path, text: `must be a mapping of users, not ${kindOf(users)}`, value: users })
    return {}
  }
  return Object.fromEntries(
    Object.entries(users).map(([user, entries]) => {
      const at = `${path}.${user}`
      return [user, asList(entries).flatMap((entry, i) => readPermission(entry, `${at}[${i}]`, faults))]
    })
  )
}

function readPermission(entry: unknown, path: string, faults: Fault[]): Permission[] {
  if (typeof entry === 'string') {
    if (!entry.startsWith('@')) checkPattern(entry, path, faults)
    return [{ entry, kind: 'all', name: entry }]
  }
  const keys = isMapping(entry) ? Object.keys(entry) : []
  const name = keys[0]
  if (name === undefined || keys.length !== 1) {
    faults.push({ path, text: 'must be a function pattern or a mapping with one key', value: entry })
    return []
  }
  const inner = (entry as Record<string, unknown>)[name]
  const at = `${path}.${name}`
  if (name === '@events') return [{ entry, kind: 'events', ...readEvents(inner, at, faults) }]
  return [{ entry, kind: 'functions', name, functions: asList(inner).flatMap((rule, i) => readRule(rule, `${at}[${i}]`, faults)) }]
}

function readEvents(value: unknown, path: string, faults: Fault[]): { read: string[]; fire: string[] } {
  const read: string[] = []
  const fire: string[] = []
  const globs = (list: unknown, at: string) =>
    asList(list).flatMap((glob, i) => {
      if (typeof glob === 'string' && glob !== '') return [glob]
      faults.push({ path: `${at}[${i}]`, text: `must be a tag glob, not ${kindOf(glob)}`, value: glob })
      return []
    })
  for (const [i, item] of asList(value).entries()) {
    if (isMapping(item)) {
      for (const [right, list] of Object.entries(item)) {
        if (right === 'read') read.push(...globs(list, `${path}[${i}].read`))
        else if (right === 'fire') fire.push(...globs(list, `${path}[${i}].fire`))
        else faults.push({ path: `${path}[${i}].${right}`, text: 'must be read or fire', value: right })
      }
    } else {
      const both = globs(item, path)
      read.push(...both)
      fire.push(...both)
    }
  }
  return { read, fire }
}

/** `test.ping`, or `{test.echo: {args, kwargs}}`, or `{test.echo: [{args}, {args}]}`. */
function readRule(rule: unknown, path: string, faults: Fault[]): FunctionRule[] {
  if (typeof rule === 'string') {
    checkPattern(rule, path, faults)
    return [{ pattern: rule, conditions: [] }]
  }
  if (!isMapping(rule)) {
    faults.push({ path, text: `must be a function pattern or {function: {args, kwargs}}, not ${kindOf(rule)}`, value: rule })
    return []
  }
  return Object.entries(rule).map(([pattern, conditions]) => {
    checkPattern(pattern, path, faults)
    const at = `${path}.${pattern}`
    return { pattern, conditions: asList(conditions).flatMap((condition, i) => readCondition(condition, `${at}[${i}]`, faults)) }
  })
}

function readCondition(condition: unknown, path: string, faults: Fault[]): ArgumentCondition[] {
  const keys = isMapping(condition) ? Object.keys(condition) : ['?']
  if (!isMapping(condition) || keys.some(key => key !== 'args' && key !== 'kwargs')) {
    faults.push({ path, text: 'must have args and kwargs and nothing else', value: condition })
    return []
  }
  const pattern = (value: unknown, at: string): string | null => {
    if (value === null) return null
    const text = typeof value === 'boolean' ? (value ? 'True' : 'False') : String(value)
    if (typeof value === 'object') faults.push({ path: at, text: `must be a pattern or null, not ${kindOf(value)}`, value })
    else checkPattern(text, at, faults)
    return text
  }
  const kwargs = condition.kwargs ?? {}
  if (!isMapping(kwargs)) {
    faults.push({ path: `${path}.kwargs`, text: `must be a mapping, not ${kindOf(kwargs)}`, value: kwargs })
    return []
  }
  return [
    {
      args: asList(condition.args ?? []).map((value, i) => pattern(value, `${path}.args[${i}]`)),
      kwargs: Object.fromEntries(Object.entries(kwargs).map(([name, value]) => [name, pattern(value, `${path}.kwargs.${name}`)]))
    }
  ]
}

function checkPattern(pattern: string, path: string, faults: Fault[]): void {
  try {
    wholeName(pattern)
  } catch (error) {
    faults.push({ path, text: `is no regular expression (${(error as Error).message})`, value: pattern })
  }
}

function asList(value: unknown): readonly unknown[] {
  if (value === null || value === undefined) return []
  return Array.isArray(value) ? value : [value]
}

/**
 * The regular expression for a function pattern. Salt matches it from the start of the name only and takes the dot in `test.ping` as any
 * character; here it matches the whole name, and the dot behind a module's name is that dot: `test.*` is everything in the module test
 * (golden/api section 15, no. 29). Everything else in a pattern is a regular expression as it stands.
 */
export function wholeName(pattern: string): RegExp {
  return wholeText(separateModule(pattern))
}

function separateModule(pattern: string): string {
  return alternatives(pattern)
    .map(each => {
      const group = /^(\^?\((?:\?:)?)(.*)(\)\$?)$/s.exec(each)
      if (group && alternatives(each).length === 1 && balanced(group[2]!)) return group[1]! + separateModule(group[2]!) + group[3]!
      return each.replace(/^(\^?(?:\w+|\((?:\?:)?[\w|]+\)))\.(?=(.?))/s, (_, module: string, next: string) => {
        return `${module}\\.${/[*+?{]/.test(next) ? '.' : ''}`
      })
    })
    .join('|')
}

/** A regular expression that must match a text from end to end. Python's `(?i)` at its start is understood. */
export function wholeText(pattern: string): RegExp {
  const ignoreCase = pattern.startsWith('(?i)')
  return new RegExp(`^(?:${ignoreCase ? pattern.slice(4) : pattern})$`, ignoreCase ? 'is' : 's')
}

/** True when no parenthesis closes that was not opened before: `a)(b` is two groups, not the inside of one. */
function balanced(inside: string): boolean {
  let depth = 0
  for (const c of inside) {
    if (c === '(') depth++
    else if (c === ')' && --depth < 0) return false
  }
  return depth === 0
}

/** Splits at the `|` that stand outside of parentheses and brackets. */
function alternatives(pattern: string): string[] {
  const parts: string[] = []
  let depth = 0
  let inClass = false
  let start = 0
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]
    if (c === '\\') i++
    else if (inClass) inClass = c !== ']'
    else if (c === '[') inClass = true
    else if (c === '(') depth++
    else if (c === ')') depth--
    else if (c === '|' && depth === 0) {
      parts.push(pattern.slice(start, i))
      start = i + 1
    }
  }
  parts.push(pattern.slice(start))
  return parts
}
