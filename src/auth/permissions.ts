import { isBrineError } from '../errors.js'
import type { Source } from '../events/event.js'
import type { TagFilter } from '../store/store.js'
import { compileGlob } from '../tags/glob.js'
import type { Action, Caller } from './caller.js'
import { type ExternalAuth, type FunctionRule, type Permission, wholeName, wholeText } from './external-auth.js'

/**
 * Who may do what, from Salt's `external_auth`. Everything that is not permitted here is refused: `Caller.may` is the one authorisation
 * function, and `Caller.readable` says which tags a caller may see, live and in history.
 *
 * - Functions: a pattern matches the whole name; `test.*` is everything in the module test. Each function of a compound call is asked about
 *   on its own.
 * - `{target: functions}`: permitted when the minions that the request means are among those that the permitted target (compound) means.
 * - `saltutil.find_job` alone needs no entry of its own, for users who may run something on those minions: clients poll with it.
 * - Runners and wheel functions: `@runner`, `@wheel`, `@<module>` (`@jobs` is `jobs.*`), whole or with a list of functions.
 * - Tags: `@events` reads and fires all, `{'@events': […]}` what its globs say. `@jobs` reads the events of jobs, `@runner` and `@wheel` those of
 *   their functions, `@wheel` and `@key` those of keys. Tags under `salt/` are fired by the server alone, except that every user with some
 *   permission may post hooks (`salt/netapi/hook/…`), as in Salt.
 */

/** The eauth of tokens that the server itself issues to its administrator. No backend has this name, so nobody can log in as it. */
export const ADMIN_EAUTH = 'admin'

const HOOK_PREFIX = 'salt/netapi/hook'
const JOB_TAGS = ['salt/job/*', '[0-9]'.repeat(20)]

export interface Identity {
  readonly user: string
  readonly eauth: string
  readonly groups?: readonly string[]
  readonly jti: string | null
  readonly expiresUs: number
  readonly scope?: 'full' | 'stream'
}

/** Ids of the minions that a target means now, among those whose key is accepted. Throws TARGET_SYNTAX or TARGET_TYPE. */
export type MinionsMatching = (tgt: unknown, tgtType: string) => readonly string[]

type LocalAction = Extract<Action, { kind: 'local' }>
type ServerAction = Extract<Action, { kind: 'runner' | 'wheel' }>

/** A user's caller, with the permissions that the configuration gives to user, groups and `*` of that backend. */
export function callerFor(identity: Identity, externalAuth: ExternalAuth, minionsMatching: MinionsMatching): Caller {
  const { user, eauth, groups = [], jti, expiresUs, scope = 'full' } = identity
  const permissions = eauth === ADMIN_EAUTH ? EVERYTHING : (permissionsOf(user, groups, externalAuth[eauth] ?? {}) ?? [])
  const rights = new Rights(permissions, minionsMatching)
  return {
    user,
    eauth,
    jti,
    expiresUs,
    scope,
    kind: 'user',
    source: `user:${user}`,
    perms: shownPermissions(permissions),
    readable: readableTags(permissions),
    may: action => (scope === 'full' ? rights.permit(action) : action.kind === 'read' && rights.permit(action))
  }
}

/** Salt's order: entries whose name is the user's (or a glob that matches it), the user's groups, and `*` where no name matched. Null: no entry. */
export function permissionsOf(
  user: string,
  groups: readonly string[],
  users: Readonly<Record<string, readonly Permission[]>>
): readonly Permission[] | null {
  const named: Permission[][] = []
  const grouped: Permission[][] = []
  for (const [name, permissions] of Object.entries(users)) {
    if (name.endsWith('%')) {
      if (groups.includes(name.slice(0, -1))) grouped.push([...permissions])
    } else if (name !== '*' && (name === user || compileGlob(name)(user))) named.push([...permissions])
  }
  if (named.length === 0 && Object.hasOwn(users, '*')) named.push([...users['*']!])
  return named.length + grouped.length === 0 ? null : [...named, ...grouped].flat()
}

/** The reactor: calls in its name are checked when its rules are written, not when they run. */
export const REACTOR: Caller = unlimited('Reactor', 'reactor', 'reactor')

/** Whoever posts to a webhook that needs no token (`webhook_disable_auth`): fires hook events, and nothing else. */
export const WEBHOOK: Caller = {
  ...unlimited('webhook', 'server', 'server'),
  kind: 'user',
  source: 'user:webhook',
  readable: null,
  may: action => action.kind === 'fire' && (action.tag === HOOK_PREFIX || action.tag.startsWith(`${HOOK_PREFIX}/`))
}

function unlimited(user: string, kind: 'reactor' | 'server', source: Source): Caller {
  const never = { jti: null, expiresUs: Number.POSITIVE_INFINITY, scope: 'full' } as const
  return { user, kind, source, eauth: '', ...never, perms: [], readable: {}, may: () => true }
}

/**
 * A minion. It speaks as itself alone: it fires tags outside of `salt/`, and those under `salt/` that name it. It runs nothing and reads no
 * events. The event of a return is the server's: it comes from a return that was recorded, once, and never from the minion's word alone.
 */
