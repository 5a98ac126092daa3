/**
 * Reads what a template printed as YAML, so that values can never become structure (DESIGN, invariant 5).
 *
 * Values are not pasted into the text: a placeholder stands for each while the author's own text is parsed, then the values go in. A placeholder
 * that is a whole plain scalar becomes the value (lists, dicts and numbers as they are; text is read as a plain scalar: `5` is 5, `yes` is
 * true, `{a: b}` stays text); inside a longer scalar, quotes or a block it becomes text.
 */
import { randomBytes } from 'node:crypto'
import { WholeFloat } from '../../shared/numbers.js'
import {
  composeYaml,
  YamlConstructor,
  YamlError,
  type YamlNode,
  type YamlScalar,
  type YamlValue,
  yamlErrorAt
} from '../../shared/yaml-compose.js'
import { plainValue } from '../../shared/yaml-scalars.js'
import { TemplateError } from './errors.js'
import { loadJson } from './json.js'
import type { Budget } from './limits.js'
import { isLiteral, type Literal, type Part, PyDict, PyList, type Slot, toNeutral } from './values.js'

/**
 * What placeholders start with: nothing that occurs in anybody's text, nor can be guessed. `Q` is no YAML escape, so a backslash before a
 * placeholder in double quotes is an error and cannot eat its first letter.
 */
const MARK = `Q${randomBytes(12).toString('hex')}q`
const PLACEHOLDER = new RegExp(`${MARK}(\\d+)z`, 'g')
const WHOLE = new RegExp(`^${MARK}(\\d+)z$`)

/** Trees by text: a template that takes the same way for two events has the same text for both. */
const trees = new Map<string, YamlNode[]>()
/** Characters of cached texts; SLS files have one or two thousand each. */
const MAX_CACHED = 2_000_000
let cached = 0

/** Longest text of the author's that is parsed: a thousandfold of a real SLS, some hundredths of a second. */
const MAX_TEXT = 1_000_000

interface Skeleton {
  readonly text: string
  readonly slots: readonly Slot[]
  readonly parts: readonly Part[]
}

/**
 * The YAML value of what was printed; null for an empty text. Throws TemplateError of kind `yaml` with the template's line. `reactions`: it is an SLS,
 * whose sections, functions and arguments are the author's: a list or dict that stands in the place of one is the text that it prints as.
 */
export function readYamlParts(parts: readonly Part[], reactions = false): YamlValue {
  const skeleton = skeletonOf(parts)
  try {
    const documents = treesOf(skeleton.text)
    const [first, second] = documents
    if (first === undefined) return null
    if (second !== undefined) {
      throw yamlErrorAt(skeleton.text, second.at, 'expected a single document in the stream, but found another document')
    }
    return new SlotConstructor(skeleton, reactions ? structureOf(first) : NONE).construct(first)
  } catch (error) {
    if (error instanceof YamlError) throw inTemplate(error, skeleton)
    throw error
  }
}

function treesOf(text: string): YamlNode[] {
  const known = trees.get(text)
  if (known !== undefined) {
    // keep what is used: the oldest entry of the map is the one that was not read for longest
    trees.delete(text)
    trees.set(text, known)
    return known
  }
  const documents = composeYaml(text)
  trees.set(text, documents)
  cached += text.length
  for (const oldest of trees.keys()) {
    if (cached <= MAX_CACHED) break
    trees.delete(oldest)
    cached -= oldest.length
  }
  return documents
}

/** The author's text with placeholders in the places of values. */
function skeletonOf(parts: readonly Part[]): Skeleton {
  const slots: Slot[] = []
  let text = ''
  for (const part of parts) {
    if (text.length > MAX_TEXT) throw new TemplateError('limit', `the template prints more than ${MAX_TEXT} characters of YAML`)
    if (isLiteral(part)) {
      if (part.literal.includes(MARK)) throw new TemplateError('yaml', 'text with a placeholder in it')
      text += part.literal
    } else {
      text += `${MARK}${slots.length}z`
      slots.push(part)
    }
  }
  return { text: withoutEmptyLines(text, slots), slots, parts }
}

