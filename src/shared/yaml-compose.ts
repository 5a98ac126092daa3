import {
  type AliasEvent,
  COLLECTION_STYLE,
  EVENT_ID,
  type Event,
  getScalarValue,
  type MappingEvent,
  parseEvents,
  SCALAR_STYLE,
  type ScalarEvent,
  type SequenceEvent,
  YAMLException
} from 'js-yaml'
import { MAX_DIGITS } from './numbers.js'
import { parseYamlFloat, parseYamlInt, plainKind, plainValue } from './yaml-scalars.js'

/** A mistake in YAML text; `line` and `column` count from 1. */
export class YamlError extends Error {
  constructor(
    readonly reason: string,
    readonly line: number,
    readonly column: number,
    readonly file: string | undefined,
    /** Offset into the text, for callers that map it elsewhere (the reactor: to the template's line). */
    readonly offset: number
  ) {
    super(`${reason} (${file === undefined ? '' : `${file}, `}line ${line}, column ${column})`)
    this.name = 'YamlError'
  }
}

/**
 * Bounds on one text. Depth: deeper than any configuration, far below the stack. Nodes: an SLS has hundreds, a pillar thousands; aliases count
 * as what they stand for, so that nine lines of `&a [*b, *b]` cannot become a billion values.
 */
export const YAML_LIMITS = { depth: 100, nodes: 200_000, characters: 8 * 1024 * 1024 } as const

export type YamlNode = YamlScalar | YamlSequence | YamlMapping

export interface YamlScalar {
  readonly kind: 'scalar'
  readonly text: string
  readonly plain: boolean
  /** Offset of the node in the text. */
  readonly at: number
  /** Full tag name when one is written (`tag:yaml.org,2002:str`), else ''. */
  readonly tag: string
}

export interface YamlSequence {
  readonly kind: 'sequence'
  readonly items: YamlNode[]
  readonly at: number
  readonly tag: string
  readonly flow: boolean
}

export interface YamlMapping {
  readonly kind: 'mapping'
  readonly pairs: { key: YamlNode; value: YamlNode }[]
  readonly at: number
  readonly tag: string
  readonly flow: boolean
}

/** Values with Python's types: mappings are Map (key order and key types kept), floats see yaml-scalars.ts. */
export type YamlValue = null | boolean | number | bigint | string | object

/** The documents of a text as trees. Aliases are resolved: they are the same node object. */
export function composeYaml(text: string, file?: string): YamlNode[] {
  if (text.length > YAML_LIMITS.characters) throw new YamlError(`more than ${YAML_LIMITS.characters} characters`, 1, 1, file, 0)
  return new Composer(text, file).documents()
}

/** Line and column (from 1) of an offset. */
export function placeOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset)
  const lineStart = before.lastIndexOf('\n') + 1
  return { line: before.split('\n').length, column: offset - lineStart + 1 }
}

export function yamlErrorAt(text: string, offset: number, reason: string, file?: string): YamlError {
  const { line, column } = placeOf(text, offset)
  return new YamlError(reason, line, column, file, offset)
}

type Frame = { node: YamlSequence | YamlMapping; key: YamlNode | null; weight: number; anchor: string }

class Composer {
  readonly #text: string
  readonly #original: string
  readonly #file: string | undefined
  readonly #events: Event[]
  readonly #insertions: readonly Insertion[]
  readonly #roots: YamlNode[] = []
  #anchors = new Map<string, { node: YamlNode; weight: number; open: boolean }>()
  #stack: Frame[] = []
  #handles: Record<string, string> = Object.create(null)
  #nodes = 0

  constructor(text: string, file: string | undefined) {
    this.#original = text
    this.#file = file
    const parsed = parseLenient(text, file)
    this.#text = parsed.text
    this.#events = parsed.events
    this.#insertions = parsed.insertions
  }

