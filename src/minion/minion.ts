/**
 * The agent: starts its loops, runs each job once, and stops in two ways: after the jobs that run, or now.
 */
import { join } from 'node:path'
import type { JobMessage, Up, UpAnswer } from '../protocol/messages.js'
import { SystemClock } from '../shared/clock.js'
import { sleep } from '../shared/sleep.js'
import { LEGACY_MINION_START, minionStart } from '../tags/tags.js'
import type { BeaconBook } from './beacons/book.js'
import { BeaconWatch } from './beacons/watch.js'
import { MinionBus } from './bus.js'
import { Connection } from './connection.js'
import type { MinionLog } from './context.js'
import { ControlServer, type Guest } from './control.js'
import { Identity } from './identity.js'
import { MinionJids } from './jids.js'
import type { Job, Outcome, RunningJob } from './job.js'
import { JobJournal } from './journal.js'
import { lockDirectory } from './lock.js'
import type { MasterClient } from './master.js'
import { type Credentials, Masters } from './masters.js'
import { unmarked } from './modules/call.js'
import { messageOf } from './modules/errors.js'
import { isMapping } from './modules/values.js'
import { Returns } from './returns.js'
import type { ScheduleBook } from './schedule/book.js'
import type { Entry } from './schedule/entry.js'
import { Scheduler } from './schedule/scheduler.js'
import { ServerClient } from './server.js'
import { type NewItem, Spool } from './spool.js'

type Grains = Readonly<Record<string, unknown>>

/** What runs jobs: `Executor`. */
export interface JobRunner {
  readonly grains: Grains
  /** Never throws. null: the job was ended by somebody and returns nothing. `onProcess` hears of the job's own process. */
  execute(job: Job, onProcess?: (pid: number) => void): Promise<Outcome | null>
  /** A job that another process of this machine runs. */
  /** Jobs that run now. */
  running?(): readonly RunningJob[]
  welcome?(job: Job, pid: number): Guest
  /** The pillar that jobs see. */
  pillar?(): Promise<Readonly<Record<string, unknown>>>
  stop(options: { now: boolean }): Promise<void>
}

export interface MinionOptions {
  readonly id: string
  /** None: masterless. Nothing is sent anywhere; schedule, states and the minion's own bus work as ever. */
  readonly masters: Masters | null
  /** What may let a new minion in without people. */
  readonly credentials?: Credentials
  /** Where key, spool and journal lie. */
  readonly dir: string
  readonly spoolBytes: number
  readonly acceptanceWaitMs: number
  readonly reconnectMs: { readonly first: number; readonly max: number }
  /** Makes what runs jobs. `onGrains` is called when the grains were collected anew. */
  readonly runner: (master: MasterClient, onGrains: (grains: Grains) => void) => Promise<JobRunner>
  readonly log: MinionLog
  readonly random?: () => number
  /** Makes the bus, where the caller needs it before there is a minion. */
  readonly bus?: MinionBus
  /** The jobs that the minion runs by itself. */
  readonly schedule?: ScheduleBook
  /** What it watches. */
  readonly beacons?: BeaconBook
  /** Run when the minion starts (startup_states). */
  readonly startup?: { readonly fun: string; readonly arg: readonly unknown[] } | null
  /** Grains that the start events carry. */
  readonly startGrains?: readonly string[]
  /** Fire `minion_start` beside `salt/minion/<id>/start` (enable_legacy_startup_events); true by default. */
  readonly legacyStart?: boolean
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
  readonly #jobs = new Set<Promise<unknown>>()
  #unlock: (() => Promise<void>) | null = null
  #spool: Spool | null = null
  #journal: JobJournal | null = null
  #connection: Connection | null = null
  #returns: Returns | null = null
  #runner: JobRunner | null = null
  #scheduler: Scheduler | null = null
  #beacons: BeaconWatch | null = null
  #control: ControlServer | null = null
  readonly #clock = new SystemClock()
  readonly #jids = new MinionJids(this.#clock)
  #greeted = false
  #stopped: Promise<void> | null = null

