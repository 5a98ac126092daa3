import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { BrineError, isBrineError } from '../../errors.js'
import type { Failure } from './batch.js'
import { isCorruption, isSqliteError } from './database.js'

/** Less room than this beside an I/O error means that the room is the reason: SQLite's own shared memory file grows by 32 KiB. */
const NO_ROOM_BYTES = 64 * 1024

/** Seconds after which a writer that met a full queue or a locked file may come again. A batch takes milliseconds. */
export const RETRY_AFTER_SECONDS = 1

/** Any error from SQLite or from an operation, as one of brine's codes. */
export function failureOf(error: unknown, file: string): Failure {
  if (isBrineError(error)) return { code: error.code, values: error.values }
  if (!isSqliteError(error)) return { code: 'STORE_FAILED', values: [error instanceof Error ? error.message : String(error)] }
  if (error.code === 'SQLITE_FULL') return { code: 'STORE_FULL', values: [] }
  if (error.code.startsWith('SQLITE_IOERR') && isFull(file)) return { code: 'STORE_FULL', values: [] }
  if (error.code.startsWith('SQLITE_BUSY')) return { code: 'STORE_BUSY', values: [] }
  if (isCorruption(error.code)) return { code: 'STORE_CORRUPT', values: [file, error.message] }
  return { code: 'STORE_FAILED', values: [`${error.message} (${error.code})`] }
}

/** SQLite's complaints about one value or statement. Any other is about the file or the machine. */
const ABOUT_ONE_OPERATION = /^SQLITE_(CONSTRAINT|MISMATCH|TOOBIG|RANGE)/

/** True when the error is about the file or the machine, so that no other operation of the batch can succeed either. */
export function isEnginesFailure(error: unknown): boolean {
  return isSqliteError(error) && !ABOUT_ONE_OPERATION.test(error.code)
}

/** A failure from another thread as the error that callers meet. */
export function errorOf(failure: Failure): BrineError {
  const mayRetry = failure.code === 'STORE_BUSY' || failure.code === 'STORE_FULL'
  return new BrineError(failure.code, failure.values, mayRetry ? { retryAfter: RETRY_AFTER_SECONDS } : {})
}

function isFull(file: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(file))
    return bavail * bsize < NO_ROOM_BYTES
  } catch {
    return false
  }
}
