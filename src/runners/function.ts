/**
 * What a runner or wheel function is: a name, a doc text, typed parameters and what it does. The lists of them are written out in
 * `index.ts` of both folders; everything that calls one (HTTP, reactor, CLI) goes through `bindArguments` here.
 */

import type { Authenticator } from '../auth/authenticator.js'
import type { Caller } from '../auth/caller.js'
import type { Config } from '../config/schema.js'
import type { Cause, Source } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import type { Jobs } from '../jobs/jobs.js'
import type { Keys } from '../keys/keys.js'
import type { MinionLink } from '../link/link.js'
import { pyStr } from '../minion/modules/python.js'
import type { Pillars } from '../pillar/pillars.js'
import type { Author, Rules } from '../reactor/rules.js'
import type { Clock } from '../shared/clock.js'
import type { Store } from '../store/store.js'

/** What the functions work with. Made once, in `app.ts`. */
export interface ServerContext {
  readonly config: Config
  readonly store: Store
  readonly events: EventLog
  readonly keys: Keys
  /** Compiled pillars; a server without pillar_roots has none. */
  readonly pillars?: Pillars
  readonly link: MinionLink
  readonly jobs: Jobs
  readonly clock: Clock
  /** Logins and tokens. */
  readonly auth?: Pick<Authenticator, 'login' | 'verify' | 'revoke'>
  /** What minions have put into the mine. */
  readonly mine?: MineStore
  /** The reactor, which is made after the commands that it uses. */
  readonly reactor?: ReactorControl
}

/** What runner functions ask of the mine. */
export interface MineStore {
  /** Function → value of one minion; empty when it has none. */
  all(minion: string): Promise<Readonly<Record<string, unknown>>>
  /** Minion → value of a function; of a list: function → minion → value. `asker` null: the server itself. */
  get(tgt: unknown, tgtType: string, fun: string | readonly string[], asker: null): Promise<Readonly<Record<string, unknown>>>
  /** Takes out one function, or all. */
  clear(minion: string, fun?: string): Promise<unknown>
}

/** What runner functions ask of the reactor. */
export interface ReactorControl {
  readonly rules: Pick<Rules, 'all' | 'create' | 'remove'>
  /** True while it only plans and does not act. */
  readonly paused?: boolean
  pause?(author: Author): unknown
  resume?(author: Author): unknown
}

/** One call of a function. */
export interface CallContext extends ServerContext {
  readonly jid: string
  readonly user: string
  readonly source: Source
  readonly cause: Cause | null
  /** Who called; what a function does beyond itself (firing a `salt/` event) is asked of it again. */
  readonly caller: Caller
  /** Aborted when the server stops. */
  readonly signal: AbortSignal
}

export interface Param<T> {
  /** True when the call must give it. */
  readonly required: boolean
  readonly fallback?: T
  /** Reads the given value; throws `ArgumentError` when it is of the wrong kind. */
  read(value: unknown): T
}

/** Arguments that do not fit a function; the text is Salt's (Python's) wording. */
export class ArgumentError extends Error {
  /** `signature`: missing or surplus arguments, as Python tells them. `keyword`: names that the function does not have. */
  constructor(
    readonly kind: 'signature' | 'keyword' | 'value',
    message: string
  ) {
    super(message)
    this.name = 'ArgumentError'
  }
}

type Params = Readonly<Record<string, Param<unknown>>>
type ArgumentsOf<P extends Params> = { readonly [K in keyof P]: P[K] extends Param<infer T> ? T : never }

/** What `*args` and `**kwargs` took. */
export interface Rest {
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
}

export interface ServerFunction {
  /** `family.name`, as callers write it. */
  readonly name: string
  /** What `doc.runner` and `doc.wheel` print. */
  readonly doc: string
  readonly params: Params
  /** The function takes any number of positional arguments after its own. */
  readonly takesArgs: boolean
  /** The function takes keyword arguments with any name. */
  readonly takesKwargs: boolean
  /** What an event may show of the return value; without it the value itself. For returns that hold secrets. */
  readonly redact?: (value: unknown) => unknown
  run(context: CallContext, args: Readonly<Record<string, unknown>>, rest: Rest): unknown
}

interface Definition<P extends Params> {
  readonly name: string
  readonly doc: string
  readonly params?: P
  readonly takesArgs?: boolean
  readonly takesKwargs?: boolean
  readonly redact?: (value: unknown) => unknown
  run(context: CallContext, args: ArgumentsOf<P>, rest: Rest): unknown
}

/** A function with the types of its parameters: `run` sees what each parameter's `read` gives. */
export function serverFunction<P extends Params>(definition: Definition<P>): ServerFunction {
  const { params, takesArgs = false, takesKwargs = false, run, ...rest } = definition
  return {
    ...rest,
    params: params ?? {},
    takesArgs,
    takesKwargs,
    // bindArguments made `args` with exactly these parameters' read functions
    run: (context, args, more) => run(context, args as ArgumentsOf<P>, more)
  }
}

function optional<T>(read: (value: unknown) => T, fallback: T): Param<T> {
  return { required: false, fallback, read }
}

