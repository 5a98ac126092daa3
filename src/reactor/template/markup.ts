/** Text that is marked as safe HTML (`escape`, `json` outside of YAML …): what it takes in is escaped, what comes out is marked as well. */
import type { Env, Method } from './env.js'
import { escapeHtml } from './filters-text.js'
import { formatPercent } from './format.js'
import type { BinaryOperator } from './nodes.js'
import { multiply, typeName } from './operators.js'
import { str } from './text.js'
import { type Kwargs, Markup, PyDict, PyList, PyObject, PyTuple, type Value } from './values.js'

/** `+`, `*` and `%` with such a text; null when it has no part in the operation. */
export function markupOperation(operator: BinaryOperator, left: Value, right: Value, env: Env): Value | null {
  if (operator === '+' && isText(left) && isText(right)) return marked(safe(left) + safe(right), env)
  if (operator === '*') {
    const product = multiply(left instanceof Markup ? left.text : left, right instanceof Markup ? right.text : right, env.budget)
    return typeof product === 'string' ? new Markup(product) : null
  }
  if (operator !== '%' || !(left instanceof Markup)) return null
  return marked(formatPercent(left.text, escapedItems(right, env), env.budget), env)
}

function isText(value: Value): value is string | Markup {
  return typeof value === 'string' || value instanceof Markup
}

function safe(value: string | Markup): string {
  return value instanceof Markup ? value.text : escapeHtml(value)
}

function marked(text: string, env: Env): Markup {
  env.budget.grow(text.length)
  return new Markup(text)
}

/** Arguments of a format: what is no number enters escaped. */
function escapedItems(value: Value, env: Env): Value {
  if (value instanceof PyTuple) return new PyTuple(value.items.map(item => escapedItem(item, env)))
  if (value instanceof PyDict) return PyDict.of([...value.entries()].map(([key, item]) => [key, escapedItem(item, env)] as const))
  return escapedItem(value, env)
}

function escapedItem(value: Value, env: Env): Value {
  if (isText(value)) return safe(value)
  return value instanceof PyObject && typeName(value) !== 'StrictUndefined' ? escapeHtml(str(value, env.budget)) : value
}

/** Methods whose result is marked text, or a list or tuple of it. */
const MARKED =
  /^(?:capitalize|title|lower|upper|swapcase|casefold|replace|[lr]?strip|[lr]just|center|zfill|expandtabs|translate|r?split|splitlines|r?partition|join|format|removeprefix|removesuffix)$/
/** Of these the arguments enter the text. */
const TAKES_TEXT = /^(?:join|format|replace|[lr]just|center)$/

/** Calls a method of `str` on marked text. */
export function markupMethod(name: string, self: Markup, method: Method, args: Value[], kwargs: Kwargs, env: Env): Value {
  if (!MARKED.test(name)) return method(self.text, args, kwargs, env)
  if (!TAKES_TEXT.test(name)) return remarked(method(self.text, args, kwargs, env))
  const escaped = args.map(item => (item instanceof PyList || item instanceof PyTuple ? escapedList(item, env) : escapedItem(item, env)))
  const named: Kwargs = new Map([...kwargs].map(([key, item]) => [key, escapedItem(item, env)]))
  return remarked(method(self.text, escaped, named, env))
}

function escapedList(list: PyList | PyTuple, env: Env): Value {
  return new PyList(list.items.map(item => escapedItem(item, env)))
}

function remarked(value: Value): Value {
  if (typeof value === 'string') return new Markup(value)
  if (value instanceof PyList) return new PyList(value.items.map(remarked))
  return value instanceof PyTuple ? new PyTuple(value.items.map(remarked)) : value
}
