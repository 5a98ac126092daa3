/**
 * What rules would have done about the events of the past (nothing is executed), and how that differs from what was done. Events are found by the
 * store's reading thread and rendered in a thread of the backtest's own, so that neither ingest nor the API waits for it.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { brineError } from '../errors.js'
import type { Seq, StoredEvent } from '../events/event.js'
import type { Clock } from '../shared/clock.js'
import type { ReactionRecord, Store, TagFilter } from '../store/store.js'
import type { BacktestRule, Summary } from './backtest-page.js'
import type { Page, PageAnswer, ThreadData } from './backtest-thread.js'
import type { DoneCall } from './ledger.js'
import { durationUs, NO_OPTIONS, type RuleOptions } from './options.js'
import { gatheringOf } from './windows.js'

export interface BacktestQuestion {
  /** In the order in which they apply. */
  readonly rules: readonly BacktestRule[]
  /** SLS texts in the place of files. */
  readonly texts: ReadonlyMap<string, string>
  /** Excluded, included. */
  readonly after: Seq
  readonly upTo: Seq
  /** Where the range begins and ends in time, if that was asked; else the stamps of its events tell. */
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
  /** It is the result: nothing follows. */
  readonly done: boolean
  /** More was done about some part of the log than was compared. */
  readonly partial: boolean
}

export interface BacktestOptions {
  readonly store: {
    readonly events: Pick<Store['events'], 'read' | 'head' | 'oldest' | 'seqBefore'>
    readonly reactions: Pick<Store['reactions'], 'list'>
  }
  readonly fileRoots: Readonly<Record<string, readonly string[]>>
  readonly reactorRoots?: readonly string[]
  readonly maxDepth: number
  readonly clock: Pick<Clock, 'nowUs'>
}

