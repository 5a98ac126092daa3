/** Python's `pprint.pformat`: as `repr`, with sorted keys, broken into lines of at most 80 characters. */
import { compareCodePoints } from '../../shared/yaml-emit.js'
import type { Budget } from './limits.js'
import { repr } from './text.js'
import { PyDict, PyList, PyTuple, type Value } from './values.js'

const WIDTH = 80

export function prettyPrint(value: Value, budget: Budget): string {
  return pretty(value, 0, 0, budget)
}

function pretty(value: Value, indent: number, allowance: number, budget: Budget): string {
  budget.step()
  const flat = repr(sortedKeys(value, 0), budget)
  if (indent + flat.length + allowance <= WIDTH) return flat
  if (value instanceof PyDict) return prettyDict(value, indent, allowance, budget)
  if (value instanceof PyList || value instanceof PyTuple) return prettyItems(value, indent, allowance, budget)
  return flat
}

function prettyItems(value: PyList | PyTuple, indent: number, allowance: number, budget: Budget): string {
  const [open, close] = value instanceof PyList ? ['[', ']'] : ['(', value.items.length === 1 ? ',)' : ')']
  const items = value.items.map((item, index) =>
    pretty(item, indent + 1, index === value.items.length - 1 ? allowance + close.length : 1, budget)
  )
  return open + items.join(`,\n${' '.repeat(indent + 1)}`) + close
}

function prettyDict(dict: PyDict, indent: number, allowance: number, budget: Budget): string {
  const entries = sortedEntries(dict)
  const items = entries.map(([key, item], index) => {
    const name = repr(key, budget)
    const room = index === entries.length - 1 ? allowance + 1 : 1
    return `${name}: ${pretty(item, indent + name.length + 3, room, budget)}`
  })
  return `{${items.join(`,\n${' '.repeat(indent + 1)}`)}}`
}

function sortedEntries(dict: PyDict): (readonly [Value, Value])[] {
  const entries = [...dict.entries()]
  if (!entries.every(([key]) => typeof key === 'string')) return entries
  return entries.sort(([a], [b]) => compareCodePoints(a as string, b as string))
}

function sortedKeys(value: Value, depth: number): Value {
  if (depth > 100) return value
  if (value instanceof PyDict) return PyDict.of(sortedEntries(value).map(([key, item]) => [key, sortedKeys(item, depth + 1)] as const))
  if (value instanceof PyList) return new PyList(value.items.map(item => sortedKeys(item, depth + 1)))
  return value instanceof PyTuple ? new PyTuple(value.items.map(item => sortedKeys(item, depth + 1))) : value
}
