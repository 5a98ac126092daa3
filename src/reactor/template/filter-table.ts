import { bind, type REQUIRED } from './bind.js'
import type { Env, Filter } from './env.js'
import type { Value } from './values.js'

/** Adds a filter whose parameters are named, those without a default being `REQUIRED`; its body gets them in that order. */
export type AddFilter = (
  name: string,
  parameters: Record<string, Value | typeof REQUIRED>,
  body: (value: Value, args: Value[], env: Env) => Value
) => void

/** A family's filters by name, and how to add one. */
export function filterTable(): { table: Map<string, Filter>; filter: AddFilter } {
  const table = new Map<string, Filter>()
  return {
    table,
    filter: (name, parameters, body) => {
      table.set(name, (value, args, kwargs, env) => body(value, bind(name, args, kwargs, parameters), env))
    }
  }
}
