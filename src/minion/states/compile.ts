/** High data to low data: checks, extend, requisites put into others, exclude, names, order. Rules and texts are Salt's. */
import { compileGlob } from '../../tags/glob.js'
import { pyStr } from '../modules/python.js'
import { isMapping, type Mapping, setOwn } from '../modules/values.js'
import type { Extension, High, HighData } from './high.js'
import { type Low, REQUISITES, REQUISITES_IN } from './state.js'

const MERGED: ReadonlySet<string> = new Set([...REQUISITES, ...REQUISITES_IN, 'listen', 'use'])

export interface Compiled {
  readonly chunks: Low[]
  readonly errors: string[]
}

/** All states of a run in the order in which they run; or what is wrong with the SLS files. */
export function compileHigh(high: High): Compiled {
  const errors = [...extend(high.data, high.extensions), ...verify(high.data)]
  if (errors.length > 0) return { chunks: [], errors }
  errors.push(...putRequisitesIn(high.data))
  if (errors.length > 0) return { chunks: [], errors }
  exclude(high.data, high.excludes)
  return { chunks: compileLow(high.data), errors: [] }
}

// ── extend ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Changes states in place; returns what cannot be extended. */
function extend(data: HighData, extensions: readonly Extension[]): string[] {
  const errors: string[] = []
  for (const { id, body } of extensions) {
    const target = data.get(id) ?? findByName(data, id, body)
    if (!target) errors.push(cannotExtend(id, body))
    else
      for (const [state, args] of Object.entries(body)) if (!state.startsWith('__') && Array.isArray(args)) extendState(target, state, args)
  }
  return errors
}

function cannotExtend(id: string, body: Mapping): string {
  return `Cannot extend ID '${id}' in '${body.__env__}:${body.__sls__}'. It is not part of the high state.\nThis is likely due to a missing include statement or an incorrectly typed ID.\nEnsure that a state with an ID of '${id}' is available\nin environment '${body.__env__}' and to SLS '${body.__sls__}'`
}

/** The one state of that type whose `name` it is; undefined when there is none, or more than one. */
function findByName(data: HighData, name: string, body: Mapping): Mapping | undefined {
  const state = Object.keys(body).find(key => !key.startsWith('__'))
  const found = [...data.values()].filter(candidate => {
    const args = state === undefined ? undefined : candidate[state]
    return (
      Array.isArray(args) &&
      args.some(arg => isMapping(arg) && (arg.name === name || (Array.isArray(arg.names) && arg.names.includes(name))))
    )
  })
  return found.length === 1 ? found[0] : undefined
}

function extendState(target: Mapping, state: string, args: readonly unknown[]): void {
  const there = target[state]
  if (!Array.isArray(there)) {
    setOwn(target, state, [...args])
    return
  }
  for (const arg of args) {
    const index = there.findIndex(old => sameArgument(old, arg))
    if (index < 0) there.push(arg)
    else there[index] = isMapping(arg) ? mergedArgument(there[index] as Mapping, arg) : arg
  }
}

/** Functions replace functions; an argument replaces the one of its name, `name` also `names`. */
function sameArgument(old: unknown, fresh: unknown): boolean {
  if (typeof fresh === 'string') return typeof old === 'string'
  if (!isMapping(fresh) || !isMapping(old)) return false
  const [key] = Object.keys(fresh)
  const [oldKey] = Object.keys(old)
  return key === oldKey || (key === 'name' && oldKey === 'names')
}

/** Requisites add up, all else is replaced. */
function mergedArgument(old: Mapping, fresh: Mapping): Mapping {
  const [key] = Object.keys(fresh)
  if (key === undefined || !MERGED.has(key)) return fresh
  return { [key]: [...asList(old[key]), ...asList(fresh[key])] }
}

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : value === undefined || value === null ? [] : [value]
}

