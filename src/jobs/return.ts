/**
 * A minion's return: from what was sent to what is recorded, and from its event back to the record.
 */
import { brineError } from '../errors.js'
import type { EventData, StoredEvent } from '../events/event.js'
import type { JobRecord, ReturnRecord } from '../store/store.js'
import { jobReturn } from '../tags/tags.js'
import { isJobId, type TaggedData } from './job.js'

/** Stands in an event in place of a value that made it too large (Salt's word). */
export const TRIMMED = 'VALUE_TRIMMED'

/** Fields that tell where a return came from which no job asked for: a schedule, salt-call. All others are dropped. */
const EXTRA_FIELDS: ReadonlySet<string> = new Set(['user', 'arg', 'tgt_type', 'tgt', 'schedule', 'pid', 'metadata'])

/** A return whose fields were checked. `sent` is what the minion sent: a compound job's retcode and success are mappings by function there. */
export interface CheckedReturn {
  readonly record: ReturnRecord
  readonly sent: EventData
}

/**
 * Checks `{jid, fun, fun_args, return, retcode[, success, out, id, …]}` as it came from a minion. `success` is what was sent, else what the
 * retcode says.
 * @throws FIELD_MISSING, FIELD_INVALID with the field's name; NOT_PERMITTED when `id` names another minion
 */
export function checkReturn(minion: string, raw: unknown, stampUs: number): CheckedReturn {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) throw brineError('FIELD_INVALID', 'return', 'must be a mapping')
  const sent = raw as EventData
  if (sent.id !== undefined && sent.id !== minion) throw brineError('NOT_PERMITTED', minion, 'return in the name of another minion')
  const retcode = readRetcode(sent.retcode)
  const record: ReturnRecord = {
    jid: readJid(sent.jid),
    minion,
    fun: readFun(sent.fun),
    funArgs: readFunArgs(sent.fun_args),
    return: sent.return ?? null,
    retcode,
    success: typeof sent.success === 'boolean' ? sent.success : retcode === 0,
    ...(typeof sent.out === 'string' ? { out: sent.out } : {}),
    stampUs
  }
  return { record, sent }
}

/** The event of a return to a job that this server published, with Salt's order of keys. `user` and `metadata` are the job's, not the sender's. */
export function returnEvent({ record, sent }: CheckedReturn, job: Pick<JobRecord, 'user' | 'metadata'>): TaggedData {
  const data: EventData = {
    cmd: '_return',
    id: record.minion,
    success: sent.success ?? record.success,
    return: record.return,
    retcode: sent.retcode ?? record.retcode,
    jid: record.jid,
    fun: record.fun,
    fun_args: record.funArgs,
    user: job.user,
    out: record.out,
    metadata: job.metadata
  }
  return [jobReturn(record.jid, record.minion), data]
}

/** The event of a return that no job asked for: no user and no success unless sent, and the fields that tell where it came from. */
export function unaskedReturnEvent({ record, sent }: CheckedReturn): TaggedData {
  const data: EventData = {
    cmd: '_return',
    id: record.minion,
    jid: record.jid,
    return: record.return,
    retcode: sent.retcode ?? record.retcode,
    success: sent.success,
    fun: record.fun,
    fun_args: record.funArgs,
    out: record.out
  }
  for (const [name, value] of Object.entries(sent)) if (EXTRA_FIELDS.has(name)) data[name] = value
  return [jobReturn(record.jid, record.minion), data]
}

function readJid(jid: unknown): string {
  if (jid === undefined) throw brineError('FIELD_MISSING', 'jid')
  if (!isJobId(jid)) throw brineError('FIELD_INVALID', 'jid', 'must be a job id of 20 digits')
  return jid
}

function readFun(fun: unknown): string | string[] {
  if (fun === undefined) throw brineError('FIELD_MISSING', 'fun')
  if (typeof fun === 'string') return fun
  if (Array.isArray(fun) && fun.every(name => typeof name === 'string')) return fun as string[]
  throw brineError('FIELD_INVALID', 'fun', 'must be a function name or a list of them')
}

function readFunArgs(funArgs: unknown): unknown[] {
  if (funArgs === undefined || funArgs === null) return []
  if (!Array.isArray(funArgs)) throw brineError('FIELD_INVALID', 'fun_args', 'must be a list')
  return funArgs
}

/** A number, or for a compound job a number per function: the job's is then the first that is not 0. */
function readRetcode(retcode: unknown): number {
  if (retcode === undefined || retcode === null) return 0
  if (Number.isInteger(retcode)) return retcode as number
  const codes = typeof retcode === 'object' ? Object.values(retcode) : [null]
  if (!codes.every(Number.isInteger)) throw brineError('FIELD_INVALID', 'retcode', 'must be a whole number')
  return (codes as number[]).find(code => code !== 0) ?? 0
}

/** The job id in the tag of a return's event, `salt/job/<jid>/ret/<id>`. */
export function jidOfReturnTag(tag: string): string {
  return tag.split('/', 3)[2] ?? ''
}

/**
 * The return that a `salt/job/<jid>/ret/<id>` event tells of; null when the minion in the tag did not send it itself, or when it is no
 * return at all (a minion may fire any event about itself).
 */
export function returnOfEvent(event: StoredEvent): ReturnRecord | null {
  const data = JSON.parse(event.json) as EventData
  const { cmd, id, jid } = data
  if (cmd !== '_return' || event.source !== `minion:${id}` || event.tag !== `salt/job/${jid}/ret/${id}`) return null
  try {
    return checkReturn(String(id), data, event.stampUs).record
  } catch {
    return null
  }
}