  documents(): YamlNode[] {
    for (const event of this.#events) this.#take(event)
    return this.#roots
  }

  #take(event: Event): void {
    switch (event.type) {
      case EVENT_ID.DOCUMENT:
        this.#anchors = new Map()
        this.#handles = Object.create(null)
        for (const directive of event.directives) if (directive.kind === 'tag') this.#handles[directive.handle] = directive.prefix
        this.#open = true
        break
      case EVENT_ID.SCALAR:
        this.#addScalar(event)
        break
      case EVENT_ID.SEQUENCE:
        this.#push(
          { kind: 'sequence', items: [], at: this.#startOf(event), tag: this.#tagOf(event), flow: event.style === COLLECTION_STYLE.FLOW },
          event
        )
        break
      case EVENT_ID.MAPPING:
        this.#push(
          { kind: 'mapping', pairs: [], at: this.#startOf(event), tag: this.#tagOf(event), flow: event.style === COLLECTION_STYLE.FLOW },
          event
        )
        break
      case EVENT_ID.ALIAS:
        this.#addAlias(event)
        break
      default:
        this.#pop()
    }
  }

  /** Whether a document is open and has no content yet. */
  #open = false

  #addScalar(event: ScalarEvent): void {
    const node: YamlScalar = {
      kind: 'scalar',
      text: this.#scalarText(event),
      plain: event.style === SCALAR_STYLE.PLAIN,
      at: this.#startOf(event),
      tag: this.#tagOf(event)
    }
    if (event.anchorStart >= 0) this.#anchors.set(this.#newAnchor(event), { node, weight: 1, open: false })
    this.#add(node, 1)
  }

  /** A block scalar whose last line has no line break ends without one, as in PyYAML; js-yaml adds it. */
  #scalarText(event: ScalarEvent): string {
    const text = getScalarValue(this.#text, event)
    const block = event.style === SCALAR_STYLE.LITERAL_BLOCK || event.style === SCALAR_STYLE.FOLDED_BLOCK
    const atEnd = block && event.valueEnd >= this.#text.length && !this.#text.endsWith('\n')
    return atEnd && text.endsWith('\n') ? text.slice(0, -1) : text
  }

  #push(node: YamlSequence | YamlMapping, event: SequenceEvent | MappingEvent): void {
    const anchor = event.anchorStart >= 0 ? this.#newAnchor(event) : ''
    if (anchor !== '') this.#anchors.set(anchor, { node, weight: 1, open: true })
    this.#stack.push({ node, key: null, weight: 1, anchor })
  }

  #pop(): void {
    const frame = this.#stack.pop()
    if (frame === undefined) {
      if (this.#open) this.#roots.push({ kind: 'scalar', text: '', plain: true, at: this.#text.length, tag: '' })
      this.#open = false
      return
    }
    if (frame.anchor !== '') {
      const anchor = this.#anchors.get(frame.anchor)
      if (anchor?.node === frame.node) this.#anchors.set(frame.anchor, { node: frame.node, weight: frame.weight, open: false })
    }
    this.#add(frame.node, frame.weight)
  }

  #addAlias(event: AliasEvent): void {
    const name = this.#anchorOf(event)
    const anchor = this.#anchors.get(name)
    if (anchor === undefined) throw this.#error(originalOffset(event.anchorStart, this.#insertions), `found undefined alias '${name}'`)
    if (anchor.open) throw this.#error(originalOffset(event.anchorStart, this.#insertions), `alias '${name}' stands inside what it names`)
    this.#add(anchor.node, anchor.weight)
  }

  #add(node: YamlNode, weight: number): void {
    const frame = this.#stack.at(-1)
    if (frame === undefined) {
      this.#open = false
      this.#roots.push(node)
      return
    }
    frame.weight += weight
    this.#nodes += weight
    if (frame.weight > YAML_LIMITS.nodes || this.#nodes > YAML_LIMITS.nodes * 10) {
      throw this.#error(node.at, `more than ${YAML_LIMITS.nodes} values (aliases count as what they stand for)`)
    }
    if (frame.node.kind === 'sequence') frame.node.items.push(node)
    else if (frame.key === null) frame.key = node
    else {
      frame.node.pairs.push({ key: frame.key, value: node })
      frame.key = null
    }
  }

  /** A name stands for one node of a document; PyYAML refuses a second one. */
  #newAnchor(event: { anchorStart: number; anchorEnd: number }): string {
    const name = this.#anchorOf(event)
    if (!this.#anchors.has(name)) return name
    throw this.#error(originalOffset(event.anchorStart, this.#insertions), `found duplicate anchor '${name}'`)
  }

  #anchorOf(event: { anchorStart: number; anchorEnd: number }): string {
    return this.#text.slice(event.anchorStart, event.anchorEnd)
  }

  #tagOf(event: ScalarEvent | SequenceEvent | MappingEvent): string {
    if (event.tagStart < 0) return ''
    const raw = this.#text.slice(event.tagStart, event.tagEnd)
    if (raw === '!') return 'tag:yaml.org,2002:str'
    if (raw.startsWith('!<')) return raw.slice(2, -1)
    const end = raw.indexOf('!', 1)
    const handle = end < 0 ? '!' : raw.slice(0, end + 1)
    const prefix = this.#handles[handle] ?? (handle === '!!' ? 'tag:yaml.org,2002:' : handle)
    return prefix + raw.slice(handle.length)
  }

  #startOf(event: ScalarEvent | SequenceEvent | MappingEvent): number {
    return originalOffset(startOf(event), this.#insertions)
  }

  #error(offset: number, reason: string): YamlError {
    return yamlErrorAt(this.#original, offset, reason, this.#file)
  }
}

