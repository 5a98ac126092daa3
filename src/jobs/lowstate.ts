import { setMaxListeners } from 'node:events'
import type { Caller } from '../auth/caller.js'
import { BrineError, brineError, isBrineError } from '../errors.js'
import type { Cause, NewEvent, Source } from '../events/event.js'
import {
  callFunction,
  type FunctionCall,
  type FunctionKind,
  newCallEvent,
  type Outcome,
  returnCallEvent,
  unknownRunnerEvent
} from '../runners/call.js'
import type { CallContext, ReactorControl, ServerContext, ServerFunction } from '../runners/function.js'
import { RUNNERS } from '../runners/index.js'
import { parseArguments } from '../shared/arguments.js'
import { stampOf } from '../shared/clock.js'
import type { ReturnRecord } from '../store/store.js'
import { WHEEL } from '../wheel/index.js'
import { type BatchOptions, inBatches } from './batch.js'
import { type Call, CLIENTS, type LocalCall, readChunk, readLowstate, type ServerCall } from './chunk.js'
import type { JidSource } from './jid.js'
import { noResponse } from './job.js'
import type { Published, PublishRequest } from './jobs.js'
import { returnEvent } from './return.js'

/**
 * Runner and wheel calls that run at the same time. Each holds its arguments and perhaps a wait for minions; beyond this the server says so
 * (503) instead of gathering more.
 */
const MAX_RUNNING = 500

export interface CommandsOptions extends ServerContext {
  readonly jids: Pick<JidSource, 'next'>
  readonly log: { warn(fields: object, text: string): void }
}

/** Where a call comes from. */
export interface From {
  readonly address?: string
  /** Aborted when the client has gone: nobody waits for returns then. What runs goes on. */
  readonly signal?: AbortSignal
}

/** A chunk and who sends it. */
export interface Sent {
  readonly chunk: unknown
  readonly caller: Caller
  /** How the caller proved who it is; Salt names it when it refuses a runner or wheel call. */
  readonly credential?: 'token' | 'eauth'
}

/** A call that was read and permitted, and by whom it is made. */
interface Admitted {
  readonly call: Call
  readonly caller: Caller
}

/** What a reaction knows of the call that it makes. */
export interface ReactionCall {
  readonly jid: string
  readonly reactionId: number
  readonly cause: Cause
}

/** One call of a runner or wheel function, for `context`. */
export interface CallInfo {
  readonly jid: string
  readonly caller: Caller
  readonly cause: Cause | null
  readonly source?: Source
}

/**
 * The one door for commands: local, runner and wheel calls of every caller (HTTP, CLI, reactor) are read, asked of `caller.may` and run
 * here. All chunks of a request are checked before the first one runs.
 */
export class Commands {
  readonly #o: CommandsOptions
  /** Set when the reactor is there: it needs these commands itself. */
  reactor: ReactorControl | null = null
  readonly #running = new Set<Promise<unknown>>()
  readonly #stopping = new AbortController()

