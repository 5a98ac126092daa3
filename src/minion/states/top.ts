/** The top file: which SLS files a minion's highstate has. */
import { readFile } from 'node:fs/promises'
import { parseYaml } from '../../shared/yaml.js'
import type { ModuleContext } from '../context.js'
import { messageOf } from '../modules/errors.js'
import { isMapping, type Mapping } from '../modules/values.js'
import { renderSls } from './high.js'

export interface Top {
  /** Environment → names of SLS files. */
  readonly matches: Readonly<Record<string, readonly string[]>>
  readonly errors: readonly string[]
}

/** Reads `top.sls` of one environment, or of all, and keeps what is meant for this minion. */
export async function topMatches(ctx: ModuleContext, saltenv: string | null): Promise<Top> {
  // Loaded when it is needed: the agent itself, which stays in memory, reads no top file.
  const targeting = await import('../../targeting/index.js')
  const matches: Record<string, string[]> = {}
  const errors: string[] = []
  for (const env of saltenv === null ? await ctx.files.listEnvironments() : [saltenv]) {
    const found = await readTop(ctx, env, errors)
    for (const [name, targets] of Object.entries(found ?? {})) {
      // A top file speaks for its own environment; base's also for those that have none.
      if (name !== env && env !== 'base') continue
      if (saltenv !== null && name !== saltenv) continue
      for (const sls of namesFor(ctx, targeting, { saltenv: name, targets, errors })) {
        matches[name] ??= []
        if (!matches[name].includes(sls)) matches[name].push(sls)
      }
    }
  }
  return { matches, errors }
}

type Targeting = typeof import('../../targeting/index.js')

async function readTop(ctx: ModuleContext, saltenv: string, errors: string[]): Promise<Mapping | null> {
  const file = await ctx.files.cacheFile('top.sls', saltenv)
  if (!file) return null
  try {
    const source = await renderSls(ctx, await readFile(file.path, 'utf8'), { sls: 'top', saltenv, path: 'top.sls' })
    const top = parseYaml(source)
    if (top === null) return null
    if (isMapping(top)) return top
    errors.push(`The top file of saltenv '${saltenv}' is not a dictionary`)
  } catch (error) {
    errors.push(`Unable to render top file: ${messageOf(error)}`)
  }
  return null
}

/** SLS names of the targets that mean this minion, in the order of the file. `- match: grain` in a list changes how its target is read. */
function namesFor(
  ctx: ModuleContext,
  targeting: Targeting,
  { saltenv, targets, errors }: { saltenv: string; targets: unknown; errors: string[] }
): string[] {
  if (!isMapping(targets)) {
    errors.push(`The environment '${saltenv}' of the top file is not a dictionary`)
    return []
  }
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
