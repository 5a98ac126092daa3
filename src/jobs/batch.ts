import type { ReturnRecord } from '../store/store.js'
import type { FollowOptions, Jobs, Published, PublishRequest } from './jobs.js'

export interface BatchOptions {
  readonly jobs: Pick<Jobs, 'collect' | 'follow'>
  readonly publish: (request: PublishRequest) => Promise<Published>
  readonly request: PublishRequest
  /** Minions at a time; with `percent` a share of those that answer. */
  readonly batch: { readonly count: number; readonly percent: boolean }
  readonly wait: FollowOptions
}

/**
 * Runs a job on its minions a few at a time, as `salt -b` does: a test.ping finds out who is there, then jobs to lists of minions keep so many
 * at work; when one returns, or is given up, the next one starts. Gives the returns as they come; who does not return is left out. Nothing
 * more starts once `wait.signal` has aborted.
 */
export async function* inBatches(options: BatchOptions): AsyncGenerator<ReturnRecord, void> {
  const waiting = await answering(options)
  const { count, percent } = options.batch
  const size = percent ? Math.max(1, Math.floor((waiting.length * count) / 100)) : count
  const window = new Window(options)
  while (waiting.length > 0 || !window.idle) {
    if (options.wait.signal?.aborted) return
    const next = waiting.splice(0, Math.max(0, size - window.busy))
    if (next.length > 0) window.begin(next)
    yield* await window.next()
  }
}

/** Ids of the targeted minions that answer a test.ping, in their order and not that of the answers. */
async function answering({ jobs, publish, request, wait }: BatchOptions): Promise<string[]> {
  const { tgt, tgtType, delimiter, user, timeoutSeconds, gatherSeconds } = request
  const ping = await publish({ tgt, tgtType, delimiter, user, timeoutSeconds, gatherSeconds, fun: 'test.ping', arg: [] })
  if (ping.status === 'no-match') return []
  return [...(await jobs.collect(ping.jid, ping.minions, wait.timeoutSeconds, wait)).keys()].sort()
}

/** The minions at work now, in one or more jobs. */
class Window {
  readonly #o: BatchOptions
  readonly #open = new Set<string>()
  #arrived: ReturnRecord[] = []
  #failure: { readonly error: unknown } | null = null
  #wake: (() => void) | null = null

  constructor(options: BatchOptions) {
    this.#o = options
  }

  get busy(): number {
    return this.#open.size
  }

  /** Nobody is at work, and everything that came was taken. */
  get idle(): boolean {
    return this.busy === 0 && this.#arrived.length === 0 && this.#failure === null
  }

  /** Publishes the job to these minions. What goes wrong is thrown by `next`. */
  begin(minions: readonly string[]): void {
    for (const id of minions) this.#open.add(id)
    this.#work(minions)
      .catch(error => {
        this.#failure ??= { error }
      })
      .finally(() => {
        for (const id of minions) this.#open.delete(id)
        this.#wake?.()
      })
  }

  /** Waits until something has changed and gives the returns that came. */
  async next(): Promise<ReturnRecord[]> {
    if (this.#arrived.length === 0 && this.#failure === null && this.busy > 0) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
      this.#wake = null
    }
    if (this.#failure) throw this.#failure.error
    return this.#arrived.splice(0)
  }

  async #work(minions: readonly string[]): Promise<void> {
    // each part of a batch is a job of its own, so a job id that the caller chose is not used
    const { jid: _, ...request } = this.#o.request
    const published = await this.#o.publish({ ...request, tgt: minions, tgtType: 'list' })
    if (published.status === 'no-match') return
    for await (const ret of this.#o.jobs.follow(published.jid, published.minions, this.#o.wait)) {
      this.#arrived.push(ret)
      this.#open.delete(ret.minion)
      this.#wake?.()
    }
  }
}
