import { beacon as beaconTag } from '../../tags/tags.js'
import type { MinionLog } from '../context.js'
import type { RunningJob } from '../job.js'
import { messageOf } from '../modules/errors.js'
import type { Mapping } from '../modules/values.js'
import type { Item, Watching } from './beacon.js'
import type { BeaconBook } from './book.js'
import { BEACONS } from './index.js'

export interface BeaconWatchOptions {
  readonly id: string
  readonly book: Pick<BeaconBook, 'active'>
  /** Fires a beacon's event; resolves when it can no longer be lost. */
  readonly send: (tag: string, data: Mapping) => Promise<void>
  /** Jobs that run now. */
  readonly running: () => readonly RunningJob[]
  readonly log: MinionLog
}

/** Beacons are asked so often, as Salt's are; `interval` makes it less. */
const PASS_MS = 1000
/** Items that one beacon may tell in a pass; what is more is dropped, and the log says so. */
const MAX_ITEMS = 1000

/** A beacon at work: its options as text (others begin anew), and the passes since it was asked last. */
interface Open {
  readonly source: string
  readonly watching: Watching
  passes: number
  done: boolean
}

/**
 * Asks the beacons once a second and fires what they have seen. A pass that takes longer delays the next one. Ways out: `stop`. What is wrong with
 * one beacon does not stop the others, unlike in Salt.
 */
export class BeaconWatch {
  readonly #o: BeaconWatchOptions
  readonly #open = new Map<string, Open>()
  /** Options that were found wrong: told once. */
  readonly #refused = new Map<string, string>()
  #timer: NodeJS.Timeout | null = null
  #passing: Promise<void> | null = null
  #stopped = true

  constructor(options: BeaconWatchOptions) {
    this.#o = options
  }

  start(): void {
    if (!this.#stopped) return
    this.#stopped = false
    this.#next()
  }

  /** May be called twice. */
  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    await this.#passing
    for (const name of this.#open.keys()) this.#close(name)
  }

  /** Asks every beacon whose time has come. Never throws. */
  async pass(): Promise<void> {
    const active = new Map(this.#o.book.active())
    for (const name of this.#open.keys()) if (!active.has(name)) this.#close(name)
    const states = this.#o.running().some(job => String(job.fun).startsWith('state'))
    for (const [name, options] of active) {
      if (states && options.disable_during_state_run === true) this.#close(name)
      else await this.#ask(name, options)
    }
  }

  #next(): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#passing = this.pass().finally(() => this.#next())
    }, PASS_MS)
    this.#timer.unref()
  }

  async #ask(name: string, options: Mapping): Promise<void> {
    const open = this.#opened(name, options)
    if (open === null || open.done) return
    // The first pass only starts the counter.
    if (options.interval !== undefined && ++open.passes * PASS_MS < Number(options.interval) * 1000 + PASS_MS) return
    open.passes = options.interval === undefined ? 0 : 1
    try {
      const items = await open.watching.look()
      if (items.length > MAX_ITEMS) this.#o.log.warn({ beacon: name, items: items.length }, `only the first ${MAX_ITEMS} are told`)
      for (const item of items.slice(0, MAX_ITEMS)) await this.#tell(name, item)
      if (options.run_once === true && items.length > 0) open.done = true
    } catch (error) {
      this.#o.log.error({ beacon: name, error: messageOf(error) }, 'a beacon failed')
      await this.#fire(beaconTag(this.#o.id, name), {})
    }
  }

  #opened(name: string, options: Mapping): Open | null {
    const source = JSON.stringify(options)
    const known = this.#open.get(name)
    if (known?.source === source) return known
    this.#close(name)
    const kind = BEACONS.get(String(options.beacon_module ?? name))
    const reason = kind ? kind.validate(options) : 'there is no such beacon'
    if (!kind || reason !== null) {
      if (this.#refused.get(name) !== source) this.#o.log.error({ beacon: name }, `the beacon does not watch: ${reason}`)
      this.#refused.set(name, source)
      return null
    }
    const open = { source, watching: kind.open(options), passes: 0, done: false }
    this.#open.set(name, open)
    return open
  }

  #close(name: string): void {
    this.#open.get(name)?.watching.close?.()
    this.#open.delete(name)
  }

  async #tell(name: string, { tag = '', ...fields }: Item): Promise<void> {
    await this.#fire(beaconTag(this.#o.id, name, String(tag)), { ...fields, id: fields.id ?? this.#o.id })
  }

  async #fire(tag: string, data: Mapping): Promise<void> {
    await this.#o.send(tag, data).catch(error => this.#o.log.warn({ tag, error: messageOf(error) }, 'a beacon could not tell'))
  }
}