  constructor(options: MinionOptions) {
    this.#o = options
    this.#bus = options.bus ?? new MinionBus(options.log)
  }

  /** The bus on which `event.fire` is heard. */
  get bus(): MinionBus {
    return this.#bus
  }

  /** Runs a function for the minion itself (a reaction); nothing is returned to anybody. Whether it succeeded. */
  runLocal(fun: string, arg: readonly unknown[]): Promise<boolean> {
    return this.#runOwn({ fun, arg }, null)
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
    // What connects to nobody is never started.
    const connection = this.#connect(identity)
    this.#connection = connection
    const client = new ServerClient({ connection, spool, bus: this.#bus, signal: this.#killing.signal })
    const returns = new Returns({ spool, post: up => this.#post(up), isOpen: () => connection.isOpen, log })
    this.#returns = returns
    const master = this.#masterless ? localMaster(this.#bus) : client
    this.#runner = await this.#o.runner(master, grains => returns.setGrains(grains))
    for (const job of interrupted) await this.#finish(job, interruption(job))
    if (this.#runner.welcome) this.#control = await ControlServer.open(dir, (job, pid) => this.#runner!.welcome!(job, pid), log)
    if (!this.#masterless) {
      returns.start()
      connection.start()
    }
    this.#startSchedule()
    this.#startBeacons()
    if (this.#masterless) {
      this.#bus.fire(minionStart(this.#o.id), { id: this.#o.id, data: startedText(this.#o.id) })
      this.#startup()
    }
  }

  get #masterless(): boolean {
    return this.#o.masters === null
  }

  #startSchedule(): void {
    const { schedule, log } = this.#o
    if (!schedule) return
    this.#scheduler = new Scheduler({ book: schedule, log, fire: (name, entry) => this.#runScheduled(name, entry) })
    this.#scheduler.start()
  }

  /** Beacons are told when they can no longer be lost, as returns are; masterless, the minion's own bus hears them. */
  #startBeacons(): void {
    const { beacons: book, id, log } = this.#o
    if (!book) return
    const send = async (tag: string, data: Grains) => {
      if (this.#masterless) this.#bus.fire(tag, data)
      else await this.#keep({ kind: 'event', tag, data, flat: true })
    }
    this.#beacons = new BeaconWatch({ id, book, send, running: () => this.#runner?.running?.() ?? [], log })
    this.#beacons.start()
  }

  /** The pillar may have jobs and beacons too; it is asked for once there is somebody to ask. */
  #readSchedulePillar(): void {
    const { schedule, beacons, log } = this.#o
    if (!(schedule || beacons) || !this.#runner?.pillar) return
    this.#runner
      .pillar()
      .then(pillar => {
        schedule?.setPillar(pillar.schedule)
        beacons?.setPillar(pillar.beacons)
      })
      .catch(error => log.warn({ error: messageOf(error) }, 'schedule and beacons of the pillar could not be read'))
  }

  /** State runs of startup_states: once, when the minion starts. */
  #startup(): void {
    this.#readSchedulePillar()
    const { startup } = this.#o
    if (!startup || this.#closing.signal.aborted) return
    const run: Promise<unknown> = this.#runOwn({ fun: startup.fun, arg: startup.arg }, {}).finally(() => this.#jobs.delete(run))
    this.#jobs.add(run)
  }

  /** A job of the schedule. Its return tells where it comes from (golden/events/schedule_jobs.jsonl). */
  async #runScheduled(name: string, entry: Entry): Promise<void> {
    const args = entry.args === undefined ? [] : [entry.args].flat()
    const kwargs = isMapping(entry.kwargs) && Object.keys(entry.kwargs).length > 0 ? [{ __kwarg__: true, ...entry.kwargs }] : []
    const arg = [...args, ...kwargs]
    const metadata = isMapping(entry.metadata) ? { metadata: { ...entry.metadata, ...timeNotes(new Date()) } } : {}
    const fields = entry.return_job === false ? null : { schedule: name, ...metadata }
    for (const fun of [entry.function].flat()) await this.#runOwn({ fun: String(fun), arg }, fields, name)
  }

  /** Runs a job that nobody sent. `fields`: what its return says besides; null: it returns nothing. Whether it succeeded. */
  async #runOwn({ fun, arg }: { fun: string; arg: readonly unknown[] }, fields: Grains | null, schedule?: string): Promise<boolean> {
    const jid = this.#jids.next()
    const { id } = this.#o
    const funArgs = unmarked(arg)
    let pid = process.pid
    const about = { id, fun, fun_args: funArgs, ...(schedule === undefined ? {} : { schedule }), jid, pid }
    const job: Job = { jid, fun, arg, tgt: id, tgtType: 'glob', user: 'root', ret: '', published: about }
    const outcome = await this.#runner!.execute(job, own => {
      pid = own
    })
    const succeeded = outcome?.success === true && outcome.retcode === 0
    if (outcome === null || fields === null || this.#masterless) return succeeded
    const sent = { jid, ...outcome, ...fields, ...(schedule === undefined ? {} : { pid, arg: funArgs, tgt_type: 'glob', tgt: id }) }
    await this.#keep({ kind: 'return', return: sent })
    return succeeded
  }

