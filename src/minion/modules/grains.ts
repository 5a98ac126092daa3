import { compileGlob } from '../../tags/glob.js'
import type { ModuleContext } from '../context.js'
import { readGrainsFile, writeGrainsFile } from '../grains/custom.js'
import { doc, fn, type Module } from './module.js'
import { pyStr, truthy } from './python.js'
import { flag, isMapping, type Mapping, setOwn, text, traverse } from './values.js'

/** Salt's `grains` module. Shapes: golden/api/gui.json (grains-*). Changed grains are kept in the `grains` file and count at once. */
export const grains: Module = {
  name: 'grains',
  functions: [
    fn('items(sanitize=False)', doc('Returns all grains; sanitize hides serial numbers and host names.', 'grains.items'), items, {
      out: 'nested'
    }),
    fn('item(*args, **kwargs)', doc('Returns the named grains; nested ones by a path with colons.', 'grains.item os osrelease'), item, {
      out: 'nested'
    }),
    fn(
      "get(key, default='', delimiter=':', ordered=True)",
      doc("Returns a grain by its path, else the default ('').", 'grains.get pkg:apache'),
      get
    ),
    fn(
      "fetch(key, default='', delimiter=':', ordered=True)",
      doc("Returns a grain by its path, else the default ('').", 'grains.fetch os'),
      get
    ),
    fn('ls()', doc('Returns the names of all grains, sorted.', 'grains.ls'), ctx => Object.keys(ctx.grains).sort()),
    fn('has_value(key)', doc('Returns whether a grain is there and not empty.', 'grains.has_value pkg:apache'), hasValue),
    fn('equals(key, value)', doc('Returns whether a grain has a value.', 'grains.equals fqdn web.example.com'), equals),
    fn('setval(key, val, destructive=False, refresh_pillar=True)', doc('Sets a grain.', 'grains.setval key val'), setval, {
      out: 'nested'
    }),
    fn('setvals(grains, destructive=False, refresh_pillar=True)', doc('Sets grains.', "grains.setvals '{key1: val1}'"), setvals),
    fn(
      "set(key, val='', force=False, destructive=False, delimiter=':')",
      doc('Sets a grain by its path; a list or mapping only with force. Returns comment, changes and result.', 'grains.set a:b val'),
      set
    ),
    fn(
      "append(key, val, convert=False, delimiter=':')",
      doc('Appends to a list; convert makes a list of a scalar.', 'grains.append key val'),
      append
    ),
    fn("remove(key, val, delimiter=':')", doc('Removes a value from a list.', 'grains.remove key val'), remove),
    fn('delkey(key, force=False)', doc('Removes a grain; a list or mapping only with force.', 'grains.delkey key'), (ctx, a) =>
      del(ctx, a, true)
    ),
    fn('delval(key, destructive=False, force=False)', doc('Sets a grain to None; destructive removes it.', 'grains.delval key'), (ctx, a) =>
      del(ctx, a, flag(a.destructive))
    ),
    fn(
      "filter_by(lookup_dict, grain='os_family', merge=None, default='default', base=None)",
      doc('Picks the entry of a mapping whose key (a glob) matches a grain.', "grains.filter_by '{Debian: Debheads rule}'"),
      filterBy
    )
  ]
}

const IDENTIFYING = ['serialnumber', 'domain', 'fqdn', 'id', 'host', 'localhost', 'nodename', 'machine_id', 'uuid', 'system_serialnumber']

function items(ctx: ModuleContext, { sanitize }: Mapping): Mapping {
  if (!flag(sanitize)) return ctx.grains
  return Object.fromEntries(
    Object.entries(ctx.grains).map(([name, value]) => [name, IDENTIFYING.includes(name) && truthy(value) ? masked(name) : value])
  )
}

function masked(name: string): string {
  return name === 'id' || name === 'host' || name === 'localhost' || name === 'nodename' ? 'MINION' : `${name.toUpperCase()}`
}

