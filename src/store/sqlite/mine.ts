import { type BrineError, brineError } from '../../errors.js'
import type { MineEntry, MineLimits, MineStore } from '../store.js'
import type { Database } from './database.js'
import type { Readers } from './readers.js'
import type { Writer } from './writer.js'

type MineRow = [id: string, fun: string, value: string]
type PutArguments = [id: string, entries: readonly [fun: string, value: string][], instead: boolean, limits: MineLimits]

/** Entries that one answer holds at most: 10,000 minions with ten functions each. */
const MAX_ROWS = 100_000

export function mineWrites(db: Database) {
  const put = db.prepare('INSERT OR REPLACE INTO minion_mine (id, fun, value) VALUES (?, ?, ?)')
  const clear = db.prepare('DELETE FROM minion_mine WHERE id = ?')
  const remove = db.prepare('DELETE FROM minion_mine WHERE id = ? AND fun = ?')
  const size = db.prepare('SELECT count(*), ifnull(sum(octet_length(value)), 0) FROM minion_mine WHERE id = ?').raw()
  return {
    'mine.put': ([id, entries, instead, limits]: PutArguments): void => {
      if (instead) clear.run(id)
      for (const [fun, value] of entries) put.run(id, fun, value)
      const [count, bytes] = size.get(id) as [number, number]
      // Thrown, so that nothing of it is written.
      if (count > limits.functions || bytes > limits.bytes) throw mineFull(limits)
    },
    'mine.remove': ([id, fun]: [id: string, fun: string | null]): void => {
      if (fun === null) clear.run(id)
      else remove.run(id, fun)
    }
  }
}

export function mineReads(db: Database) {
  const ofMinion = db.prepare('SELECT id, fun, value FROM minion_mine WHERE id = ? ORDER BY fun').raw()
  const ofFunction = db.prepare('SELECT id, fun, value FROM minion_mine WHERE fun = ? ORDER BY id LIMIT ?').raw()
  return {
    'mine.ofMinion': (id: string): MineRow[] => ofMinion.all(id) as MineRow[],
    'mine.ofFunction': (fun: string): MineRow[] => ofFunction.all(fun, MAX_ROWS) as MineRow[]
  }
}

export class SqliteMine implements MineStore {
  readonly #writer: Writer
  readonly #readers: Readers

  constructor(writer: Writer, readers: Readers) {
    this.#writer = writer
    this.#readers = readers
  }

  async put(id: string, entries: ReadonlyMap<string, unknown>, instead: boolean, limits: MineLimits): Promise<void> {
    const rows = [...entries].map(([fun, value]) => [fun, JSON.stringify(value)] as [string, string])
    const length = rows.reduce((sum, [fun, value]) => sum + fun.length + value.length, 0)
    await this.#writer.run('mine.put', [id, rows, instead, limits], [], length)
  }

  async remove(id: string, fun: string | null): Promise<void> {
    await this.#writer.run('mine.remove', [id, fun])
  }

  async ofMinion(id: string): Promise<readonly MineEntry[]> {
    return (await this.#readers.ask('mine.ofMinion', id)).map(entryOf)
  }

  async ofFunction(fun: string): Promise<readonly MineEntry[]> {
    return (await this.#readers.ask('mine.ofFunction', fun)).map(entryOf)
  }
}

function mineFull({ functions, bytes }: MineLimits): BrineError {
  return brineError('FIELD_INVALID', 'data', `must not leave the mine with more than ${functions} functions and ${bytes} bytes`)
}

function entryOf([id, fun, value]: MineRow): MineEntry {
  return { id, fun, value: JSON.parse(value) as unknown }
}
