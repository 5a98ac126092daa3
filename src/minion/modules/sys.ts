import { compileGlob } from '../../tags/glob.js'
import type { ModuleContext } from '../context.js'
import { stateModules } from '../states/index.js'
import type { StateModule } from '../states/state.js'
import { doc, fn, type Module, type Signature } from './module.js'
import type { Mapping } from './values.js'
import { text } from './values.js'

/** Salt's `sys` module: what there is to call, and how. */
export const sys: Module = {
  name: 'sys',
  functions: [
    fn(
      'doc(*args)',
      doc('Documentation of modules or functions; of everything when nothing is named. Globs are allowed.', 'sys.doc test cmd.run'),
      docs
    ),
    fn("argspec(module='')", doc('Arguments of the functions of a module, of one function, or of all.', 'sys.argspec test.sleep'), argspec),
    fn(
      'list_functions(*args, **kwargs)',
      doc('Names of all functions, or of those of the named modules (globs).', "sys.list_functions 'sys.list_*'"),
      listFunctions
    ),
    fn('list_modules(*args)', doc('Names of all modules, or of those that a glob matches.', "sys.list_modules 's*'"), listModules),
    fn('state_doc(*args)', doc('Documentation of state modules or functions.', 'sys.state_doc file.managed'), stateDocs),
    fn("state_argspec(module='')", doc('Arguments of state functions.', 'sys.state_argspec file.managed'), stateArgspec),
    fn('list_state_functions(*args, **kwargs)', doc('Names of the state functions.', 'sys.list_state_functions file'), listStateFunctions),
    fn('list_state_modules(*args)', doc('Names of the state modules.', "sys.list_state_modules 'f*'"), listStateModules),
    fn(
      'reload_modules()',
      doc('Reloads the modules. They are part of the program, so there is nothing to do.', 'sys.reload_modules'),
      () => true
    )
  ]
}

interface Documented extends Signature {
  readonly doc: string
}

type Entries = ReadonlyMap<string, Documented>

function moduleEntries(ctx: ModuleContext): Entries {
  return new Map(ctx.modules.functions().map(fun => [fun, ctx.modules.get(fun)!]))
}

function stateEntries(): Entries {
  const entries = stateModules.flatMap((module: StateModule) =>
    module.functions.map(entry => [`${module.name}.${entry.name}`, entry] as const)
  )
  return new Map([...entries].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** `test` means all of its functions, `test.ping` one, `test.p*` and `t*` what the glob matches. */
function selected(entries: Entries, names: readonly unknown[]): string[] {
  const all = [...entries.keys()]
  if (names.length === 0) return all
  const wanted = names.map(name => {
    const pattern = text(name, 'module')
    const matches = compileGlob(pattern.includes('.') || /[*?[]/.test(pattern) ? pattern : `${pattern}.*`)
    return (fun: string) => matches(fun)
  })
  return all.filter(fun => wanted.some(matches => matches(fun)))
}

function docsOf(entries: Entries, names: readonly unknown[]): Record<string, string> {
  return Object.fromEntries(selected(entries, names).map(fun => [fun, entries.get(fun)!.doc]))
}

/** Salt's shape: `{args, defaults, varargs, kwargs}` with null for what there is none of. */
function argspecsOf(entries: Entries, module: unknown): Mapping {
  const specs = selected(entries, module === '' ? [] : [module]).map(fun => {
    const { params, varargs, kwargs } = entries.get(fun)!
    const defaults = params.filter(param => 'default' in param).map(param => param.default)
    const spec = {
      args: params.map(param => param.name),
      defaults: defaults.length > 0 ? defaults : null,
      varargs: varargs === undefined ? null : true,
      kwargs: kwargs === undefined ? null : true
    }
    return [fun, spec]
  })
  return Object.fromEntries(specs)
}

function modulesOf(names: readonly string[], globs: unknown): string[] {
  const patterns = (globs as unknown[]).map(glob => compileGlob(text(glob, 'module')))
  return patterns.length === 0 ? [...names] : names.filter(name => patterns.some(matches => matches(name)))
}

function docs(ctx: ModuleContext, { args }: Mapping) {
  return docsOf(moduleEntries(ctx), args as unknown[])
}

function argspec(ctx: ModuleContext, { module }: Mapping) {
  return argspecsOf(moduleEntries(ctx), module)
}

function listFunctions(ctx: ModuleContext, { args }: Mapping) {
  return selected(moduleEntries(ctx), args as unknown[])
}

function listModules(ctx: ModuleContext, { args }: Mapping) {
  return modulesOf(ctx.modules.modules(), args)
}

function stateDocs(_ctx: ModuleContext, { args }: Mapping) {
  return docsOf(stateEntries(), args as unknown[])
}

function stateArgspec(_ctx: ModuleContext, { module }: Mapping) {
  return argspecsOf(stateEntries(), module)
}

function listStateFunctions(_ctx: ModuleContext, { args }: Mapping) {
  return selected(stateEntries(), args as unknown[])
}

function listStateModules(_ctx: ModuleContext, { args }: Mapping) {
  return modulesOf(stateModules.map(module => module.name).sort(), args)
}