function item(ctx: ModuleContext, { args }: Mapping): Mapping {
  return Object.fromEntries((args as unknown[]).map(arg => [text(arg, 'grain'), traverse(ctx.grains, text(arg, 'grain')) ?? '']))
}

function get(ctx: ModuleContext, a: Mapping): unknown {
  return traverse(ctx.grains, text(a.key, 'key'), text(a.delimiter, 'delimiter')) ?? a.default
}

function hasValue(ctx: ModuleContext, { key }: Mapping): boolean {
  return truthy(traverse(ctx.grains, text(key, 'key')) ?? '')
}

function equals(ctx: ModuleContext, { key, value }: Mapping): boolean {
  return pyStr(value) === pyStr(traverse(ctx.grains, text(key, 'key')) ?? '')
}

async function setval(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  return setvals(ctx, { ...a, grains: { [text(a.key, 'key')]: a.val } })
}

/** Returns what was set; destructive with None removes. */
async function setvals(ctx: ModuleContext, { grains: given, destructive }: Mapping): Promise<Mapping> {
  if (!isMapping(given)) return { result: false, comment: 'setvals grains must be a dictionary.', changes: {} }
  const kept = await readGrainsFile(ctx.options)
  for (const [key, value] of Object.entries(given)) {
    if (value === null && flag(destructive)) delete kept[key]
    else setOwn(kept, key, value)
  }
  await store(ctx, kept, Object.keys(given))
  return given
}

/** Keeps the grains and lets the agent see them; what runs after this in the same job sees the changed ones, too. */
async function store(ctx: ModuleContext, kept: Mapping, changed: readonly string[]): Promise<void> {
  await writeGrainsFile(ctx.options, kept)
  const fresh = await ctx.agent.refreshGrains()
  for (const key of changed) {
    if (Object.hasOwn(kept, key)) setOwn(ctx.grains, key, kept[key])
    else if (Object.hasOwn(fresh, key)) setOwn(ctx.grains, key, fresh[key])
    else delete ctx.grains[key]
  }
}

async function append(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const path = text(a.key, 'key').split(text(a.delimiter, 'delimiter'))
  let list = traverse(ctx.grains, path.join(':')) ?? []
  if (!Array.isArray(list) && flag(a.convert)) list = [list]
  if (!Array.isArray(list)) return `The key ${a.key} is not a valid list`
  const wanted = Array.isArray(a.val) ? a.val : [a.val]
  const fresh = wanted.filter(value => !includes(list as unknown[], value))
  if (fresh.length === 0) return `The val ${pyStr(a.val)} was already in the list ${a.key}`
  return setPath(ctx, path, [...list, ...fresh])
}

async function remove(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const path = text(a.key, 'key').split(text(a.delimiter, 'delimiter'))
  const list = traverse(ctx.grains, path.join(':')) ?? ''
  if (!Array.isArray(list)) return `The key ${a.key} is not a valid list`
  if (!includes(list, a.val)) return `The val ${pyStr(a.val)} was not in the list ${a.key}`
  return setPath(
    ctx,
    path,
    list.filter(value => JSON.stringify(value) !== JSON.stringify(a.val))
  )
}

function includes(list: readonly unknown[], value: unknown): boolean {
  return list.some(item => JSON.stringify(item) === JSON.stringify(value))
}

/** Sets a value below the first key of a path and returns that first grain, as setval does. */
async function setPath(ctx: ModuleContext, path: readonly string[], value: unknown): Promise<Mapping> {
  const [first, ...rest] = path
  return setval(ctx, { key: first, val: rest.length === 0 ? value : withPath(ctx.grains[first!], rest, value) })
}

/** A copy of `base` with `value` at a path. */
function withPath(base: unknown, path: readonly string[], value: unknown): Mapping {
  const [key, ...rest] = path
  const copy: Mapping = isMapping(base) ? { ...base } : {}
  setOwn(copy, key!, rest.length === 0 ? value : withPath(copy[key!], rest, value))
  return copy
}

