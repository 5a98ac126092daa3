/**
 * Runs low data: each state after its requisites, results in Salt's shape. What a requisite decides is in requisites.ts. Recorded in
 * golden/events/state_*.jsonl.
 */
import type { ModuleContext } from '../context.js'
import { messageOf } from '../modules/errors.js'
import { flag, type Mapping } from '../modules/values.js'
import { callState, retryOf, withRetry } from './call.js'
import { findState, watcherOf } from './index.js'
import { decide, type Found, findRequisites, lostText } from './requisites.js'
import {
  type Low,
  REQUISITES,
  REQUISITES_IN,
  type Requisites,
  type RunResult,
  type StateContext,
  type StateResult,
  tagOf
} from './state.js'

export interface RunOptions {
  readonly test: boolean
  readonly saltenv: string
  /** Fire a progress event for each state. */
  readonly events: boolean
  readonly failhard: boolean
  /** Runs these, and what they require, alone. */
  readonly only?: (low: Low) => boolean
}

/** Results by tag, in the order in which the states ran. */
export async function runStates(ctx: ModuleContext, chunks: readonly Low[], options: RunOptions): Promise<Record<string, RunResult>> {
  const run = new StateRun(ctx, chunks, options)
  return run.all()
}

class StateRun {
  readonly #ctx: ModuleContext
  readonly #chunks: readonly Low[]
  readonly #options: RunOptions
  readonly #results = new Map<string, RunResult>()
  /** What states that others have as `prereq` would do. */
  readonly #predicted = new Map<string, RunResult>()
  /** States that are being predicted, or have been: meeting one again adds nothing. */
  readonly #predicting = new Set<string>()
  /** States with `parallel` that run now, by tag. */
  readonly #parallel = new Map<string, Promise<void>>()
  readonly #accumulators: StateContext['accumulators'] = new Map()
  /** States whose requisites are being run: meeting one of them again means a ring. */
  readonly #active = new Set<string>()
  #number = 0
  #stopped = false

  constructor(ctx: ModuleContext, chunks: readonly Low[], options: RunOptions) {
    this.#ctx = ctx
    this.#chunks = chunks
    this.#options = options
  }

  async all(): Promise<Record<string, RunResult>> {
    const { only } = this.#options
    for (const low of only ? this.#chunks.filter(only) : this.#chunks) {
      if (this.#stopped) break
      await this.#runChunk(low)
    }
    const beside = this.#parallel.size > 0
    await this.#drain()
    // Salt tells those who listen also when a failed state has ended the run: what has changed has changed.
    await this.#listen()
    const results = [...this.#results]
    // States that ran beside others ended in any order; they are shown in the order in which they began.
    return Object.fromEntries(beside ? results.sort(([, a], [, b]) => a.__run_num__ - b.__run_num__) : results)
  }

  /** Runs a state after its requisites; a parallel one is only begun. */
  async #runChunk(low: Low): Promise<void> {
    const tag = tagOf(low)
    if (this.#results.has(tag) || this.#parallel.has(tag)) return
    this.#active.add(tag)
    try {
      const act = await this.#prepare(low)
      // The umask is the whole process's: a state that sets it runs alone.
      if (low.umask !== undefined) await this.#drain()
      else if (act && flag(low.parallel ?? false)) {
        this.#parallel.set(tag, this.#finish(low, act))
        return
      }
      if (act) await this.#finish(low, act)
    } finally {
      this.#active.delete(tag)
    }
  }

  async #finish(low: Low, act: () => Promise<RunResult>): Promise<void> {
    await this.#settle(low, await act())
  }

  /** Waits for the parallel states that have begun. */
  async #drain(): Promise<void> {
    for (const end of [...this.#parallel.values()]) await end
  }

  /** Notes a result; a failed state with `failhard` ends the run. */
  async #settle(low: Low, result: RunResult): Promise<void> {
    const complete: RunResult = Object.hasOwn(result, '__id__') ? result : { ...result, __id__: low.__id__, name: low.name }
    this.#results.set(tagOf(low), complete)
    await this.#reload(low)
    await this.#announce(low, complete)
    const { test, failhard } = this.#options
    if (complete.result === false && !test && flag(low.failhard ?? failhard)) this.#stopped = true
  }

  /** `reload_grains`, `reload_pillar`: the states behind this one see what it has changed. */
  async #reload(low: Low): Promise<void> {
    const { agent, grains, pillar } = this.#ctx
    if (flag(low.reload_grains ?? false)) Object.assign(grains, await agent.refreshGrains())
    if (flag(low.reload_pillar ?? false)) Object.assign(pillar, await agent.refreshPillar())
  }

