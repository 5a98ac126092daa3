import { readFile, stat } from 'node:fs/promises'
import { dumpYaml, parseYaml } from '../../../shared/yaml.js'
import { messageOf } from '../../modules/errors.js'
import { pyRepr, pyStr } from '../../modules/python.js'
import { flag, isMapping, type Mapping, mapping, setOwn, text, textOrNull, traverse } from '../../modules/values.js'
import { type StateContext, type StateResult, stateFn } from '../state.js'
import { manageFile } from './managed.js'

export const serialize = stateFn(
  "serialize(name, dataset=None, dataset_pillar=None, user=None, group=None, mode=None, backup='', makedirs=False, show_changes=True, create=True, merge_if_exists=False, encoding=None, encoding_errors='strict', serializer=None, serializer_opts=None, deserializer_opts=None, check_cmd=None, tmp_dir='', tmp_ext='', **kwargs)",
  `Writes data into a file. serializer (or formatter): yaml, json, configparser, python. merge_if_exists puts the data over what the file holds
(yaml, json, configparser).`,
  writeDataset
)

/** Salt's order of keys for this state. */
function answer(name: string, result: boolean | null, comment: string, changes: Mapping = {}): StateResult {
  return { changes, comment, name, result }
}

async function writeDataset(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name')
  if (name === '') return answer(name, false, 'Must provide name to file.serialize')
  const there = (await stat(name).catch(() => null))?.isFile() ?? false
  if (!flag(a.create) && !there) return answer(name, true, `File ${name} is not present and is not set for creation`)
  const { formatter, ...kwargs } = isMapping(a.kwargs) ? a.kwargs : {}
  if (a.serializer && formatter) return answer(name, false, 'Only one of serializer and formatter are allowed')
  const format = String(a.serializer ?? formatter ?? 'yaml').toLowerCase()
  if (a.dataset && a.dataset_pillar) return answer(name, false, "Only one of 'dataset' and 'dataset_pillar' is permitted")
  const pillarPath = textOrNull(a.dataset_pillar, 'dataset_pillar')
  const dataset = pillarPath ? (traverse(ctx.pillar, pillarPath) ?? '') : a.dataset
  if (dataset === null || dataset === undefined) return answer(name, false, "Neither 'dataset' nor 'dataset_pillar' was defined")
  const serializer = SERIALIZERS[format]
  if (!serializer) {
    const missing = `The ${format} serializer could not be found. It either does not exist or its prerequisites are not installed.`
    return answer(name, false, missing)
  }
  const merged = there && flag(a.merge_if_exists) ? await mergeInto(name, format, serializer, dataset) : { dataset }
  if ('failure' in merged) return answer(name, merged.failure === null, merged.failure ?? `The file ${name} is in the correct state`)
  const contents = `${serializer.dump(merged.dataset, mapping(a.serializer_opts, 'serializer_opts'))}\n`
  const { user, group, mode, backup, makedirs, show_changes, check_cmd, tmp_dir, tmp_ext } = a
  const managed = { ...kwargs, name, contents, user, group, mode, backup, makedirs, show_changes, check_cmd, tmp_dir, tmp_ext }
  const result = await manageFile(ctx, managed)
  return ctx.test && result.result === null ? { ...result, comment: `Dataset will be serialized and stored into ${name}` } : result
}

/** The data of the file below the data of the state. `failure` null: the file holds it already; a text: why it cannot be read. */
async function mergeInto(
  name: string,
  format: string,
  serializer: Serializer,
  dataset: unknown
): Promise<{ dataset: unknown } | { failure: string | null }> {
  if (!serializer.load) return { failure: `merge_if_exists is not supported for the ${format} serializer` }
  try {
    const existing = serializer.load(await readFile(name, 'utf8'))
    if (existing === null || existing === undefined) return { dataset }
    const merged = mergeRecurse(existing, dataset)
    return JSON.stringify(merged) === JSON.stringify(existing) ? { failure: null } : { dataset: merged }
  } catch (error) {
    return { failure: `Failed to deserialize existing data: ${messageOf(error)}` }
  }
}

function mergeRecurse(below: unknown, above: unknown): unknown {
  if (!isMapping(below) || !isMapping(above)) return above
  const merged: Mapping = { ...below }
  for (const [key, value] of Object.entries(above))
    setOwn(merged, key, Object.hasOwn(merged, key) ? mergeRecurse(merged[key], value) : value)
  return merged
}

interface Serializer {
  /** Without a newline at the end. */
  dump(data: unknown, options: Mapping): string
  load?(source: string): unknown
}

const SERIALIZERS: Readonly<Record<string, Serializer>> = {
  yaml: { dump: yaml, load: parseYaml },
  json: { dump: (data, options) => json(data, options), load: source => JSON.parse(source) },
  configparser: { dump: configparser, load: parseConfig },
  python: { dump: data => pyRepr(data) }
}

function yaml(data: unknown, options: Mapping): string {
  const sortKeys = options.sort_keys === undefined || flag(options.sort_keys)
  const body = dumpYaml(data, { flow: flag(options.default_flow_style ?? false), sortKeys }).replace(/\n\.\.\.\n$|\n$/, '')
  return flag(options.explicit_start ?? false) ? `---\n${body}` : body
}

/** Python's `json.dumps(data, indent=2, separators=(',', ': '), sort_keys=True)`, with what the options change. */
function json(data: unknown, options: Mapping): string {
  const sort = options.sort_keys === undefined || flag(options.sort_keys)
  const ascii = options.ensure_ascii === undefined || flag(options.ensure_ascii)
  const indent = options.indent === undefined ? 2 : options.indent
  const printed =
    indent === null
      ? oneLine(sort ? sorted(data) : data)
      : JSON.stringify(sort ? sorted(data) : data, null, typeof indent === 'string' ? indent : Number(indent))
  return ascii ? printed.replace(/[\u0080-\uffff]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`) : printed
}

function oneLine(data: unknown): string {
  if (Array.isArray(data)) return `[${data.map(oneLine).join(',')}]`
  if (!isMapping(data)) return JSON.stringify(data) ?? 'null'
  const entries = Object.entries(data).map(([key, value]) => `${JSON.stringify(key)}: ${oneLine(value)}`)
  return `{${entries.join(',')}}`
}

function sorted(data: unknown): unknown {
  if (Array.isArray(data)) return data.map(sorted)
  if (!isMapping(data)) return data
  const copy: Mapping = {}
  for (const key of Object.keys(data).sort()) setOwn(copy, key, sorted(data[key]))
  return copy
}

/** Python's configparser: a mapping of sections. */
function configparser(data: unknown, _options: Mapping): string {
  const sections = Object.entries(mapping(data, 'dataset')).map(([section, values]) => {
    const lines = Object.entries(mapping(values, section)).map(([key, value]) => `${key.toLowerCase()} = ${pyStr(value)}\n`)
    return `[${section}]\n${lines.join('')}\n`
  })
  return sections.join('').replace(/\n$/, '')
}

function parseConfig(source: string): Mapping {
  const sections: Mapping = {}
  let section: Mapping | null = null
  for (const line of source.split('\n')) {
    const head = /^\[(.+)\]\s*$/.exec(line)
    const pair = /^([^=:#;\s][^=:]*?)\s*[=:]\s*(.*)$/.exec(line)
    if (head) {
      section = {}
      setOwn(sections, head[1]!, section)
    } else if (pair && section) setOwn(section, pair[1]!.toLowerCase(), pair[2]!.trimEnd())
  }
  return sections
}
