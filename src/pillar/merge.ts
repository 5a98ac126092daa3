/** How the data of several pillar SLS files become one (Salt's `pillar_source_merging_strategy` and `pillar_merge_lists`). */

export type Mapping = Record<string, unknown>

export const MERGE_STRATEGIES = ['smart', 'recurse', 'aggregate', 'list', 'overwrite', 'none'] as const
/**
 * `recurse` (and `smart`, which is the same here): mappings are merged at every level, of two other values the later one counts.
 * `aggregate`: like recurse, and lists are joined. `list`: two values of one key become a list of both. `overwrite`: the later file's value of a
 * top key takes the place of the earlier one's. `none`: like recurse, but only the minion's own environment is read.
 */
export type MergeStrategy = (typeof MERGE_STRATEGIES)[number]

export interface MergeOptions {
  readonly strategy: MergeStrategy
  /** Lists are joined, each item once, instead of the later one taking the place of the earlier. */
  readonly mergeLists: boolean
}

/** `later` over `earlier`; neither is changed. */
export function mergePillar(earlier: Mapping, later: Mapping, { strategy, mergeLists }: MergeOptions): Mapping {
  if (strategy === 'list') return mergeList(earlier, later)
  if (strategy === 'overwrite') return over(earlier, later, () => null)
  return mergeRecurse(earlier, later, mergeLists || strategy === 'aggregate')
}

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function mergeRecurse(earlier: Mapping, later: Mapping, lists: boolean): Mapping {
  return over(earlier, later, (a, b) => {
    if (isMapping(a) && isMapping(b)) return { value: mergeRecurse(a, b, lists) }
    if (lists && Array.isArray(a) && Array.isArray(b)) return { value: [...a, ...b.filter(item => !a.some(have => same(have, item)))] }
    return null
  })
}

function mergeList(earlier: Mapping, later: Mapping): Mapping {
  return over(earlier, later, (a, b) => ({ value: [a, b] }))
}

/** `join` says what two values of one key become; null: the later one. Own keys only, whatever their names. */
function over(earlier: Mapping, later: Mapping, join: (a: unknown, b: unknown) => { value: unknown } | null): Mapping {
  const merged = new Map(Object.entries(earlier))
  for (const [key, value] of Object.entries(later)) {
    merged.set(key, merged.has(key) ? (join(merged.get(key), value) ?? { value }).value : value)
  }
  return Object.fromEntries(merged)
}

function same(a: unknown, b: unknown): boolean {
  return a === b || (typeof a === 'object' && typeof b === 'object' && JSON.stringify(a) === JSON.stringify(b))
}
