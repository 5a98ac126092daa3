/**
 * Processes for jobs that may run long, block or use much memory, so that none of them can take the agent down. At most `limit` at a time, the
 * next jobs wait in order; one process is kept for a while after its job, because starting one costs more than a small job.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { MinionLog } from './context.js'
import type { CallMessage, FromWorker, GroupMessage, RunMessage, ServiceName, Services, ToWorker } from './ipc.js'
import { SERVICE_METHODS } from './ipc.js'
import type { Job, Outcome } from './job.js'
import { messageOf } from './modules/errors.js'
import { signalGroup } from './process.js'

/** Waiting jobs beyond this are refused: the agent's memory stays bounded, and nobody waits that long anyway. */
const MAX_WAITING = 1000
/** An idle process costs about 45 MB; a minute later no burst of jobs needs it any more. */
const IDLE_MS = 60_000
/** A process is replaced after so many jobs, so that nothing that leaks in it lasts. */
const JOBS_PER_PROCESS = 200

/** How a job in a process ended: with its outcome, or without one because the process ended first. */
export type WorkerEnd =
  | { readonly kind: 'outcome'; readonly outcome: Outcome }
  | { readonly kind: 'died'; readonly how: string }
  | { readonly kind: 'refused'; readonly why: string }

/** A job while its process runs it. */
export interface RunningWorker {
  readonly pid: number
  /** Sends a signal to the job's process and to all that it started. */
  signal(signal: number | NodeJS.Signals): void
}

export class WorkerPool {
  #limit: number
  /** Of each process's JavaScript memory. */
  #memoryMib: number
  readonly #log: MinionLog
  readonly #waiting: (() => void)[] = []
  readonly #all = new Set<Worker>()
  #idle: Worker | null = null
  #busy = 0
  #stopped = false

  constructor({ limit, memoryMib }: { limit: number; memoryMib: number }, log: MinionLog) {
    this.#limit = limit
    this.#memoryMib = memoryMib
    this.#log = log
  }