/** The kinds of parameters. Each as it is must be given; with a fallback it may be left out. */
export const param = {
  any: (): Param<unknown> => ({ required: true, read: value => value }),
  anyOr: (fallback: unknown): Param<unknown> => optional(value => value, fallback),
  text: (): Param<string> => ({ required: true, read: readText }),
  textOr: <T extends string | null>(fallback: T): Param<string | T> =>
    optional<string | T>(value => (value === null ? fallback : readText(value)), fallback),
  flagOr: (fallback: boolean): Param<boolean> => optional(value => readFlag(value), fallback),
  numberOr: <T extends number | null>(fallback: T): Param<number | T> =>
    optional<number | T>(value => (value === null ? fallback : readNumber(value)), fallback),
  /** A list of texts; a text is split at commas, as Salt's `split_input` does. */
  texts: (): Param<string[]> => ({ required: true, read: readTexts }),
  textsOr: <T extends string[] | null>(fallback: T): Param<string[] | T> =>
    optional<string[] | T>(value => (value === null ? fallback : readTexts(value)), fallback)
}

function readText(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  throw new ArgumentError('value', `expected text, not ${kindOf(value)}`)
}

function readFlag(value: unknown): boolean {
  if (value === null || value === 0 || value === '') return false
  if (typeof value === 'boolean' || value === 1) return Boolean(value)
  if (typeof value === 'string') {
    if (/^(true|yes|on|1)$/i.test(value)) return true
    if (/^(false|no|off|0|none)$/i.test(value)) return false
  }
  throw new ArgumentError('value', `expected true or false, not ${kindOf(value)}`)
}

function readNumber(value: unknown): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof number === 'number' && Number.isFinite(number)) return number
  throw new ArgumentError('value', `expected a number, not ${kindOf(value)}`)
}

function readTexts(value: unknown): string[] {
  if (Array.isArray(value)) return value.map(readText)
  return readText(value)
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '')
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value)
    ? 'a list'
    : typeof value === 'object'
      ? 'a mapping'
      : typeof value === 'string'
        ? `'${value.slice(0, 40)}'`
        : typeof value
}

/**
 * Assigns positional and keyword arguments to a function's parameters, as Python does.
 * @throws ArgumentError with Python's text for what is missing, surplus or unknown
 */
export function bindArguments(
  fn: ServerFunction,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>
): { readonly args: Record<string, unknown>; readonly rest: Rest } {
  const names = Object.keys(fn.params)
  const title = `${fn.name.slice(fn.name.lastIndexOf('.') + 1)}()`
  const unknown = Object.entries(kwargs).filter(([name]) => !Object.hasOwn(fn.params, name))
  if (unknown.length > 0 && !fn.takesKwargs) {
    const shown = unknown.map(([name, value]) => `${name}=${pyStr(value)}`)
    throw new ArgumentError('keyword', `The following keyword arguments are not valid: ${shown.join(', ')}`)
  }
  if (args.length > names.length && !fn.takesArgs) throw new ArgumentError('signature', surplus(fn, title, args.length))
  const given = new Map(names.map((name, at) => [name, args[at]] as const).slice(0, args.length))
  const twice = names.find(name => given.has(name) && Object.hasOwn(kwargs, name))
  if (twice !== undefined) throw new ArgumentError('signature', `${title} got multiple values for argument '${twice}'`)
  for (const name of names) if (Object.hasOwn(kwargs, name)) given.set(name, kwargs[name])
  const missing = names.filter(name => fn.params[name]!.required && !given.has(name))
  if (missing.length > 0) throw new ArgumentError('signature', `${title} missing ${missingText(missing)}`)
  return {
    args: Object.fromEntries(names.map(name => [name, readArgument(name, fn.params[name]!, given)])),
    rest: { args: args.slice(names.length), kwargs: Object.fromEntries(unknown) }
  }
}

function readArgument(name: string, parameter: Param<unknown>, given: ReadonlyMap<string, unknown>): unknown {
  if (!given.has(name)) return parameter.fallback
  try {
    return parameter.read(given.get(name))
  } catch (error) {
    if (error instanceof ArgumentError) throw new ArgumentError('value', `argument '${name}': ${error.message}`)
    throw error
  }
}

function surplus(fn: ServerFunction, title: string, given: number): string {
  const all = Object.values(fn.params)
  const required = all.filter(parameter => parameter.required).length
  const takes = required === all.length ? `${all.length}` : `from ${required} to ${all.length}`
  const plural = takes === '1' ? '' : 's'
  return `${title} takes ${takes} positional argument${plural} but ${given} ${given === 1 ? 'was' : 'were'} given`
}

function missingText(names: readonly string[]): string {
  const quoted = names.map(name => `'${name}'`)
  const last = quoted.pop()!
  const list = quoted.length === 0 ? last : `${quoted.join(', ')}${quoted.length > 1 ? ',' : ''} and ${last}`
  return `${names.length} required positional argument${names.length === 1 ? '' : 's'}: ${list}`
}
