import { dumpYaml } from '../shared/yaml.js'

export const FORMATS = ['nested', 'json', 'yaml'] as const
export type Format = (typeof FORMATS)[number]

/** A value as text that ends with a newline. `json` is one document with two spaces; `nested` is Salt's outputter of that name. */
export function format(value: unknown, as: Format): string {
  switch (as) {
    case 'json':
      return `${JSON.stringify(value ?? null, null, 2)}\n`
    case 'yaml':
      return dumpYaml(value ?? null).replace(/\n?$/, '\n')
    case 'nested':
      return nested(value, 0, '').join('')
  }
}

/** Salt's nested outputter without colours: mappings sorted, four columns deeper each, list items with a dash. */
function nested(value: unknown, indent: number, prefix: string): string[] {
  const line = (text: string, at = indent) => `${' '.repeat(at)}${text}\n`
  if (typeof value === 'string') return value.split('\n').map((each, i) => line((i === 0 ? prefix : ' '.repeat(prefix.length)) + each))
  if (Array.isArray(value)) {
    return value.flatMap(item => {
      if (Array.isArray(item)) return [line('|_'), ...nested(item, indent + 2, '- ')]
      if (isObject(item)) return [line('|_'), ...nested(item, indent + 2, '')]
      return nested(item, indent, '- ')
    })
  }
  if (isObject(value)) {
    const rule = indent > 0 ? [line('----------')] : []
    const names = Object.keys(value).sort()
    return [...rule, ...names.flatMap(name => [line(`${prefix}${name}:`), ...nested(value[name], indent + 4, '')])]
  }
  return [line(prefix + pythonText(value))]
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function pythonText(value: unknown): string {
  if (value === null || value === undefined) return 'None'
  return value === true ? 'True' : value === false ? 'False' : String(value)
}

/** Rows under their headings, as wide as needed; the last column as it is. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows]
  const widths = headings.map((_, column) => Math.max(...all.map(row => row[column]?.length ?? 0)))
  return all
    .map(row => `${row.map((cell, column) => (column < row.length - 1 ? cell.padEnd(widths[column]!) : cell)).join('  ')}\n`)
    .join('')
}
