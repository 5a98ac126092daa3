import { createContext, Script } from 'node:vm'

/** Work was stopped because it took too long. */
export class TookTooLong extends Error {
  override readonly name = 'TookTooLong'
  constructor(readonly milliseconds: number) {
    super(`stopped after ${milliseconds} ms`)
  }
}

const desk: { work: (() => unknown) | null } = { work: null }
const context = createContext(desk)
const script = new Script('work()')

/** How often work is begun anew that was stopped while something else had the processor, with twice the time each. */
const MAX_STALLS = 4

/**
 * Does work at once and stops it after so many milliseconds, wherever it stands: in a loop, in a sort, inside of a regular expression. For what
 * bounds itself and where a mistake in those bounds would hold up the process for ever. Costs some twenty microseconds, for a watchdog of the
 * engine. The watchdog goes by the wall clock, so where the machine was busy with something else the work is begun anew: it must bear that, and
 * being left half done. Not to be nested.
 * @throws TookTooLong, and what the work throws
 */
export function stoppable<T>(milliseconds: number, work: () => T): T {
  for (let stalls = 0; ; stalls++) {
    const before = process.cpuUsage()
    desk.work = work
    try {
      return script.runInContext(context, { timeout: milliseconds * 2 ** stalls }) as T
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
      const { user, system } = process.cpuUsage(before)
      if (stalls === MAX_STALLS || (user + system) / 1000 > milliseconds / 2) throw new TookTooLong(milliseconds)
    } finally {
      desk.work = null
    }
  }
}
