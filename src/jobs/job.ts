/**
 * A job: one call of one or more functions on the minions that its target meant when it was published.
 */

import type { EventData } from '../events/event.js'
import type { JobRecord, NewJob, ReturnRecord } from '../store/store.js'
import { jobNew } from '../tags/tags.js'
import { jidToTime } from './jid.js'

/**
 * True for ids that jobs here may have: 20 digits, or Salt's `unique_jid` form with a number behind. Narrower than Salt's own test (`isJid`),
 * because ids become parts of tags and of paths.
 */
export function isJobId(value: unknown): value is string {
  return typeof value === 'string' && /^\d{20}(_\d{1,10})?$/.test(value)
}

/** A tag and its data, on the way to the log. */
export type TaggedData = readonly [tag: string, data: EventData]

/** The two events of a published job, in Salt's order and with Salt's order of keys. */
export function publishEvents(job: NewJob): TaggedData[] {
  const { jid, tgtType, tgt, user, fun, arg, minions, missing } = job
  return [
    [jid, { minions }],
    [jobNew(jid), { jid, tgt_type: tgtType, tgt, user, fun, arg, minions, missing }]
  ]
}

/** What `jobs.list_jobs` and GET /jobs show of a job. */
export interface JobSummary {
  Function: string | readonly string[]
  Arguments: readonly unknown[]
  Target: unknown
  'Target-type': string
  User: string
  Metadata?: unknown
}

function summary(job: JobRecord): JobSummary {
  return {
    Function: job.fun,
    Arguments: job.arg,
    Target: job.tgt,
    'Target-type': job.tgtType,
    User: job.user,
    ...(job.metadata === undefined ? {} : { Metadata: job.metadata })
  }
}

/** `{Function, Arguments, Target, Target-type, User[, Metadata], StartTime}`. */
export function jobListing(job: JobRecord): JobSummary & { StartTime: string } {
  return { ...summary(job), StartTime: jidToTime(job.jid) }
}

/** `{Function, …, Minions, StartTime, Result: {minion: {return, retcode, success[, out]}}}`. */
export function jobReport(job: JobRecord, returns: readonly ReturnRecord[]): Record<string, unknown> {
  return { ...summary(job), Minions: job.minions, StartTime: jidToTime(job.jid), Result: results(returns) }
}

/** What is answered for a job id without a job. */
export function unknownJob(jid: string): Record<string, unknown> {
  return { jid, Error: 'Cannot contact returner or no job with this jid', StartTime: jidToTime(jid), Result: {} }
}

function results(returns: readonly ReturnRecord[]): Record<string, unknown> {
  const entry = (ret: ReturnRecord) => ({
    return: ret.return,
    retcode: ret.retcode,
    success: ret.success,
    ...(ret.out === undefined ? {} : { out: ret.out })
  })
  return Object.fromEntries(returns.map(ret => [ret.minion, entry(ret)]))
}

/** The text for a listed minion id that has no accepted key. */
export function noResponse(jid: string): string {
  return (
    'Minion did not return. [No response]\nThe minions may not have all finished running and any remaining minions will return upon completion. ' +
    `To look up the return data for this job later, run the following command:\n\nsalt-run jobs.lookup_jid ${jid}`
  )
}
