import { isJobId, jobListing, jobReport, unknownJob } from '../jobs/job.js'
import type { JobQuery, JobRecord, ReturnRecord } from '../store/store.js'
import { compileGlob } from '../tags/glob.js'
import { askMinions } from './ask.js'
import { ArgumentError, type CallContext, param, type ServerFunction, serverFunction } from './function.js'

/**
 * Jobs that one answer lists unless the setting max_listed_jobs says otherwise, newest first. Salt answers with all there are; a thousand
 * fill any screen and about 300 KB, the rest is there for the asking (`before`).
 */
export const MAX_LISTED = 1000
/** Jobs that are looked through when only a filter can tell (metadata). Bounds the work of one call to some hundred milliseconds. */
const MAX_SEARCHED = 50_000

/** Jobs fetched at a time at least: `wanted` may refuse some. */
const MIN_PAGE = 100

/** Salt's parameters that mean nothing here: there is one store, and formatting is the client's. */
const ignored = { ext_source: param.anyOr(null), display_progress: param.anyOr(false) }

/** A job id; JSON numbers of 20 digits come as text because they would lose digits. */
const jid = param.text()

const list = serverFunction({
  name: 'jobs.list_jobs',
  doc: `List the jobs that are kept, newest first, as many as the setting max_listed_jobs says (${MAX_LISTED}).

search_function, search_target: globs, as a list or separated by commas
search_metadata: a mapping; jobs whose metadata has these values
start_time, end_time: jobs published from then on, up to then
limit, before: so many jobs, older than this job id

CLI Example:

    brine run jobs.list_jobs search_function='state.*' start_time=2026-11-22`,
  params: {
    ext_source: param.anyOr(null),
    outputter: param.anyOr(null),
    search_metadata: param.anyOr(null),
    search_function: param.textsOr(null),
    search_target: param.textsOr(null),
    start_time: param.anyOr(null),
    end_time: param.anyOr(null),
    display_progress: param.anyOr(false),
    limit: param.numberOr(null),
    before: param.textOr(null)
  },
  async run(context, args) {
    const query = {
      bare: true,
      ...(args.search_function ? { fun: args.search_function } : {}),
      ...(args.search_target ? { tgt: args.search_target } : {}),
      ...timeBounds(args.start_time, args.end_time),
      ...(args.before === null ? {} : { before: args.before })
    }
    const jobs = await findJobs(context, query, bounded(context, args.limit, 1), hasMetadata(args.search_metadata))
    return Object.fromEntries(jobs.map(job => [job.jid, jobListing(job)]))
  }
})

const listFilter = serverFunction({
  name: 'jobs.list_jobs_filter',
  doc: 'List the newest jobs as a list, by default without those that only ask for another job (saltutil.find_job).',
  params: { count: param.numberOr(null), filter_find_job: param.flagOr(true), outputter: param.anyOr(null), ...ignored },
  async run(context, { count, filter_find_job }) {
    const wanted = (job: JobRecord) => !(filter_find_job && job.fun === 'saltutil.find_job')
    const jobs = await findJobs(context, { bare: true }, bounded(context, count, 0), wanted)
    return jobs.map(job => {
      const { StartTime, ...summary } = jobListing(job)
      return { ...summary, JID: job.jid, StartTime }
    })
  }
})

const listJob = serverFunction({
  name: 'jobs.list_job',
  doc: 'Show a job with its minions and their returns.\n\nCLI Example:\n\n    brine run jobs.list_job 20261122203758556109',
  params: { jid, ...ignored },
  async run(context, args) {
    const report = await reportOf(context, args.jid)
    return report ? { jid: args.jid, ...report } : unknownJob(args.jid)
  }
})

const printJob = serverFunction({
  name: 'jobs.print_job',
  doc: 'Show a job with its minions and their returns, below its id.',
  params: { jid, ...ignored },
  async run(context, args) {
    const { jid: _, ...unknown } = unknownJob(args.jid)
    return { [args.jid]: (await reportOf(context, args.jid)) ?? unknown }
  }
})

const lookup = serverFunction({
  name: 'jobs.lookup_jid',
  doc: 'Show what the minions returned for a job: {minion: value}. missing=True adds those that have not returned, returned=False leaves out those that have.',
  params: {
    jid,
    ext_source: param.anyOr(null),
    returned: param.flagOr(true),
    missing: param.flagOr(false),
    display_progress: param.anyOr(false)
  },
  async run(context, args) {
    const job = await jobOf(context, args.jid)
    const returns = job ? await context.store.jobs.returns(args.jid) : []
    const came = args.returned ? returns.map(ret => [ret.minion, ret.return]) : []
    const open = args.missing && job ? openMinions(job, returns).map(minion => [minion, 'Minion did not return']) : []
    return Object.fromEntries([...came, ...open])
  }
})

const exitSuccess = serverFunction({
  name: 'jobs.exit_success',
  doc: 'Tell for each minion of a job whether it succeeded there: it returned, with retcode 0 and success.',
  params: { jid, ...ignored },
  async run(context, args) {
    const job = await jobOf(context, args.jid)
    if (!job) return {}
    const returns = await context.store.jobs.returns(args.jid)
    const succeeded = returns.map(ret => [ret.minion, ret.success && ret.retcode === 0])
    return Object.fromEntries([...succeeded, ...openMinions(job, returns).map(minion => [minion, false])])
  }
})

const lastRun = serverFunction({
  name: 'jobs.last_run',
  doc: 'Show the newest job, or the newest with this function, target or metadata; False when there is none.',
  params: {
    ext_source: param.anyOr(null),
    outputter: param.anyOr(null),
    metadata: param.anyOr(null),
    function: param.textsOr(null),
    target: param.textsOr(null),
    display_progress: param.anyOr(false)
  },
  async run(context, args) {
    const query = { ...(args.function ? { fun: args.function } : {}), ...(args.target ? { tgt: args.target } : {}) }
    const [job] = await findJobs(context, query, 1, hasMetadata(args.metadata))
    return job ? { [job.jid]: jobReport(job, await context.store.jobs.returns(job.jid)) } : false
  }
})

const active = serverFunction({
  name: 'jobs.active',
  doc: 'Ask all minions which jobs they are running now: {jid: {Function, …, Running: [{minion: pid}], Returned: [minion]}}.',
  params: { display_progress: param.anyOr(false) },
  async run(context) {
    const running = new Map<string, Record<string, number>[]>()
    const told = new Map<string, Record<string, unknown>>()
    for (const [minion, answer] of await askMinions(context, { fun: 'saltutil.running' })) {
      for (const job of Array.isArray(answer) ? answer : []) {
        if (!isJobId(job?.jid)) continue
        told.set(job.jid, job)
        running.set(job.jid, [...(running.get(job.jid) ?? []), { [minion]: job.pid }])
      }
    }
    const entries = [...running].map(async ([id, where]) => [
      id,
      { ...(await activeJob(context, id, told.get(id)!)), Running: where, Returned: await returned(context, id) }
    ])
    return Object.fromEntries(await Promise.all(entries))
  }
})

const master = serverFunction({
  name: 'jobs.master',
  doc: 'List the jobs that the server itself runs. Runner functions are no jobs here: their events tell of them.',
  run: () => []
})

/** The runner's functions for jobs. */
export const jobsRunners: readonly ServerFunction[] = [active, exitSuccess, lastRun, list, listFilter, listJob, lookup, master, printJob]

async function activeJob(context: CallContext, id: string, told: Record<string, unknown>): Promise<Record<string, unknown>> {
  const job = await context.store.jobs.get(id)
  if (job) return { ...jobListing(job) }
  const { fun, arg, tgt, tgt_type, user } = told
  return {
    Function: fun,
    Arguments: arg ?? [],
    Target: tgt,
    'Target-type': tgt_type,
    User: user ?? '',
    StartTime: unknownJob(id).StartTime
  }
}

