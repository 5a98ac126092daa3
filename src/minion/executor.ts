/**
 * Runs jobs. Bounded functions run here, all others in a process of their own, so that a function that hangs, crashes or eats memory costs its
 * own job and nothing else. State runs go one at a time.
 */
import { type Clock, SystemClock } from '../shared/clock.js'
import type { Agent, EventSender, FileClient, MinionLog, ModuleContext, ProcessTracker } from './context.js'
import type { Guest } from './control.js'
import { openFileClient } from './files.js'
import { collectGrains } from './grains/index.js'
import { invoke } from './invoke.js'
import type { Services } from './ipc.js'
import type { Job, Outcome, RunningJob } from './job.js'
import type { MasterClient, PillarAsk } from './master.js'
import { unmarked } from './modules/call.js'
import { customFiles } from './modules/custom-sync.js'
import { CommandExecutionError, messageOf } from './modules/errors.js'
import { loadModules } from './modules/index.js'
import type { ModuleTable } from './modules/table.js'
import type { Mapping } from './modules/values.js'
import type { MinionOptions } from './options.js'
import { localPillar } from './pillar.js'
import { signalGroup } from './process.js'
import { StateTurns } from './turns.js'
import { diedText, type RunningWorker, WorkerPool } from './workers.js'

export interface ExecutorOptions {
  readonly options: MinionOptions
  readonly grains: Mapping
  readonly master: MasterClient
  readonly log: MinionLog
  /** Functions instead of the minion's own ones (tests). Isolated functions always come from the minion's own. */
  readonly modules?: ModuleTable
  readonly clock?: Clock
  /** Called when a job had the grains collected anew. */
  readonly onGrains?: (grains: Mapping) => void
  /** Who keeps the schedule. */
  readonly schedule?: BookPort
  /** Who keeps the beacons. */
  readonly beacons?: BookPort
}

/** The schedule or the beacons, as functions reach them. */
export interface BookPort {
  manage(func: string, args: Mapping, pillar: Mapping | null): Promise<Mapping>
}

/** What is known of a job while it runs. */
interface Running {
  readonly job: Job
  /** The job's own process; without one the agent's process runs it. */
  worker: RunningWorker | null
  readonly abort: AbortController
  readonly groups: Set<number>
  /** Set when somebody asked to end the job: it returns nothing then, as in Salt. */
  killed: boolean
  /** Resolves a killed job that has no process to wait for. */
  readonly leave: () => void
}

/** A bounded function that has not ended after so long waits for something that does not come (a server that stays away). */
const INLINE_LIMIT_MS = 120_000
/** Signals that end a process that does not expect them. */
const ENDING_SIGNALS = new Set([1, 2, 3, 6, 9, 15])

export class Executor {
  #options: MinionOptions
  readonly #master: MasterClient
  #files: FileClient
  readonly #log: MinionLog
  readonly #clock: Clock
  readonly #modules: ModuleTable
  readonly #onGrains: (grains: Mapping) => void
  readonly #pool: WorkerPool
  readonly #turns = new StateTurns()
  readonly #running = new Map<string, Running>()
  readonly #ends = new Set<Promise<Outcome | null>>()
  readonly #schedule: BookPort | null
  readonly #beacons: BookPort | null
  #grains: Mapping
  #pillar: Mapping
  #pillarLoaded: Promise<Mapping> | null = null

  constructor({ options, grains, master, log, modules, clock, onGrains, schedule, beacons }: ExecutorOptions) {
    this.#options = options
    this.#grains = grains
    this.#pillar = { ...options.pillar }
    this.#master = master
    this.#files = openFileClient(options, master)
    this.#log = log
    this.#modules = modules ?? loadModules()
    this.#clock = clock ?? new SystemClock()
    this.#onGrains = onGrains ?? (() => {})
    this.#schedule = schedule ?? null
    this.#beacons = beacons ?? null
    this.#pool = new WorkerPool({ limit: options.process_count_max, memoryMib: options.job_memory_mib }, log)
  }

  /** The grains that jobs see. */
  get grains(): Mapping {
    return this.#grains
  }

