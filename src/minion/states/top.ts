/** The top file: which SLS files a minion's highstate has. */
import { readFile } from 'node:fs/promises'
import { parseYaml } from '../../shared/yaml.js'
import { compileGlob } from '../../tags/glob.js'
import type { ModuleContext } from '../context.js'
import { messageOf } from '../modules/errors.js'
import { pyStr } from '../modules/python.js'
import { isMapping, type Mapping } from '../modules/values.js'
import { renderSls, slsName } from './high.js'

export interface Top {
  /** Environment → names of SLS files. */
  readonly matches: Readonly<Record<string, readonly string[]>>
  readonly errors: readonly string[]
}

/**
 * Reads `top.sls` of one environment, or of all, and keeps what is meant for this minion. The environments are merged as with Salt's
 * `top_file_merging_strategy: merge`: base's file may speak for all, another's only for its own, and only where base's does not.
 */
export async function topMatches(ctx: ModuleContext, saltenv: string | null): Promise<Top> {
  // Loaded when it is needed: the agent itself, which stays in memory, reads no top file.
  const targeting = await import('../../targeting/index.js')
  const matches: Record<string, string[]> = {}
  const errors: string[] = []
  for (const [name, targets] of await mergedTops(ctx, saltenv, errors)) {
    if (saltenv !== null && name !== saltenv) continue
    for (const sls of namesFor(ctx, targeting, { saltenv: name, targets, errors })) {
      matches[name] ??= []
      if (!matches[name].includes(sls)) matches[name].push(sls)
    }
  }
  return { matches, errors }
}

async function mergedTops(ctx: ModuleContext, saltenv: string | null, errors: string[]): Promise<Map<string, unknown>> {
  const merged = new Map<string, unknown>()
  for (const env of saltenv === null ? await ctx.files.listEnvironments() : [saltenv]) {
    const ofBase = new Set(merged.keys())
    for (const top of await readTops(ctx, env, errors)) {
      for (const [name, targets] of Object.entries(top)) {
        if (env !== 'base' && (name !== env || ofBase.has(name))) continue
        const there = merged.get(name)
        merged.set(name, isMapping(there) && isMapping(targets) ? { ...there, ...targets } : targets)
      }
    }
  }
  return merged
}

type Targeting = typeof import('../../targeting/index.js')

/** The top file of an environment, and the SLS files (globs allowed) that its `include` names, each once. */
async function readTops(ctx: ModuleContext, saltenv: string, errors: string[]): Promise<Mapping[]> {
  const tops: Mapping[] = []
  const waiting = ['top.sls']
  const seen = new Set<string>()
  for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
    if (seen.has(path)) continue
    seen.add(path)
    const { include, ...top } = (await readTop(ctx, path, saltenv, errors)) ?? {}
    tops.push(top)
    if (include !== undefined) waiting.push(...(await slsPaths(ctx, saltenv, include)))
  }
  return tops
}

async function slsPaths(ctx: ModuleContext, saltenv: string, names: unknown): Promise<string[]> {
  const matches = (Array.isArray(names) ? names : [names]).map(name => compileGlob(String(name)))
  const paths = (await ctx.files.listFiles(saltenv)).filter(path => path.endsWith('.sls'))
  return paths.filter(path => matches.some(test => test(slsName(path)))).sort()
}

async function readTop(ctx: ModuleContext, path: string, saltenv: string, errors: string[]): Promise<Mapping | null> {
  const file = await ctx.files.cacheFile(path, saltenv)
  if (!file) return null
  try {
    const source = await renderSls(ctx, await readFile(file.path, 'utf8'), { sls: 'top', saltenv, path })
    const top = parseYaml(source)
    if (top === null) return null
    if (isMapping(top)) return top
    errors.push('Top data was not formed as a dict')
  } catch (error) {
    errors.push(`Unable to render top file: ${messageOf(error)}`)
  }
  return null
}

/** What is wrong with the targets of an environment, in the words of Salt's verify_tops. */
function wrongTargets(saltenv: string, targets: unknown): string[] {
  if (saltenv === '') return ['Empty saltenv statement in top file']
  if (!isMapping(targets)) return [`The top file matches for saltenv ${saltenv} are not formatted as a dict`]
  return Object.values(targets).flatMap(list => {
    if (!Array.isArray(list)) return ['Malformed topfile (state declarations not formed as a list)']
    return list.flatMap(item => {
      if (item === '') return [`Environment ${saltenv} contains an empty sls index`]
      const empty = isMapping(item) && Object.values(item).some(value => value === null || value === '' || value === false)
      return empty ? [`Improperly formatted top file matcher in saltenv ${saltenv}: ${pyStr(item)} file`] : []
    })
  })
}

/** SLS names of the targets that mean this minion, in the order of the file. `- match: grain` in a list changes how its target is read. */
function namesFor(
  ctx: ModuleContext,
  targeting: Targeting,
  { saltenv, targets, errors }: { saltenv: string; targets: unknown; errors: string[] }
): string[] {
  const wrong = wrongTargets(saltenv, targets)
  errors.push(...wrong)
  if (wrong.length > 0 || !isMapping(targets)) return []
  const names: string[] = []
  for (const { target, list } of sortedTargets(targets)) {
    const match = list.filter(isMapping).find(item => typeof item.match === 'string')?.match
    if (isMeant(ctx, targeting, { target, kind: typeof match === 'string' ? match : 'compound', errors }))
      names.push(...list.filter(item => typeof item === 'string'))
  }
  return names
}

/** The targets in the order of the file, those with `- order: n` by that number (the others have 0). */
function sortedTargets(targets: Mapping): { target: string; list: unknown[] }[] {
  const orderOf = (list: readonly unknown[]): number => Number(list.filter(isMapping).find(item => item.order !== undefined)?.order ?? 0)
  return Object.entries(targets)
    .map(([target, given]) => ({ target, list: Array.isArray(given) ? given : [given] }))
    .sort((a, b) => orderOf(a.list) - orderOf(b.list))
}

function isMeant(
  ctx: ModuleContext,
  { matchTarget, parseTarget }: Targeting,
  { target, kind, errors }: { target: string; kind: string; errors: string[] }
): boolean {
  try {
    const nodegroups = isMapping(ctx.options.settings.nodegroups) ? (ctx.options.settings.nodegroups as Record<string, string>) : {}
    const facts = { id: ctx.id, grains: ctx.grains, pillar: ctx.pillar, cached: true }
    return matchTarget(parseTarget(target, kind, { nodegroups }), [facts]).minions.length > 0
  } catch (error) {
    errors.push(`The target '${target}' of the top file is not valid: ${messageOf(error)}`)
    return false
  }
}
