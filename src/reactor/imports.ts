/** What a template asks for by name: `import`, `from`, `include`, `extends`, `import_yaml` and its like. */
import type { Expression, Place, Statement } from './template/nodes.js'
import { parseTemplate } from './template/parser.js'

export interface TemplateImport extends Place {
  /** As written; of several the first that exists is taken. */
  readonly names: readonly string[]
  /** `ignore missing`: nothing is amiss when none of them is there. */
  readonly optional: boolean
}

/** Imports whose names stand in the text; those that are computed are known only when it runs. Throws TemplateError when it does not parse. */
export function importsOf(source: string): TemplateImport[] {
  if (/^#!(?!.*jinja)/.test(source)) return []
  return importsIn(parseTemplate(source.replace(/^#![^\n]*/, '')).body)
}

function importsIn(body: readonly Statement[]): TemplateImport[] {
  return body.flatMap(node => [...importOf(node), ...Object.values(node).flatMap(child => (isBody(child) ? importsIn(child) : []))])
}

function importOf(node: Statement): TemplateImport[] {
  if (!('template' in node)) return []
  const { line, column } = node
  const optional = node.type === 'include' && node.ignoreMissing
  return choicesOf(node.template).map(names => ({ names, optional, line, column }))
}

/** The lists of names that an expression may be; a computed one says nothing. */
function choicesOf(node: Expression): string[][] {
  if (node.type === 'constant') return typeof node.value === 'string' ? [[node.value]] : []
  if (node.type === 'condition') return [...choicesOf(node.value), ...(node.otherwise === null ? [] : choicesOf(node.otherwise))]
  if (node.type !== 'list' && node.type !== 'tuple') return []
  const choices = node.items.map(choicesOf)
  return choices.every(choice => choice.length === 1) ? [choices.flat(2)] : []
}

function isBody(value: unknown): value is Statement[] {
  return Array.isArray(value) && value.every(item => typeof item === 'object' && item !== null && 'type' in item && 'line' in item)
}
