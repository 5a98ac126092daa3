/** The top files of the pillar: which SLS files a minion has, by environment. */
import { matchTarget, parseTarget } from '../targeting/index.js'
import type { Subject } from './functions.js'
import { isMapping } from './merge.js'

export interface TopEntry {
  readonly sls: string
  /** `ignore_missing: True` beside it in the top file: that there is no such file is no error. */
  readonly optional: boolean
}

/** Environment → SLS files, in the order in which they are merged. */
export type Matches = Map<string, TopEntry[]>

interface Line {
  readonly target: string
  readonly match: string
  readonly order: number
  readonly entries: readonly TopEntry[]
}

/** Reads the top files' contents (`environment → parsed top.sls`) and keeps what is meant for the minion. `only`: its pillarenv, or null for all. */
export function topMatches(tops: readonly unknown[], subject: Subject, only: string | null, errors: string[]): Matches {
  const matches: Matches = new Map()
  for (const [saltenv, lines] of mergedTops(tops, errors)) {
    if (only !== null && saltenv !== only) continue
    const found = lines.filter(line => isMeant(line, subject, errors)).flatMap(line => line.entries)
    for (const entry of found) {
      const there = matches.get(saltenv) ?? []
      if (!there.some(({ sls }) => sls === entry.sls)) there.push(entry)
      matches.set(saltenv, there)
    }
  }
  return matches
}

/** Targets by environment; a later top file's target of the same text takes the earlier one's place; `order: N` sorts. */
function mergedTops(tops: readonly unknown[], errors: string[]): Map<string, Line[]> {
  const merged = new Map<string, Map<string, Line>>()
  for (const top of tops) {
    if (top === null || top === undefined) continue
    if (!isMapping(top)) {
      errors.push('The pillar top file is not a dictionary')
      continue
    }
    for (const [saltenv, targets] of Object.entries(top)) {
      if (saltenv === 'include') continue
      if (!isMapping(targets)) errors.push(`The environment '${saltenv}' of the pillar top file is not a dictionary`)
      else for (const [target, body] of Object.entries(targets)) note(merged, saltenv, lineOf(target, body))
    }
  }
  const sorted = [...merged].map(([saltenv, lines]) => [saltenv, [...lines.values()].sort((a, b) => a.order - b.order)] as const)
  return new Map(sorted)
}

function note(merged: Map<string, Map<string, Line>>, saltenv: string, line: Line): void {
  const lines = merged.get(saltenv) ?? new Map<string, Line>()
  lines.set(line.target, line)
  merged.set(saltenv, lines)
}

function lineOf(target: string, body: unknown): Line {
  const items = Array.isArray(body) ? body : [body]
  const options = Object.assign({}, ...items.filter(isMapping)) as Record<string, unknown>
  const optional = options.ignore_missing === true
  const order = Number(options.order)
  return {
    target,
    match: typeof options.match === 'string' ? options.match : 'compound',
    order: Number.isFinite(order) ? order : 0,
    entries: items.filter(item => typeof item === 'string').map(sls => ({ sls: sls as string, optional }))
  }
}

function isMeant({ target, match }: Line, { id, grains, pillar, nodegroups }: Subject, errors: string[]): boolean {
  try {
    return matchTarget(parseTarget(target, match, { nodegroups }), [{ id, grains, pillar, cached: true }]).minions.length > 0
  } catch (error) {
    errors.push(`The target '${target}' of the pillar top file is not valid: ${error instanceof Error ? error.message : error}`)
    return false
  }
}