/** Spaces that were put into a text, by their place in the text as it is then. */
interface Insertion {
  readonly at: number
  readonly length: number
}

interface LenientParse {
  /** The text that was parsed. */
  readonly text: string
  readonly events: Event[]
  readonly insertions: readonly Insertion[]
}

/** Lines that are indented for js-yaml before it is given up: each costs one more pass over the text. */
const MAX_INDENTED_LINES = 500
const MAX_REPARSED = 50_000_000

/**
 * Inside quotes and brackets PyYAML takes lines with any indentation (a pillar as JSON over several lines), js-yaml only deeper ones. White
 * space there means nothing, so such lines are indented and the text is parsed again.
 */
function parseLenient(original: string, file: string | undefined): LenientParse {
  const insertions: Insertion[] = []
  let text = original
  for (let passes = 1; ; passes++) {
    try {
      return { text, events: parseEvents(text, { maxDepth: YAML_LIMITS.depth }), insertions }
    } catch (error) {
      if (!(error instanceof YAMLException)) throw error
      const position = error.mark?.position ?? 0
      const again = error.reason === 'deficient indentation' && passes <= MAX_INDENTED_LINES && passes * text.length <= MAX_REPARSED
      if (!again) throw yamlErrorAt(original, originalOffset(position, insertions), error.reason, file)
      const at = text.lastIndexOf('\n', position - 1) + 1
      const length = 1 + deepestIndentation(original)
      text = text.slice(0, at) + ' '.repeat(length) + text.slice(at)
      insertions.push({ at, length })
    }
  }
}

function deepestIndentation(text: string): number {
  return (text.match(/^ +/gm) ?? []).reduce((deepest, spaces) => Math.max(deepest, spaces.length), 0)
}

function originalOffset(offset: number, insertions: readonly Insertion[]): number {
  // each insertion's place counts those before it
  return insertions.toReversed().reduce((at, { at: start, length }) => (at >= start + length ? at - length : Math.min(at, start)), offset)
}

function startOf(event: ScalarEvent | SequenceEvent | MappingEvent): number {
  if (event.tagStart >= 0) return event.tagStart
  if (event.anchorStart >= 0) return event.anchorStart - 1
  return event.type === EVENT_ID.SCALAR ? Math.max(event.valueStart, 0) : event.start
}

const TAG = 'tag:yaml.org,2002:'

/** Makes values of trees; `scalar` may be replaced (the reactor puts event data in there). */
export class YamlConstructor {
  readonly #text: string
  readonly #file: string | undefined
  readonly #done = new Map<YamlNode, YamlValue>()

  constructor(text: string, file?: string) {
    this.#text = text
    this.#file = file
  }

  construct(node: YamlNode): YamlValue {
    if (node.kind === 'scalar') return this.scalar(node)
    const known = this.#done.get(node)
    if (known !== undefined) return known
    const value = node.kind === 'sequence' ? this.#sequence(node) : this.#mapping(node)
    this.#done.set(node, value)
    return value
  }

  /** The value of a scalar; `asKey` when it stands as a mapping's key. */
  scalar(node: YamlScalar, asKey = false): YamlValue {
    if (!asKey && node.plain && node.tag === '' && (node.text === '<<' || node.text === '='))
      throw this.error(node, `could not determine a constructor for the tag '!!${plainKind(node.text)}'`)
    return this.resolve(node, node.text)
  }

