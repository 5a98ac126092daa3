/**
 * Differences of texts as Python's difflib prints them (`unified_diff` of lines, three lines of context), which is what `changes.diff` of file
 * states holds.
 */

/** Texts with more lines than this together are not compared line by line: it takes time that grows with their product at worst. */
const MAX_LINES = 100_000
const CONTEXT = 3

/** `kind` of what stands in place of a difference that is not to be shown. */
export const HIDDEN_DIFF = '<show_changes=False>'

/** The difference of two files' bytes, '' when they are equal. */
export function diffOf(before: Buffer, after: Buffer): string {
  if (before.equals(after)) return ''
  const [wasBinary, isBinary] = [looksBinary(before), looksBinary(after)]
  if (wasBinary && isBinary) return 'Replace binary file'
  if (wasBinary) return 'Replace binary file with text file'
  if (isBinary) return 'Replace text file with binary file'
  const [old, fresh] = [splitLines(before.toString('utf8')), splitLines(after.toString('utf8'))]
  if (old.length + fresh.length > MAX_LINES) return `Replace ${old.length} lines with ${fresh.length} (too many to compare)`
  return unifiedDiff(old, fresh).join('')
}

/** A NUL byte, or a third of the first block outside of printable text, as Salt decides it. */
export function looksBinary(content: Buffer): boolean {
  const block = content.subarray(0, 512)
  if (block.includes(0)) return true
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(block, { stream: true })
    return false
  } catch {
    const odd = block.filter(byte => byte < 0x20 && ![7, 8, 9, 10, 12, 13, 27].includes(byte)).length
    return odd / block.length > 0.3
  }
}

/** Lines with their ends, as Python's readlines. */
export function splitLines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

/** Python's `difflib.unified_diff(a, b, lineterm=…)`. Header lines end with `lineterm`; content lines as they are. */
export function unifiedDiff(a: readonly string[], b: readonly string[], lineterm = '\n'): string[] {
  const lines: string[] = []
  for (const group of groupedOpcodes(a, b)) {
    if (lines.length === 0) lines.push(`--- ${lineterm}`, `+++ ${lineterm}`)
    const [first, last] = [group[0]!, group.at(-1)!]
    lines.push(`@@ -${range(first.i1, last.i2)} +${range(first.j1, last.j2)} @@${lineterm}`)
    for (const { tag, i1, i2, j1, j2 } of group) {
      if (tag === 'equal') for (const line of a.slice(i1, i2)) lines.push(` ${line}`)
      if (tag === 'replace' || tag === 'delete') for (const line of a.slice(i1, i2)) lines.push(`-${line}`)
      if (tag === 'replace' || tag === 'insert') for (const line of b.slice(j1, j2)) lines.push(`+${line}`)
    }
  }
  return lines
}

function range(start: number, stop: number): string {
  const length = stop - start
  if (length === 1) return `${start + 1}`
  return `${length === 0 ? start : start + 1},${length}`
}

interface Opcode {
  readonly tag: 'equal' | 'replace' | 'delete' | 'insert'
  readonly i1: number
  readonly i2: number
  readonly j1: number
  readonly j2: number
}

/** Differences with their context; those near each other share a group. */
function groupedOpcodes(a: readonly string[], b: readonly string[]): Opcode[][] {
  const codes = opcodes(a, b)
  const first = codes[0]
  const last = codes.at(-1)
  if (first?.tag === 'equal')
    codes[0] = { ...first, i1: Math.max(first.i1, first.i2 - CONTEXT), j1: Math.max(first.j1, first.j2 - CONTEXT) }
  if (last?.tag === 'equal') {
    const end = codes.length - 1
    const { tag, i1, i2, j1, j2 } = codes[end]!
    codes[end] = { tag, i1, i2: Math.min(i2, i1 + CONTEXT), j1, j2: Math.min(j2, j1 + CONTEXT) }
  }
  const groups: Opcode[][] = []
  let group: Opcode[] = []
  for (const code of codes) {
    const { tag, i1, i2, j1, j2 } = code
    if (tag === 'equal' && i2 - i1 > 2 * CONTEXT) {
      group.push({ tag, i1, i2: Math.min(i2, i1 + CONTEXT), j1, j2: Math.min(j2, j1 + CONTEXT) })
      groups.push(group)
      group = [{ tag, i1: Math.max(i1, i2 - CONTEXT), i2, j1: Math.max(j1, j2 - CONTEXT), j2 }]
    } else group.push(code)
  }
  groups.push(group)
  return groups.filter(codes => codes.some(({ tag }) => tag !== 'equal'))
}

