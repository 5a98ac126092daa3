import type { NewEvent } from '../../events/event.js'
import { jidOf } from '../../jobs/jid.js'
import { compileGlob } from '../../tags/glob.js'
import type { Delivery, JobQuery, JobRecord, JobState, JobStore, NewJob, NewReturn, PartAdded, ReturnPart, ReturnRecord } from '../store.js'
import type { Database } from './database.js'
import type { Appender } from './events.js'
import { partReads, partWrites } from './parts.js'
import { markDispatched } from './reactions.js'
import type { Readers } from './readers.js'
import type { Writer } from './writer.js'

/** Rows that one step of trimming deletes before it stops early: a job for ten thousand minions has twenty thousand of them. */
const TRIM_ROWS = 5_000

/** Jobs that one question to the reader looks at, so that a search through a million of them takes turns with others. */
const SEARCHED_AT_ONCE = 2_000

// ── in the writer's thread ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A job's columns as they cross threads; fun, tgt, metadata, missing and arg are JSON. */
interface JobColumns {
  readonly jid: string
  readonly fun: string
  readonly tgt: string
  readonly tgt_type: string
  readonly user: string
  readonly ret: string | null
  readonly metadata: string | null
  readonly deadline_us: number
  readonly published_us: number
  readonly cause_seq: number | null
  readonly cause_depth: number | null
  readonly missing: string
  readonly arg: string
}

interface ReturnColumns {
  readonly jid: string
  readonly minion: string
  readonly fun: string
  readonly retcode: number
  readonly success: number
  readonly out: string | null
  readonly stamp_us: number
  readonly fun_args: string
  readonly return: string
}

export function jobWrites(db: Database, log: Appender) {
  const insertJob = db.prepare(
    `INSERT INTO jobs (jid, state, fun, tgt, tgt_type, user, ret, metadata, deadline_us, published_us, cause_seq, cause_depth, returned,
       outstanding, missing, arg)
     VALUES (@jid, @state, @fun, @tgt, @tgt_type, @user, @ret, @metadata, @deadline_us, @published_us, @cause_seq, @cause_depth, 0,
       @outstanding, @missing, @arg)
     ON CONFLICT DO NOTHING`
  )
  const insertMinion = db.prepare("INSERT OR IGNORE INTO job_minions (jid, minion, state) VALUES (?, ?, 'pending')")
  const dispatched = markDispatched(db)
  const acknowledge = db.prepare("UPDATE job_minions SET state = 'acknowledged' WHERE jid = ? AND minion = ? AND state = 'pending'")
  return {
    'jobs.publish': ([job, minions, reactionId]: [job: JobColumns, minions: readonly string[], reactionId: number | null]) => {
      const expected = new Set(minions)
      // A job that nobody is expected to return is complete from the start.
      const state: JobState = expected.size === 0 ? 'complete' : 'running'
      if (insertJob.run({ ...job, state, outstanding: expected.size }).changes === 0) return 'exists'
      if (reactionId !== null && !dispatched(reactionId, job.published_us)) {
        deleteJob(job.jid)
        return 'exists'
      }
      for (const minion of expected) insertMinion.run(job.jid, minion)
      log.append()
      return 'published'
    },
    'jobs.recordReturn': returnRecorder(db, log),
    'jobs.acknowledge': ([minion, jids]: [minion: string, jids: readonly string[]]): void => {
      for (const jid of jids) acknowledge.run(jid, minion)
    },
    'jobs.expire': expirer(db),
    'jobs.trim': jobTrimmer(db),
    ...partWrites(db)
  }

  function deleteJob(jid: string): void {
    db.prepare('DELETE FROM jobs WHERE jid = ?').run(jid)
  }
}

