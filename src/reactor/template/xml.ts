/** Salt's `xml` filter: dicts become elements, their scalar values attributes, lists repeated elements. */
import type { Env } from './env.js'
import { runtimeError } from './errors.js'
import { isNumber, typeName } from './operators.js'
import { str } from './text.js'
import { PyDict, PyList, PyTuple, type Value } from './values.js'

interface Element {
  readonly tag: string
  readonly attributes: [string, string][]
  readonly children: Element[]
  text: string | null
}

export function printXml(value: Value, env: Env): string {
  const roots: Element[] = []
  for (const [tag, content] of pairs(value)) roots.push(...elements(tag, content, env, 0))
  const root = roots.at(-1)
  if (root === undefined) throw runtimeError('no element to print as XML')
  return `<?xml version="1.0" ?>\n${print(root, 0)}`
}

function pairs(value: Value): [string, Value][] {
  if (value instanceof PyDict) return [...value.entries()].map(([key, item]) => [String(key), item])
  if (value instanceof PyList || value instanceof PyTuple) return value.items.flatMap(pairs)
  throw runtimeError(`'${typeName(value)}' has no elements for XML`)
}

function elements(tag: string, content: Value, env: Env, depth: number): Element[] {
  env.budget.enter()
  const made =
    content instanceof PyList && depth > 0
      ? content.items.flatMap(item => elements(tag, item, env, depth + 1))
      : [element(tag, content, env, depth)]
  env.budget.leave()
  return made
}

function element(tag: string, content: Value, env: Env, depth: number): Element {
  const made: Element = { tag, attributes: [], children: [], text: null }
  if (typeof content === 'string' || isNumber(content)) {
    made.text = str(content, env.budget)
    return made
  }
  if (content === null) return made
  for (const [name, item] of pairs(content)) {
    if (item instanceof PyDict || item instanceof PyList) made.children.push(...elements(name, item, env, depth + 1))
    else made.attributes.push([name, str(item, env.budget)])
  }
  return made
}

function print(element: Element, depth: number): string {
  const margin = ' '.repeat(depth)
  const attributes = element.attributes.map(([name, value]) => ` ${name}="${escapeXml(value)}"`).join('')
  const open = `${margin}<${element.tag}${attributes}`
  if (element.text !== null) return `${open}>${escapeXml(element.text)}</${element.tag}>\n`
  if (element.children.length === 0) return `${open}/>\n`
  return `${open}>\n${element.children.map(child => print(child, depth + 1)).join('')}${margin}</${element.tag}>\n`
}

/** As Python's minidom writes text and attributes. */
function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;').replaceAll('>', '&gt;')
}
