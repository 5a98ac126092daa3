/**
 * Edits of texts: what `file.replace`, `file.line`, `file.blockreplace`, `file.comment_line` and `file.keyvalue` do to the content of a file,
 * without the file. Rules and error texts are Salt's.
 */
import { CommandExecutionError, InvocationError } from '../errors.js'
import { pyStr, pyType } from '../python.js'
import { escapePattern, FilePattern } from './pattern.js'

/** Lines with their ends; `\n` and `\r\n` end a line. */
export function linesWithEnds(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

/** Lines without their ends, as Python's splitlines. */
export function linesOf(text: string): string[] {
  const lines = text.split(/\r\n|\n|\r/)
  if (lines.at(-1) === '') lines.pop()
  return lines
}

// ── replace ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Replacement {
  readonly pattern: string
  readonly repl: string
  readonly count: number
  readonly flags: number
  readonly append: boolean
  readonly prepend: boolean
  readonly notFoundContent: string | null
  readonly backslashLiteral: boolean
}

/** Replaces what the pattern finds; where it finds nothing, the content may be put at the beginning or the end, once. */
export function replaceText(text: string, wish: Replacement): string {
  if (wish.append && wish.prepend) throw new InvocationError('Only one of append and prepend_if_not_found is permitted')
  const { text: after, replaced } = new FilePattern(wish.pattern, wish.flags).substitute(text, wish.repl, {
    count: wish.count,
    literal: wish.backslashLiteral
  })
  if (replaced > 0 || !(wish.append || wish.prepend)) return after
  const content = wish.notFoundContent ?? wish.repl
  if (new FilePattern(`^${escapePattern(content)}($|(?=\\r\\n))`, wish.flags).test(text)) return after
  if (wish.prepend) return `${content}\n${after}`
  return `${after}${after === '' || after.endsWith('\n') ? '' : '\n'}${content}\n`
}

// ── line ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface LineEdit {
  readonly content: string | null
  readonly match: string | null
  readonly mode: string | null
  readonly location: string | null
  readonly before: string | null
  readonly after: string | null
  readonly indent: boolean
}

type WithContent = LineEdit & { readonly content: string }

/** Salt's `file.line`. Throws CommandExecutionError for what it cannot decide. */
export function editLine(text: string, edit: LineEdit): string {
  const mode = edit.mode?.toLowerCase() ?? null
  if (mode === null) throw new CommandExecutionError('Mode was not defined. How to process the file?')
  if (!['insert', 'ensure', 'delete', 'replace'].includes(mode)) throw new CommandExecutionError(`Unknown mode: "${mode}"`)
  if (mode !== 'delete' && edit.content === null) throw new CommandExecutionError('Content can only be empty if mode is "delete"')
  const lines = linesWithEnds(text)
  // With an empty line behind the last end of line, "after the last line" is a place like any other.
  if (text.endsWith('\n')) lines.push('')
  const wish = { ...edit, match: edit.match || (edit.before === null && edit.after === null ? edit.content : null) }
  const edited = EDITS[mode]!(lines, wish)
  return edited
    .map((line, index) => (index < edited.length - 1 && !/[\r\n]$/.test(line) ? `${line.trimEnd()}${endAfter(edited)}` : line))
    .join('')
}

function endAfter(lines: readonly string[]): string {
  return lines.some(line => line.endsWith('\r\n')) ? '\r\n' : '\n'
}

const EDITS: Readonly<Record<string, (lines: string[], edit: LineEdit) => string[]>> = {
  delete: (lines, { match }) => {
    const found = matching(lines, match)[0]
    return found === undefined ? lines : lines.filter(line => line !== found)
  },
  replace: (lines, { match, content, indent }) => {
    const found = matching(lines, match)[0]
    if (found === undefined) return lines
    return lines.with(lines.indexOf(found), indented(found, content!, indent))
  },
  insert: insertLine,
  ensure: ensureLine
}

/** The lines that an expression finds, or that contain it as it is. */
function matching(lines: readonly string[], expression: string | null): string[] {
  if (!expression) return []
  const pattern = new FilePattern(expression, 16)
  return lines.filter(line => pattern.test(line) || line.includes(expression))
}

/** The one line that is meant. */
function theOne(lines: readonly string[], expression: string, name: string): number {
  const found = matching(lines, expression)
  if (found.length !== 1)
    throw new CommandExecutionError(`Found ${found.length > 1 ? 'more' : 'less'} than expected occurrences in "${name}" expression`)
  return lines.indexOf(found[0]!)
}

function indented(like: string | undefined, content: string, indent: boolean): string {
  return indent ? /^[ \t]*/.exec(like ?? '')![0] + content.trimStart() : content
}

const bare = (line: string | undefined): string | undefined => line?.replace(/[\r\n]+$/, '')

