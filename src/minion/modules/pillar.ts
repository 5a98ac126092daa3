import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { mergePillar } from '../../pillar/merge.js'
import { compileGlob } from '../../tags/glob.js'
import type { ModuleContext } from '../context.js'
import { relativePath } from '../files.js'
import { CommandExecutionError } from './errors.js'
import { doc, fn, type Module } from './module.js'
import { pyStr, pyType } from './python.js'
import { flag, isMapping, type Mapping, text, textOrNull, traverse } from './values.js'

/** Salt's `pillar` module, over the pillar that the job sees. Shapes: golden/api/gui.json (pillar-*). */
export const pillar: Module = {
  name: 'pillar',
  functions: [
    fn('items(*args, **kwargs)', doc('Returns the whole pillar.', 'pillar.items'), items),
    fn('data(*args, **kwargs)', doc('Returns the whole pillar.', 'pillar.data'), items),
    fn('raw(key=None)', doc('Returns the pillar, or one of its values.', 'pillar.raw'), (ctx, { key }) =>
      key === null ? ctx.pillar : (ctx.pillar[text(key, 'key')] ?? {})
    ),
    fn(
      "get(key, default='', merge=False, merge_nested_lists=None, delimiter=':', pillarenv=None, saltenv=None)",
      doc('Returns a value by its path.', 'pillar.get pkg:apache'),
      get
    ),
    fn(
      "fetch(key, default='', merge=False, merge_nested_lists=None, delimiter=':', pillarenv=None, saltenv=None)",
      doc('Returns a value by its path.', 'pillar.fetch pkg:apache'),
      get
    ),
    fn('item(*args, **kwargs)', doc('Returns the named values.', 'pillar.item foo bar'), item),
    fn('ls(*args)', doc('Returns the names at the top of the pillar.', 'pillar.ls'), ctx => Object.keys(ctx.pillar)),
    fn("keys(key, delimiter=':')", doc('Returns the names below a path.', 'pillar.keys web:sites'), keys),
    fn(
      "filter_by(lookup_dict, pillar, merge=None, default='default', base=None)",
      doc('Picks the entry of a mapping whose key (a glob) matches a pillar value.', "pillar.filter_by '{web: Serve it up}' role"),
      filterBy
    ),
    fn(
      'file_exists(path, saltenv=None)',
      doc('Masterless: returns whether a file is in pillar_roots.', 'pillar.file_exists top.sls'),
      fileExists
    ),
    fn('obfuscate(*args, **kwargs)', doc('Returns the pillar with types in place of values.', 'pillar.obfuscate'), ctx =>
      obfuscated(ctx.pillar)
    )
  ]
}

/** As the job sees it, and on top what the server compiles anew for `pillar=`, `pillarenv=` or `saltenv=`. Names: these values alone. */
async function items(ctx: ModuleContext, { args, kwargs }: Mapping): Promise<unknown> {
  const { pillar: override, pillarenv, saltenv } = kwargs as Mapping
  const env = textOrNull(pillarenv ?? saltenv, 'pillarenv')
  const ask = { ...(isMapping(override) ? { override } : {}), ...(env === null ? {} : { pillarenv: env }) }
  const all = Object.keys(ask).length > 0 ? await ctx.agent.compilePillar(ask) : ctx.pillar
  const names = args as unknown[]
  if (names.length === 0) return all
  return Object.fromEntries(names.map(name => [text(name, 'name'), traverse(all, text(name, 'name')) ?? '']))
}

async function get(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const env = textOrNull(a.pillarenv ?? a.saltenv, 'pillarenv')
  const all = env === null ? ctx.pillar : await ctx.agent.compilePillar({ pillarenv: env })
  const key = text(a.key, 'key')
  const found = (key === '' ? all : traverse(all, key, text(a.delimiter, 'delimiter'))) ?? undefined
  if (found === undefined) return a.default
  if (!flag(a.merge) || typeof found === 'undefined') return found
  return merged(a.default, found, a.merge_nested_lists === null ? true : flag(a.merge_nested_lists))
}

/** `merge=True`: what is there over the default, level by level; lists are joined. Two values of different kinds: what is there. */
function merged(fallback: unknown, found: unknown, lists: boolean): unknown {
  if (isMapping(fallback) && isMapping(found)) return mergePillar(fallback, found, { strategy: 'recurse', mergeLists: lists })
  if (Array.isArray(fallback) && Array.isArray(found)) return [...fallback, ...found.filter(item => !includes(fallback, item))]
  return found
}

function includes(list: readonly unknown[], value: unknown): boolean {
  return list.some(item => JSON.stringify(item) === JSON.stringify(value))
}

/** The first key that matches (any of the values, if it is a list), then `default`; `base` below and `merge` above it. */
function filterBy(ctx: ModuleContext, a: Mapping): unknown {
  const lookup = isMapping(a.lookup_dict) ? a.lookup_dict : {}
  const value = traverse(ctx.pillar, text(a.pillar, 'pillar'))
  const values = (Array.isArray(value) ? value : [value ?? a.default]).map(pyStr)
  const key = Object.keys(lookup).find(pattern => values.some(each => each === pattern || compileGlob(pattern)(each)))
  const found = lookup[key ?? pyStr(a.default)] ?? null
  const layers = [typeof a.base === 'string' ? lookup[a.base] : undefined, found, a.merge].filter(isMapping)
  if (!isMapping(found)) return found
  return layers.reduce((below, above) => mergePillar(below, above, { strategy: 'recurse', mergeLists: false }), {})
}

async function fileExists(ctx: ModuleContext, { path, saltenv }: Mapping): Promise<boolean> {
  if (ctx.options.file_client !== 'local') throw new CommandExecutionError('pillar.file_exists needs file_client: local (masterless)')
  const roots = ctx.options.pillar_roots
  const wanted = textOrNull(saltenv, 'saltenv')
  const dirs = wanted === null ? Object.values(roots).flat() : (roots[wanted] ?? [])
  for (const dir of dirs) if ((await stat(join(dir, relativePath(text(path, 'path')))).catch(() => null))?.isFile()) return true
  return false
}

function item(ctx: ModuleContext, { args }: Mapping): Mapping {
  return Object.fromEntries((args as unknown[]).map(arg => [text(arg, 'name'), traverse(ctx.pillar, text(arg, 'name')) ?? '']))
}

function keys(ctx: ModuleContext, a: Mapping): string[] {
  const found = traverse(ctx.pillar, text(a.key, 'key'), text(a.delimiter, 'delimiter'))
  return isMapping(found) ? Object.keys(found) : []
}

function obfuscated(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(obfuscated)
  if (isMapping(value)) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, obfuscated(inner)]))
  return `<${pyType(value)}>`
}
