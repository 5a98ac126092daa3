/**
 * What an event led to, and what it did not lead to and why (`passed.ts`), as a tree: event → plans (rule and SLS, with the text it rendered to) → reactions (calls) → jobs and their returns →
 * further events, each with what it led to in turn. Read from the store; nothing here changes anything.
 */
import { eventId, type Seq, type StoredEvent } from '../events/event.js'
import { stampOf } from '../shared/clock.js'
import { addTo } from '../shared/multimap.js'
import type { JobRecord, PlanRecord, ReactionRecord, ReturnRecord, Store } from '../store/store.js'
import type { PassedBy, PassedOver } from './passed.js'
import { withoutSecretKeys } from './secrets.js'

export interface TraceOptions {
  readonly store: {
    readonly events: Pick<Store['events'], 'epoch' | 'causedBy'>
    readonly reactions: Pick<Store['reactions'], 'plansOf' | 'textsOf' | 'list' | 'windowsOf'>
    readonly jobs: Pick<Store['jobs'], 'get' | 'returns'>
  }
  /** Events that are not shown are left out, with what they led to. */
  readonly visible: (tag: string) => boolean
  readonly passed: Pick<PassedBy, 'of'>
  /** The whole reactor is paused. */
  readonly paused: boolean
}

export interface TracedEvent {
  readonly id: string
  readonly tag: string
  readonly stamp: string
  readonly source: string
  readonly cause: { readonly id: string; readonly depth: number } | null
  readonly plans: readonly TracedPlan[]
  /** Windows of rules that it is in. */
  readonly windows?: readonly TracedWindow[]
  /** Rules whose tag matches and that did nothing about it. */
  readonly passed?: readonly PassedOver[]
  /** What it led to otherwise: events of no reaction in `plans`. */
  readonly events: readonly TracedEvent[]
  /** There is more than is shown: the tree is deeper or wider than its bounds. */
  readonly truncated?: true
}

export interface TracedWindow {
  readonly rule: string
  /** The event that opened it. */
  readonly first: string
  /** The event at which it was reacted to: what that led to stands there in full. Null while it is open. */
  readonly reacted: string | null
  /** What it was reacted to with. */
  readonly plans: readonly Pick<TracedPlan, 'id' | 'sls' | 'state' | 'held' | 'blocked' | 'error'>[]
  readonly reactions: readonly Pick<ShownReaction, 'id' | 'section' | 'state' | 'jid'>[]
}

export interface TracedPlan {
  readonly id: number
  readonly rule: string
  readonly version: number
  readonly sls: string
  readonly state: string
  /** Why it waits (`reactor`: the whole reactor is paused), and the guard that stopped it. */
  readonly held?: string
  readonly blocked?: string
  /** The first event of the window that it reacts to. */
  readonly window?: string
  readonly error: string | null
  readonly attempts: number
  readonly changed: string | null
  /** What the SLS rendered to; absent when nothing was kept. */
  readonly rendered?: string
  readonly reactions: readonly TracedReaction[]
}

export interface ShownReaction {
  readonly id: number
  readonly event: string
  readonly rule: string
  readonly sls: string
  readonly section: string
  readonly call: unknown
  readonly jid: string
  readonly state: string
  readonly held: string | null
  readonly error: string | null
  readonly attempts: number
  readonly planned: string
  readonly changed: string
}

export interface TracedReaction extends ShownReaction {
  /** The job that it published. */
  readonly job?: TracedJob
  readonly events: readonly TracedEvent[]
}

export interface TracedJob {
  readonly jid: string
  readonly state: string
  readonly fun: string | readonly string[]
  readonly published: string
  readonly minions: readonly string[]
  readonly returns: readonly TracedReturn[]
}

export interface TracedReturn {
  readonly minion: string
  readonly success: boolean
  readonly retcode: number
  readonly stamp: string
  /** As JSON, cut at MAX_RETURN characters. */
  readonly return: string
}