function opcodes(a: readonly string[], b: readonly string[]): Opcode[] {
  const codes: Opcode[] = []
  let [i, j] = [0, 0]
  for (const { at, bt, size } of [...matchingBlocks(a, b), { at: a.length, bt: b.length, size: 0 }]) {
    const tag = i < at && j < bt ? 'replace' : i < at ? 'delete' : j < bt ? 'insert' : null
    if (tag) codes.push({ tag, i1: i, i2: at, j1: j, j2: bt })
    ;[i, j] = [at + size, bt + size]
    if (size > 0) codes.push({ tag: 'equal', i1: at, i2: i, j1: bt, j2: j })
  }
  return codes
}

interface Block {
  readonly at: number
  readonly bt: number
  readonly size: number
}

/** Longest blocks first, then what is left and right of them; neighbours are joined. */
function matchingBlocks(a: readonly string[], b: readonly string[]): Block[] {
  const places = placesOf(b)
  const queue: [number, number, number, number][] = [[0, a.length, 0, b.length]]
  const found: Block[] = []
  for (let bounds = queue.pop(); bounds; bounds = queue.pop()) {
    const [alo, ahi, blo, bhi] = bounds
    const match = longestMatch(a, b, places, alo, ahi, blo, bhi)
    if (match.size === 0) continue
    found.push(match)
    if (alo < match.at && blo < match.bt) queue.push([alo, match.at, blo, match.bt])
    if (match.at + match.size < ahi && match.bt + match.size < bhi) queue.push([match.at + match.size, ahi, match.bt + match.size, bhi])
  }
  found.sort((x, y) => x.at - y.at || x.bt - y.bt)
  const joined: Block[] = []
  for (const block of found) {
    const last = joined.at(-1)
    if (last && last.at + last.size === block.at && last.bt + last.size === block.bt)
      joined[joined.length - 1] = { ...last, size: last.size + block.size }
    else joined.push(block)
  }
  return joined
}

/** Where each line stands. Lines that make up more than 1 % of a long text (difflib's autojunk) do not begin a match. */
function placesOf(b: readonly string[]): Map<string, number[]> {
  const places = new Map<string, number[]>()
  for (const [index, line] of b.entries()) {
    const list = places.get(line)
    if (list) list.push(index)
    else places.set(line, [index])
  }
  if (b.length < 200) return places
  const popular = Math.floor(b.length / 100) + 1
  for (const [line, list] of places) if (list.length > popular) places.delete(line)
  return places
}

/** The longest block that both ranges share, the earliest in `a`, then in `b`. */
function longestMatch(
  a: readonly string[],
  b: readonly string[],
  places: ReadonlyMap<string, readonly number[]>,
  alo: number,
  ahi: number,
  blo: number,
  bhi: number
): Block {
  let best: Block = { at: alo, bt: blo, size: 0 }
  let lengths = new Map<number, number>()
  for (let i = alo; i < ahi; i++) {
    const next = new Map<number, number>()
    for (const j of places.get(a[i]!) ?? []) {
      if (j < blo) continue
      if (j >= bhi) break
      const size = (lengths.get(j - 1) ?? 0) + 1
      next.set(j, size)
      if (size > best.size) best = { at: i - size + 1, bt: j - size + 1, size }
    }
    lengths = next
  }
  return extended(a, b, best, alo, ahi, blo, bhi)
}

/** Lines that do not begin a match may still continue one. */
function extended(a: readonly string[], b: readonly string[], block: Block, alo: number, ahi: number, blo: number, bhi: number): Block {
  let { at, bt, size } = block
  while (at > alo && bt > blo && a[at - 1] === b[bt - 1]) [at, bt, size] = [at - 1, bt - 1, size + 1]
  while (at + size < ahi && bt + size < bhi && a[at + size] === b[bt + size]) size++
  return { at, bt, size }
}
