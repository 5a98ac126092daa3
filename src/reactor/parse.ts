/**
 * From what an SLS rendered to ("high data": ids → functions → lists of arguments) to chunks in Salt's order and the calls that they mean.
 * Rules and order are Salt's (golden/reactor.json); a mistake concerns the file or the reaction it is in, never the others.
 */

import { isJid } from '../jobs/jid.js'
import { WholeFloat } from '../shared/numbers.js'
import { setOwn } from '../shared/yaml.js'
import { compareCodePoints } from '../shared/yaml-emit.js'

/** What a document rendered to, and where it came from. */
export interface HighDocument {
  readonly file: string
  /** As `renderSls` gives it: Map, arrays and scalars. */
  readonly high: unknown
}

/** One reaction before it is a call: what stands in the SLS, flattened. */
export interface Chunk {
  /** The reaction type as it is called: `cmd` is `local`. */
  readonly state: string
  readonly fun: string
  readonly name: unknown
  readonly order: number
  readonly __id__: string
  readonly __sls__: string
  readonly [key: string]: unknown
}

export type ReactionErrorKind =
  | 'not_a_mapping_of_reactions'
  | 'invalid_high_data'
  | 'compile_exception'
  | 'unknown_type'
  | 'invocation'
  | 'bad_args_format'
  | 'unknown_function'
  | 'ignored_parameter'

/** A mistake in a file (no section) or in one reaction. `ignored_parameter` is a warning: the reaction runs. */
export interface ReactionError {
  readonly kind: ReactionErrorKind
  readonly message: string
  readonly file: string
  readonly section: string | null
  /** Of the reaction that it concerns. */
  readonly client?: string
  readonly fun?: string
  readonly order?: number
}

/** What a reaction asks for. Values are plain; integers beyond 2^53 are bigint. */
export interface ReactionCallPlan {
  readonly client: 'local' | 'runner' | 'wheel' | 'caller'
  readonly fun: string
  readonly section: string
  readonly file: string
  readonly order: number
  /** A text stands for its characters, as in Salt. */
  readonly arg: readonly unknown[] | string
  readonly kwarg: Readonly<Record<string, unknown>>
  readonly tgt?: unknown
  readonly tgt_type?: string
  readonly ret?: unknown
  /** local: further options for the client (`timeout`, `metadata` …). */
  readonly other?: Readonly<Record<string, unknown>>
  /** runner, wheel, caller: keys without effect. */
  readonly ignored?: Readonly<Record<string, unknown>>
}

export interface ParsedReactions {
  readonly chunks: readonly Chunk[]
  readonly calls: readonly ReactionCallPlan[]
  readonly errors: readonly ReactionError[]
}

/** The parameters of a runner or wheel function, for reactions that name them directly (the old form). */
export interface Signature {
  readonly required: readonly string[]
  /** Parameter → default. */
  readonly optional: Readonly<Record<string, unknown>>
  readonly takesArgs: boolean
  readonly takesKwargs: boolean
}

export type SignatureOf = (client: 'runner' | 'wheel', fun: string) => Signature | null

/** Parses one rendered SLS. `signatureOf` is asked about functions whose parameters are written directly. */
export function parseReactions(high: unknown, file: string, signatureOf: SignatureOf = () => null): ParsedReactions {
  return parseDocuments([{ file, high }], signatureOf)
}

/** Parses the documents of one event together: of equal ids the last one counts, wherever it stands. */
export function parseDocuments(documents: readonly HighDocument[], signatureOf: SignatureOf = () => null): ParsedReactions {
  const errors: ReactionError[] = []
  const sections = new Map<string, Section>()
  for (const document of documents) {
    const found = sectionsOf(document)
    if ('error' in found) errors.push(found.error)
    else for (const section of found.sections) sections.set(section.id, section)
  }
  const chunks = orderChunks([...sections.values()].flatMap(chunksOf))
  const calls: ReactionCallPlan[] = []
  for (const chunk of chunks) {
    const outcome = callOf(chunk, signatureOf)
    errors.push(...outcome.errors)
    if (outcome.call !== null) calls.push(outcome.call)
  }
  return { chunks, calls, errors }
}

// ---- sections ----------------------------------------------------------------------------------------------------------------------------

interface Section {
  readonly id: string
  readonly file: string
  readonly body: Mapping
}

