import type { Caller } from '../auth/caller.js'
import { isBrineError } from '../errors.js'
import type { Cause, NewEvent, StoredEvent } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import type { Published } from '../jobs/jobs.js'
import type { Commands } from '../jobs/lowstate.js'
import type { FunctionCall, FunctionKind, Outcome } from '../runners/call.js'
import type { CallContext } from '../runners/function.js'
import { callRunner, RUNNERS, runnerNewEvent, runnerRetEvent } from '../runners/index.js'
import type { Clock } from '../shared/clock.js'
import type { ReactionRecord, Store } from '../store/store.js'
import { callWheel, WHEEL, wheelNewEvent, wheelRetEvent } from '../wheel/index.js'
import { backoffUs } from './backoff.js'
import type { ReactionCall } from './compiled.js'
import type { ReactorErrors } from './errors.js'
import type { Guards } from './guards.js'
import type { RetryOn, RuleOptions } from './options.js'
import { mayRetry, type Retrier } from './retry.js'
import type { JobSettler } from './settle.js'

export interface DispatcherOptions {
  readonly store: { readonly reactions: Pick<Store['reactions'], 'dispatched' | 'settle'> }
  readonly events: Pick<EventLog, 'prepare'>
  readonly commands: Pick<Commands, 'dispatch' | 'context'>
  readonly settler: Pick<JobSettler, 'expect' | 'published' | 'forget'>
  readonly errors: ReactorErrors
  readonly caller: Caller
  readonly clock: Clock
  /** The minion that runs `caller` reactions: the embedded one; null when there is none. */
  readonly callerMinion: string | null
  readonly guards: Pick<Guards, 'outcome'>
  /** A rule's own attempts; null: those of the setting reactor_attempts. */
  readonly retryOf: (rule: string) => RuleOptions['retry']
  readonly attempts: number
  readonly retrier: Pick<Retrier, 'again'>
  readonly log: { warn(fields: object, text: string): void }
  /** Called with the time (microseconds) at which a reaction is to be tried again. */
  readonly retryAt: (us: number) => void
  /** Called when plans that stood in line may go on. */
  readonly released: () => void
}

/** Runner and wheel calls of reactions that run at the same time. When they are this many, the next reaction waits for one to end. */
const MAX_RUNNING = 200

/** The way a runner and a wheel function are called. */
const SERVER = {
  runner: { functions: RUNNERS, newEvent: runnerNewEvent, retEvent: runnerRetEvent, call: callRunner },
  wheel: { functions: WHEEL, newEvent: wheelNewEvent, retEvent: wheelRetEvent, call: callWheel }
} as const

/**
 * Makes the calls of reactions, through the same doors as everybody, as user `Reactor`. Each is made once: a local call under its reserved job
 * id, in the transaction that marks the reaction dispatched; a runner or wheel call after the commit that marks it. Where a rule says so, one that
 * went wrong is made again, as another attempt with another job id.
 */
export class Dispatcher {
  readonly #o: DispatcherOptions
  readonly #running = new Set<Promise<void>>()

  constructor(options: DispatcherOptions) {
    this.#o = options
  }

  /** Runner and wheel calls under way. */
  get running(): number {
    return this.#running.size
  }

  /**
   * Makes one planned reaction's call, or records why it is not made. Resolves when that is in the store; a runner or wheel function then
   * still runs. @throws STORE_… when the store cannot write now, SHUTTING_DOWN when it is too late: the reaction stays planned
   */
  async dispatch(reaction: ReactionRecord, event: StoredEvent): Promise<void> {
    const call = reaction.call as ReactionCall
    const cause = causeOf(event)
    try {
      const refusal = this.#refusal(call)
      if (refusal !== null) await this.#giveUp(reaction, event, refusal)
      else if (call.client === 'runner' || call.client === 'wheel') await this.#start(call.client, reaction, call, cause)
      else await this.#publish(reaction, event, call, cause)
    } catch (error) {
      const known = isBrineError(error)
      if (known && (error.code.startsWith('STORE_') || error.code === 'SHUTTING_DOWN')) throw error
      // A mistake of brine itself must not be tried for ever.
      if (!known) this.#o.log.warn({ err: error, reaction: reaction.id }, 'a reaction failed unexpectedly')
      await this.#failed(reaction, event, (error as Error).message, known && error.status >= 500)
    }
  }

  /** Resolves when no runner or wheel call of a reaction runs any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running)
  }

  /**
   * Ends a runner or wheel reaction that was under way when the server stopped: whether it did its work nobody knows, so it is not
   * repeated. Its return event says so.
   */
  async interrupted(reaction: ReactionRecord, cause: Cause | null): Promise<void> {
    const call = reaction.call as ReactionCall
    const kind = call.client as FunctionKind
    const context = this.#context(reaction, cause)
    const event = SERVER[kind].retEvent(functionCall(call), { return: INTERRUPTED, success: false }, context, this.#o.events)
    await this.#wrong(reaction, 'interrupted', reaction.attempts, INTERRUPTED, event)
  }

  /** Why the call cannot be made at all; null when it can. */
  #refusal(call: ReactionCall): string | null {
    if (call.error !== undefined) return call.error
    const { client, fun } = call
    if (client === 'runner' || client === 'wheel') {
      if (!SERVER[client].functions.has(fun)) return `${client} function '${fun}' is not available`
      const allowed = this.#o.caller.may({ kind: client, fun, args: call.arg ?? [], kwargs: call.kwarg ?? {} })
      return allowed ? null : `the reactor may not call ${client} '${fun}'`
    }
    if (client === 'local') return null
    if (client !== 'caller') return `reaction type '${client}' is unknown`
    return this.#o.callerMinion === null ? 'caller reactions need the embedded minion (embedded_minion: true)' : null
  }