function returnRecorder(db: Database, log: Appender) {
  const insertReturn = db.prepare(
    `INSERT INTO job_returns (jid, minion, fun, retcode, success, out, stamp_us, fun_args, return)
     VALUES (@jid, @minion, @fun, @retcode, @success, @out, @stamp_us, @fun_args, @return)
     ON CONFLICT DO NOTHING`
  )
  // Salt shows a job that it knows only from its return with these words; see runners/jobs.py, _format_job_instance.
  const insertJob = db.prepare(
    `INSERT INTO jobs (jid, state, fun, tgt, tgt_type, user, deadline_us, published_us, returned, outstanding, missing, arg)
     VALUES (@jid, 'complete', @fun, '"unknown-target"', 'list', 'root', @stamp_us, @stamp_us, 0, 0, '[]', @fun_args)
     ON CONFLICT DO NOTHING`
  )
  const insertMinion = db.prepare("INSERT INTO job_minions (jid, minion, state) VALUES (?, ?, 'returned')")
  const wasExpected = db.prepare("UPDATE job_minions SET state = 'returned' WHERE jid = ? AND minion = ? AND state <> 'returned'")
  const count = db.prepare(
    `UPDATE jobs SET returned = returned + 1, outstanding = outstanding - @expected,
       state = CASE WHEN outstanding - @expected <= 0 THEN 'complete' ELSE state END
     WHERE jid = @jid`
  )
  return (row: ReturnColumns): 'recorded' | 'duplicate' => {
    if (insertReturn.run(row).changes === 0) return 'duplicate'
    if (insertJob.run(row).changes > 0) insertMinion.run(row.jid, row.minion)
    const expected = wasExpected.run(row.jid, row.minion).changes
    count.run({ jid: row.jid, expected })
    log.append()
    return 'recorded'
  }
}

/** Running jobs past their deadline; what was not delivered until now is not delivered any more (`pending` looks at the deadline). */
function expirer(db: Database) {
  const overdue = db.prepare("SELECT jid FROM jobs WHERE state = 'running' AND deadline_us < ? ORDER BY deadline_us LIMIT ?").pluck()
  const expire = db.prepare("UPDATE jobs SET state = 'expired' WHERE jid = ?")
  const dropDeliveries = db.prepare("UPDATE job_minions SET state = 'acknowledged' WHERE jid = ? AND state = 'pending'")
  return ([nowUs, limit]: [nowUs: number, limit: number]): string[] => {
    const jids = overdue.all(nowUs, limit) as string[]
    for (const jid of jids) {
      expire.run(jid)
      dropDeliveries.run(jid)
    }
    return jids
  }
}

function jobTrimmer(db: Database) {
  const old = db.prepare('SELECT jid FROM jobs WHERE published_us < ? ORDER BY published_us LIMIT ?').pluck()
  const dropReturns = db.prepare('DELETE FROM job_returns WHERE jid = ?')
  const dropMinions = db.prepare('DELETE FROM job_minions WHERE jid = ?')
  const dropJob = db.prepare('DELETE FROM jobs WHERE jid = ?')
  return ([beforeUs, limit]: [beforeUs: number, limit: number]): number => {
    let jobs = 0
    let rows = 0
    for (const jid of old.all(beforeUs, limit)) {
      rows += dropReturns.run(jid).changes + dropMinions.run(jid).changes + dropJob.run(jid).changes
      jobs++
      if (rows > TRIM_ROWS) break
    }
    return jobs
  }
}

// ── in a reader's thread ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A job as it crosses threads, a thousand at a time: values in the order of `JOB_COLUMNS`, because names would cost more than they. */
type JobRow = [
  jid: string,
  state: JobState,
  fun: string,
  tgt: string,
  tgtType: string,
  user: string,
  ret: string | null,
  metadata: string | null,
  deadlineUs: number,
  publishedUs: number,
  causeSeq: number | null,
  causeDepth: number | null,
  returned: number,
  missing: string,
  arg: string,
  minions: string
]

/** Rows, and the jid before which the search goes on (null: it is at its end). */
interface FoundJobs {
  readonly rows: JobRow[]
  readonly searchedTo: string | null
}