// ── verify ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function verify(data: HighData): string[] {
  const errors: string[] = []
  const requirements = new Map<string, string>()
  for (const [id, body] of data) {
    for (const [state, args] of Object.entries(body)) {
      if (!state.startsWith('__')) errors.push(...verifyState({ id, sls: String(body.__sls__), state }, args, requirements))
    }
  }
  return errors
}

interface Place {
  readonly id: string
  readonly sls: string
  readonly state: string
}

function verifyState(at: Place, args: unknown, requirements: Map<string, string>): string[] {
  if (args === null) {
    return [
      `ID '${at.id}' in SLS '${at.sls}' contains a short declaration (${at.state}) with a trailing colon. When not passing any arguments to a state, the colon must be omitted.`
    ]
  }
  if (!Array.isArray(args)) return [`State '${at.id}' in SLS '${at.sls}' is not formed as a list`]
  const functions = args.filter(arg => typeof arg === 'string') as string[]
  const errors = functions.filter(fun => fun.trim().includes(' ')).map(fun => whitespaceError(fun, at))
  for (const arg of args) if (isMapping(arg)) errors.push(...verifyArgument(at, arg, requirements))
  if (functions.length === 0 && at.state !== 'require' && at.state !== 'watch')
    errors.push(`No function declared in state '${at.state}' in SLS '${at.sls}'`)
  if (functions.length > 1) errors.push(`Too many functions declared in state '${at.state}' in SLS '${at.sls}'`)
  return errors
}

function whitespaceError(fun: string, at: Place): string {
  return `The function "${fun}" in state "${at.id}" in SLS "${at.sls}" has whitespace, a function with whitespace is not supported, perhaps this is an argument that is missing a ":"`
}

function verifyArgument(at: Place, arg: Mapping, requirements: Map<string, string>): string[] {
  const [key] = Object.keys(arg)
  const errors: string[] = []
  if (key === 'names' && !Array.isArray(arg.names))
    errors.push(`The 'names' argument in state '${at.id}' in SLS '${at.sls}' needs to be formed as a list`)
  if (key === undefined || !MERGED.has(key)) return errors
  errors.push(...verifyRequisite(at, key, arg[key], requirements))
  if (Object.keys(arg).length !== 1) errors.push(`Multiple dictionaries defined in argument of state '${at.id}' in SLS '${at.sls}'`)
  return errors
}

function verifyRequisite(at: Place, key: string, value: unknown, requirements: Map<string, string>): string[] {
  if (!Array.isArray(value))
    return key.endsWith('_in') && isMapping(value)
      ? []
      : [`The ${key} statement in state '${at.id}' in SLS '${at.sls}' needs to be formed as a list`]
  return value.flatMap(item => {
    if (typeof item === 'string') return []
    const [entry, ...more] = isMapping(item) ? Object.entries(item) : []
    if (!entry || more.length > 0) return [`Requisite declaration ${pyStr(item)} in SLS ${at.sls} is not formed as a single key dictionary`]
    const [kind, name] = entry
    if (kind.includes('.')) {
      return [
        `Invalid requisite type '${kind}' in state '${at.id}', in SLS '${at.sls}'. Requisite types must not contain dots, did you mean '${kind.slice(0, kind.indexOf('.'))}'?`
      ]
    }
    if (typeof name !== 'string' && typeof name !== 'number') return [`Illegal requisite "${pyStr(name)}", please check your syntax.\n`]
    return ['require', 'watch', 'prereq', 'onchanges'].includes(key) ? recursion(at, kind, String(name), requirements) : []
  })
}

/** Two states that require each other are found before anything runs; longer rings are found while they run. */
function recursion(at: Place, kind: string, name: string, requirements: Map<string, string>): string[] {
  requirements.set(`${at.state}:${at.id}>${kind}:${name}`, at.sls)
  return requirements.has(`${kind}:${name}>${at.state}:${at.id}`)
    ? [`A recursive requisite was found, SLS "${at.sls}" ID "${at.id}" ID "${name}"`]
    : []
}

