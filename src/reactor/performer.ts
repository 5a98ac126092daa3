import { isBrineError } from '../errors.js'
import type { Seq, StoredEvent } from '../events/event.js'
import type { JidSource } from '../jobs/jid.js'
import type { Clock } from '../shared/clock.js'
import type { NewReaction, PlanRecord, ReactionRecord, Store } from '../store/store.js'
import { backoffUs } from './backoff.js'
import { type CompiledReaction, type CompileSls, inSaltsOrder, type ReactionCall } from './compiled.js'
import { type Dispatcher, MAX_ERROR } from './dispatch.js'
import type { ReactorErrors } from './errors.js'
import type { Guards } from './guards.js'
import type { RuleOptions } from './options.js'
import { packed, revive } from './packed.js'
import { keptText } from './secrets.js'
import { type SlsFiles, SlsMissing } from './sources.js'

export interface PerformerOptions {
  readonly store: {
    readonly events: Pick<Store['events'], 'get'>
    readonly reactions: Pick<
      Store['reactions'],
      'openPlans' | 'openReactions' | 'rendered' | 'renderFailed' | 'settle' | 'windowEvents' | 'windowsOf'
    >
  }
  readonly files: Pick<SlsFiles, 'load'>
  readonly compile: CompileSls
  readonly dispatcher: Pick<Dispatcher, 'dispatch'>
  readonly errors: ReactorErrors
  readonly jids: Pick<JidSource, 'next'>
  readonly clock: Clock
  readonly guards: Pick<Guards, 'paused' | 'outcome'>
  /** A rule's own attempts; null: those of the setting reactor_attempts. */
  readonly retryOf: (rule: string) => RuleOptions['retry']
  readonly attempts: number
  readonly log: { warn(fields: object, text: string): void; info(fields: object, text: string): void }
}

/**
 * Events worked on at the same time. Each waits for two commits (what it renders to, what it publishes), so a disk that takes 20 ms for one lets this
 * many do 2,500 a second; they are few enough to keep little in memory.
 */
const CONCURRENCY = 100
/** Open plans fetched at a time. */
const FETCH = 500
/** Events kept between planning and work, so that they need not be read again; beyond it they are. */
const MAX_KEPT = 1000
const MAX_KEPT_CHARS = 64 * 1024
/** The store is asked for open work at least this often: what could not be written, and what other nodes left. */
const SWEEP_MS = 5000
/** Wait after the store could not write. */
const STUMBLE_MS = 500

/** What is to be done for one event. */
interface Work {
  readonly seq: Seq
  readonly plans: readonly PlanRecord[]
  /** Reactions that were rendered before and are still to be dispatched. */
  readonly reactions: readonly ReactionRecord[]
}

/**
 * Works off plans: render, parse, record, dispatch. An event's reactions go in Salt's order, one after the other; different events go side by
 * side. Whatever is not done yet is in the store, so a crash or a failing store only delays it.
 */
