import { join } from 'node:path'
import type { Mapping } from '../modules/values.js'
import type { MinionOptions } from '../options.js'
import { ScheduleBook } from './book.js'

/** Where the minion keeps changed jobs; the name is that of Salt's file in minion.d. */
export function scheduleFileOf(options: Pick<MinionOptions, 'conf_dir'>): string {
  return join(options.conf_dir, '_schedule.conf')
}

/** The schedule of a minion that does not run: it is changed in its file, and counts when the minion starts. */
export function scheduleFile(options: MinionOptions): { manage(func: string, args: Mapping): Promise<Mapping> } {
  return {
    async manage(func, args) {
      const book = await new ScheduleBook({ config: options.schedule, file: scheduleFileOf(options) }).load()
      return book.manage(func, args)
    }
  }
}