// ── requisites put into other states ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Turns `require_in` and its like into `require` of the states they name, `prereq` also into `prerequired`, and copies what `use` asks for. */
function putRequisitesIn(data: HighData): string[] {
  const extensions: Extension[] = []
  for (const [id, body] of data) {
    for (const [state, args] of Object.entries(body)) {
      if (state.startsWith('__') || !Array.isArray(args)) continue
      for (const arg of args) if (isMapping(arg)) extensions.push(...extensionsOf(data, { id, body, state }, arg))
    }
  }
  return extend(data, extensions)
}

interface Declared {
  readonly id: string
  readonly body: Mapping
  readonly state: string
}

function extensionsOf(data: HighData, from: Declared, arg: Mapping): Extension[] {
  const [key] = Object.keys(arg)
  if (key === undefined) return []
  const own = { [from.state]: from.id }
  if (key === 'use') return found(data, arg[key]).flatMap(target => used(data, target, from))
  if (key === 'use_in') return found(data, arg[key]).flatMap(target => used(data, from, target))
  // A state that is not there is found while the states run, which says so in the words that `require` has for it.
  if (key === 'prereq') return found(data, arg[key]).map(target => extension(target, 'prerequired', own, from.body))
  if (key === 'listen_in') return found(data, arg[key]).map(target => extension(target, 'listen', own, from.body))
  if (!REQUISITES_IN.includes(key)) return []
  const kind = key.slice(0, -'_in'.length)
  return targetsOf(data, arg[key], from.body).flatMap(target => [
    extension(target, kind, own, from.body),
    ...(kind === 'prereq' ? [extension(from, 'prerequired', { [target.state]: target.id }, from.body)] : [])
  ])
}

function extension(target: Declared, kind: string, requisite: Mapping, from: Mapping): Extension {
  return { id: target.id, body: { [target.state]: [{ [kind]: [requisite] }], __sls__: from.__sls__, __env__: from.__env__ } }
}

/** The states that a list of requisites names: by type and id or name, by id alone, or all of an SLS file. */
function found(data: HighData, value: unknown): Declared[] {
  return named(value).flatMap(([kind, name]) => lookUp(data, kind, name))
}

/** The same, and what is named by its type and is not there stays as it is, so that extending it fails. An id alone is passed over, as in Salt. */
function targetsOf(data: HighData, value: unknown, from: Mapping): Declared[] {
  return named(value).flatMap(([kind, name]) => {
    const there = lookUp(data, kind, name)
    return there.length > 0 || kind === 'id' ? there : [{ id: name, body: from, state: kind }]
  })
}

/** Pairs of a type (`id`: any) and a name. */
function named(value: unknown): [string, string][] {
  const items = isMapping(value) ? Object.entries(value).map(([kind, name]) => ({ [kind]: name })) : asList(value)
  return items.map(item => {
    const [kind, name] = isMapping(item) ? (Object.entries(item)[0] ?? ['id', '']) : ['id', item]
    return [kind, String(name)]
  })
}

/** An id alone means the first state that has it, or else the last one of that name, as in Salt. */
function lookUp(data: HighData, kind: string, name: string): Declared[] {
  const matches = [...data].flatMap(([id, body]) =>
    Object.keys(body)
      .filter(state => !state.startsWith('__') && isMeant({ id, body, state }, kind, name))
      .map(state => ({ id, body, state }))
  )
  if (kind !== 'id') return matches
  const one = matches.find(({ id }) => id === name) ?? matches.at(-1)
  return one ? [one] : []
}

function isMeant({ id, body, state }: Declared, kind: string, name: string): boolean {
  if (kind === 'sls') return body.__sls__ === name
  if (kind !== 'id' && kind !== state) return false
  const args = body[state]
  return id === name || (Array.isArray(args) && args.some(arg => isMapping(arg) && arg.name === name))
}

