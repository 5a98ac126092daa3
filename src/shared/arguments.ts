/**
 * Arguments as they are written on Salt's command line and sent in a lowstate: `arg` items of the form `name=value` are keyword arguments,
 * their values YAML. Server (runners, permissions), command line and minion read them here, so that all agree.
 */
import { parseYaml } from './yaml.js'

export interface Arguments {
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
}

/** A name that Python accepts, then `=` and not a second one (`a==b` is text). The value stays on one line, as in Salt. */
const KEYWORD = /^([\p{L}_][\p{L}\p{N}_.-]*)=(?!=)(.*)$/u

/** Splits `name=value`; null when the text has another form. */
export function splitKeyword(text: string): { name: string; value: string } | null {
  const match = KEYWORD.exec(text)
  return match ? { name: match[1]!, value: match[2]! } : null
}

/**
 * The value that a text on the command line stands for: `5` → 5, `true` → true, `[1, 2]` → a list, `{a: b}` → a mapping. What is not a
 * scalar of a known kind or a flow collection stays text: dates, `1_000`, `a: b`, and anything with a comment sign that would be lost.
 */
export function yamlArgument(text: string): unknown {
  if (text.trim() === '' || text === '!' || text === '|') return text
  if (text === 'None') return null
  if (text.includes('_') && /^[0-9_]+$/.test(text.trim())) return text
  let value: unknown
  try {
    value = parseYaml(text)
  } catch {
    return text
  }
  return keepsMeaning(text, value) ? value : text
}

function keepsMeaning(text: string, value: unknown): boolean {
  // YAML would fold the lines (golden/events/job_ret_types.jsonl).
  if (text.includes('\n') && typeof value === 'string' && !/^\s*["']/.test(text)) return false
  if (text.includes('#') && (typeof value === 'string' || value === null || value === undefined)) return false
  if (Array.isArray(value)) return text.startsWith('[')
  if (value !== null && typeof value === 'object') return Object.getPrototypeOf(value) === Object.prototype && text.startsWith('{')
  return value !== undefined
}

/** True for a mapping that stands for keyword arguments inside an `arg` list, as jobs carry them. */
export function isKeywordMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && (value as Record<string, unknown>).__kwarg__ === true
}

/** Positional and keyword arguments of an `arg` list: `name=value` texts and `__kwarg__` mappings are keywords, all else is positional. */
export function parseArguments(arg: readonly unknown[]): Arguments {
  const args: unknown[] = []
  const kwargs: [string, unknown][] = []
  for (const item of arg) {
    const keyword = typeof item === 'string' ? splitKeyword(item) : null
    if (keyword) kwargs.push([keyword.name, yamlArgument(keyword.value)])
    else if (isKeywordMapping(item)) kwargs.push(...Object.entries(item).filter(([name]) => name !== '__kwarg__'))
    else args.push(item)
  }
  return { args, kwargs: Object.fromEntries(kwargs) }
}

/** The `arg` list of a job: positional arguments, then the keyword arguments as one mapping marked `__kwarg__`, as Salt has them. */
export function packArguments(args: readonly unknown[], kwargs: Readonly<Record<string, unknown>> | undefined): unknown[] {
  return kwargs === undefined || Object.keys(kwargs).length === 0 ? [...args] : [...args, { __kwarg__: true, ...kwargs }]
}
