/**
 * What rules would have done about the events of the past (nothing is executed), and how that differs from what was done. Events are found by the
 * store's reading thread and rendered in a thread of the backtest's own, so that neither ingest nor the API waits for it.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { brineError } from '../errors.js'
import type { Seq, StoredEvent } from '../events/event.js'
import type { ReactionRecord, Store, TagFilter } from '../store/store.js'
import type { BacktestRule, DoneCall, Summary } from './backtest-page.js'
import type { Page, PageAnswer, ThreadData } from './backtest-thread.js'
import type { ReactionCall } from './compiled.js'

export interface BacktestQuestion {
  /** In the order in which they apply. */
  readonly rules: readonly BacktestRule[]
  /** SLS texts in the place of files. */
  readonly texts: ReadonlyMap<string, string>
  /** Excluded, included. */
  readonly after: Seq
  readonly upTo: Seq
  readonly fromUs?: number
  readonly untilUs?: number
  readonly samples: number
  /** Whether to compare with what was done: by all rules, by those of one id, or not at all. */
  readonly compare: { readonly rule?: string } | null
}

export interface BacktestProgress {
  /** Positions of the log that were looked at, and how many there are. */
  readonly scanned: number
  readonly total: number
  /** Everything up to here was looked at. */
  readonly at: Seq
  readonly seconds: number
  readonly summary: Summary
  /** More was done about some part of the log than was compared. */
  readonly partial: boolean
}

export interface BacktestOptions {
  readonly store: {
    readonly events: Pick<Store['events'], 'read'>
    readonly reactions: Pick<Store['reactions'], 'list'>
  }
  readonly fileRoots: Readonly<Record<string, readonly string[]>>
  readonly reactorRoots?: readonly string[]
  readonly maxDepth: number
}

/** Each keeps a thread busy; an operator has one question at a time. */
const MAX_RUNNING = 2
/** Positions between two reports: some tenth of a second where few events match. */
const WINDOW = 50_000
/** Pages that wait in the thread while the next one is read. */
const IN_FLIGHT = 2
/** Reactions of a window that are compared. */
const MAX_DONE = 10_000
/** With more tags than this the filter costs more than it saves. */
const MAX_TAGS = 100
/** What a thread's heap may grow to: templates are bounded to some megabytes each. */
const HEAP_MB = 512

export class Backtests {
  readonly #o: BacktestOptions
  #running = 0

  constructor(options: BacktestOptions) {
    this.#o = options
  }

  /**
   * Yields after each part of the log; the last one is the result. Ends with its consumer, or when the signal says so.
   * @throws TOO_MANY while others run
   */
  async *run(question: BacktestQuestion, signal: AbortSignal): AsyncGenerator<BacktestProgress> {
    if (this.#running >= MAX_RUNNING) throw brineError('TOO_MANY', 'backtests at the same time')
    this.#running++
    const thread = this.#thread(question)
    try {
      yield* this.#windows(question, thread, signal)
    } finally {
      this.#running--
      await thread.end()
    }
  }

  async *#windows(question: BacktestQuestion, thread: Thread, signal: AbortSignal): AsyncGenerator<BacktestProgress> {
    const { after, upTo, compare } = question
    const began = performance.now()
    const total = Math.max(0, upTo - after)
    let partial = false
    let summary = await thread.page({ events: [], done: [] })
    for (let from = after; from < upTo && !signal.aborted; from += WINDOW) {
      const to = Math.min(from + WINDOW, upTo)
      const done = compare === null ? [] : await this.#done(from, to, compare)
      partial ||= done.length >= MAX_DONE
      for await (const page of this.#pages(question, from, to)) {
        if (signal.aborted) return
        await thread.put({ events: page.events, done: doneAbout(done, page.after, page.last) })
      }
      summary = await thread.settled(summary)
      yield { scanned: to - after, total, at: to, seconds: (performance.now() - began) / 1000, summary, partial }
    }
    if (total === 0) yield { scanned: 0, total, at: upTo, seconds: 0, summary, partial }
  }