type Mapping = Map<unknown, unknown>

function fail(kind: ReactionErrorKind, message: string, file: string): { error: ReactionError } {
  return { error: { kind, message, file, section: null } }
}

/** The sections of a document, checked, or what is wrong with it as a whole. */
function sectionsOf({ file, high }: HighDocument): { sections: Section[] } | { error: ReactionError } {
  if (isEmpty(high)) return { sections: [] }
  if (!(high instanceof Map))
    return fail('not_a_mapping_of_reactions', `${kindOf(high)} stands where a mapping of reactions is expected`, file)
  const sections: Section[] = []
  for (const [id, value] of high) {
    const body = bodyOf(value)
    if (body === null) {
      return fail(
        'not_a_mapping_of_reactions',
        `'${String(id)}' holds ${kindOf(value)}, expected a mapping from functions to arguments`,
        file
      )
    }
    if (typeof id !== 'string') return fail('compile_exception', `the ID ${String(id)} is ${kindOf(id)}; put it into quotes`, file)
    if (!id.startsWith('__')) sections.push({ id, file, body })
  }
  const mistakes = sections.flatMap(mistakesOf)
  return mistakes.length === 0 ? { sections } : fail('invalid_high_data', mistakes.join('; '), file)
}

/** What renders to nothing is no reaction. */
function isEmpty(high: unknown): boolean {
  return (
    high === null || high === '' || high === false || (high instanceof Map && high.size === 0) || (Array.isArray(high) && high.length === 0)
  )
}

function kindOf(value: unknown): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (value instanceof Map) return 'a mapping'
  if (typeof value === 'string') return 'a text'
  return typeof value === 'boolean' ? 'a boolean' : 'a number'
}

/**
 * The body with functions split off their types: `local.state.apply: […]` is `local: […, state.apply]`, `x: local.test.ping` is the short form.
 * Of two functions of one type the first by name counts.
 */
function bodyOf(value: unknown): Mapping | null {
  if (typeof value === 'string') {
    const [type, fun] = splitFunction(value)
    return fun === null ? null : new Map([[type, [fun]]])
  }
  if (!(value instanceof Map)) return null
  const body = new Map<unknown, unknown>(value)
  const taken = new Set<string>()
  for (const key of [...value.keys()].filter(key => typeof key === 'string').sort(compareCodePoints)) {
    const args = value.get(key)
    if (key.startsWith('_') || !Array.isArray(args)) continue
    const [type, fun] = splitFunction(key)
    if (fun !== null && taken.has(type)) continue
    if (fun !== null) {
      body.delete(key)
      body.set(type, [...args, fun])
    }
    taken.add(type)
  }
  return body
}

function splitFunction(text: string): [type: string, fun: string | null] {
  const point = text.indexOf('.')
  return point < 0 ? [text, null] : [text.slice(0, point), text.slice(point + 1)]
}

/** Salt's checks of high data, in its words. */
function mistakesOf({ id, file, body }: Section): string[] {
  const mistakes: string[] = []
  for (const [state, args] of body) {
    if (typeof state !== 'string') mistakes.push(`Function ${String(state)} in ID '${id}' in SLS '${file}' is not formed as a string`)
    else if (state.startsWith('__')) continue
    else if (!Array.isArray(args)) mistakes.push(`State '${id}' in SLS '${file}' is not formed as a list`)
    else mistakes.push(...argumentMistakes(id, file, state, args))
  }
  return mistakes
}

const REQUISITES = ['require', 'watch', 'prereq', 'onchanges']

function argumentMistakes(id: string, file: string, state: string, args: readonly unknown[]): string[] {
  const mistakes: string[] = []
  let functions = state.includes('.') ? 1 : 0
  for (const arg of args) {
    if (typeof arg === 'string') {
      functions++
      if (arg.trim().includes(' ')) mistakes.push(whitespaceMistake(id, file, arg))
    } else if (arg instanceof Map) {
      const first = String([...arg.keys()][0])
      if (REQUISITES.includes(first) && !Array.isArray(arg.get(first))) {
        mistakes.push(`The ${first} statement in state '${id}' in SLS '${file}' needs to be formed as a list`)
      }
      if (arg.size !== 1) mistakes.push(`Multiple dictionaries defined in argument of state '${id}' in SLS '${file}'`)
    }
  }
  if (functions === 0 && !['require', 'watch'].includes(state)) mistakes.push(`No function declared in state '${state}' in SLS '${file}'`)
  if (functions > 1) mistakes.push(`Too many functions declared in state '${state}' in SLS '${file}'`)
  return mistakes
}

