/**
 * Windows: events that a rule gathers under a key before it reacts (throttle, debounce, accumulate). The state is held here and written by the
 * planner in the transaction that moves its cursor (`take`, `due`, then `changes`), so that after a crash neither an event nor a reaction is missing
 * or there twice. Time is that of the events (`stampUs`); a window whose time is over without further events is closed by the clock (`due`).
 *
 * - once_within: the first event is reacted to at once, others of that time are counted and passed over;
 * - once_after: opened by the first event, closed that much later: one reaction to all;
 * - debounce: closed once no event came for `period`, at the latest `max` after the first: one reaction to all;
 * - accumulate: events older than `within` are let go; with `threshold` of them there is one reaction to these, and it begins anew.
 */
import type { Seq, StoredEvent } from '../events/event.js'
import type { PlanChanges, ReactionStore, WindowRecord } from '../store/store.js'
import { DueTimes } from './due-times.js'
import { durationUs, MAX_THRESHOLD, type RuleOptions } from './options.js'

/** How much may be gathered at a time. */
export interface WindowLimits {
  /** Windows of one rule and of all. */
  readonly ofRule: number
  readonly ofAll: number
  /** Bytes of the events in all windows: where these are kept in memory. */
  readonly bytes: number
}

/** For a window beyond these the one that was opened first is closed early: what it gathered is reacted to now. Their events are on disk. */
export const MAX_WINDOWS: WindowLimits = { ofRule: 10_000, ofAll: 50_000, bytes: Number.POSITIVE_INFINITY }
/**
 * Bytes of the events of one window: a rendering has them all in memory. At the limit (and at MAX_THRESHOLD events) the window is closed early; one
 * that accumulates lets its oldest events go.
 */
const MAX_BYTES = 16 * 1024 * 1024
/**
 * How much longer windows are kept that are not reacted to at their end (once_within, accumulate): an event that has its stamp may still wait for its
 * commit when the clock says that the time is over, and it belongs to that time.
 */
const LATE_US = 5_000_000

export type WindowKind = 'once_within' | 'once_after' | 'debounce' | 'accumulate'

/** How a rule gathers. */
export interface Gathering {
  readonly kind: WindowKind
  readonly periodUs: number
  /** debounce: the latest end after the first event. */
  readonly maxUs: number
  readonly threshold: number
}

/** The rule for which events are gathered. */
export interface GatheringRule {
  readonly id: string
  readonly version: number
  readonly sls: readonly string[]
  readonly gathering: Gathering
}

/** A window that is closed and to be reacted to: its last event stands for it. */
export interface Fired {
  readonly rule: string
  /** As the rule was when the window was opened; counts where the rule is no more. */
  readonly version: number
  readonly sls: readonly string[]
  readonly first: Seq
  readonly last: Seq
  readonly stampUs: number
  readonly slot: string | null
}

/** What of a window is kept. */
interface Body {
  readonly kind: WindowKind
  readonly version: number
  readonly sls: readonly string[]
  readonly openedUs: number
  lastUs: number
  last: Seq
  /** Events in it. */
  count: number
  bytes: number
  /** Events passed over, or let go. */
  passed: number
  /** Key of the line in which the reaction will stand. */
  slot: string | null
}

interface Open extends Body {
  readonly rule: string
  readonly key: string
  readonly first: Seq
  dueUs: number
  /** When it is looked at next: not after `dueUs`. */
  scheduledUs: number
  /** accumulate: its events, oldest first. */
  readonly members: { readonly seq: Seq; readonly us: number; readonly bytes: number }[]
}

/** The window in which an event is, or which passes it over, as it is with this event. */
export interface Joined {
  readonly key: string
  readonly kind: WindowKind
  /** The event opened it. */
  readonly opens: boolean
  readonly first: Seq
  readonly openedUs: number
  readonly dueUs: number
  /** Events in it, and those that it passed over. */
  readonly count: number
  readonly passed: number
}

/** A window as people see it. */
export interface ShownWindow extends Omit<Body, 'sls' | 'slot' | 'bytes'> {
  readonly key: string
  readonly first: Seq
  readonly dueUs: number
}

/** How a rule gathers; null when it does not. */
export function gatheringOf({
  throttle,
  debounce,
  accumulate
}: Pick<RuleOptions, 'throttle' | 'debounce' | 'accumulate'>): Gathering | null {
  const of = (kind: WindowKind, period: unknown, more: Partial<Gathering> = {}) => {
    return { kind, periodUs: durationUs(period)!, maxUs: Number.POSITIVE_INFINITY, threshold: MAX_THRESHOLD, ...more }
  }
  if (throttle !== null) {
    return 'once_within' in throttle ? of('once_within', throttle.once_within) : of('once_after', throttle.once_after)
  }
  if (debounce !== null) return of('debounce', debounce.period, debounce.max === undefined ? {} : { maxUs: durationUs(debounce.max)! })
  return accumulate === null ? null : of('accumulate', accumulate.within, { threshold: accumulate.threshold })
}

