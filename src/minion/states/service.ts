import { setTimeout as sleep } from 'node:timers/promises'
import { callFunction } from '../invoke.js'
import { CommandExecutionError } from '../modules/errors.js'
import { runsSystemd } from '../modules/service.js'
import { flag, isMapping, type Mapping, number, text } from '../modules/values.js'
import { type StateContext, type StateModule, type StateResult, stateFn } from './state.js'

const COMMON = 'name, enable=None, sig=None, init_delay=None, **kwargs'

/** Salt's `service` states. */
export const service: StateModule = {
  name: 'service',
  functions: [
    stateFn(
      `running(${COMMON})`,
      `A service that runs. enable: True and it starts at boot too, False and it does not. sig: text in the command line of its process.
init_delay: seconds to wait once it was started. systemd only: no_block, unmask, unmask_runtime, wait. watch restarts it (reload: True reloads).`,
      guarded(running)
    ),
    stateFn(`dead(${COMMON})`, 'A service that does not run. Parameters as service.running.', guarded(dead)),
    stateFn('enabled(name, **kwargs)', 'A service that starts at boot.', guarded(enabled)),
    stateFn(
      'disabled(name, **kwargs)',
      'A service that does not start at boot.',
      guarded((ctx, a) => switched(ctx, a, false, null))
    ),
    stateFn(
      'masked(name, runtime=False)',
      'A service that nothing can start. systemd only.',
      guarded((ctx, a) => maskState(ctx, a, true))
    ),
    stateFn(
      'unmasked(name, runtime=False)',
      'A service that is not masked. systemd only.',
      guarded((ctx, a) => maskState(ctx, a, false))
    )
  ],
  watch: stateFn(
    'mod_watch(name, sfun=None, sig=None, reload=False, full_restart=False, init_delay=None, force=False, **kwargs)',
    'Restarts the service; reload: True reloads it. A dead one is stopped.',
    guarded(watch)
  )
}

function answer(a: Mapping, result: boolean | null, comment: string, changes: Mapping = {}): StateResult {
  return { name: text(a.name, 'name'), changes, result, comment }
}

/** What a tool said when it failed is the comment, as in Salt. */
function guarded(run: (ctx: StateContext, a: Mapping) => Promise<StateResult>): (ctx: StateContext, a: Mapping) => Promise<StateResult> {
  return async (ctx, a) => {
    if (isMapping(a.kwargs) && 'enabled' in a.kwargs)
      return answer(a, false, `Service ${a.name} uses non-existent option "enabled".  Perhaps "enable" option was intended?`)
    try {
      return await run(ctx, a)
    } catch (error) {
      if (error instanceof CommandExecutionError) return answer(a, false, error.message)
      throw error
    }
  }
}

const SYSTEMD_ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  status: ['wait'],
  start: ['no_block', 'unmask', 'unmask_runtime'],
  restart: ['no_block', 'unmask', 'unmask_runtime'],
  reload: ['no_block', 'unmask', 'unmask_runtime'],
  force_reload: ['no_block', 'unmask', 'unmask_runtime'],
  enable: ['no_block', 'unmask', 'unmask_runtime'],
  stop: ['no_block'],
  disable: ['no_block']
}

/** A function of the `service` module, with those of the state's further arguments that are for it. */
async function call(ctx: StateContext, fun: string, a: Mapping): Promise<unknown> {
  const given = isMapping(a.kwargs) ? a.kwargs : {}
  const taken = (SYSTEMD_ARGUMENTS[fun] ?? []).filter(key => Object.hasOwn(given, key) && runsSystemd(ctx))
  const sig = fun === 'status' ? { sig: a.sig ?? null } : {}
  return callFunction(ctx, `service.${fun}`, [a.name], { ...Object.fromEntries(taken.map(key => [key, given[key]])), ...sig })
}

async function asks(ctx: StateContext, fun: string, a: Mapping): Promise<boolean> {
  return flag(await call(ctx, fun, a))
}

async function pause(ctx: StateContext, seconds: unknown): Promise<void> {
  if (seconds) await sleep(number(seconds, 'init_delay') * 1000, undefined, { signal: ctx.signal })
}

