import { isAbsolute, resolve } from 'node:path'
import { type Fault, fault, isMapping, kindOf, type Read, type Row, type Setting } from './setting.js'

/**
 * The types that settings have. Each is a function from a row to a `Setting`; what a value must be is said once, here.
 * Salt reads its files as YAML 1.1 and is generous (`timeout: "5"`); so are these, as long as nothing is lost.
 */
function define<T>(row: Row<T>, type: string, read: (value: unknown) => Read<T>, more: Partial<Setting<T>> = {}): Setting<T> {
  return { for: 'server', group: '', textual: false, type, read, ...row, ...more }
}

export function text(row: Row<string>): Setting<string> {
  return define(row, 'text', readText, { textual: true })
}

export function optionalText(row: Row<string | null>): Setting<string | null> {
  return define<string | null>(row, 'text or null', value => (value === null ? { value } : readText(value)), { textual: true })
}

/** The path of a URL: `/hook`; `/` only where `root` says so. A slash at its end makes no difference and is dropped. */
export function urlPath(row: Row<string>, { root = false } = {}): Setting<string> {
  const read = (value: unknown): Read<string> => {
    const found = readText(value)
    if (!('value' in found)) return found
    const path = found.value.replace(/\/+$/, '')
    if (path === '' && root) return { value: '/' }
    return /^(?:\/[\w.~-]+)+$/.test(path) ? { value: path } : fault('must be a path like /hook, of plain characters', value)
  }
  return define(row, 'URL path', read, { textual: true })
}

export function path(row: Row<string>): Setting<string> {
  return define(row, 'path', readText, { textual: true, resolve: absolute })
}

export function optionalPath(row: Row<string | null>): Setting<string | null> {
  return define<string | null>(row, 'path or null', value => (value === null ? { value } : readText(value)), {
    textual: true,
    resolve: (value, from) => (value === null ? null : absolute(value, from))
  })
}

/** Salt's `master`: an address, or a list of them, which becomes one text with commas. */
export function addresses(row: Row<string>): Setting<string> {
  const read = (value: unknown): Read<string> => {
    const list = readTexts(value)
    return 'value' in list ? { value: list.value.join(', ') } : list
  }
  return define(row, 'text or list of texts', read, { textual: true })
}

/** Directories or files; relative ones count from the file that names them. */
export function paths(row: Row<readonly string[]>): Setting<readonly string[]> {
  return define(row, 'list of paths', readTexts, { resolve: (value, from) => value.map(each => absolute(each, from)) })
}

/** A text out of a written-out list; `aliases` are other words for one of them. */
export function choice<const C extends string>(
  row: Row<C> & { readonly choices: readonly C[]; readonly aliases?: Readonly<Record<string, NoInfer<C>>> }
): Setting<C> {
  const { choices, aliases = {}, ...rest } = row
  const words = [...choices, ...Object.keys(aliases)]
  return define<C>(
    rest,
    `one of ${choices.join(', ')}`,
    value => {
      const word = String(value).toLowerCase()
      const chosen = choices.find(each => each === word) ?? (Object.hasOwn(aliases, word) ? aliases[word] : undefined)
      return chosen === undefined ? fault(`must be one of ${words.join(', ')}`, value) : { value: chosen }
    },
    { textual: true }
  )
}

export function integer(row: Row<number> & { readonly min?: number; readonly max?: number }): Setting<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER, ...rest } = row
  return define(rest, 'integer', value => {
    const number = asNumber(value)
    if (number === null || !Number.isSafeInteger(number)) return fault(`must be a whole number, not ${kindOf(value)}`, value)
    return number < min || number > max ? fault(rangeText(min, max), value) : { value: number }
  })
}

/** A number that may have decimals. */
export function number(row: Row<number> & { readonly min?: number; readonly max?: number }): Setting<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER, ...rest } = row
  return define(rest, 'number', value => {
    const read = asNumber(value)
    if (read === null) return fault(`must be a number, not ${kindOf(value)}`, value)
    return read < min || read > max ? fault(rangeText(min, max), value) : { value: read }
  })
}

export function boolean(row: Row<boolean>): Setting<boolean> {
  return define(row, 'boolean', value =>
    typeof value === 'boolean' ? { value } : fault(`must be true or false, not ${kindOf(value)}`, value)
  )
}

export function texts(row: Row<readonly string[]>): Setting<readonly string[]> {
  return define(row, 'list of texts', readTexts)
}

/** A list of texts, each out of a written-out list. */
export function choices(row: Row<readonly string[]> & { readonly choices: readonly string[] }): Setting<readonly string[]> {
  const { choices: known, ...rest } = row
  return define(rest, `list of ${known.join(', ')}`, value => {
    const read = readTexts(value)
    if ('faults' in read) return read
    const faults = read.value.flatMap((item, i) =>
      known.includes(item) ? [] : [{ path: `[${i}]`, text: `must be one of ${known.join(', ')}`, value: item }]
    )
    return faults.length > 0 ? { faults } : read
  })
}

