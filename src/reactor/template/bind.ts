import { runtimeError } from './errors.js'
import { flat, isInt, truthy, typeName } from './operators.js'
import type { Kwargs, Value } from './values.js'

/** Marks a parameter without a default. */
export const REQUIRED = Symbol('required')

/**
 * Python's way from a call's arguments to parameters: `bind('indent', args, kwargs, { width: 4, first: false })` gives the values in that
 * order. Too many, unknown, doubled and missing arguments are TypeErrors.
 */
export function bind(name: string, args: readonly Value[], kwargs: Kwargs, parameters: Record<string, Value | typeof REQUIRED>): Value[] {
  const names = Object.keys(parameters)
  if (args.length > names.length) throw runtimeError(`${name}() takes ${names.length} positional arguments but ${args.length} were given`)
  const values: Value[] = args.slice()
  for (const key of kwargs.keys()) if (!names.includes(key)) throw runtimeError(`${name}() got an unexpected keyword argument '${key}'`)
  for (let index = 0; index < names.length; index++) {
    const parameter = names[index]!
    const named = kwargs.get(parameter)
    if (index < args.length) {
      if (named !== undefined) throw runtimeError(`${name}() got multiple values for argument '${parameter}'`)
      continue
    }
    const fallback = parameters[parameter]!
    if (named === undefined && fallback === REQUIRED) throw runtimeError(`${name}() missing 1 required positional argument: '${parameter}'`)
    values[index] = named === undefined ? (fallback as Value) : named
  }
  return values
}

/** A text argument. */
export function text(value: Value | undefined, what: string): string {
  const flattened = flat(value ?? null)
  if (typeof flattened === 'string') return flattened
  throw runtimeError(`${what} must be str, not ${typeName(flattened)}`)
}

/** An integer argument, as a number: beyond 2^53 no index or width makes sense. */
export function integer(value: Value | undefined, what = 'argument'): number {
  if (typeof value === 'boolean') return Number(value)
  if (value !== undefined && isInt(value)) return Number(value)
  throw runtimeError(`${what}: '${typeName(value ?? null)}' object cannot be interpreted as an integer`)
}

export function flag(value: Value | undefined): boolean {
  return value !== undefined && truthy(value)
}
