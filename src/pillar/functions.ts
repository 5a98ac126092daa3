/**
 * `salt['…']` in pillar files. They are rendered on the server (or, masterless, where the minion runs), for one minion: what can be said about that
 * minion can be asked; nothing can be run.
 */
import { type Facts, matchTarget, parseTarget } from '../targeting/index.js'
import type { Nodegroups } from '../targeting/nodegroups.js'
import { isMapping, type Mapping, mergePillar } from './merge.js'

export interface Subject {
  readonly id: string
  readonly grains: Mapping
  readonly pillar: Mapping
  readonly nodegroups: Nodegroups
}

type Call = (args: unknown[], kwargs: Mapping) => unknown

export function pillarFunctions(subject: Subject): Record<string, Call> {
  const { grains, pillar } = subject
  const matchers = ['compound', 'glob', 'pcre', 'list', 'grain', 'grain_pcre', 'ipcidr', 'nodegroup']
  return {
    'grains.get': lookup(grains),
    'grains.fetch': lookup(grains),
    'grains.item': args => Object.fromEntries(args.map(name => [String(name), traverse(grains, String(name), ':') ?? ''])),
    'grains.items': () => grains,
    'grains.ls': () => Object.keys(grains).sort(),
    'grains.has_value': args => Boolean(traverse(grains, String(args[0]), ':')),
    'grains.filter_by': (args, kwargs) => filterBy(grains, args, kwargs),
    'pillar.get': lookup(pillar),
    'pillar.fetch': lookup(pillar),
    'pillar.items': () => pillar,
    'slsutil.merge': args => merge(args[0], args[1]),
    'test.ping': () => true,
    ...Object.fromEntries(matchers.map(kind => [`match.${kind}`, (args: unknown[]) => means(subject, args[0], kind)]))
  }
}

/** The value under a path; a longer key is tried first, and `list:0` is an item of a list. undefined: there is none. */
function traverse(from: unknown, path: string, delimiter: string): unknown {
  if (isMapping(from) && Object.hasOwn(from, path)) return from[path]
  const parts = path.split(delimiter)
  for (let taken = parts.length - 1; taken > 0; taken--) {
    const next = child(from, parts.slice(0, taken).join(delimiter))
    if (next === undefined) continue
    const found = traverse(next, parts.slice(taken).join(delimiter), delimiter)
    if (found !== undefined) return found
  }
  return child(from, path)
}

function child(from: unknown, key: string): unknown {
  if (Array.isArray(from)) return /^\d+$/.test(key) ? from[Number(key)] : undefined
  return isMapping(from) && Object.hasOwn(from, key) ? from[key] : undefined
}

function lookup(data: Mapping): Call {
  return (args, kwargs) => {
    const [key, fallback = kwargs.default ?? ''] = args
    return traverse(data, String(key ?? kwargs.key), String(kwargs.delimiter ?? ':')) ?? fallback
  }
}

/** Salt's `grains.filter_by(lookup_dict, grain='os_family', merge=None, default='default', base=None)`. */
function filterBy(grains: Mapping, args: unknown[], kwargs: Mapping): unknown {
  const table = args[0] ?? kwargs.lookup_dict
  if (!isMapping(table)) throw new Error('grains.filter_by: the first argument is not a dictionary')
  const grain = traverse(grains, String(args[1] ?? kwargs.grain ?? 'os_family'), ':')
  const wanted = (Array.isArray(grain) ? grain : [grain]).map(String)
  const key = wanted.find(name => Object.hasOwn(table, name)) ?? String(args[3] ?? kwargs.default ?? 'default')
  const found = Object.hasOwn(table, key) ? table[key] : null
  const base = args[4] ?? kwargs.base
  const start = typeof base === 'string' && Object.hasOwn(table, base) ? merge(table[base], found) : found
  return merge(start, args[2] ?? kwargs.merge)
}

function merge(a: unknown, b: unknown): unknown {
  if (isMapping(a) && isMapping(b)) return mergePillar(a, b, { strategy: 'recurse', mergeLists: false })
  return b ?? a
}

function means({ id, grains, pillar, nodegroups }: Subject, target: unknown, kind: string): boolean {
  const facts: Facts = { id, grains, pillar, cached: true }
  return matchTarget(parseTarget(target, kind, { nodegroups }), [facts]).minions.length > 0
}