/** Events in a tree: more than a person looks at, and some megabytes at most. */
const MAX_EVENTS = 500
/** Levels of a tree: the loop guard's default depth, twice. */
const MAX_LEVELS = 20
/** Reactions and events of one event that are shown. */
const MAX_REACTIONS = 1000
const MAX_CAUSED = 500
/** Rules that passed an event over, in one tree: each may have a condition to evaluate, so this bounds the time. Events beyond it have none. */
const MAX_PASSED = 200
/** Minions and returns of one job that are shown; the job itself tells all. */
const MAX_RETURNS = 100
const MAX_RETURN = 1000

/** The tree below an event. */
export function traceOf(event: StoredEvent, options: TraceOptions): Promise<TracedEvent> {
  return new Tracer(options).event(event, 0)
}

/** A reaction as the API shows it: ids and stamps as text, secrets taken out of its arguments. */
export function shownReaction(epoch: string, reaction: ReactionRecord): ShownReaction {
  const { id, rule, sls, section, call, jid, state, held, error, attempts, plannedUs, changedUs } = reaction
  const about = {
    id,
    event: eventId(epoch, reaction.event),
    rule,
    sls,
    section,
    call: withoutSecretKeys(call),
    jid,
    state,
    held,
    error,
    attempts
  }
  return { ...about, planned: stampOf(plannedUs), changed: stampOf(changedUs) }
}

class Tracer {
  readonly #o: TraceOptions
  readonly #seen = new Set<Seq>()
  #passed = 0

  constructor(options: TraceOptions) {
    this.#o = options
  }

