/**
 * A chunk of a lowstate (golden/api section 8), read into a call: which client, what is run where, with what. Everything that is wrong with a
 * chunk is found here, before anything of its request runs.
 */
import { brineError } from '../errors.js'
import type { FunctionCall, FunctionKind } from '../runners/call.js'
import { parseArguments } from '../shared/arguments.js'
import { isJobId } from './job.js'

const LOCAL_CLIENTS = ['local', 'local_async', 'local_batch', 'local_subset'] as const
const FUNCTION_CLIENTS = ['runner', 'runner_async', 'wheel', 'wheel_async'] as const
export type LocalClient = (typeof LOCAL_CLIENTS)[number]
export type FunctionClient = (typeof FUNCTION_CLIENTS)[number]

/** What GET / lists: Salt's names in Salt's order. `ssh` is among them there whether it can be used or not. */
export const CLIENTS: readonly string[] = [...LOCAL_CLIENTS, 'runner', 'runner_async', 'ssh', 'wheel', 'wheel_async']

/** Seconds that a call may ask to wait for returns. A day, as for waiting at all; what is more is taken as a day. */
const MAX_TIMEOUT_SECONDS = 86_400
/** Chunks of one request. They run one after the other on one connection; nobody sends so many by hand, and a loop that does can send twice. */
const MAX_CHUNKS = 1000

export interface LocalCall {
  readonly kind: 'local'
  readonly client: LocalClient
  readonly tgt: unknown
  readonly tgtType: string
  readonly delimiter: string | undefined
  readonly fun: string | readonly string[]
  readonly arg: readonly unknown[]
  readonly kwarg: Readonly<Record<string, unknown>>
  readonly timeoutSeconds: number | undefined
  readonly gatherSeconds: number | undefined
  readonly fullReturn: boolean
  readonly ret: string | undefined
  readonly metadata: unknown
  readonly jid: string | undefined
  /** local_batch: how many minions at a time; a share of those that answer when `percent`. */
  readonly batch: { readonly count: number; readonly percent: boolean }
  /** local_subset: how many minions. */
  readonly subset: number
  /** local_batch: whole return events instead of values. */
  readonly raw: boolean
}

export interface ServerCall extends FunctionCall {
  readonly kind: FunctionKind
  readonly client: FunctionClient
  /** Runner: how long the caller waits for the outcome. */
  readonly timeoutSeconds: number | undefined
  readonly fullReturn: boolean
}

export type Call = LocalCall | ServerCall

type Fields = Readonly<Record<string, unknown>>

/**
 * The chunks of a request's body: a list, or one mapping that stands for a list of one.
 * @throws LOWSTATE_NOT_LIST; FIELD_INVALID when there are too many
 */
export function readLowstate(body: unknown): readonly unknown[] {
  const chunks = isMapping(body) && Object.keys(body).length > 0 ? [body] : body
  if (!Array.isArray(chunks)) throw brineError('LOWSTATE_NOT_LIST')
  if (chunks.length > MAX_CHUNKS) throw brineError('FIELD_INVALID', 'lowstate', `has ${chunks.length} chunks, more than ${MAX_CHUNKS}`)
  return chunks
}

/**
 * Reads one chunk.
 * @param path what stands before a field's name in an error: empty, or `[2].` in a list
 * @param enabled the clients that may be used (`netapi_enable_clients`)
 * @throws CLIENT_UNKNOWN, CLIENT_DISABLED, RAW_SHELL, FUNCTION_MISSING, FIELD_MISSING, FIELD_INVALID
 */
export function readChunk(chunk: unknown, path: string, enabled: readonly string[]): Call {
  if (!isMapping(chunk))
    throw brineError('FIELD_INVALID', path === '' ? 'chunk' : path.slice(0, -1), `must be a mapping, not ${kindOf(chunk)}`)
  const client = readClient(chunk.client, enabled)
  if (isTrue(chunk.raw_shell)) throw brineError('RAW_SHELL')
  return isLocal(client) ? readLocal(client, chunk, path) : readServer(client, chunk, path)
}

function readClient(client: unknown, enabled: readonly string[]): LocalClient | FunctionClient {
  const shown =
    client === undefined || client === null
      ? 'None'
      : typeof client === 'string'
        ? client.slice(0, 100)
        : JSON.stringify(client).slice(0, 100)
  if (typeof client !== 'string' || !CLIENTS.includes(client)) throw brineError('CLIENT_UNKNOWN', shown)
  if (!enabled.includes(client)) throw brineError('CLIENT_DISABLED', client)
  if (!isLocal(client) && !isFunctionClient(client)) throw brineError('CLIENT_UNKNOWN', client)
  return client
}

function isLocal(client: string): client is LocalClient {
  return (LOCAL_CLIENTS as readonly string[]).includes(client)
}

function isFunctionClient(client: string): client is FunctionClient {
  return (FUNCTION_CLIENTS as readonly string[]).includes(client)
}

