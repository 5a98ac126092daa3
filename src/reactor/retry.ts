import type { NewEvent } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import type { JidSource } from '../jobs/jid.js'
import type { Clock } from '../shared/clock.js'
import type { ReactionRecord, Store } from '../store/store.js'
import { reactorRetry } from '../tags/tags.js'
import { backoffUs } from './backoff.js'
import type { ReactionCall } from './compiled.js'
import type { RetryOn, RuleOptions } from './options.js'
import { packed } from './packed.js'

export interface RetrierOptions {
  readonly store: { readonly events: Pick<Store['events'], 'get'>; readonly reactions: Pick<Store['reactions'], 'again'> }
  readonly events: Pick<EventLog, 'prepare'>
  readonly jids: Pick<JidSource, 'next'>
  readonly clock: Clock
  readonly retryOf: (rule: string) => RuleOptions['retry']
  readonly attempts: number
  /** Called with the time (microseconds) at which a reaction is to be tried again. */
  readonly retryAt: (us: number) => void
}

/** A call that was made and did not do what it should. */
export interface WentWrong {
  /** All that went wrong: it is only tried again where the rule names each of these. */
  readonly why: readonly RetryOn[]
  readonly error: string
  /** Attempts made so far. */
  readonly made: number
  /** Of a job: the minions that are to try again. */
  readonly only?: readonly string[]
  /** What is to be told of the attempt that is over. */
  readonly events?: readonly NewEvent[]
}

/**
 * Makes calls again that were made already, where a rule says that they may be (`retry: {on: …}`): under a new job id, so that each attempt is a job or a
 * call of its own, still made once. The end of one attempt and the plan of the next are one transaction. An event `salt/reactor/<rule>/retry` tells of
 * each: `{rule, plans: [], reactions: [id], attempt, jid, error, user: Reactor}`, where `jid` is that of the attempt that is over.
 */
export class Retrier {
  readonly #o: RetrierOptions

  constructor(options: RetrierOptions) {
    this.#o = options
  }

  /** False: it is not to be tried again, and nothing was written. @throws STORE_… */
  async again(reaction: Pick<ReactionRecord, 'id' | 'rule' | 'event' | 'jid' | 'call'>, wrong: WentWrong): Promise<boolean> {
    const { id, rule, event, jid } = reaction
    const { why, error, made, only, events = [] } = wrong
    const retry = this.#o.retryOf(rule)
    if (!mayRetry(retry, why) || made >= (retry?.attempts ?? this.#o.attempts)) return false
    const nowUs = this.#o.clock.nowUs()
    const retryUs = nowUs + backoffUs(made - 1, retry)
    const call = only === undefined ? reaction.call : { ...(reaction.call as ReactionCall), only }
    const data = { rule, plans: [], reactions: [id], attempt: made, jid, error, user: 'Reactor' }
    const depth = ((await this.#o.store.events.get(event))?.cause?.depth ?? 0) + 1
    const told = this.#o.events.prepare(reactorRetry(rule), data, { source: 'reactor', cause: { seq: event, depth } })
    const next = { jid: this.#o.jids.next(), call: packed(call), retryUs }
    const done = await this.#o.store.reactions.again(id, next, error, nowUs, [...events, told])
    if (done) this.#o.retryAt(retryUs)
    return done
  }
}

/** Whether a rule lets a call be made again after all of this. */
export function mayRetry(retry: RuleOptions['retry'], why: readonly RetryOn[]): boolean {
  return why.length > 0 && why.every(kind => retry?.on?.includes(kind))
}