  async event(event: StoredEvent, level: number): Promise<TracedEvent> {
    this.#seen.add(event.seq)
    const { events, reactions } = this.#o.store
    const { seq, tag, source, stampUs, cause } = event
    const about = {
      id: eventId(events.epoch, seq),
      tag,
      stamp: stampOf(stampUs),
      source,
      cause: cause && { id: eventId(events.epoch, cause.seq), depth: cause.depth }
    }
    const [plans, texts, made, caused, windows] = await Promise.all([
      reactions.plansOf(seq),
      reactions.textsOf(seq),
      reactions.list({ event: seq, limit: MAX_REACTIONS }),
      events.causedBy(seq, MAX_CAUSED),
      reactions.windowsOf(seq)
    ])
    // Before what is below: the root comes first where there are too many.
    const passed = await this.#passedBy(event, plans, windows)
    const visible = caused.filter(next => !this.#seen.has(next.seq) && this.#o.visible(next.tag))
    const room = level < MAX_LEVELS ? Math.max(0, MAX_EVENTS - this.#seen.size) : 0
    const shown = visible.slice(0, room)
    for (const next of shown) this.#seen.add(next.seq)
    const below = new Map<StoredEvent, TracedEvent>()
    for (const next of shown) below.set(next, await this.event(next, level + 1))
    const truncated = shown.length < visible.length || caused.length === MAX_CAUSED || made.length === MAX_REACTIONS
    const own = await this.#reactions([...made].reverse(), below)
    const shownWindows = await Promise.all(windows.map(window => this.#window(window)))
    const traced = (plan: PlanRecord) => tracedPlan(this.#held(plan), events.epoch, texts.get(plan.id), own.get(plan.id) ?? [])
    return {
      ...about,
      ...(windows.length === 0 ? {} : { windows: shownWindows }),
      ...(passed.length === 0 ? {} : { passed }),
      plans: plans.map(traced),
      events: [...below.values()],
      ...(truncated ? { truncated: true } : {})
    }
  }

  async #passedBy(event: StoredEvent, plans: readonly PlanRecord[], windows: readonly WindowOf[]): Promise<readonly PassedOver[]> {
    const room = MAX_PASSED - this.#passed
    if (room <= 0) return []
    const passed = await this.#o.passed.of(event, plans, new Set(windows.map(({ rule }) => rule)), room)
    this.#passed += passed.length
    return passed
  }

  /** The plan with why it waits. */
  #held(plan: PlanRecord): ShownPlan {
    const waits = plan.state === 'planned' && plan.held === null && this.#o.paused
    return waits ? { ...plan, held: 'reactor' } : plan
  }

  async #window({ rule, first, reacted }: WindowOf): Promise<TracedWindow> {
    const { events, reactions } = this.#o.store
    const about = { rule, first: eventId(events.epoch, first), reacted: reacted === null ? null : eventId(events.epoch, reacted) }
    if (reacted === null) return { ...about, plans: [], reactions: [] }
    const plans = (await reactions.plansOf(reacted)).filter(plan => plan.rule === rule && plan.gathered === first)
    const made = await reactions.list({ event: reacted, rule, limit: MAX_REACTIONS })
    const ids = new Set(plans.map(({ id }) => id))
    return {
      ...about,
      plans: plans.map(plan => {
        const { id, sls, state, held, blocked, error } = tracedPlan(this.#held(plan), events.epoch, undefined, [])
        return { id, sls, state, ...(held === undefined ? {} : { held }), ...(blocked === undefined ? {} : { blocked }), error }
      }),
      reactions: [...made]
        .reverse()
        .filter(({ plan }) => ids.has(plan))
        .map(({ id, section, state, jid }) => ({ id, section, state, jid }))
    }
  }

  /** Reactions by plan, each with its job and the events of that job, which are then taken out of the others. */
  async #reactions(made: readonly ReactionRecord[], below: Map<StoredEvent, TracedEvent>): Promise<Map<number, TracedReaction[]>> {
    const byPlan = new Map<number, TracedReaction[]>()
    const byJid = new Map<string, [StoredEvent, TracedEvent][]>()
    for (const entry of below) {
      const jid = jidOf(entry[0].tag)
      if (jid !== null) addTo(byJid, jid, entry)
    }
    for (const reaction of made) {
      const events = byJid.get(reaction.jid) ?? []
      byJid.delete(reaction.jid)
      for (const [event] of events) below.delete(event)
      const job = await this.#job(reaction)
      const traced = {
        ...shownReaction(this.#o.store.events.epoch, reaction),
        ...(job === null ? {} : { job }),
        events: events.map(([, event]) => event)
      }
      byPlan.set(reaction.plan, [...(byPlan.get(reaction.plan) ?? []), traced])
    }
    return byPlan
  }

  async #job({ jid, call, state }: ReactionRecord): Promise<TracedJob | null> {
    const { client } = call as { client?: unknown }
    if (state === 'planned' || (client !== 'local' && client !== 'caller')) return null
    const job = await this.#o.store.jobs.get(jid)
    return job === null ? null : tracedJob(job, await this.#o.store.jobs.returns(jid))
  }
}

interface WindowOf {
  readonly rule: string
  readonly first: Seq
  readonly reacted: Seq | null
}

type ShownPlan = Omit<PlanRecord, 'held'> & { readonly held: PlanRecord['held'] | 'reactor' }

function tracedPlan(plan: ShownPlan, epoch: string, rendered: string | undefined, reactions: readonly TracedReaction[]): TracedPlan {
  const { id, rule, version, sls, state, held, blocked, gathered, error, attempts, changedUs } = plan
  const changed = changedUs === 0 ? null : stampOf(changedUs)
  const why = {
    ...(held === null ? {} : { held }),
    ...(blocked === null ? {} : { blocked }),
    ...(gathered === null ? {} : { window: eventId(epoch, gathered) })
  }
  return { id, rule, version, sls, state, ...why, error, attempts, changed, ...(rendered === undefined ? {} : { rendered }), reactions }
}

function tracedJob({ jid, state, fun, publishedUs, minions }: JobRecord, returns: readonly ReturnRecord[]): TracedJob {
  return {
    jid,
    state,
    fun,
    published: stampOf(publishedUs),
    minions: minions.slice(0, MAX_RETURNS),
    returns: returns.slice(0, MAX_RETURNS).map(tracedReturn)
  }
}

function tracedReturn({ minion, success, retcode, stampUs, return: value }: ReturnRecord): TracedReturn {
  const text = JSON.stringify(withoutSecretKeys(value)) ?? 'null'
  const cut = text.length > MAX_RETURN ? `${text.slice(0, MAX_RETURN)}…` : text
  return { minion, success, retcode, stamp: stampOf(stampUs), return: cut }
}

/** The job id in the tag of an event of a job, runner or wheel call. */
function jidOf(tag: string): string | null {
  return /^(?:salt\/(?:job|run|wheel)\/)?(\d{20})(?:\/|$)/.exec(tag)?.[1] ?? null
}
