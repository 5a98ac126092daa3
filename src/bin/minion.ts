import type { Logger } from 'pino'
import type { Config } from '../config/schema.js'
import { serverUrls } from '../minion/address.js'
import { Executor } from '../minion/executor.js'
import { collectGrains } from '../minion/grains/index.js'
import { Minion } from '../minion/minion.js'
import { minionDir, optionsOf } from '../minion/settings.js'
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
  const minion = new Minion({
    id,
    urls: serverUrls(config.master),
    dir,
    spoolBytes: config.minion_spool_bytes,
    acceptanceWaitMs: config.acceptance_wait_time * 1000,
    reconnectMs: { first: config.recon_default, max: config.recon_max },
    runner: async (master, onGrains) => new Executor({ options, grains: await collectGrains(options), master, log, onGrains }),
    log
  })
  await minion.start()
  return { minion, ended: untilToldToStop(minion) }
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
