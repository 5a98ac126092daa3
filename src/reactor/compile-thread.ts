/** The thread of templates that take long: one after the other, each with the whole time that a template may have. */
import { parentPort, workerData } from 'node:worker_threads'
import { compileSls } from './compile.js'
import type { CompiledSls, SlsEvent } from './compiled.js'
import { type MasterFacts, masterCompiler } from './master.js'
import { SlsFiles, type SlsSource } from './sources.js'

export interface SlowSls {
  readonly id: number
  readonly source: SlsSource
  readonly event: SlsEvent
}

export type SlowAnswer = { readonly id: number; readonly milliseconds: number } & (
  | { readonly compiled: CompiledSls }
  | { readonly error: string }
)

const facts = workerData as MasterFacts
const options = masterCompiler(new SlsFiles(facts), facts)
const port = parentPort!

port.on('message', ({ id, source, event }: SlowSls) => {
  const from = performance.now()
  const answer = (outcome: { compiled: CompiledSls } | { error: string }) =>
    port.postMessage({ id, milliseconds: performance.now() - from, ...outcome } satisfies SlowAnswer)
  try {
    answer({ compiled: compileSls(source, event, options) })
  } catch (error) {
    answer({ error: (error as Error).message })
  }
})
