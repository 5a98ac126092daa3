import { brineError } from '../errors.js'

/** Nesting beyond this is refused: serialising, rendering and msgpack all recurse, and no real event comes near. */
const MAX_DEPTH = 500

/** Above this length the engine's own quoting is faster than looking at each character. */
const SHORT_TEXT = 40

/**
 * JSON as Salt prints it (Python's `json.dumps(value, ensure_ascii=False)`): `", "` and `": "` as separators, keys in insertion order,
 * text unescaped except for what JSON demands. Where JavaScript has values that Python has not: `undefined` and functions are left
 * out of mappings and are null in lists, NaN and infinities are null, bigints are integers, `toJSON` is honoured (dates).
 * Throws FIELD_INVALID for data nested deeper than 500 levels (a cycle ends there too).
 */
export function saltJson(value: unknown): string {
  return write(value, 0) ?? 'null'
}

/** Undefined for what JSON has no form for. */
function write(value: unknown, depth: number): string | undefined {
  switch (typeof value) {
    case 'string':
      return quote(value)
    case 'number':
      return number(value)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'bigint':
      return String(value)
    case 'object':
      return value === null ? 'null' : container(value, depth)
    default:
      return undefined
  }
}

function container(value: object, depth: number): string | undefined {
  if (depth >= MAX_DEPTH) throw brineError('FIELD_INVALID', 'data', `is nested deeper than ${MAX_DEPTH} levels`)
  if (Array.isArray(value)) return list(value, depth + 1)
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return write((value as { toJSON(): unknown }).toJSON(), depth + 1)
  return mapping(value as Record<string, unknown>, depth + 1)
}

function list(items: readonly unknown[], depth: number): string {
  if (items.length === 0) return '[]'
  let out = `[${write(items[0], depth) ?? 'null'}`
  for (let i = 1; i < items.length; i++) out += `, ${write(items[i], depth) ?? 'null'}`
  return `${out}]`
}

function mapping(value: Record<string, unknown>, depth: number): string {
  let out = ''
  for (const key of Object.keys(value)) {
    const text = write(value[key], depth)
    if (text !== undefined) out += `${out === '' ? '{' : ', '}${quote(key)}: ${text}`
  }
  return out === '' ? '{}' : `${out}}`
}

/** Python writes small fractions with an exponent earlier than JavaScript does, and with two digits: `1e-05`. */
function number(value: number): string {
  if (!Number.isFinite(value)) return 'null'
  if (Number.isInteger(value) || Math.abs(value) >= 1e-4) return String(value)
  return value.toExponential().replace(/e-(\d)$/, 'e-0$1')
}

function quote(text: string): string {
  if (text.length > SHORT_TEXT) return JSON.stringify(text)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    // Control characters, the quote, the backslash, and lone surrogates (which could not be written as UTF-8).
    if (code < 0x20 || code === 0x22 || code === 0x5c || (code >= 0xd800 && code <= 0xdfff)) return JSON.stringify(text)
  }
  return `"${text}"`
}