const JOB_COLUMNS = `jid, state, fun, tgt, tgt_type, user, ret, metadata, deadline_us, published_us, cause_seq, cause_depth, returned,
  missing, arg, (SELECT json_group_array(minion) FROM job_minions WHERE job_minions.jid = jobs.jid) AS minions`
/** Without the lists of minions: a listing of a thousand jobs does not show them, and they may be ten thousand each. */
const BARE_COLUMNS = `jid, state, fun, tgt, tgt_type, user, ret, metadata, deadline_us, published_us, cause_seq, cause_depth, returned,
  '[]' AS missing, arg, '[]' AS minions`

export function jobReads(db: Database) {
  const get = db.prepare(`SELECT ${JOB_COLUMNS} FROM jobs WHERE jid = ?`).raw()
  const returns = db.prepare('SELECT * FROM job_returns WHERE jid = ? ORDER BY stamp_us, minion')
  const pending = db.prepare(
    `SELECT jid, fun, arg, tgt, tgt_type, user, ret, metadata, deadline_us
     FROM job_minions JOIN jobs USING (jid)
     WHERE minion = ? AND job_minions.state = 'pending' AND deadline_us > ? ORDER BY jid LIMIT ?`
  )
  return {
    'jobs.get': (jid: string): JobRow | null => (get.get(jid) as JobRow | undefined) ?? null,
    'jobs.returns': (jid: string): ReturnColumns[] => returns.all(jid) as ReturnColumns[],
    'jobs.list': jobSearch(db),
    'jobs.pending': ([minion, nowUs, limit]: [minion: string, nowUs: number, limit: number]): JobColumns[] =>
      pending.all(minion, nowUs, limit) as JobColumns[],
    ...partReads(db)
  }
}

/** Characters of a function or target that its index has (migration 008). */
const INDEXED = 64
/**
 * Different functions, or targets, among which a search looks for those that fit; each costs one seek, some 10 µs. Where there are more
 * (each job with a target of its own), the search goes through the jobs instead, newest first.
 */
const MAX_NAMES = 5_000

function jobSearch(db: Database) {
  const walk = walker(db)
  const byFun = seeker(db, 'fun')
  const byTgt = seeker(db, 'tgt')
  const columns = {
    bare: db.prepare(`SELECT ${BARE_COLUMNS} FROM jobs WHERE jid = ?`).raw(),
    all: db.prepare(`SELECT ${JOB_COLUMNS} FROM jobs WHERE jid = ?`).raw()
  }
  const newest = (columns: string) => {
    const page = db.prepare(`SELECT ${columns} FROM jobs WHERE jid >= ? AND jid < ? ORDER BY jid DESC LIMIT ?`).raw()
    return ({ from, before }: JidRange, limit: number): FoundJobs => {
      const count = Math.min(limit, SEARCHED_AT_ONCE)
      const rows = page.all(from, before, count) as JobRow[]
      return { rows, searchedTo: rows.length < count ? null : rows.at(-1)![0] }
    }
  }
  const newestBare = newest(BARE_COLUMNS)
  const newestWhole = newest(JOB_COLUMNS)
  return (query: JobQuery): FoundJobs => {
    const range: JidRange = { from: jidFrom(query.fromUs), before: jidBefore(query) }
    const isTimeAlone = query.fun === undefined && query.tgt === undefined && query.state === undefined
    // Every row of the range is one of the answer: no need to look at each before it is fetched.
    if (isTimeAlone) return (query.bare ? newestBare : newestWhole)(range, query.limit)
    const wanted = jobFilter(query)
    const search = query.fun ? byFun(query.fun) : query.tgt ? byTgt(query.tgt) : null
    const { jids, searchedTo } = search && query.state !== 'running' ? search(range, query.limit, wanted) : walk(query, range, wanted)
    const get = query.bare ? columns.bare : columns.all
    return { rows: jids.map(each => get.get(each) as JobRow), searchedTo }
  }
}

/** Jobs with ids from `from` on and before `before`. An id is the time of its job, so this is how a search by time is answered. */
interface JidRange {
  readonly from: string
  readonly before: string
}

