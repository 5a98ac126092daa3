import { askMinions } from './ask.js'
import { param, type ServerFunction, serverFunction } from './function.js'

const get = serverFunction({
  name: 'mine.get',
  doc: "Show what these minions have put into the mine under a function's name: {minion: value}.\n\nCLI Example:\n\n    brine run mine.get '*' network.interfaces",
  params: { tgt: param.any(), fun: param.texts(), tgt_type: param.textOr('glob') },
  // One function: its values alone; several: by function, as in Salt. The server may see what `allow_tgt` keeps from minions.
  run: ({ mine }, { tgt, fun, tgt_type }) => mine?.get(tgt, tgt_type, fun.length === 1 ? fun[0]! : fun, null) ?? {}
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