/** The arguments of `from` that `to` does not have, without requisites and names. */
function used(data: HighData, from: Declared, to: Declared): Extension[] {
  const source = data.get(from.id)?.[from.state]
  const target = data.get(to.id)?.[to.state]
  if (!Array.isArray(source) || !Array.isArray(target)) return []
  const has = new Set(target.flatMap(arg => (isMapping(arg) ? Object.keys(arg) : [])))
  const taken = source.filter(arg => {
    const [key] = isMapping(arg) ? Object.keys(arg) : []
    return key !== undefined && !has.has(key) && !MERGED.has(key) && !['name', 'names', 'order'].includes(key)
  })
  return taken.length === 0 ? [] : [{ id: to.id, body: { [to.state]: taken, __sls__: to.body.__sls__, __env__: to.body.__env__ } }]
}

// ── exclude, names, order ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `exclude: [sls, {sls: glob}, {id: name}]` */
function exclude(data: HighData, excludes: readonly unknown[]): void {
  for (const item of excludes) {
    const [kind, name] = isMapping(item) ? (Object.entries(item)[0] ?? ['sls', '']) : ['sls', item]
    const matches = kind === 'sls' ? compileGlob(String(name)) : (text: string) => text === String(name)
    for (const [id, body] of data) if (matches(kind === 'sls' ? String(body.__sls__) : id)) data.delete(id)
  }
}

/** One low chunk per state and name, in Salt's order: number, then the text of state, name and function. */
export function compileLow(data: HighData): Low[] {
  const chunks: Mapping[] = []
  for (const [id, body] of data) {
    for (const [state, args] of Object.entries(body)) {
      if (!state.startsWith('__') && Array.isArray(args)) chunks.push(...chunksOf(id, body, state, args))
    }
  }
  return ordered(chunks)
}

function chunksOf(id: string, body: Mapping, state: string, args: readonly unknown[]): Mapping[] {
  const chunk: Mapping = { state, name: id, __sls__: body.__sls__, __env__: body.__env__, __id__: id }
  const functions: string[] = []
  const names: unknown[] = []
  for (const arg of args) {
    if (typeof arg === 'string') functions.push(arg)
    if (!isMapping(arg)) continue
    for (const [key, value] of Object.entries(arg)) {
      if (key === 'names') names.push(...new Set(asList(value)))
      else if (key === 'name' && typeof value !== 'string') chunk.name = id
      else if (key !== 'state') setOwn(chunk, key, value)
    }
  }
  const [fun] = functions
  if (fun === undefined) return []
  if (names.length === 0) return [{ ...chunk, fun }]
  return names.map((entry, index) => ({ ...chunk, ...ofNames(entry), fun, name_order: index + 1 }))
}

/** `names: [a, {b: [{mode: 600}]}]` */
function ofNames(entry: unknown): Mapping {
  if (!isMapping(entry)) return { name: String(entry) }
  const [name, args] = Object.entries(entry)[0] ?? ['', []]
  return Object.assign({ name }, ...asList(args).filter(isMapping))
}

function ordered(chunks: readonly Mapping[]): Low[] {
  const given = chunks.map(chunk => chunk.order).filter(order => Number.isInteger(order)) as number[]
  const cap = given.reduce((highest, order) => (order > highest - 1 && order > 0 ? order + 100 : highest), 1)
  const numbered = chunks.map(({ name_order, ...chunk }) => {
    let order = typeof chunk.order === 'number' ? chunk.order : chunk.order === 'first' ? 0 : chunk.order === 'last' ? cap + 1_000_000 : cap
    if (typeof name_order === 'number') order += name_order / 10_000
    return { ...chunk, order: order < 0 ? cap + 1_000_000 + order : order } as unknown as Low
  })
  const text = (low: Low): string => `${low.state}${low.name}${low.fun}`
  return numbered.sort((a, b) => a.order - b.order || (text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0))
}