  /** Matching events of a window, and which part of it each page stands for. */
  async *#pages(
    question: BacktestQuestion,
    after: Seq,
    upTo: Seq
  ): AsyncGenerator<{ events: readonly StoredEvent[]; after: Seq; last: Seq }> {
    const { fromUs, untilUs } = question
    const filter = filterOf(question.rules)
    const times = { ...(fromUs === undefined ? {} : { fromUs }), ...(untilUs === undefined ? {} : { untilUs }) }
    let reached = after
    if (question.rules.length > 0) {
      for await (const events of this.#o.store.events.read({ after, upTo, filter, ...times })) {
        const last = events[events.length - 1]!.seq
        yield { events, after: reached, last }
        reached = last
      }
    }
    if (reached < upTo) yield { events: [], after: reached, last: upTo }
  }

  async #done(after: Seq, upTo: Seq, { rule }: { rule?: string }): Promise<DoneCall[]> {
    const found = await this.#o.store.reactions.list({
      fromEvent: after + 1,
      untilEvent: upTo,
      limit: MAX_DONE,
      ...(rule === undefined ? {} : { rule })
    })
    return found.map(doneCall)
  }

  #thread({ rules, texts, samples, compare }: BacktestQuestion): Thread {
    const { fileRoots, reactorRoots = [], maxDepth } = this.#o
    return new Thread({ rules, texts: [...texts], facts: { fileRoots, reactorRoots }, maxDepth, samples, compare: compare !== null })
  }
}

function doneCall({ event, section, call }: ReactionRecord): DoneCall {
  return { event, section, call: call as ReactionCall }
}

function doneAbout(done: readonly DoneCall[], after: Seq, upTo: Seq): DoneCall[] {
  return done.filter(({ event }) => event > after && event <= upTo)
}

/** Only events that some rule can match leave the reading thread. Path patterns are matched later. */
function filterOf(rules: readonly BacktestRule[]): TagFilter {
  const globs = new Set(rules.map(({ tag, match }) => (match === 'glob' ? tag : '*')))
  return globs.has('*') || globs.size > MAX_TAGS ? {} : { include: [...globs] }
}

/** A worker that is given pages and answers each with the summary so far, in order. */
class Thread {
  readonly #worker: Worker
  readonly #waiting: { resolve: (summary: Summary) => void; reject: (error: Error) => void }[] = []
  #pages: Promise<Summary>[] = []
  #last: Summary | null = null

  constructor(data: ThreadData) {
    this.#worker = new Worker(new URL('./backtest-thread.js', import.meta.url), {
      workerData: data,
      name: 'brine-backtest',
      execArgv: process.execArgv.filter(flag => flag === '--enable-source-maps'),
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB }
    })
    this.#worker.on('message', (answer: PageAnswer) => {
      const waiting = this.#waiting.shift()
      if ('summary' in answer) waiting?.resolve(answer.summary)
      else waiting?.reject(new Error(answer.error))
    })
    this.#worker.on('error', error => this.#lost(error))
    this.#worker.on('exit', () => this.#lost(new Error('the thread of the backtest ended')))
  }

  page(page: Page): Promise<Summary> {
    const answer = new Promise<Summary>((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
    answer.catch(() => {})
    this.#worker.postMessage(page)
    return answer
  }

  /** Hands over a page; waits while too many are on their way. */
  async put(page: Page): Promise<void> {
    this.#pages.push(this.page(page))
    if (this.#pages.length > IN_FLIGHT) this.#last = await this.#pages.shift()!
  }

  /** The summary when all pages are done. */
  async settled(otherwise: Summary): Promise<Summary> {
    for (const page of this.#pages) this.#last = await page
    this.#pages = []
    return this.#last ?? otherwise
  }

  async end(): Promise<void> {
    this.#worker.removeAllListeners('exit')
    const gone = once(this.#worker, 'exit')
    await Promise.all([this.#worker.terminate(), gone]).catch(() => {})
  }

  #lost(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}
