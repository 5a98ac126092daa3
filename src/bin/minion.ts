import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../config/schema.js'
import { serverUrls } from '../minion/address.js'
import { MinionBus } from '../minion/bus.js'
import { writeDurably } from '../minion/disk.js'
import { Executor } from '../minion/executor.js'
import { collectGrains } from '../minion/grains/index.js'
import { Minion } from '../minion/minion.js'
import { ScheduleBook } from '../minion/schedule/book.js'
import type { Entry } from '../minion/schedule/entry.js'
import { scheduleFileOf } from '../minion/schedule/file.js'
import { minionDir, optionsOf, remembered } from '../minion/settings.js'
import { createLog } from '../shared/log.js'

/** What running jobs get when the agent is asked to stop; then they are killed. Service managers wait longer than that. */
const GRACE_MS = 10_000
/** The server that has started this agent is ending too, and people wait for it. */
const EMBEDDED_GRACE_MS = 700

export interface RunningMinion {
  readonly minion: Minion
  /** Resolves when the agent has ended. */
  readonly ended: Promise<void>
}

/**
 * Starts a minion as the configuration describes it (`id`, `master`, `minion_dir`, …), which then runs until SIGTERM or SIGINT: it ends its jobs
 * first, a second signal kills them. Started by a server (with an IPC channel to it), it ends when that does, however that ends.
 * Throws DIRECTORY_LOCKED, CONFIG_INVALID.
 */
export async function runMinion(config: Config, log: Logger = createLog({ level: config.log_level })): Promise<RunningMinion> {
  const dir = minionDir(config)
  const options = optionsOf(config)
  const { id } = options
  const masterless = config.master === '' || config.master === 'disable'
  const urls = masterless ? [] : serverUrls(config.master)
  await noteLastRun(dir, { minion_id: id, minion_master: urls.join(',') })
  const bus = new MinionBus(log)
  const book = await new ScheduleBook({
    ...{ config: options.schedule, file: scheduleFileOf(options), own: ownJobs(config, masterless) },
    fire: (tag, data) => bus.fire(tag, data)
  }).load(log)
  const minion = new Minion({
    id,
    urls,
    dir,
    bus,
    schedule: book,
    startup: startupStates(config),
    startGrains: config.start_event_grains,
    spoolBytes: config.minion_spool_bytes,
    acceptanceWaitMs: config.acceptance_wait_time * 1000,
    reconnectMs: { first: config.recon_default, max: config.recon_max },
    runner: async (master, onGrains) =>
      new Executor({ options, grains: await collectGrains(options), master, log, onGrains, schedule: book }),
    log
  })
  await minion.start()
  return { minion, ended: untilToldToStop(minion) }
}

/** Where `brine call` finds the id and the server that this minion has, however they were given. */
async function noteLastRun(dir: string, notes: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(notes))
    if (remembered(dir, name) !== (text || null)) await writeDurably(join(dir, name), `${text}\n`)
}

/** What a minion does from time to time by itself, as Salt's scheduler has it. */
function ownJobs(config: Config, masterless: boolean): Record<string, Entry> {
  const common = { jid_include: true, maxrunning: 1, return_job: false }
  return {
    ...(config.mine_enabled && !masterless
      ? { __mine_interval: { function: 'mine.update', minutes: config.mine_interval, run_on_start: true, ...common } }
      : {}),
    ...(config.grains_refresh_every > 0
      ? { __update_grains: { function: 'saltutil.refresh_grains', minutes: config.grains_refresh_every, ...common } }
      : {})
  }
}

/** Salt's startup_states. */
function startupStates({ startup_states, sls_list }: Config): { fun: string; arg: unknown[] } | null {
  if (startup_states === '') return null
  return startup_states === 'sls' ? { fun: 'state.sls', arg: [[...sls_list]] } : { fun: 'state.highstate', arg: [] }
}

function untilToldToStop(minion: Minion): Promise<void> {
  return new Promise((resolve, reject) => {
    let asked = 0
    const stop = () => {
      const patience = process.connected ? EMBEDDED_GRACE_MS : GRACE_MS
      const graceMs = asked++ === 0 ? patience : 0
      minion
        .stop({ graceMs })
        .then(() => {
          for (const signal of ['SIGTERM', 'SIGINT'] as const) process.off(signal, stop)
          process.off('disconnect', stop)
          // The channel to the server would keep the process.
          if (process.connected) process.disconnect()
        })
        .then(resolve, reject)
    }
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop)
    process.on('disconnect', stop)
    // The server may have died while this agent was starting.
    if (process.send !== undefined && !process.connected) stop()
  })
}
