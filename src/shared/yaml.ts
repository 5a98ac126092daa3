/**
 * YAML as Salt reads and prints it: PyYAML's safe loader (YAML 1.1) on js-yaml's parser. Booleans are also yes/no/on/off, `1e5` is text,
 * `<<` merges, a key that stands twice is an error, time stamps stay text. What js-yaml does not decide (which scalar is which value) is in
 * yaml-scalars.ts, trees and their bounds in yaml-compose.ts, printing in yaml-emit.ts.
 */
import { brineError } from '../errors.js'
import { WholeFloat } from './numbers.js'
import { composeYaml, YamlConstructor, YamlError, type YamlValue } from './yaml-compose.js'
import { type EmitOptions, emitYaml } from './yaml-emit.js'

export { YAML_LIMITS, YamlError } from './yaml-compose.js'

/**
 * Reads one YAML document. An empty text is null; a second document is an error, as in PyYAML.
 * Throws `YamlError` with line and column. Mappings become plain objects (keys as JSON would print them), integers beyond 2^53 stay text.
 */
export function parseYaml(text: string, options: { file?: string } = {}): unknown {
  return toPlain(parseYamlValue(text, options.file))
}

/** The same with Python's types kept: Map for mappings, bigint for large integers, `WholeFloat` for floats without a fraction. */
export function parseYamlValue(text: string, file?: string): YamlValue {
  const documents = composeYaml(text, file)
  const [first, second] = documents
  if (first === undefined) return null
  const values = new YamlConstructor(text, file)
  if (second !== undefined) throw values.error(second, 'expected a single document in the stream, but found another document')
  return values.construct(first)
}

/** Reads a request body. Throws BODY_MALFORMED with the place. */
export function parseYamlBody(text: string): unknown {
  try {
    return parseYaml(text)
  } catch (error) {
    if (error instanceof YamlError)
      throw brineError('BODY_MALFORMED', 'YAML', `${error.reason} at line ${error.line}, column ${error.column}`)
    throw error
  }
}

/**
 * Prints a JSON-like value as salt-api and Salt's CLI do: block style, keys sorted (unless `sortKeys: false`), text quoted where it would be
 * read as something else, characters beyond ASCII kept.
 */
export function dumpYaml(value: unknown, options: EmitOptions = {}): string {
  return emitYaml(value, options)
}

/** Values for the rest of the program: objects, arrays, strings, numbers, booleans, null. */
export function toPlain(value: unknown): unknown {
  if (value instanceof Map) return mapToObject(value)
  if (Array.isArray(value)) return value.map(toPlain)
  if (value instanceof WholeFloat) return value.value
  return typeof value === 'bigint' ? String(value) : value
}

function mapToObject(map: Map<unknown, unknown>): Record<string, unknown> {
  const object: Record<string, unknown> = {}
  for (const [key, value] of map) setOwn(object, String(key), toPlain(value))
  return object
}

/** Sets a key that comes from outside; `__proto__` becomes a key like any other. */
export function setOwn(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
  else object[key] = value
}