async function set(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const delimiter = text(a.delimiter, 'delimiter')
  const path = text(a.key, 'key').split(delimiter)
  const [key, value, force] = [text(a.key, 'key'), a.val, flag(a.force)]
  const existing = traverse(ctx.grains, path.join(':'))
  const refused = (comment: string): Mapping => ({ comment, changes: {}, result: false })
  if (existing !== undefined && JSON.stringify(existing) === JSON.stringify(value))
    return { comment: 'Grain is already set', changes: {}, result: true }
  if (isComplex(existing) && !force) return refused(`The key '${key}' exists but is a dict or a list. Use 'force=True' to overwrite.`)
  if (isComplex(value) && !force)
    return refused(`The key '${key}' exists and the given value is a dict or a list. Use 'force=True' to overwrite.`)
  const [first, ...rest] = path
  const removed = value === null && flag(a.destructive)
  const top = rest.length === 0 ? value : removed ? withoutPath(ctx.grains[first!], rest) : withPath(ctx.grains[first!], rest, value)
  await setval(ctx, { key: first, val: top, destructive: a.destructive })
  return { comment: '', changes: { [first!]: top }, result: true }
}

function isComplex(value: unknown): boolean {
  return Array.isArray(value) || isMapping(value)
}

async function del(ctx: ModuleContext, a: Mapping, destructive: boolean): Promise<Mapping> {
  const key = text(a.key, 'key')
  const existing = traverse(ctx.grains, key)
  if (existing === undefined) return { comment: `Key '${key}' does not exist in grains`, changes: {}, result: true }
  if (isComplex(existing) && !flag(a.force)) {
    return { comment: `The key '${key}' exists but is a dict or a list. Use 'force=True' to overwrite.`, changes: {}, result: false }
  }
  const [first, ...rest] = key.split(':')
  const kept = await readGrainsFile(ctx.options)
  if (rest.length > 0) setOwn(kept, first!, destructive ? withoutPath(ctx.grains[first!], rest) : withPath(ctx.grains[first!], rest, null))
  else if (destructive) delete kept[first!]
  else setOwn(kept, first!, null)
  await store(ctx, kept, [first!])
  return { comment: '', changes: { [key]: null }, result: true }
}

function withoutPath(base: unknown, path: readonly string[]): unknown {
  if (!isMapping(base)) return base
  const [key, ...rest] = path
  const { [key!]: inner, ...others } = base
  return rest.length === 0 ? others : { ...others, [key!]: withoutPath(inner, rest) }
}

/** The first key that matches the grain (any of its values, if it is a list), then `default`; `base` below and `merge` above it. */
function filterBy(ctx: ModuleContext, a: Mapping): unknown {
  const lookup = isMapping(a.lookup_dict) ? a.lookup_dict : {}
  const grain = traverse(ctx.grains, text(a.grain, 'grain'))
  const values = (Array.isArray(grain) ? grain : [grain ?? a.default]).map(pyStr)
  const key = Object.keys(lookup).find(pattern => values.some(value => value === pattern || compileGlob(pattern)(value)))
  const found = key === undefined ? (lookup[pyStr(a.default)] ?? null) : lookup[key]
  const base = a.base === null || a.base === undefined ? undefined : lookup[pyStr(a.base)]
  const layers = [base, found, a.merge].filter(isMapping)
  return layers.length === 0 || !isMapping(found ?? base ?? a.merge) ? found : layers.reduce(mergeDeep, {})
}

function mergeDeep(below: Mapping, above: Mapping): Mapping {
  const merged: Mapping = { ...below }
  for (const [key, value] of Object.entries(above)) {
    const there = merged[key]
    setOwn(merged, key, isMapping(there) && isMapping(value) ? mergeDeep(there, value) : value)
  }
  return merged
}