export function minionCaller(id: string, token: { jti: string | null; expiresUs: number }): Caller {
  return new MinionCaller(id, token)
}

/** A server holds ten thousand of them: what they have in common is not in each. */
class MinionCaller implements Caller {
  readonly user: string
  readonly jti: string | null
  readonly expiresUs: number

  constructor(id: string, token: { jti: string | null; expiresUs: number }) {
    this.user = id
    this.jti = token.jti
    this.expiresUs = token.expiresUs
  }

  get source(): Caller['source'] {
    return `minion:${this.user}`
  }
  get kind(): 'minion' {
    return 'minion'
  }
  get eauth(): string {
    return ''
  }
  get scope(): 'full' {
    return 'full'
  }
  get perms(): readonly unknown[] {
    return []
  }
  get readable(): null {
    return null
  }

  may(action: Action): boolean {
    return action.kind === 'fire' && (!isServerTag(action.tag) || isOwnTag(action.tag, this.user))
  }
}

/** Tags below these name a minion next. */
const OWN_ABOVE = /^salt\/(?:beacon|minion)\//
/** These may also end with it. */
const OWN_ABOVE_OR_END = /^salt\/(?:job\/\d{20}\/(?:prog|sub)|state_result\/\d{20})\//

function isOwnTag(tag: string, id: string): boolean {
  const above = OWN_ABOVE.exec(tag)
  if (above) return tag.startsWith(`${id}/`, above[0].length)
  const before = OWN_ABOVE_OR_END.exec(tag)
  if (!before) return false
  return tag.length === before[0].length + id.length ? tag.endsWith(id) : tag.startsWith(`${id}/`, before[0].length)
}

/** Tags that belong to the server and to the minion named in them. */
function isServerTag(tag: string): boolean {
  return tag === 'salt' || tag.startsWith('salt/')
}

class Rights {
  readonly #all: readonly Permission[]
  readonly #everywhere: readonly RegExp[]
  readonly #targets: readonly { readonly target: string; readonly rules: readonly CompiledRule[] }[]
  readonly #fire: readonly ((tag: string) => boolean)[]
  readonly #special: readonly { readonly name: string; readonly rules: readonly CompiledRule[] | null }[]
  readonly #minionsMatching: MinionsMatching

  constructor(permissions: readonly Permission[], minionsMatching: MinionsMatching) {
    this.#all = permissions
    this.#minionsMatching = minionsMatching
    this.#everywhere = permissions.flatMap(each => (each.kind === 'all' && !each.name.startsWith('@') ? [wholeName(each.name)] : []))
    this.#targets = permissions.flatMap(each =>
      each.kind === 'functions' && !each.name.startsWith('@') ? [{ target: each.name, rules: each.functions.map(compileRule) }] : []
    )
    this.#special = permissions.flatMap(each => {
      if (each.kind === 'events' || !each.name.startsWith('@')) return []
      return [{ name: each.name.slice(1), rules: each.kind === 'all' ? null : each.functions.map(compileRule) }]
    })
    this.#fire = permissions.flatMap(each =>
      each.kind === 'events' ? each.fire.map(compileGlob) : isWhole(each, '@events') ? [() => true] : []
    )
  }

  permit(action: Action): boolean {
    switch (action.kind) {
      case 'local':
        return this.#mayRun(action)
      case 'runner':
      case 'wheel':
        return this.#mayCall(action)
      case 'jobs':
        return this.#mayCall({ kind: 'runner', fun: 'jobs.list_jobs', args: [], kwargs: {} })
      case 'fire':
        return this.#mayFire(action.tag)
      case 'read':
        return readableTags(this.#all) !== null
      case 'rules':
        return this.#mayCall({ kind: 'wheel', fun: action.write ? 'reactor.write' : 'reactor.list', args: [], kwargs: {} })
    }
  }

  #mayRun(action: LocalAction): boolean {
    if (this.#everywhere.some(pattern => pattern.test(action.fun))) return true
    if (action.fun === 'saltutil.find_job') return this.#mayPoll(action)
    return this.#targets.some(
      ({ target, rules }) => rules.some(rule => permits(rule, action.fun, action.args, action.kwargs)) && this.#within(action, [target])
    )
  }

  /** Asking after a job tells which minions exist, so it is for those who may run something there. */
  #mayPoll(action: LocalAction): boolean {
    if (this.#everywhere.length > 0) return true
    const targets = this.#targets.filter(({ rules }) => rules.length > 0).map(({ target }) => target)
    return targets.length > 0 && this.#within(action, targets)
  }

  /** True when every minion that the request means now is meant by one of the permitted targets. */
  #within(action: LocalAction, permitted: readonly string[]): boolean {
    const allowed = new Set(permitted.flatMap(target => this.#minionsOf(target)))
    return this.#minionsMatching(action.tgt, action.tgtType).every(id => allowed.has(id))
  }

  /** A permitted target that does not parse permits nobody; `brine config check` names it. */
  #minionsOf(target: string): readonly string[] {
    try {
      return this.#minionsMatching(target, 'compound')
    } catch (error) {
      if (isBrineError(error)) return []
      throw error
    }
  }

  #mayCall({ kind, fun, args, kwargs }: ServerAction): boolean {
    const [module, name, ...rest] = fun.split('.')
    const isName = Boolean(module && name) && rest.length === 0
    return this.#special.some(special => {
      const isKind = special.name === kind || special.name === `${kind}s`
      // What is no function is told so to those who may call them all.
      if (!isName) return isKind && special.rules === null
      if (!isKind && special.name !== module) return false
      return special.rules === null || special.rules.some(rule => permits(rule, isKind ? fun : name!, args, kwargs))
    })
  }

  #mayFire(tag: string): boolean {
    if (tag === HOOK_PREFIX || tag.startsWith(`${HOOK_PREFIX}/`)) return this.#all.length > 0
    return !isServerTag(tag) && this.#fire.some(matches => matches(tag))
  }
}

