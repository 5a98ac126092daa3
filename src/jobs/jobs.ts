import { BrineError, brineError, isBrineError } from '../errors.js'
import type { Cause, EventData, NewEvent, Source, StoredEvent } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import type { Hub } from '../hub/hub.js'
import type { Keys } from '../keys/keys.js'
import type { MinionLink } from '../link/link.js'
import type { Pillars } from '../pillar/pillars.js'
import { packArguments } from '../shared/arguments.js'
import type { Clock } from '../shared/clock.js'
import type { Delivery, JobRecord, JobStore, NewJob, ReturnRecord } from '../store/store.js'
import type { Nodegroups } from '../targeting/nodegroups.js'
import { failureEvents } from './failures.js'
import type { JidSource } from './jid.js'
import { publishEvents, type TaggedData } from './job.js'
import { type Origin, Origins } from './origins.js'
import { checkReturn, jidOfReturnTag, returnEvent, returnOfEvent, TRIMMED, unaskedReturnEvent } from './return.js'
import { meantMinions, shownTarget } from './target.js'
import { Waiter } from './waiter.js'

/** Calls that wait for returns at the same time. Each holds an HTTP connection; beyond this the server is better off saying so (503). */
const MAX_WAITING = 10_000
/** A call waits no longer than a day, however often minions answer that the job still runs. */
const MAX_WAIT_MS = 86_400_000
/** Jobs that one step of the keeper expires: short transactions, so that a publish never waits long behind one. */
const KEEPER_STEP = 500
/** The keeper looks at least this often, because other nodes publish too. */
const KEEPER_INTERVAL_MS = 30_000

export interface PublishRequest {
  readonly tgt: unknown
  readonly tgtType: string
  readonly delimiter?: string | undefined
  readonly fun: string | readonly string[]
  /** Positional arguments; for a compound job (`fun` is a list) one list per function. */
  readonly arg: readonly unknown[]
  readonly kwarg?: Readonly<Record<string, unknown>> | undefined
  readonly user: string
  readonly timeoutSeconds?: number | undefined
  readonly gatherSeconds?: number | undefined
  readonly metadata?: unknown
  readonly ret?: string | undefined
  /** A reserved or chosen job id; without it the next free one is taken. */
  readonly jid?: string | undefined
  readonly cause?: Cause | null | undefined
  /** The reaction that publishes: it is marked dispatched in the same transaction, and a job that exists already is that same job. */
  readonly reactionId?: number | undefined
}

export type Published =
  /** `exists`: this reaction's job had been published before; nothing was written and nothing is sent again. */
  | {
      readonly status: 'published' | 'exists'
      readonly jid: string
      readonly minions: readonly string[]
      readonly missing: readonly string[]
    }
  /** The target means nobody: no job and no event. `missing`: listed ids without an accepted key. */
  | { readonly status: 'no-match'; readonly missing: readonly string[] }

export interface JobsOptions {
  readonly store: { readonly jobs: JobStore }
  readonly events: Pick<EventLog, 'prepare'>
  readonly hub: Pick<Hub, 'listen'>
  readonly keys: Pick<Keys, 'accepted' | 'grainsOf'>
  readonly pillars?: Pick<Pillars, 'cached'>
  readonly link: Pick<MinionLink, 'send' | 'isConnected'>
  readonly jids: Pick<JidSource, 'next'>
  readonly clock: Clock
  /** Salt's settings: seconds, and the nodegroups of the configuration. */
  readonly config: {
    readonly timeout: number
    readonly gather_job_timeout: number
    readonly nodegroups: Nodegroups
  }
  readonly log: { error(fields: object, text: string): void }
}

export interface FollowOptions {
  /** Seconds without a return after which the minions are asked whether they still run the job. */
  readonly timeoutSeconds?: number | undefined
  readonly gatherSeconds?: number | undefined
  /** Aborted when nobody waits any more: waiting ends, with what came. */
  readonly signal?: AbortSignal | undefined
  /** In whose name the minions are asked; without it they are not, and waiting ends after `timeoutSeconds`. */
  readonly askAs?: string | undefined
}

/**
 * Publishes jobs, records their returns and lets callers wait for them. What it tells is in the log and in the store before anybody hears
 * of it; a job that a minion could not be handed stays there as a delivery until the minion comes or the deadline passes.
 */
export class Jobs {
  readonly #o: JobsOptions
  readonly #origins = new Origins()
  readonly #waiters = new Map<string, Set<Waiter>>()
  #unlisten: (() => void) | null = null
  #timer: NodeJS.Timeout | null = null
  #stopped = false
  #waiting = 0
  #nextDeadlineUs = 0