  /** Other bounds, for the jobs that come. */
  configure({ limit, memoryMib }: { limit: number; memoryMib: number }): void {
    this.#limit = limit
    if (memoryMib === this.#memoryMib) return
    this.#memoryMib = memoryMib
    void this.#idle?.stop()
    this.#idle = null
  }

  /** Runs a job; `started` is called with its process as soon as it has one. */
  async run(message: RunMessage, services: Services, started: (worker: RunningWorker) => void): Promise<WorkerEnd> {
    if (this.#waiting.length >= MAX_WAITING) return { kind: 'refused', why: `${MAX_WAITING} jobs are waiting for a process already` }
    // Whoever leaves hands its place to the first that waits; only without one the place is free.
    if (this.#busy >= this.#limit) await new Promise<void>(go => this.#waiting.push(go))
    else this.#busy++
    try {
      return await this.#runInPlace(message, services, started)
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#busy--
    }
  }

  async #runInPlace(message: RunMessage, services: Services, started: (worker: RunningWorker) => void): Promise<WorkerEnd> {
    if (this.#stopped) return { kind: 'refused', why: 'the minion is stopping' }
    const worker = this.#take()
    try {
      started(worker)
      return await worker.run(message, services)
    } finally {
      this.#give(worker)
    }
  }

  /** Ends all processes and what they started. Jobs in them end as `died`. */
  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all([...this.#all].map(worker => worker.stop()))
  }

  #take(): Worker {
    const idle = this.#idle
    this.#idle = null
    if (idle?.usable) return idle
    const worker = new Worker({ log: this.#log, memoryMib: this.#memoryMib, gone: () => this.#all.delete(worker) })
    this.#all.add(worker)
    return worker
  }

  #give(worker: Worker): void {
    if (!worker.usable) return
    if (this.#idle || this.#stopped) void worker.stop()
    else {
      this.#idle = worker
      worker.rest(IDLE_MS)
    }
  }
}

class Worker implements RunningWorker {
  readonly #process: ChildProcess
  readonly #log: MinionLog
  readonly #groups = new Set<number>()
  #services: Services | null = null
  #settle: ((end: WorkerEnd) => void) | null = null
  #restTimer: NodeJS.Timeout | null = null
  #jobs = 0
  #ended = false

  constructor({ log, memoryMib, gone }: { log: MinionLog; memoryMib: number; gone: () => void }) {
    this.#log = log
    this.#process = fork(fileURLToPath(new URL('./worker.js', import.meta.url)), [], {
      ...{ detached: true, serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] },
      execArgv: [`--max-old-space-size=${memoryMib}`]
    })
    this.#process.on('message', message => this.#receive(message as FromWorker))
    this.#process.on('error', error => {
      this.#log.warn({ error: messageOf(error) }, "a job's process failed")
      if (this.#process.pid === undefined) this.#exited(messageOf(error), gone) // it never started, so there is no `exit`
    })
    this.#process.once('exit', (code, signal) => this.#exited(signal ?? `exit code ${code}`, gone))
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  get usable(): boolean {
    return !this.#ended && this.#process.connected && this.#jobs < JOBS_PER_PROCESS
  }

  run(message: RunMessage, services: Services): Promise<WorkerEnd> {
    if (this.#restTimer) clearTimeout(this.#restTimer)
    this.#jobs++
    this.#process.ref()
    this.#process.channel?.ref()
    this.#services = services
    return new Promise(resolve => {
      this.#settle = resolve
      this.#send(message)
    })
  }

  signal(signal: number | NodeJS.Signals): void {
    if (this.#ended || this.pid === 0) return
    signalGroup(this.pid, signal)
    for (const group of this.#groups) signalGroup(group, signal)
  }

  /** Waits for the next job, without keeping the agent alive for it. */
  rest(forMs: number): void {
    this.#process.unref()
    this.#process.channel?.unref()
    this.#restTimer = setTimeout(() => void this.stop(), forMs)
    this.#restTimer.unref()
  }

  async stop(): Promise<void> {
    if (this.#restTimer) clearTimeout(this.#restTimer)
    if (this.#ended) return
    this.#process.ref() // a resting process does not keep the agent alive; here its end is waited for
    const exit = once(this.#process, 'exit')
    this.signal('SIGKILL')
    await exit
  }

  #receive(message: FromWorker): void {
    if (message.type === 'outcome') this.#finish({ kind: 'outcome', outcome: message.outcome })
    else if (message.type === 'group') this.#track(message)
    else if (message.type === 'log') this.#log[message.level](message.fields, message.text)
    else void this.#answer(message)
  }

  #track({ group, alive }: GroupMessage): void {
    if (alive) this.#groups.add(group)
    else this.#groups.delete(group)
  }

  async #answer({ call, service, method, args }: CallMessage): Promise<void> {
    try {
      this.#send({ type: 'answer', call, value: await this.#call(service, method, args) })
    } catch (error) {
      this.#send({ type: 'answer', call, error: messageOf(error) })
    }
  }

  #call(service: string, method: string, args: readonly unknown[]): Promise<unknown> {
    const methods: readonly string[] | undefined = SERVICE_METHODS[service as ServiceName]
    if (!this.#services || !methods?.includes(method)) throw new Error(`${service}.${method} is no service of the agent`)
    const target = this.#services[service as ServiceName] as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
    return target[method]!(...args)
  }

  #send(message: ToWorker): void {
    if (this.#process.connected) this.#process.send(message, () => {}) // a failure means that it ended: `exit` says so
  }

  #finish(end: WorkerEnd): void {
    const settle = this.#settle
    this.#settle = null
    this.#services = null
    settle?.(end)
  }

  #exited(how: string, gone: () => void): void {
    this.#ended = true
    for (const group of this.#groups) signalGroup(group, 'SIGKILL')
    this.#groups.clear()
    gone()
    this.#finish({ kind: 'died', how })
  }
}

/** The text of a return when the process of a job ended without an outcome. */
export function diedText(job: Job, how: string): string {
  return `The minion function caused an exception: the process of job ${job.jid} ended with ${how}`
}
