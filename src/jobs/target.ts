import type { Keys } from '../keys/keys.js'
import type { Pillars } from '../pillar/pillars.js'
import { type Facts, matchTarget, parseTarget } from '../targeting/index.js'
import { expandNodegroup, type Nodegroups } from '../targeting/nodegroups.js'

export interface Meant {
  /** Ids of accepted minions, sorted; those of a list in the list's order, as Salt has them. */
  readonly minions: readonly string[]
  /** Ids that a list names and that have no accepted key. */
  readonly missing: readonly string[]
}

export interface TargetContext {
  readonly keys: Pick<Keys, 'accepted' | 'grainsOf'>
  /** Where compiled pillars are; without it no target by pillar means anybody. */
  readonly pillars?: Pick<Pillars, 'cached'> | undefined
  readonly nodegroups: Nodegroups
  /** Between the levels of a grain or pillar path; `:` unless given. */
  readonly delimiter?: string | undefined
}

/**
 * The accepted minions that a target means now: whom a job is sent to, and what a caller's permission is compared with, so that both are the
 * same. Minions whose grains are not known are left out where the target asks for grains: Salt keeps them and lets them decide themselves, but
 * here a job runs wherever it is sent.
 * @throws TARGET_SYNTAX, TARGET_TYPE
 */
export function meantMinions(tgt: unknown, tgtType: string, { keys, pillars, nodegroups, delimiter }: TargetContext): Meant {
  const target = parseTarget(tgt, tgtType, { nodegroups, ...(delimiter === undefined ? {} : { delimiter }) })
  const { minions, missing, uncertain } = matchTarget(target, factsOf(keys, pillars))
  const unknown = new Set(uncertain)
  const certain = unknown.size === 0 ? minions : minions.filter(id => !unknown.has(id))
  if (target.kind !== 'list') return { minions: certain, missing }
  const meant = new Set(certain)
  return { minions: [...new Set(target.ids)].filter(id => meant.has(id)), missing }
}

function* factsOf(keys: TargetContext['keys'], pillars: TargetContext['pillars']): Iterable<Facts> {
  for (const id of keys.accepted()) {
    const grains = keys.grainsOf(id)
    yield { id, grains: grains ?? {}, pillar: pillars?.cached(id) ?? {}, cached: grains !== undefined }
  }
}

/** How a target is shown in events and job records: a nodegroup as the compound target that it stands for, as in Salt. */
export function shownTarget(tgt: unknown, tgtType: string, nodegroups: Nodegroups): { tgt: unknown; tgtType: string } {
  if (tgtType !== 'nodegroup') return { tgt, tgtType }
  return { tgt: expandNodegroup(String(tgt), nodegroups).join(' '), tgtType: 'compound' }
}
