import type { StoredEvent } from '../events/event.js'
import type { Hub } from '../hub/hub.js'
import { returnOfEvent } from '../jobs/return.js'
import type { Clock } from '../shared/clock.js'
import type { JobRecord, ReactionRecord, ReturnRecord, Store } from '../store/store.js'
import type { ReactionCall } from './compiled.js'
import type { Guards } from './guards.js'
import type { RetryOn } from './options.js'
import type { Retrier } from './retry.js'

export interface JobSettlerOptions {
  readonly store: {
    readonly jobs: Pick<Store['jobs'], 'get' | 'returns'>
    readonly reactions: Pick<Store['reactions'], 'inState' | 'settle'>
  }
  readonly hub: Pick<Hub, 'listen'>
  readonly guards: Pick<Guards, 'outcome'>
  readonly retrier: Pick<Retrier, 'again'>
  readonly clock: Clock
  /** Called when plans that stood in line may go on. */
  readonly released: () => void
  readonly log: { warn(fields: object, text: string): void }
}

/** Jobs of reactions whose returns are counted in memory. For those beyond, and for jobs that expire, the sweep asks the store. */
const MAX_EXPECTED = 10_000
/** How often, and for how many reactions at a time, the store is asked. */
const SWEEP_MS = 10_000
const SWEEP_LIMIT = 1000

interface Expected {
  readonly reaction: Pick<ReactionRecord, 'id' | 'rule' | 'event' | 'jid' | 'call'>
  /** The attempts that were made when this one is over. */
  readonly made: number
  /** Who has still to return; null until the publish has said who is expected. */
  open: Set<string> | null
  readonly returned: Set<string>
  readonly failed: string[]
}

/**
 * Ends local reactions when their jobs end: succeeded when every minion returned with success, failed when one did not, or did not return
 * before the job's deadline; or plans another attempt for those minions, where the rule says so. Returns are heard of live; the sweep finds what was missed: expired jobs, and those that ended while the
 * server was down.
 */
export class JobSettler {
  readonly #o: JobSettlerOptions
  readonly #expected = new Map<string, Expected>()
  readonly #settling = new Set<Promise<void>>()
  #unlisten: (() => void) | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(options: JobSettlerOptions) {
    this.#o = options
  }

  start(): void {
    this.#unlisten ??= this.#o.hub.listen({ include: ['salt/job/*/ret/*'] }, event => this.#onReturn(event))
    if (this.#timer !== null) return
    this.#timer = setInterval(() => void this.sweep(), SWEEP_MS)
    this.#timer.unref()
    void this.sweep()
  }

  async stop(): Promise<void> {
    this.#unlisten?.()
    this.#unlisten = null
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
    await Promise.allSettled(this.#settling)
  }

  /** A reaction's job is about to be published: minions may return before the publish resolves. */
  expect(reaction: ReactionRecord): void {
    if (this.#expected.size >= MAX_EXPECTED) return
    this.#expected.set(reaction.jid, { reaction, made: reaction.attempts + 1, open: null, returned: new Set(), failed: [] })
  }

  /** It was published to these minions. */
  published(jid: string, minions: readonly string[]): void {
    const expected = this.#expected.get(jid)
    if (expected === undefined) return
    expected.open = new Set(minions.filter(id => !expected.returned.has(id)))
    this.#endIfComplete(jid, expected)
  }

  /** It was not published. */
  forget(jid: string): void {
    this.#expected.delete(jid)
  }

  /** Ends the dispatched local reactions whose jobs are over. */
  async sweep(): Promise<void> {
    try {
      for (const reaction of await this.#o.store.reactions.inState('dispatched', SWEEP_LIMIT)) {
        const { client } = reaction.call as ReactionCall
        if (client === 'local' || client === 'caller') await this.#look(reaction)
      }
    } catch (error) {
      this.#o.log.warn({ err: error }, 'the reactions under way could not be looked at')
    }
  }

  async #look(reaction: ReactionRecord): Promise<void> {
    const job = await this.#o.store.jobs.get(reaction.jid)
    if (job?.state === 'running') return
    this.#expected.delete(reaction.jid)
    const wrong = job === null ? NOT_KEPT : whatFailed(job, await this.#o.store.jobs.returns(job.jid))
    await this.#settle({ reaction, made: reaction.attempts }, wrong)
  }

  #onReturn(event: StoredEvent): void {
    const jid = event.tag.split('/')[2] ?? ''
    const expected = this.#expected.get(jid)
    if (expected === undefined) return
    // Only what a minion sent itself as its return, and only of minions that are meant: any minion may fire events with such a tag.
    const ret = returnOfEvent(event)
    if (ret === null || expected.returned.has(ret.minion) || expected.open?.has(ret.minion) === false) return
    expected.returned.add(ret.minion)
    expected.open?.delete(ret.minion)
    if (!ret.success || ret.retcode !== 0) expected.failed.push(ret.minion)
    this.#endIfComplete(jid, expected)
  }

  #endIfComplete(jid: string, expected: Expected): void {
    const { open, failed } = expected
    if (open === null || open.size > 0) return
    this.#expected.delete(jid)
    void this.#settle(expected, failed.length === 0 ? null : wrongOf(failed, []))
  }

  /** Never rejects: what could not be written now, the sweep finds again. */
  #settle(attempt: Attempt, wrong: Wrong | null): Promise<void> {
    const settling = this.#end(attempt, wrong)
      .catch(error =>
        this.#o.log.warn({ err: error, reaction: attempt.reaction.id }, 'the end of a reaction could not be written; it is tried again')
      )
      .finally(() => this.#settling.delete(settling))
    this.#settling.add(settling)
    return settling
  }

  async #end({ reaction, made }: Attempt, wrong: Wrong | null): Promise<void> {
    const { id, rule, event } = reaction
    if (wrong !== null && (await this.#o.retrier.again(reaction, { ...wrong, made }))) return
    const error = wrong?.error ?? null
    const state = error === null ? 'succeeded' : 'failed'
    const released = await this.#o.store.reactions.settle(id, { state }, error, this.#o.clock.nowUs(), [])
    if (released > 0) this.#o.released()
    await this.#o.guards.outcome(rule, event, error)
  }
}

type Attempt = Pick<Expected, 'reaction' | 'made'>

/** What went wrong with a job, and on which minions. */
interface Wrong {
  readonly why: readonly RetryOn[]
  readonly error: string
  readonly only: readonly string[]
}

/** Nobody knows what became of it. */
const NOT_KEPT: Wrong = { why: [], error: 'its job is no longer kept', only: [] }

function whatFailed(job: JobRecord, returns: readonly ReturnRecord[]): Wrong | null {
  const returned = new Set(returns.map(ret => ret.minion))
  const absent = job.minions.filter(id => !returned.has(id))
  const failed = returns.filter(ret => !ret.success || ret.retcode !== 0).map(ret => ret.minion)
  return failed.length + absent.length === 0 ? null : wrongOf(failed, absent)
}

function wrongOf(failed: readonly string[], absent: readonly string[]): Wrong {
  const reasons: [RetryOn, string][] = []
  if (failed.length > 0) reasons.push(['failed', `failed on ${named(failed)}`])
  if (absent.length > 0) reasons.push(['absent', `no return from ${named(absent)}`])
  return { why: reasons.map(([why]) => why), error: reasons.map(([, text]) => text).join('; '), only: [...failed, ...absent] }
}

/** A few names and how many more: an error is for people. */
function named(ids: readonly string[]): string {
  return ids.length <= 10 ? ids.join(', ') : `${ids.slice(0, 10).join(', ')} and ${ids.length - 10} more`
}
