/**
 * Python's regular expression syntax (module `re`, 3.11, text patterns) as a tree.
 */

/** True for the code points that an element takes. */
export type CharTest = (point: number) => boolean

export type RegexNode =
  | { readonly type: 'char'; readonly test: CharTest }
  | { readonly type: 'sequence'; readonly items: readonly RegexNode[] }
  | { readonly type: 'choice'; readonly options: readonly RegexNode[] }
  | { readonly type: 'repeat'; readonly item: RegexNode; readonly min: number; readonly max: number; readonly mode: RepeatMode }
  | { readonly type: 'group'; readonly index: number; readonly item: RegexNode }
  | { readonly type: 'assert'; readonly kind: AssertKind }
  | { readonly type: 'look'; readonly behind: number | null; readonly negated: boolean; readonly item: RegexNode }
  | { readonly type: 'atomic'; readonly item: RegexNode }
  | { readonly type: 'backreference'; readonly index: number; readonly ignoreCase: boolean }
  | { readonly type: 'conditional'; readonly index: number; readonly yes: RegexNode; readonly no: RegexNode }

export type RepeatMode = 'greedy' | 'lazy' | 'possessive'
export type AssertKind = 'start' | 'end' | 'textEnd' | 'lineStart' | 'lineEnd' | 'word' | 'notWord'

export interface RegexFlags {
  readonly ignoreCase?: boolean
  readonly multiline?: boolean
  readonly dotAll?: boolean
  readonly verbose?: boolean
  readonly ascii?: boolean
}

export interface ParsedRegex {
  readonly node: RegexNode
  /** Number of groups, the whole match not counted. */
  readonly groups: number
  readonly names: ReadonlyMap<string, number>
}

/** A pattern that does not parse; `position` counts characters from 0. */
export class RegexSyntaxError extends Error {
  constructor(
    message: string,
    readonly position: number
  ) {
    super(`${message} at position ${position}`)
    this.name = 'RegexSyntaxError'
  }
}

/** Deeper nesting is refused, since parsing and matching recurse into groups and looks. */
const MAX_NESTING = 100
/** Python allows more, but a repeated group is written out so many times in the program (`program.ts` bounds the whole). */
const MAX_REPEAT = 65_535

export function parseRegex(pattern: string, flags: RegexFlags = {}): ParsedRegex {
  return new Parser(pattern, flags).parse()
}

class Parser {
  readonly #chars: readonly string[]
  readonly #names = new Map<string, number>()
  readonly #open = new Set<number>()
  #flags: RegexFlags
  #at = 0
  #groups = 0
  #depth = 0
  #conditionOn = 0

  constructor(pattern: string, flags: RegexFlags) {
    this.#chars = [...pattern]
    this.#flags = flags
  }