function whitespaceMistake(id: string, file: string, fun: string): string {
  return `The function "${fun}" in state "${id}" in SLS "${file}" has whitespace, a function with whitespace is not supported, perhaps this is an argument that is missing a ":"`
}

// ---- chunks ------------------------------------------------------------------------------------------------------------------------------

interface OpenChunk {
  readonly keys: Mapping
  /** Place among the `names` of a section, from 1. */
  readonly nth: number | null
}

function chunksOf({ id, file, body }: Section): OpenChunk[] {
  const chunks: OpenChunk[] = []
  for (const [state, args] of body) {
    if (typeof state !== 'string' || state.startsWith('__')) continue
    const keys: Mapping = new Map<string, unknown>([
      ['state', state === 'cmd' ? 'local' : state],
      ['name', id],
      ['__sls__', file],
      ['__id__', id]
    ])
    const names: unknown[] = []
    const functions: string[] = []
    for (const arg of args as readonly unknown[]) {
      if (typeof arg === 'string') functions.push(arg)
      else if (arg instanceof Map) addArgument(keys, names, arg)
    }
    for (const fun of functions) chunks.push(...namedChunks(new Map([...keys, ['fun', fun]]), names))
  }
  return chunks
}

/** Keys that say where a chunk comes from: no argument of that name replaces them. */
const PROVENANCE = ['state', '__id__', '__sls__', 'fun']

function addArgument(keys: Mapping, names: unknown[], arg: Mapping): void {
  for (const [key, value] of arg) {
    if (key === 'names' && Array.isArray(value)) names.push(...value.filter(name => !names.includes(name)))
    else if (!PROVENANCE.includes(key as string)) keys.set(key, value)
  }
}

function namedChunks(keys: Mapping, names: readonly unknown[]): OpenChunk[] {
  if (names.length === 0) return [{ keys, nth: null }]
  return names.map((entry, index) => {
    if (!(entry instanceof Map)) return { keys: new Map([...keys, ['name', entry]]), nth: index + 1 }
    const [[name, changes] = ['', []]] = entry as Map<unknown, unknown>
    const own = Array.isArray(changes) ? changes.filter(change => change instanceof Map).flatMap(change => [...change]) : []
    return { keys: new Map<unknown, unknown>([...keys, ['name', name], ...own]), nth: index + 1 }
  })
}

/** What comes last stands this far behind everything with a number of its own. */
const LAST = 1_000_000

/** Salt's order: by `order`, then by type, name and function as one text. */
function orderChunks(open: readonly OpenChunk[]): Chunk[] {
  let cap = 1
  for (const { keys } of open) {
    const order = integerOf(keys.get('order'))
    if (order !== null && order > cap - 1 && order > 0) cap = order + 100
  }
  const chunks = open.map(({ keys, nth }) => {
    const order = orderOf(keys.get('order'), cap) + (nth ?? 0) / 10_000
    return { ...plainMapping(keys), order: order < 0 ? cap + LAST + order : order } as unknown as Chunk
  })
  const sortText = ({ state, name, fun }: Chunk) => `${state}${String(name)}${fun}`
  return chunks.sort((a, b) => a.order - b.order || compareCodePoints(sortText(a), sortText(b)))
}

function integerOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isInteger(value) ? value : null
}

function orderOf(value: unknown, cap: number): number {
  if (typeof value === 'number') return value
  if (value instanceof WholeFloat) return value.value
  if (value === 'last') return cap + LAST
  return value === 'first' ? 0 : cap
}

// ---- calls -------------------------------------------------------------------------------------------------------------------------------

interface CallOutcome {
  readonly call: ReactionCallPlan | null
  readonly errors: readonly ReactionError[]
}

const CLIENTS = ['local', 'runner', 'wheel', 'caller'] as const
type Client = (typeof CLIENTS)[number]

/** Keys of a chunk that are not arguments. */
const INTERNAL = ['__id__', '__sls__', 'name', 'order', 'fun', 'key', 'state']

