/**
 * The agent: starts its loops, runs each job once, and stops in two ways: after the jobs that run, or now.
 */
import { join } from 'node:path'
import type { JobMessage, Up, UpAnswer } from '../protocol/messages.js'
import { sleep } from '../shared/sleep.js'
import { LEGACY_MINION_START, minionStart } from '../tags/tags.js'
import { MinionBus } from './bus.js'
import { Connection } from './connection.js'
import type { MinionLog } from './context.js'
import { Identity } from './identity.js'
import type { Job, Outcome } from './job.js'
import { JobJournal } from './journal.js'
import { lockDirectory } from './lock.js'
import type { MasterClient } from './master.js'
import { unmarked } from './modules/call.js'
import { Returns } from './returns.js'
import { ServerClient } from './server.js'
import { type NewItem, Spool } from './spool.js'

type Grains = Readonly<Record<string, unknown>>

/** What runs jobs: `Executor`. */
export interface JobRunner {
  readonly grains: Grains
  /** Never throws. null: the job was ended by somebody and returns nothing. */
  execute(job: Job): Promise<Outcome | null>
  stop(options: { now: boolean }): Promise<void>
}

export interface MinionOptions {
  readonly id: string
  readonly urls: readonly string[]
  /** Where key, spool and journal lie. */
  readonly dir: string
  readonly spoolBytes: number
  readonly acceptanceWaitMs: number
  readonly reconnectMs: { readonly first: number; readonly max: number }
  /** Makes what runs jobs. `onGrains` is called when the grains were collected anew. */
  readonly runner: (master: MasterClient, onGrains: (grains: Grains) => void) => Promise<JobRunner>
  readonly log: MinionLog
  readonly random?: () => number
}

/** Jobs that have come and not ended. Beyond it no more are read from the stream; they stay with the server. */
const MAX_JOBS = 1000
/** A return that the disk did not take is tried again so often, until it does. */
const DISK_AGAIN_MS = 5000
/** At the end, so long for what is left in the spool; it is not lost, only later. */
const FLUSH_MS = 500

const INTERRUPTED = 'interrupted: the minion ended while the job was running'

export class Minion {
  readonly #o: MinionOptions
  readonly #bus: MinionBus
  /** No new jobs. */
  readonly #closing = new AbortController()
  /** Nor any patience with those that run. */
  readonly #killing = new AbortController()
  readonly #jobs = new Set<Promise<void>>()
  #unlock: (() => Promise<void>) | null = null
  #spool: Spool | null = null
  #journal: JobJournal | null = null
  #connection: Connection | null = null
  #returns: Returns | null = null
  #runner: JobRunner | null = null
  #greeted = false
  #stopped: Promise<void> | null = null

  constructor(options: MinionOptions) {
    this.#o = options
    this.#bus = new MinionBus(options.log)
  }

  /** The bus on which `event.fire` is heard. */
  get bus(): MinionBus {
    return this.#bus
  }

