/** What a function or state gets to work with. In a job's own process the services are proxies of the agent's (worker.ts). */
import type { Clock } from '../shared/clock.js'
import type { Job, RunningJob } from './job.js'
import type { MasterClient, MineAsk, PillarAsk, RootsShape } from './master.js'
import type { ModuleTable } from './modules/table.js'
import type { Mapping } from './modules/values.js'
import type { MinionOptions } from './options.js'

/** A file of the server's (or, masterless, of this machine's) file_roots as a file on this machine. */
export interface CachedFile {
  /** Absolute path. Not to be changed. */
  readonly path: string
  /** SHA-256, hex. */
  readonly hash: string
}

export interface FileClient {
  /** The file under `path` (relative to the roots), fetched if the cached copy is not the right one any more. null: there is none. */
  cacheFile(path: string, saltenv: string): Promise<CachedFile | null>
  listFiles(saltenv: string): Promise<string[]>
  /** What there is beside files: directories, empty ones too, and symbolic links. */
  listTree(saltenv: string): Promise<RootsShape>
  listEnvironments(): Promise<string[]>
}

export interface EventSender extends Pick<MasterClient, 'sendEvent' | 'fireLocal'> {
  /** There is no server: events for it go nowhere, and `event.send` says so (False), as Salt does masterless. */
  readonly offline?: boolean
}

/** What functions ask of the agent that runs them. Each job has its own, so that the agent knows who asks. */
export interface Agent {
  /** Jobs that run now, without the one that asks. */
  running(): Promise<RunningJob[]>
  /** Sends a signal to a running job's processes; Salt's text, or '' when the job does not run here. */
  signal(jid: string, signal: number): Promise<string>
  /**
   * Asks to be the one state run of this minion, until the job ends. An empty list: go ahead. Else the runs that are in the way; with `queue`
   * it waits for them instead, first come first served.
   */
  enterState(options: { queue: boolean; concurrent: boolean }): Promise<RunningJob[]>
  /** Collects the grains anew; they count from the next job on. */
  refreshGrains(): Promise<Mapping>
  /** Asks the server for the pillar again; it counts from the next job on. */
  refreshPillar(): Promise<Mapping>
  /** Compiles the pillar for one asker: with other values, or of one environment. What jobs see stays as it is. */
  compilePillar(ask: PillarAsk): Promise<Mapping>
  /** What the schedule module asks of the scheduler; answers with the fields of Salt's event on the minion's bus. */
  schedule(func: string, args: Mapping): Promise<Mapping>
  /** The same of the beacons module and the beacons. */
  beacons(func: string, args: Mapping): Promise<Mapping>
  /** Sends to the mine, or reads it. */
  mine(ask: MineAsk): Promise<unknown>
}

/** Process groups that a job has started, so that they end with it. */
export interface ProcessTracker {
  started(group: number): void
  ended(group: number): void
}

export interface MinionLog {
  debug(fields: object, text: string): void
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

export interface ModuleContext {
  readonly id: string
  readonly job: Job
  readonly options: MinionOptions
  readonly grains: Mapping
  readonly pillar: Mapping
  readonly modules: ModuleTable
  readonly files: FileClient
  readonly events: EventSender
  readonly agent: Agent
  readonly processes: ProcessTracker
  /** Aborted when the job is to end. */
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly log: MinionLog
  /** What a function says beside its return value. `__context__['retcode']` in Salt. */
  readonly outcome: { retcode: number }
}