/**
 * Lines on which nothing but empty values were printed (`{{ '…' if flag }}` on a line of its own) are empty lines, as they are for Jinja. On any
 * other line an empty value keeps its placeholder, so that its being empty cannot change the structure either.
 */
function withoutEmptyLines(text: string, slots: readonly Slot[]): string {
  if (!slots.some(slot => slot.text === '')) return text
  return text
    .split('\n')
    .map(line => {
      if (!line.includes(MARK) || line.replace(PLACEHOLDER, '').trim() !== '') return line
      const empty = [...line.matchAll(PLACEHOLDER)].every(([, index]) => slots[Number(index)]!.text === '')
      return empty ? line.replace(PLACEHOLDER, '') : line
    })
    .join('\n')
}

/**
 * The same for JSON: a value that stands where a JSON value is expected becomes that value (a text that is a JSON number, true, false or null
 * is read as such), one inside quotes becomes text.
 */
export function readJsonParts(parts: readonly Part[], budget: Budget, reactions = false): YamlValue {
  const slots: Slot[] = []
  const bare = new Set<number>()
  let text = ''
  let quoted = false
  for (const part of parts) {
    if (isLiteral(part)) {
      if (part.literal.includes(MARK)) throw new TemplateError('yaml', 'text with a placeholder in it')
      quoted = endsQuoted(part.literal, quoted)
      text += part.literal
    } else {
      if (!quoted) bare.add(slots.length)
      text += quoted ? `${MARK}${slots.length}z` : `"${MARK}${slots.length}z"`
      slots.push(part)
    }
  }
  if (text.trim() === '') return null
  return withSlots(toNeutral(loadJson(text, budget)) as YamlValue, slots, bare, reactions ? 'whole' : null)
}

