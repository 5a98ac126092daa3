import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import Sqlite from 'better-sqlite3'
import { brineError } from '../../errors.js'
import { isSqliteError } from './database.js'

/**
 * Keeps two servers from one log. The lock is SQLite's own exclusive lock on `<file>.lock`: the kernel drops it when the process ends,
 * however it ends, so a stale lock cannot block. `<file>.pid` names the holder for people. (It is a file of its own because reading
 * the locked file in this process would drop the lock: POSIX locks end when any descriptor of the file is closed.)
 *
 * Returns its undo. Throws STORE_LOCKED with the holder's pid.
 */
export function lockFile(file: string): () => void {
  const db = new Sqlite(`${file}.lock`, { timeout: 0 })
  try {
    // In memory, so that the lock can be had on a full disk and leaves no journal behind.
    db.pragma('journal_mode = MEMORY')
    db.pragma('locking_mode = EXCLUSIVE')
    db.exec('BEGIN EXCLUSIVE; COMMIT')
  } catch (error) {
    db.close()
    if (isSqliteError(error) && error.code.startsWith('SQLITE_BUSY')) throw brineError('STORE_LOCKED', file, holder(file))
    throw error
  }
  nameHolder(file)
  return () => {
    if (!db.open) return
    rmSync(`${file}.pid`, { force: true })
    db.close()
  }
}

/** For people only, so a full disk is no reason to fail here. */
function nameHolder(file: string): void {
  try {
    writeFileSync(`${file}.pid`, `${process.pid}\n`, { mode: 0o600 })
  } catch {
    rmSync(`${file}.pid`, { force: true })
  }
}

function holder(file: string): string {
  try {
    return readFileSync(`${file}.pid`, 'utf8').trim()
  } catch {
    return 'unknown'
  }
}
