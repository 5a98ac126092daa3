import { join } from 'node:path'
import t from 'tap'
import { type Database, openForWriting } from '../../src/store/sqlite/database.js'
import { Appender } from '../../src/store/sqlite/events.js'
import { reads, writes } from '../../src/store/sqlite/operations.js'
import { tempFolder } from '../helpers/store.js'

/** Tables with one row, with as many as people make by hand, or (`return_parts`) with what is on its way at this moment. */
const SMALL = ['log', 'reactor', 'room', 'rules', 'rule_states', 'minion_keys', 'minion_facts', 'enrolments', 'return_parts', 'json_each']

/**
 * Statements that walk a table in the order of its key and stop early by themselves: at their LIMIT, or at the first row that fits.
 * `event_blocks` has a row per 1,024 events, so that walking all of it for the oldest time takes milliseconds for a hundred million events.
 */
const STOPS_EARLY = [
  'SELECT seq, stamp_us, octet_length(json) FROM events ORDER BY seq LIMIT ?',
  'SELECT block FROM event_blocks WHERE max_us >= ? ORDER BY block LIMIT 1',
  'SELECT block FROM event_blocks WHERE min_us <= ? ORDER BY block DESC LIMIT 1',
  // The index holds plans that wait alone.
  'SELECT held, count(*) FROM plans WHERE held IS NOT NULL GROUP BY held',
  // The index holds open plans alone.
  'SELECT count(*) FROM (SELECT 1 FROM plans WHERE due_us IS NOT NULL LIMIT 100000)',
  'SELECT id, event, rule, version, sls, position, state, error, attempts, changed_us, held, blocked, forced, gathered FROM plans WHERE due_us IS NOT NULL AND due_us <= ? ORDER BY event, position LIMIT ?',
  "UPDATE plans SET held = 'paused', due_us = NULL WHERE rule = ? AND due_us IS NOT NULL",
  'SELECT rule, key, first, due_us, body FROM reactor_windows ORDER BY rule, key LIMIT ?',
  // Nothing asked: the newest ones.
  'SELECT id, plan, event, rule, sls, section, jid, state, error, attempts, planned_us AS plannedUs, changed_us AS changedUs, held, call FROM reactions ORDER BY id DESC LIMIT @limit'
]

t.test('no statement looks through a table that grows: an index answers each', async t => {
  const db = openForWriting(join(await tempFolder(t), 'brine.db'))
  t.teardown(async () => {
    db.close()
  })
  const statements: string[] = []
  const recording = recorder(db, statements)
  writes(recording, new Appender(recording))
  const { 'reactions.list': list } = reads(recording)
  for (const query of [{}, { rule: 'r' }, { event: 1 }, { jid: 'j' }, { state: 'failed' }, { before: 9 }] as const)
    list({ ...query, limit: 1 })

  t.ok(statements.length > 50)
  for (const sql of statements.filter(sql => !STOPS_EARLY.includes(sql.replace(/\s+/g, ' ').trim()))) {
    t.strictSame(scans(db, sql), [], sql)
  }
})

t.test('a search of jobs by function or target is answered by the index of it, and by time by the ids', async t => {
  const db = openForWriting(join(await tempFolder(t), 'brine.db'))
  t.teardown(async () => {
    db.close()
  })
  const statements: string[] = []
  const { 'jobs.list': list } = reads(recorder(db, statements))
  for (const query of [{ fun: ['test.*'] }, { tgt: ['m1'] }, { fromUs: 1 }, { fromUs: 1, bare: true }, { state: 'running' }] as const)
    list({ ...query, limit: 1 })
  const plans = statements.filter(sql => /FROM jobs/.test(sql)).flatMap(sql => planOf(db, sql))
  t.strictSame(
    plans.filter(step => /SCAN jobs|TEMP B-TREE/.test(step)),
    []
  )
  for (const index of [
    'jobs_by_fun (<expr>=? AND jid>? AND jid<?)',
    'jobs_by_tgt (<expr>=? AND jid>? AND jid<?)',
    'jobs_by_fun (<expr>>?)',
    // The ids are times; a search by time alone reads the jobs in their order.
    'SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (jid>? AND jid<?)'
  ]) {
    t.ok(
      plans.some(step => step.includes(index)),
      index
    )
  }
  t.ok(
    plans.some(step => step.includes('jobs_running_by_jid (jid>? AND jid<?)')),
    'running jobs'
  )
})

/** A database that tells what was prepared on it. */
function recorder(db: Database, statements: string[]): Database {
  return new Proxy(db, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown
      if (name === 'prepare') {
        return (sql: string) => {
          statements.push(sql)
          return target.prepare(sql)
        }
      }
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}

/** Steps of the query plan that read a whole table. */
function scans(db: Database, sql: string): string[] {
  return planOf(db, sql).filter(detail => /^SCAN (\S+)/.test(detail) && !SMALL.includes(/^SCAN (\S+)/.exec(detail)![1]!))
}

function planOf(db: Database, sql: string): string[] {
  const bare = sql.replace(/@\w+/g, '?')
  const parameters = (bare.match(/\?/g) ?? []).map(() => null)
  return (db.prepare(`EXPLAIN QUERY PLAN ${bare}`).all(...parameters) as { detail: string }[]).map(({ detail }) => detail)
}
