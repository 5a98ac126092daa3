/**
 * SLS files to high data: find, render, include, extend, exclude, number. Rules and texts are Salt's; `state.show_sls` shows the result
 * (golden/api/gui.json state-show-sls).
 */
import { readFile } from 'node:fs/promises'
import { parseYamlValue, toPlain, YamlError } from '../../shared/yaml.js'
import { compileGlob } from '../../tags/glob.js'
import type { ModuleContext } from '../context.js'
import { messageOf } from '../modules/errors.js'
import { pyStr, pyType } from '../modules/python.js'
import { isMapping, type Mapping, setOwn } from '../modules/values.js'
import { markedLines, renderTemplate } from '../template.js'

/** id → {state: [arguments and the function's name], `__sls__`, `__env__`}. `Map`, because the order of ids is the order of states. */
export type HighData = Map<string, Mapping>

export interface Extension {
  readonly id: string
  readonly body: Mapping
}

/** All SLS files of a run, rendered and merged. */
export interface High {
  readonly data: HighData
  readonly extensions: Extension[]
  readonly excludes: unknown[]
  readonly errors: string[]
}

/** Numbers of states that have none of their own begin here, so that small explicit ones come first. */
const FIRST_ORDER = 10_000
/** Includes within includes: more is a mistake, not a design. */
const MAX_DEPTH = 100

/** Renders SLS files (names with dots, globs allowed) of an environment and all that they include. */
export async function renderHigh(ctx: ModuleContext, wanted: readonly { sls: string; saltenv: string }[]): Promise<High> {
  const renderer = new SlsRenderer(ctx)
  for (const { sls, saltenv } of wanted) await renderer.add(sls, saltenv)
  return renderer.high
}

/** The same for the text of an SLS file that is not below the roots; what it includes is. */
export async function renderTextHigh(ctx: ModuleContext, source: string, sls: string, saltenv: string): Promise<High> {
  const renderer = new SlsRenderer(ctx)
  await renderer.addText(source, sls, saltenv)
  return renderer.high
}

class SlsRenderer {
  readonly high: High = { data: new Map(), extensions: [], excludes: [], errors: [] }
  readonly #ctx: ModuleContext
  readonly #seen = new Set<string>()
  readonly #available = new Map<string, string[]>()
  #order = FIRST_ORDER

  constructor(ctx: ModuleContext) {
    this.#ctx = ctx
  }

  async add(sls: string, saltenv: string, from?: string, depth = 0): Promise<void> {
    const names = await this.#resolve(sls, saltenv)
    if (names.length === 0) {
      if (from === undefined && !(await this.#ctx.files.listEnvironments()).includes(saltenv))
        this.high.errors.push(`No matching salt environment for environment '${saltenv}' found`)
      this.high.errors.push(
        from === undefined
          ? `No matching sls found for '${sls}' in env '${saltenv}'`
          : `Unknown include: Specified SLS ${saltenv}: ${sls} is not available on the salt master in saltenv(s): ${saltenv} `
      )
    }
    for (const name of names) await this.#addOne(name, saltenv, depth)
  }

  async #addOne(sls: string, saltenv: string, depth: number): Promise<void> {
    const key = `${saltenv}:${sls}`
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    if (depth > MAX_DEPTH) {
      this.high.errors.push(`SLS '${key}' is included more than ${MAX_DEPTH} levels deep`)
      return
    }
    await this.#take(await this.#render(sls, saltenv), sls, saltenv, depth)
  }

  async addText(source: string, sls: string, saltenv: string): Promise<void> {
    try {
      const rendered = await renderSls(this.#ctx, source, { sls, saltenv, path: sls })
      await this.#take(this.#checked(parsedOrExplained(rendered), sls), sls, saltenv, 0)
    } catch (error) {
      this.high.errors.push(`Rendering SLS '${saltenv}:${sls}' failed: ${messageOf(error)}`)
    }
  }

  async #take(body: Map<unknown, unknown> | null, sls: string, saltenv: string, depth: number): Promise<void> {
    if (!body) return
    const include = this.#takeInclude(body, sls)
    this.#takeExtend(body, sls, saltenv)
    this.#takeExclude(body, sls)
    const ids = declareStates(body, sls, saltenv, this.high.errors)
    // What is included has its numbers first, so it runs first; an id's place in the data is that of the file that was asked for.
    this.#merge(ids)
    for (const entry of include) await this.#include(entry, sls, saltenv, depth)
    this.#number(ids)
  }

  async #render(sls: string, saltenv: string): Promise<Map<unknown, unknown> | null> {
    const path = (await this.#files(saltenv, sls))!
    const file = await this.#ctx.files.cacheFile(path, saltenv)
    if (!file) {
      this.high.errors.push(`Could not find SLS file ${path} in saltenv '${saltenv}'`)
      return null
    }
    try {
      const rendered = await renderSls(this.#ctx, await readFile(file.path, 'utf8'), { sls, saltenv, path })
      return this.#checked(parsedOrExplained(rendered), sls)
    } catch (error) {
      this.high.errors.push(`Rendering SLS '${saltenv}:${sls}' failed: ${messageOf(error)}`)
      return null
    }
  }

  #checked(value: unknown, sls: string): Map<unknown, unknown> | null {
    if (value === null || value === undefined) return null
    if (value instanceof Map) return value
    this.high.errors.push(`SLS ${sls} does not render to a dictionary`)
    return null
  }

  #takeInclude(body: Map<unknown, unknown>, sls: string): unknown[] {
    const include = body.get('include')
    if (include === undefined) return []
    body.delete('include')
    if (Array.isArray(include)) return include
    this.high.errors.push(`Include Declaration in SLS ${sls} is not formed as a list`)
    return []
  }

