/** What can be said of a template before it runs: filters and tests that do not exist. */

import { TemplateError } from './errors.js'
import { filterNamed } from './filters.js'
import type { Template } from './nodes.js'
import { testNamed } from './tests.js'

/** Throws for names of filters and tests that do not exist; in branches of `if` Jinja only looks when they run. */
export function checkNames(template: Template): void {
  checkNode(template.body)
}

function checkNode(node: unknown): void {
  if (Array.isArray(node)) {
    for (const item of node) checkNode(item)
    return
  }
  if (node === null || typeof node !== 'object' || !('type' in node)) {
    if (node !== null && typeof node === 'object') for (const item of childrenOf(node)) checkNode(item)
    return
  }
  const typed = node as { type: string; name?: string; line: number; column: number; test?: unknown }
  if (typed.type === 'constant') return
  if (typed.type === 'if' || typed.type === 'condition') {
    checkNode(typed.test)
    return
  }
  if (typed.type === 'filter' || typed.type === 'test') checkName(typed.type, typed.name!, typed)
  for (const item of childrenOf(node)) checkNode(item)
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
