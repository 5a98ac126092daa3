import { brineError } from '../errors.js'
import { parseArguments } from '../shared/arguments.js'
import { askMinions } from './ask.js'
import { masterId } from './config.js'
import { param, type ServerFunction, serverFunction } from './function.js'
import { executeHere } from './master-minion.js'

const cmd = serverFunction({
  name: 'salt.cmd',
  doc: `Run an execution function on the server itself, without a minion.

CLI Example:

    brine run salt.cmd test.ping`,
  params: { fun: param.text() },
  takesArgs: true,
  takesKwargs: true,
  async run(context, { fun }, { args, kwargs }) {
    const { with_pillar: _, ...rest } = kwargs
    return (await executeHere(context, fun, args, rest)).return
  }
})

const execute = serverFunction({
  name: 'salt.execute',
  doc: `Run an execution function on minions and return what came back: {minion: value}.

CLI Example:

    brine run salt.execute 'web*' cmd.run uptime`,
  params: {
    tgt: param.any(),
    fun: param.text(),
    arg: param.anyOr([]),
    timeout: param.numberOr(null),
    tgt_type: param.textOr('glob'),
    ret: param.textOr(''),
    jid: param.anyOr(''),
    kwarg: param.anyOr(null)
  },
  takesKwargs: true,
  async run(context, { tgt, fun, arg, timeout, tgt_type, kwarg }) {
    const given = parseArguments(Array.isArray(arg) ? arg : [arg])
    const kwargs = { ...given.kwargs, ...(kwarg as Record<string, unknown> | null) }
    // the function is the caller's choice, so the caller must be permitted to run it
    const action = { kind: 'local', fun, args: given.args, kwargs, tgt, tgtType: tgt_type } as const
    if (!context.caller.may(action)) throw brineError('AUTHORIZATION')
    const packed = Object.keys(kwargs).length === 0 ? given.args : [...given.args, { ...kwargs, __kwarg__: true }]
    return Object.fromEntries(await askMinions(context, { fun, arg: packed, tgt, tgtType: tgt_type, timeoutSeconds: timeout }))
  }
})

const showSls = serverFunction({
  name: 'state.orchestrate_show_sls',
  doc: `Show the states of SLS files as they would be orchestrated: {master's id: high data}. The files come from file_roots; names may be
globs, and several are separated by commas.

CLI Example:

    brine run state.orchestrate_show_sls my-orch-formula.my-orch-state`,
  params: {
    mods: param.any(),
    saltenv: param.textOr('base'),
    test: param.anyOr(null),
    queue: param.anyOr(false),
    pillar: param.anyOr(null),
    pillarenv: param.anyOr(null),
    pillar_enc: param.anyOr(null)
  },
  async run(context, { mods, saltenv, pillar }) {
    const kwargs = { saltenv, ...(pillar === null ? {} : { pillar }) }
    return { [masterId()]: (await executeHere(context, 'state.show_sls', [mods], kwargs)).return }
  }
})

const showSlsShort = serverFunction({
  ...showSls,
  name: 'state.orch_show_sls',
  run: (context, args, rest) => showSls.run(context, args, rest)
})

/** The runner's functions that call execution functions. */
export const saltRunners: readonly ServerFunction[] = [cmd, execute, showSls, showSlsShort]