interface Searched {
  readonly jids: string[]
  readonly searchedTo: string | null
}

const SEARCHED = 'jid, fun, tgt, state'
type SearchRow = [jid: string, fun: string, tgt: string, state: JobState]
type Wanted = (row: SearchRow) => boolean

/** Goes through the jobs, newest first, so many at a time. */
function walker(db: Database) {
  const look = (state: string) =>
    db.prepare(`SELECT ${SEARCHED} FROM jobs WHERE jid >= ? AND jid < ? ${state} ORDER BY jid DESC LIMIT ${SEARCHED_AT_ONCE}`).raw()
  const all = look('')
  // With the state spelt out, the index of running jobs serves it: they are few among very many.
  const running = look("AND state = 'running'")
  return (query: JobQuery, { from, before }: JidRange, wanted: Wanted): Searched => {
    const jids: string[] = []
    let looked = 0
    let last = before
    for (const row of (query.state === 'running' ? running : all).iterate(from, before) as IterableIterator<SearchRow>) {
      last = row[0]
      looked++
      if (wanted(row)) jids.push(last)
      if (jids.length >= query.limit) break
    }
    const isOver = looked < SEARCHED_AT_ONCE && jids.length < query.limit
    return { jids, searchedTo: isOver ? null : last }
  }
}

/**
 * Searches by the index of one column: which of its names fit, then the newest jobs of each, then the newest of those. Null when there are
 * too many names; a search that other filters thin out goes on where it stopped (`searchedTo`).
 */
function seeker(db: Database, column: 'fun' | 'tgt') {
  const name = `substr(${column}, 1, ${INDEXED})`
  const names = nameWalk(db, name)
  const jobs = db.prepare(`SELECT ${SEARCHED} FROM jobs WHERE ${name} = ? AND jid >= ? AND jid < ? ORDER BY jid DESC LIMIT ?`).raw()
  return (globs: readonly string[]) => {
    const fits = nameFilter(globs)
    const found = names(fits)
    if (found === null) return null
    return ({ from, before }: JidRange, limit: number, wanted: Wanted): Searched => {
      // Of each name so many as the answer has: no more of it can be among the newest.
      const step = Math.max(limit, MIN_STEP)
      let newest: SearchRow[] = []
      // Everything from here on has been looked at, of all names so far.
      let reached = from
      for (const each of found) {
        const rows = jobs.all(each, reached, before, step) as SearchRow[]
        newest.push(...rows.filter(wanted))
        // Older jobs of this name were not looked at.
        if (rows.length === step) reached = rows.at(-1)![0]
        if (newest.length < limit || newest.length < 4 * step) continue
        newest = sorted(newest).slice(0, limit)
        reached = newest.at(-1)![0] > reached ? newest.at(-1)![0] : reached
      }
      const jids = sorted(newest.filter(([jid]) => jid >= reached))
        .slice(0, limit)
        .map(([jid]) => jid)
      return { jids, searchedTo: jids.length === limit ? jids.at(-1)! : reached === from ? null : reached }
    }
  }
}

/** Jobs that a seek fetches of one name at least, because another filter may refuse some. */
const MIN_STEP = 100

function sorted(rows: readonly SearchRow[]): SearchRow[] {
  return [...rows].sort(([a], [b]) => (a < b ? 1 : -1))
}

/** The different names in the index that fit, one seek each; null when there are too many to look at. */
function nameWalk(db: Database, name: string) {
  const next = db.prepare(`SELECT ${name} FROM jobs WHERE ${name} > ? ORDER BY ${name} LIMIT 1`).pluck()
  return (fits: (name: string) => boolean): string[] | null => {
    const found: string[] = []
    let each = next.get('') as string | undefined
    for (let count = 0; each !== undefined; count++) {
      if (count >= MAX_NAMES) return null
      if (fits(each)) found.push(each)
      each = next.get(each) as string | undefined
    }
    return found
  }
}