export function mapping(row: Row<Readonly<Record<string, unknown>>>): Setting<Readonly<Record<string, unknown>>> {
  return define(row, 'mapping', value =>
    value === null ? { value: {} } : isMapping(value) ? { value } : fault(`must be a mapping, not ${kindOf(value)}`, value)
  )
}

/** Salt's `file_roots`: environment → directories. Relative ones count from the file that names them. */
export function roots(row: Row<Readonly<Record<string, readonly string[]>>>): Setting<Readonly<Record<string, readonly string[]>>> {
  return define<Readonly<Record<string, readonly string[]>>>(row, 'mapping of environments to lists of paths', value => readLists(value), {
    resolve: (value, from) => mapValues(value, dirs => dirs.map(dir => absolute(dir, from)))
  })
}

/** A mapping of names to a list of texts; a single text counts as a list of one. */
export function lists(row: Row<Readonly<Record<string, readonly string[]>>>): Setting<Readonly<Record<string, readonly string[]>>> {
  return define(row, 'mapping of names to lists of texts', readLists)
}

/** Salt's `nodegroups`: name → compound target (text), or a list of its words. */
export function nodegroups(
  row: Row<Readonly<Record<string, string | readonly string[]>>>
): Setting<Readonly<Record<string, string | readonly string[]>>> {
  return define<Readonly<Record<string, string | readonly string[]>>>(row, 'mapping of names to compound targets', value => {
    if (value === null) return { value: {} }
    if (!isMapping(value)) return fault(`must be a mapping, not ${kindOf(value)}`, value)
    const faults = Object.entries(value).flatMap(([name, group]) =>
      typeof group === 'string' || (Array.isArray(group) && group.every(word => typeof word === 'string'))
        ? []
        : [{ path: name, text: `must be a text or a list of texts, not ${kindOf(group)}`, value: group }]
    )
    return faults.length > 0 ? { faults } : { value: value as Record<string, string | string[]> }
  })
}

/**
 * What Salt's `reactor` may be: a list of `{tag: files}`, or the path of a YAML file with such a list; also `{tag: {sls: files, …}}`, a rule with options.
 * The reactor reads the items.
 */
export type ReactorSetting = string | readonly unknown[]

export function reactor(row: Row<ReactorSetting>): Setting<ReactorSetting> {
  return define<ReactorSetting>(
    row,
    'list of {tag: file or list of files}, or the path of a YAML file with such a list',
    value => {
      if (value === null) return { value: [] }
      if (typeof value === 'string') return { value }
      return Array.isArray(value) ? { value } : fault(`must be a list of {tag: files}, not ${kindOf(value)}`, value)
    },
    { resolve: resolveReactor }
  )
}

/** SLS files as texts or lists; `salt://` stays as it is. Items of another form stay too: Salt ignores them, and so does the reactor. */
function resolveReactor(value: ReactorSetting, from: string): ReactorSetting {
  if (typeof value === 'string') return absolute(value, from)
  const file = (item: unknown) => (typeof item === 'string' && !/^[a-z]+:\/\//.test(item) ? absolute(item, from) : item)
  const files = (list: unknown) => (Array.isArray(list) ? list.map(file) : file(list))
  const entry = (behind: unknown) => (isMapping(behind) && 'sls' in behind ? { ...behind, sls: files(behind.sls) } : files(behind))
  return value.map(rule => (isMapping(rule) ? mapValues(rule, entry) : rule))
}

/** For values with a grammar of their own (`external_auth`). */
export function custom<T>(row: Row<T>, type: string, read: (value: unknown) => Read<T>): Setting<T> {
  return define(row, type, read)
}

function readText(value: unknown): Read<string> {
  if (typeof value === 'string') return { value }
  return typeof value === 'number' || typeof value === 'boolean'
    ? { value: String(value) }
    : fault(`must be a text, not ${kindOf(value)}`, value)
}

function readTexts(value: unknown): Read<readonly string[]> {
  if (value === null) return { value: [] }
  const items = Array.isArray(value) ? value : [value]
  const faults: Fault[] = []
  const read = items.map((item, i) => {
    const one = readText(item)
    if ('value' in one) return one.value
    faults.push(...one.faults.map(each => ({ ...each, path: `[${i}]` })))
    return ''
  })
  return faults.length > 0 ? { faults } : { value: read }
}

function readLists(value: unknown): Read<Record<string, readonly string[]>> {
  if (value === null) return { value: {} }
  if (!isMapping(value)) return fault(`must be a mapping, not ${kindOf(value)}`, value)
  const faults: Fault[] = []
  const lists: Record<string, readonly string[]> = {}
  for (const [name, list] of Object.entries(value)) {
    const read = readTexts(list)
    if ('value' in read) lists[name] = read.value
    else faults.push(...read.faults.map(each => ({ ...each, path: `${name}${each.path}` })))
  }
  return faults.length > 0 ? { faults } : { value: lists }
}

function asNumber(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  return typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : null
}

function rangeText(min: number, max: number): string {
  return max === Number.MAX_SAFE_INTEGER ? `must be ${min} or more` : `must be between ${min} and ${max}`
}

function absolute(file: string, from: string): string {
  return isAbsolute(file) ? file : resolve(from, file)
}

function mapValues<A, B>(object: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]))
}
