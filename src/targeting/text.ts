/** A value as Python's `str()` prints it, which is what Salt compares patterns with: `True`, `None`, `1.5`, `['a', 1]`. */
export function pythonText(value: unknown): string {
  return typeof value === 'string' ? value : repr(value)
}

function repr(value: unknown): string {
  if (value === null || value === undefined) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'string') return quoted(value)
  if (Array.isArray(value)) return `[${value.map(repr).join(', ')}]`
  if (typeof value === 'object') {
    const entries = Object.entries(value).map(([key, item]) => `${quoted(key)}: ${repr(item)}`)
    return `{${entries.join(', ')}}`
  }
  return String(value)
}

/** Single quotes, unless only double ones avoid escaping. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const escaped = text.replace(/[\\\n\r\t]/g, char => ESCAPES[char]!)
  return quote + (quote === "'" ? escaped.replace(/'/g, "\\'") : escaped) + quote
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }
