/** Python's `re.match`, `re.search`, `re.sub` and `re.escape` for filters and tests, with the bounds of shared/regex. */
import { PythonRegex, RegexBudget, type RegexFlags, RegexSyntaxError, RegexTooCostly } from '../../shared/regex/index.js'
import { limitError, runtimeError } from './errors.js'
import type { Budget } from './limits.js'

/** Compiled patterns by flags and text; templates use a handful each, so the bound is only against patterns made of data. */
const cache = new Map<string, PythonRegex>()
const MAX_CACHED = 500
/** Steps of one match; a template that matches more often runs into its own time limit. */
const MAX_STEPS = 500_000

function compile(pattern: string, flags: RegexFlags): PythonRegex {
  const key = `${flags.ignoreCase ? 'i' : ''}${flags.multiline ? 'm' : ''}/${pattern}`
  const known = cache.get(key)
  if (known !== undefined) return known
  const regex = new PythonRegex(pattern, flags)
  if (cache.size >= MAX_CACHED) cache.clear()
  cache.set(key, regex)
  return regex
}

/** Runs what matches; its steps count as the template's, its errors are Python exceptions. */
function guarded<T>(budget: Budget, run: (steps: RegexBudget) => T): T {
  const steps = new RegexBudget(MAX_STEPS)
  try {
    return run(steps)
  } catch (error) {
    if (error instanceof RegexSyntaxError) throw runtimeError(error.message)
    if (error instanceof RegexTooCostly) throw limitError(error.message)
    throw error
  } finally {
    budget.step(Math.ceil((MAX_STEPS - Math.max(steps.steps, 0)) / 32))
  }
}

/** The groups of a match at the start (or anywhere, with `search`); null when there is none. */
export function matchGroups(text: string, pattern: string, flags: RegexFlags, search: boolean, budget: Budget): (string | null)[] | null {
  return guarded(budget, steps => {
    const regex = compile(pattern, flags)
    const match = search ? regex.search(text, steps) : regex.match(text, steps)
    return match?.groups() ?? null
  })
}

/** `re.sub(pattern, replacement, text)`. */
export function substitute(text: string, pattern: string, replacement: string, flags: RegexFlags, budget: Budget): string {
  return guarded(budget, steps => {
    const regex = compile(pattern, flags)
    const template = parseReplacement(regex, replacement)
    const points = [...text]
    let out = ''
    let copied = 0
    for (const match of regex.matches(text, steps)) {
      budget.step()
      const groups = [match.group(0), ...match.groups()]
      const piece = template.map(part => (typeof part === 'string' ? part : (groups[part] ?? ''))).join('')
      budget.grow(piece.length + match.start - copied)
      out += points.slice(copied, match.start).join('') + piece
      copied = match.end
    }
    return out + points.slice(copied).join('')
  })
}

const ESCAPES: Record<string, string> = { n: '\n', t: '\t', r: '\r', f: '\f', v: '\v', a: '\x07', b: '\b', '\\': '\\' }

/** A replacement as texts and numbers of groups. */
function parseReplacement(regex: PythonRegex, replacement: string): (string | number)[] {
  const parts: (string | number)[] = []
  for (const [whole, name, digits, escaped] of replacement.matchAll(/\\g<([^>]*)>|\\(\d{1,2})|\\([\s\S])|[^\\]+|\\$/g)) {
    if (name !== undefined) parts.push(groupIndex(regex, name))
    else if (digits !== undefined)
      parts.push(digits.startsWith('0') ? String.fromCharCode(Number.parseInt(digits, 8)) : groupIndex(regex, digits))
    else if (escaped === undefined) parts.push(whole)
    else {
      const character = ESCAPES[escaped]
      if (character === undefined && /[a-zA-Z]/.test(escaped)) throw runtimeError(`bad escape \\${escaped}`)
      parts.push(character ?? whole)
    }
  }
  return parts
}

function groupIndex(regex: PythonRegex, name: string): number {
  const index = /^\d+$/.test(name) ? Number(name) : regex.names.get(name)
  if (index === undefined) throw runtimeError(`unknown group name '${name}'`)
  if (index > regex.groups) throw runtimeError(`invalid group reference ${index}`)
  return index
}

/** Python's `re.escape`. */
export function escapeRegex(text: string): string {
  return text.replace(/[()[\]{}?*+\-|^$\\.&~# \t\n\r\v\f]/g, '\\$&')
}
