import { Worker } from 'node:worker_threads'
import { BrineError, brineError } from '../../errors.js'
import type { Failure } from './batch.js'
import { errorOf, RETRY_AFTER_SECONDS } from './failures.js'
import type { Reads } from './operations.js'
import { threadFlags } from './thread.js'

/** A question to a reader's thread, and its answer under the same number. */
export type Question = readonly [number: number, name: string, args: unknown]
export type Answer = readonly [number: number, failure: Failure | null, value: unknown]

export interface ReaderData {
  readonly file: string
}

/** Questions that may wait at one reader. Each belongs to a caller that waits for it; callers are bounded far below this. */
const MAX_ASKED = 20_000

type Ask = <N extends keyof Reads & string>(name: N, args: Parameters<Reads[N]>[0]) => Promise<ReturnType<Reads[N]>>

/**
 * Two reading threads with a connection each: one answers small questions, the other reads pages of long histories, one page per
 * question, so that replays take turns with each other and never keep a small question waiting.
 */
export class Readers {
  readonly #small: Reader
  readonly #pages: Reader

  /** The threads start at once; each opens the file for its first question. */
  constructor(file: string) {
    this.#small = new Reader(file, 'brine-reader')
    this.#pages = new Reader(file, 'brine-pages')
  }

  /** A question that an index answers. */
  readonly ask: Ask = (name, args) => this.#small.ask(name, args)

  /** A page of something long. */
  readonly scan: Ask = (name, args) => this.#pages.ask(name, args)

  async close(): Promise<void> {
    await Promise.all([this.#small.close(), this.#pages.close()])
  }
}

class Reader {
  readonly #worker: Worker
  readonly #asked = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()
  #number = 0
  #gone: BrineError | null = null

  constructor(file: string, name: string) {
    const data: ReaderData = { file }
    this.#worker = new Worker(new URL('./reader.js', import.meta.url), { workerData: data, name, execArgv: threadFlags() })
    this.#worker.on('message', (answer: Answer) => this.#onAnswer(answer))
    this.#worker.on('error', error => this.#lost(error.message))
    this.#worker.on('exit', () => this.#lost('the reader ended'))
  }

  readonly ask: Ask = (name, args) => {
    if (this.#gone !== null) return Promise.reject(this.#gone)
    if (this.#asked.size >= MAX_ASKED) return Promise.reject(new BrineError('STORE_BUSY', [], { retryAfter: RETRY_AFTER_SECONDS }))
    const number = ++this.#number
    const question: Question = [number, name, args]
    return new Promise((resolve, reject) => {
      this.#asked.set(number, { resolve, reject })
      this.#worker.postMessage(question)
    })
  }

  /** Answers that are still to come are not waited for: whoever asked is told. */
  async close(): Promise<void> {
    this.#lost('it is closed')
    await this.#worker.terminate()
  }

  #onAnswer([number, failure, value]: Answer): void {
    const asked = this.#asked.get(number)
    if (asked === undefined) return
    this.#asked.delete(number)
    if (failure === null) asked.resolve(value as never)
    else asked.reject(errorOf(failure))
  }

  #lost(reason: string): void {
    if (this.#gone !== null) return
    this.#gone = brineError('STORE_FAILED', reason)
    for (const { reject } of this.#asked.values()) reject(this.#gone)
    this.#asked.clear()
  }
}
