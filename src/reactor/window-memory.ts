/** The events of open windows, kept in memory: for what gathers without a store (backtests, trials, a minion). Speaks the store's words (`Windows.changes`). */
import type { Seq, StoredEvent } from '../events/event.js'
import type { Windows } from './windows.js'

export class WindowMemory<E extends Pick<StoredEvent, 'seq'>> {
  readonly #events = new Map<string, E[]>()

  /** Takes over what an event changed. Gives the events that windows let go, by rule. */
  apply({ gathered = [], forgotten = [] }: ReturnType<Windows['changes']>, event: E | null): { rule: string; events: readonly E[] }[] {
    for (const { rule, first } of gathered) if (event !== null) this.#of(rule, first).push(event)
    return forgotten.map(({ rule, first, before }) => {
      const events = this.#of(rule, first)
      const stay = events.findIndex(({ seq }) => seq >= before)
      const gone = events.splice(0, stay < 0 ? events.length : stay)
      if (events.length === 0) this.#events.delete(name(rule, first))
      return { rule, events: gone }
    })
  }

  /** The events of a window that is closed, oldest first; they are forgotten. */
  take(rule: string, first: Seq): readonly E[] {
    const events = this.#events.get(name(rule, first)) ?? []
    this.#events.delete(name(rule, first))
    return events
  }

  /** Puts in what an open window has gathered so far. */
  seed(rule: string, first: Seq, events: readonly E[]): void {
    this.#events.set(name(rule, first), [...events])
  }

  /** What still waits, by rule. */
  *waiting(): Generator<{ rule: string; events: readonly E[] }> {
    for (const [key, events] of this.#events) yield { rule: key.slice(key.indexOf(' ') + 1), events }
  }

  #of(rule: string, first: Seq): E[] {
    const key = name(rule, first)
    const known = this.#events.get(key)
    if (known !== undefined) return known
    const events: E[] = []
    this.#events.set(key, events)
    return events
  }
}

function name(rule: string, first: Seq): string {
  return `${first} ${rule}`
}