  constructor(options: CommandsOptions) {
    this.#o = options
    // every running function may wait on it
    setMaxListeners(MAX_RUNNING * 2, this.#stopping.signal)
  }

  /** The names of the clients, as GET / lists them. */
  get clients(): readonly string[] {
    return CLIENTS
  }

  /**
   * Runs one chunk and gives its entry of Salt's `return` list; for local_batch the list of its entries, one per minion.
   * @throws the errors of `readChunk`; AUTHORIZATION, FUNCTION_REFUSED; FUNCTION_UNKNOWN; GATEWAY_TIMEOUT
   */
  async run(chunk: unknown, caller: Caller, from: From = {}): Promise<unknown> {
    const admitted = this.#admit({ chunk, caller }, '')
    await this.#refuseUnknown([admitted])
    const entries = await this.#perform(admitted, from)
    return admitted.call.client === 'local_batch' ? entries : entries[0]
  }

  /** Runs a request's body, a list of chunks or a single one, and gives Salt's `return` list. */
  async runAll(body: unknown, caller: Caller, from: From = {}): Promise<unknown[]> {
    return this.runEach(
      readLowstate(body).map(chunk => ({ chunk, caller })),
      from
    )
  }

  /** The same with a caller for each chunk (POST /run). */
  async runEach(chunks: readonly Sent[], from: From = {}): Promise<unknown[]> {
    const path = (at: number) => (chunks.length === 1 ? '' : `[${at}].`)
    const admitted = chunks.map((sent, at) => this.#admit(sent, path(at)))
    await this.#refuseUnknown(admitted)
    const entries: unknown[] = []
    for (const each of admitted) {
      // once more: while earlier chunks waited, minions may have come that this one would mean and the caller may not reach
      authorise(each.call, each.caller)
      entries.push(...(await this.#perform(each, from)))
    }
    return entries
  }

  /**
   * Asks a runner or wheel function without leaving events: for GET requests, which only look.
   * @throws FUNCTION_REFUSED
   */
  async query(kind: FunctionKind, fun: string, kwargs: Readonly<Record<string, unknown>>, caller: Caller): Promise<unknown> {
    const call = { fun, args: [], kwargs }
    if (!caller.may({ kind, ...call })) throw brineError('FUNCTION_REFUSED', 'token', caller.user)
    const context = this.context({ jid: this.#o.jids.next(), caller, cause: null })
    return (await callFunction(kind, functionOf(kind, fun), call, context)).return
  }

  /**
   * Publishes a reaction's local call under its reserved job id, once however often it is dispatched.
   * @throws the errors of `readChunk`; AUTHORIZATION; TARGET_SYNTAX, TARGET_TYPE
   */
  async dispatch(chunk: Readonly<Record<string, unknown>>, caller: Caller, reaction: ReactionCall): Promise<Published> {
    const call = readChunk({ ...chunk, client: 'local', jid: reaction.jid }, '', ['local'])
    if (call.kind !== 'local') throw brineError('CLIENT_UNKNOWN', call.client)
    authorise(call, caller)
    return this.#o.jobs.publish({ ...publishRequest(call, caller), cause: reaction.cause, reactionId: reaction.reactionId })
  }

  /** What `callRunner` and `callWheel` need of one call. */
  context({ jid, caller, cause, source }: CallInfo): CallContext {
    const { jids: _, log: __, ...server } = this.#o
    const late = this.reactor === null ? {} : { reactor: this.reactor }
    return { ...server, ...late, jid, user: caller.user, source: source ?? caller.source, cause, caller, signal: this.#stopping.signal }
  }

  /** Ends waits and sleeps of running functions and resolves when their last events are written. May be called twice. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.allSettled(this.#running)
  }

  #admit({ chunk, caller, credential }: Sent, path: string): Admitted {
    const call = readChunk(chunk, path, this.#o.config.netapi_enable_clients)
    authorise(call, caller, credential)
    return { call, caller }
  }

  /**
   * A runner function that does not exist is refused, and the log says so as Salt's does: a return without a beginning, a `fun` without
   * `runner.`, no user (golden/events/runner_unknown.jsonl). Nothing of the request runs. @throws FUNCTION_UNKNOWN
   */
  async #refuseUnknown(admitted: readonly Admitted[]): Promise<void> {
    const unknown = admitted.find(({ call }) => call.kind === 'runner' && !RUNNERS.has(call.fun as string))
    if (unknown === undefined) return
    const { call, caller } = unknown as Admitted & { readonly call: ServerCall }
    const context = this.context({ jid: this.#o.jids.next(), caller, cause: null })
    await this.#o.store.events.append([unknownRunnerEvent(call, context, this.#o.events)])
    throw brineError('FUNCTION_UNKNOWN', call.fun.slice(0, 100))
  }

  /** The entries that a chunk adds to `return`. */
  async #perform({ call, caller }: Admitted, from: From): Promise<unknown[]> {
    switch (call.client) {
      case 'local':
        return [await this.#local(call, caller, from)]
      case 'local_async':
        return [await this.#localAsync(call, caller)]
      case 'local_batch':
        return this.#batch(call, caller, from)
      case 'local_subset':
        return [await this.#subset(call, caller, from)]
      case 'runner':
      case 'wheel':
        return [await this.#callAndWait(call, caller)]
      case 'runner_async':
      case 'wheel_async':
        return [await this.#callAsync(call, caller)]
    }
  }

  /** `{minion: value}`, or with full_return `{minion: {ret[, out], retcode, jid}}`; absent minions are false. */
  async #local(call: LocalCall, caller: Caller, from: From): Promise<Record<string, unknown>> {
    const published = await this.#publish(publishRequest(call, caller))
    if (published.status === 'no-match') return {}
    const { jid, minions, missing } = published
    const returns = await this.#o.jobs.collect(jid, minions, call.timeoutSeconds, waitOptions(call, caller, from))
    const text = noResponse(jid)
    return Object.fromEntries([
      ...[...returns].map(([minion, ret]) => [minion, call.fullReturn ? fullReturn(ret) : ret.return]),
      ...missing.map(minion => [minion, call.fullReturn ? { out: 'no_return', ret: text, retcode: 1 } : text]),
      ...minions.filter(minion => !returns.has(minion)).map(minion => [minion, false])
    ])
  }

  async #localAsync(call: LocalCall, caller: Caller): Promise<Record<string, unknown>> {
    const published = await this.#publish(publishRequest(call, caller))
    return published.status === 'no-match' ? {} : { jid: published.jid, minions: published.minions }
  }

  /** A target that nobody can match is answered like one that nobody matches, as recorded; the name of a nodegroup is checked. */
  async #publish(request: PublishRequest): Promise<Published> {
    try {
      return await this.#o.jobs.publish(request)
    } catch (error) {
      const nobody = isBrineError(error, 'TARGET_SYNTAX') || isBrineError(error, 'TARGET_TYPE')
      if (!nobody || request.tgtType === 'nodegroup') throw error
      return { status: 'no-match', missing: [] }
    }
  }

  async #batch(call: LocalCall, caller: Caller, from: From): Promise<unknown[]> {
    const options: BatchOptions = {
      jobs: this.#o.jobs,
      publish: request => this.#publish(request),
      request: publishRequest(call, caller),
      batch: call.batch,
      wait: { timeoutSeconds: call.timeoutSeconds, ...waitOptions(call, caller, from) }
    }
    const entries: unknown[] = []
    for await (const ret of inBatches(options)) entries.push(call.raw ? await this.#rawReturn(ret) : { [ret.minion]: ret.return })
    return entries
  }

  /** The whole return event, `{data, tag}`, for clients that ask for it. */
  async #rawReturn(ret: ReturnRecord): Promise<unknown> {
    const job = await this.#o.store.jobs.get(ret.jid)
    const [tag, data] = returnEvent({ record: ret, sent: {} }, { user: job?.user ?? '', metadata: job?.metadata })
    return { data: { ...data, _stamp: stampOf(ret.stampUs) }, tag }
  }

  /** A random subset of the minions that know the function. */
  async #subset(call: LocalCall, caller: Caller, from: From): Promise<unknown> {
    const question = { ...call, fun: 'sys.list_functions', arg: [], kwarg: {}, fullReturn: false, jid: undefined, metadata: undefined }
    const answers = await this.#local(question, caller, from)
    const wanted = partsOf(call).map(part => part.fun)
    const able = Object.keys(answers).filter(id => {
      const known = answers[id]
      return Array.isArray(known) && wanted.every(fun => known.includes(fun))
    })
    return this.#local({ ...call, tgt: shuffled(able).slice(0, call.subset), tgtType: 'list' }, caller, from)
  }

  /** A runner's value (full_return: its whole event), a wheel function's `{tag, data}`. */
  async #callAndWait(call: ServerCall, caller: Caller): Promise<unknown> {
    const context = this.context({ jid: this.#o.jids.next(), caller, cause: null })
    const { outcome, event } = await this.#inTime(call, await this.#begin(call, context))
    if (call.kind === 'wheel') {
      const tag = `salt/wheel/${context.jid}`
      const about = { fun: `wheel.${call.fun}`, jid: context.jid, tag, user: context.user, _stamp: stampOf(event.stampUs) }
      return { tag, data: { ...about, return: outcome.return, success: outcome.success } }
    }
    return call.fullReturn ? { data: { ...JSON.parse(event.json), return: outcome.return }, tag: event.tag } : outcome.return
  }

  /** `{tag, jid}` as soon as the call's first event is committed; the outcome is in its last one. */
  async #callAsync(call: ServerCall, caller: Caller): Promise<unknown> {
    const context = this.context({ jid: this.#o.jids.next(), caller, cause: null })
    const { ended } = await this.#begin(call, context)
    ended.catch(error => this.#o.log.warn({ err: error, jid: context.jid, fun: call.fun }, 'the outcome of a call could not be written'))
    return { tag: `salt/${call.kind === 'runner' ? 'run' : 'wheel'}/${context.jid}`, jid: context.jid }
  }

  /** Writes the call's first event, then starts it. `ended` settles when its last event is written. */
  async #begin(call: ServerCall, context: CallContext): Promise<{ ended: Promise<{ outcome: Outcome; event: NewEvent }> }> {
    if (this.#running.size >= MAX_RUNNING) throw new BrineError('TOO_MANY', ['runner and wheel calls are running'], { retryAfter: 1 })
    if (this.#stopping.signal.aborted) throw new BrineError('SHUTTING_DOWN', [], { retryAfter: 5 })
    const asked: FunctionCall = { fun: call.fun, args: call.args, kwargs: call.kwargs }
    const run = async () => {
      const fn = functionOf(call.kind, call.fun)
      const tell = async (outcome: Outcome) => {
        const event = returnCallEvent(call.kind, asked, outcome, context, this.#o.events, fn)
        await this.#o.store.events.append([event])
        return { outcome, event }
      }
      try {
        return await tell(await callFunction(call.kind, fn, asked, context))
      } catch (error) {
        // the store, or the end of the server: told in the log too, where that still can be
        await tell({ return: String((error as Error).message), success: false }).catch(() => {})
        throw error
      }
    }
    const first = this.#o.store.events.append([newCallEvent(call.kind, asked, context, this.#o.events)])
    const ended = first.then(run).finally(() => this.#running.delete(ended))
    this.#running.add(ended)
    ended.catch(() => {}) // who waits for it hears of it; nobody may have begun to when the first event fails
    await first
    return { ended }
  }

  async #inTime<T>(call: ServerCall, { ended }: { ended: Promise<T> }): Promise<T> {
    if (call.kind === 'wheel' || call.timeoutSeconds === undefined) return ended
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(brineError('GATEWAY_TIMEOUT')), call.timeoutSeconds! * 1000)
    })
    return Promise.race([ended, late]).finally(() => clearTimeout(timer))
  }
}

function functionOf(kind: FunctionKind, fun: string): ServerFunction | undefined {
  return (kind === 'runner' ? RUNNERS : WHEEL).get(fun)
}

/** Asks whether the caller may make this call, every part of it. @throws AUTHORIZATION, FUNCTION_REFUSED */
function authorise(call: Call, caller: Caller, credential: 'token' | 'eauth' = 'token'): void {
  if (call.kind !== 'local') {
    const { kind, fun, args, kwargs } = call
    if (!caller.may({ kind, fun, args, kwargs })) throw brineError('FUNCTION_REFUSED', credential, caller.user)
    return
  }
  const { tgt, tgtType, client } = call
  const asked = client === 'local_subset' ? [{ fun: 'sys.list_functions', args: [], kwargs: {} }] : []
  const permitted = [...asked, ...partsOf(call)].every(each => caller.may({ kind: 'local', ...each, tgt, tgtType }))
  if (!permitted) throw brineError('AUTHORIZATION')
}

/** Each function of a call with its own arguments: what must be permitted. */
function partsOf(call: LocalCall): { fun: string; args: readonly unknown[]; kwargs: Readonly<Record<string, unknown>> }[] {
  const part = (fun: string, arg: readonly unknown[]) => {
    const { args, kwargs } = parseArguments(arg)
    return { fun, args, kwargs: { ...kwargs, ...call.kwarg } }
  }
  if (typeof call.fun === 'string') return [part(call.fun, call.arg)]
  return call.fun.map((fun, at) => part(fun, call.arg[at] as readonly unknown[]))
}

function publishRequest(call: LocalCall, caller: Caller): PublishRequest {
  const { tgt, tgtType, delimiter, fun, arg, kwarg, timeoutSeconds, gatherSeconds, metadata, ret, jid } = call
  return { tgt, tgtType, delimiter, fun, arg, kwarg, user: caller.user, timeoutSeconds, gatherSeconds, metadata, ret, jid }
}

function waitOptions(
  call: LocalCall,
  caller: Caller,
  { signal }: From
): { gatherSeconds: number | undefined; askAs: string; signal?: AbortSignal } {
  return { gatherSeconds: call.gatherSeconds, askAs: caller.user, ...(signal ? { signal } : {}) }
}

function fullReturn(ret: ReturnRecord): Record<string, unknown> {
  return { ret: ret.return, ...(ret.out === undefined ? {} : { out: ret.out }), retcode: ret.retcode, jid: ret.jid }
}

function shuffled<T>(items: readonly T[]): T[] {
  const mixed = [...items]
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1))
    ;[mixed[last], mixed[other]] = [mixed[other]!, mixed[last]!]
  }
  return mixed
}
