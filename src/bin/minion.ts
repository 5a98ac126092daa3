import { unwatchFile, watchFile } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../config/schema.js'
import { BeaconBook } from '../minion/beacons/book.js'
import { beaconsFileOf } from '../minion/beacons/file.js'
import { MinionBus } from '../minion/bus.js'
import { writeDurably } from '../minion/disk.js'
import { Executor } from '../minion/executor.js'
import { collectGrains } from '../minion/grains/index.js'
import { isMasterless, mastersOf } from '../minion/masters.js'
import { Minion } from '../minion/minion.js'
import { MinionReactor } from '../minion/reactions.js'
import { ScheduleBook } from '../minion/schedule/book.js'
import type { Entry } from '../minion/schedule/entry.js'
import { scheduleFileOf } from '../minion/schedule/file.js'
import { credentialsOf, minionDir, minionId, optionsOf, remembered } from '../minion/settings.js'
import { notifySystemd } from '../minion/systemd.js'
import { createLog } from '../shared/log.js'
import { sleep } from '../shared/sleep.js'

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
export async function runMinion(
  config: Config,
  { log = createLog({ level: config.log_level }), reload = null }: { log?: Logger; reload?: Reload | null } = {}
): Promise<RunningMinion> {
  const dir = minionDir(config)
  const options = optionsOf(config)
  const { id } = options
  const masters = isMasterless(config) ? null : mastersOf(config, { id })
  const masterless = masters === null
  await noteLastRun(dir, { minion_id: id, minion_master: masters?.servers.map(({ url }) => url).join(',') ?? '' })
  const grains = await collectGrains(options)
  const bus = new MinionBus(log)
  const book = await new ScheduleBook({
    ...{ config: options.schedule, file: scheduleFileOf(options), own: ownJobs(config, masterless) },
    fire: (tag, data) => bus.fire(tag, data)
  }).load(log)
  const beacons = await new BeaconBook({
    ...{ config: options.beacons, file: beaconsFileOf(options) },
    fire: (tag, data) => bus.fire(tag, data)
  }).load(log)
  let executor: Executor | null = null
  const minion: Minion = new Minion({
    id,
    masters,
    credentials: credentialsOf(config, grains),
    dir,
    bus,
    schedule: book,
    beacons,
    startup: startupStates(config),
    startGrains: config.start_event_grains,
    legacyStart: config.enable_legacy_startup_events,
    spoolBytes: config.minion_spool_bytes,
    acceptanceWaitMs: config.acceptance_wait_time * 1000,
    reconnectMs: { first: config.recon_default, max: config.recon_max },
    runner: async (master, onGrains) => {
      executor = new Executor({ options, grains, master, log, onGrains, schedule: book, beacons })
      return executor
    },
    log
  })
  if (config.random_startup_delay > 0 && !masterless) await sleep(Math.random() * config.random_startup_delay * 1000)
  const reactor = new MinionReactor({
    ...{ rules: config.reactor, fileRoots: config.file_roots, log, run: (fun, arg) => minion.runLocal(fun, arg) },
    context: () => ({ grains: executor?.grains ?? {}, opts: { ...options.settings, ...options }, saltenv: 'base' })
  })
  // Before the minion: its first event says that it has started.
  await reactor.start(bus)
  await minion.start()
  const undo = [
    notifySystemd(),
    watchMemory(config.minion_memory_mib, log),
    reload === null ? () => {} : watchConfig(reload, next => applyConfig(next, { config, executor, book, beacons, log }), log)
  ]
  const ended = untilToldToStop(minion).finally(async () => {
    for (const end of undo) end()
    await reactor.stop()
  })
  return { minion, ended }
}

/** How the configuration is read anew, and the files that it came from. */
export interface Reload {
  readonly files: readonly string[]
  /** Throws CONFIG_INVALID. */
  read(): Config
}

/** Files are looked at so often; an editor writes one in several steps. */
const LOOK_MS = 5000
const MEMORY_LOOK_MS = 15_000
/** What only another start can change. */
const AT_START = ['id', 'master', 'minion_dir', 'data_dir', 'minion_spool_bytes', 'reactor', 'minion_memory_mib'] as const

/** On SIGHUP, and when a file of the configuration was changed. A configuration with mistakes is told of, and the old one stays. */
function watchConfig({ files, read }: Reload, apply: (config: Config) => Promise<void>, log: Logger): () => void {
  let last = Promise.resolve()
  const again = () => {
    last = last.then(async () => {
      try {
        await apply(read())
        log.info('the configuration was read anew')
      } catch (error) {
        log.error({ error: (error as Error).message }, 'the configuration has mistakes; the one before stays')
      }
    })
  }
  const changed = (now: { mtimeMs: number }, before: { mtimeMs: number }) => {
    if (now.mtimeMs !== before.mtimeMs) again()
  }
  process.on('SIGHUP', again)
  for (const file of files) watchFile(file, { interval: LOOK_MS, persistent: false }, changed)
  return () => {
    process.off('SIGHUP', again)
    for (const file of files) unwatchFile(file, changed)
  }
}

interface Running {
  config: Config
  readonly executor: Executor | null
  readonly book: ScheduleBook
  readonly beacons: BeaconBook
  readonly log: Logger
}

/** Jobs that run keep what they have; jobs of the schedule that stayed the same keep their times. */
async function applyConfig(next: Config, running: Running): Promise<void> {
  const { config, executor, book, beacons, log } = running
  const late = AT_START.filter(name => JSON.stringify(next[name]) !== JSON.stringify(config[name]))
  if (late.length > 0) log.warn({ settings: late }, 'these settings count from the next start on')
  await executor?.configure({ ...optionsOf(next), id: minionId(config) })
  if (JSON.stringify(next.schedule) !== JSON.stringify(config.schedule)) book.setConfig(config.schedule, next.schedule)
  if (JSON.stringify(next.beacons) !== JSON.stringify(config.beacons)) beacons.setConfig(config.beacons, next.beacons)
  log.level = next.log_level
  running.config = next
}

/** An agent that takes ever more memory ends in good order, for its service manager (or server) to start it anew. */
function watchMemory(limitMib: number, log: Logger): () => void {
  if (limitMib <= 0) return () => {}
  const timer = setInterval(() => {
    const mib = Math.round(process.memoryUsage.rss() / 1024 / 1024)
    if (mib <= limitMib) return
    log.error({ mib, limitMib }, 'the minion takes too much memory (minion_memory_mib) and ends, to be started again')
    process.exitCode = 1
    process.kill(process.pid, 'SIGTERM')
  }, MEMORY_LOOK_MS)
  timer.unref()
  return () => clearInterval(timer)
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