function callOf(chunk: Chunk, signatureOf: SignatureOf): CallOutcome {
  const refuse = (kind: ReactionErrorKind, message: string): CallOutcome => ({ call: null, errors: [errorOf(chunk, kind, message)] })
  if (!isClient(chunk.state)) return refuse('unknown_type', `Reactor '${chunk.__id__}': the reaction type '${chunk.state}' is unknown`)
  if (chunk.state === 'local' && !('tgt' in chunk)) {
    return refuse('invocation', `${failed(chunk)}: 'tgt' is missing`)
  }
  const read = 'args' in chunk ? newArguments(chunk) : oldArguments(chunk, signatureOf)
  if ('kind' in read) return refuse(read.kind, read.message)
  const warnings = 'args' in chunk ? ['arg', 'kwarg'].filter(key => key in chunk).map(key => ignored(chunk, key)) : []
  return { call: planOf(chunk, chunk.state, read), errors: warnings }
}

function isClient(state: string): state is Client {
  return (CLIENTS as readonly string[]).includes(state)
}

function failed({ __id__, state, fun }: Chunk): string {
  return `Reactor '${__id__}' failed to execute ${state} '${fun}'`
}

function errorOf(chunk: Chunk, kind: ReactionErrorKind, message: string): ReactionError {
  return { kind, message, file: chunk.__sls__, section: chunk.__id__, client: chunk.state, fun: chunk.fun, order: chunk.order }
}

function ignored(chunk: Chunk, key: string): ReactionError {
  return errorOf(chunk, 'ignored_parameter', `Reactor '${chunk.__id__}' is ignoring '${key}' because 'args' is given`)
}

interface CallArguments {
  readonly arg: readonly unknown[] | string
  readonly kwarg: Readonly<Record<string, unknown>>
}

interface Refusal {
  readonly kind: ReactionErrorKind
  readonly message: string
}

