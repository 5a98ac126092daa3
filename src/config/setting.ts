/**
 * What a row of the table of settings is (`schema.ts`). A row knows how to read its value from YAML, from text (environment, flags) and
 * what is wrong with a value, so that loading, the sample file, `brine config` and the flags of `brine start` all come from one place.
 */

/** Something wrong with a value: where inside the value (`''`: the value itself), what is wrong, and the offending part. */
export interface Fault {
  readonly path: string
  readonly text: string
  readonly value: unknown
}

/** A value that was read, perhaps with something to tell about it, or what is wrong with it. */
export type Read<T> = { readonly value: T; readonly warnings?: readonly string[] } | { readonly faults: readonly Fault[] }

export interface Setting<T> {
  /** For people: `text`, `integer`, `list of texts` … */
  readonly type: string
  readonly default: T
  /** `s`, `ms`, `bytes`, `events` … */
  readonly unit?: string
  /** One or more sentences. They are the manual: the sample file is made of them. */
  readonly meaning: string
  /** A few lines of YAML for the sample file, where the meaning alone would not do. */
  readonly example?: string
  /** Who reads it. */
  readonly for: 'server' | 'minion' | 'both'
  /** Under this heading it stands in the sample file. */
  readonly group: string
  /** The flag of `brine start` / `brine minion`, as commander writes it. */
  readonly flag?: string
  /** Never printed. */
  readonly secret?: boolean
  /** Text from environment and flags is YAML (numbers, lists, mappings), except where the setting is a text. */
  readonly textual: boolean
  /** The value is a path: relative ones count from the file that names them. */
  readonly resolve?: (value: T, from: string) => T
  read(value: unknown): Read<T>
}

/** What a row says besides its type. */
export interface Row<T> {
  readonly default: T
  readonly unit?: string
  readonly meaning: string
  readonly example?: string
  readonly for?: Setting<T>['for']
  readonly flag?: string
  readonly secret?: boolean
}

export function fault(text: string, value: unknown, path = ''): { faults: Fault[] } {
  return { faults: [{ path, text, value }] }
}

/** `a text`, `a list`: the kind of a value, for messages that must not show it. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (value instanceof Date) return 'a date'
  switch (typeof value) {
    case 'string':
      return 'a text'
    case 'number':
    case 'bigint':
      return 'a number'
    case 'boolean':
      return 'true or false'
    default:
      return 'a mapping'
  }
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}