/** Whether a string is open at the end of a piece of JSON. */
function endsQuoted(json: string, before: boolean): boolean {
  let quoted = before
  for (const [character] of json.matchAll(/\\[\s\S]|"/g)) if (character === '"') quoted = !quoted
  return quoted
}

/** What of an SLS a JSON value stands for (see `structureOf`); null: something within an argument. */
type Level = 'whole' | 'section' | 'function' | 'parameter' | 'keywords' | null

const BELOW: Readonly<Record<string, Level>> = { whole: 'section', section: 'function' }

function levelOf(level: Level, key: YamlValue): Level {
  if (level === 'function' || level === 'parameter') return key === 'args' ? 'keywords' : null
  return BELOW[level ?? ''] ?? null
}

function withSlots(value: YamlValue, slots: readonly Slot[], bare: ReadonlySet<number>, level: Level): YamlValue {
  if (typeof value === 'string') {
    const index = Number(WHOLE.exec(value)?.[1] ?? -1)
    if (bare.has(index)) {
      const slot = slots[index]!
      return level !== null && level !== 'keywords' && !slot.exact && isCollection(slot.value) ? slot.text : bareValue(slot)
    }
    return value.replace(PLACEHOLDER, (_, slot: string) => slots[Number(slot)]!.text)
  }
  if (Array.isArray(value)) {
    const inside = level === 'function' || level === 'keywords' ? 'parameter' : null
    return value.map(item => withSlots(item as YamlValue, slots, bare, inside))
  }
  if (!(value instanceof Map)) return value
  const filled = new Map<YamlValue, YamlValue>()
  for (const [key, item] of value as Map<YamlValue, YamlValue>) {
    const name = (key as string).replace(PLACEHOLDER, (_, slot: string) => slots[Number(slot)]!.text)
    if (filled.has(name)) throw new TemplateError('yaml', `found conflicting ID '${name}'`)
    filled.set(name, withSlots(item, slots, bare, levelOf(level, key)))
  }
  return filled
}

function bareValue(slot: Slot): YamlValue {
  if (slot.exact || isCollection(slot.value) || typeof slot.value !== 'string') return neutral(slot.value)
  return /^(?:true|false|null|-?(?:0|[1-9]\d{0,15}))$/.test(slot.text) ? (JSON.parse(slot.text) as YamlValue) : slot.text
}

const NONE: ReadonlySet<YamlNode> = new Set()

/** The places of an SLS in which its structure stands: the whole, sections, functions, their parameters, and the keywords under `args`. */
function structureOf(root: YamlNode): ReadonlySet<YamlNode> {
  const sections = valuesOf(root)
  const functions = sections.flatMap(valuesOf)
  const parameters = functions.flatMap(itemsOf)
  const keywords = [...functions, ...parameters].flatMap(node =>
    node.kind === 'mapping'
      ? node.pairs.filter(({ key }) => key.kind === 'scalar' && key.text === 'args').flatMap(pair => itemsOf(pair.value))
      : []
  )
  return new Set([root, ...sections, ...functions, ...parameters, ...keywords])
}

function valuesOf(node: YamlNode): YamlNode[] {
  return node.kind === 'mapping' ? node.pairs.map(({ value }) => value) : []
}

function itemsOf(node: YamlNode): YamlNode[] {
  return node.kind === 'sequence' ? node.items : []
}

/** Puts values in while a tree becomes a value. */
class SlotConstructor extends YamlConstructor {
  readonly #slots: readonly Slot[]
  readonly #structure: ReadonlySet<YamlNode>

  constructor(skeleton: Skeleton, structure: ReadonlySet<YamlNode>) {
    super(skeleton.text)
    this.#slots = skeleton.slots
    this.#structure = structure
  }

  override scalar(node: YamlScalar, asKey: boolean): YamlValue {
    if (!node.text.includes(MARK)) return super.scalar(node, asKey)
    const whole = node.plain && node.tag === '' ? WHOLE.exec(node.text) : null
    if (whole !== null) {
      const slot = this.#slots[Number(whole[1])]!
      return wholeValue(slot, asKey || (!slot.exact && this.#structure.has(node)))
    }
    const text = node.text.replace(PLACEHOLDER, (_, index: string) => this.#slots[Number(index)]!.text)
    // the whole is one scalar, whatever stands in it; trimmed as YAML trims plain ones
    return this.resolve(node, node.plain && node.tag === '' ? trimPlain(text) : text)
  }
}

/** White space around a plain scalar is not part of it. */
function trimPlain(text: string): string {
  return text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '')
}

/** The value of a placeholder that stands alone. A list or dict cannot be a key; there its text stands, as it would be printed. */
function wholeValue(slot: Slot, asText: boolean): YamlValue {
  const { value } = slot
  if (slot.exact) return asText && isCollection(value) ? slot.text : neutral(value)
  if (typeof value === 'number' || typeof value === 'bigint' || value instanceof WholeFloat) return value
  if (!asText && isCollection(value)) return neutral(value)
  return plainValue(trimPlain(slot.text))
}

function isCollection(value: Slot['value']): boolean {
  return value instanceof PyDict || value instanceof PyList
}

function neutral(value: Slot['value']): YamlValue {
  return toNeutral(value) as YamlValue
}

/** An error of the rendered text, told with its place in the template. Placeholders hold no line breaks, so lines can be counted. */
function inTemplate(error: YamlError, skeleton: Skeleton): TemplateError {
  const reason = error.reason.replace(PLACEHOLDER, (_, index: string) => shorten(skeleton.slots[Number(index)]?.text ?? ''))
  let at = { line: 1, column: 1 }
  let place = { line: 0, column: 0 }
  let slot = 0
  for (const part of skeleton.parts) {
    if (at.line > error.line) break
    const text = isLiteral(part) ? part.literal : `${MARK}${slot++}z`
    const end = endOf(at, text)
    // of several texts on the line the last one counts that begins before the error
    const reached = at.line < error.line || at.column <= error.column
    if (isLiteral(part) && part.line > 0 && reached && end.line >= error.line) place = placeIn(part, at, error)
    at = end
  }
  return new TemplateError('yaml', reason, place)
}

function endOf(start: { line: number; column: number }, text: string): { line: number; column: number } {
  const breaks = text.split('\n')
  const last = breaks.at(-1)!.length
  return breaks.length === 1
    ? { line: start.line, column: start.column + last }
    : { line: start.line + breaks.length - 1, column: last + 1 }
}

/** The error's place when it lies in the author's text that was printed at `at`. */
function placeIn(part: Literal, at: { line: number; column: number }, error: YamlError): { line: number; column: number } {
  const first = error.line === at.line
  return { line: part.line + error.line - at.line, column: first ? part.column + error.column - at.column : error.column }
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}