/** `args:` holds keyword arguments; for `caller` a list that is not all mappings of one key is positional. */
function newArguments(chunk: Chunk): CallArguments | Refusal {
  const { args } = chunk
  if (chunk.state === 'caller' && Array.isArray(args) && !isDictList(args)) return { arg: args, kwarg: {} }
  const kwarg = isMapping(args) ? args : repackList(args)
  if (kwarg === null || (!isMapping(args) && Object.keys(kwarg).length === 0)) {
    return { kind: 'bad_args_format', message: `${failed(chunk)}: 'args' is neither a mapping nor a list of mappings with one key each` }
  }
  return { arg: [], kwarg }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isDictList(items: readonly unknown[]): boolean {
  return items.length > 0 && items.every(item => isMapping(item) && Object.keys(item).length === 1)
}

/** A list of mappings with one key each as one mapping; plain items become keys without a value. Null for anything else. */
function repackList(value: unknown): Record<string, unknown> | null {
  if (!Array.isArray(value)) return null
  const packed: Record<string, unknown> = {}
  for (const item of value as unknown[]) {
    if (isMapping(item)) {
      const entries = Object.entries(item)
      if (entries.length !== 1) return null
      setOwn(packed, entries[0]![0], entries[0]![1])
    } else if (item === null || Array.isArray(item)) return null
    else setOwn(packed, String(item), null)
  }
  return packed
}

/** The old form: `arg`, `kwarg`, or for runners and wheel functions their parameters by name. */
function oldArguments(chunk: Chunk, signatureOf: SignatureOf): CallArguments | Refusal {
  const kwarg = 'kwarg' in chunk ? keywords(chunk.kwarg) : null
  const arg = 'arg' in chunk ? positional(chunk.arg) : null
  if (('kwarg' in chunk && kwarg === null) || ('arg' in chunk && arg === null)) {
    return { kind: 'invocation', message: `${failed(chunk)}: 'arg' must be a list and 'kwarg' a mapping` }
  }
  if ((chunk.state !== 'runner' && chunk.state !== 'wheel') || (arg !== null && kwarg !== null))
    return { arg: arg ?? [], kwarg: kwarg ?? {} }
  const signature = signatureOf(chunk.state, chunk.fun)
  if (signature === null) return { kind: 'unknown_function', message: `${failed(chunk)}: function not available` }
  const bound = bindDirect(chunk, signature)
  if ('kind' in bound) return bound
  return { arg: arg ?? bound.arg, kwarg: kwarg ?? bound.kwarg }
}

/** `kwarg` as a mapping, or (CLASSIC) as a list of mappings with one key each. */
function keywords(value: unknown): Record<string, unknown> | null {
  if (isMapping(value)) return value
  if (value === null) return {}
  return Array.isArray(value) && (value.length === 0 || isDictList(value)) ? repackList(value) : null
}

function positional(value: unknown): readonly unknown[] | string | null {
  if (Array.isArray(value) || typeof value === 'string') return value
  if (value === null) return []
  return isMapping(value) ? Object.keys(value) : null
}

/** Salt's `format_call`: the chunk's keys become the function's arguments. */
function bindDirect(chunk: Chunk, signature: Signature): CallArguments | Refusal {
  const rest = new Map(Object.entries(chunk))
  const take = (name: string): unknown => {
    const value = rest.get(name)
    rest.delete(name)
    return value
  }
  const kwarg: Record<string, unknown> = {}
  for (const [name, fallback] of Object.entries(signature.optional)) setOwn(kwarg, name, rest.has(name) ? take(name) : fallback)
  const missing = signature.required.filter(name => !rest.has(name))
  if (missing.length > 0)
    return { kind: 'invocation', message: `${failed(chunk)}: ${chunk.fun} needs the argument '${missing.join("', '")}'` }
  const arg = signature.required.map(take)
  const extra = [...rest].filter(([key]) => !INTERNAL.includes(key))
  if (extra.length > 0 && !signature.takesKwargs) {
    return {
      kind: 'invocation',
      message: `${failed(chunk)}: '${extra.map(([key]) => key).join("', '")}' is an invalid keyword argument for '${chunk.fun}'`
    }
  }
  for (const [key, value] of extra) setOwn(kwarg, key, value)
  return { arg, kwarg }
}

/** Keys that a call has a place for; what else stands in a chunk is `other` or `ignored`. */
const KNOWN_KEYS = new Set([...INTERNAL, 'args', 'arg', 'kwarg'])
const LOCAL_KEYS = new Set([...KNOWN_KEYS, 'tgt', 'tgt_type', 'ret'])

function planOf(chunk: Chunk, client: Client, { arg, kwarg }: CallArguments): ReactionCallPlan {
  const rest = keysBeyond(chunk, client === 'local' ? LOCAL_KEYS : KNOWN_KEYS)
  const common = { client, fun: chunk.fun, section: chunk.__id__, file: chunk.__sls__, order: chunk.order, arg, kwarg }
  if (client !== 'local') return rest === null ? common : { ...common, ignored: rest }
  const target = { tgt: chunk.tgt, tgt_type: typeof chunk.tgt_type === 'string' ? chunk.tgt_type : 'glob' }
  return { ...common, ...target, ...('ret' in chunk ? { ret: chunk.ret } : {}), ...(rest === null ? {} : { other: rest }) }
}

function keysBeyond(chunk: Chunk, known: ReadonlySet<string>): Record<string, unknown> | null {
  let rest: Record<string, unknown> | null = null
  for (const key of Object.keys(chunk)) {
    if (known.has(key)) continue
    rest ??= {}
    setOwn(rest, key, chunk[key])
  }
  return rest
}

/**
 * The `arg` list of the published job: texts are split into characters, integers that look like a job id become texts, keyword arguments
 * come last in a mapping marked `__kwarg__`.
 */
export function publishedArguments({ arg, kwarg }: Pick<ReactionCallPlan, 'arg' | 'kwarg'>): unknown[] {
  const args = [...arg].map(value =>
    (typeof value === 'bigint' || typeof value === 'number') && isJid(String(value)) ? String(value) : value
  )
  return Object.keys(kwarg).length === 0 ? args : [...args, { __kwarg__: true, ...kwarg }]
}

/** Values as the rest of the program knows them; large integers stay exact. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return plainMapping(value)
  if (Array.isArray(value)) return value.map(plain)
  return value instanceof WholeFloat ? value.value : value
}

function plainMapping(map: Mapping): Record<string, unknown> {
  const object: Record<string, unknown> = {}
  for (const [key, value] of map) setOwn(object, String(key), plain(value))
  return object
}