/** `enable` of a state: True, False, or null when nothing is said. */
function wish(enable: unknown): boolean | null {
  return enable === null || enable === undefined ? null : flag(enable)
}

interface Switch {
  readonly did: string
  readonly verb: string
  readonly bare: string
}

const SWITCHES: Readonly<Record<'true' | 'false', Switch>> = {
  true: { did: 'enabled', verb: 'enable', bare: 'to start at boot' },
  false: { did: 'disabled', verb: 'disable', bare: 'to not start at boot' }
}

/** Has a service start at boot or not. `runs`: what it does now, for the comment; null: that was not asked. */
async function switched(ctx: StateContext, a: Mapping, on: boolean, runs: boolean | null, result = true): Promise<StateResult> {
  const { name } = a
  const { did, verb, bare } = SWITCHES[`${on}`]
  const how = runs === null ? 'is in the desired state' : runs ? 'is running' : 'is dead'
  // What is not there does not start at boot either.
  if (!(await asks(ctx, 'available', a))) return answer(a, !on, `The named service ${name} is not available`)
  if ((await asks(ctx, 'enabled', a)) === on) return answer(a, result, `Service ${name} is already ${did}, and ${how}`)
  if (ctx.test) return answer(a, null, `Service ${name} set to be ${did}`, { [String(name)]: true })
  const problem = await tried(() => asks(ctx, verb, a))
  if (problem === null && (await asks(ctx, 'enabled', a)) === on)
    return answer(a, result, `Service ${name} has been ${did}, and ${how}`, { [String(name)]: true })
  const left =
    runs === null
      ? 'but the service was already running'
      : runs
        ? `${on ? 'but the service' : 'and'} is running`
        : 'and the service is dead'
  return answer(
    a,
    false,
    `Failed when setting service ${name} ${bare}, ${left}${problem ? `. Additional information follows:\n\n${problem}` : ''}`
  )
}

/** null: it was done. */
async function tried(act: () => Promise<boolean>): Promise<string | null> {
  try {
    return (await act()) ? null : ''
  } catch (error) {
    if (error instanceof CommandExecutionError) return error.message
    throw error
  }
}

async function enabled(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const result = await switched(ctx, a, true, null)
  if (!ctx.test || result.comment !== `The named service ${a.name} is not available`) return result
  return answer(a, null, `Service ${a.name} not present; if created in this state run, it would have been enabled`)
}

/** What `enable` says on top of a service that needs no start or stop. */
async function onlySwitch(ctx: StateContext, a: Mapping, comment: string): Promise<StateResult> {
  const on = wish(a.enable)
  if (on === null || (await asks(ctx, 'enabled', a)) === on) return answer(a, true, comment)
  return switched(ctx, a, on, null)
}

async function running(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const { name } = a
  if (!(await asks(ctx, 'available', a))) {
    if (!ctx.test) return answer(a, false, `The named service ${name} is not available`)
    return answer(a, null, `Service ${name} not present; if created in this state run, it would have been started`)
  }
  const before = await asks(ctx, 'status', a)
  const unmasked = await unmaskFirst(ctx, a)
  const said = (comment: string): string => [comment, unmasked.comment].filter(line => line !== '').join('\n')
  if (before) {
    const result = await onlySwitch(ctx, a, said(`The service ${name} is already running`))
    return { ...result, changes: { ...unmasked.changes, ...result.changes } }
  }
  if (ctx.test) return answer(a, null, said(`Service ${name} is set to start`), { [String(name)]: true, ...unmasked.changes })
  const started = await asks(ctx, 'start', a)
  if (started) await pause(ctx, a.init_delay)
  const after = started && (await asks(ctx, 'status', a))
  const changes = after ? { [String(name)]: true } : {}
  const result = await thenSwitch(
    ctx,
    a,
    after,
    after,
    answer(a, after, after ? `Started service ${name}` : `Service ${name} failed to start`, changes)
  )
  const delayed = after && a.init_delay ? `${result.comment}\nDelayed return for ${a.init_delay} seconds` : result.comment
  return { ...result, comment: said(delayed), changes: { ...unmasked.changes, ...result.changes } }
}