  async #include(entry: unknown, sls: string, saltenv: string, depth: number): Promise<void> {
    const [env, name] = isMapping(entry) ? (Object.entries(entry)[0] ?? [saltenv, '']) : [saltenv, entry]
    if (typeof name !== 'string' || name === '') {
      this.high.errors.push(`Include Declaration in SLS ${sls} holds something that is no name`)
      return
    }
    const target = name.startsWith('.') ? await this.#relative(name, sls, saltenv) : name
    await this.add(target, env, sls, depth + 1)
  }

  /** `.x` is beside the including file, each further dot one level up. */
  async #relative(name: string, sls: string, saltenv: string): Promise<string> {
    const dots = /^\.+/.exec(name)![0].length
    const path = (await this.#files(saltenv, sls)) ?? ''
    const parts = sls.split('.')
    const up = path.endsWith('/init.sls') ? dots - 1 : dots
    return [...parts.slice(0, Math.max(0, parts.length - up)), name.slice(dots)].filter(part => part !== '').join('.')
  }

  #takeExtend(body: Map<unknown, unknown>, sls: string, saltenv: string): void {
    const extend = body.get('extend')
    body.delete('extend')
    if (extend === undefined) return
    if (!isMapping(extend)) {
      this.high.errors.push(`Extension value in SLS '${sls}' is not a dictionary`)
      return
    }
    for (const [id, declared] of Object.entries(extend)) {
      if (!isMapping(declared)) {
        this.high.errors.push(`Extension name '${id}' in SLS '${sls}' is not a dictionary`)
        continue
      }
      const extended = new Map<string, unknown>([[id, declared]])
      for (const [, whole] of declareStates(extended, sls, saltenv, this.high.errors)) this.high.extensions.push({ id, body: whole })
    }
  }

  #takeExclude(body: Map<unknown, unknown>, sls: string): void {
    const exclude = body.get('exclude')
    body.delete('exclude')
    if (exclude === undefined) return
    if (Array.isArray(exclude)) this.high.excludes.push(...exclude)
    else this.high.errors.push(`Exclude Declaration in SLS ${sls} is not formed as a list`)
  }

  #merge(ids: HighData): void {
    for (const [id, body] of ids) {
      const there = this.high.data.get(id)
      if (!there) this.high.data.set(id, body)
      else if (there.__sls__ !== body.__sls__ || there.__env__ !== body.__env__) {
        this.high.errors.push(
          `Detected conflicting IDs, SLS IDs need to be globally unique.\n    The conflicting ID is '${id}' and is found in SLS '${there.__env__}:${there.__sls__}' and SLS '${body.__env__}:${body.__sls__}'`
        )
      }
    }
  }

  #number(ids: HighData): void {
    for (const body of ids.values()) {
      for (const [state, args] of Object.entries(body)) {
        if (state.startsWith('_') || !Array.isArray(args)) continue
        if (!args.some(arg => isMapping(arg) && Object.keys(arg)[0] === 'order')) args.push({ order: this.#order++ })
      }
    }
  }

  /** The names that a name or glob means. */
  async #resolve(sls: string, saltenv: string): Promise<string[]> {
    if ((await this.#files(saltenv, sls)) !== undefined) return [sls]
    if (!/[*?[]/.test(sls)) return []
    const matches = compileGlob(sls)
    return (await this.#names(saltenv)).filter(matches)
  }

  async #names(saltenv: string): Promise<string[]> {
    return (await this.#list(saltenv))
      .filter(path => path.endsWith('.sls'))
      .map(slsName)
      .sort()
  }

  /** The path of an SLS name: `a/b.sls` before `a/b/init.sls`. */
  async #files(saltenv: string, sls: string): Promise<string | undefined> {
    const paths = await this.#list(saltenv)
    const base = sls.replaceAll('.', '/')
    return [`${base}.sls`, `${base}/init.sls`].find(path => paths.includes(path))
  }

  async #list(saltenv: string): Promise<string[]> {
    let paths = this.#available.get(saltenv)
    if (!paths) {
      paths = await this.#ctx.files.listFiles(saltenv)
      this.#available.set(saltenv, paths)
    }
    return paths
  }
}

/** `a/b.sls` and `a/b/init.sls` are both `a.b`. */
export function slsName(path: string): string {
  return path
    .slice(0, -'.sls'.length)
    .replace(/\/init$/, '')
    .replaceAll('/', '.')
}

/** Renders an SLS file as its first line says: `#!jinja|yaml` (the default), `#!yaml` (as it is). */
export async function renderSls(
  ctx: ModuleContext,
  source: string,
  { sls, saltenv, path }: { sls: string; saltenv: string; path: string }
): Promise<string> {
  const pipeline = /^#!\s*([a-z|_ ]+)\s*$/m
    .exec(source.split('\n', 1)[0]!)?.[1]
    ?.split('|')
    .map(name => name.trim()) ?? ['jinja', 'yaml']
  const unknown = pipeline.find(name => name !== 'jinja' && name !== 'yaml')
  if (unknown !== undefined) throw new Error(`the renderer '${unknown}' is not available`)
  if (!pipeline.includes('jinja')) return source
  const dir = path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : ''
  const variables = { sls, slspath: dir, tpldir: dir || '.', tplfile: path, tplpath: path, slsdotpath: dir.replaceAll('/', '.') }
  return renderTemplate(ctx, source, { file: path, saltenv, variables })
}

/** The parsed file; throws with Salt's words for the two mistakes that people make most. */
function parsedOrExplained(source: string): unknown {
  try {
    return parseSls(source)
  } catch (error) {
    if (!(error instanceof YamlError)) throw error
    throw explained(source, error) ?? error
  }
}

/** null: js-yaml's own words have to do. */
function explained(source: string, { reason, line, column }: YamlError): Error | null {
  const text = source.split('\n')[line - 1] ?? ''
  const withLines = (problem: string): Error => new Error(`${problem}; line ${line}\n\n${markedLines(source, line)}`)
  if (reason.includes('tab character')) return withLines('Illegal tab character')
  if (!reason.startsWith('bad indentation')) return null
  if (text[column - 1] === ':') return withLines('mapping values are not allowed here')
  if (text.slice(0, column - 1).trim() !== '') return null
  // A line between two levels of indentation: libyaml names the collection that it would have to belong to.
  const open = enclosing(source.split('\n').slice(0, line - 1), column - 1)
  if (!open) return null
  const [kind, expected] = open.list ? ['collection', "'-' indicator"] : ['mapping', 'key']
  const at = (where: { line: number; column: number }): string => `  in "<unicode string>", line ${where.line}, column ${where.column}`
  return new Error(`while parsing a block ${kind}\n${at(open)}\ndid not find expected ${expected}\n${at({ line, column })}`)
}

interface OpenBlock {
  readonly line: number
  readonly column: number
  readonly list: boolean
}

/** Where the innermost block begins that is not deeper than `indent`, after these lines. */
function enclosing(lines: readonly string[], indent: number): OpenBlock | undefined {
  const open: OpenBlock[] = []
  for (const [index, line] of lines.entries()) {
    const depth = line.search(/[^ ]/)
    if (depth < 0 || line[depth] === '#') continue
    while (open.length > 0 && open.at(-1)!.column > depth + 1) open.pop()
    if ((open.at(-1)?.column ?? 0) < depth + 1) open.push({ line: index + 1, column: depth + 1, list: /^-( |$)/.test(line.slice(depth)) })
  }
  return open.findLast(block => block.column <= indent + 1)
}

/** YAML with the order of the top level kept; below it, plain objects. */
function parseSls(source: string): unknown {
  const value = parseYamlValue(source)
  return value instanceof Map ? new Map([...value].map(([key, item]) => [toPlain(key), toPlain(item)])) : toPlain(value)
}

/** The states of a file in the long form: `id: mod.fun` and `mod.fun: [...]` become `mod: [..., fun]`, with the file's name and environment. */
export function declareStates(body: ReadonlyMap<unknown, unknown>, sls: string | null, saltenv: string, errors: string[]): HighData {
  const declared: HighData = new Map()
  for (const [id, value] of body) {
    if (typeof id !== 'string') {
      errors.push(`ID '${pyStr(id)}' in SLS '${sls}' is not formed as a string, but is a ${pyType(id)}. It may need to be quoted.`)
      continue
    }
    const long = longForm(id, value, sls, errors)
    if (long) declared.set(id, { ...long, __sls__: sls, __env__: saltenv })
  }
  return declared
}

function longForm(id: string, value: unknown, sls: string | null, errors: string[]): Mapping | null {
  if (typeof value === 'string' && value.includes('.')) {
    const [state, fun] = value.split('.')
    return { [state!]: [fun] }
  }
  if (!isMapping(value)) {
    errors.push(`ID ${id} in SLS ${sls} is not a dictionary`)
    return null
  }
  const long: Mapping = {}
  for (const [key, args] of Object.entries(value)) {
    const dot = key.indexOf('.')
    const state = dot < 0 || !Array.isArray(args) ? key : key.slice(0, dot)
    if (Object.hasOwn(long, state)) errors.push(`ID '${id}' in SLS '${sls}' contains multiple state declarations of the same type`)
    else setOwn(long, state, !Array.isArray(args) ? args : dot < 0 ? [...args] : [...args, key.slice(dot + 1)])
  }
  return long
}
