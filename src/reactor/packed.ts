/** The mark of an integer that JSON cannot hold. */
const BIG = '__int__'

/** Calls are kept as JSON, which has no integers beyond 2^53: those are marked. What an event holds and looks like the mark is put into a list there. */
export function packed(value: unknown): unknown {
  if (typeof value === 'bigint') return { [BIG]: String(value) }
  if (Array.isArray(value)) return value.map(packed)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  if (isMark(entries)) return { [BIG]: [packed(entries[0]![1])] }
  return Object.fromEntries(entries.map(([key, item]) => [key, packed(item)]))
}

function isMark(entries: readonly (readonly [string, unknown])[]): boolean {
  return entries.length === 1 && entries[0]![0] === BIG
}

/** What `packed` made of a value, as it was. */
export function revive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  if (isMark(entries)) {
    const marked = entries[0]![1]
    if (Array.isArray(marked)) return { [BIG]: revive(marked[0]) }
    if (typeof marked === 'string' && /^-?\d+$/.test(marked)) return BigInt(marked)
  }
  return Object.fromEntries(entries.map(([key, item]) => [key, revive(item)]))
}
