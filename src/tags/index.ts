import { compileGlob, type GlobShape, parseGlob, type TagTest } from './glob.js'

/**
 * Many patterns, one tag: which of them match? The cost hardly depends on how many there are, because a tag only meets the patterns
 * whose fixed text it has: patterns are grouped in a tree by the text before their first wildcard, within that (once a group has
 * grown) by the text after the last, and within that by a few characters from the middle. What is left is matched one by one.
 */
export class GlobIndex<T> {
  readonly #groups = new Map<string, Group<T>>()
  #tree = new PrefixLevel<T>()
  #order = 0
  #emptied = 0

  /** The same pattern may be added with several values, and the same value several times. */
  add(pattern: string, value: T): void {
    let group = this.#groups.get(pattern)
    if (group === undefined) {
      group = new Group<T>(pattern)
      this.#groups.set(pattern, group)
      this.#tree.add(group)
    }
    group.entries.push({ order: this.#order++, value })
  }

  /** Takes back one `add` of this pattern and value; nothing happens when there is none. */
  remove(pattern: string, value: T): void {
    const group = this.#groups.get(pattern)
    const at = group?.entries.findIndex(entry => entry.value === value) ?? -1
    if (group === undefined || at < 0) return
    group.entries.splice(at, 1)
    if (group.entries.length > 0) return
    this.#groups.delete(pattern)
    this.#emptied++
    // Empty groups stay in the tree until they are as many as the live ones, so that removing costs little on average.
    if (this.#emptied > this.#groups.size + 64) this.#rebuild()
  }

  /** Values of all patterns that match, in the order in which they were added. */
  match(tag: string): T[] {
    const found: Entry<T>[] = []
    this.#tree.collect(tag, found)
    if (found.length > 1) found.sort((a, b) => a.order - b.order)
    return found.map(entry => entry.value)
  }

  #rebuild(): void {
    this.#tree = new PrefixLevel<T>()
    this.#emptied = 0
    for (const group of this.#groups.values()) this.#tree.add(group)
  }
}

interface Entry<T> {
  readonly order: number
  readonly value: T
}

/** All values of one pattern. */
class Group<T> {
  readonly entries: Entry<T>[] = []
  readonly prefix: string
  readonly suffix: string
  /** Texts between the first and the last wildcard, longest first. */
  readonly middles: readonly string[]
  readonly test: TagTest

  constructor(pattern: string) {
    const texts = fixedTexts(parseGlob(pattern))
    this.prefix = texts.prefix
    this.suffix = texts.suffix
    this.middles = texts.middles
    this.test = compileGlob(pattern)
  }

  collect(tag: string, found: Entry<T>[]): void {
    if (this.entries.length > 0 && this.test(tag)) for (const entry of this.entries) found.push(entry)
  }
}

/** The fixed text of a pattern: before its first wildcard, after its last, and between. A pattern without any is all prefix. */
function fixedTexts({ parts }: GlobShape): { prefix: string; suffix: string; middles: string[] } {
  const runs: string[] = ['']
  parts.forEach((part, i) => {
    if (i > 0) runs.push('')
    for (const token of part.tokens) {
      if (typeof token === 'string') runs[runs.length - 1] += token
      else runs.push('')
    }
  })
  const [prefix = '', ...rest] = runs
  const suffix = rest.pop() ?? ''
  return { prefix, suffix, middles: rest.filter(text => text.length >= SHORT_GRAM).sort((a, b) => b.length - a.length) }
}

/** A level splits its groups further once one place holds more than this: up to here trying each costs less than another look-up. */
const SPLIT_AT = 8

/** Where groups lie: a list while they are few, a further level afterwards. */
class Bucket<T> {
  #list: Group<T>[] = []
  #level: Level<T> | null = null

  constructor(readonly deeper: (() => Level<T>) | null) {}

  add(group: Group<T>): void {
    if (this.#level !== null) {
      this.#level.add(group)
      return
    }
    this.#list.push(group)
    if (this.#list.length <= SPLIT_AT || this.deeper === null) return
    this.#level = this.deeper()
    for (const each of this.#list) this.#level.add(each)
    this.#list = []
  }

  collect(tag: string, found: Entry<T>[]): void {
    if (this.#level !== null) this.#level.collect(tag, found)
    else for (const group of this.#list) group.collect(tag, found)
  }
}

interface Level<T> {
  add(group: Group<T>): void
  collect(tag: string, found: Entry<T>[]): void
}

/** By the text before the first wildcard, then by suffix. */
class PrefixLevel<T> implements Level<T> {
  readonly #root = new Node<T>('')
  readonly #deeper = () => new SuffixLevel<T>()

  add(group: Group<T>): void {
    const node = descend(this.#root, group.prefix)
    node.bucket ??= new Bucket(this.#deeper)
    node.bucket.add(group)
  }

  collect(tag: string, found: Entry<T>[]): void {
    let node: Node<T> | undefined = this.#root
    let depth = 0
    while (node !== undefined) {
      node.bucket?.collect(tag, found)
      node = node.children.get(tag.charCodeAt(depth))
      if (node === undefined || !tag.startsWith(node.text, depth)) return
      depth += node.text.length
    }
  }
}

/** By the text after the last wildcard, read backwards, then by what stands between. */
class SuffixLevel<T> implements Level<T> {
  readonly #root = new Node<T>('')
  readonly #deeper = () => new MiddleLevel<T>()

  add(group: Group<T>): void {
    const node = descend(this.#root, reversed(group.suffix))
    node.bucket ??= new Bucket(this.#deeper)
    node.bucket.add(group)
  }

  collect(tag: string, found: Entry<T>[]): void {
    let node: Node<T> | undefined = this.#root
    let depth = 0
    while (node !== undefined) {
      node.bucket?.collect(tag, found)
      node = node.children.get(tag.charCodeAt(tag.length - 1 - depth))
      if (node === undefined || !endsBackwards(tag, node.text, depth)) return
      depth += node.text.length
    }
  }
}

/** So many characters stand for a pattern's middle: five tell numbered names apart. Middles of three or four are known by three. */
const GRAM = 5
const SHORT_GRAM = 3

/** By the rarest few characters of a middle text; groups without one are always tried. */
class MiddleLevel<T> implements Level<T> {
  readonly #grams = new Map<number, GramTable<T>>()
  readonly #rest = new Bucket<T>(null)

  add(group: Group<T>): void {
    const longest = group.middles[0]?.length ?? 0
    if (longest < SHORT_GRAM) {
      this.#rest.add(group)
      return
    }
    const size = longest >= GRAM ? GRAM : SHORT_GRAM
    const table = this.#grams.get(size) ?? new GramTable<T>(size)
    this.#grams.set(size, table)
    table.add(group)
  }

  collect(tag: string, found: Entry<T>[]): void {
    this.#rest.collect(tag, found)
    for (const table of this.#grams.values()) table.collect(tag, found)
  }
}

/** Groups by the hash of some characters in a row. Hashes that collide only cost a few tests more. */
class GramTable<T> {
  readonly #places = new Map<number, Group<T>[]>()
  /** What the oldest character of a gram has contributed to its hash. */
  readonly #oldest: number

  constructor(readonly size: number) {
    this.#oldest = powerOf31(size)
  }

  add(group: Group<T>): void {
    let best: number | undefined
    for (const text of group.middles) {
      this.#hashes(text, hash => {
        if (best === undefined || this.#count(hash) < this.#count(best)) best = hash
      })
    }
    if (best === undefined) return
    const place = this.#places.get(best)
    if (place === undefined) this.#places.set(best, [group])
    else place.push(group)
  }

  collect(tag: string, found: Entry<T>[]): void {
    let seen: Set<Group<T>[]> | undefined
    this.#hashes(tag, hash => {
      const place = this.#places.get(hash)
      if (place === undefined || seen?.has(place)) return
      seen ??= new Set()
      seen.add(place)
      for (const group of place) group.collect(tag, found)
    })
  }

  #count(hash: number): number {
    return this.#places.get(hash)?.length ?? 0
  }

  /** Calls `visit` with the hash of each gram of the text; each costs one multiplication, whatever the size. */
  #hashes(text: string, visit: (hash: number) => void): void {
    let hash = 0
    for (let i = 0; i < text.length; i++) {
      hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0
      if (i >= this.size) hash = (hash - Math.imul(text.charCodeAt(i - this.size), this.#oldest)) | 0
      if (i >= this.size - 1) visit(hash)
    }
  }
}

function powerOf31(exponent: number): number {
  let power = 1
  for (let i = 0; i < exponent; i++) power = Math.imul(power, 31)
  return power
}

/** A node of a tree of texts in which no node has an only child without a bucket of its own (a radix tree). */
class Node<T> {
  readonly children = new Map<number, Node<T>>()
  bucket: Bucket<T> | null = null
  constructor(public text: string) {}
}

/** The node for this text, made when it is not there. */
function descend<T>(root: Node<T>, text: string): Node<T> {
  let node = root
  let at = 0
  while (at < text.length) {
    const code = text.charCodeAt(at)
    const child = node.children.get(code)
    if (child === undefined) {
      const leaf = new Node<T>(text.slice(at))
      node.children.set(code, leaf)
      return leaf
    }
    const common = commonLength(child.text, text, at)
    node = common < child.text.length ? split(node, child, common) : child
    at += common
  }
  return node
}

/** Puts a node between parent and child that holds the first `length` characters of the child's text. */
function split<T>(parent: Node<T>, child: Node<T>, length: number): Node<T> {
  const upper = new Node<T>(child.text.slice(0, length))
  parent.children.set(upper.text.charCodeAt(0), upper)
  child.text = child.text.slice(length)
  upper.children.set(child.text.charCodeAt(0), child)
  return upper
}

function commonLength(text: string, other: string, from: number): number {
  let length = 0
  while (length < text.length && text.charCodeAt(length) === other.charCodeAt(from + length)) length++
  return length
}

/** By UTF-16 units, as the trees compare. */
function reversed(text: string): string {
  let out = ''
  for (let i = text.length - 1; i >= 0; i--) out += text[i]
  return out
}

/** True when the tag, read backwards after its last `depth` characters, goes on with `text`. */
function endsBackwards(tag: string, text: string, depth: number): boolean {
  const last = tag.length - 1 - depth
  for (let i = 0; i < text.length; i++) if (tag.charCodeAt(last - i) !== text.charCodeAt(i)) return false
  return true
}
