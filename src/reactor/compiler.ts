/**
 * Compiles SLS files without holding up the process. Nearly all take a millisecond: they are rendered here. One that takes longer is stopped and
 * done again in a thread, where it has its whole time, and goes there at once the next time: a hostile template costs everybody else some
 * milliseconds once, not a quarter of a second at each event.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { brineError } from '../errors.js'
import { type CompilerOptions, compileSls, resting } from './compile.js'
import type { SlowAnswer, SlowSls } from './compile-thread.js'
import type { CompiledSls, CompileSls, SlsEvent } from './compiled.js'
import type { MasterFacts } from './master.js'
import { Quarantine } from './quarantine.js'
import { DEFAULT_LIMITS } from './render.js'
import type { SlsSource } from './sources.js'

export interface CompilerSettings {
  /** For what is rendered here, without limits. */
  readonly here: CompilerOptions
  readonly facts: MasterFacts
  /** Milliseconds that a rendering may take here. */
  readonly hereMs?: number
  /** Milliseconds, for the quarantine. */
  readonly now?: () => number
}

/** What a rendering may take here. Real files take a twentieth of it, and what needs more loses nothing but this. */
const HERE_MS = 20
/** Texts that are known to take long. Beyond it the one that was learnt first is tried here again. */
const MAX_SLOW = 200
/** A thread that is silent for so long about one template is not coming back: its limits have failed. */
const SILENT_MS = 10 * DEFAULT_LIMITS.milliseconds
/** What the thread's heap may grow to: templates are bounded to some megabytes each. */
const HEAP_MB = 256

interface Waiting {
  readonly request: SlowSls
  readonly resolve: (answer: SlowAnswer) => void
  readonly reject: (error: Error) => void
}

export class Compiler {
  readonly #o: CompilerSettings
  readonly #hereMs: number
  readonly #quarantine: Quarantine
  readonly #slow = new Set<string>()
  readonly #waiting: Waiting[] = []
  #thread: Worker | null = null
  #timer: NodeJS.Timeout | null = null
  #stopped = false
  #next = 1

  constructor(settings: CompilerSettings) {
    this.#o = settings
    this.#hereMs = settings.hereMs ?? HERE_MS
    this.#quarantine = new Quarantine(settings.now)
  }

  /** Templates that wait for the thread, or are rendered in it. */
  get waiting(): number {
    return this.#waiting.length
  }

  readonly compile: CompileSls = (source, event) => {
    const seconds = this.#quarantine.rests(source.text)
    if (seconds > 0) return resting(source.file, seconds)
    if (this.#slow.has(source.text)) return this.#inThread(source, event)
    const compiled = compileSls(source, event, { ...this.#o.here, limits: { milliseconds: this.#hereMs } })
    if (compiled.fault?.kind !== 'limit') return compiled
    this.#slow.add(source.text)
    if (this.#slow.size > MAX_SLOW) this.#slow.delete(this.#slow.values().next().value!)
    return this.#inThread(source, event)
  }

  /** Ends the thread; what waits for it is refused. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#drop(brineError('SHUTTING_DOWN'))
  }

  async #inThread(source: SlsSource, event: SlsEvent): Promise<CompiledSls> {
    const bare = ({ tag, json }: SlsEvent) => ({ tag, json })
    const answer = await this.#ask(source, { ...bare(event), ...(event.events === undefined ? {} : { events: event.events.map(bare) }) })
    if ('error' in answer) throw new Error(answer.error)
    const { compiled, milliseconds } = answer
    if (compiled.fault?.kind === 'limit') this.#quarantine.stopped(source.text)
    // It was slow for another reason: a busy machine, or another event's data.
    else if (milliseconds < this.#hereMs / 2) this.#slow.delete(source.text)
    return compiled
  }

  #ask(source: SlsSource, event: SlsEvent): Promise<SlowAnswer> {
    if (this.#stopped) return Promise.reject(brineError('SHUTTING_DOWN'))
    return new Promise((resolve, reject) => {
      const request = { id: this.#next++, source, event }
      this.#waiting.push({ request, resolve, reject })
      if (this.#waiting.length === 1) this.#send()
    })
  }

  /** Hands over the first that waits: one at a time, so that the silence of the thread is about this one. */
  #send(): void {
    const first = this.#waiting[0]
    if (first === undefined) return
    this.#thread ??= this.#started()
    this.#thread.postMessage(first.request)
    this.#timer = setTimeout(() => this.#giveUp(`the template gave no answer within ${SILENT_MS} ms`), SILENT_MS)
    this.#timer.unref()
  }

  #answered(answer: SlowAnswer): void {
    if (this.#waiting[0]?.request.id !== answer.id) return
    if (this.#timer) clearTimeout(this.#timer)
    this.#waiting.shift()!.resolve(answer)
    this.#send()
  }

  /** Ends the thread: it does not answer, or is gone. The first template that waits counts as stopped at its limits; the others go on in a new one. */
  #giveUp(message: string): void {
    if (this.#timer) clearTimeout(this.#timer)
    void this.#thread?.terminate()
    this.#thread = null
    const first = this.#waiting.shift()
    if (first === undefined) return
    const { id, source } = first.request
    const fault = { kind: 'limit', message, file: source.file, line: 0, column: 0 }
    first.resolve({ id, milliseconds: SILENT_MS, compiled: { reactions: [], error: `${source.file}: ${message}`, fault } })
    this.#send()
  }

  #started(): Worker {
    const thread = new Worker(new URL('./compile-thread.js', import.meta.url), {
      workerData: this.#o.facts,
      name: 'brine-compile',
      execArgv: process.execArgv.filter(flag => flag === '--enable-source-maps'),
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB }
    })
    thread.unref()
    thread.on('message', (answer: SlowAnswer) => this.#answered(answer))
    // One that runs out of memory takes its template with it, not the others.
    thread.on('error', error => {
      if (this.#thread === thread) this.#giveUp(`the template ended its thread: ${error.message}`)
    })
    return thread
  }

  async #drop(error: Error): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer)
    for (const { reject } of this.#waiting.splice(0)) reject(error)
    const thread = this.#thread
    this.#thread = null
    if (thread === null) return
    const gone = once(thread, 'exit')
    await Promise.all([thread.terminate(), gone])
  }
}
