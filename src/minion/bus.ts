import { SystemClock, stampOf } from '../shared/clock.js'
import { compileGlob } from '../tags/glob.js'
import type { MinionLog } from './context.js'
import { isMapping } from './modules/values.js'

type Listener = (tag: string, data: unknown) => void

/** The minion's own bus: what is fired here (`event.fire`) stays on this machine. Nothing is kept; who listens later has missed it. */
export class MinionBus {
  readonly #log: Pick<MinionLog, 'error'>
  readonly #clock = new SystemClock()
  readonly #listeners = new Set<{ readonly matches: (tag: string) => boolean; readonly deliver: Listener }>()

  constructor(log: Pick<MinionLog, 'error'>) {
    this.#log = log
  }

  /** Calls all whose glob matches the tag. An error of one does not stop the others. A mapping gets the time of the event as `_stamp`. */
  fire(tag: string, given: unknown): void {
    const data = isMapping(given) ? { ...given, _stamp: stampOf(this.#clock.nowUs()) } : given
    for (const { matches, deliver } of this.#listeners) {
      if (!matches(tag)) continue
      try {
        deliver(tag, data)
      } catch (error) {
        this.#log.error({ err: error, tag }, 'a listener on the minion bus failed')
      }
    }
  }

  /** @param glob as Salt's tags are matched. Returns its undo. */
  listen(glob: string, deliver: Listener): () => void {
    const entry = { matches: compileGlob(glob), deliver }
    this.#listeners.add(entry)
    return () => this.#listeners.delete(entry)
  }
}
