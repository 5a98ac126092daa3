import type { Database } from './database.js'
import { type Appender, eventReads, eventWrites } from './events.js'
import { jobReads, jobWrites } from './jobs.js'
import { keyReads, keyWrites } from './keys.js'
import { mineReads, mineWrites } from './mine.js'
import { reactionReads, reactionWrites } from './reactions.js'
import { ruleReads, ruleWrites } from './rules.js'
import { tokenReads, tokenWrites } from './tokens.js'

/**
 * Everything the writer's thread can be asked to do, by name. Each operation runs inside the batch's transaction; one that writes events
 * calls `log.append()`, which writes those that came with it. It may run twice (the first time is rolled back), so it depends on its
 * arguments and the database alone.
 */
export function writes(db: Database, log: Appender) {
  return {
    ...eventWrites(db, log),
    ...jobWrites(db, log),
    ...keyWrites(db, log),
    ...mineWrites(db),
    ...tokenWrites(db),
    ...reactionWrites(db, log),
    ...ruleWrites(db, log)
  }
}

/** Everything a reader's thread can be asked, by name. */
export function reads(db: Database) {
  return {
    ...eventReads(db),
    ...jobReads(db),
    ...keyReads(db),
    ...mineReads(db),
    ...tokenReads(db),
    ...reactionReads(db),
    ...ruleReads(db)
  }
}

export type Writes = ReturnType<typeof writes>
export type Reads = ReturnType<typeof reads>

/** The same lists, for calling by a name that came in a message. */
export type OperationTable = Readonly<Record<string, ((args: never) => unknown) | undefined>>
