import type { ReturnRecord } from '../store/store.js'

/** One caller's wait for the returns of one job: what came and was not taken yet, and who is still open. Bounded by the job's minions. */
export class Waiter {
  /** Minions that have not returned. */
  readonly open: Set<string>
  #arrived: ReturnRecord[] = []
  #wake: (() => void) | null = null

  constructor(minions: readonly string[]) {
    this.open = new Set(minions)
  }

  /** Takes a return of an open minion; any other (returned already, not expected) is ignored. */
  deliver(ret: ReturnRecord): void {
    if (!this.open.delete(ret.minion)) return
    this.#arrived.push(ret)
    this.#wake?.()
  }

  /** What arrived since the last call. */
  take(): ReturnRecord[] {
    const arrived = this.#arrived
    this.#arrived = []
    return arrived
  }

  /** Resolves when a return is there, when `ms` have passed without one, or when `signal` aborts. */
  wait(ms: number, signal: AbortSignal): Promise<'returned' | 'timeout' | 'aborted'> {
    if (this.#arrived.length > 0) return Promise.resolve('returned')
    if (signal.aborted) return Promise.resolve('aborted')
    return new Promise(resolve => {
      const end = (how: 'returned' | 'timeout' | 'aborted') => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
        this.#wake = null
        resolve(how)
      }
      const onAbort = () => end('aborted')
      const timer = setTimeout(() => end('timeout'), ms)
      signal.addEventListener('abort', onAbort, { once: true })
      this.#wake = () => end('returned')
    })
  }
}
