/**
 * Fires the jobs of the schedule: a loop that sleeps until the next job is due. Fire times live in memory: after a restart an interval begins anew,
 * as in Salt, and what is written in the book counts.
 */
import type { MinionLog } from '../context.js'
import { messageOf } from '../modules/errors.js'
import { isMapping, type Mapping } from '../modules/values.js'
import type { Runner, ScheduleBook } from './book.js'
import { type Entry, intervalOf, shownEntry } from './entry.js'
import { inRange, localTime, nextCron, nextWhen, onceMoment, parseMoment, splayMs } from './times.js'

export interface SchedulerOptions {
  readonly book: ScheduleBook
  /** Runs a job and sends its return. Never throws. */
  readonly fire: (name: string, entry: Entry) => Promise<void>
  readonly log: MinionLog
  readonly nowMs?: () => number
  readonly random?: () => number
}

/** What is known of a job besides what is written. */
interface Progress {
  /** The entry that the times were made of; another one begins anew. */
  readonly source: string
  /** Null: never (again). */
  next: number | null
  running: number
  ran: number
  lastRun: number | null
  skipReason: string | null
  skippedAt: number | null
  /** Fire times to leave out, and new ones to add, as local texts. */
  readonly skips: Set<string>
  readonly extra: number[]
  force: boolean
}

/** The loop looks so often at least, so that a clock that was set, or a machine that slept, is noticed. */
const LONGEST_SLEEP_MS = 30_000

export class Scheduler implements Runner {
  readonly #o: SchedulerOptions
  readonly #now: () => number
  readonly #random: () => number
  readonly #progress = new Map<string, Progress>()
  readonly #fired = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | null = null
  #ticking: Promise<void> | null = null
  #again = false
  #stopped = true