  constructor(options: JobsOptions) {
    this.#o = options
  }

  /** Begins to listen for returns and to expire what is due. May be called twice. */
  start(): void {
    this.#unlisten ??= this.#o.hub.listen({ include: ['salt/job/*/ret/*'] }, event => this.#onReturn(event))
    if (this.#timer === null) this.#schedule()
  }

  /** Ends every wait; jobs themselves go on. May be called twice. */
  stop(): void {
    this.#stopped = true
    for (const waiters of this.#waiters.values()) for (const waiter of waiters) waiter.end()
    this.#unlisten?.()
    this.#unlisten = null
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
  }

  /**
   * Publishes a job to the accepted minions that the target means now. Resolves when job, deliveries and events are committed.
   * @throws TARGET_SYNTAX, TARGET_TYPE; JID_TAKEN when the chosen job id belongs to another job; SHUTTING_DOWN
   */
  async publish(request: PublishRequest): Promise<Published> {
    if (this.#stopped) throw shuttingDown()
    const { keys, pillars, config, events, store, link } = this.#o
    const { tgt, tgtType, delimiter } = request
    const { minions, missing } = meantMinions(tgt, tgtType, { keys, pillars, nodegroups: config.nodegroups, delimiter })
    if (minions.length === 0) return { status: 'no-match', missing }
    const job = this.#newJob(request, minions, missing)
    const source: Source = request.reactionId === undefined ? `user:${request.user}` : 'reactor'
    const told = publishEvents(job).map(([tag, data]) => events.prepare(tag, data, { source, cause: job.cause }))
    if ((await store.jobs.publish(job, told)) === 'exists') return this.#existing(job)
    this.#origins.set(job.jid, originOf(job))
    this.#expectDeadline(job.deadlineUs)
    for (const minion of minions) link.send(minion, deliveryOf(job, minion))
    return { status: 'published', jid: job.jid, minions, missing }
  }

  /**
   * The returns of these minions as they come, those that were there before first. Ends when all have returned, when those that have not
   * are not connected or say that they do not run the job (asked after `timeoutSeconds` without a return), or when `signal` aborts.
   * @throws SHUTTING_DOWN when the server stops; TOO_MANY
   */
  async *follow(jid: string, minions: readonly string[], options: FollowOptions = {}): AsyncGenerator<ReturnRecord, void> {
    const waiter = this.#watch(jid, minions)
    const end = () => waiter.end()
    options.signal?.addEventListener('abort', end, { once: true })
    if (options.signal?.aborted) waiter.end()
    try {
      for (const ret of await this.#o.store.jobs.returns(jid)) waiter.deliver(ret)
      yield* this.#arrivals(jid, waiter, options)
    } finally {
      options.signal?.removeEventListener('abort', end)
      this.#unwatch(jid, waiter)
    }
  }

  async *#arrivals(jid: string, waiter: Waiter, options: FollowOptions): AsyncGenerator<ReturnRecord, void> {
    const timeoutMs = (options.timeoutSeconds ?? this.#o.config.timeout) * 1000
    const endAt = performance.now() + MAX_WAIT_MS
    let askAt = performance.now() + timeoutMs
    for (;;) {
      for (const ret of waiter.take()) yield ret.return === TRIMMED ? await this.#whole(ret) : ret
      if (this.#stopped) throw shuttingDown()
      if (waiter.open.size === 0 || waiter.ended || performance.now() > endAt) return
      if (await waiter.wait(askAt - performance.now())) continue
      for (const gone of await this.#gone(jid, [...waiter.open], options)) waiter.open.delete(gone)
      askAt = performance.now() + timeoutMs
    }
  }

  /** Waits as `follow` does and gives what came, by minion, in order of arrival. A minion that did not return is not in it. */
  async collect(
    jid: string,
    minions: readonly string[],
    timeoutSeconds?: number,
    options: Omit<FollowOptions, 'timeoutSeconds'> = {}
  ): Promise<Map<string, ReturnRecord>> {
    const returns = new Map<string, ReturnRecord>()
    for await (const ret of this.follow(jid, minions, { ...options, timeoutSeconds })) returns.set(ret.minion, ret)
    return returns
  }

  /**
   * Records what a minion sent back, once, with its event `salt/job/<jid>/ret/<id>`. `minionId` comes from the minion's credentials. A job id
   * that no job has (salt-call, a schedule) makes a job record.
   * @param raw `{jid, fun, fun_args, return, retcode[, success, out, id, …]}`
   * @throws FIELD_MISSING, FIELD_INVALID; NOT_PERMITTED when the payload names another minion, or a job that was not sent to this one
   */
  async recordReturn(minionId: string, raw: unknown): Promise<'recorded' | 'duplicate'> {
    const ret = checkReturn(minionId, raw, this.#o.clock.nowUs())
    const { jid } = ret.record
    const origin = await this.#origin(jid)
    if (origin && !origin.minions.has(minionId)) {
      throw brineError('NOT_PERMITTED', minionId, `return job '${jid}', which was not sent to it`)
    }
    const event = origin ? returnEvent(ret, origin) : unaskedReturnEvent(ret)
    const cause = origin?.cause ?? null
    const failures = origin ? failureEvents(ret, origin.user).flatMap(failure => this.#prepareFailure(failure, cause)) : []
    return this.#o.store.jobs.recordReturn(ret.record, [this.#prepareReturn(event, minionId, cause), ...failures])
  }

  /** Why this job was published: what a minion fires while it runs the job has the same cause. Null for a job from outside, or none. */
  async causeOf(jid: string): Promise<Cause | null> {
    return (await this.#origin(jid))?.cause ?? null
  }

  /** Expires what is past its deadline; how long jobs are kept is `Retention`'s. Returns the ids of the expired jobs. */
  async keep(): Promise<string[]> {
    const nowUs = this.#o.clock.nowUs()
    const expired: string[] = []
    for (;;) {
      const some = await this.#o.store.jobs.expire(nowUs, KEEPER_STEP)
      expired.push(...some)
      if (some.length < KEEPER_STEP) break
    }
    return expired
  }

  #newJob(request: PublishRequest, minions: readonly string[], missing: readonly string[]): NewJob {
    const { timeout, gather_job_timeout: gather } = this.#o.config
    const waitSeconds = (request.timeoutSeconds ?? timeout) + (request.gatherSeconds ?? gather)
    const publishedUs = this.#o.clock.nowUs()
    return {
      jid: request.jid ?? this.#o.jids.next(),
      fun: request.fun,
      arg: packArguments(request.arg, request.kwarg),
      ...shownTarget(request.tgt, request.tgtType, this.#o.config.nodegroups),
      user: request.user,
      minions,
      missing,
      ...(request.metadata === undefined ? {} : { metadata: request.metadata }),
      ...(request.ret === undefined ? {} : { ret: request.ret }),
      deadlineUs: publishedUs + Math.ceil(waitSeconds * 1_000_000),
      publishedUs,
      cause: request.cause ?? null,
      ...(request.reactionId === undefined ? {} : { reactionId: request.reactionId })
    }
  }

  /** A reaction that is dispatched again finds its own job. Anybody else chose the id of somebody's job. */
  async #existing(wanted: NewJob): Promise<Published> {
    const job = wanted.reactionId === undefined ? null : await this.#o.store.jobs.get(wanted.jid)
    const same = job !== null && job.user === wanted.user && JSON.stringify(job.fun) === JSON.stringify(wanted.fun)
    if (!same) throw brineError('JID_TAKEN', wanted.jid)
    return { status: 'exists', jid: job.jid, minions: job.minions, missing: job.missing }
  }

  async #origin(jid: string): Promise<Origin | null> {
    const known = this.#origins.get(jid)
    if (known) return known
    const job = await this.#o.store.jobs.get(jid)
    if (job === null || isUnasked(job)) return null
    const origin = originOf(job)
    this.#origins.set(jid, origin)
    return origin
  }

  /** Nothing when it is too large for an event: the return has it too. */
  #prepareFailure([tag, data]: TaggedData, cause: Cause | null): NewEvent[] {
    try {
      return [this.#o.events.prepare(tag, data, { source: 'server', cause })]
    } catch (error) {
      if (isBrineError(error) && error.code === 'EVENT_TOO_LARGE') return []
      throw error
    }
  }

  /** A return larger than an event may be is recorded whole; its event says so in the return's place, as Salt's does. */
  #prepareReturn([tag, data]: TaggedData, minionId: string, cause: Cause | null): NewEvent {
    const from = { source: `minion:${minionId}`, cause } as const
    try {
      return this.#o.events.prepare(tag, data, from)
    } catch (error) {
      if (!isBrineError(error, 'EVENT_TOO_LARGE')) throw error
      const trimmed: EventData = { ...data, return: TRIMMED, fun_args: [TRIMMED] }
      return this.#o.events.prepare(tag, trimmed, from)
    }
  }

  #onReturn(event: StoredEvent): void {
    const waiters = this.#waiters.get(jidOfReturnTag(event.tag))
    const ret = waiters ? returnOfEvent(event) : null
    if (waiters && ret) for (const waiter of waiters) waiter.deliver(ret)
  }

  #watch(jid: string, minions: readonly string[]): Waiter {
    if (this.#waiting >= MAX_WAITING) throw new BrineError('TOO_MANY', ['calls wait for returns'], { retryAfter: 1 })
    const waiter = new Waiter(minions)
    const set = this.#waiters.get(jid) ?? new Set()
    this.#waiters.set(jid, set.add(waiter))
    this.#waiting += 1
    return waiter
  }

  #unwatch(jid: string, waiter: Waiter): void {
    this.#waiting -= 1
    const set = this.#waiters.get(jid)
    set?.delete(waiter)
    if (set?.size === 0) this.#waiters.delete(jid)
  }

  async #whole(ret: ReturnRecord): Promise<ReturnRecord> {
    return (await this.#o.store.jobs.returns(ret.jid)).find(stored => stored.minion === ret.minion) ?? ret
  }

  /** Those of the minions for which it is no use to wait longer: not connected, or connected and not running the job. */
  async #gone(jid: string, open: readonly string[], options: FollowOptions): Promise<string[]> {
    const { askAs, signal } = options
    const present = open.filter(id => this.#o.link.isConnected(id))
    if (askAs === undefined || present.length === 0) return [...open]
    const gatherSeconds = options.gatherSeconds ?? this.#o.config.gather_job_timeout
    const question = await this.publish({
      tgt: present,
      tgtType: 'list',
      fun: 'saltutil.find_job',
      arg: [jid],
      user: askAs,
      timeoutSeconds: gatherSeconds,
      gatherSeconds: 0
    })
    if (question.status === 'no-match') return [...open]
    const answers = await this.collect(question.jid, question.minions, gatherSeconds, { signal })
    return open.filter(id => !isRunning(answers.get(id)))
  }

  #expectDeadline(deadlineUs: number): void {
    if (this.#timer === null || deadlineUs >= this.#nextDeadlineUs) return
    clearTimeout(this.#timer)
    this.#schedule(deadlineUs)
  }

  #schedule(deadlineUs = Number.POSITIVE_INFINITY): void {
    const nowUs = this.#o.clock.nowUs()
    // one second more than the deadline, so that jobs which end in the same second are expired in one transaction
    const delayMs = Math.min(KEEPER_INTERVAL_MS, Math.max(0, (deadlineUs - nowUs) / 1000) + 1000)
    this.#nextDeadlineUs = nowUs + delayMs * 1000
    this.#timer = setTimeout(() => void this.#keepAndGoOn(), delayMs).unref()
  }

  async #keepAndGoOn(): Promise<void> {
    try {
      await this.keep()
    } catch (error) {
      this.#o.log.error({ err: error }, 'jobs could not be expired; it is tried again')
    }
    if (this.#timer !== null) this.#schedule()
  }
}

/**
 * True for the record that the store made of a return which no job asked for; it has Salt's words in place of a target. Other minions may have
 * returned under the same id: two schedules can run in the same microsecond.
 */
function isUnasked(job: JobRecord): boolean {
  return job.tgt === 'unknown-target' && job.tgtType === 'list'
}

function shuttingDown(): BrineError {
  return new BrineError('SHUTTING_DOWN', [], { retryAfter: 5 })
}

function originOf(job: Pick<NewJob, 'user' | 'metadata' | 'cause' | 'minions'>): Origin {
  return { user: job.user, metadata: job.metadata, cause: job.cause, minions: new Set(job.minions) }
}

function deliveryOf(job: NewJob, minion: string): Delivery {
  const { jid, fun, arg, tgt, tgtType, user, deadlineUs } = job
  const delivery: Delivery = { jid, minion, fun, arg, tgt, tgtType, user, ret: job.ret ?? '', deadlineUs }
  return job.metadata === undefined ? delivery : { ...delivery, metadata: job.metadata }
}

/** `saltutil.find_job` answers with the running job, or with an empty mapping. */
function isRunning(answer: ReturnRecord | undefined): boolean {
  const found = answer?.return
  return typeof found === 'object' && found !== null && Object.keys(found).length > 0
}