  /** Runs the requisites; what is to be done then. null: the run has ended meanwhile. */
  async #prepare(low: Low): Promise<(() => Promise<RunResult>) | null> {
    const found = findRequisites(low, this.#chunks)
    const notRun = (result: boolean, comment: string) => async (): Promise<RunResult> => this.#notRun(low, result, comment)
    if (found.lost.length > 0) return notRun(false, lostText(found.lost))
    if (!(await this.#runRequired(low, found))) return this.#stopped ? null : notRun(false, 'Recursive requisite found')
    for (const target of found.requisites.prereq ?? []) await this.#predict(target, low)
    if (this.#stopped) return null
    const decision = decide(found.requisites, this.#results, this.#predicted)
    switch (decision.kind) {
      case 'failed':
        return notRun(false, `One or more requisite failed: ${decision.failed.join(', ')}`)
      case 'skip':
        return async () => ({ ...this.#notRun(low, true, decision.comment), ...(decision.ran ? {} : { __state_ran__: false }) })
      case 'run':
        return () => this.#call(low, low.fun, this.#options.test, found)
      case 'changed':
        return () => this.#callThenWatch(low, this.#options.test, found)
    }
  }

  /** Runs the requisites that have not run yet. false: they form a ring, or the run has ended. */
  async #runRequired(low: Low, { requisites }: Found): Promise<boolean> {
    for (const [kind, lows] of Object.entries(requisites)) {
      if (kind === 'prereq') continue
      for (const required of lows) {
        const tag = tagOf(required)
        await this.#parallel.get(tag)
        if (this.#results.has(tag)) continue
        if (this.#active.has(tag) || required === low) return false
        await this.#runChunk(required)
        await this.#parallel.get(tag)
        if (this.#stopped) return false
      }
    }
    return true
  }

  /** The same for a prediction: what waits for the asking state itself is only predicted, too. */
  async #runForPrediction(low: Low, { requisites }: Found, asking: Low): Promise<boolean> {
    for (const [kind, lows] of Object.entries(requisites)) {
      if (kind === 'prereq') continue
      for (const required of lows) {
        if (required === asking || this.#results.has(tagOf(required))) continue
        if (this.#waitsFor(required, asking)) await this.#predict(required, asking)
        else if (!(await this.#runRequired(low, { requisites: { [kind]: [required] }, lost: [] }))) return false
        if (this.#stopped) return false
      }
    }
    return true
  }

  /** Whether a state can only run after another one. */
  #waitsFor(low: Low, other: Low, seen = new Set<Low>()): boolean {
    seen.add(low)
    const before = Object.values(findRequisites(low, this.#chunks).requisites).flat()
    return before.some(required => required === other || (!seen.has(required) && this.#waitsFor(required, other, seen)))
  }

  /**
   * Asks in test mode what a state would do, after its own requisites have run. `asking` runs before it and is no obstacle. A state that cannot run
   * because of these has its result at once.
   */
  async #predict(low: Low, asking: Low): Promise<void> {
    const tag = tagOf(low)
    if (this.#predicting.has(tag)) return
    this.#predicting.add(tag)
    const found = findRequisites(low, this.#chunks)
    if (found.lost.length > 0 || !(await this.#runForPrediction(low, found, asking))) {
      this.#predicted.set(tag, this.#notRun(low, false, lostText(found.lost), null))
      return
    }
    const { prerequired: _asking, prereq: _own, ...others } = found.requisites
    const decision = decide(others, this.#results, this.#predicted)
    if (decision.kind === 'failed') await this.#settleAhead(low, false, `One or more requisite failed: ${decision.failed.join(', ')}`)
    else if (decision.kind === 'skip') await this.#settleAhead(low, true, decision.comment)
    else {
      const result = await this.#callOnce(low, low.fun, { test: true, found, number: null })
      const reacts = decision.kind === 'changed' && Object.keys(result.changes).length === 0
      this.#predicted.set(tag, reacts ? { ...result, changes: { watch: 'watch' }, result: null } : result)
    }
  }

  async #settleAhead(low: Low, result: boolean, comment: string): Promise<void> {
    const outcome = this.#notRun(low, result, comment)
    this.#predicted.set(tagOf(low), outcome)
    await this.#settle(low, result ? { ...outcome, __state_ran__: false } : outcome)
  }

  /** A state whose watched states changed: as always, and if that changes nothing, its reaction. */
  async #callThenWatch(low: Low, test: boolean, found: Found): Promise<RunResult> {
    const result = await this.#call(low, low.fun, test, found)
    if (Object.keys(result.changes).length > 0 || result.skip_watch || !watcherOf(low.state)) return result
    return this.#call({ ...low, sfun: low.fun, fun: 'mod_watch', __reqs__: allKinds(found.requisites) }, 'mod_watch', test, found)
  }

  async #call(low: Low, fun: string, test: boolean, found: Found): Promise<RunResult> {
    const once = (): Promise<RunResult> => this.#callOnce(low, fun, { test, found, number: this.#number++ })
    const retry = retryOf(low.retry)
    return retry ? withRetry(retry, this.#context(low, test, found), once) : once()
  }

  /** `number`: its `__run_num__`; a prediction has none. */
  async #callOnce(
    low: Low,
    fun: string,
    { test, found, number }: { test: boolean; found: Found; number: number | null }
  ): Promise<RunResult> {
    const begin = performance.now()
    const restore = setUmask(low.umask)
    try {
      const result = await callState(this.#context(low, test, found), fun)
      return this.#finished(low, result, begin, number ?? this.#number)
    } finally {
      restore()
    }
  }

  #context(low: Low, test: boolean, { requisites }: Found): StateContext {
    const testing = Object.hasOwn(low, 'test') ? test || flag(low.test) : test
    return {
      ...this.#ctx,
      test: testing,
      saltenv: low.__env__ ?? this.#options.saltenv,
      low,
      requisites,
      results: this.#results,
      accumulators: this.#accumulators
    }
  }

  /** Salt's keys in Salt's order: the state's own, then those of the run. */
  #finished(low: Low, result: StateResult, begin: number, number: number): RunResult {
    return {
      ...result,
      __sls__: low.__sls__,
      __run_num__: number,
      start_time: localTime(begin),
      duration: Math.round((performance.now() - begin) * 1000) / 1000,
      __id__: low.__id__
    }
  }

  /** A state that was not called. */
  #notRun(low: Low, result: boolean, comment: string, number: number | null = this.#number++): RunResult {
    const head = { changes: {}, result, duration: 0, start_time: localTime(performance.now()), comment }
    return { ...head, __run_num__: number ?? this.#number, __sls__: low.__sls__, __id__: low.__id__, name: low.name }
  }

  /** `listen`: after all states, the reaction of each state that listens to one with changes. Whether it has run itself does not matter. */
  async #listen(): Promise<void> {
    const { only = () => true } = this.#options
    for (const low of this.#chunks.filter(only)) {
      const heard = listened(low, this.#chunks).filter(other => this.#changed(other))
      if (heard.length === 0 || !findState(low.state, 'mod_watch')) continue
      const plain = Object.fromEntries(Object.entries(low).filter(([key]) => !LISTENER_DROPS.has(key))) as Mapping
      const listener = { ...plain, sfun: low.fun, fun: 'mod_watch', __id__: `listener_${low.__id__}` } as unknown as Low
      if (this.#results.has(tagOf(listener))) continue
      await this.#settle(listener, await this.#call(listener, 'mod_watch', this.#options.test, { requisites: { watch: heard }, lost: [] }))
    }
    for (const low of this.#chunks.filter(only)) this.#missListened(low)
  }

  #changed(low: Low): boolean {
    return Object.keys(this.#results.get(tagOf(low))?.changes ?? {}).length > 0
  }

  /**
   * What a state listens to and is not there has a result of its own, as in Salt; so has a state that should listen to one with changes. One that is
   * named by its id alone is passed over.
   */
  #missListened(low: Low): void {
    const missing = findRequisites(listeningLow(low, low.listen), this.#chunks).lost
    if (this.#changed(low)) missing.push(...findRequisites(listeningLow(low, low.listen_in), this.#chunks).lost)
    for (const { key, value } of missing.filter(lost => lost.key !== 'id')) {
      const head = {
        comment: `Referenced state ${key}: ${value} does not exist`,
        name: `listen_${key}:${value}`,
        result: false,
        changes: {}
      }
      const tag = `Listen_Error_|-listen_${value}_|-listen_${key}_|-Listen_Error`
      if (!this.#results.has(tag)) this.#results.set(tag, { ...head, __run_num__: this.#number++ })
    }
  }

  /** Progress events and those of `fire_event`. A server that cannot be told does not end the run. */
  async #announce(low: Low, result: RunResult): Promise<void> {
    const { jid } = this.#ctx.job
    const { id } = this.#ctx
    const fire = low.fire_event
    if (!this.#options.events && !fire) return
    const suffix = fire === true ? result.name : fire
    const tag = fire ? `salt/state_result/${jid}/${id}/${suffix}` : `salt/job/${jid}/prog/${id}/${result.__run_num__}`
    const data = fire ? { ret: result } : { ret: result, len: this.#chunks.length }
    try {
      await this.#ctx.events.sendEvent(tag, data, { preload: { jid } })
    } catch (error) {
      this.#ctx.log.warn({ tag, error: messageOf(error) }, 'a progress event could not be sent')
    }
  }
}

/** Every kind of requisite, empty ones too: `event.wait` sends them along. */
function allKinds(requisites: Requisites): Requisites {
  return Object.fromEntries(REQUISITES.map(kind => [kind, requisites[kind] ?? []]))
}

const LISTENER_DROPS: ReadonlySet<string> = new Set([...REQUISITES, ...REQUISITES_IN, 'listen'])

/** The states that a state listens to. */
function listened(low: Low, chunks: readonly Low[]): readonly Low[] {
  return findRequisites(listeningLow(low, low.listen), chunks).requisites.require ?? []
}

/** The state as if it had only what it listens to as its requisites. */
function listeningLow(low: Low, listen: unknown): Low {
  const plain = Object.fromEntries(Object.entries(low).filter(([key]) => !LISTENER_DROPS.has(key)))
  return (listen === undefined ? plain : { ...plain, require: listen }) as unknown as Low
}

/** Sets the umask for a state; returns its undo. */
function setUmask(wish: unknown): () => void {
  if (wish === undefined || wish === null || !/^[0-7]{1,4}$/.test(String(wish))) return () => {}
  const before = process.umask(Number.parseInt(String(wish), 8))
  return () => {
    process.umask(before)
  }
}

/** `20:40:48.254005`: the machine's local time, with microseconds as Salt prints them. `at`: milliseconds of `performance.now()`. */
function localTime(at: number): string {
  const ms = performance.timeOrigin + at
  const date = new Date(ms)
  const two = (value: number): string => String(value).padStart(2, '0')
  const micros = String(Math.floor((ms % 1000) * 1000)).padStart(6, '0')
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${micros}`
}
