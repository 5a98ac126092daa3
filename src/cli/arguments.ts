import { brineError } from '../errors.js'
import { splitKeyword, yamlArgument } from '../shared/arguments.js'

/** `k=v …` as a mapping, values read as on Salt's command line. */
function keywords(texts: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    texts.map(text => {
      const keyword = splitKeyword(text)
      if (keyword === null) throw brineError('USAGE', `'${text}' is not of the form name=value`)
      return [keyword.name, yamlArgument(keyword.value)]
    })
  )
}

/** Event data from `--json JSON`, or a YAML mapping as the first text (`'{version: 1}'`, as `salt-call event.send` takes it), and `k=v …`, which win. */
export function eventData(json: string | undefined, texts: readonly string[]): Record<string, unknown> {
  const first = texts[0]?.trimStart().startsWith('{') ? yamlArgument(texts[0]) : undefined
  if (first === undefined) return { ...(json === undefined ? {} : jsonObject(json)), ...keywords(texts) }
  if (json !== undefined) throw brineError('USAGE', 'the data is given twice: as a mapping and with --json')
  if (typeof first !== 'object' || first === null || Array.isArray(first)) throw brineError('USAGE', `'${texts[0]}' is no YAML mapping`)
  return { ...first, ...keywords(texts.slice(1)) }
}

/** Arguments of a function as typed: `name=value` stays text (the server splits it), anything else is read as YAML, as Salt's commands do. */
export function functionArguments(texts: readonly string[]): unknown[] {
  return texts.map(text => (splitKeyword(text) === null ? yamlArgument(text) : text))
}

function jsonObject(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw brineError('USAGE', `--json does not parse: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw brineError('USAGE', '--json must be an object')
  return value as Record<string, unknown>
}

/** `90`, `90s`, `15m`, `12h`, `30d` in seconds. */
export function seconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(s|m|h|d)?$/.exec(text)
  if (match === null) throw brineError('USAGE', `'${text}' is no time span; write 90, 15m, 12h or 30d`)
  return Number(match[1]) * { s: 1, m: 60, h: 3600, d: 86_400 }[(match[2] ?? 's') as 's' | 'm' | 'h' | 'd']
}