  async #stop(): Promise<void> {
    await this.#scheduler?.stop()
    await this.#beacons?.stop()
    await Promise.allSettled(this.#jobs)
    await this.#control?.stop()
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
    const { masters, id, credentials = {}, acceptanceWaitMs, reconnectMs, log, random } = this.#o
    return new Connection({
      ...{ masters: masters ?? new Masters({ urls: [] }), credentials, id, identity, acceptanceWaitMs, reconnectMs, log },
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
    const { id, startGrains = [], legacyStart = true } = this.#o
    const data = startedText(id)
    const all = this.#runner!.grains
    const shown = Object.fromEntries(startGrains.flatMap(name => (Object.hasOwn(all, name) ? [[name, all[name]]] : [])))
    const preload = startGrains.length > 0 ? { preload: { pretag: null, grains: shown } } : {}
    const tags = [...(legacyStart ? [LEGACY_MINION_START] : []), minionStart(id)]
    for (const tag of tags) await this.#keep({ kind: 'event', tag, data, ...preload })
    this.#startup()
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

function jobOf({ jid, fun, arg, tgt, tgt_type, user, ret, metadata }: JobMessage): Job {
  return { jid, fun, arg, tgt, tgtType: tgt_type, user, ret, ...(metadata === undefined ? {} : { metadata }) }
}

function interruption({ fun, arg }: Job): Outcome {
  return { fun, fun_args: unmarked(arg), return: INTERRUPTED, retcode: 1, success: false }
}

/** No server: nothing to fetch, and events for one are heard on the minion's own bus alone, as `salt-call --local` has it. */
function localMaster(bus: MinionBus): MasterClient {
  return {
    fetchFile: async () => null,
    listFiles: async () => [],
    listEnvironments: async () => [],
    sendEvent: async (tag, data) => bus.fire(tag, data),
    fireLocal: async (tag, data) => bus.fire(tag, data)
  }
}

const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December']

/** What Salt's scheduler adds to the metadata of a job: offset to UTC, time, and the time once more in another form. */
function timeNotes(now: Date): Record<string, string> {
  const two = (value: number) => String(value).padStart(2, '0')
  const offset = -now.getTimezoneOffset()
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`
  const day = `${MONTHS[now.getMonth()]} ${two(now.getDate())} ${now.toDateString().slice(0, 3)}`
  return { _TOS: zone, _TS: asctime(now), _TT: `${now.getFullYear()} ${day} ${two(now.getHours())} ${two(now.getMonth() + 1)}` }
}

function startedText(id: string): string {
  return `Minion ${id} started at ${asctime(new Date())}`
}

/** `Sun Nov 22 20:33:14 2026`, local time: Python's asctime. */
function asctime(date: Date): string {
  const [day, month, , year] = date.toDateString().split(' ')
  return `${day} ${month} ${String(date.getDate()).padStart(2)} ${date.toTimeString().slice(0, 8)} ${year}`
}