  resolve(node: YamlScalar, text: string): YamlValue {
    if (node.tag !== '') return this.#tagged(node, text)
    return node.plain ? plainValue(text) : text
  }

  #tagged(node: YamlScalar, text: string): YamlValue {
    switch (node.tag) {
      case `${TAG}str`:
      case `${TAG}timestamp`:
      case `${TAG}python/unicode`:
        return text
      case `${TAG}null`:
        return null
      case `${TAG}bool`:
        if (plainKind(text) === 'bool') return plainValue(text)
        break
      case `${TAG}int`:
        if (plainKind(text) === 'int' && text.length <= MAX_DIGITS) return parseYamlInt(text)
        break
      case `${TAG}float`:
        if (/^(?:int|float)$/.test(plainKind(text))) return parseYamlFloat(text)
        break
      case `${TAG}binary`:
        return Buffer.from(text, 'base64').toString('utf8')
      default:
        throw this.error(node, `could not determine a constructor for the tag '${shortTag(node.tag)}'`)
    }
    throw this.error(node, `'${text}' is no ${node.tag.slice(TAG.length)}`)
  }

  #sequence(node: YamlSequence): YamlValue {
    if (node.tag !== '' && node.tag !== `${TAG}seq` && node.tag !== `${TAG}omap` && node.tag !== `${TAG}pairs`) {
      throw this.error(node, `could not determine a constructor for the tag '${shortTag(node.tag)}'`)
    }
    return node.items.map(item => this.construct(item))
  }

  #mapping(node: YamlMapping): YamlValue {
    if (node.tag !== '' && node.tag !== `${TAG}map` && node.tag !== `${TAG}omap` && node.tag !== `${TAG}set`) {
      throw this.error(node, `could not determine a constructor for the tag '${shortTag(node.tag)}'`)
    }
    const own = new Map<YamlValue, YamlValue>()
    const seen = new Set<YamlValue>()
    const merged: Map<YamlValue, YamlValue>[] = []
    for (const { key: keyNode, value: valueNode } of node.pairs) {
      if (isMergeKey(keyNode)) {
        merged.push(...this.#mergeSources(valueNode))
        continue
      }
      const key = this.#key(keyNode)
      // true and 1 are one key to Python
      const same = typeof key === 'boolean' ? Number(key) : key
      if (seen.has(same)) throw this.error(keyNode, `found conflicting ID '${String(key)}'`)
      seen.add(same)
      own.set(key, this.construct(valueNode))
    }
    return merged.length === 0 ? own : withMerged(own, merged)
  }

  #key(node: YamlNode): YamlValue {
    if (node.kind !== 'scalar') {
      throw this.error(node, node.flow && node.kind === 'mapping' ? 'Invalid YAML, possible double curly-brace' : 'found unhashable key')
    }
    const key = this.scalar(node, true)
    return typeof key === 'object' && key !== null && 'value' in key ? (key as { value: number }).value : key
  }

  #mergeSources(node: YamlNode): Map<YamlValue, YamlValue>[] {
    const sources = node.kind === 'sequence' ? node.items : [node]
    return sources.map(source => {
      const value = this.construct(source)
      if (!(value instanceof Map)) throw this.error(source, 'expected a mapping for merging')
      return value as Map<YamlValue, YamlValue>
    })
  }

  error(node: YamlNode, reason: string): YamlError {
    return yamlErrorAt(this.#text, node.at, reason, this.#file)
  }
}

function isMergeKey(node: YamlNode): boolean {
  return node.kind === 'scalar' && ((node.plain && node.tag === '' && node.text === '<<') || node.tag === `${TAG}merge`)
}

/** Merged keys come first, earlier sources win over later ones; what the mapping has itself stays where it has it (the order of Salt's loader). */
function withMerged(own: Map<YamlValue, YamlValue>, merged: Map<YamlValue, YamlValue>[]): Map<YamlValue, YamlValue> {
  const result = new Map<YamlValue, YamlValue>()
  for (const source of [...merged].reverse()) for (const [key, value] of source) if (!own.has(key)) result.set(key, value)
  for (const [key, value] of own) result.set(key, value)
  return result
}

function shortTag(tag: string): string {
  return tag.startsWith(TAG) ? `!!${tag.slice(TAG.length)}` : tag
}