/** Whether the beginning of a JSON text may be that of a name that fits. What was cut, and lists, are looked at in the row. */
function nameFilter(globs: readonly string[]): (name: string) => boolean {
  const matches = globMatcher(globs)
  return name => name.startsWith('[') || name.length >= INDEXED || matches(name)
}

/** Sorts after every jid, whatever its characters. */
const AFTER_EVERY_JID = '\u{10ffff}'

function jidFrom(us: number | undefined): string {
  return us === undefined ? '' : jidOf(clamped(us))
}

/** The id before which the search begins: where the last page ended, or the first id after the latest time, whatever stands behind its digits. */
function jidBefore({ before, untilUs }: JobQuery): string {
  const bounds = [before ?? AFTER_EVERY_JID, untilUs === undefined ? AFTER_EVERY_JID : jidOf(clamped(untilUs + 1))]
  return bounds[0]! < bounds[1]! ? bounds[0]! : bounds[1]!
}

/** Times that an id can name: the years 1970 to 9999. */
function clamped(us: number): number {
  return Math.min(Math.max(0, us), 253_402_300_799_000_000)
}

/** True for a JSON text or list of texts of which one fits. */
function globMatcher(globs: readonly string[]): (json: string) => boolean {
  const predicates = globs.map(compileGlob)
  return json => [JSON.parse(json) as unknown].flat().some(name => predicates.some(matches => matches(String(name))))
}

function jobFilter({ fun, tgt, state }: JobQuery): Wanted {
  const funFits = fun === undefined ? () => true : globMatcher(fun)
  const tgtFits = tgt === undefined ? () => true : globMatcher(tgt)
  return ([, jobFun, jobTgt, jobState]) => (state === undefined || jobState === state) && funFits(jobFun) && tgtFits(jobTgt)
}

// ── in the API's thread ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

export class SqliteJobs implements JobStore {
  readonly #writer: Writer
  readonly #readers: Readers

  constructor(writer: Writer, readers: Readers) {
    this.#writer = writer
    this.#readers = readers
  }

