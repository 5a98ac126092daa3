import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Logger } from 'pino'
import { BrineError, isBrineError } from '../../errors.js'
import type { Clock } from '../../shared/clock.js'
import type { Store, StoreStats } from '../store.js'
import { SqliteEvents } from './events.js'
import { SqliteJobs } from './jobs.js'
import { SqliteKeys } from './keys.js'
import { lockFile } from './lock.js'
import { SqliteMine } from './mine.js'
import { SqliteReactions } from './reactions.js'
import { Readers } from './readers.js'
import { SqliteRules } from './rules.js'
import { SqliteTokens } from './tokens.js'
import { Writer } from './writer.js'

export interface SqliteOptions {
  /** The log's file; it and its folder are made when they are missing. */
  readonly file: string
  readonly clock: Clock
  readonly log?: Pick<Logger, 'error' | 'warn' | 'info'>
  /** Operations that may wait for their commit; default 20,000: about half a second's worth. Beyond it writers get STORE_BUSY. */
  readonly maxWaiting?: number
  /** Bytes that may wait; default 128 MiB, so that twenty thousand large events cannot take the memory. */
  readonly maxWaitingBytes?: number
  /** For tests of a full disk: the file may not grow beyond so many pages of 4 KiB. */
  readonly maxPages?: number
}

/**
 * Opens the log, making or migrating it as needed. Reads no more than a few pages, however long the log is.
 *
 * Throws STORE_LOCKED (another server has it), STORE_CORRUPT or STORE_NEWER (the file is left as it was), STORE_FULL.
 */
export async function openSqliteStore(options: SqliteOptions): Promise<Store> {
  const { file, clock, log, maxWaiting = 20_000, maxWaitingBytes = 128 * 1024 * 1024, maxPages } = options
  const unlock = claim(file)
  // Loads its threads while the writer makes or migrates the file.
  const readers = new Readers(file)
  try {
    const writer = await Writer.start({
      file,
      maxWaiting,
      maxWaitingBytes,
      ...(log && { log }),
      ...(maxPages === undefined ? {} : { maxPages })
    })
    return new SqliteStore(file, clock, writer, readers, unlock)
  } catch (error) {
    await readers.close()
    unlock()
    throw error
  }
}

/** Makes folder and file where they are missing, readable by their owner alone (returns and grains are nobody else's business), and locks the file. */
function claim(file: string): () => void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    const unlock = lockFile(file)
    // Under the lock: closing a descriptor of a file that this process has open as a database would end SQLite's locks on it.
    closeSync(openSync(file, 'a', 0o600))
    return unlock
  } catch (error) {
    if (isBrineError(error)) throw error
    throw new BrineError('STORE_FAILED', [`${file}: ${(error as Error).message}`], { cause: error })
  }
}

class SqliteStore implements Store {
  readonly location: string
  readonly events: SqliteEvents
  readonly jobs: SqliteJobs
  readonly keys: SqliteKeys
  readonly tokens: SqliteTokens
  readonly mine: SqliteMine
  readonly reactions: SqliteReactions
  readonly rules: SqliteRules
  readonly #writer: Writer
  readonly #readers: Readers
  readonly #unlock: () => void
  #closing: Promise<void> | null = null

  constructor(file: string, clock: Clock, writer: Writer, readers: Readers, unlock: () => void) {
    this.location = file
    this.#writer = writer
    this.#readers = readers
    this.#unlock = unlock
    this.events = new SqliteEvents(writer, readers, clock)
    this.jobs = new SqliteJobs(writer, readers)
    this.keys = new SqliteKeys(writer, readers)
    this.tokens = new SqliteTokens(writer, readers)
    this.mine = new SqliteMine(writer, readers)
    this.reactions = new SqliteReactions(writer, readers, clock)
    this.rules = new SqliteRules(writer, readers)
  }

  stats(): StoreStats {
    const { waiting, commits, committedEvents, failing } = this.#writer
    return { waiting, commits, committedEvents, failing }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** The readers first: the last connection to close then is the writer's, which copies the WAL into the file. */
  async #close(): Promise<void> {
    try {
      await this.#writer.drain()
      await this.#readers.close()
      await this.#writer.close()
    } finally {
      this.#unlock()
    }
  }
}
