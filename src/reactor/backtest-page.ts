/**
 * What one page of past events would have led to, and how that compares with what was done. Pure but for the SLS files that are read; runs in
 * the backtest's thread.
 */
import type { Seq, StoredEvent } from '../events/event.js'
import { type CompiledSls, type CompileSls, inSaltsOrder } from './compiled.js'
import { type GatedRule, refusalOf } from './gate.js'
import { RuleIndex } from './match.js'
import { NO_OPTIONS, type RuleOptions } from './options.js'
import { packed } from './performer.js'
import type { Rule } from './rules.js'
import { reactsTo, tooDeep } from './scope.js'
import { withoutSecretKeys } from './secrets.js'
import { type SlsFiles, SlsMissing } from './sources.js'

/** Its `when` and its times count; windows, rates and breakers do not: each event that passes is counted by itself. */
export interface BacktestRule extends Partial<Pick<RuleOptions, 'when' | 'active' | 'outside'>> {
  readonly id: string
  readonly tag: string
  readonly match: 'glob' | 'path'
  readonly sls: readonly string[]
}

/** A call that was made, or planned, about an event. */
export interface DoneCall {
  readonly event: Seq
  readonly section: string
  readonly call: unknown
}

export interface PageOptions {
  /** In the order in which they apply. */
  readonly rules: readonly BacktestRule[]
  readonly texts: ReadonlyMap<string, string>
  readonly files: Pick<SlsFiles, 'expand' | 'load'>
  readonly compile: CompileSls
  readonly maxDepth: number
  /** Examples of each kind that are kept. */
  readonly samples: number
  /** Whether to look at what was done. */
  readonly compare: boolean
}

export interface Counts {
  /** Events that a rule matches; those that lead to a call; calls; calls that could not be made; files that did not render. */
  matched: number
  reacting: number
  calls: number
  refused: number
  failed: number
  /** Against what was done: the same call; another call of the same section; a call more; one less. */
  same: number
  changed: number
  added: number
  removed: number
}

export interface RuleCounts {
  matched: number
  calls: number
  failed: number
}

export interface Sample {
  readonly event: Seq
  readonly section: string
  readonly call: unknown
  /** `changed`: the call that was made. */
  readonly was?: unknown
}

export interface Summary {
  readonly counts: Counts
  readonly rules: Record<string, RuleCounts>
  readonly samples: {
    calls: Sample[]
    changed: Sample[]
    added: Sample[]
    removed: Sample[]
    errors: { event: Seq; file: string; error: string }[]
  }
}

/** A file whose rendering was stopped at its limits so often is not rendered again: the rest of the test would take hours. */
const MAX_STOPPED = 5

type Call = Pick<DoneCall, 'section' | 'call'>

/** Goes through events, page by page, and counts. */
export class Backtest {
  readonly #o: PageOptions
  readonly #index = new RuleIndex()
  readonly #stopped = new Map<string, number>()
  readonly #expanded = new Map<string, Promise<readonly string[]>>()
  readonly summary: Summary = {
    counts: { matched: 0, reacting: 0, calls: 0, refused: 0, failed: 0, same: 0, changed: 0, added: 0, removed: 0 },
    rules: {},
    samples: { calls: [], changed: [], added: [], removed: [], errors: [] }
  }

  constructor(options: PageOptions) {
    this.#o = options
    for (const [rank, rule] of options.rules.entries()) {
      this.#index.add({ ...NO_OPTIONS, version: 0, ...rule, enabled: true, rank } as unknown as Rule)
      this.summary.rules[rule.id] = { matched: 0, calls: 0, failed: 0 }
    }
  }

