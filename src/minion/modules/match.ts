import type { ModuleContext } from '../context.js'
import { doc, fn, type Module, type ModuleFunction } from './module.js'
import { isMapping, type Mapping, setOwn, text, textOrNull } from './values.js'

/** Salt's `match` module: whether a target means this minion. */
export const match: Module = {
  name: 'match',
  functions: [
    matcher('compound(tgt, minion_id=None)', 'compound', "match.compound 'L@cheese,foo and *'"),
    matcher('glob(tgt, minion_id=None)', 'glob', "match.glob '*'"),
    matcher("grain(tgt, delimiter=':')", 'grain', "match.grain 'os:Ubuntu'"),
    matcher("grain_pcre(tgt, delimiter=':')", 'grain_pcre', "match.grain_pcre 'os:Fedo.*'"),
    matcher('ipcidr(tgt)', 'ipcidr', "match.ipcidr '192.168.44.0/24'"),
    matcher('list_(tgt, minion_id=None)', 'list', "match.list 'server1,server2'"),
    matcher('nodegroup(tgt)', 'nodegroup', 'match.nodegroup webservers'),
    matcher('pcre(tgt, minion_id=None)', 'pcre', "match.pcre '.*'"),
    matcher("pillar(tgt, delimiter=':')", 'pillar', "match.pillar 'cheese:foo'"),
    matcher("pillar_pcre(tgt, delimiter=':')", 'pillar_pcre', "match.pillar_pcre 'cheese:(swiss|american)'"),
    fn(
      "filter_by(lookup, tgt_type='compound', minion_id=None, merge=None, merge_lists=False, default='default')",
      doc(
        'Returns the value of the first target in a mapping that means this minion, with merge over it.',
        "match.filter_by '{web*: web}'"
      ),
      filterBy
    ),
    fn(
      "search_by(lookup, tgt_type='compound', minion_id=None)",
      doc('Returns the keys of a mapping (key → list of targets) of which one means this minion.', "match.search_by '{web: [web*]}'"),
      searchBy
    )
  ]
}

function matcher(signature: string, kind: string, example: string): ModuleFunction {
  return fn(signature, doc(`Returns whether a target (${kind}) means this minion.`, example), (ctx, a) => isMeant(ctx, a.tgt, kind, a))
}

/** Whether a target means this minion, or one of another id with this one's data. */
async function isMeant(ctx: ModuleContext, target: unknown, kind: string, a: Mapping): Promise<boolean> {
  // Loaded when it is needed: the agent itself, which stays in memory, seldom matches.
  const { matchTarget, parseTarget } = await import('../../targeting/index.js')
  const nodegroups = isMapping(ctx.options.settings.nodegroups) ? (ctx.options.settings.nodegroups as Record<string, string>) : {}
  const id = textOrNull(a.minion_id, 'minion_id') ?? ctx.id
  const delimiter = textOrNull(a.delimiter, 'delimiter') ?? ':'
  const facts = { id, grains: ctx.grains, pillar: ctx.pillar, cached: true }
  try {
    return matchTarget(parseTarget(withColons(target, delimiter), kind, { nodegroups }), [facts]).minions.length > 0
  } catch (error) {
    ctx.log.warn({ target, kind, error: String(error) }, 'a target is not valid')
    return false
  }
}

function withColons(target: unknown, delimiter: string): unknown {
  return typeof target === 'string' && delimiter !== ':' ? target.replaceAll(delimiter, ':') : target
}

async function filterBy(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const lookup = isMapping(a.lookup) ? a.lookup : {}
  let found: unknown = lookup[text(a.default, 'default')] ?? null
  for (const [target, value] of Object.entries(lookup)) {
    if (!(await isMeant(ctx, target, text(a.tgt_type, 'tgt_type'), a))) continue
    found = value
    break
  }
  if (!isMapping(a.merge)) return found
  return merged(isMapping(found) ? found : {}, a.merge)
}

function merged(below: Mapping, above: Mapping): Mapping {
  const both: Mapping = { ...below }
  for (const [key, value] of Object.entries(above)) {
    const there = both[key]
    setOwn(both, key, isMapping(there) && isMapping(value) ? merged(there, value) : value)
  }
  return both
}

async function searchBy(ctx: ModuleContext, a: Mapping): Promise<string[] | null> {
  const found: string[] = []
  for (const [key, targets] of Object.entries(isMapping(a.lookup) ? a.lookup : {})) {
    for (const target of [targets].flat()) {
      if (!(await isMeant(ctx, target, text(a.tgt_type, 'tgt_type'), a))) continue
      found.push(key)
      break
    }
  }
  return found.length > 0 ? found : null
}