function insertLine(lines: string[], edit: LineEdit): string[] {
  const { content, location, before, after, indent } = edit as WithContent
  if (location) {
    if (location === 'start') return lines.length > 0 ? [`${content.trimEnd()}${endAfter(lines)}`, ...lines] : [`${content}\n`]
    if (location === 'end') return atEnd(lines, content, indent)
    return lines
  }
  if (before === null && after === null)
    throw new CommandExecutionError('On insert either "location" or "before/after" conditions are required.')
  if (before !== null && after !== null) {
    const index = theOne(lines, before, 'before')
    theOne(lines, after, 'after')
    return lines.toSpliced(index, 0, indented(lines[index], content, indent))
  }
  return beside(lines, { ...edit, content }, before === null ? 'after' : 'before')
}

function atEnd(lines: readonly string[], content: string, indent: boolean): string[] {
  // The empty line behind the last end of line stays the last one, so that the file goes on ending with one.
  const [above, below] = lines.at(-1) === '' ? [lines.slice(0, -1), ['']] : [lines, []]
  return [...above, indented(above.at(-1), content, indent), ...below]
}

/** Puts the content before or after the one line, unless it stands there. */
function beside(lines: string[], edit: WithContent, where: 'before' | 'after'): string[] {
  const index = theOne(lines, edit[where]!, where)
  const neighbour = where === 'before' ? index - 1 : index + 1
  if (bare(lines[neighbour]) === bare(edit.content) || bare(lines[neighbour])?.trimStart() === bare(edit.content)) return lines
  return lines.toSpliced(where === 'before' ? index : index + 1, 0, indented(lines[index], edit.content, edit.indent))
}

function ensureLine(lines: string[], edit: LineEdit): string[] {
  const { content, before, after, indent } = edit as WithContent
  if (before === null && after === null) {
    throw new CommandExecutionError('Wrong conditions? Unable to ensure line without knowing where to put it before and/or after.')
  }
  if (before === null || after === null) return beside(lines, { ...edit, content }, before === null ? 'after' : 'before')
  const [first, last] = [theOne(lines, after, 'after'), theOne(lines, before, 'before')]
  if (lines.some(line => bare(line.trimStart()) === bare(content))) return lines
  const line = indented(lines[first], content, indent)
  if (first + 1 === last) return lines.toSpliced(first + 1, 0, line)
  if (first + 2 === last) return lines.with(first + 1, `${line.trimEnd()}${endAfter(lines)}`)
  throw new CommandExecutionError('Found more than one line between boundaries "before" and "after".')
}

// ── blockreplace ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Block {
  readonly markerStart: string
  readonly markerEnd: string
  readonly content: string
  readonly append: boolean
  readonly prepend: boolean
  readonly insertBefore: string | null
  readonly insertAfter: string | null
  /** null: a newline is added when the content does not end with one. */
  readonly appendNewline: boolean | null
}

/** Replaces what stands between two marked lines. Throws for a block that has no end, or is not there and is not to be made. */
export function replaceBlock(text: string, block: Block): string {
  const places = [block.append, block.prepend, block.insertBefore !== null, block.insertAfter !== null].filter(Boolean).length
  if (places > 1) {
    throw new InvocationError(
      'Only one of append_if_not_found, prepend_if_not_found, insert_before_match, and insert_after_match is permitted'
    )
  }
  const lines = linesWithEnds(text)
  const end = lines[0]?.endsWith('\r\n') ? '\r\n' : '\n'
  const out: string[] = []
  let found = false
  let inside = false
  for (const line of lines) {
    if (!inside && line.includes(block.markerStart)) {
      inside = true
      found = true
      out.push(line)
    } else if (inside && line.includes(block.markerEnd)) {
      inside = false
      out.push(...blockLines(block, end, line.slice(line.indexOf(block.markerEnd))))
    } else if (!inside) out.push(line)
  }
  if (inside) throw new CommandExecutionError('Unterminated marked block. End of file reached before marker_end.')
  if (found) return out.join('')
  const fresh = [`${block.markerStart}${end}`, ...blockLines(block, end, block.markerEnd + end)]
  return placed(lines, fresh, block, end)
}

/** The content, then the marker's line (what stood before the marker on its line is gone, so that a run without newline heals). */
function blockLines({ content, appendNewline }: Block, end: string, last: string): string[] {
  const newline = appendNewline ?? !content.endsWith('\n')
  const lines = content.split(/\r\n|\n/)
  return lines
    .map((line, index) => (index < lines.length - 1 || newline ? `${line}${end}` : `${line}${last}`))
    .concat(newline ? [last] : [])
}

function placed(lines: readonly string[], fresh: readonly string[], block: Block, end: string): string {
  if (block.prepend) return [...fresh, ...lines].join('')
  if (block.append) {
    const last = lines.at(-1)
    return [...lines, ...(last !== undefined && !last.endsWith('\n') ? [end] : []), ...fresh].join('')
  }
  const expression = block.insertBefore ?? block.insertAfter
  if (expression !== null) {
    const pattern = new FilePattern(expression, 0)
    const index = lines.findIndex(line => pattern.test(line))
    if (index >= 0) {
      const at = block.insertBefore === null ? index + 1 : index
      const above = lines.slice(0, at)
      if (above.length > 0 && !above.at(-1)!.endsWith('\n')) above.push(end)
      return [...above, ...fresh, ...lines.slice(at)].join('')
    }
  }
  throw new CommandExecutionError('Cannot edit marked block. Markers were not found in file.')
}