async function unmaskFirst(ctx: StateContext, a: Mapping): Promise<{ comment: string; changes: Mapping }> {
  const given = isMapping(a.kwargs) ? a.kwargs : {}
  if (!flag(given.unmask ?? false) || !runsSystemd(ctx)) return { comment: '', changes: {} }
  return maskState(ctx, { name: a.name, runtime: given.unmask_runtime ?? false }, false)
}

/** `enable` after a start or stop: its comment says both, and its failure is the state's. */
async function thenSwitch(ctx: StateContext, a: Mapping, runs: boolean, fine: boolean, result: StateResult): Promise<StateResult> {
  const on = wish(a.enable)
  if (on === null) return result
  const then = await switched(ctx, a, on, runs, fine)
  return { ...then, changes: { ...result.changes, ...then.changes } }
}

async function dead(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const { name } = a
  if (!(await asks(ctx, 'available', a))) {
    if (!ctx.test) return answer(a, true, `The named service ${name} is not available`)
    return answer(a, null, `Service ${name} not present; if created in this state run, it would have been stopped`)
  }
  if (!(await asks(ctx, 'status', a))) return onlySwitch(ctx, a, `The service ${name} is already dead`)
  if (ctx.test) return answer(a, null, `Service ${name} is set to be killed`, { [String(name)]: false })
  const stopped = await asks(ctx, 'stop', a)
  if (stopped) await pause(ctx, a.init_delay)
  const after = !stopped || (await asks(ctx, 'status', a))
  const changes = after ? {} : { [String(name)]: false }
  return thenSwitch(
    ctx,
    a,
    after,
    !after,
    answer(a, !after, after ? `Service ${name} failed to die` : `Service ${name} was killed`, changes)
  )
}

async function maskState(ctx: StateContext, a: Mapping, wanted: boolean): Promise<StateResult> {
  const { name } = a
  const runtime = flag(a.runtime)
  if (!runsSystemd(ctx)) return answer(a, false, 'Service masking not available on this minion')
  const kind = runtime ? 'runtime masked' : 'masked'
  const did = wanted ? kind : runtime ? 'runtime unmasked' : 'unmasked'
  const now = async (): Promise<boolean> => flag(await callFunction(ctx, 'service.masked', [name], { runtime }))
  if ((await now()) === wanted) return answer(a, true, `Service ${name} ${wanted ? 'is' : 'was'} already ${did}`)
  const changes = { [kind]: { old: !wanted, new: wanted } }
  if (ctx.test) return answer(a, null, `Service ${name} would be ${did}`, changes)
  await callFunction(ctx, `service.${wanted ? 'mask' : 'unmask'}`, [name], { runtime })
  if ((await now()) === wanted) return answer(a, true, `Service ${name} was ${did}`, changes)
  return answer(a, false, `Failed to ${wanted ? 'mask' : 'unmask'} service ${name}`)
}

/** The function that reacts, and what it is called when it is done. */
async function reaction(ctx: StateContext, a: Mapping): Promise<{ fun: string; verb: string } | null> {
  const runs = await asks(ctx, 'status', a)
  if (a.sfun === 'dead') return runs ? { fun: 'stop', verb: 'stop' } : null
  if (!runs) return { fun: 'start', verb: 'start' }
  if (!flag(a.reload)) return { fun: 'restart', verb: 'restart' }
  return flag(a.force) ? { fun: 'force_reload', verb: 'forcefully reload' } : { fun: 'reload', verb: 'reload' }
}

async function watch(ctx: StateContext, a: Mapping): Promise<StateResult> {
  if (a.sfun !== 'dead' && a.sfun !== 'running') return answer(a, false, `Unable to trigger watch for service.${a.sfun}`)
  const act = await reaction(ctx, a)
  if (!act) return answer(a, true, 'Service is already stopped')
  const did = act.verb === 'stop' ? 'stopped' : `${act.verb}ed`
  if (ctx.test) return answer(a, null, `Service is set to be ${did}`, { [String(a.name)]: true })
  // One that is half dead is made wholly so before it starts.
  if (act.fun === 'start') await asks(ctx, 'stop', a)
  const done = await asks(ctx, act.fun, a)
  await pause(ctx, a.init_delay)
  return answer(a, done, done ? `Service ${did}` : `Failed to ${act.verb} the service`, { [String(a.name)]: done })
}
