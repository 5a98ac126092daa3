import type { PillarAsk } from './master.js'
import type { Mapping } from './modules/values.js'
import type { MinionOptions } from './options.js'

/** The pillar of a masterless minion: pillar_roots of this machine, over what the configuration has. */
export async function localPillar(options: MinionOptions, grains: Mapping, ask: PillarAsk = {}): Promise<Mapping> {
  // Loaded when it is needed: a minion with a server never compiles pillar.
  const { compilePillar } = await import('../pillar/compile.js')
  const { pillar } = await compilePillar({
    ...{ roots: options.pillar_roots, mergeStrategy: options.pillar_source_merging_strategy, mergeLists: options.pillar_merge_lists },
    ...{ id: options.id, grains, saltenv: ask.saltenv ?? options.saltenv, pillarenv: ask.pillarenv ?? options.pillarenv },
    // Whoever reads the error can read the file too.
    safeErrors: false,
    ...(ask.override === undefined ? {} : { override: ask.override })
  })
  return { ...options.pillar, ...pillar }
}