export function shownWindow({ key, first, dueUs, body }: WindowRecord): ShownWindow {
  const { kind, version, openedUs, lastUs, last, count, passed } = body as Body
  return { key, kind, version, first, last, openedUs, lastUs, dueUs, count, passed }
}

export class Windows {
  readonly #open = new Map<string, Map<string, Open>>()
  readonly #limits: WindowLimits
  readonly #due = new DueTimes<Open>()
  #size = 0
  #bytes = 0
  readonly #changed = new Set<Open>()
  #closed: { rule: string; key: string }[] = []
  #gathered: { rule: string; first: Seq; event: Seq }[] = []
  #forgotten: { rule: string; first: Seq; before: Seq }[] = []
  /** Windows closed early because there were too many, since the start. */
  early = 0

  constructor(limits: WindowLimits = MAX_WINDOWS) {
    this.#limits = limits
  }

  /** Forgets what was not written and reads what was. */
  async load(store: Pick<ReactionStore, 'windows' | 'windowEvents'>): Promise<void> {
    this.#open.clear()
    this.#size = this.#bytes = 0
    this.#due.clear()
    this.changes()
    for (const record of await store.windows({ limit: MAX_WINDOWS.ofAll })) {
      const open: Open = {
        ...(record.body as Body),
        rule: record.rule,
        key: record.key,
        first: record.first,
        dueUs: record.dueUs,
        scheduledUs: record.dueUs,
        members: []
      }
      if (open.kind === 'accumulate') {
        for (const { seq, stampUs, json } of await store.windowEvents(open.rule, open.first))
          open.members.push({ seq, us: stampUs, bytes: json.length })
      }
      this.#add(open)
    }
    // The order of opening decides which of too many goes first.
    for (const [rule, windows] of this.#open) this.#open.set(rule, new Map([...windows].sort(([, a], [, b]) => a.first - b.first)))
  }

  /** When the clock should be looked at next; microseconds. */
  get nextUs(): number {
    return this.#due.nextUs
  }

  /** Events that windows which are still to be reacted to would be reacted to at, as it is now. */
  lasts(): Set<Seq> {
    return new Set([...this.#all()].filter(({ kind }) => kind !== 'once_within').map(({ last }) => last))
  }

  /** Windows that are open. */
  *open(): Generator<Joined & { readonly rule: string }> {
    for (const open of this.#all()) yield { rule: open.rule, ...joined(open, false) }
  }

  /** An event for a rule. `now`: it is to be reacted to by itself; `fired`: windows that are closed by it. */
  take(
    rule: GatheringRule,
    key: string,
    event: StoredEvent,
    slot: string | null
  ): { now: boolean; fired: readonly Fired[]; window: Joined } {
    const { gathering } = rule
    const fired: Fired[] = []
    let open = this.#open.get(rule.id)?.get(key)
    if (open !== undefined && (open.dueUs <= event.stampUs || open.kind !== gathering.kind)) {
      fired.push(...this.#end(open))
      open = undefined
    }
    const opens = open === undefined
    const now = opens && gathering.kind === 'once_within'
    if (open === undefined) {
      fired.push(...this.#makeRoom(rule.id))
      open = this.#begin(rule, key, event)
    }
    open.lastUs = Math.max(open.lastUs, event.stampUs)
    this.#changed.add(open)
    if (gathering.kind !== 'once_within') fired.push(...this.#join(open, gathering, event, slot))
    else if (!now) open.passed++
    return { now, fired, window: joined(open, opens) }
  }

  /** Closes the windows whose time was over at `us`; those to be reacted to are given. */
  due(us: number): readonly Fired[] {
    const due = new Set<Open>()
    for (let open = this.#due.take(us); open !== undefined; open = this.#due.take(us)) {
      if (!this.#has(open)) continue
      if (endUs(open) <= us) due.add(open)
      else this.#schedule(open)
    }
    return [...due].sort((a, b) => a.dueUs - b.dueUs || a.first - b.first).flatMap(open => this.#end(open))
  }

  /** What changed since this was asked last, for the store. */
  changes(): Pick<PlanChanges, 'windows' | 'closed' | 'gathered' | 'forgotten'> {
    const windows = [...this.#changed].map(({ rule, key, first, dueUs, scheduledUs: _, members: __, ...body }) => ({
      rule,
      key,
      first,
      dueUs,
      body
    }))
    const changes = { windows, closed: this.#closed, gathered: this.#gathered, forgotten: this.#forgotten }
    this.#changed.clear()
    this.#closed = []
    this.#gathered = []
    this.#forgotten = []
    return changes
  }

  get changed(): boolean {
    return this.#changed.size + this.#closed.length + this.#gathered.length + this.#forgotten.length > 0
  }

  #begin({ id, version, sls, gathering }: GatheringRule, key: string, { seq, stampUs }: StoredEvent): Open {
    const body = {
      kind: gathering.kind,
      version,
      sls,
      openedUs: stampUs,
      lastUs: stampUs,
      last: seq,
      count: 0,
      bytes: 0,
      passed: 0,
      slot: null
    }
    const dueUs = stampUs + gathering.periodUs
    const open: Open = { ...body, rule: id, key, first: seq, dueUs, scheduledUs: dueUs, members: [] }
    this.#add(open)
    return open
  }

  #join(open: Open, gathering: Gathering, { seq, stampUs, json }: StoredEvent, slot: string | null): readonly Fired[] {
    open.count++
    this.#grow(open, json.length)
    open.last = seq
    open.slot = slot
    this.#gathered.push({ rule: open.rule, first: open.first, event: seq })
    if (gathering.kind === 'once_after') open.dueUs = open.openedUs + gathering.periodUs
    if (gathering.kind === 'debounce') open.dueUs = Math.min(open.lastUs + gathering.periodUs, open.openedUs + gathering.maxUs)
    if (gathering.kind === 'accumulate') {
      open.members.push({ seq, us: stampUs, bytes: json.length })
      open.dueUs = open.lastUs + gathering.periodUs
      this.#letGo(open, open.lastUs - gathering.periodUs)
    }
    // A rule that was changed may have its windows closed sooner.
    if (endUs(open) < open.scheduledUs) this.#schedule(open)
    const full = open.count >= MAX_THRESHOLD || (open.bytes >= MAX_BYTES && gathering.kind !== 'accumulate')
    return full || open.count >= gathering.threshold ? this.#fire(open) : this.#makeBytes(open.rule)
  }

  /** Events that came before `us` count no more, nor do the oldest of too many bytes. */
  #letGo(open: Open, us: number): void {
    let gone = 0
    while (gone < open.members.length - 1 && (open.members[gone]!.us <= us || open.bytes > MAX_BYTES))
      this.#grow(open, -open.members[gone++]!.bytes)
    if (gone === 0) return
    open.members.splice(0, gone)
    open.count -= gone
    open.passed += gone
    this.#forgotten.push({ rule: open.rule, first: open.first, before: open.members[0]!.seq })
  }

  /** The window's time is over. */
  #end(open: Open): readonly Fired[] {
    if (reactsAtEnd(open)) return this.#fire(open)
    this.#drop(open)
    if (open.kind === 'accumulate') this.#forgotten.push({ rule: open.rule, first: open.first, before: Number.MAX_SAFE_INTEGER })
    return []
  }

  #fire(open: Open): readonly Fired[] {
    this.#drop(open)
    const { rule, version, sls, first, last, lastUs, slot } = open
    return [{ rule, version, sls, first, last, stampUs: lastUs, slot }]
  }

  #makeRoom(rule: string): readonly Fired[] {
    const own = this.#open.get(rule)
    const full = (own?.size ?? 0) >= this.#limits.ofRule
    if (!full && this.#size < this.#limits.ofAll) return []
    const windows = full ? own! : [...this.#open.values()].reduce((most, each) => (each.size > most.size ? each : most))
    return this.#endEarly(windows)
  }

  /** Too much in memory: windows of the rule that gathers are closed, those opened first before the others. */
  #makeBytes(rule: string): readonly Fired[] {
    const fired: Fired[] = []
    for (let own = this.#open.get(rule); own !== undefined && this.#bytes > this.#limits.bytes; own = this.#open.get(rule))
      fired.push(...this.#endEarly(own))
    return fired
  }

  #endEarly(windows: ReadonlyMap<string, Open>): readonly Fired[] {
    this.early++
    return this.#end(windows.values().next().value!)
  }

  #grow(open: Open, bytes: number): void {
    open.bytes += bytes
    this.#bytes += bytes
  }

  *#all(): Generator<Open> {
    for (const windows of this.#open.values()) yield* windows.values()
  }

  #has(open: Open): boolean {
    return this.#open.get(open.rule)?.get(open.key) === open
  }

  #schedule(open: Open): void {
    open.scheduledUs = endUs(open)
    this.#due.add(open.scheduledUs, open)
  }

  #add(open: Open): void {
    const windows = this.#open.get(open.rule) ?? new Map<string, Open>()
    windows.set(open.key, open)
    this.#open.set(open.rule, windows)
    this.#size++
    this.#bytes += open.bytes
    this.#schedule(open)
  }

  #drop(open: Open): void {
    const windows = this.#open.get(open.rule)!
    windows.delete(open.key)
    if (windows.size === 0) this.#open.delete(open.rule)
    this.#size--
    this.#bytes -= open.bytes
    this.#changed.delete(open)
    this.#closed.push({ rule: open.rule, key: open.key })
  }
}

/** When the clock ends a window. */
function endUs(open: Pick<Open, 'kind' | 'dueUs'>): number {
  return reactsAtEnd(open) ? open.dueUs : open.dueUs + LATE_US
}

function reactsAtEnd({ kind }: Pick<Open, 'kind'>): boolean {
  return kind === 'once_after' || kind === 'debounce'
}

function joined({ key, kind, first, openedUs, dueUs, count, passed }: Open, opens: boolean): Joined {
  return { key, kind, opens, first, openedUs, dueUs, count, passed }
}
