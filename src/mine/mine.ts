/**
 * Salt's mine: each minion puts results of functions here, and others read them (https://docs.saltproject.io/en/3006/topics/mine/). An entry may
 * name who may read it (`allow_tgt`); an id's entries die with its key.
 */
import { brineError } from '../errors.js'
import { meantMinions, type TargetContext } from '../jobs/target.js'
import type { MineEntry, MineStore } from '../store/store.js'

export interface MineOptions {
  readonly store: { readonly mine: MineStore }
  readonly keys: TargetContext['keys']
  readonly pillars?: TargetContext['pillars']
  readonly config: { readonly nodegroups: TargetContext['nodegroups'] }
}

type Mapping = Readonly<Record<string, unknown>>

/** What an entry is stored as. */
interface Stored {
  readonly value: unknown
  readonly allow_tgt?: unknown
  readonly allow_tgt_type?: string
}

/** Bytes of one minion's mine as JSON, all of it: others read it whole. */
const MAX_BYTES = 8 * 1024 * 1024
/** Functions and aliases of one minion. */
const MAX_FUNCTIONS = 1000

export class Mine {
  readonly #o: MineOptions

  constructor(options: MineOptions) {
    this.#o = options
  }

  /**
   * Takes a minion's entries: function (or alias) → value. `clear`: these and no others. A value `{__data__, __saltmine_acl__, allow_tgt,
   * allow_tgt_type}` is one that not all may read, in Salt's form. Throws FIELD_INVALID.
   */
  async send(id: string, data: Mapping, { clear = false }: { clear?: boolean } = {}): Promise<void> {
    const entries = new Map(Object.entries(data).map(([fun, value]) => [fun, stored(value)] as const))
    if (entries.size > MAX_FUNCTIONS || JSON.stringify(data).length > MAX_BYTES) {
      throw brineError('FIELD_INVALID', 'data', `must not have more than ${MAX_FUNCTIONS} functions and ${MAX_BYTES} bytes`)
    }
    await this.#o.store.mine.put(id, entries, clear, { functions: MAX_FUNCTIONS, bytes: MAX_BYTES })
  }

  /** Takes out one function of a minion, or all. */
  async clear(id: string, fun?: string): Promise<void> {
    await this.#o.store.mine.remove(id, fun ?? null)
  }

  /** Function → value of one minion, whoever may read it. */
  async all(id: string): Promise<Record<string, unknown>> {
    return Object.fromEntries((await this.#o.store.mine.ofMinion(id)).map(({ fun, value }) => [fun, (value as Stored).value]))
  }

  /**
   * Minion → value of one function; of a list of functions: function → minion → value, as Salt's mine.get. `asker`: the minion that asks; null: the
   * server itself, which may see everything. Throws TARGET_SYNTAX, TARGET_TYPE.
   */
  async get(tgt: unknown, tgtType: string, fun: string | readonly string[], asker: string | null): Promise<Record<string, unknown>> {
    const meant = new Set(this.#meant(tgt, tgtType))
    if (typeof fun === 'string') return this.#values(fun, meant, asker)
    const found = await Promise.all(fun.map(async name => [name, await this.#values(name, meant, asker)] as const))
    return Object.fromEntries(found.filter(([, values]) => Object.keys(values).length > 0))
  }

  async #values(fun: string, meant: ReadonlySet<string>, asker: string | null): Promise<Record<string, unknown>> {
    const entries = (await this.#o.store.mine.ofFunction(fun)).filter(entry => meant.has(entry.id) && this.#mayRead(entry, asker))
    return Object.fromEntries(entries.map(({ id, value }) => [id, (value as Stored).value]))
  }

  #mayRead({ id, value }: MineEntry, asker: string | null): boolean {
    const { allow_tgt, allow_tgt_type = 'glob' } = value as Stored
    return asker === null || asker === id || allow_tgt === undefined || this.#meant(allow_tgt, allow_tgt_type).includes(asker)
  }

  #meant(tgt: unknown, tgtType: string): readonly string[] {
    const { keys, pillars, config } = this.#o
    return meantMinions(tgt, tgtType, { keys, pillars, nodegroups: config.nodegroups }).minions
  }
}

function stored(value: unknown): Stored {
  if (typeof value !== 'object' || value === null || !('__saltmine_acl__' in value)) return { value }
  const { __data__, allow_tgt, allow_tgt_type } = value as unknown as Record<string, unknown>
  return {
    value: __data__ ?? null,
    ...(allow_tgt === undefined || allow_tgt === null ? {} : { allow_tgt }),
    ...(typeof allow_tgt_type === 'string' ? { allow_tgt_type } : {})
  }
}