  /**
   * Reads or makes what lies in the directory, returns the jobs that an earlier run left unfinished, and begins to connect. Resolves before
   * there is a connection. Throws DIRECTORY_LOCKED.
   */
  async start(): Promise<void> {
    try {
      await this.#start()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /**
   * Ends the agent. `graceMs`: how long jobs that run may take to end; then they are killed, and return that they were interrupted. What the server
   * has not taken stays in the spool. May be called twice; a second call with less patience counts.
   */
  async stop({ graceMs = 0 }: { graceMs?: number } = {}): Promise<void> {
    this.#closing.abort()
    this.#stopped ??= this.#stop()
    const ended = new AbortController()
    const patience = sleep(graceMs, ended.signal).then(() => this.#kill())
    await this.#stopped
    ended.abort()
    await patience
  }

  async #start(): Promise<void> {
    const { dir, log } = this.#o
    this.#unlock = await lockDirectory(dir)
    const identity = await Identity.open(dir)
    const spool = await Spool.open({ dir: join(dir, 'spool'), maxBytes: this.#o.spoolBytes, log })
    this.#spool = spool
    const { journal, interrupted } = await JobJournal.open(dir)
    this.#journal = journal
    const connection = this.#connect(identity)
    this.#connection = connection
    const client = new ServerClient({ connection, spool, bus: this.#bus, signal: this.#killing.signal })
    const returns = new Returns({ spool, post: up => this.#post(up), isOpen: () => connection.isOpen, log })
    this.#returns = returns
    this.#runner = await this.#o.runner(client, grains => returns.setGrains(grains))
    for (const job of interrupted) await this.#finish(job, interruption(job))
    returns.start()
    connection.start()
  }

  async #stop(): Promise<void> {
    await Promise.allSettled(this.#jobs)
    await this.#returns?.flush(FLUSH_MS)
    await this.#returns?.stop()
    await this.#connection?.stop()
    await this.#kill()
    await this.#journal?.close()
    await this.#spool?.close()
    await this.#unlock?.()
  }

  async #kill(): Promise<void> {
    this.#killing.abort()
    await this.#runner?.stop({ now: true })
  }

  #connect(identity: Identity): Connection {
    const { urls, id, acceptanceWaitMs, reconnectMs, log, random } = this.#o
    return new Connection({
      ...{ urls, id, identity, acceptanceWaitMs, reconnectMs, log },
      ...(random === undefined ? {} : { random }),
      onJob: job => this.#onJob(job),
      onOpen: hello => void this.#onOpen(hello),
      onIdle: () => this.#returns?.pulse()
    })
  }

  #post(up: Up): Promise<UpAnswer> {
    return this.#connection!.json<UpAnswer>({ method: 'POST', path: '/minion/up', json: JSON.stringify(up) })
  }

  /** At the first connection: the grains, then Salt's two start events, in one request. */
  async #onOpen({ grains }: { grains: boolean }): Promise<void> {
    const returns = this.#returns!
    const first = !this.#greeted
    this.#greeted = true
    if (first || grains) returns.setGrains(this.#runner!.grains)
    returns.connected()
    if (!first) return
    const { id } = this.#o
    const data = `Minion ${id} started at ${asctime(new Date())}`
    for (const tag of [LEGACY_MINION_START, minionStart(id)]) await this.#keep({ kind: 'event', tag, data })
  }

  /** Takes a job from the stream; waits when there are too many, and the stream with it. */
  async #onJob(message: JobMessage): Promise<void> {
    while (this.#jobs.size >= MAX_JOBS) await Promise.race(this.#jobs)
    if (this.#closing.signal.aborted) return
    const run = this.#take(jobOf(message)).finally(() => this.#jobs.delete(run))
    this.#jobs.add(run)
  }

  /** A job runs once: it is in the journal before it is acknowledged, and only acknowledged when it comes again. */
  async #take(job: Job): Promise<void> {
    try {
      const arrived = await this.#journal!.arrived(job)
      this.#returns!.acknowledge(job.jid)
      if (arrived === 'known') return
    } catch (error) {
      this.#o.log.error({ err: error, jid: job.jid }, 'a job could not be written down and is not run; the server will send it again')
      return
    }
    const outcome = await this.#runner!.execute(job)
    const killed = outcome === null && this.#closing.signal.aborted
    await this.#finish(job, killed ? interruption(job) : outcome)
  }

  /** The return is on disk before the journal forgets the job. A crash between the two returns it twice, which the server notices. */
  async #finish(job: Job, outcome: Outcome | null): Promise<void> {
    if (outcome !== null) await this.#keep({ kind: 'return', return: { jid: job.jid, ...outcome } })
    try {
      await this.#journal!.ended(job.jid)
    } catch (error) {
      this.#o.log.error({ err: error, jid: job.jid }, 'the end of a job could not be noted')
    }
  }

  /** Spools an item, however long the disk takes to take it. While the agent stops it is tried once. */
  async #keep(item: NewItem): Promise<void> {
    for (;;) {
      try {
        await this.#spool!.add(item)
        return
      } catch (error) {
        this.#o.log.error({ err: error }, 'the spool does not take what is to be sent; it is tried again')
        if (this.#closing.signal.aborted) return
        await sleep(DISK_AGAIN_MS, this.#closing.signal)
      }
    }
  }
}

function jobOf({ jid, fun, arg, tgt, tgt_type, user, ret }: JobMessage): Job {
  return { jid, fun, arg, tgt, tgtType: tgt_type, user, ret }
}

function interruption({ fun, arg }: Job): Outcome {
  return { fun, fun_args: unmarked(arg), return: INTERRUPTED, retcode: 1, success: false }
}

/** `Sun Nov 22 20:33:14 2026`, local time: Python's asctime. */
function asctime(date: Date): string {
  const [day, month, , year] = date.toDateString().split(' ')
  return `${day} ${month} ${String(date.getDate()).padStart(2)} ${date.toTimeString().slice(0, 8)} ${year}`
}