/** Each keeps a thread busy; an operator has one question at a time. */
const MAX_RUNNING = 2
/** Positions between two reports: some tenth of a second where few events match. */
const WINDOW = 50_000
/** Pages that wait in the thread while the next one is read. */
const IN_FLIGHT = 2
/** Reactions to the events of a page that are compared, and how many are asked for at a time. */
const MAX_DONE = 100_000
const DONE_AT_A_TIME = 10_000
/** Windows are begun so many times their length before the range: they are as they were when there was a pause in between. */
const LEAD = 2
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
    let thread: Thread | null = null
    try {
      const range = await this.#rangeOf(question)
      thread = this.#thread(question, range)
      yield* this.#parts(question, range, thread, signal)
    } finally {
      this.#running--
      await thread?.end()
    }
  }

  async *#parts(question: BacktestQuestion, range: Range, thread: Thread, signal: AbortSignal): AsyncGenerator<BacktestProgress> {
    const { after, upTo } = question
    const began = performance.now()
    const total = Math.max(0, upTo - after)
    let partial = false
    for (let from = range.from; from < range.to && !signal.aborted; from += WINDOW) {
      const to = Math.min(from + WINDOW, range.to)
      for await (const page of this.#pages(question, from, to)) {
        if (signal.aborted) return
        const done = await this.#done(question, page)
        partial ||= done.length >= MAX_DONE
        await thread.put({ events: page.events, done, upTo: page.last, last: false })
      }
      const summary = await thread.settled()
      const at = Math.min(Math.max(to, after), upTo)
      const seconds = (performance.now() - began) / 1000
      if (to < range.to) yield { scanned: at - after, total, at, seconds, summary, partial, done: false }
    }
    if (signal.aborted) return
    const summary = await thread.page({ events: [], done: [], upTo, last: true })
    yield { scanned: total, total, at: upTo, seconds: (performance.now() - began) / 1000, summary, partial, done: true }
  }

  /** Matching events of a part of the log, and what each page stands for. */
  async *#pages({ rules }: BacktestQuestion, after: Seq, upTo: Seq): AsyncGenerator<Part & { readonly events: readonly StoredEvent[] }> {
    let reached = after
    if (rules.length > 0) {
      for await (const events of this.#o.store.events.read({ after, upTo, filter: filterOf(rules) })) {
        const last = events[events.length - 1]!.seq
        yield { events, after: reached, last }
        reached = last
      }
    }
    if (reached < upTo) yield { events: [], after: reached, last: upTo }
  }

  /** What was done about the events of a part of the range. */
  async #done({ after, upTo, compare }: BacktestQuestion, part: Part): Promise<DoneCall[]> {
    const within = { fromEvent: Math.max(after, part.after) + 1, untilEvent: Math.min(upTo, part.last) }
    if (compare === null || within.fromEvent > within.untilEvent) return []
    const about = { ...within, limit: DONE_AT_A_TIME, ...(compare.rule === undefined ? {} : { rule: compare.rule }) }
    const found: DoneCall[] = []
    for (let before: number | undefined; found.length < MAX_DONE; ) {
      const some = await this.#o.store.reactions.list({ ...about, ...(before === undefined ? {} : { before }) })
      found.push(...some.map(doneCall))
      if (some.length < DONE_AT_A_TIME) break
      before = some[some.length - 1]!.id
    }
    return found
  }

  /** What is read around the range, so that windows are filled before it and closed after it, and when time stands still. */
  async #rangeOf({ rules, after, upTo, fromUs, untilUs }: BacktestQuestion): Promise<Range> {
    const { events } = this.#o.store
    const longestUs = Math.max(0, ...rules.map(longestOf))
    const nowUs = this.#o.clock.nowUs()
    const [head, oldest] = await Promise.all([events.head(), events.oldest()])
    const endUs = Math.min(nowUs, upTo >= head ? nowUs : (untilUs ?? (await this.#stampOf(upTo))) + longestUs)
    if (longestUs === 0 || after >= upTo) return { from: after, to: upTo, endUs }
    const beginUs = after < oldest ? Number.NEGATIVE_INFINITY : (fromUs ?? (await this.#stampOf(after)))
    const from = beginUs === Number.NEGATIVE_INFINITY ? after : Math.min(after, await events.seqBefore(beginUs - LEAD * longestUs))
    const to = upTo >= head ? upTo : Math.max(upTo, await events.seqBefore(endUs + 1))
    return { from: Math.max(from, Math.min(after, oldest - 1)), to, endUs }
  }

  /** The stamp of an event, or of the next one that is kept; now when there is none. */
  async #stampOf(seq: Seq): Promise<number> {
    const { events } = this.#o.store
    for await (const [event] of events.read({ after: seq - 1, upTo: await events.head(), limit: 1 })) return event!.stampUs
    return this.#o.clock.nowUs()
  }

  #thread({ rules, texts, samples, compare, after, upTo }: BacktestQuestion, { endUs }: Range): Thread {
    const { fileRoots, reactorRoots = [], maxDepth } = this.#o
    const facts = { fileRoots, reactorRoots }
    return new Thread({ rules, texts: [...texts], facts, maxDepth, after, upTo, endUs, samples, compare: compare !== null })
  }
}

/** Positions of the log. `after` is excluded. */
interface Part {
  readonly after: Seq
  readonly last: Seq
}

/** What is read, `from` excluded, and the time (microseconds) by which what is not due still waits. */
interface Range {
  readonly from: Seq
  readonly to: Seq
  readonly endUs: number
}

function doneCall({ event, rule, section, call, state, error, plannedUs, changedUs }: ReactionRecord): DoneCall {
  return { event, rule, section, call, state, error, plannedUs, changedUs }
}

/** How long an event may matter to what comes after it; microseconds. */
function longestOf(given: BacktestRule): number {
  const rule: RuleOptions = { ...NO_OPTIONS, ...given }
  const gathering = gatheringOf(rule)
  const ofWindow = gathering === null ? 0 : Number.isFinite(gathering.maxUs) ? gathering.maxUs : gathering.periodUs
  return Math.max(ofWindow, rule.rate_limit === null ? 0 : durationUs(rule.rate_limit.per)!)
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
  #last: Promise<Summary> | null = null

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
    this.#last = this.page(page)
    this.#pages.push(this.#last)
    if (this.#pages.length > IN_FLIGHT) await this.#pages.shift()!
  }

  /** The summary when all pages are done. */
  async settled(): Promise<Summary> {
    const last = this.#last ?? this.page({ events: [], done: [], upTo: 0, last: false })
    await Promise.all(this.#pages)
    this.#pages = []
    return last
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
