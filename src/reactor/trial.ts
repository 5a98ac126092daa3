/**
 * Try before trust: what rules and SLS files would do about events. Everything up to the call is done as for real events, by the same code (match,
 * decide, render, parse); nothing is planned, dispatched or written.
 */
import type { StoredEvent } from '../events/event.js'
import { stampOf } from '../shared/clock.js'
import { type CompiledReaction, type CompileSls, inSaltsOrder, type ReactionCall, type SlsEvent, type SlsFault } from './compiled.js'
import { Conditions } from './conditions.js'
import { type DecidedRule, Decider, type Decision } from './decide.js'
import type { Guards } from './guards.js'
import { type LintWarning, lintTemplate } from './lint.js'
import { rulesByTag } from './match.js'
import { TemplateError } from './render.js'
import type { Rule } from './rules.js'
import { keptText } from './secrets.js'
import { type SlsFiles, SlsMissing, type SlsSource } from './sources.js'
import { guardsTold, type OptionEffect, optionsTold, type Running } from './trial-options.js'
import type { WindowMemory } from './window-memory.js'
import type { Fired, Joined, WindowKind, Windows } from './windows.js'

/** What of a rule is rendered. */
export interface RenderedRule {
  readonly id: string
  readonly tag: string
  readonly sls: readonly string[]
}

/** A rule as it is tried. `candidate`: it came with the question. */
export type TrialRule = DecidedRule & Pick<Rule, 'match' | 'enabled'> & { readonly source: 'config' | 'api' | 'candidate' }

export interface RenderOptions {
  readonly files: Pick<SlsFiles, 'expand' | 'load'>
  readonly compile: CompileSls
  /** Texts that stand in the place of files, by the reference as rules write it. */
  readonly texts?: ReadonlyMap<string, string>
}

export interface TrialOptions extends RenderOptions {
  /** In the order in which they apply. */
  readonly rules: readonly TrialRule[]
  /** Those that are open before, with their events; the trial changes them. */
  readonly windows: Windows
  readonly memory: WindowMemory<StoredEvent>
  readonly guards: Guards
  readonly maxDepth: number
  /** What holds reactions on a running server; null without one. */
  readonly running: Running | null
}

/** One call that would be made. */
export interface TriedCall {
  readonly rule: string
  readonly file: string
  readonly section: string
  /** Without `order`; `error`: the call cannot be made. */
  readonly call: Omit<ReactionCall, 'order'>
}

export interface TriedFile {
  readonly file: string
  /** The mistake with its place, as one text; `fault` is the same in parts. */
  readonly error?: string
  readonly fault?: SlsFault
  /** What is worth a look before this file meets real events. */
  readonly warnings?: readonly LintWarning[]
  /** The text that was rendered, cut at MAX_RENDERED characters. */
  readonly rendered?: string
  /** It is rendered because of an earlier rule, and only once. */
  readonly skipped?: string
  readonly reactions: readonly Pick<TriedCall, 'section' | 'call'>[]
}

/**
 * reacts; waits: it is planned, and made later (paused, in line, not active); gathered: in a window; passed: an option passes it over; blocked: a guard
 * stops it; fault: an option has a mistake.
 */
export type TrialOutcome = 'reacts' | 'waits' | 'gathered' | 'passed' | 'blocked' | 'fault'

export interface TriedRule {
  readonly rule: string
  readonly tag: string
  readonly source: TrialRule['source']
  readonly outcome: TrialOutcome
  /** Why the rule does nothing although its tag matches. */
  readonly refusal?: string
  /** What each of its options says of the event. */
  readonly options: readonly OptionEffect[]
  readonly sls: readonly TriedFile[]
}

/** A window that would be closed: by an event, or when its time is over and nothing else comes. */
export interface TriedWindow extends Omit<TriedRule, 'source'> {
  readonly key: string
  readonly kind: WindowKind
  /** Events in it, those from before the trial included. */
  readonly events: number
  /** `_stamp` of the moment at which it is closed. */
  readonly closes: string
}

export interface TriedEvent {
  readonly rules: readonly TriedRule[]
  /** Windows that the event, or the time that passed before it, closes. */
  readonly windows: readonly TriedWindow[]
  readonly calls: readonly TriedCall[]
}

