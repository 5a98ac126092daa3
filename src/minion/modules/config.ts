import { mergePillar } from '../../pillar/merge.js'
import { compileGlob } from '../../tags/glob.js'
import type { ModuleContext } from '../context.js'
import { CommandExecutionError, InvocationError } from './errors.js'
import { doc, fn, type Module } from './module.js'
import { pyStr } from './python.js'
import { flag, isMapping, type Mapping, text, traverse } from './values.js'

/** Salt's `config` module: one place to ask for options, grains and pillar. Secrets are masked before they get here. */
export const config: Module = {
  name: 'config',
  functions: [
    fn(
      "get(key, default='', delimiter=':', merge=None, omit_opts=False, omit_pillar=False, omit_master=False, omit_grains=False)",
      `Returns a value by its path, from the first that has it: options, grains, pillar.

CLI Example:

    salt '*' config.get pkg:apache`,
      get
    ),
    fn(
      'option(value, default=None, omit_opts=False, omit_grains=False, omit_pillar=False, omit_master=False, omit_all=False, wildcard=False)',
      `Returns an option, grain or pillar value by its name.

CLI Example:

    salt '*' config.option redis.host`,
      option
    ),
    fn('items()', "Returns all options of the minion.\n\nCLI Example:\n\n    salt '*' config.items", ctx => optionsOf(ctx)),
    fn(
      "merge(value, default='', omit_opts=False, omit_master=False, omit_pillar=False)",
      doc('Returns an option, with what the pillar has under its name laid over or joined to it.', 'config.merge schedule'),
      merge
    ),
    fn(
      'dot_vals(value)',
      doc('Returns the options and pillar values whose names begin with this one and a dot.', 'config.dot_vals host'),
      dotValues
    ),
    fn(
      'backup_mode(backup=None)',
      doc("Returns the backup mode: the given one, or the option's ('').", 'config.backup_mode'),
      (ctx, a) => a.backup ?? option(ctx, { value: 'backup_mode', default: '' })
    ),
    fn('gather_bootstrap_script(bootstrap=None)', doc('There is no bootstrap script here.', 'config.gather_bootstrap_script'), () => {
      throw new CommandExecutionError('brine has no bootstrap script')
    }),
    fn(
      'valid_fileproto(uri)',
      "Returns whether files can be fetched by this URL.\n\nCLI Example:\n\n    salt '*' config.valid_fileproto salt://x",
      validProtocol
    ),
    fn(
      'manage_mode(mode)',
      "Returns a file mode as octal text.\n\nCLI Example:\n\n    salt '*' config.manage_mode 0644",
      (_ctx, { mode }) => manageMode(mode)
    )
  ]
}

/** All options under their names. */
export function optionsOf(ctx: ModuleContext): Mapping {
  const { settings, ...options } = ctx.options
  return { ...settings, ...options }
}

/** Where values are looked for, in Salt's order, without those that the call leaves out. */
function sourcesOf(ctx: ModuleContext, a: Mapping): Mapping[] {
  const all = a.omit_all === undefined ? false : flag(a.omit_all)
  const left = (name: string) => all || flag(a[name] ?? false)
  return [
    ...(left('omit_opts') ? [] : [optionsOf(ctx)]),
    ...(left('omit_grains') ? [] : [ctx.grains]),
    ...(left('omit_pillar') ? [] : [ctx.pillar])
  ]
}

/** `merge`: `recurse` lays all values over one another (options win), `overwrite` key by key at the top; without it the first counts. */
function get(ctx: ModuleContext, a: Mapping): unknown {
  const [key, delimiter] = [text(a.key, 'key'), text(a.delimiter, 'delimiter')]
  const found = sourcesOf(ctx, a).flatMap(source => lookup(source, key, delimiter) ?? [])
  if (a.merge === null || a.merge === undefined || a.merge === false) return found[0] ?? a.default
  const strategy = a.merge === true ? 'recurse' : text(a.merge, 'merge')
  if (strategy !== 'recurse' && strategy !== 'overwrite')
    throw new InvocationError(`'${strategy}' is no strategy for merge; recurse and overwrite are`)
  const layers = [...(isMapping(a.default) ? [a.default] : []), ...found.reverse()].filter(isMapping)
  if (layers.length === 0) return found.at(-1) ?? a.default
  return layers.reduce((below, above) => mergePillar(below, above, { strategy, mergeLists: false }), {})
}

function option(ctx: ModuleContext, a: Mapping): unknown {
  const name = text(a.value, 'value')
  const sources = sourcesOf(ctx, a)
  if (flag(a.wildcard ?? false)) {
    const matches = compileGlob(name)
    return Object.fromEntries(sources.reverse().flatMap(source => Object.entries(source).filter(([key]) => matches(key))))
  }
  for (const source of sources) if (Object.hasOwn(source, name)) return source[name]
  return a.default ?? ''
}

function merge(ctx: ModuleContext, a: Mapping): unknown {
  const name = text(a.value, 'value')
  const below = flag(a.omit_opts) ? undefined : optionsOf(ctx)[name]
  const above = flag(a.omit_pillar) ? undefined : ctx.pillar[name]
  if (isMapping(below) && isMapping(above)) return { ...below, ...above }
  if (Array.isArray(below) && Array.isArray(above)) return [...below, ...above]
  return below ?? above ?? a.default
}

function dotValues(ctx: ModuleContext, { value }: Mapping): Mapping {
  const prefix = `${text(value, 'value')}.`
  return Object.fromEntries(
    [ctx.pillar, optionsOf(ctx)].flatMap(source => Object.entries(source).filter(([key]) => key.startsWith(prefix)))
  )
}

function lookup(source: Mapping, key: string, delimiter: string): unknown {
  return Object.hasOwn(source, key) ? source[key] : traverse(source, key, delimiter)
}

function validProtocol(_ctx: ModuleContext, { uri }: Mapping): boolean {
  return /^(salt|file|https?):\/\//.test(text(uri, 'uri'))
}

/** `644`, `0644`, 420 (octal in YAML) … → `0644`; null stays. Salt shows modes this way in changes. */
export function manageMode(mode: unknown): string | null {
  if (mode === null || mode === undefined) return null
  const digits = pyStr(mode)
    .replace(/^["']|["']$/g, '')
    .replace(/^0o/, '')
  return digits === '' ? digits : `0${digits.replace(/^0+/, '') || '0'}`.padStart(4, '0')
}
