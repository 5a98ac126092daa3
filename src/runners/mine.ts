import { meantMinions } from '../jobs/target.js'
import { askMinions } from './ask.js'
import { param, type ServerFunction, serverFunction } from './function.js'

const get = serverFunction({
  name: 'mine.get',
  doc: "Show what these minions have put into the mine under a function's name: {minion: value}.\n\nCLI Example:\n\n    brine run mine.get '*' network.interfaces",
  params: { tgt: param.any(), fun: param.texts(), tgt_type: param.textOr('glob') },
  async run({ config, keys, pillars, mine }, { tgt, fun, tgt_type }) {
    const { minions } = meantMinions(tgt, tgt_type, { keys, pillars, nodegroups: config.nodegroups })
    const found = fun.map(name => [name, {} as Record<string, unknown>] as const)
    for (const id of minions) {
      const values = (await mine?.all(id)) ?? {}
      for (const [name, byMinion] of found) if (Object.hasOwn(values, name)) byMinion[id] = values[name]
    }
    // one function: its values alone; several: by function, as in Salt
    return found.length === 1 ? found[0]![1] : Object.fromEntries(found)
  }
})

const update = serverFunction({
  name: 'mine.update',
  doc: 'Have these minions fill their mine now; returns what each said.',
  params: { tgt: param.any(), tgt_type: param.textOr('glob'), clear: param.flagOr(false), mine_functions: param.anyOr(null) },
  async run(context, { tgt, tgt_type, clear, mine_functions }) {
    const kwargs = { __kwarg__: true, clear, ...(mine_functions === null ? {} : { mine_functions }) }
    return Object.fromEntries(await askMinions(context, { fun: 'mine.update', arg: [kwargs], tgt, tgtType: tgt_type }))
  }
})

/** The runner's functions for the mine. */
export const mineRunners: readonly ServerFunction[] = [get, update]
