/**
 * Execution modules of the site: ESM files in `file_roots/_modules`, brought here by `saltutil.sync_modules`. They are loaded into jobs' processes
 * alone, so that nothing in them can harm the agent.
 *
 * A file `_modules/shop.js` with `export function greet(name, greeting = 'hello') {…}` is the function `shop.greet`. Defaults make parameters optional,
 * `...args` takes what is left, a last parameter called `kwargs` all other keyword arguments. `greet.doc` is its documentation. Names that begin
 * with `_` are the file's own; `__virtualname__` gives the module another name, and `__virtual__()` that returns false leaves it out. As in Salt
 * there are `__salt__['test.ping']()` (a promise), `__grains__`, `__pillar__`, `__opts__`; keyword arguments go in as `{__kwarg__: true, name: value}`.
 */
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isKeywordMapping } from '../../shared/arguments.js'
import type { ModuleContext } from '../context.js'
import { callFunction } from '../invoke.js'
import type { MinionOptions } from '../options.js'
import { customFiles } from './custom-sync.js'
import { CommandExecutionError, messageOf } from './errors.js'
import { loadModules, modulesWith } from './index.js'
import type { Module, ModuleFunction, Parameter, Signature } from './module.js'
import type { ModuleTable } from './table.js'
import { isMapping, type Mapping } from './values.js'

/** Imports a file; again when it was changed. */
async function importFile(path: string): Promise<Mapping> {
  const { mtimeMs } = await stat(path)
  return (await import(`${pathToFileURL(path).href}?v=${mtimeMs}`)) as Mapping
}

/** The minion's own functions and the site's. A file that does not load is told of as a warning and left out. */
export async function allModules(options: MinionOptions, { grains, pillar }: { grains: Mapping; pillar: Mapping }): Promise<ModuleTable> {
  const files = await customFiles(options, 'modules')
  if (files.length === 0) return loadModules()
  // Files may look at these while they are loaded.
  Object.assign(globalThis, { __grains__: grains, __pillar__: pillar, __opts__: { ...options.settings, ...options } })
  const modules: Module[] = []
  for (const file of files) {
    try {
      const module = await readModule(file)
      if (module) modules.push(module)
    } catch (error) {
      process.emitWarning(`${file} is left out: ${messageOf(error)}`, 'CustomModuleWarning')
    }
  }
  return modulesWith(modules)
}

async function readModule(file: string): Promise<Module | null> {
  const exported = await importFile(file)
  if (typeof exported.__virtual__ === 'function') {
    const answer: unknown = await exported.__virtual__()
    if (answer === false || (Array.isArray(answer) && answer[0] === false)) return null
    if (typeof answer === 'string') return moduleOf(answer, exported)
  }
  const name = typeof exported.__virtualname__ === 'string' ? exported.__virtualname__ : basename(file).replace(/\.m?js$/, '')
  return moduleOf(name, exported)
}

function moduleOf(name: string, exported: Mapping): Module {
  const functions = Object.entries(exported).flatMap(([key, value]) =>
    typeof value === 'function' && !key.startsWith('_') && key !== 'default' ? [functionOf(key, value as SiteFunction)] : []
  )
  return { name, functions }
}

type SiteFunction = ((...args: unknown[]) => unknown) & { doc?: unknown }

function functionOf(name: string, call: SiteFunction): ModuleFunction {
  const signature = siteSignature(name, call.toString())
  const { params, varargs, kwargs } = signature
  return {
    ...signature,
    name: name.replace(/_$/, ''),
    doc: typeof call.doc === 'string' ? call.doc : '',
    isolated: true,
    run(ctx, a) {
      lend(ctx)
      return call(
        ...params.map(param => a[param.name]),
        ...(varargs ? (a[varargs] as unknown[]) : []),
        ...(kwargs ? [withoutPublished(a[kwargs])] : [])
      )
    }
  }
}

function withoutPublished(kwargs: unknown): Mapping {
  return Object.fromEntries(Object.entries(isMapping(kwargs) ? kwargs : {}).filter(([key]) => !key.startsWith('__pub_')))
}

/** What Salt calls dunders, for the call that comes: a process runs one job at a time. */
function lend(ctx: ModuleContext): void {
  const call = (fun: string) => {
    const entry = ctx.modules.get(fun)
    if (!entry) return undefined
    return (...args: unknown[]) => {
      const kwargs = isKeywordMapping(args.at(-1)) ? (args.pop() as Mapping) : {}
      const { __kwarg__: _mark, ...named } = kwargs
      return callFunction(ctx, fun, args, named)
    }
  }
  const salt = new Proxy({}, { get: (_target, fun) => (typeof fun === 'string' ? call(fun) : undefined) })
  const { settings, ...options } = ctx.options
  Object.assign(globalThis, { __salt__: salt, __grains__: ctx.grains, __pillar__: ctx.pillar, __opts__: { ...settings, ...options } })
}

/** The signature of a JavaScript function, read from its text. Throws when a parameter is not a plain name. */
export function siteSignature(name: string, source: string): Signature {
  const params: Parameter[] = []
  let stars: Pick<Signature, 'varargs' | 'kwargs'> = {}
  for (const part of parametersOf(source)) {
    const match = /^(\.\.\.)?([A-Za-z_$][\w$]*)\s*(?:=\s*(.+))?$/s.exec(part)
    if (!match) throw new CommandExecutionError(`${name}: parameter '${part}' is no plain name`)
    const [, rest, param, value] = match
    if (rest) stars = { ...stars, varargs: param! }
    else if (param === 'kwargs') stars = { ...stars, kwargs: param }
    else params.push(value === undefined ? { name: param! } : { name: param!, default: literal(value) })
  }
  return { pythonName: name, params, ...stars }
}

/** Texts of the parameters: what stands between the first parenthesis and its partner, cut at commas outside of brackets and texts. */
function parametersOf(source: string): string[] {
  const text = source.replace(/\/\*[\s\S]*?\*\//g, '')
  const bare = /^(?:async\s+)?([A-Za-z_$][\w$]*)\s*=>/.exec(text)
  if (bare) return [bare[1]!]
  const parts: string[] = []
  let depth = 0
  let quote = ''
  let part = ''
  for (const char of text.slice(text.indexOf('('))) {
    if (quote !== '') quote = char === quote ? '' : quote
    else if (`'"\``.includes(char)) quote = char
    else if ('([{'.includes(char) && depth++ === 0) continue
    else if (')]}'.includes(char) && --depth === 0) break
    else if (char === ',' && depth === 1) {
      parts.push(part.trim())
      part = ''
      continue
    }
    part += char
  }
  return [...parts, part.trim()].filter(each => each !== '')
}

/** A default that is a literal; undefined for anything else, which JavaScript then fills in itself. */
function literal(source: string): unknown {
  const text = source.trim().replace(/^'([^'\\]*)'$/, (_all, inner: string) => JSON.stringify(inner))
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