  constructor(options: SchedulerOptions) {
    this.#o = options
    this.#now = options.nowMs ?? Date.now
    this.#random = options.random ?? Math.random
    options.book.attach(this, () => this.#wake())
  }

  start(): void {
    this.#stopped = false
    this.#wake()
  }

  /** No further jobs; those that run are the executor's. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    await this.#ticking
    await Promise.all(this.#fired)
  }

  /** One round: what is due is fired, whatever waits gets its next time. Resolves before the jobs have ended. */
  async tick(): Promise<void> {
    const jobs = this.#o.book.jobs()
    for (const name of this.#progress.keys()) if (!(name in jobs)) this.#progress.delete(name)
    for (const [name, entry] of Object.entries(jobs)) {
      const progress = await this.#progressOf(name, entry)
      if (progress.force || progress.extra.some(at => at <= this.#now()) || (progress.next !== null && progress.next <= this.#now())) {
        await this.#due(name, entry, progress)
      }
    }
  }

  // ── what the book asks ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

  run(name: string): void {
    const progress = this.#progress.get(name)
    if (progress) progress.force = true
    this.#wake()
  }

  nextFireTime(name: string): number | null {
    return this.#progress.get(name)?.next ?? null
  }

  status(name: string): Mapping {
    const entry = this.#o.book.jobs()[name]
    if (!entry) return {}
    const progress = this.#progress.get(name)
    const at = (ms: number | null | undefined) => (ms === null || ms === undefined ? null : localTime(ms))
    return {
      ...shownEntry(entry),
      ...(intervalOf(entry) > 0 ? { _seconds: intervalOf(entry) } : {}),
      ...{ _next_fire_time: at(progress?.next), _last_run: at(progress?.lastRun), _running: progress?.running ?? 0 },
      ...{ _skip_reason: progress?.skipReason ?? null, _skipped: progress?.skippedAt != null, _skipped_time: at(progress?.skippedAt) }
    }
  }

  skip(name: string, at: string): void {
    const moment = parseMoment(at, this.#now())
    if (moment !== null) this.#progress.get(name)?.skips.add(localTime(moment))
  }

  postpone(name: string, from: string, to: string): void {
    this.skip(name, from)
    const moment = parseMoment(to, this.#now())
    if (moment !== null) this.#progress.get(name)?.extra.push(moment)
    this.#wake()
  }

  // ── the loop ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** One round at a time; whoever asks meanwhile gets another one after it. */
  #wake(): void {
    if (this.#stopped) return
    if (this.#ticking) {
      this.#again = true
      return
    }
    this.#ticking = this.tick()
      .catch(error => this.#o.log.error({ error: messageOf(error) }, 'a round of the scheduler failed'))
      .finally(() => {
        this.#ticking = null
        const again = this.#again
        this.#again = false
        if (again) this.#wake()
        else this.#sleep()
      })
  }

  #sleep(): void {
    if (this.#stopped) return
    if (this.#timer) clearTimeout(this.#timer)
    const times = [...this.#progress.values()].flatMap(({ next, extra }) => [...(next === null ? [] : [next]), ...extra])
    const wait = Math.min(LONGEST_SLEEP_MS, Math.max(0, Math.min(...times, Number.MAX_SAFE_INTEGER) - this.#now()))
    this.#timer = setTimeout(() => this.#wake(), wait)
  }

  async #progressOf(name: string, entry: Entry): Promise<Progress> {
    const { enabled: _enabled, ...timing } = entry
    const source = JSON.stringify(timing)
    const known = this.#progress.get(name)
    if (known?.source === source) return known
    const progress: Progress = {
      ...{ source, next: null, running: known?.running ?? 0, ran: 0, lastRun: null, skipReason: null, skippedAt: null },
      ...{ skips: new Set<string>(), extra: [], force: false }
    }
    this.#progress.set(name, progress)
    progress.next = await this.#plan(name, entry, progress, null)
    return progress
  }

  /** The next fire time after `due` (null: the first one). A mistake in an entry is told once and costs that entry alone. */
  async #plan(name: string, entry: Entry, { ran }: Progress, due: number | null): Promise<number | null> {
    const now = this.#now()
    try {
      if (due === null && entry.run_on_start === true) return now
      const next = await this.#base(entry, now, due, ran)
      return next === null ? null : next + splayMs(entry.splay, this.#random)
    } catch (error) {
      this.#o.log.error({ job: name, error: messageOf(error) }, 'a job of the schedule is not understood and will not run')
      return null
    }
  }

  async #base(entry: Entry, now: number, due: number | null, ran: number): Promise<number | null> {
    const interval = intervalOf(entry) * 1000
    if (entry.once !== undefined) {
      const moment = onceMoment(entry.once, entry.once_fmt, now)
      return ran > 0 || moment === null || (due !== null && moment <= due) || moment < now - 1000 ? null : moment
    }
    if (entry.when !== undefined) return nextWhen(entry.when, due === null ? now : Math.max(now, due) + 1000)
    if (entry.cron !== undefined) return nextCron(entry.cron, now)
    if (interval <= 0) return null
    return due !== null && due + interval > now ? due + interval : now + interval
  }

  async #due(name: string, entry: Entry, progress: Progress): Promise<void> {
    const now = this.#now()
    const planned = progress.next !== null && progress.next <= now
    const at = planned ? progress.next! : now
    const forced = progress.force
    progress.force = false
    const postponed = progress.extra.some(moment => moment <= now)
    progress.extra.splice(0, progress.extra.length, ...progress.extra.filter(moment => moment > now))
    const reason = forced ? null : this.#reasonToSkip(entry, progress, at, postponed)
    if (reason === null) this.#fire(name, entry, progress)
    else {
      progress.skipReason = reason
      progress.skippedAt = now
    }
    if (planned) progress.next = await this.#plan(name, entry, progress, at)
    if (reason === 'in_skip_range' && entry.run_after_skip_range === true) {
      const end = parseMoment((entry.skip_during_range as Mapping).end, now)
      if (end !== null && end > now) progress.extra.push(end + 1000)
    }
  }

  /** Salt's words for why a job that is due does not run; null: it runs. */
  #reasonToSkip(entry: Entry, { skips, running }: Progress, at: number, postponed: boolean): string | null {
    const now = this.#now()
    const skipRange = entry.skip_during_range ?? this.#o.book.skipDuringRange
    if (!this.#o.book.enabled || entry.enabled === false) return 'disabled'
    if (!postponed && skips.delete(localTime(at))) return 'skip_explicit'
    try {
      if (entry.range !== undefined && !inRange(entry.range, now)) return 'not_in_range'
      if (isMapping(skipRange) && inRange(skipRange, now)) return 'in_skip_range'
    } catch (error) {
      this.#o.log.error({ error: messageOf(error) }, 'the range of a job of the schedule is not understood; it does not run')
      return 'not_in_range'
    }
    const after = entry.after === undefined ? null : parseMoment(entry.after, now)
    if (after !== null && now <= after) return 'after_not_passed'
    const until = entry.until === undefined ? null : parseMoment(entry.until, now)
    if (until !== null && until <= now) return 'until_passed'
    return (entry.jid_include ?? true) && running >= Number(entry.maxrunning ?? 1) ? 'maxrunning' : null
  }

  #fire(name: string, entry: Entry, progress: Progress): void {
    progress.running++
    progress.ran++
    progress.lastRun = this.#now()
    progress.skipReason = null
    progress.skippedAt = null
    const run = this.#o
      .fire(name, entry)
      .catch(error => this.#o.log.error({ job: name, error: messageOf(error) }, 'a job of the schedule failed'))
      .finally(() => {
        progress.running--
        this.#fired.delete(run)
      })
    // What the minion does for itself (it may wait for a server that is away) does not hold up its end.
    if (!name.startsWith('__')) this.#fired.add(run)
  }
}
