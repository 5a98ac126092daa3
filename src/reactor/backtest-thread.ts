/** The backtest's thread: one test, page after page. */
import { parentPort, workerData } from 'node:worker_threads'
import type { StoredEvent } from '../events/event.js'
import { Backtest, type BacktestRule, type DoneCall, type Summary } from './backtest-page.js'
import { slsCompiler } from './compile.js'
import { type MasterFacts, masterCompiler } from './master.js'
import { SlsFiles } from './sources.js'

export interface ThreadData {
  readonly rules: readonly BacktestRule[]
  readonly texts: readonly (readonly [name: string, text: string])[]
  readonly facts: MasterFacts
  readonly maxDepth: number
  readonly samples: number
  readonly compare: boolean
}

export interface Page {
  readonly events: readonly StoredEvent[]
  readonly done: readonly DoneCall[]
}

/** After each page: everything so far, or why it ended. */
export type PageAnswer = { readonly summary: Summary } | { readonly error: string }

const { rules, texts, facts, maxDepth, samples, compare } = workerData as ThreadData
const files = new SlsFiles(facts)
const compile = slsCompiler(masterCompiler(files, facts))
const backtest = new Backtest({ rules, texts: new Map(texts), files, compile, maxDepth, samples, compare })
const port = parentPort!
let last: Promise<void> = Promise.resolve()

port.on('message', ({ events, done }: Page) => {
  last = last
    .then(() => backtest.page(events, done))
    .then(
      () => port.postMessage({ summary: backtest.summary } satisfies PageAnswer),
      (error: unknown) => port.postMessage({ error: (error as Error).message } satisfies PageAnswer)
    )
})