export class Performer {
  readonly #o: PerformerOptions
  readonly #kept = new Map<Seq, StoredEvent>()
  readonly #busy = new Map<Seq, Promise<void>>()
  #waiting: Work[] = []
  #open = 0
  #dirty = true
  #more = false
  #retryUs = Infinity
  #running: Promise<void> | null = null
  #stopped = true
  #wake: (() => void) | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(options: PerformerOptions) {
    this.#o = options
  }

  /** Plans that were written and not worked on yet, as far as this process knows. Those that wait for another attempt do not count. */
  get open(): number {
    return this.#open
  }

  start(): void {
    if (!this.#stopped) return
    this.#stopped = false
    this.#dirty = true
    this.#running = this.#run()
  }

  /** Takes on nothing new and waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#wake?.()
    await this.#running
    await Promise.allSettled(this.#busy.values())
  }

  /** New plans were committed for these events. While the reactor is paused they wait on disk, and nobody waits for them. */
  planned(events: readonly StoredEvent[], plans: number): void {
    if (this.#o.guards.paused()) return
    this.#open += plans
    this.#dirty = true
    for (const event of events) if (this.#kept.size < MAX_KEPT && event.json.length <= MAX_KEPT_CHARS) this.#kept.set(event.seq, event)
    this.#wake?.()
  }

  /** Something is to be tried again at this time (microseconds since 1970 UTC). */
  retryAt(us: number): void {
    this.#retryUs = Math.min(this.#retryUs, us)
    this.#wake?.()
  }

  /** Looks for open work now: for tests, whose clock is their own. */
  look(): void {
    this.#dirty = true
    this.#wake?.()
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      if (this.#o.guards.paused()) {
        // What was fetched is in the store; it is fetched again when the reactor goes on.
        this.#waiting = []
        this.#dirty = true
        this.#open = 0
        await this.#next()
        continue
      }
      if (this.#dirty && this.#waiting.length === 0) await this.#fetch().catch(error => this.#stumbled(error))
      while (!this.#stopped && this.#busy.size < CONCURRENCY && this.#waiting.length > 0) this.#begin(this.#waiting.shift()!)
      const nothingToBegin = this.#waiting.length === 0 && !this.#dirty
      if (!this.#stopped && (nothingToBegin || this.#busy.size >= CONCURRENCY)) await this.#next()
    }
  }

  /** Reads open plans and reactions, those of events under way left out: they are seen to there. */
  async #fetch(): Promise<void> {
    this.#dirty = false
    this.#retryUs = Infinity
    // What ends while the store is read may still be in the answer.
    const busy = new Set(this.#busy.keys())
    const nowUs = this.#o.clock.nowUs()
    const { reactions: store } = this.#o.store
    const [reactions, plans] = await Promise.all([store.openReactions(nowUs, FETCH), store.openPlans(nowUs, FETCH)])
    const works = new Map<Seq, { seq: Seq; plans: PlanRecord[]; reactions: ReactionRecord[] }>()
    const workOf = (seq: Seq) => {
      const work = works.get(seq) ?? { seq, plans: [], reactions: [] }
      works.set(seq, work)
      return work
    }
    for (const plan of plans) if (!busy.has(plan.event)) workOf(plan.event).plans.push(plan)
    for (const reaction of reactions) if (!busy.has(reaction.event)) workOf(reaction.event).reactions.push(reaction)
    // What a full page leaves out is fetched when some of this is done. It may have cut the plans of its last event in two.
    this.#more = plans.length === FETCH || reactions.length === FETCH
    const cut = plans.length === FETCH ? plans[FETCH - 1]!.event : -1
    if (works.size > 1) works.delete(cut)
    this.#waiting = [...works.values()].sort((a, b) => a.seq - b.seq)
    if (this.#waiting.length === 0 && this.#busy.size === 0) this.#open = 0
  }

  #begin(work: Work): void {
    const done = this.#work(withoutPaused(work, this.#o.guards))
      .catch(error => this.#stumbled(error))
      .finally(() => {
        this.#busy.delete(work.seq)
        if (this.#more) this.#dirty = true
        this.#wake?.()
      })
    this.#busy.set(work.seq, done)
  }

  /** The store could not be read or written: everything is still in it, so it is fetched again after a pause. */
  #stumbled(error: unknown): void {
    this.#o.log.warn({ err: error }, 'the reactor could not go on; it tries again')
    setTimeout(() => this.look(), STUMBLE_MS).unref()
  }

  /** Until something ends, comes in, or is due. */
  async #next(): Promise<void> {
    const nowUs = this.#o.clock.nowUs()
    const dueMs = Math.max(1, (this.#retryUs - nowUs) / 1000)
    await new Promise<void>(resolve => {
      this.#wake = resolve
      this.#timer = setTimeout(
        () => {
          this.#dirty = true
          resolve()
        },
        Math.min(SWEEP_MS, dueMs)
      )
      this.#timer.unref()
    })
    this.#wake = null
    if (this.#timer) clearTimeout(this.#timer)
  }

  async #work({ seq, plans, reactions }: Work): Promise<void> {
    for (const windowed of plans.filter(isGathered)) await this.#workWindow(windowed)
    const own = plans.filter(plan => !isGathered(plan))
    const alone = reactions.length === 0 ? [] : await this.#resumeWindows(seq, reactions)
    if (own.length + alone.length === 0) return
    const event = this.#kept.get(seq) ?? (await this.#o.store.events.get(seq))
    this.#kept.delete(seq)
    if (event === null) return this.#eventGone(own, alone)
    await this.#perform(own, alone, event)
  }

  /** Reactions to windows that were rendered before: with the window's events, as when they were rendered. Gives those that are to the event alone. */
  async #resumeWindows(seq: Seq, reactions: readonly ReactionRecord[]): Promise<readonly ReactionRecord[]> {
    const windows = new Map<string, Seq>()
    for (const { rule, first, reacted } of await this.#o.store.reactions.windowsOf(seq)) if (reacted === seq) windows.set(rule, first)
    for (const [rule, first] of windows) {
      const its = reactions.filter(reaction => reaction.rule === rule)
      const event = its.length === 0 ? null : await this.#windowed(rule, first)
      if (event !== null) await this.#perform([], its, event)
      else await this.#eventGone([], its)
    }
    return reactions.filter(({ rule }) => !windows.has(rule))
  }

  async #perform(plans: readonly PlanRecord[], reactions: readonly ReactionRecord[], event: ReactedTo): Promise<void> {
    const rendered = await this.#render(plans, event)
    for (const reaction of [...reactions, ...rendered].map(unpacked).sort(inSaltsOrder)) await this.#o.dispatcher.dispatch(reaction, event)
  }

  /** A plan for a window: the last event stands for all, with as many reactions behind it as any of them has. */
  async #workWindow(plan: PlanRecord & { readonly gathered: Seq }): Promise<void> {
    const event = await this.#windowed(plan.rule, plan.gathered)
    if (event === null) return this.#eventGone([plan], [])
    await this.#perform([plan], [], event)
  }

  /** A window as one event; null when its events are gone. */
  async #windowed(rule: string, first: Seq): Promise<ReactedTo | null> {
    const events = await this.#o.store.reactions.windowEvents(rule, first)
    const last = events[events.length - 1]
    if (last === undefined) return null
    const depth = Math.max(...events.map(({ cause }) => cause?.depth ?? 0))
    return { ...last, cause: { seq: last.cause?.seq ?? last.seq, depth }, events }
  }

  /** Retention was faster: there is nothing left to react to. */
  async #eventGone(plans: readonly PlanRecord[], reactions: readonly ReactionRecord[]): Promise<void> {
    const reason = 'the event is no longer kept'
    for (const plan of plans) await this.#o.store.reactions.renderFailed(plan.id, reason, null, this.#o.clock.nowUs(), [])
    for (const reaction of reactions)
      await this.#o.store.reactions.settle(reaction.id, { state: 'dead' }, reason, this.#o.clock.nowUs(), [])
    this.#done(plans)
  }

  /** Renders the plans of an event and records what they ask for. A plan that fails does not hold up the others. */
  async #render(plans: readonly PlanRecord[], event: ReactedTo): Promise<ReactionRecord[]> {
    const compiled = new Map<PlanRecord, readonly CompiledReaction[]>()
    const texts = new Map<PlanRecord, string>()
    for (const plan of plans) {
      const result = await this.#compile(plan, event)
      if (result.rendered !== undefined) texts.set(plan, result.rendered)
      if ('reactions' in result) compiled.set(plan, result.reactions)
      else await this.#failed(plan, event, result)
    }
    const written = [...withoutReplaced(compiled)].map(([plan, calls]) => this.#record(plan, calls, texts.get(plan)))
    const records = await Promise.all(written)
    this.#done(plans)
    return records.flat().filter(reaction => reaction.state === 'planned')
  }

  async #compile(plan: PlanRecord, event: ReactedTo): Promise<Compiled | Failure> {
    try {
      const { reactions, error, rendered } = await this.#o.compile(await this.#o.files.load(plan.sls), event)
      const kept = rendered === undefined ? {} : { rendered: keptText(rendered) }
      return error === null ? { reactions, ...kept } : { reason: error, mayHelp: false, ...kept }
    } catch (error) {
      if (error instanceof SlsMissing) return { reason: error.message, mayHelp: true }
      if (isBrineError(error) && error.code === 'SHUTTING_DOWN') throw error
      // A mistake of brine itself must not be tried for ever.
      this.#o.log.warn({ err: error, sls: plan.sls, event: plan.event }, 'rendering failed unexpectedly')
      return { reason: `brine failed on it: ${(error as Error).message}`, mayHelp: false }
    }
  }

  async #record(plan: PlanRecord, calls: readonly CompiledReaction[], text?: string): Promise<readonly ReactionRecord[]> {
    const reactions: NewReaction[] = calls.map(({ section, call }) => ({ section, call: packed(call), jid: this.#o.jids.next() }))
    if (reactions.length === 0) await this.#o.guards.outcome(plan.rule, plan.event, null)
    return this.#o.store.reactions.rendered(plan.id, reactions, this.#o.clock.nowUs(), text)
  }

  /** What cannot get better by itself (a mistake in the template) is a dead letter at once; a missing file may come. */
  async #failed(plan: PlanRecord, event: StoredEvent, { reason, mayHelp, rendered }: Failure): Promise<void> {
    const error = reason.slice(0, MAX_ERROR)
    const attempts = plan.attempts + 1
    const retry = this.#o.retryOf(plan.rule)
    const again = mayHelp && attempts < (retry?.attempts ?? this.#o.attempts)
    const nowUs = this.#o.clock.nowUs()
    const retryUs = again ? nowUs + backoffUs(plan.attempts, retry) : null
    const { rule, sls } = plan
    // Of attempts in between nobody needs to hear.
    const tell = !again || attempts === 1
    const events = tell ? this.#o.errors.about({ rule, sls, state: again ? 'failed' : 'dead', attempts, error }, event) : []
    const released = await this.#o.store.reactions.renderFailed(plan.id, error, retryUs, nowUs, events, rendered)
    if (released > 0) this.look()
    if (!again) await this.#o.guards.outcome(rule, plan.event, error)
    this.#o.log.info({ rule, sls, event: event.seq, error, again }, 'an SLS could not be rendered')
    if (retryUs !== null) this.retryAt(retryUs)
  }

  /** Further attempts were not counted when they were put off. */
  #done(plans: readonly PlanRecord[]): void {
    this.#open = Math.max(0, this.#open - plans.filter(plan => plan.attempts === 0).length)
  }
}

/** An event, or the last one of a window and all its events. */
type ReactedTo = StoredEvent & { readonly events?: readonly StoredEvent[] }

function isGathered(plan: PlanRecord): plan is PlanRecord & { readonly gathered: Seq } {
  return plan.gathered !== null
}

/** What was fetched before its rule was paused is held in the store now. */
function withoutPaused({ seq, plans, reactions }: Work, guards: Pick<Guards, 'paused'>): Work {
  return { seq, plans: plans.filter(({ rule }) => !guards.paused(rule)), reactions: reactions.filter(({ rule }) => !guards.paused(rule)) }
}

/** Why a plan has no reactions, and whether another attempt may have. */
interface Failure {
  readonly reason: string
  readonly mayHelp: boolean
  /** What is kept of the text that was rendered. */
  readonly rendered?: string
}

interface Compiled {
  readonly reactions: readonly CompiledReaction[]
  readonly rendered?: string
}

/** Documents of an event are merged by id, as in Salt: a section of a later file replaces one of the same name in an earlier one. */
function withoutReplaced(compiled: ReadonlyMap<PlanRecord, readonly CompiledReaction[]>): Map<PlanRecord, CompiledReaction[]> {
  const last = new Map<string, PlanRecord>()
  for (const [plan, reactions] of compiled) for (const { section } of reactions) last.set(section, plan)
  return new Map([...compiled].map(([plan, reactions]) => [plan, reactions.filter(({ section }) => last.get(section) === plan)]))
}

function unpacked(reaction: ReactionRecord): ReactionRecord & { readonly call: ReactionCall } {
  return { ...reaction, call: revive(reaction.call) as ReactionCall }
}
