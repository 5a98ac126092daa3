import { meantMinions } from '../jobs/target.js'
import { param, type ServerFunction, serverFunction } from './function.js'

const grains = serverFunction({
  name: 'cache.grains',
  doc: 'Show the grains that the minions sent last, without asking them: {minion: grains}.',
  params: { tgt: param.anyOr('*'), tgt_type: param.textOr('glob') },
  run({ config, keys }, { tgt, tgt_type }) {
    const { minions } = meantMinions(tgt, tgt_type, { keys, nodegroups: config.nodegroups })
    const known = new Map([...keys.facts()].map(facts => [facts.id, facts.grains]))
    return Object.fromEntries(minions.filter(id => known.has(id)).map(id => [id, known.get(id)]))
  }
})

/** The runner's functions for what the server remembers of its minions. */
export const cacheRunners: readonly ServerFunction[] = [grains]
