import type { Mapping } from '../modules/values.js'

/** What a beacon has seen: the fields of an event. `tag` is the end of its tag and no field. */
export type Item = Mapping

/** A beacon that watches as one entry of the configuration says. */
export interface Watching {
  /** Called once per pass; gives what is to be told now. What it throws is told as an event without fields, as Salt does. */
  look(): Promise<readonly Item[]>
  close?(): void
}

/** A kind of beacon, with Salt's name and options (golden/README section 3). */
export interface Beacon {
  readonly name: string
  readonly doc: string
  /** Null, or what is wrong with the options, for people. */
  validate(options: Mapping): string | null
  /** Begins to watch. `options` are valid. */
  open(options: Mapping): Watching
}

/** Options of every beacon; all others are its own. */
const COMMON = new Set(['enabled', 'interval', 'disable_during_state_run', 'beacon_module', 'run_once'])

/** An entry of the configuration, a list of one-key mappings (or a mapping), as one mapping. */
export function optionsOf(entry: unknown): Mapping {
  const parts = Array.isArray(entry) ? entry : [entry]
  return Object.assign({}, ...parts.filter(part => typeof part === 'object' && part !== null)) as Mapping
}

/** The options that are the beacon's own. */
export function ownOptions(options: Mapping): [string, unknown][] {
  return Object.entries(options).filter(([name]) => !COMMON.has(name))
}

/** `63`, `63%`, `63.5%` as a number; null when it is none, or no share of a hundred. */
export function percentOf(value: unknown): number | null {
  const match = /^\s*(\d{1,3}(?:\.\d+)?)\s*%?\s*$/.exec(String(value))
  const percent = Number(match?.[1] ?? Number.NaN)
  return percent >= 0 && percent <= 100 ? percent : null
}
