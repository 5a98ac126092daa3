/** What a state module is, and the data that a state run works on. */
import type { ModuleContext } from '../context.js'
import { parseSignature, type Signature } from '../modules/module.js'
import type { Mapping } from '../modules/values.js'

/** One state to run, as the compiler makes it: `state.show_low_sls` shows these. Keys beside the named ones are the state's own arguments. */
export interface Low extends Mapping {
  readonly state: string
  readonly fun: string
  readonly name: string
  readonly __id__: string
  readonly __sls__: string | null
  readonly __env__: string
  readonly order: number
}

/** What a state function answers: the keys, in this order, that clients see. */
export interface StateResult extends Mapping {
  name: string
  changes: Mapping
  /** null: in test mode, something would change. */
  result: boolean | null
  comment: string
}

/** A result with what the run adds: `__sls__`, `__run_num__`, `start_time`, `duration`, `__id__`. */
export type RunResult = StateResult & { __run_num__: number }

/** Requisites of a state by their kind, resolved to states. */
export type Requisites = Readonly<Record<string, readonly Low[]>>

export interface StateContext extends ModuleContext {
  /** Only predict. */
  readonly test: boolean
  readonly saltenv: string
  readonly low: Low
  /** Set while `watch` reacts: the states that are watched, those with changes first. */
  readonly requisites: Requisites
  /** Results of the states that have run, by tag. */
  readonly results: ReadonlyMap<string, RunResult>
  /** What file.accumulated has gathered in this run: file → name → texts. */
  readonly accumulators: Map<string, Map<string, Accumulator>>
}

export interface Accumulator {
  readonly texts: unknown[]
  /** Ids or names of the states that it is for. */
  readonly targets: Set<string>
}

export interface StateFunction extends Signature {
  readonly name: string
  readonly doc: string
  run(ctx: StateContext, args: Mapping): StateResult | Promise<StateResult>
}

export interface StateModule {
  readonly name: string
  readonly functions: readonly StateFunction[]
  /** What a change of a watched state causes. Absent: `watch` means `require`. */
  readonly watch?: StateFunction
}

/** One state function; the signature is written as in Salt's documentation. */
export function stateFn(signature: string, doc: string, run: StateFunction['run']): StateFunction {
  const parsed = parseSignature(signature)
  return { ...parsed, name: parsed.pythonName.replace(/_$/, ''), doc, run }
}

/** Calls a state function from another one: what is not given has its default. */
export async function callDirectly(entry: StateFunction, ctx: StateContext, given: Mapping): Promise<StateResult> {
  const args: Mapping = {}
  for (const param of entry.params) args[param.name] = given[param.name] ?? param.default ?? null
  if (entry.kwargs !== undefined) {
    const named = new Set(entry.params.map(param => param.name))
    args[entry.kwargs] = Object.fromEntries(Object.entries(given).filter(([key]) => !named.has(key)))
  }
  return entry.run(ctx, args)
}

/** The key of a state in results: `<state>_|-<id>_|-<name>_|-<function>`. */
export function tagOf(low: Pick<Low, 'state' | '__id__' | 'name' | 'fun'>): string {
  return `${low.state}_|-${low.__id__}_|-${low.name}_|-${low.fun}`
}

/** Kinds of requisites. `_any`: one of the list is enough. */
export const REQUISITES = [
  ...['require', 'require_any', 'watch', 'watch_any', 'prereq', 'onfail', 'onfail_any', 'onfail_all', 'onchanges', 'onchanges_any'],
  'prerequired'
] as const

export type Requisite = (typeof REQUISITES)[number]

/** Requisites that a state puts into others. */
export const REQUISITES_IN: readonly string[] = [
  ...['require_in', 'require_any_in', 'watch_in', 'watch_any_in', 'prereq_in', 'onfail_in', 'onfail_any_in', 'onfail_all_in'],
  ...['onchanges_in', 'onchanges_any_in', 'listen_in', 'use_in']
]

/** Arguments of the state system itself: they do not reach state functions with `**kwargs`. */
export const INTERNAL_KEYWORDS: ReadonlySet<string> = new Set([
  ...REQUISITES,
  ...REQUISITES_IN,
  ...[
    'listen',
    'use',
    'fun',
    'state',
    'check_cmd',
    'cmd_opts_exclude',
    'failhard',
    'onlyif',
    'unless',
    'creates',
    'retry',
    'order',
    'parallel',
    'prereq',
    'name_order'
  ],
  ...['reload_modules', 'reload_grains', 'reload_pillar', 'runas', 'runas_password', 'fire_event', 'saltenv', 'test', 'umask', 'aggregate'],
  ...['__run_name', '__env__', '__sls__', '__id__', '__orchestration_jid__']
])