  /** `done`: what was done about events in this part of the log, those that are not in `events` included. */
  async page(events: readonly StoredEvent[], done: readonly DoneCall[]): Promise<void> {
    const before = new Map<Seq, DoneCall[]>()
    for (const call of done) before.set(call.event, [...(before.get(call.event) ?? []), call])
    for (const event of events) {
      const calls = await this.#calls(event)
      if (this.#o.compare) this.#compare(event.seq, calls, before.get(event.seq) ?? [])
      before.delete(event.seq)
    }
    if (this.#o.compare) for (const [seq, was] of before) this.#compare(seq, [], was)
  }

  async #calls(event: StoredEvent): Promise<readonly Call[]> {
    const { counts, samples, rules } = this.summary
    const matching = this.#matching(event)
    if (matching.length === 0) return []
    counts.matched++
    const found: { rule: string; file: string; calls: CompiledSls['reactions'] }[] = []
    const seen = new Set<string>()
    for (const rule of matching) {
      rules[rule.id]!.matched++
      for (const file of await this.#filesOf(rule)) {
        if (seen.has(file)) continue
        seen.add(file)
        found.push({ rule: rule.id, file, calls: await this.#render(rule, file, event) })
      }
    }
    const last = new Map(found.flatMap(({ file, calls }) => calls.map(({ section }) => [section, file] as const)))
    const kept = found.flatMap(({ rule, file, calls }) =>
      calls.filter(({ section }) => last.get(section) === file).map(call => ({ rule, call }))
    )
    const made = kept.filter(({ call }) => call.call.error === undefined)
    for (const { rule } of made) rules[rule]!.calls++
    counts.refused += kept.length - made.length
    counts.calls += made.length
    if (made.length > 0) counts.reacting++
    const calls = kept.map(({ call }) => call).sort(inSaltsOrder)
    for (const { section, call } of calls) this.#sample(samples.calls, { event: event.seq, section, call })
    return calls
  }

  #matching(event: StoredEvent): BacktestRule[] {
    const found = this.#index.matching(event.tag) as unknown as (GatedRule & BacktestRule & { rank: number })[]
    return found
      .filter(rule => reactsTo(rule, event) && tooDeep(event, this.#o.maxDepth) === null && refusalOf(rule, event) === null)
      .sort((a, b) => a.rank - b.rank)
  }

  async #filesOf(rule: BacktestRule): Promise<string[]> {
    const found: string[] = []
    for (const reference of rule.sls) {
      let files = this.#expanded.get(reference)
      if (files === undefined) {
        files = this.#o.texts.has(reference) ? Promise.resolve([reference]) : this.#o.files.expand(reference)
        this.#expanded.set(reference, files)
      }
      found.push(...(await files))
    }
    return found
  }

  async #render(rule: BacktestRule, file: string, event: StoredEvent): Promise<CompiledSls['reactions']> {
    const stopped = this.#stopped.get(file) ?? 0
    if (stopped >= MAX_STOPPED) return this.#fault(rule, file, event, 'not rendered any more: it was stopped at its limits too often')
    try {
      const text = this.#o.texts.get(file)
      const source = text === undefined ? await this.#o.files.load(file) : { file, text }
      const { reactions, error, fault } = await this.#o.compile(source, event)
      if (fault?.kind === 'limit') this.#stopped.set(file, stopped + 1)
      return error === null ? reactions : this.#fault(rule, file, event, error)
    } catch (error) {
      if (error instanceof SlsMissing) return this.#fault(rule, file, event, error.message)
      throw error
    }
  }

  #fault(rule: BacktestRule, file: string, { seq }: StoredEvent, error: string): CompiledSls['reactions'] {
    this.summary.counts.failed++
    this.summary.rules[rule.id]!.failed++
    const { errors } = this.summary.samples
    // one example of each mistake: they repeat
    if (errors.length < this.#o.samples && !errors.some(each => each.error === error)) errors.push({ event: seq, file, error })
    return []
  }

  #compare(event: Seq, calls: readonly Call[], done: readonly Call[]): void {
    const { counts, samples } = this.summary
    const was = new Map(done.map(call => [call.section, call]))
    for (const { section, call } of calls) {
      const before = was.get(section)
      was.delete(section)
      if (before === undefined) {
        counts.added++
        this.#sample(samples.added, { event, section, call })
      } else if (canonical(before.call) === canonical(packed(call))) counts.same++
      else {
        counts.changed++
        this.#sample(samples.changed, { event, section, call, was: before.call })
      }
    }
    for (const { section, call } of was.values()) {
      counts.removed++
      this.#sample(samples.removed, { event, section, call })
    }
  }

  #sample(list: Sample[], sample: Sample): void {
    if (list.length >= this.#o.samples) return
    const { call, was } = sample
    list.push({
      ...sample,
      call: withoutSecretKeys(withoutOrder(packed(call))),
      ...(was === undefined ? {} : { was: withoutSecretKeys(withoutOrder(was)) })
    })
  }
}

/** JSON with sorted keys; what does not change the call is left out. */
function canonical(call: unknown): string {
  const rest = withoutOrder(call)
  return JSON.stringify(rest, (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value
  )
}

/** The place among the calls of an event is no part of the call. */
function withoutOrder(call: unknown): Record<string, unknown> {
  const { order: _, ...rest } = call as Record<string, unknown>
  return rest
}
