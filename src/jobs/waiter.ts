import type { ReturnRecord } from '../store/store.js'

/** One caller's wait for the returns of one job: what came and was not taken yet, and who is still open. Bounded by the job's minions. */
export class Waiter {
  /** Minions that have not returned. */
  readonly open: Set<string>
  #arrived: ReturnRecord[] = []
  #ended = false
  #wake: (() => void) | null = null

  constructor(minions: readonly string[]) {
    this.open = new Set(minions)
  }

  /** True after `end`: nobody waits any more. */
  get ended(): boolean {
    return this.#ended
  }

  /** Takes a return of an open minion; any other (returned already, not expected) is ignored. */
  deliver(ret: ReturnRecord): void {
    if (!this.open.delete(ret.minion)) return
    this.#arrived.push(ret)
    this.#wake?.()
  }

  /** Ends the wait, now and for later. */
  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  /** What arrived since the last call. */
  take(): ReturnRecord[] {
    const arrived = this.#arrived
    this.#arrived = []
    return arrived
  }

  /** Resolves true when a return is there or the wait has ended, false when `ms` have passed without either. */
  wait(ms: number): Promise<boolean> {
    if (this.#arrived.length > 0 || this.#ended) return Promise.resolve(true)
    return new Promise(resolve => {
      const wake = (news: boolean) => {
        clearTimeout(timer)
        this.#wake = null
        resolve(news)
      }
      const timer = setTimeout(() => wake(false), ms)
      this.#wake = () => wake(true)
    })
  }
}