function readLocal(client: LocalClient, chunk: Fields, path: string): LocalCall {
  if (chunk.tgt === undefined || chunk.tgt === null) throw brineError('FIELD_MISSING', `${path}tgt`)
  const fun = readFun(chunk.fun, path)
  return {
    kind: 'local',
    client,
    tgt: chunk.tgt,
    tgtType: chunk.tgt_type === undefined || chunk.tgt_type === null ? 'glob' : readText(chunk.tgt_type, `${path}tgt_type`),
    delimiter: optionalText(chunk.delimiter, `${path}delimiter`),
    fun,
    arg: typeof fun === 'string' ? readArg(chunk.arg) : readCompoundArg(chunk.arg, fun, path),
    kwarg: readKwarg(chunk.kwarg, path),
    timeoutSeconds: readSeconds(chunk.timeout),
    gatherSeconds: readSeconds(chunk.gather_job_timeout),
    fullReturn: isTrue(chunk.full_return),
    ret: typeof chunk.ret === 'string' && chunk.ret !== '' ? chunk.ret : undefined,
    metadata: chunk.metadata ?? undefined,
    jid: readJid(chunk.jid, path),
    batch: client === 'local_batch' ? readBatch(chunk.batch ?? '10%', path) : { count: 1, percent: false },
    subset: client === 'local_subset' ? readSubset(chunk.subset ?? chunk.sub ?? 3, path) : 0,
    raw: isTrue(chunk.raw)
  }
}

/** Fields of a runner's or wheel function's chunk that are not its arguments. All others are keyword arguments. */
const NOT_ARGUMENTS: ReadonlySet<string> = new Set(
  'client fun arg kwarg timeout full_return print_event raw_shell token username password eauth user'.split(' ')
)

function readServer(client: FunctionClient, chunk: Fields, path: string): ServerCall {
  const kind = client.startsWith('runner') ? 'runner' : 'wheel'
  if (chunk.fun === undefined || chunk.fun === null) throw brineError('FUNCTION_MISSING', kind)
  const { args, kwargs } = parseArguments(readArg(chunk.arg))
  const fields = Object.fromEntries(Object.entries(chunk).filter(([name]) => !NOT_ARGUMENTS.has(name)))
  return {
    kind,
    client,
    fun: readText(chunk.fun, `${path}fun`),
    args,
    kwargs: { ...kwargs, ...fields, ...readKwarg(chunk.kwarg, path) },
    timeoutSeconds: readSeconds(chunk.timeout),
    fullReturn: isTrue(chunk.full_return)
  }
}

function readFun(fun: unknown, path: string): string | readonly string[] {
  if (fun === undefined || fun === null) throw brineError('FIELD_MISSING', `${path}fun`)
  if (typeof fun === 'string' && fun !== '') return fun
  if (Array.isArray(fun) && fun.length > 0 && fun.every(name => typeof name === 'string' && name !== '')) return fun as string[]
  throw brineError('FIELD_INVALID', `${path}fun`, 'must be the name of a function, or a list of names')
}

function readArg(arg: unknown): readonly unknown[] {
  if (arg === undefined || arg === null) return []
  return Array.isArray(arg) ? arg : [arg]
}

function readCompoundArg(arg: unknown, fun: readonly string[], path: string): readonly unknown[] {
  if (arg === undefined || arg === null) return fun.map(() => [])
  if (Array.isArray(arg) && arg.length === fun.length && arg.every(Array.isArray)) return arg
  throw brineError('FIELD_INVALID', `${path}arg`, `must be a list of ${fun.length} lists, one per function`)
}

function readKwarg(kwarg: unknown, path: string): Fields {
  if (kwarg === undefined || kwarg === null) return {}
  if (isMapping(kwarg)) return kwarg
  throw brineError('FIELD_INVALID', `${path}kwarg`, `must be a mapping, not ${kindOf(kwarg)}`)
}

/** Seconds as number or text; what is neither counts as not given, as in Salt. */
function readSeconds(value: unknown): number | undefined {
  const seconds = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof seconds !== 'number' || !(seconds >= 0)) return undefined
  return Math.min(seconds, MAX_TIMEOUT_SECONDS)
}

function readJid(jid: unknown, path: string): string | undefined {
  if (jid === undefined || jid === null || jid === '') return undefined
  if (isJobId(jid)) return jid
  throw brineError('FIELD_INVALID', `${path}jid`, 'must be a job id: 20 digits, as text')
}

function readBatch(batch: unknown, path: string): LocalCall['batch'] {
  const match = /^\s*(\d{1,9})\s*(%?)\s*$/.exec(String(batch))
  const count = Number(match?.[1] ?? 0)
  if (typeof batch === 'object' || count < 1)
    throw brineError('FIELD_INVALID', `${path}batch`, "must be a number of minions or a share ('20%')")
  return { count, percent: match![2] === '%' }
}

function readSubset(subset: unknown, path: string): number {
  const count = Number(typeof subset === 'string' || typeof subset === 'number' ? subset : Number.NaN)
  if (Number.isInteger(count) && count >= 1) return count
  throw brineError('FIELD_INVALID', `${path}subset`, 'must be a number of minions')
}

function readText(value: unknown, field: string): string {
  if (typeof value === 'string') return value
  throw brineError('FIELD_INVALID', field, `must be text, not ${kindOf(value)}`)
}

function optionalText(value: unknown, field: string): string | undefined {
  return value === undefined || value === null ? undefined : readText(value, field)
}

/** Flags come as booleans, or as text from a form. */
function isTrue(value: unknown): boolean {
  return value === true || value === 1 || (typeof value === 'string' && /^(true|yes|on|1)$/i.test(value))
}

function isMapping(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value
}
