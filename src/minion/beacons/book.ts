/**
 * The beacons of a minion: those of the configuration and of `beacons.add`, and those of the pillar. `manage` is what Salt's beacons module asks of
 * the minion by events on its bus; the answers' fields are those of Salt's answering events (golden/README section 3).
 */
import { dumpYaml } from '../../shared/yaml.js'
import { answered, type BookLog, keptIn } from '../book.js'
import { writeDurably } from '../disk.js'
import { CommandExecutionError } from '../modules/errors.js'
import { isMapping, type Mapping } from '../modules/values.js'
import { optionsOf } from './beacon.js'
import { BEACONS } from './index.js'

export interface BeaconBookOptions {
  /** Beacons of the configuration. */
  readonly config: Mapping
  /** Where `beacons.save` writes. */
  readonly file: string
  /** Tells the minion's bus. */
  readonly fire?: (tag: string, data: Mapping) => void
}

/** Tags of the answers, by function. */
const ANSWERS: Readonly<Record<string, string>> = {
  list: 'minion_beacons_list_complete',
  list_available: 'minion_beacons_list_available_complete',
  validate_beacon: 'minion_beacon_validation_complete',
  add: 'minion_beacon_add_complete',
  modify: 'minion_beacon_modify_complete',
  delete: 'minion_beacon_delete_complete',
  enable: 'minion_beacons_enabled_complete',
  disable: 'minion_beacons_disabled_complete',
  enable_beacon: 'minion_beacon_enabled_complete',
  disable_beacon: 'minion_beacon_disabled_complete',
  reset: 'minion_beacon_reset_complete',
  save: 'minion_beacons_saved'
}

/** Beacons at most: each is looked at every second. */
const MAX_BEACONS = 100

export class BeaconBook {
  readonly #o: BeaconBookOptions
  #own: Mapping
  #pillar: Mapping = {}
  /** Set once somebody said so. */
  #enabled: boolean | null = null

  constructor(options: BeaconBookOptions) {
    this.#o = options
    this.#own = {}
    this.#take(options.config)
  }

  /** With what was saved. A broken file is told and passed over. */
  async load(log?: BookLog): Promise<this> {
    const kept = await keptIn(this.#o.file, 'beacons', log)
    if (kept !== null) this.#take(kept)
    return this
  }

  /** All beacons with their options, as they watch now. The minion's own win over the pillar's. */
  active(): [name: string, options: Mapping][] {
    if (this.#enabled === false) return []
    const all = Object.entries({ ...this.#pillar, ...this.#own }).map(([name, entry]) => [name, optionsOf(entry)] as [string, Mapping])
    return all.filter(([, options]) => options.enabled !== false).slice(0, MAX_BEACONS)
  }

  /** The pillar's `beacons`, as it is now. */
  setPillar(beacons: unknown): void {
    this.#pillar = isMapping(beacons) ? beaconsOf(beacons) : {}
  }

  /** The configuration was read anew: its beacons take the place of those that it had, changed ones stay. */
  setConfig(before: Mapping, now: Mapping): void {
    for (const [name, entry] of Object.entries(before)) {
      if (!(name in now) && JSON.stringify(this.#own[name]) === JSON.stringify(entry)) delete this.#own[name]
    }
    this.#take(now)
  }

  /** Does what a function of the beacons module asks. Throws CommandExecutionError. */
  async manage(func: string, args: Mapping, pillar: Mapping | null = null): Promise<Mapping> {
    if (pillar !== null) this.setPillar(pillar.beacons)
    return answered({ name: 'beacons', func, args, answers: ANSWERS, fire: this.#o.fire }, () => this.#perform(func, args))
  }

  async #perform(func: string, args: Mapping): Promise<Mapping> {
    const name = String(args.name ?? '')
    switch (func) {
      case 'list':
        return { beacons: this.#listed(args) }
      case 'list_available':
        return { beacons: [...BEACONS.keys()].sort() }
      case 'validate_beacon':
        return validity(name, args.beacon_data)
      case 'save':
        await writeDurably(this.#o.file, dumpYaml({ beacons: this.#listed({ include_pillar: false }) }))
        return { path: this.#o.file }
      default:
        this.#change(func, name, args.beacon_data)
        return { beacons: this.#listed({}) }
    }
  }

  #change(func: string, name: string, entry: unknown): void {
    if (func === 'enable' || func === 'disable') this.#enabled = func === 'enable'
    else if (func === 'reset') {
      this.#own = {}
      this.#enabled = null
    } else if (name in this.#pillar && !(name in this.#own)) {
      throw new CommandExecutionError(`Beacon ${name} is of the pillar and cannot be changed here.`)
    } else if (func === 'delete') delete this.#own[name]
    else if (func === 'add' || func === 'modify') this.#put(name, entry)
    else this.#switch(name, func === 'enable_beacon')
  }

  #put(name: string, entry: unknown): void {
    if (!(name in this.#own) && Object.keys(this.#own).length >= MAX_BEACONS)
      throw new CommandExecutionError(`there are ${MAX_BEACONS} beacons already`)
    this.#own[name] = structuredClone(entry)
  }

  /** `enabled` stands in the entry's list like any other option. */
  #switch(name: string, enabled: boolean): void {
    const entry = this.#own[name]
    if (entry === undefined) throw new CommandExecutionError(`Beacon ${name} is not currently configured.`)
    if (!Array.isArray(entry)) this.#own[name] = { ...(isMapping(entry) ? entry : {}), enabled }
    else {
      const others = entry.filter(part => !(isMapping(part) && 'enabled' in part))
      this.#own[name] = [...others, { enabled }]
    }
  }

  #listed({ include_pillar = true, include_opts = true }: Mapping): Mapping {
    return {
      ...(include_pillar ? structuredClone(this.#pillar) : {}),
      ...(include_opts ? structuredClone(this.#own) : {}),
      ...(this.#enabled === null ? {} : { enabled: this.#enabled })
    }
  }

  #take(beacons: Mapping): void {
    if (typeof beacons.enabled === 'boolean') this.#enabled = beacons.enabled
    this.#own = { ...this.#own, ...beaconsOf(beacons) }
  }
}

/** Whether an entry would watch: `{valid, vcomment}` with Salt's words. */
function validity(name: string, entry: unknown): { valid: boolean; vcomment: string } {
  const options = optionsOf(entry)
  const kind = BEACONS.get(String(options.beacon_module ?? name))
  if (!kind) return { valid: false, vcomment: `Beacon ${name} is not available.` }
  const isEntry = Array.isArray(entry) ? entry.every(isMapping) : isMapping(entry)
  if (!isEntry) return { valid: false, vcomment: `Configuration for ${name} beacon must be a list.` }
  const reason = kind.validate(options)
  return { valid: reason === null, vcomment: reason ?? 'Valid beacon configuration' }
}

function beaconsOf(beacons: Mapping): Mapping {
  return structuredClone(Object.fromEntries(Object.entries(beacons).filter(([name]) => name !== 'enabled')))
}
