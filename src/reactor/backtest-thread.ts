/** The backtest's thread: one test, page after page. */
import { parentPort, workerData } from 'node:worker_threads'
import type { Seq, StoredEvent } from '../events/event.js'
import { Backtest, type BacktestRule, type Summary } from './backtest-page.js'
import { slsCompiler } from './compile.js'
import type { DoneCall } from './ledger.js'
import { type MasterFacts, masterCompiler } from './master.js'
import { SlsFiles } from './sources.js'

export interface ThreadData {
  readonly rules: readonly BacktestRule[]
  readonly texts: readonly (readonly [name: string, text: string])[]
  readonly facts: MasterFacts
  readonly maxDepth: number
  readonly after: Seq
  readonly upTo: Seq
  readonly endUs: number
  readonly samples: number
  readonly compare: boolean
}

export interface Page {
  readonly events: readonly StoredEvent[]
  readonly done: readonly DoneCall[]
  /** What there is up to here is in this page or an earlier one. */
  readonly upTo: Seq
  /** No other page follows. */
  readonly last: boolean
}

/** After each page: everything so far, or why it ended. */
export type PageAnswer = { readonly summary: Summary } | { readonly error: string }

const { rules, texts, facts, ...about } = workerData as ThreadData
const files = new SlsFiles(facts)
const compile = slsCompiler(masterCompiler(files, facts))
const backtest = new Backtest({ ...about, rules, texts: new Map(texts), files, compile })
const port = parentPort!
let work: Promise<void> = Promise.resolve()

port.on('message', ({ events, done, upTo, last }: Page) => {
  work = work
    .then(() => backtest.page(events, done, upTo))
    .then(() => (last ? backtest.finish() : undefined))
    .then(
      () => port.postMessage({ summary: backtest.summary } satisfies PageAnswer),
      (error: unknown) => port.postMessage({ error: (error as Error).message } satisfies PageAnswer)
    )
})
