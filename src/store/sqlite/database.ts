import { closeSync, existsSync, fsyncSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { BrineError, brineError } from '../../errors.js'
import { packageRoot } from '../../shared/paths.js'

export type Database = Sqlite.Database

/** Marks the file as a brine log (`PRAGMA application_id`): the letters "brin". */
const APPLICATION_ID = 0x6272696e

/** How long SQLite waits for another program's lock (somebody looking with the sqlite3 shell) before it gives up. */
const BUSY_TIMEOUT_MS = 5_000

/**
 * WAL pages after which a commit also copies the WAL into the database file: 8 MiB, some ten milliseconds' work. With SQLite's 1,000 a
 * steady load is held up twice as often, with more the single pause grows.
 */
const CHECKPOINT_PAGES = 2_000

/** What remains of the WAL file after it was reset; a burst may have made it larger. */
const WAL_KEPT_BYTES = 64 * 1024 * 1024

/** A failure that SQLite itself reports. `code` is its name for it (`SQLITE_FULL`). */
export function isSqliteError(error: unknown): error is Error & { code: string } {
  return error instanceof Sqlite.SqliteError
}

/**
 * The write connection: the file is created when it is missing, migrated when it is older, and refused untouched when it is damaged
 * (STORE_CORRUPT) or newer than this program (STORE_NEWER). Commits through it survive a power failure: WAL with synchronous=FULL, which
 * is asserted after a first write, because the driver is built with NORMAL as its default in WAL mode.
 */
export function openForWriting(file: string): Database {
  const isNew = !existsSync(file) || statSync(file).size === 0
  if (!isNew) inspect(file)
  return corruptionNamed(file, () => {
    const db = new Sqlite(file, { timeout: BUSY_TIMEOUT_MS })
    try {
      configure(db)
      migrate(db)
      assertDurable(db)
      if (isNew) syncDirectory(file)
      return db
    } catch (error) {
      db.close()
      throw error
    }
  })
}

/** A connection that only reads. It sees everything that was committed before each of its transactions began. */
export function openForReading(file: string): Database {
  const db = new Sqlite(file, { readonly: true, fileMustExist: true, timeout: BUSY_TIMEOUT_MS })
  // Pages of the file are read through the operating system's cache; 16 MiB of our own hold the inner nodes of every table.
  db.pragma('cache_size = -16000')
  return db
}

function configure(db: Database): void {
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  // macOS only: there fsync alone does not reach the disk's platters.
  db.pragma('fullfsync = ON')
  db.pragma('checkpoint_fullfsync = ON')
  db.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
  db.pragma(`journal_size_limit = ${WAL_KEPT_BYTES}`)
}

/**
 * Writes once, then looks: the level that is in force can only be trusted after a write, since SQLite chooses its WAL default then.
 * Throws STORE_FAILED when a commit would not be synced.
 */
export function assertDurable(db: Database): void {
  db.prepare('UPDATE log SET head = head').run()
  const mode = db.pragma('journal_mode', { simple: true })
  const level = db.pragma('synchronous', { simple: true })
  if (mode !== 'wal' || level !== 2) {
    throw brineError('STORE_FAILED', `commits would not be durable (journal_mode ${String(mode)}, synchronous ${String(level)})`)
  }
}

/** Looks at an existing file without changing it. Cheap on purpose: a start must not read a whole log. */
function inspect(file: string): void {
  corruptionNamed(file, () => {
    const db = new Sqlite(file, { readonly: true, fileMustExist: true, timeout: BUSY_TIMEOUT_MS })
    try {
      const schema = db.pragma('user_version', { simple: true }) as number
      const application = db.pragma('application_id', { simple: true }) as number
      const known = migrations().at(-1)!.number
      if (application !== APPLICATION_ID && (application !== 0 || tableCount(db) > 0)) throw damaged(file, 'it is no brine log')
      if (schema > known) throw brineError('STORE_NEWER', file, schema, known)
      if (schema > 0) probe(db)
    } finally {
      db.close()
    }
  })
}

/** Reads what the start will need anyway, so that damage there is found before anything is written. */
function probe(db: Database): void {
  db.prepare('SELECT epoch, head FROM log').get()
  db.prepare('SELECT * FROM events ORDER BY seq DESC LIMIT 1').get()
  db.prepare('SELECT * FROM events ORDER BY seq LIMIT 1').get()
}

function tableCount(db: Database): number {
  return db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() as number
}

interface Migration {
  readonly number: number
  readonly file: string
}

/**
 * `migrations/001-….sql` and so on: each number once, forward only. `PRAGMA user_version` is the last one applied, so a number that a release left
 * out is never filled later.
 */
function migrations(): Migration[] {
  const folder = join(packageRoot(), 'migrations')
  const found = readdirSync(folder)
    .filter(name => /^\d{3}-.*\.sql$/.test(name))
    .sort()
    .map(name => ({ number: Number(name.slice(0, 3)), file: join(folder, name) }))
  for (const [index, migration] of found.entries()) {
    if (migration.number === found[index - 1]?.number)
      throw new Error(`migrations have a number each; ${migration.file} has that of another`)
  }
  return found
}

/** Applies what the file lacks, all in one transaction: a crash leaves the old schema or the new one. */
function migrate(db: Database): void {
  const applied = db.pragma('user_version', { simple: true }) as number
  const missing = migrations().filter(migration => migration.number > applied)
  if (missing.length === 0) return
  db.exec('BEGIN IMMEDIATE')
  try {
    for (const migration of missing) db.exec(readFileSync(migration.file, 'utf8'))
    db.pragma(`application_id = ${APPLICATION_ID}`)
    db.pragma(`user_version = ${missing.at(-1)!.number}`)
    db.exec('COMMIT')
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK')
    throw error
  }
}

/** A new file is only safe when its directory entry is. */
function syncDirectory(file: string): void {
  if (process.platform === 'win32') return
  const directory = openSync(dirname(file), 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

function corruptionNamed<T>(file: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (isSqliteError(error) && isCorruption(error.code)) throw damaged(file, error.message, error)
    if (isSqliteError(error) && error.code.startsWith('SQLITE_FULL')) throw new BrineError('STORE_FULL', [], { cause: error })
    throw error
  }
}

/** True for SQLite's codes that say that the file's content is not what it should be. */
export function isCorruption(code: string): boolean {
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB'
}

function damaged(file: string, why: string, cause?: unknown): BrineError {
  return new BrineError('STORE_CORRUPT', [file, why], cause === undefined ? {} : { cause })
}