export interface Trial {
  readonly events: readonly TriedEvent[]
  /** Windows that are open after the events: each is closed at its time. */
  readonly windows: readonly TriedWindow[]
  readonly calls: readonly TriedCall[]
}

interface RenderedRules {
  readonly rules: readonly { readonly rule: string; readonly sls: readonly TriedFile[] }[]
  /** All calls of all rules in the order in which they would be made. */
  readonly calls: readonly TriedCall[]
}

/** Renders the files of rules, given in their order, for an event. Throws nothing but mistakes of brine itself. */
export async function renderRules(rules: readonly RenderedRule[], event: SlsEvent, options: RenderOptions): Promise<RenderedRules> {
  const seen = new Map<string, string>()
  const compiled: { rule: string; file: string; reaction: CompiledReaction }[] = []
  const rendered: { rule: string; sls: TriedFile[] }[] = []
  for (const rule of rules) {
    const sls: TriedFile[] = []
    for (const file of await filesOf(rule, options)) {
      const first = seen.get(file)
      if (first !== undefined) {
        sls.push({ file, skipped: `rendered for rule ${first}`, reactions: [] })
        continue
      }
      seen.set(file, rule.id)
      const { reactions, ...about } = await tryFile(file, event, options)
      for (const reaction of reactions) compiled.push({ rule: rule.id, file, reaction })
      sls.push({ file, ...about, reactions: [...reactions].sort(inSaltsOrder).map(shown) })
    }
    rendered.push({ rule: rule.id, sls })
  }
  // A section of a later file replaces one of the same name in an earlier one.
  const last = new Map(compiled.map(({ file, reaction }) => [reaction.section, file]))
  const calls = compiled
    .filter(({ file, reaction }) => last.get(reaction.section) === file)
    .sort((a, b) => inSaltsOrder(a.reaction, b.reaction))
    .map(({ rule, file, reaction }) => ({ rule, file, ...shown(reaction) }))
  return { rules: rendered, calls }
}

/** Tries events, one after the other, by their stamps; then time passes until no window is open. */
export async function tryEvents(events: readonly StoredEvent[], options: TrialOptions): Promise<Trial> {
  const trial = new Trying(options)
  const tried: TriedEvent[] = []
  for (const event of events) {
    tried.push(await trial.event(event))
    // Between two of them others have their turn.
    await new Promise(resolve => setImmediate(resolve))
  }
  const { windows, calls } = await trial.end()
  return { events: tried, windows, calls: [...tried.flatMap(each => each.calls), ...calls] }
}

/** True when something of it went wrong: no rule matched, or an option, a file or a call has a mistake. */
export function isWrong(rules: readonly Pick<TriedRule, 'outcome' | 'sls'>[]): boolean {
  const files = rules.flatMap(({ sls }) => sls)
  return (
    rules.length === 0 ||
    rules.some(({ outcome }) => outcome === 'fault') ||
    files.some(file => file.error !== undefined || file.reactions.some(({ call }) => call.error !== undefined))
  )
}

class Trying {
  readonly #o: TrialOptions
  readonly #matching: (tag: string) => TrialRule[]
  readonly #decider: Decider<TrialRule>
  /** What is open, as it was seen last, by rule and first event. */
  readonly #open = new Map<string, Joined>()

  constructor(options: TrialOptions) {
    this.#o = options
    const { rules, windows, guards, maxDepth } = options
    this.#matching = rulesByTag(rules)
    const byId = new Map(rules.map(rule => [rule.id, rule]))
    const conditions = new Conditions(() => performance.now())
    this.#decider = new Decider({ windows, guards, conditions, maxDepth, find: id => byId.get(id) ?? null })
  }