  parse(): ParsedRegex {
    const node = this.#choice()
    if (this.#at < this.#chars.length) this.#fail('unbalanced parenthesis')
    // A condition may name a group that opens later, by number.
    if (this.#conditionOn > this.#groups) this.#fail(`invalid group reference ${this.#conditionOn}`)
    return { node, groups: this.#groups, names: this.#names }
  }

  #fail(message: string, at = this.#at): never {
    throw new RegexSyntaxError(message, at)
  }

  #take(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.#chars[this.#at + i] !== text[i]) return false
    this.#at += text.length
    return true
  }

  #choice(): RegexNode {
    if (++this.#depth > MAX_NESTING) this.#fail('nested too deep')
    const options = [this.#sequence(this.#depth === 1)]
    while (this.#take('|')) options.push(this.#sequence())
    this.#depth--
    return options.length === 1 ? options[0]! : { type: 'choice', options }
  }

  /** `first`: this is where the pattern begins, so global flags may stand there. */
  #sequence(first = false): RegexNode {
    const items: RegexNode[] = []
    for (;;) {
      this.#skipVerbose()
      const char = this.#chars[this.#at]
      if (char === undefined || char === '|' || char === ')') break
      const start = this.#at
      if (this.#bounds() !== null) this.#fail('nothing to repeat', start)
      const item = this.#item()
      if (item === null) {
        if (!first || items.length > 0) this.#fail('global flags not at the start of the expression', start)
        continue
      }
      items.push(this.#quantified(item, start))
    }
    return items.length === 1 ? items[0]! : { type: 'sequence', items }
  }

  /** Skips comments, and white space where the flag x says so. */
  #skipVerbose(): void {
    for (;;) {
      const start = this.#at
      const char = this.#chars[start]
      if (this.#take('(?#')) {
        while (this.#at < this.#chars.length && this.#chars[this.#at] !== ')') this.#at++
        if (!this.#take(')')) this.#fail('missing ), unterminated comment', start)
      } else if (!this.#flags.verbose || char === undefined) return
      else if (' \t\n\r\f\v'.includes(char)) this.#at++
      else if (char === '#') while (this.#at < this.#chars.length && this.#chars[this.#at] !== '\n') this.#at++
      else return
    }
  }

  #quantified(item: RegexNode, start: number): RegexNode {
    this.#skipVerbose()
    const bounds = this.#bounds()
    if (bounds === null) return item
    if (item.type === 'assert' && this.#chars[start] !== '(') this.#fail('nothing to repeat', start)
    const mode: RepeatMode = this.#take('?') ? 'lazy' : this.#take('+') ? 'possessive' : 'greedy'
    const again = this.#at
    this.#skipVerbose()
    if (this.#bounds() !== null) this.#fail('multiple repeat', again)
    return { type: 'repeat', item, ...bounds, mode }
  }

  /** Reads a quantifier; a brace that is none stays as it is. */
  #bounds(): { min: number; max: number } | null {
    if (this.#take('*')) return { min: 0, max: Infinity }
    if (this.#take('+')) return { min: 1, max: Infinity }
    if (this.#take('?')) return { min: 0, max: 1 }
    if (this.#chars[this.#at] !== '{') return null
    const braces = /^\{(\d*)(?:(,)(\d*))?\}/.exec(this.#chars.slice(this.#at, this.#at + 30).join(''))
    if (braces === null || (braces[1] === '' && braces[2] === undefined)) return null
    const min = Number(braces[1] || 0)
    const max = braces[2] === undefined ? min : braces[3] === '' ? Infinity : Number(braces[3])
    if (max < min) this.#fail('min repeat greater than max repeat')
    if (min > MAX_REPEAT || (max !== Infinity && max > MAX_REPEAT)) this.#fail('the repetition number is too large')
    this.#at += braces[0].length
    return { min, max }
  }

  /** One element; null for global flags, which are no element. */
  #item(): RegexNode | null {
    const char = this.#chars[this.#at]!
    const start = this.#at++
    switch (char) {
      case '(':
        return this.#group(start)
      case '[':
        return this.#char(this.#set(start))
      case '.':
        return { type: 'char', test: this.#flags.dotAll ? () => true : point => point !== 10 }
      case '^':
        return { type: 'assert', kind: this.#flags.multiline ? 'lineStart' : 'start' }
      case '$':
        return { type: 'assert', kind: this.#flags.multiline ? 'lineEnd' : 'end' }
      case '\\':
        return this.#escape(start)
      default:
        return this.#char(isPoint(char.codePointAt(0)!))
    }
  }

  #char(test: CharTest): RegexNode {
    return { type: 'char', test: this.#flags.ignoreCase ? foldCase(test) : test }
  }

  #group(start: number): RegexNode | null {
    if (!this.#take('?')) return this.#capture(start)
    if (this.#take(':')) return this.#close(this.#choice(), start)
    if (this.#take('>')) return { type: 'atomic', item: this.#close(this.#choice(), start) }
    if (this.#take('=')) return this.#look(false, false, start)
    if (this.#take('!')) return this.#look(false, true, start)
    if (this.#take('<=')) return this.#look(true, false, start)
    if (this.#take('<!')) return this.#look(true, true, start)
    if (this.#take('P<')) return this.#capture(start, this.#name('>'))
    if (this.#take('P=')) return this.#named(this.#name(')'))
    if (this.#take('(')) return this.#conditional(start)
    return this.#inlineFlags(start)
  }

  #close(item: RegexNode, start: number): RegexNode {
    if (!this.#take(')')) this.#fail('missing ), unterminated subpattern', start)
    return item
  }

  #capture(start: number, name?: string): RegexNode {
    const index = ++this.#groups
    if (name !== undefined) {
      if (this.#names.has(name)) this.#fail(`redefinition of group name '${name}'`, start)
      this.#names.set(name, index)
    }
    this.#open.add(index)
    const item = this.#close(this.#choice(), start)
    this.#open.delete(index)
    return { type: 'group', index, item }
  }

  #name(end: string): string {
    const from = this.#at
    while (this.#at < this.#chars.length && this.#chars[this.#at] !== end) this.#at++
    const name = this.#chars.slice(from, this.#at).join('')
    if (!this.#take(end)) this.#fail(`missing ${end}, unterminated name`, from)
    if (!/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name)) this.#fail(`bad character in group name '${name}'`, from)
    return name
  }

  #named(name: string): RegexNode {
    const index = this.#names.get(name)
    if (index === undefined) this.#fail(`unknown group name '${name}'`)
    return this.#reference(index)
  }

  #reference(index: number): RegexNode {
    if (index > this.#groups) this.#fail(`invalid group reference ${index}`)
    if (this.#open.has(index)) this.#fail('cannot refer to an open group')
    return { type: 'backreference', index, ignoreCase: this.#flags.ignoreCase === true }
  }

  #conditional(start: number): RegexNode {
    const from = this.#at
    while (this.#at < this.#chars.length && this.#chars[this.#at] !== ')') this.#at++
    const name = this.#chars.slice(from, this.#at).join('')
    if (!this.#take(')')) this.#fail('missing ), unterminated name', from)
    const index = /^\d{1,2}$/.test(name) ? Number(name) : this.#names.get(name)
    if (index === undefined || index === 0) this.#fail(`unknown group '${name}'`, from)
    this.#conditionOn = Math.max(this.#conditionOn, index)
    const yes = this.#sequence()
    const no: RegexNode = this.#take('|') ? this.#sequence() : { type: 'sequence', items: [] }
    if (this.#chars[this.#at] === '|') this.#fail('conditional backref with more than two branches')
    return this.#close({ type: 'conditional', index, yes, no }, start)
  }

  #look(behind: boolean, negated: boolean, start: number): RegexNode {
    const item = this.#close(this.#choice(), start)
    if (!behind) return { type: 'look', behind: null, negated, item }
    const [min, max] = widthOf(item)
    if (min !== max) this.#fail('look-behind requires fixed-width pattern', start)
    return { type: 'look', behind: min, negated, item }
  }

  /** `(?aims)` for the whole pattern, `(?i-s:…)` for a group. */
  #inlineFlags(start: number): RegexNode | null {
    const text = this.#chars.slice(this.#at, this.#at + 20).join('')
    const found = /^([aiLmsux]*)(?:-([imsx]+))?([:)])/.exec(text)
    if (found === null || (found[3] === ')' && (found[1] === '' || found[2] !== undefined))) this.#fail('unknown extension', start + 1)
    this.#at += found[0].length
    const flags = withFlags(withFlags(this.#flags, found[1] ?? '', true), found[2] ?? '', false)
    if (found[3] === ')') {
      this.#flags = flags
      return null
    }
    const outer = this.#flags
    this.#flags = flags
    const item = this.#close(this.#choice(), start)
    this.#flags = outer
    return item
  }

  #escape(start: number): RegexNode {
    const char = this.#chars[this.#at++]
    if (char === undefined) this.#fail('bad escape (end of pattern)', start)
    const asserted = ASSERTING[char]
    if (asserted !== undefined) return { type: 'assert', kind: asserted }
    const category = this.#category(char)
    if (category !== null) return { type: 'char', test: category }
    if (/[1-9]/.test(char)) return this.#numbered(char, start)
    return this.#char(isPoint(this.#escapedPoint(char, start)))
  }

  /** `\1` is a group, `\123` an octal character. */
  #numbered(first: string, start: number): RegexNode {
    const digits = /^\d+/.exec(first + this.#chars.slice(this.#at, this.#at + 2).join(''))![0]
    if (/^[0-3][0-7][0-7]$/.test(digits)) {
      this.#at += 2
      return this.#char(isPoint(Number.parseInt(digits, 8)))
    }
    const number = digits.slice(0, 2)
    this.#at += number.length - 1
    if (Number(number) > this.#groups) this.#fail(`invalid group reference ${number}`, start + 1)
    return this.#reference(Number(number))
  }

  #category(char: string): CharTest | null {
    const test = CATEGORIES[char.toLowerCase()]
    if (test === undefined) return null
    const inRange: CharTest = this.#flags.ascii ? point => point < 128 && test(point) : test
    return char === char.toLowerCase() ? inRange : point => !inRange(point)
  }

  /** The character that `\x` stands for. ASCII letters without a meaning are errors. */
  #escapedPoint(char: string, start: number): number {
    const simple = ESCAPES[char]
    if (simple !== undefined) return simple
    if (char === '0') {
      const octal = /^[0-7]{0,2}/.exec(this.#chars.slice(this.#at, this.#at + 2).join(''))![0]
      this.#at += octal.length
      return Number.parseInt(`0${octal}`, 8)
    }
    const digits = HEX_DIGITS[char]
    if (digits !== undefined) {
      const hex = this.#chars.slice(this.#at, this.#at + digits).join('')
      if (hex.length !== digits || !/^[0-9a-fA-F]+$/.test(hex)) this.#fail(`incomplete escape \\${char}${hex}`, start)
      this.#at += digits
      return Number.parseInt(hex, 16)
    }
    if (/[a-zA-Z0-9]/.test(char)) this.#fail(`bad escape \\${char}`, start)
    return char.codePointAt(0)!
  }

  #set(start: number): CharTest {
    const negated = this.#take('^')
    const tests: CharTest[] = []
    const first = this.#at
    while (this.#chars[this.#at] !== ']' || this.#at === first) {
      const from = this.#at
      const low = this.#setItem(start)
      if (this.#chars[this.#at] !== '-' || this.#chars[this.#at + 1] === ']' || this.#chars[this.#at + 1] === undefined) {
        tests.push(typeof low === 'number' ? isPoint(low) : low)
        continue
      }
      this.#at++
      const high = this.#setItem(start)
      if (typeof low !== 'number' || typeof high !== 'number' || high < low) {
        this.#fail(`bad character range ${this.#chars.slice(from, this.#at).join('')}`, from)
      }
      tests.push(point => low <= point && point <= high)
    }
    this.#at++
    const any: CharTest = point => tests.some(test => test(point))
    if (!negated) return any
    // Case folding comes around the set; a negated one has to be folded inside.
    const folded = this.#flags.ignoreCase ? foldCase(any) : any
    return point => !folded(point)
  }

  /** A character of a set as its code point, or a category. */
  #setItem(start: number): number | CharTest {
    const char = this.#chars[this.#at++]
    if (char === undefined) this.#fail('unterminated character set', start)
    if (char !== '\\') return char.codePointAt(0)!
    const escaped = this.#chars[this.#at++]
    if (escaped === undefined) this.#fail('unterminated character set', start)
    if (escaped === 'b') return 8
    if (/[1-7]/.test(escaped)) {
      const octal = /^[0-7]{1,3}/.exec(escaped + this.#chars.slice(this.#at, this.#at + 2).join(''))![0]
      this.#at += octal.length - 1
      return Number.parseInt(octal, 8)
    }
    return this.#category(escaped) ?? this.#escapedPoint(escaped, this.#at - 2)
  }
}

function withFlags(flags: RegexFlags, letters: string, value: boolean): RegexFlags {
  const names = { i: 'ignoreCase', m: 'multiline', s: 'dotAll', x: 'verbose', a: 'ascii' } as const
  const changed: Record<string, boolean> = { ...flags }
  for (const letter of letters) if (letter in names) changed[names[letter as keyof typeof names]] = value
  return changed
}

function isPoint(point: number): CharTest {
  return other => other === point
}

/** Matches whatever the test matches in upper or lower case. */
function foldCase(test: CharTest): CharTest {
  return point => test(point) || test(lowerPoint(point)) || test(upperPoint(point))
}

/** The lower case of a character, where it is one character. */
export function lowerPoint(point: number): number {
  if (point < 128) return point >= 65 && point <= 90 ? point + 32 : point
  return single(String.fromCodePoint(point).toLowerCase(), point)
}

function upperPoint(point: number): number {
  if (point < 128) return point >= 97 && point <= 122 ? point - 32 : point
  return single(String.fromCodePoint(point).toUpperCase(), point)
}

function single(text: string, otherwise: number): number {
  const point = text.codePointAt(0)!
  return text.length === (point > 0xffff ? 2 : 1) ? point : otherwise
}

/** Python's str.isspace: not what `\s` of JavaScript takes. */
const SPACES = new Set([
  9, 10, 11, 12, 13, 28, 29, 30, 31, 32, 0x85, 0xa0, 0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009,
  0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000
])

function isDigit(point: number): boolean {
  return point < 128 ? point >= 48 && point <= 57 : /\p{Nd}/u.test(String.fromCodePoint(point))
}

export function isWord(point: number): boolean {
  if (point >= 128) return /[\p{L}\p{N}]/u.test(String.fromCodePoint(point))
  return (point >= 97 && point <= 122) || (point >= 65 && point <= 90) || (point >= 48 && point <= 57) || point === 95
}

const CATEGORIES: Readonly<Record<string, CharTest>> = { d: isDigit, w: isWord, s: point => SPACES.has(point) }
const ASSERTING: Readonly<Record<string, AssertKind>> = { A: 'start', Z: 'textEnd', b: 'word', B: 'notWord' }
const ESCAPES: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, f: 12, v: 11, a: 7 }
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }

/** Fewest and most characters that a node takes. */
function widthOf(node: RegexNode): readonly [number, number] {
  switch (node.type) {
    case 'char':
      return [1, 1]
    case 'sequence':
      return node.items.map(widthOf).reduce((sum, width) => [sum[0] + width[0], sum[1] + width[1]], [0, 0])
    case 'choice':
      return spread(node.options)
    case 'conditional':
      return spread([node.yes, node.no])
    case 'repeat': {
      const [min, max] = widthOf(node.item)
      return [min * node.min, max === 0 ? 0 : max * node.max]
    }
    case 'group':
    case 'atomic':
      return widthOf(node.item)
    case 'backreference':
      return [0, Infinity]
    case 'assert':
    case 'look':
      return [0, 0]
  }
}

function spread(nodes: readonly RegexNode[]): readonly [number, number] {
  const widths = nodes.map(widthOf)
  return [Math.min(...widths.map(width => width[0])), Math.max(...widths.map(width => width[1]))]
}
