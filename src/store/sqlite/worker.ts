/**
 * The writer: a thread that owns the write connection, so that an fsync never blocks the API.
 *
 * Whatever has been posted since the last commit becomes one transaction: while one batch syncs, the next one gathers (group commit).
 * Operations run in the order in which they were posted.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { Batch, Committed, Failure, FromWriter, Refused, ToWriter } from './batch.js'
import { type Database, openForWriting } from './database.js'
import { Appender } from './events.js'
import { failureOf, isEnginesFailure } from './failures.js'
import { type OperationTable, writes } from './operations.js'

export interface WriterData {
  readonly file: string
  /** For tests of a full disk: SQLite refuses to let the file grow beyond so many pages. */
  readonly maxPages?: number
}

/** A transaction takes posted batches until it has this much: enough to make the sync cheap, little enough to keep it short. */
const TRANSACTION_BYTES = 8 * 1024 * 1024

const port = parentPort!
const { file, maxPages } = workerData as WriterData

function main(): void {
  let db: Database
  try {
    db = openForWriting(file)
    if (maxPages !== undefined) db.pragma(`max_page_count = ${maxPages}`)
  } catch (error) {
    send({ kind: 'failed', failure: failureOf(error, file) })
    return
  }
  const writer = new Transactions(db)
  port.on('message', (message: ToWriter) => {
    if (message === 'close') writer.close()
    else writer.take(message)
  })
  send({ kind: 'ready', epoch: db.prepare('SELECT epoch FROM log').pluck().get() as string, head: writer.head })
}

class Transactions {
  readonly #db: Database
  readonly #appender: Appender
  readonly #operations: OperationTable
  readonly #begin
  readonly #commit

  constructor(db: Database) {
    this.#db = db
    this.#appender = new Appender(db)
    this.#operations = writes(db, this.#appender)
    this.#begin = db.prepare('BEGIN IMMEDIATE')
    this.#commit = db.prepare('COMMIT')
  }

  get head(): number {
    return this.#appender.head
  }

  /** Commits this batch together with those that were posted meanwhile. */
  take(first: Batch): void {
    const batches = [first]
    let bytes = first.bytes
    let closing = false
    while (bytes < TRANSACTION_BYTES) {
      const next = receiveMessageOnPort(port) as { message: ToWriter } | undefined
      if (next === undefined) break
      closing = next.message === 'close'
      if (next.message === 'close') break
      batches.push(next.message)
      bytes += next.message.bytes
    }
    send(this.#write(batches))
    if (closing) this.close()
  }

  close(): void {
    try {
      this.#db.pragma('wal_checkpoint(TRUNCATE)')
    } catch {
      // A full disk or a reader in the way: the WAL stays and is read at the next start.
    }
    this.#db.close()
    send({ kind: 'closed' })
    port.close()
  }

  /**
   * First without savepoints, since operations hardly ever fail. If one does, everything is rolled back and run again with a savepoint
   * around each, so that only the one that fails is missing.
   */
  #write(batches: readonly Batch[]): Committed | Refused {
    try {
      return this.#attempt(batches, false)
    } catch (error) {
      this.#rollback()
      if (isEnginesFailure(error)) return refused(batches, error)
    }
    try {
      return this.#attempt(batches, true)
    } catch (error) {
      this.#rollback()
      return refused(batches, error)
    }
  }

  #attempt(batches: readonly Batch[], guarded: boolean): Committed {
    const results: unknown[] = []
    const firsts: number[] = []
    const failures: [number, Failure][] = []
    this.#begin.run()
    for (const batch of batches) {
      this.#appender.load(batch.events)
      for (let i = 0; i < batch.names.length; i++) {
        this.#appender.take(batch.counts[i]!)
        try {
          results.push(guarded ? this.#guarded(batch.names[i]!, batch.args[i]) : this.#run(batch.names[i]!, batch.args[i]))
          firsts.push(this.#appender.first)
        } catch (error) {
          if (!guarded || isEnginesFailure(error)) throw error
          failures.push([results.length, failureOf(error, file)])
          results.push(null)
          firsts.push(0)
        }
      }
    }
    this.#appender.saveHead()
    this.#commit.run()
    this.#appender.committed()
    return { kind: 'committed', results, firsts, failures, head: this.#appender.head }
  }

  #run(name: string, args: unknown): unknown {
    const operation = this.#operations[name]
    if (operation === undefined) throw new Error(`unknown operation ${name}`)
    return operation(args as never)
  }

  #guarded(name: string, args: unknown): unknown {
    const mark = this.#appender.mark()
    this.#db.exec('SAVEPOINT operation')
    try {
      return this.#run(name, args)
    } catch (error) {
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK TO operation')
      this.#appender.backTo(mark)
      throw error
    } finally {
      if (this.#db.inTransaction) this.#db.exec('RELEASE operation')
    }
  }

  #rollback(): void {
    // Some failures (a full disk among them) make SQLite roll back by itself.
    try {
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK')
    } catch {
      // Then the next BEGIN fails as well and says why; ending this thread would not help anybody.
    }
    this.#appender.rolledBack()
  }
}

function refused(batches: readonly Batch[], error: unknown): Refused {
  const failure = failureOf(error, file)
  return {
    kind: 'refused',
    count: batches.reduce((sum, batch) => sum + batch.names.length, 0),
    failure,
    reason: error instanceof Error ? error.message : String(error)
  }
}

function send(message: FromWriter): void {
  port.postMessage(message)
}

main()
