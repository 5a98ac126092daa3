import { meantMinions } from '../jobs/target.js'
import { type CallContext, param, type ServerFunction, serverFunction } from './function.js'

const target = { tgt: param.anyOr('*'), tgt_type: param.textOr('glob') }

function meant({ config, keys, pillars }: CallContext, tgt: unknown, tgtType: string): readonly string[] {
  return meantMinions(tgt, tgtType, { keys, pillars, nodegroups: config.nodegroups }).minions
}

const grains = serverFunction({
  name: 'cache.grains',
  doc: "Show the grains that the minions sent last, without asking them: {minion: grains}.\n\nCLI Example:\n\n    brine run cache.grains tgt='web*'",
  params: target,
  run(context, { tgt, tgt_type }) {
    const known = meant(context, tgt, tgt_type).map(id => [id, context.keys.grainsOf(id)] as const)
    return Object.fromEntries(known.filter(([, facts]) => facts !== undefined))
  }
})

const pillar = serverFunction({
  name: 'cache.pillar',
  doc: 'Show the pillars that were compiled last, without asking the minions: {minion: pillar}. One that was not compiled yet is now.',
  params: target,
  redact: () => '(pillar removed)',
  async run(context, { tgt, tgt_type }) {
    const { pillars } = context
    const ids = meant(context, tgt, tgt_type)
    const found = ids.map(async id => [id, pillars?.cached(id) ?? (await pillars?.of(id))?.pillar ?? {}] as const)
    return Object.fromEntries(await Promise.all(found))
  }
})

const mine = serverFunction({
  name: 'cache.mine',
  doc: 'Show what the minions have put into the mine: {minion: {function: value}}.',
  params: target,
  async run(context, { tgt, tgt_type }) {
    const entries = meant(context, tgt, tgt_type).map(async id => [id, (await context.mine?.all(id)) ?? {}] as const)
    return Object.fromEntries(await Promise.all(entries))
  }
})

const clearPillar = serverFunction({
  name: 'cache.clear_pillar',
  doc: 'Forget the compiled pillars of these minions; they are compiled anew when they are needed.',
  params: { tgt: param.anyOr(null), tgt_type: param.textOr('glob') },
  run(context, { tgt, tgt_type }) {
    for (const id of meant(context, tgt ?? '*', tgt_type)) context.pillars?.forget(id)
    return true
  }
})

const clearMine = serverFunction({
  name: 'cache.clear_mine',
  doc: 'Empty the mine of these minions.',
  params: { tgt: param.anyOr(null), tgt_type: param.textOr('glob') },
  async run(context, { tgt, tgt_type }) {
    for (const id of meant(context, tgt ?? '*', tgt_type)) await context.mine?.clear(id)
    return true
  }
})

const clearMineFunc = serverFunction({
  name: 'cache.clear_mine_func',
  doc: 'Take one function out of the mine of these minions.',
  params: { tgt: param.anyOr(null), tgt_type: param.textOr('glob'), clear_mine_func_flag: param.text() },
  async run(context, { tgt, tgt_type, clear_mine_func_flag }) {
    for (const id of meant(context, tgt ?? '*', tgt_type)) await context.mine?.clear(id, clear_mine_func_flag)
    return true
  }
})

/** The runner's functions for what the server remembers of its minions. */
export const cacheRunners: readonly ServerFunction[] = [grains, pillar, mine, clearPillar, clearMine, clearMineFunc]
