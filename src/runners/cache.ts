import { matchTarget, parseTarget } from '../targeting/index.js'
import { param, type ServerFunction, serverFunction } from './function.js'

const grains = serverFunction({
  name: 'cache.grains',
  doc: 'Show the grains that the minions sent last, without asking them: {minion: grains}.',
  params: { tgt: param.anyOr('*'), tgt_type: param.textOr('glob') },
  run({ config, keys }, { tgt, tgt_type }) {
    const accepted = new Set(keys.accepted())
    const facts = [...keys.facts()].filter(known => accepted.has(known.id)).map(known => ({ ...known, cached: true }))
    const { minions } = matchTarget(parseTarget(tgt, tgt_type, { nodegroups: config.nodegroups }), facts)
    const byId = new Map(facts.map(known => [known.id, known.grains]))
    return Object.fromEntries(minions.map(id => [id, byId.get(id)]))
  }
})

/** The runner's functions for what the server remembers of its minions. */
export const cacheRunners: readonly ServerFunction[] = [grains]