// ── comment ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Commented {
  readonly text: string
  /** The lines that changed, as they were and as they are. */
  readonly before: string[]
  readonly after: string[]
}

/** Comments or uncomments the lines that an expression finds at their beginning. null: none. */
export function commentLines(text: string, regex: string, char: string, comment: boolean): Commented | null {
  const [, middle, end] = /^\^?([\s\S]*?)(\$?)$/.exec(regex)!
  // Without a sign of its own the expression is one group, so that an anchor or a comment sign holds for all of it.
  const pattern = new FilePattern(`^${comment ? '' : `${escapePattern(char)}\\s*`}(${middle})${end}`, 0)
  const lines = linesWithEnds(text)
  const before = lines.filter(line => pattern.test(line))
  if (before.length === 0) return null
  const turn = (line: string): string => (comment ? `${char}${line}` : stripStart(line, char))
  return { text: lines.map(line => (pattern.test(line) ? turn(line) : line)).join(''), before, after: before.map(turn) }
}

// ── keyvalue ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface KeyValues {
  readonly values: Readonly<Record<string, unknown>>
  readonly separator: string
  readonly append: boolean
  readonly prepend: boolean
  /** Lines with a key that are kept; -1: all are set, 0: all are removed. */
  readonly count: number
  /** Characters that may stand before a key and are removed with it. */
  readonly uncomment: string | null
  readonly keyIgnoreCase: boolean
  readonly valueIgnoreCase: boolean
}

export interface KeyValueEdit {
  readonly text: string
  /** Salt's own form of a difference: `- old`, `+ new`. */
  readonly diff: string[]
  readonly changes: number
}

export function editKeyValues(text: string, wish: KeyValues): KeyValueEdit {
  const left = new Map(Object.keys(wish.values).map(key => [key, wish.count]))
  const diff: string[] = []
  const out: string[] = []
  let changes = 0
  for (const line of linesWithEnds(text)) {
    const edited = editKeyLine(line, wish, left)
    if (edited) {
      changes++
      diff.push(`- ${line}`, ...edited.shown)
    }
    out.push(edited ? edited.line : line)
  }
  const missing = [...left].filter(([, count]) => count > 0).map(([key]) => `${key}${wish.separator}${pyStr(wish.values[key])}\n`)
  if (wish.append && missing.length > 0) {
    if (out.length > 0 && !out.at(-1)!.endsWith('\n') && out.at(-1) !== '') out.push('\n')
    diff.push('- <EOF>\n', ...missing.map(line => `+ ${line}`), '+ <EOF>\n')
    out.push(...missing)
  } else if (wish.prepend && missing.length > 0) {
    const turned = missing.toReversed()
    diff.unshift('  <SOF>\n', ...turned.map(line => `+ ${line}`))
    out.unshift(...turned)
  }
  if (wish.append || wish.prepend) changes += missing.length
  return { text: out.join(''), diff, changes }
}

/** null: the line stays. */
function editKeyLine(line: string, wish: KeyValues, left: Map<string, number>): { line: string; shown: string[] } | null {
  const stripped = wish.uncomment === null ? line.trimStart() : stripStart(line, wish.uncomment)
  const uncommented = stripped.length < line.length
  const working = uncommented ? stripped : line
  const fold = (text: string): string => (wish.keyIgnoreCase ? text.toLowerCase() : text)
  const at = working.indexOf(wish.separator)
  if (at < 0) return null
  const lineKey = working.slice(0, at)
  const key = Object.keys(wish.values).find(name => fold(name) === fold(lineKey))
  if (key === undefined) return null
  const count = left.get(key)!
  if (count > 0) left.set(key, count - 1)
  const [is, shall] = [working.slice(at + wish.separator.length).trim(), pyStr(wish.values[key]).trim()]
  const same = wish.valueIgnoreCase ? is.toLowerCase() === shall.toLowerCase() : is === shall
  // A comment counts only while a line with its key is still wanted; a line that is none goes when there are enough of them.
  const change = uncommented ? count > 0 : !same || count === 0
  if (!change) return null
  if (count === 0) return { line: '', shown: [] }
  const value = wish.values[key]
  const fresh = `${lineKey}${wish.separator}${pyStr(value)}\n`
  return { line: fresh, shown: [typeof value === 'string' ? `+ ${fresh}` : `+ ${fresh.trimEnd()} (from ${pyType(value)} type)\n`] }
}

function stripStart(line: string, characters: string): string {
  let at = 0
  while (at < line.length && characters.includes(line[at]!)) at++
  return line.slice(at)
}
