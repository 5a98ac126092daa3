/**
 * Execution functions on the server itself (`salt.cmd`, `state.orchestrate_show_sls`), as Salt's runners have them: the minion's own program
 * parts, with the files of this server's `file_roots` and the id `<host>_master`. No minion need be connected. Functions that may run long or
 * block have a process of their own, as on a minion.
 */
import { join } from 'node:path'
import type { Executor } from '../minion/executor.js'
import type { MasterClient } from '../minion/master.js'
import { masterId, shownConfig } from './config.js'
import type { CallContext } from './function.js'

/** What came of a function. */
export interface Executed {
  readonly return: unknown
  readonly success: boolean
}

/** Made at the first call, because most servers never need it; one per server, ended with it. */
const executors = new WeakMap<AbortSignal, Promise<Executor>>()
/** Calls under way by jid: what their functions fire comes from whoever called, and has the cause of the call, which is what ends loops of reactions. */
const calls = new Map<string, Pick<CallContext, 'source' | 'cause'>>()
/** Each holds a process of some 50 MB; calls beyond wait in line. */
const PROCESSES = 2

/** Runs an execution function here. Errors of the function are texts in the result. */
export async function executeHere(
  context: CallContext,
  fun: string,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>> = {}
): Promise<Executed> {
  const executor = await executorFor(context)
  const arg = Object.keys(kwargs).length === 0 ? args : [...args, { ...kwargs, __kwarg__: true }]
  const { jid, user } = context
  // The jid is the runner's; one call may run several functions, one after the other.
  calls.set(jid, context)
  const outcome = await executor
    .execute({ jid, fun, arg, tgt: masterId(), tgtType: 'glob', user, ret: '' })
    .finally(() => calls.delete(jid))
  if (outcome === null) return { return: 'the function was ended', success: false }
  return { return: outcome.return, success: outcome.success === true }
}

function executorFor(context: CallContext): Promise<Executor> {
  const known = executors.get(context.signal)
  if (known) return known
  const made = makeExecutor(context)
  executors.set(context.signal, made)
  made.then(
    executor => {
      if (context.signal.aborted) void executor.stop({ now: true })
      else context.signal.addEventListener('abort', () => void executor.stop({ now: true }), { once: true })
    },
    () => executors.delete(context.signal)
  )
  return made
}

async function makeExecutor({ config, events }: CallContext): Promise<Executor> {
  // Late, because a server that never runs a function here need not load the minion's parts.
  const [{ Executor }, { minionOptions }, { collectGrains }] = await Promise.all([
    import('../minion/executor.js'),
    import('../minion/options.js'),
    import('../minion/grains/index.js')
  ])
  const dir = join(config.data_dir, 'master-minion')
  const options = minionOptions({
    id: masterId(),
    cachedir: join(dir, 'cache'),
    conf_dir: dir,
    file_client: 'local',
    file_roots: config.file_roots,
    process_count_max: PROCESSES,
    settings: shownConfig(config)
  })
  const master: MasterClient = {
    fetchFile: async () => null,
    listFiles: async () => [],
    listEnvironments: async () => Object.keys(config.file_roots),
    sendEvent: async (tag, data, options) => {
      const { source, cause } = calls.get(options?.jid ?? '') ?? { source: 'server', cause: null }
      await events.fire(tag, typeof data === 'object' && data !== null ? { ...data } : { data }, { source, cause })
    },
    fireLocal: async () => {}
  }
  const silent = { debug() {}, info() {}, warn() {}, error() {} }
  return new Executor({ options, grains: await collectGrains(options), master, log: silent })
}
