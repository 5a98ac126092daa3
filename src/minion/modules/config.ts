import type { ModuleContext } from '../context.js'
import { fn, type Module } from './module.js'
import { type Mapping, text, traverse } from './values.js'

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

function get(ctx: ModuleContext, a: Mapping): unknown {
  return lookup(ctx, text(a.key, 'key'), text(a.delimiter, 'delimiter')) ?? a.default
}

function option(ctx: ModuleContext, a: Mapping): unknown {
  return lookup(ctx, text(a.value, 'value'), ':') ?? a.default ?? ''
}

function lookup(ctx: ModuleContext, key: string, delimiter: string): unknown {
  for (const source of [optionsOf(ctx), ctx.grains, ctx.pillar]) {
    const found = Object.hasOwn(source, key) ? source[key] : traverse(source, key, delimiter)
    if (found !== undefined) return found
  }
  return undefined
}

function validProtocol(_ctx: ModuleContext, { uri }: Mapping): boolean {
  return /^(salt|file):\/\//.test(text(uri, 'uri'))
}

/** `644`, `0644`, 420 (octal in YAML) … → `0644`; null stays. Salt shows modes this way in changes. */
export function manageMode(mode: unknown): string | null {
  if (mode === null || mode === undefined) return null
  const digits = String(mode)
    .replace(/^["']|["']$/g, '')
    .replace(/^0o/, '')
  return digits === '' ? digits : `0${digits.replace(/^0+/, '') || '0'}`.padStart(4, '0')
}
