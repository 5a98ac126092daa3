import type { Budget } from './limits.js'
import type { Template } from './nodes.js'
import type { Kwargs, Value } from './values.js'

/** What filters, tests, methods and globals may use of the rendering that calls them. */
export interface Env {
  readonly budget: Budget
  /** Whether the output will be read as YAML: values printed into it stay values. */
  readonly yaml: boolean
  filter(name: string, value: Value, args: Value[], kwargs: Kwargs): Value
  test(name: string, value: Value, args: Value[], kwargs: Kwargs): boolean
  call(target: Value, args: Value[], kwargs: Kwargs): Value
  attribute(target: Value, name: string): Value
  item(target: Value, key: Value): Value
  /** Names in sight, for `show_full_context()`. */
  names(): Map<string, Value>
}

export type Method = (self: Value, args: Value[], kwargs: Kwargs, env: Env) => Value
export type Filter = (value: Value, args: Value[], kwargs: Kwargs, env: Env) => Value
export type Test = (value: Value, args: Value[], env: Env, kwargs: Kwargs) => boolean

/**
 * Where other templates come from: the text of a name as it is written (`map.jinja`, `salt://reactor/map.jinja`), or null. With `file` that is what
 * errors name, and where its own imports come `from`.
 */
export type Loader = (name: string, from: string | undefined) => string | { readonly text: string; readonly file: string } | null

/** A parsed template and where it came from. */
export interface Source {
  readonly template: Template
  readonly file: string | undefined
}
