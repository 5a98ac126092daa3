import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Logger } from 'pino'
import type { Config } from '../config/schema.js'
import { BrineError } from '../errors.js'
import type { EventLog } from '../events/log.js'
import type { Keys } from '../keys/keys.js'
import { minionRefresh } from '../tags/tags.js'
import type { CompiledPillar, PillarRequest, PillarSettings } from './compile.js'
import type { Mapping } from './merge.js'

export interface PillarsOptions {
  readonly config: Pick<
    Config,
    'pillar_roots' | 'nodegroups' | 'pillar_source_merging_strategy' | 'pillar_merge_lists' | 'pillar_safe_render_error'
  >
  readonly keys: Pick<Keys, 'facts' | 'grainsOf' | 'isAccepted' | 'onChange'>
  readonly events: Pick<EventLog, 'fire'>
  readonly log: Logger
}

export type PillarAsk = Omit<PillarRequest, 'id' | 'grains'> & { readonly grains?: Mapping }

interface Waiting {
  readonly resolve: (compiled: CompiledPillar) => void
  readonly reject: (error: Error) => void
}

/** Compilations that may wait: every minion of a large site at once, and as many again that ask with an override. */
const MAX_WAITING = 20_000
/** Bytes of heap that the thread may have: a runaway template takes the thread down, not the server. */
const HEAP_MB = 512

/**
 * The pillars of the minions: compiled for whoever asks, the last one kept in memory for targets (`I@`, `pillar`) and `cache.pillar`. They are
 * never written to disk: they hold secrets. Compiled anew when the minion asks, as in Salt.
 */
export class Pillars {
  readonly #o: PillarsOptions
  readonly #settings: PillarSettings
  readonly #kept = new Map<string, Mapping>()
  readonly #waiting = new Map<number, Waiting>()
  readonly #undo: () => void
  #worker: Worker | null = null
  #number = 0
  #stopped = false

  constructor(options: PillarsOptions) {
    this.#o = options
    const { config } = options
    this.#settings = {
      roots: config.pillar_roots,
      nodegroups: config.nodegroups,
      mergeStrategy: config.pillar_source_merging_strategy,
      mergeLists: config.pillar_merge_lists,
      safeErrors: config.pillar_safe_render_error
    }
    // What was known of an id dies with its key.
    this.#undo = options.keys.onChange((id, state) => {
      if (state !== 'accepted') this.#kept.delete(id)
    })
  }

  /** Compiles the pillars of the known minions in the background, so that targets by pillar work after a restart. Resolves when that is done. */
  async warm(): Promise<void> {
    if (!(await this.#hasTop())) return
    for (const { id } of [...this.#o.keys.facts()]) {
      if (this.#stopped) return
      if (!this.#kept.has(id)) await this.of(id).catch(() => {})
    }
  }

  /**
   * The pillar of an accepted minion, compiled now from its last known grains. With `override`, or another environment, the result is only for
   * the asker; else it is kept. Throws TOO_MANY (503), SHUTTING_DOWN (503), INTERNAL when the thread died over it.
   */
  async of(id: string, ask: PillarAsk = {}): Promise<CompiledPillar> {
    const grains = ask.grains ?? this.#o.keys.grainsOf(id) ?? { id }
    const compiled = await this.#compile({ ...ask, id, grains })
    for (const detail of compiled.details) this.#o.log.warn({ minion: id }, detail)
    const isForAll = ask.override === undefined && (ask.pillarenv ?? null) === null && ask.grains === undefined && !ask.topOnly
    if (isForAll && this.#o.keys.isAccepted(id)) this.#kept.set(id, compiled.pillar)
    return compiled
  }

  /** The same, with the event `minion/refresh/<id>` (golden/events/state_apply_plain.jsonl): what the server knows of the minion is new. */
  async refreshed(id: string, ask: PillarAsk = {}): Promise<CompiledPillar> {
    const compiled = await this.of(id, ask)
    await this.#o.events.fire(minionRefresh(id), { 'Minion data cache refresh': id }, { source: 'server' })
    return compiled
  }

  /** The pillar as it was compiled last; undefined when it has not been. */
  cached(id: string): Mapping | undefined {
    return this.#kept.get(id)
  }

  /** Forgets compiled pillars: of one minion, or all. */
  forget(id?: string): void {
    if (id === undefined) this.#kept.clear()
    else this.#kept.delete(id)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#undo()
    this.#failAll(new BrineError('SHUTTING_DOWN', []))
    const worker = this.#worker
    this.#worker = null // so that its end is no surprise
    await worker?.terminate()
  }

  async #compile(request: PillarRequest): Promise<CompiledPillar> {
    // Most servers have no pillar at all: no thread for them.
    if (!(await this.#hasTop())) return { pillar: { ...request.override }, errors: [], details: [] }
    if (this.#stopped) throw new BrineError('SHUTTING_DOWN', [])
    if (this.#waiting.size >= MAX_WAITING) throw new BrineError('TOO_MANY', ['pillars wait to be compiled'])
    const number = ++this.#number
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject })
      const worker = this.#thread()
      worker.ref()
      worker.postMessage({ number, request })
    })
  }

  async #hasTop(): Promise<boolean> {
    for (const [saltenv, roots] of Object.entries(this.#settings.roots)) {
      if (saltenv === '__env__') return true
      for (const root of roots) if (await stat(join(root, 'top.sls')).catch(() => null)) return true
    }
    return false
  }

  #thread(): Worker {
    if (this.#worker) return this.#worker
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: this.#settings,
      execArgv: process.execArgv.filter(flag => flag === '--enable-source-maps'),
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB }
    })
    worker.on('message', ({ number, compiled }: { number: number; compiled: CompiledPillar }) => {
      const waiting = this.#waiting.get(number)
      this.#waiting.delete(number)
      if (this.#waiting.size === 0) worker.unref()
      waiting?.resolve(compiled)
    })
    const gone = (error?: Error) => {
      if (this.#worker !== worker) return
      this.#worker = null
      this.#o.log.error({ reason: error?.message }, 'the thread that compiles pillars ended')
      this.#failAll(new BrineError('INTERNAL', []))
    }
    worker.on('error', gone)
    worker.on('exit', () => gone())
    this.#worker = worker
    return worker
  }

  #failAll(error: BrineError): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}