async function returned(context: CallContext, id: string): Promise<string[]> {
  return (await context.store.jobs.returns(id)).map(ret => ret.minion)
}

async function jobOf(context: CallContext, id: string): Promise<JobRecord | null> {
  return isJobId(id) ? context.store.jobs.get(id) : null
}

async function reportOf(context: CallContext, id: string): Promise<Record<string, unknown> | null> {
  const job = await jobOf(context, id)
  return job ? jobReport(job, await context.store.jobs.returns(id)) : null
}

function openMinions(job: JobRecord, returns: readonly ReturnRecord[]): string[] {
  const came = new Set(returns.map(ret => ret.minion))
  return job.minions.filter(minion => !came.has(minion))
}

/** How many jobs an answer has: as many as were asked for, as long as the setting allows it. */
function bounded({ config }: CallContext, asked: number | null, least: number): number {
  return Math.min(config.max_listed_jobs, Math.max(least, Math.floor(asked ?? config.max_listed_jobs)))
}

/** The newest jobs that the store finds and `wanted` keeps. */
async function findJobs(
  context: CallContext,
  query: Omit<JobQuery, 'limit'>,
  limit: number,
  wanted: (job: JobRecord) => boolean
): Promise<JobRecord[]> {
  const found: JobRecord[] = []
  const size = Math.max(limit, MIN_PAGE)
  let before = query.before
  for (let searched = 0; found.length < limit && searched < MAX_SEARCHED; ) {
    const page = await context.store.jobs.list({ ...query, limit: size, ...(before === undefined ? {} : { before }) })
    found.push(...page.filter(wanted))
    searched += page.length
    before = page.at(-1)?.jid
    if (page.length < size) break
  }
  return found.slice(0, limit)
}

/** Jobs whose metadata has each of the given values (globs for texts); without a mapping every job. */
function hasMetadata(wanted: unknown): (job: JobRecord) => boolean {
  if (wanted === null || wanted === undefined || wanted === '') return () => true
  if (typeof wanted !== 'object' || Array.isArray(wanted)) throw new ArgumentError('value', 'The metadata to look for must be a mapping')
  const tests = Object.entries(wanted).map(([key, value]) => [key, sameValue(value)] as const)
  return job => {
    const metadata = job.metadata
    if (typeof metadata !== 'object' || metadata === null) return false
    return tests.every(([key, same]) => Object.hasOwn(metadata, key) && same((metadata as Record<string, unknown>)[key]))
  }
}

function sameValue(wanted: unknown): (value: unknown) => boolean {
  if (typeof wanted === 'string') {
    const matches = compileGlob(wanted)
    return value => typeof value === 'string' && matches(value)
  }
  const text = JSON.stringify(wanted)
  return value => JSON.stringify(value) === text
}

function timeBounds(start: unknown, end: unknown): { fromUs?: number; untilUs?: number } {
  return {
    ...(start === null || start === '' ? {} : { fromUs: readTime('start_time', start) }),
    ...(end === null || end === '' ? {} : { untilUs: readTime('end_time', end) })
  }
}

/** A time as people write it (UTC unless it says otherwise): ISO 8601, `2026, Nov 22 20:37`, a job id, or seconds since 1970. */
function readTime(name: string, value: unknown): number {
  const text = String(value).trim()
  const jid = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{6})$/.exec(text)
  const iso = jid ? `${jid.slice(1, 4).join('-')}T${jid.slice(4, 7).join(':')}Z` : withZone(text.replace(',', ''))
  const ms = /^\d{5,12}(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(iso)
  if (Number.isNaN(ms)) throw new ArgumentError('value', `argument '${name}': '${text.slice(0, 60)}' is no time`)
  return Math.round(ms * 1000) + Number(jid?.[7] ?? 0)
}

/** What names no zone is UTC, as job ids are. */
function withZone(text: string): string {
  return /(?:Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}${/\dT\d/.test(text) ? 'Z' : ' UTC'}`
}