  async #publish(reaction: ReactionRecord, event: StoredEvent, call: ReactionCall, cause: Cause): Promise<void> {
    const { commands, settler, caller } = this.#o
    const chunk = call.client === 'caller' ? { ...localChunk(call), tgt: [this.#o.callerMinion], tgt_type: 'list' } : localChunk(call)
    settler.expect(reaction)
    let published: Published | null = null
    try {
      published = await commands.dispatch(chunk, caller, { jid: reaction.jid, reactionId: reaction.id, cause })
    } finally {
      if (published === null || published.status === 'no-match') settler.forget(reaction.jid)
      else settler.published(reaction.jid, published.minions)
    }
    if (published.status !== 'no-match') return
    const target = JSON.stringify(chunk.tgt)?.slice(0, 200)
    const mayHelp = mayRetry(this.#o.retryOf(reaction.rule), ['unmatched'])
    await this.#failed(reaction, event, `no minion matches ${target} (${chunk.tgt_type ?? 'glob'})`, mayHelp)
  }

  async #start(kind: FunctionKind, reaction: ReactionRecord, call: ReactionCall, cause: Cause): Promise<void> {
    while (this.#running.size >= MAX_RUNNING) await Promise.race(this.#running)
    const context = this.#context(reaction, cause)
    const asked = functionCall(call)
    const event = SERVER[kind].newEvent(asked, context, this.#o.events)
    if ((await this.#o.store.reactions.dispatched(reaction.id, this.#o.clock.nowUs(), [event])) === 'taken') return
    const running = this.#run(kind, reaction, asked, context).finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  /** Calls the function and records its outcome. Never rejects: when the outcome cannot be written, the next start ends the reaction. */
  async #run(kind: FunctionKind, reaction: ReactionRecord, asked: FunctionCall, context: CallContext): Promise<void> {
    try {
      const outcome = await outcomeOf(SERVER[kind].call(asked.fun, asked.args, asked.kwargs, context))
      const event = SERVER[kind].retEvent(asked, outcome, context, this.#o.events)
      if (outcome.success) await this.#settle(reaction, 'succeeded', null, [event])
      else await this.#wrong(reaction, 'failed', reaction.attempts + 1, String(outcome.return).slice(0, MAX_ERROR), event)
    } catch (error) {
      this.#o.log.warn({ err: error, reaction: reaction.id, jid: reaction.jid }, 'the outcome of a reaction could not be written')
    }
  }

  /** A function was called and did not succeed: its reaction is tried again where the rule says so, else it has failed. */
  async #wrong(reaction: ReactionRecord, why: RetryOn, made: number, error: string, event: NewEvent): Promise<void> {
    if (await this.#o.retrier.again(reaction, { why: [why], error, made, events: [event] })) return
    await this.#settle(reaction, 'failed', error, [event])
  }

  #context(reaction: ReactionRecord, cause: Cause | null): CallContext {
    return this.#o.commands.context({ jid: reaction.jid, caller: this.#o.caller, cause, source: 'reactor' })
  }

  /** Tries again later when that may help and nothing was published yet; else the reaction is a dead letter. */
  async #failed(reaction: ReactionRecord, event: StoredEvent, reason: string, mayHelp: boolean): Promise<void> {
    const retry = this.#o.retryOf(reaction.rule)
    if (!mayHelp || reaction.attempts + 1 >= (retry?.attempts ?? this.#o.attempts)) return this.#giveUp(reaction, event, reason)
    const nowUs = this.#o.clock.nowUs()
    const retryUs = nowUs + backoffUs(reaction.attempts, retry)
    await this.#o.store.reactions.settle(reaction.id, { state: 'planned', retryUs }, reason.slice(0, MAX_ERROR), nowUs, [])
    this.#o.retryAt(retryUs)
  }

  async #giveUp(reaction: ReactionRecord, event: StoredEvent, reason: string): Promise<void> {
    const error = reason.slice(0, MAX_ERROR)
    const { rule, sls, section } = reaction
    const events = this.#o.errors.about({ rule, sls, section, state: 'dead', attempts: reaction.attempts + 1, error }, event)
    await this.#settle(reaction, 'dead', error, events)
  }

  async #settle(
    { id, rule, event }: ReactionRecord,
    state: 'succeeded' | 'failed' | 'dead',
    error: string | null,
    events: readonly NewEvent[]
  ): Promise<void> {
    if ((await this.#o.store.reactions.settle(id, { state }, error, this.#o.clock.nowUs(), events)) > 0) this.#o.released()
    await this.#o.guards.outcome(rule, event, error)
  }
}

/** Longest error text that is kept. */
export const MAX_ERROR = 4000

const INTERRUPTED = 'interrupted by a restart of the server'

/** What a reaction to this event was caused by: what it does lies one reaction further from the outside world. */
export function causeOf(event: Pick<StoredEvent, 'seq' | 'cause'>): Cause {
  return { seq: event.seq, depth: (event.cause?.depth ?? 0) + 1 }
}

function functionCall(call: ReactionCall): FunctionCall {
  return { fun: call.fun, args: call.arg ?? [], kwargs: call.kwarg ?? {} }
}

function localChunk({ fun, arg, kwarg, tgt, tgt_type, ret, other, only }: ReactionCall): Record<string, unknown> {
  const target = only === undefined ? { tgt, tgt_type } : { tgt: only, tgt_type: 'list' }
  return { ...other, fun, arg, kwarg, ...target, ret }
}

/** The store's failures inside of a function are the call's outcome here: the reaction was dispatched and is not repeated. */
async function outcomeOf(call: Promise<Outcome>): Promise<Outcome> {
  try {
    return await call
  } catch (error) {
    return { return: error instanceof Error ? error.message : String(error), success: false }
  }
}