  async event(event: StoredEvent): Promise<TriedEvent> {
    const before = await this.#windowsOf(this.#until(event.stampUs))
    const rules = this.#matching(event.tag)
    const decisions = this.#decider.event(rules, event)
    this.#remember(decisions)
    this.#o.memory.apply(this.#o.windows.changes(), event)
    const closed = await this.#windowsOf(
      decisions.flatMap(decision => (decision.kind === 'window' ? [{ decision, us: event.stampUs }] : []))
    )
    const tried = await Promise.all(rules.map(rule => this.#toldOf(rule, event, decisions)))
    const reacting = tried.filter(({ outcome }) => outcome === 'reacts' || outcome === 'waits').map(({ rule }) => rule)
    const { rules: rendered, calls } = await renderRules(reacting, event, this.#o)
    const slsOf = new Map(rendered.map(({ rule, sls }) => [rule, sls]))
    const shown = tried.map(({ rule: { id, tag, source }, ...about }) => ({ rule: id, tag, source, ...about, sls: slsOf.get(id) ?? [] }))
    return {
      rules: shown,
      windows: [...before.windows, ...closed.windows],
      calls: [...before.calls, ...closed.calls, ...calls]
    }
  }

  async end(): Promise<Closed> {
    const reacted = await this.#windowsOf(this.#until(Number.MAX_SAFE_INTEGER))
    return { windows: [...reacted.windows, ...this.#letGo()], calls: reacted.calls }
  }

  /** Lets time pass, window by window. */
  #until(us: number): Due[] {
    const fired: Due[] = []
    for (let next = this.#o.windows.nextUs; next <= us; next = this.#o.windows.nextUs) fired.push(...this.#due(next))
    return fired
  }

  #due(us: number): Due[] {
    const due = this.#decider.due(us)
    // Windows that end without a reaction let their events go, which is told at the end.
    this.#o.memory.apply(this.#o.windows.changes(), null)
    return due.flatMap(decision => (decision.kind === 'window' ? [{ decision, us }] : []))
  }

  /** Windows of accumulate that did not come so far. */
  #letGo(): TriedWindow[] {
    return [...this.#open].flatMap(([name, { key, kind, count, dueUs }]) => {
      const rule = this.#o.rules.find(({ id }) => name.startsWith(`${id} `))
      if (kind !== 'accumulate' || rule === undefined) return []
      const refusal = `accumulate: ${count} of ${rule.accumulate?.threshold} events came; they are let go`
      const about = { rule: rule.id, tag: rule.tag, key, kind, events: count, closes: stampOf(dueUs) }
      return [{ ...about, outcome: 'passed' as const, refusal, options: [], sls: [] }]
    })
  }

  #remember(decisions: readonly Decision<TrialRule>[]): void {
    for (const decision of decisions) {
      const window = 'window' in decision ? decision.window : null
      if (window !== null && decision.rule !== null) this.#open.set(`${decision.rule.id} ${window.first}`, window)
    }
  }

  async #toldOf(rule: TrialRule, event: StoredEvent, decisions: readonly Decision<TrialRule>[]) {
    const own = decisions.filter(decision => decision.rule === rule)
    const decision = own.find(({ kind }) => kind !== 'window')
    if (decision === undefined || decision.kind === 'window') {
      const refusal = 'the loop guard: the reactor does not react to this event'
      return { rule, outcome: 'passed' as const, refusal, options: [] }
    }
    const { guards, running } = this.#o
    const options = await optionsTold(rule, event, decision, { guards, running })
    const refusal = refusalIn(decision)
    return { rule, outcome: outcomeOf(decision, options), ...(refusal === null ? {} : { refusal }), options }
  }

  async #windowsOf(due: readonly Due[]): Promise<Closed> {
    const windows: TriedWindow[] = []
    const calls: TriedCall[] = []
    for (const { decision, us } of due) {
      if (decision.rule === null) continue
      const { rule, fired, stopped } = decision
      const events = this.#o.memory.take(fired.rule, fired.first)
      const last = events[events.length - 1]
      const options = await guardsTold(rule, fired.slot, stopped, this.#o)
      const stop = stopped === null && last !== undefined ? null : (stopped?.error ?? 'its events cannot be shown to you')
      const rendered = stop === null ? await renderRules([rule], { ...last!, events }, this.#o) : { rules: [], calls: [] }
      calls.push(...rendered.calls)
      windows.push({
        ...{ rule: rule.id, tag: rule.tag, ...this.#about(rule, fired, events.length), closes: stampOf(us) },
        ...{ outcome: stop !== null ? 'blocked' : held(options) ? 'waits' : 'reacts', ...(stop === null ? {} : { refusal: stop }) },
        ...{ options, sls: rendered.rules[0]?.sls ?? [] }
      })
    }
    return { windows, calls }
  }

  #about({ id }: TrialRule, { first }: Fired, events: number): Pick<TriedWindow, 'key' | 'kind' | 'events'> {
    const { key = '', kind = 'once_after', count = events } = this.#open.get(`${id} ${first}`) ?? {}
    this.#open.delete(`${id} ${first}`)
    return { key, kind, events: count }
  }
}

