/**
 * One function in this process, as `brine call` runs it (Salt's salt-call): with the minion's identity against its server, or masterless with
 * nothing but this machine. An agent that runs in the same directory is asked for what only it knows (its jobs, its schedule, its bus).
 */
import { SystemClock } from '../shared/clock.js'
import { beaconsFile } from './beacons/file.js'
import { MinionBus } from './bus.js'
import type { Agent, EventSender, MinionLog, ModuleContext } from './context.js'
import { ControlClient } from './control.js'
import { DirectLink } from './direct.js'
import { openFileClient } from './files.js'
import { collectGrains } from './grains/index.js'
import { Identity } from './identity.js'
import { invoke } from './invoke.js'
import { MinionJids } from './jids.js'
import type { Job, Outcome } from './job.js'
import type { MasterClient, PillarAsk } from './master.js'
import type { Credentials, Masters } from './masters.js'
import { allModules } from './modules/custom.js'
import { CommandExecutionError } from './modules/errors.js'
import type { Mapping } from './modules/values.js'
import type { MinionOptions } from './options.js'
import { localPillar } from './pillar.js'
import { signalGroup } from './process.js'
import { scheduleFile } from './schedule/file.js'
import { ServerClient } from './server.js'

export interface OneShot {
  readonly options: MinionOptions
  /** The minion's directory: key, cache, and where its agent listens. */
  readonly dir: string
  readonly fun: string
  /** As typed: what the return's event shows. */
  readonly raw: readonly string[]
  readonly arg: readonly unknown[]
  /** Null: masterless. */
  readonly masters: Masters | null
  readonly credentials?: Credentials
  readonly log: MinionLog
  /** Aborted when the call is to end; what it started ends with it. */
  readonly signal: AbortSignal
}

export interface OneShotResult {
  readonly jid: string
  readonly outcome: Outcome
}

/** Runs it. Throws Unreachable, Refused or NotAccepted when there is no talking to the server; what the function does is in the outcome. */
export async function callOnce(call: OneShot): Promise<OneShotResult> {
  const clock = new SystemClock()
  const jid = new MinionJids(clock).next()
  const job: Job = {
    ...{ jid, fun: call.fun, arg: call.arg, tgt: call.options.id, tgtType: 'glob', user: user(), ret: '' },
    published: { fun: call.fun, pid: process.pid, jid, tgt: 'salt-call' }
  }
  const link = call.masters === null ? null : await openLink(call, call.masters)
  const control = await ControlClient.connect(call.dir, job)
  const groups = new Set<number>()
  const killAll = (): void => {
    for (const group of groups) signalGroup(group, 'SIGTERM')
  }
  call.signal.addEventListener('abort', killAll)
  try {
    const grains = await collectGrains(call.options)
    if (link) await link.putGrains(grains)
    const master = link ? serverClient(link, call) : localMaster(call)
    const pillar = await pillarOf(call, master, grains)
    const ctx: ModuleContext = {
      ...{ id: call.options.id, job, options: call.options, grains, pillar, clock, log: call.log, outcome: { retcode: 0 } },
      ...{ modules: await allModules(call.options, { grains, pillar }), files: openFileClient(call.options, master) },
      events: eventsOf(master, control, link === null, jid),
      agent: agentOf(control, soloAgent(call, master, grains)),
      processes: { started: group => groups.add(group), ended: group => groups.delete(group) },
      signal: call.signal
    }
    const outcome = await invoke(ctx, job)
    if (link) await link.add({ kind: 'return', return: returnOf(jid, outcome, call) })
    return { jid, outcome }
  } finally {
    call.signal.removeEventListener('abort', killAll)
    control?.close()
    link?.close()
  }
}

/** Fields as salt-call sends them (golden/events/saltcall_job.jsonl): no user, no success, arguments as typed. */
function returnOf(jid: string, outcome: Outcome, { raw, options }: OneShot): Record<string, unknown> {
  const { return: value, retcode, fun, out } = outcome
  return {
    jid,
    return: value,
    retcode,
    fun,
    fun_args: raw,
    arg: raw,
    tgt_type: 'glob',
    tgt: options.id,
    ...(out === undefined ? {} : { out })
  }
}

async function openLink(call: OneShot, masters: Masters): Promise<DirectLink> {
  const identity = await Identity.open(call.dir)
  const { options, credentials = {} } = call
  const link = new DirectLink({ servers: masters.servers, id: options.id, identity, credentials })
  try {
    await link.open()
    return link
  } catch (error) {
    link.close()
    throw error
  }
}

function serverClient(link: DirectLink, { log, signal }: OneShot): ServerClient {
  return new ServerClient({ connection: link, spool: link as never, bus: new MinionBus(log), signal })
}

/** No server: no files but the machine's own, and events go nowhere. */
function localMaster({ log }: OneShot): MasterClient {
  return {
    fetchFile: async () => null,
    listFiles: async () => [],
    listEnvironments: async () => [],
    sendEvent: async tag => log.debug({ tag }, 'masterless: the event is not sent'),
    fireLocal: async () => {}
  }
}

async function pillarOf({ options }: OneShot, master: MasterClient, grains: Mapping, ask: PillarAsk = {}): Promise<Mapping> {
  if (options.file_client === 'local') return localPillar(options, grains, ask)
  const { saltenv, pillarenv } = options
  return { ...options.pillar, ...(await master.pillar?.({ saltenv, pillarenv, ...ask })) }
}

function eventsOf(master: MasterClient, control: ControlClient | null, offline: boolean, jid: string): EventSender {
  return {
    ...(offline ? { offline } : {}),
    // With a preload, be it empty: salt-call's events have no pretag (golden/events/event_send_basic.jsonl).
    sendEvent: (tag, data, options) => master.sendEvent(tag, data, { preload: {}, ...options, jid }),
    fireLocal: (tag, data) => control?.services.events.fireLocal(tag, data) ?? master.fireLocal(tag, data)
  }
}

/** The agent that runs is asked about itself; files, pillar and mine are this call's own, masterless or with the server that it names. */
function agentOf(control: ControlClient | null, solo: Agent): Agent {
  return control ? { ...control.services.agent, compilePillar: solo.compilePillar, mine: solo.mine } : solo
}

/** What an agent would answer if one ran here. */
function soloAgent(call: OneShot, master: MasterClient, grains: Mapping): Agent {
  const { options } = call
  return {
    running: async () => [],
    signal: async () => '',
    enterState: async () => [],
    refreshGrains: () => collectGrains(options),
    refreshPillar: () => pillarOf(call, master, grains, { refresh: true }),
    compilePillar: ask => pillarOf(call, master, grains, ask),
    schedule: (func, args) => scheduleFile(options).manage(func, args),
    beacons: (func, args) => beaconsFile(options).manage(func, args),
    mine: async ask => {
      if (!master.mine) throw new CommandExecutionError('the mine needs a server')
      return master.mine(ask)
    }
  }
}

function user(): string {
  return process.env.SUDO_USER ? `sudo_${process.env.SUDO_USER}` : (process.env.USER ?? 'root')
}
