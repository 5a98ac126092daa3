/** From the values of a call (unknown, they come from a person or a network) to the types that a function works with. */
import { InvocationError } from './errors.js'
import { pyRepr, pyStr, truthy } from './python.js'

export type Mapping = Record<string, unknown>

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A text; numbers and booleans become what Python prints for them. */
export function text(value: unknown, name: string): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return pyStr(value)
  throw new InvocationError(`${name} must be a text, not ${pyRepr(value)}`)
}

export function textOrNull(value: unknown, name: string): string | null {
  return value === null || value === undefined ? null : text(value, name)
}

/** A number, also written as text. */
export function number(value: unknown, name: string): number {
  const result = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof result !== 'number' || Number.isNaN(result)) throw new InvocationError(`${name} must be a number, not ${pyRepr(value)}`)
  return result
}

export function numberOrNull(value: unknown, name: string): number | null {
  return value === null || value === undefined ? null : number(value, name)
}

/** Python's truth, but texts that say no are no (`test=False` may arrive as text). */
export function flag(value: unknown): boolean {
  return typeof value === 'string' ? !/^(|false|no|off|0|none)$/i.test(value.trim()) : truthy(value)
}

/** A list of texts: a list, or one text with commas (no commas: a list of one). */
export function texts(value: unknown, name: string): string[] {
  if (value === null || value === undefined) return []
  if (Array.isArray(value)) return value.map(item => text(item, name))
  return text(value, name)
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')
}

/** A mapping; a list of one-key mappings, as states write it, becomes one. */
export function mapping(value: unknown, name: string): Mapping {
  if (value === null || value === undefined) return {}
  if (isMapping(value)) return value
  if (Array.isArray(value) && value.every(isMapping)) return Object.assign({}, ...value)
  throw new InvocationError(`${name} must be a mapping, not ${pyRepr(value)}`)
}

/**
 * The value at a path of keys (`a:b:0`), or undefined. A list is entered through the first of its mappings that has the key, else by index, which
 * counts from the end when negative (Salt's traverse_dict_and_list).
 */
export function traverse(data: unknown, path: string, delimiter = ':'): unknown {
  let here: unknown = data
  for (const key of path.split(delimiter)) {
    if (Array.isArray(here)) here = within(here, key)
    else if (isMapping(here) && Object.hasOwn(here, key)) here = here[key]
    else return undefined
    if (here === undefined) return undefined
  }
  return here
}

function within(list: readonly unknown[], key: string): unknown {
  const mapping = list.find((item): item is Mapping => isMapping(item) && Object.hasOwn(item, key))
  if (mapping) return mapping[key]
  return /^-?\d{1,9}$/.test(key) ? list.at(Number(key)) : undefined
}

/** Sets `target[key] = value` as an own property, also for names such as `__proto__`. */
export function setOwn(target: Mapping, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true })
}