interface Due {
  readonly decision: Extract<Decision<TrialRule>, { kind: 'window' }>
  readonly us: number
}

interface Closed {
  readonly windows: readonly TriedWindow[]
  readonly calls: readonly TriedCall[]
}

function refusalIn(decision: Decision<TrialRule>): string | null {
  if (decision.kind === 'passed') return decision.why
  if (decision.kind === 'dead' || decision.kind === 'resting') return decision.error
  return decision.kind === 'react' ? (decision.stopped?.error ?? null) : null
}

function outcomeOf(decision: Decision<TrialRule>, options: readonly OptionEffect[]): TrialOutcome {
  if (decision.kind === 'dead') return decision.option === 'depth' ? 'blocked' : 'fault'
  if (decision.kind === 'passed' || decision.kind === 'gathered') return decision.kind
  if (decision.kind === 'resting' || (decision.kind === 'react' && decision.stopped !== null)) return 'blocked'
  return held(options) ? 'waits' : 'reacts'
}

/** Something holds the reaction back for now. */
function held(options: readonly OptionEffect[]): boolean {
  return options.some(({ option, passes }) => !passes && (option === 'paused' || option === 'concurrency' || option === 'active'))
}

async function filesOf(rule: RenderedRule, { files, texts }: RenderOptions): Promise<string[]> {
  const found: string[] = []
  for (const reference of rule.sls) found.push(...(texts?.has(reference) ? [reference] : await files.expand(reference)))
  return found
}

interface Tried extends Omit<TriedFile, 'file' | 'reactions'> {
  readonly reactions: readonly CompiledReaction[]
}

async function tryFile(file: string, event: SlsEvent, options: RenderOptions): Promise<Tried> {
  try {
    const source = await sourceOf(file, options)
    const { reactions, error, fault, rendered, warnings = [] } = await options.compile(source, event)
    const all = [...lintOf(source.text), ...warnings.map(message => ({ line: 0, column: 0, message }))]
    return {
      ...(error === null ? {} : { error }),
      ...(fault === undefined ? {} : { fault }),
      ...(all.length === 0 ? {} : { warnings: all }),
      ...(rendered === undefined ? {} : { rendered: keptText(rendered) }),
      reactions
    }
  } catch (error) {
    if (!(error instanceof SlsMissing)) throw error
    return { error: error.message, fault: { kind: 'sls_missing', message: error.message, file, line: 0, column: 0 }, reactions: [] }
  }
}

function sourceOf(file: string, { files, texts }: RenderOptions): Promise<SlsSource> | SlsSource {
  const text = texts?.get(file)
  return text === undefined ? files.load(file) : { file, text }
}

/** A file that does not parse says so by its error. */
function lintOf(text: string): LintWarning[] {
  try {
    return lintTemplate(text)
  } catch (error) {
    if (error instanceof TemplateError) return []
    throw error
  }
}

function shown({ section, call }: CompiledReaction): Pick<TriedCall, 'section' | 'call'> {
  const { order: _, ...rest } = call
  return { section, call: rest }
}

/** Pasted events stand behind all that a log may have. */
const FIRST_PASTED = 2 ** 50

/** Events of a trial in their order, as the reactor looks at them; without a cause they come from outside. `stampUs`: microseconds. */
export function asStored(
  events: readonly (SlsEvent & Pick<StoredEvent, 'stampUs'> & Partial<Pick<StoredEvent, 'cause' | 'source'>>)[]
): StoredEvent[] {
  return events.map(({ tag, json, stampUs, source = 'server', cause = null }, i) => {
    return { seq: FIRST_PASTED + i, tag, json, stampUs, source, cause }
  })
}
