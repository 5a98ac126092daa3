import type { PartAdded, ReturnPart } from '../store.js'
import type { Database } from './database.js'

/** In the writer's thread: parts of long returns. */
export function partWrites(db: Database) {
  const dropOld = db.prepare('DELETE FROM return_parts WHERE stamp_us < ?')
  const dropOthers = db.prepare('DELETE FROM return_parts WHERE minion = ? AND NOT (spool = ? AND n = ?)')
  const total = db.prepare('SELECT ifnull(sum(chars), 0) FROM return_parts').pluck()
  const add = db.prepare(`INSERT OR REPLACE INTO return_parts (minion, spool, n, at, chars, stamp_us, text) VALUES (?, ?, ?, ?, ?, ?, ?)`)
  const places = db.prepare('SELECT at, chars FROM return_parts WHERE minion = ? AND spool = ? AND n = ? ORDER BY at').raw()
  const drop = db.prepare('DELETE FROM return_parts WHERE minion = ? AND spool = ? AND n = ?')
  return {
    'jobs.addPart': ([part, limits]: [ReturnPart, { chars: number; beforeUs: number }]): PartAdded => {
      const { minion, spool, n, at, text, stampUs } = part
      dropOld.run(limits.beforeUs)
      dropOthers.run(minion, spool, n)
      if ((total.get() as number) + text.length > limits.chars) return 'full'
      add.run(minion, spool, n, at, text.length, stampUs, text)
      return { have: contiguous(places.all(minion, spool, n) as [number, number][]) }
    },
    'jobs.dropParts': ([minion, spool, n]: [minion: string, spool: string, n: number]): void => {
      drop.run(minion, spool, n)
    }
  }
}

/** In a reader's thread. */
export function partReads(db: Database) {
  const texts = db.prepare('SELECT text FROM return_parts WHERE minion = ? AND spool = ? AND n = ? ORDER BY at').pluck()
  return {
    'jobs.parts': ([minion, spool, n]: [minion: string, spool: string, n: number]): string[] => texts.all(minion, spool, n) as string[]
  }
}

/** Characters that are there from the beginning on, without a hole. */
function contiguous(parts: readonly [at: number, chars: number][]): number {
  let have = 0
  for (const [at, chars] of parts) {
    if (at !== have) break
    have = at + chars
  }
  return have
}
