import { isBrineError } from '../../src/errors.js'
import { type Facts, matchTarget, parseTarget } from '../../src/targeting/index.js'
import type { Check, Content } from './play.js'

interface Vector {
  tgt: unknown
  tgt_type: string
  delimiter?: string
  master: string[]
  missing?: string[]
  minion?: string[]
  same?: boolean
}

type Fleet = Record<string, { grains: Record<string, unknown>; pillar: Record<string, unknown>; cached_on_master: boolean }>

/**
 * targeting.json: a fleet, nodegroups, and for each target what the master (`master`, `missing`) and the minions (`minion`) decide. brine's
 * server decides, so master and missing are compared; minion too, as what the same target means once all data is known, except
 * where Salt's two sides are at odds (`same: false`).
 */
export function targetingChecks(content: Content): Check[] {
  const fleet = Object.entries(content.fleet as Fleet).map(([id, { grains, pillar, cached_on_master }]) => ({
    id,
    grains,
    pillar,
    cached: cached_on_master
  }))
  const known = fleet.map(facts => ({ ...facts, cached: true }))
  return (content.vectors as Vector[]).map(vector => {
    const decide = (facts: readonly Facts[]) => matched(vector, facts, content.nodegroups)
    const minion = vector.same && vector.minion ? { minion: vector.minion } : {}
    return {
      name: `${vector.tgt_type} ${JSON.stringify(vector.tgt)}${vector.delimiter === undefined ? '' : ` delimiter ${vector.delimiter}`}`,
      expected: { master: vector.master, missing: vector.missing ?? [], ...minion },
      got: () => {
        const { minions: master, missing } = decide(fleet)
        return { master, missing, ...(vector.same && vector.minion ? { minion: decide(known).minions } : {}) }
      },
      differs: got => (eachOnce(got, vector) ? 'a minion named twice is meant once' : null)
    }
  })
}

function matched(vector: Vector, facts: readonly Facts[], nodegroups: Record<string, unknown>): { minions: string[]; missing: string[] } {
  const delimiter = vector.delimiter === undefined ? {} : { delimiter: vector.delimiter }
  try {
    return matchTarget(parseTarget(vector.tgt, vector.tgt_type, { nodegroups, ...delimiter }), facts)
  } catch (error) {
    // What Salt answers with an empty list is an error that says why.
    if (isBrineError(error, 'TARGET_SYNTAX') || isBrineError(error, 'TARGET_TYPE')) return { minions: [], missing: [] }
    throw error
  }
}

function eachOnce(got: unknown, vector: Vector): boolean {
  return JSON.stringify((got as { master?: unknown }).master) === JSON.stringify([...new Set(vector.master)])
}