  /** Jobs that run now. */
  running(): RunningJob[] {
    return [...this.#running.values()].map(runningJob)
  }

  /**
   * Runs a job and answers with its outcome; never throws. null: the job was ended by `saltutil.kill_job` or a like call, and returns nothing.
   * A job whose jid runs already is refused.
   */
  execute(job: Job, onProcess?: (pid: number) => void): Promise<Outcome | null> {
    const end = this.#execute(job, onProcess)
    this.#ends.add(end)
    return end.finally(() => this.#ends.delete(end))
  }

  /**
   * Other options, for the jobs that come: those that run keep theirs. Grains are collected anew, and the pillar is asked for again when the next job
   * needs it.
   */
  async configure(options: MinionOptions): Promise<void> {
    this.#options = options
    this.#files = openFileClient(options, this.#master)
    this.#pool.configure({ limit: options.process_count_max, memoryMib: options.job_memory_mib })
    this.#pillarLoaded = null
    await this.#refreshGrains()
  }

  /** The pillar that jobs see, asked for when it is not there yet. */
  pillar(): Promise<Mapping> {
    return this.#currentPillar()
  }

  /** A job of another process on this machine (`brine call`): it is seen by `saltutil.running`, has its turn among state runs, and may be signalled. */
  welcome(job: Job, pid: number): Guest {
    const signal = (name: number | NodeJS.Signals): void => {
      try {
        process.kill(pid, name)
      } catch {
        // It has ended.
      }
    }
    const running: Running = { job, worker: { pid, signal }, abort: new AbortController(), groups: new Set(), killed: false, leave() {} }
    const fresh = !this.#running.has(job.jid)
    if (fresh) this.#running.set(job.jid, running)
    const { agent, events } = this.#services(running)
    const leave = (): void => {
      if (!fresh) return
      this.#running.delete(job.jid)
      this.#turns.leave(job.jid)
    }
    return { services: { agent, events }, leave }
  }

  async #execute(job: Job, onProcess?: (pid: number) => void): Promise<Outcome | null> {
    if (this.#running.has(job.jid)) return failed(job, `job ${job.jid} runs already`)
    let leave = (): void => {}
    const left = new Promise<null>(resolve => {
      leave = () => resolve(null)
    })
    const running: Running = { job, worker: null, abort: new AbortController(), groups: new Set(), killed: false, leave }
    this.#running.set(job.jid, running)
    try {
      const outcome = await Promise.race([
        (await this.#isolated(job)) ? this.#runIsolated(running, onProcess) : this.#runInline(running),
        left
      ])
      return running.killed ? null : outcome
    } catch (error) {
      this.#log.error({ jid: job.jid, error: messageOf(error) }, 'a job failed outside of its function')
      return failed(job, `The minion function caused an exception: ${messageOf(error)}`)
    } finally {
      this.#running.delete(job.jid)
      this.#turns.leave(job.jid)
    }
  }

  /** `now`: jobs are killed. Else it waits for the jobs that run; the caller has stopped bringing new ones. */
  async stop({ now = false }: { now?: boolean } = {}): Promise<void> {
    if (!now) await Promise.all(this.#ends)
    for (const running of this.#running.values()) this.#end(running, 9)
    await this.#pool.stop()
  }

  /** Functions that may take long, and everything that the site's own modules have a part in. */
  async #isolated({ fun }: Job): Promise<boolean> {
    const names = [fun].flat() as string[]
    if (names.some(name => this.#modules.get(name)?.isolated)) return true
    if (names.every(name => this.#modules.get(name) && !name.startsWith('sys.'))) return false
    return (await customFiles(this.#options, 'modules')).length > 0
  }

  async #runInline(running: Running): Promise<Outcome> {
    const { job, abort, groups } = running
    const processes: ProcessTracker = { started: group => groups.add(group), ended: group => groups.delete(group) }
    const ctx: ModuleContext = {
      ...{ id: this.#options.id, job, options: this.#options, grains: this.#grains, pillar: await this.#currentPillar(), processes },
      ...{ modules: this.#modules, signal: abort.signal, clock: this.#clock, log: this.#log, outcome: { retcode: 0 } },
      ...this.#services(running)
    }
    const limit = timeLimit(INLINE_LIMIT_MS)
    try {
      const end = await Promise.race([invoke(ctx, job), limit.passed])
      if (end !== 'late') return end
      abort.abort()
      return failed(job, `${pretty(job.fun)} has not ended within ${INLINE_LIMIT_MS / 1000} seconds`)
    } finally {
      limit.cancel()
    }
  }

  async #runIsolated(running: Running, onProcess?: (pid: number) => void): Promise<Outcome> {
    const { job } = running
    const message = { type: 'run', job, options: this.#options, grains: this.#grains, pillar: await this.#currentPillar() } as const
    const seconds = this.#options.job_time_limit_seconds
    let late = false
    let timer: NodeJS.Timeout | undefined
    const end = await this.#pool.run(message, this.#services(running), worker => {
      running.worker = worker
      onProcess?.(worker.pid)
      if (running.killed) worker.signal('SIGKILL') // it was asked to end while it waited for its process
      if (seconds > 0) {
        timer = setTimeout(() => {
          late = true
          worker.signal('SIGKILL')
        }, seconds * 1000)
      }
    })
    clearTimeout(timer)
    if (end.kind === 'outcome') return end.outcome
    if (late) return failed(job, `${pretty(job.fun)} was killed: it ran longer than ${seconds} seconds (job_time_limit_seconds)`)
    return failed(job, end.kind === 'refused' ? `${pretty(job.fun)} was not run: ${end.why}` : diedText(job, end.how))
  }

  #services(running: Running): Services {
    return { files: this.#files, events: this.#eventsOf(running.job), agent: this.#agentFor(running) }
  }

  /** Events of a job carry its jid, so that the server knows what caused them. */
  #eventsOf({ jid }: Job): EventSender {
    return {
      sendEvent: (tag, data, options) => this.#master.sendEvent(tag, data, { ...options, jid }),
      fireLocal: (tag, data) => this.#master.fireLocal(tag, data)
    }
  }

  #agentFor(asking: Running): Agent {
    const { jid } = asking.job
    return {
      running: async () => this.running().filter(job => job.jid !== jid),
      signal: async (target, signal) => this.#signal(target, signal),
      enterState: async options => {
        const inTheWay = await this.#turns.enter(jid, options)
        return inTheWay.flatMap(other => this.#running.get(other) ?? []).map(runningJob)
      },
      refreshGrains: () => this.#refreshGrains(),
      refreshPillar: () => this.#refreshPillar({ refresh: true }),
      compilePillar: ask => this.#compilePillar(ask),
      schedule: async (func, args) => {
        if (!this.#schedule) throw new CommandExecutionError('this minion has no scheduler')
        return this.#schedule.manage(func, args, this.#pillarLoaded ? this.#pillar : null)
      },
      beacons: async (func, args) => {
        if (!this.#beacons) throw new CommandExecutionError('this minion has no beacons')
        return this.#beacons.manage(func, args, this.#pillarLoaded ? this.#pillar : null)
      },
      mine: async ask => {
        if (!this.#master.mine) throw new CommandExecutionError('the mine needs a server')
        return this.#master.mine(ask)
      }
    }
  }

  #signal(jid: string, signal: number): string {
    const running = this.#running.get(jid)
    if (!running) return ''
    const { pid } = runningJob(running)
    if (ENDING_SIGNALS.has(signal)) this.#end(running, signal)
    else running.worker?.signal(signal)
    return `Signal ${signal} sent to job ${jid} at pid ${pid}`
  }

  #end(running: Running, signal: number): void {
    running.killed = true
    if (running.worker) running.worker.signal(signal)
    else {
      running.abort.abort()
      for (const group of running.groups) signalGroup(group, signal)
      running.leave()
    }
  }

  async #refreshGrains(): Promise<Mapping> {
    this.#grains = await collectGrains(this.#options)
    this.#onGrains(this.#grains)
    this.#pillarLoaded = null
    return this.#grains
  }

  /** Asked once, when the first job needs it; then by `saltutil.refresh_pillar`, and when grains are new. */
  #currentPillar(): Promise<Mapping> {
    this.#pillarLoaded ??= this.#refreshPillar().catch(error => {
      this.#log.warn({ error: messageOf(error) }, 'the pillar could not be fetched')
      this.#pillarLoaded = null
      return this.#pillar
    })
    return this.#pillarLoaded
  }

  async #compilePillar(ask: PillarAsk): Promise<Mapping> {
    const { file_client, saltenv, pillarenv, pillar } = this.#options
    if (file_client === 'local') return localPillar(this.#options, this.#grains, ask)
    return { ...pillar, ...(await this.#master.pillar?.({ saltenv, pillarenv, ...ask })) }
  }

  async #refreshPillar(ask: PillarAsk = {}): Promise<Mapping> {
    this.#pillar = await this.#compilePillar(ask)
    this.#pillarLoaded = Promise.resolve(this.#pillar)
    return this.#pillar
  }
}

function runningJob({ job, worker }: Running): RunningJob {
  return {
    pid: worker?.pid ?? process.pid,
    fun: job.fun,
    arg: unmarked(job.arg),
    tgt: job.tgt ?? '*',
    jid: job.jid,
    ret: job.ret ?? '',
    tgt_type: job.tgtType ?? 'glob',
    user: job.user ?? 'root'
  }
}

function failed(job: Job, text: string): Outcome {
  return { fun: job.fun, fun_args: unmarked(job.arg), return: text, retcode: 1, success: false, out: 'nested' }
}

function pretty(fun: Job['fun']): string {
  return typeof fun === 'string' ? fun : fun.join(', ')
}

function timeLimit(ms: number): { passed: Promise<'late'>; cancel(): void } {
  let timer: NodeJS.Timeout | undefined
  const passed = new Promise<'late'>(resolve => {
    timer = setTimeout(() => resolve('late'), ms)
  })
  return { passed, cancel: () => clearTimeout(timer) }
}
