import type { ModuleContext } from '../context.js'
import { doc, fn, type Module } from './module.js'
import { pyType } from './python.js'
import { isMapping, type Mapping, text, traverse } from './values.js'

/** Salt's `pillar` module, over the pillar that the job sees. Shapes: golden/api/gui.json (pillar-*). */
export const pillar: Module = {
  name: 'pillar',
  functions: [
    fn('items(*args, **kwargs)', doc('Returns the whole pillar.', 'pillar.items'), ctx => ctx.pillar),
    fn('data(*args, **kwargs)', doc('Returns the whole pillar.', 'pillar.data'), ctx => ctx.pillar),
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
    fn('obfuscate(*args, **kwargs)', doc('Returns the pillar with types in place of values.', 'pillar.obfuscate'), ctx =>
      obfuscated(ctx.pillar)
    )
  ]
}

function get(ctx: ModuleContext, a: Mapping): unknown {
  return traverse(ctx.pillar, text(a.key, 'key'), text(a.delimiter, 'delimiter')) ?? a.default
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
