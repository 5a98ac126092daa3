import { brineError } from '../errors.js'

/** Name to compound expression, as text or as a list of words. */
export type Nodegroups = Readonly<Record<string, unknown>>

/** A group that names others can grow without end; more words than this no configuration means. */
const MAX_WORDS = 10_000

/**
 * The words of a nodegroup, those of the groups that it names in parentheses in their place. A group of plain names is a list, and one with
 * characters of a regular expression is one, as Salt takes them.
 * @throws TARGET_SYNTAX for an unknown group, one that contains itself, or one that is neither text nor list
 */
export function expandNodegroup(name: string, nodegroups: Nodegroups): string[] {
  const words = wordsOf(name, nodegroups)
  if (!words.some(isGroup)) return asListOrExpression(words)
  const out: string[] = []
  expandInto(name, nodegroups, new Set(), out)
  return out
}

function expandInto(name: string, nodegroups: Nodegroups, within: Set<string>, out: string[]): void {
  if (within.has(name)) throw brineError('TARGET_SYNTAX', name, `nodegroup '${name}' contains itself`)
  if (out.length > MAX_WORDS) throw brineError('TARGET_SYNTAX', name, `more than ${MAX_WORDS} words`)
  const words = wordsOf(name, nodegroups)
  within.add(name)
  out.push('(')
  for (const word of words) {
    if (isGroup(word)) expandInto(word.slice(2), nodegroups, within, out)
    else out.push(word)
  }
  out.push(')')
  within.delete(name)
}

function wordsOf(name: string, nodegroups: Nodegroups): string[] {
  const definition = Object.hasOwn(nodegroups, name) ? nodegroups[name] : undefined
  if (typeof definition === 'string') return definition.split(/\s+/).filter(Boolean)
  if (Array.isArray(definition)) return definition.map(String)
  throw brineError(
    'TARGET_SYNTAX',
    name,
    definition === undefined ? `nodegroup '${name}' is unknown` : `nodegroup '${name}' is neither text nor list`
  )
}

function isGroup(word: string): boolean {
  return word.length >= 3 && word.startsWith('N@')
}

const OPERATORS = new Set(['and', 'or', 'not', '(', ')'])

function asListOrExpression(words: string[]): string[] {
  if (words.some(word => OPERATORS.has(word) || word.includes('*') || /^[A-Z]@/.test(word))) return words
  return [`${words.some(word => /[([{\\?}\])]/.test(word)) ? 'E' : 'L'}@${words.join(',')}`]
}
