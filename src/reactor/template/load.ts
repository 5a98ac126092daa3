/** Data in texts: what `load_yaml`, `load_json`, `import_yaml` and the filters of these names read. */

import { parseYamlValue, YamlError } from '../../shared/yaml.js'
import { emitYaml } from '../../shared/yaml-emit.js'
import type { Env } from './env.js'
import { runtimeError, TemplateError } from './errors.js'
import { loadJson } from './json.js'
import type { DataFormat } from './nodes.js'
import { typeName } from './operators.js'
import { readYamlParts } from './slots.js'
import { str } from './text.js'
import { GroupTuple, PyBytes, PyDict, PyList, PyObject, PySet, PyTuple, RichText, toNeutral, toValue, type Value } from './values.js'

/** The value of a captured block or a text. */
export function loadData(format: DataFormat, value: Value, env: Env): Value {
  if (format === 'text') return value
  if (value instanceof RichText && format === 'yaml') return toValue(readYamlParts(value.parts))
  const text = str(value, env.budget)
  return format === 'json' ? readJson(text, env) : readYaml(text, env)
}

export function readYaml(text: string, env: Env): Value {
  env.budget.grow(text.length)
  try {
    return toValue(parseYamlValue(text))
  } catch (error) {
    if (error instanceof YamlError) throw runtimeError(`${error.reason}; line ${error.line}`)
    throw error
  }
}

export function readJson(text: string, env: Env): Value {
  try {
    return loadJson(text, env.budget)
  } catch (error) {
    if (error instanceof TemplateError && error.kind === 'runtime') throw new TemplateError('syntax', `Unable to load json from ${text}`)
    throw error
  }
}

/** PyYAML writes plain values; what only looks like one (a view, a range, marked text) it refuses. */
function checkRepresentable(value: Value, env: Env): void {
  if (value === null || !(value instanceof PyObject) || value instanceof RichText || value instanceof PyBytes) return
  env.budget.enter()
  if (value instanceof PyDict) for (const [key, item] of value.entries()) for (const part of [key, item]) checkRepresentable(part, env)
  else if (value instanceof PyList || (value instanceof PyTuple && !(value instanceof GroupTuple)))
    for (const item of value.items) checkRepresentable(item, env)
  else if (!(value instanceof PySet)) throw runtimeError(`cannot represent an object of type ${typeName(value)}`)
  env.budget.leave()
}

/** YAML text of a value, as Salt's `yaml` filter prints it. */
export function printYaml(value: Value, flow: boolean, env: Env): string {
  checkRepresentable(value, env)
  try {
    const text = emitYaml(toNeutral(value), { flow })
    env.budget.grow(text.length)
    return text.trim()
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw runtimeError(error.message)
    throw error
  }
}
