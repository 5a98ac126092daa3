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
import { isLiteral, type Part, PyDict, PyList, type Slot, toNeutral } from './values.js'

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

interface Skeleton {
  readonly text: string
  readonly slots: readonly Slot[]
  readonly parts: readonly Part[]
}

/** The YAML value of what was printed; null for an empty text. Throws TemplateError of kind `yaml` with the template's line. */
export function readYamlParts(parts: readonly Part[]): YamlValue {
  const skeleton = skeletonOf(parts)
  try {
    const documents = treesOf(skeleton.text)
    const [first, second] = documents
    if (first === undefined) return null
    if (second !== undefined) {
      throw yamlErrorAt(skeleton.text, second.at, 'expected a single document in the stream, but found another document')
    }
    return new SlotConstructor(skeleton).construct(first)
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

/** Puts values in while a tree becomes a value. */
class SlotConstructor extends YamlConstructor {
  readonly #slots: readonly Slot[]

  constructor(skeleton: Skeleton) {
    super(skeleton.text)
    this.#slots = skeleton.slots
  }

  override scalar(node: YamlScalar, asKey: boolean): YamlValue {
    if (!node.text.includes(MARK)) return this.resolve(node, node.text)
    const whole = node.plain && node.tag === '' ? WHOLE.exec(node.text) : null
    if (whole !== null) return wholeValue(this.#slots[Number(whole[1])]!, asKey)
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
function wholeValue(slot: Slot, asKey: boolean): YamlValue {
  const { value } = slot
  if (slot.exact) return asKey && isCollection(value) ? slot.text : neutral(value)
  if (typeof value === 'number' || typeof value === 'bigint' || value instanceof WholeFloat) return value
  if (!asKey && isCollection(value)) return neutral(value)
  return plainValue(trimPlain(slot.text))
}

function isCollection(value: Slot['value']): boolean {
  return value instanceof PyDict || value instanceof PyList
}

function neutral(value: Slot['value']): YamlValue {
  return toNeutral(value) as YamlValue
}

/** An error of the rendered text, told with the line of the template. Placeholders hold no line breaks, so lines can be counted. */
function inTemplate(error: YamlError, skeleton: Skeleton): TemplateError {
  const reason = error.reason.replace(PLACEHOLDER, (_, index: string) => shorten(skeleton.slots[Number(index)]?.text ?? ''))
  let line = 1
  let place = { line: 0, column: 0 }
  for (const part of skeleton.parts) {
    if (!isLiteral(part)) continue
    const breaks = part.literal.split('\n').length - 1
    const own = part.line > 0 && error.line >= line && error.line <= line + breaks
    // of several texts on the line the last one wins that begins before the error
    if (own) place = { line: part.line + error.line - line, column: error.line > line ? error.column : 0 }
    line += breaks
    if (line > error.line) break
  }
  return new TemplateError('yaml', reason, place)
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}
