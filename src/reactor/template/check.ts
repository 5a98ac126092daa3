/** What can be said of a template before it runs: filters and tests that do not exist. */

import { TemplateError } from './errors.js'
import { filterNamed } from './filters.js'
import type { Template } from './nodes.js'
import { testNamed } from './tests.js'

/** Statements that Jinja compiles as a frame of their own: in them names are looked for at once again, even inside of an `if`. */
const FRAMES: ReadonlySet<string> = new Set([
  'for',
  'macro',
  'callBlock',
  'filterBlock',
  'setBlock',
  'loadBlock',
  'with',
  'block',
  'autoescape'
])

/** Throws for names of filters and tests that do not exist; in an `if` Jinja only looks when they run (`late`). */
export function checkNames(template: Template): void {
  checkNode(template.body, false)
}

function checkNode(node: unknown, late: boolean): void {
  if (node === null || typeof node !== 'object') return
  if (!('type' in node)) {
    for (const item of childrenOf(node)) checkNode(item, late)
    return
  }
  const typed = node as { type: string; name?: string; line: number; column: number; over?: unknown }
  if (typed.type === 'constant') return
  if ((typed.type === 'filter' || typed.type === 'test') && !late) checkName(typed.type, typed.name!, typed)
  const inner = typed.type === 'if' || typed.type === 'condition' || (late && !FRAMES.has(typed.type))
  for (const item of childrenOf(node)) checkNode(item, item === typed.over ? late : inner)
}

/** Arrays and objects that hang on a node: statements, expressions, arguments, pairs. */
function childrenOf(node: object): unknown[] {
  return Object.values(node).filter(value => value !== null && typeof value === 'object')
}

function checkName(type: 'filter' | 'test', name: string, place: { line: number; column: number }): void {
  try {
    if (type === 'filter') filterNamed(name)
    else testNamed(name)
  } catch (error) {
    throw error instanceof TemplateError ? error.at({ file: undefined, line: place.line, column: place.column }) : error
  }
}