  async publish(job: NewJob, events: readonly NewEvent[]): Promise<'published' | 'exists'> {
    const columns = jobColumns(job)
    const bytes = columns.arg.length + columns.tgt.length + job.minions.length * 48
    return (await this.#writer.run('jobs.publish', [columns, job.minions, job.reactionId ?? null], events, bytes)).result
  }

  async recordReturn(ret: NewReturn, events: readonly NewEvent[]): Promise<'recorded' | 'duplicate'> {
    const columns = returnColumns(ret)
    return (await this.#writer.run('jobs.recordReturn', columns, events, columns.return.length + columns.fun_args.length)).result
  }

  async get(jid: string): Promise<JobRecord | null> {
    const row = await this.#readers.ask('jobs.get', jid)
    return row === null ? null : jobOf(row)
  }

  async returns(jid: string): Promise<readonly ReturnRecord[]> {
    return (await this.#readers.ask('jobs.returns', jid)).map(returnOf)
  }

  async list(query: JobQuery): Promise<readonly JobRecord[]> {
    const jobs: JobRecord[] = []
    let before = query.before
    while (jobs.length < query.limit) {
      const rest = { ...query, limit: query.limit - jobs.length, ...(before === undefined ? {} : { before }) }
      const { rows, searchedTo } = await this.#readers.scan('jobs.list', rest)
      for (const row of rows) jobs.push(jobOf(row))
      if (searchedTo === null) break
      before = searchedTo
    }
    return jobs
  }

  async pending(minion: string, nowUs: number, limit: number): Promise<readonly Delivery[]> {
    return (await this.#readers.ask('jobs.pending', [minion, nowUs, limit])).map(row => deliveryOf(minion, row))
  }

  async acknowledge(minion: string, jids: readonly string[]): Promise<void> {
    if (jids.length > 0) await this.#writer.run('jobs.acknowledge', [minion, jids])
  }

  async expire(nowUs: number, limit: number): Promise<readonly string[]> {
    return (await this.#writer.run('jobs.expire', [nowUs, limit])).result
  }

  async addPart(part: ReturnPart, limits: { chars: number; beforeUs: number }): Promise<PartAdded> {
    return (await this.#writer.run('jobs.addPart', [part, limits], [], part.text.length)).result
  }

  async parts(minion: string, spool: string, n: number): Promise<string> {
    return (await this.#readers.ask('jobs.parts', [minion, spool, n])).join('')
  }

  async dropParts(minion: string, spool: string, n: number): Promise<void> {
    await this.#writer.run('jobs.dropParts', [minion, spool, n])
  }

  async trim(beforeUs: number, limit: number): Promise<number> {
    return (await this.#writer.run('jobs.trim', [beforeUs, limit])).result
  }
}

function jobColumns(job: NewJob): JobColumns {
  return {
    jid: job.jid,
    fun: JSON.stringify(job.fun),
    tgt: toJson(job.tgt),
    tgt_type: job.tgtType,
    user: job.user,
    ret: job.ret ?? null,
    metadata: job.metadata === undefined ? null : toJson(job.metadata),
    deadline_us: job.deadlineUs,
    published_us: job.publishedUs,
    cause_seq: job.cause?.seq ?? null,
    cause_depth: job.cause?.depth ?? null,
    missing: JSON.stringify(job.missing),
    arg: JSON.stringify(job.arg)
  }
}

function jobOf(row: JobRow): JobRecord {
  const [
    jid,
    state,
    fun,
    tgt,
    tgtType,
    user,
    ret,
    metadata,
    deadlineUs,
    publishedUs,
    causeSeq,
    causeDepth,
    returned,
    missing,
    arg,
    minions
  ] = row
  return {
    jid,
    state,
    fun: JSON.parse(fun) as string | string[],
    arg: listOf(arg),
    tgt: JSON.parse(tgt) as unknown,
    tgtType,
    user,
    minions: listOf(minions) as string[],
    missing: listOf(missing) as string[],
    ...(metadata === null ? {} : { metadata: JSON.parse(metadata) as unknown }),
    ...(ret === null ? {} : { ret }),
    deadlineUs,
    publishedUs,
    cause: causeSeq === null ? null : { seq: causeSeq, depth: causeDepth ?? 0 },
    returned
  }
}

/** Most of these lists are empty. */
function listOf(json: string): unknown[] {
  return json === '[]' ? [] : (JSON.parse(json) as unknown[])
}

function deliveryOf(minion: string, row: JobColumns): Delivery {
  return {
    jid: row.jid,
    minion,
    fun: JSON.parse(row.fun) as string | string[],
    arg: JSON.parse(row.arg) as unknown[],
    tgt: JSON.parse(row.tgt) as unknown,
    tgtType: row.tgt_type,
    user: row.user,
    ret: row.ret ?? '',
    ...(row.metadata === null ? {} : { metadata: JSON.parse(row.metadata) as unknown }),
    deadlineUs: row.deadline_us
  }
}

function returnColumns(ret: NewReturn): ReturnColumns {
  return {
    jid: ret.jid,
    minion: ret.minion,
    fun: JSON.stringify(ret.fun),
    retcode: ret.retcode,
    success: ret.success ? 1 : 0,
    out: ret.out ?? null,
    stamp_us: ret.stampUs,
    fun_args: JSON.stringify(ret.funArgs),
    return: toJson(ret.return)
  }
}

function returnOf(row: ReturnColumns): ReturnRecord {
  return {
    jid: row.jid,
    minion: row.minion,
    fun: JSON.parse(row.fun) as string | string[],
    funArgs: JSON.parse(row.fun_args) as unknown[],
    return: JSON.parse(row.return) as unknown,
    retcode: row.retcode,
    success: row.success === 1,
    ...(row.out === null ? {} : { out: row.out }),
    stampUs: row.stamp_us
  }
}

/** A value that JSON does not know (undefined) is null. */
function toJson(value: unknown): string {
  return JSON.stringify(value) ?? 'null'
}