interface CompiledRule {
  readonly pattern: RegExp
  readonly conditions: readonly {
    readonly args: readonly (RegExp | null)[]
    readonly kwargs: readonly (readonly [string, RegExp | null])[]
  }[]
}

function compileRule({ pattern, conditions }: FunctionRule): CompiledRule {
  const compile = (text: string | null) => (text === null ? null : wholeText(text))
  return {
    pattern: wholeName(pattern),
    conditions: conditions.map(({ args, kwargs }) => ({
      args: args.map(compile),
      kwargs: Object.entries(kwargs).map(([name, text]) => [name, compile(text)] as const)
    }))
  }
}

/**
 * True when the function is meant and one of the conditions holds: every argument that it speaks of is there and matches from end to end;
 * arguments that it does not speak of are free, as in Salt.
 */
function permits(rule: CompiledRule, fun: string, args: readonly unknown[], kwargs: Readonly<Record<string, unknown>>): boolean {
  if (!rule.pattern.test(fun)) return false
  if (rule.conditions.length === 0) return true
  return rule.conditions.some(
    condition =>
      condition.args.every((pattern, i) => i < args.length && matchesValue(pattern, args[i])) &&
      condition.kwargs.every(([name, pattern]) => Object.hasOwn(kwargs, name) && matchesValue(pattern, kwargs[name]))
  )
}

function matchesValue(pattern: RegExp | null, value: unknown): boolean {
  return pattern === null || pattern.test(pythonText(value))
}

/** A value as Python's `str()` writes the simple ones; what is inside of lists and mappings as JSON. */
function pythonText(value: unknown): string {
  if (typeof value === 'string') return value
  if (value === null || value === undefined) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** The tags that these permissions let a user read; null: none. */
function readableTags(permissions: readonly Permission[]): TagFilter | null {
  const tags: string[] = []
  for (const each of permissions) {
    if (isWhole(each, '@events')) return {}
    if (each.kind === 'events') tags.push(...each.read)
    else if (each.kind === 'all') tags.push(...(TAGS_OF[each.name] ?? []))
  }
  return tags.length === 0 ? null : { allowed: [...new Set(tags)].sort() }
}

const KEY_TAGS = ['salt/auth', 'salt/key']
const TAGS_OF: Readonly<Record<string, readonly string[]>> = {
  '@jobs': JOB_TAGS,
  '@runner': ['salt/run/*'],
  '@runners': ['salt/run/*'],
  '@wheel': ['salt/wheel/*', ...KEY_TAGS],
  '@wheels': ['salt/wheel/*', ...KEY_TAGS],
  '@key': KEY_TAGS
}

function isWhole(permission: Permission, name: string): boolean {
  return permission.kind === 'all' && permission.name === name
}

/** What the server's own administrator may do, in Salt's words. */
const EVERYTHING: readonly Permission[] = ['.*', '@wheel', '@runner', '@jobs', '@events'].map(name => ({
  entry: name,
  kind: 'all',
  name
}))

/** `perms` as /login shows them (golden/api/config.json, cfg-acl-star): the texts first, sorted, each once; then the mappings, by their key. */
function shownPermissions(permissions: readonly Permission[]): readonly unknown[] {
  const texts = permissions.flatMap(each => (each.kind === 'all' ? [each.name] : []))
  const mappings = permissions.flatMap(each => (each.kind === 'all' ? [] : [each.entry]))
  const keyOf = (mapping: unknown) => Object.keys(mapping as object)[0] ?? ''
  return [...[...new Set(texts)].sort(), ...mappings.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : 0))]
}

/** True when every tag that `pattern` matches is let through by one of the permitted globs. Cautious: what it cannot tell is no. */
export function coversPattern(permitted: TagFilter | null, pattern: string): boolean {
  if (permitted === null) return false
  if (permitted.allowed === undefined) return true
  return permitted.allowed.some(glob => {
    if (glob === pattern || glob === '*') return true
    if (!/[*?[]/.test(pattern)) return compileGlob(glob)(pattern)
    const prefix = glob.slice(0, -1)
    return glob.endsWith('*') && !/[*?[]/.test(prefix) && pattern.startsWith(prefix)
  })
}
