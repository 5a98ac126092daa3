import { meantMinions } from '../jobs/target.js'
import { ArgumentError, type CallContext, param, type ServerFunction, serverFunction } from './function.js'

const show = serverFunction({
  name: 'pillar.show_pillar',
  doc: `Compile and show the pillar of a minion, from the grains that it sent last. Keyword arguments beside these are taken as grains.

CLI Example:

    brine run pillar.show_pillar web1`,
  params: { minion: param.textOr('*'), saltenv: param.textOr(null), pillarenv: param.textOr(null), pillar: param.anyOr(null) },
  takesKwargs: true,
  redact: () => '(pillar removed)',
  async run(context, { minion, saltenv, pillarenv, pillar }, { kwargs }) {
    if (pillar !== null && (typeof pillar !== 'object' || Array.isArray(pillar)))
      throw new ArgumentError('value', "argument 'pillar': expected a mapping")
    const known = context.keys.grainsOf(minion)
    // who asks for no particular minion gets what is meant for every one
    const grains = { id: minion, ...known, ...kwargs }
    const override = pillar === null ? {} : { override: pillar as Record<string, unknown> }
    const isPlain = Object.keys(kwargs).length === 0
    if (!context.pillars) return override.override ?? {}
    const ask = { ...override, saltenv, pillarenv, ...(isPlain && known ? {} : { grains }) }
    return (await context.pillars.of(minion, ask)).pillar
  }
})

const showTop = serverFunction({
  name: 'pillar.show_top',
  doc: 'Show which pillar files the top file has for a minion: {environment: [files]}.',
  params: { minion: param.textOr(null), saltenv: param.textOr('base') },
  async run(context, { minion }) {
    const id = minion ?? '*'
    return (await context.pillars?.of(id, { topOnly: true }))?.pillar ?? {}
  }
})

const clear = serverFunction({
  name: 'pillar.clear_pillar_cache',
  doc: 'Forget the compiled pillars of the minions that match (a glob; by default all): they are compiled anew when they are needed.',
  params: { minion: param.anyOr('*') },
  takesKwargs: true,
  run(context, { minion }) {
    const ids = matchingMinions(context, minion)
    for (const id of ids) context.pillars?.forget(id)
    return Object.fromEntries(ids.map(id => [id, {}]))
  }
})

const showCache = serverFunction({
  name: 'pillar.show_pillar_cache',
  doc: 'Show the pillars that were compiled last, of the minions that match (a glob): {minion: pillar}.',
  params: { minion: param.anyOr('*') },
  takesKwargs: true,
  redact: () => '(pillar removed)',
  run: (context, { minion }) => Object.fromEntries(matchingMinions(context, minion).map(id => [id, context.pillars?.cached(id) ?? {}]))
})

function matchingMinions(context: CallContext, minion: unknown): readonly string[] {
  return meantMinions(minion, 'glob', { keys: context.keys, nodegroups: context.config.nodegroups }).minions
}

/** The runner's functions for pillar. */
export const pillarRunners: readonly ServerFunction[] = [show, showTop, clear, showCache]
