/**
 * Reactions to events on the minion's own bus (`reactor:` in its configuration): a masterless minion that mends itself. Rules, their options and SLS
 * files are those of the server's reactor, decided by the same code; the one type that means something here is `caller`, functions of this minion.
 * Nothing is kept on disk: a restart forgets windows, and what was counted.
 */
import { readFile } from 'node:fs/promises'
import { brineError } from '../errors.js'
import type { StoredEvent } from '../events/event.js'
import type { Decider, Decision } from '../reactor/decide.js'
import type { Guards } from '../reactor/guards.js'
import type { Rule } from '../reactor/rules.js'
import type { WindowMemory } from '../reactor/window-memory.js'
import type { Windows } from '../reactor/windows.js'
import { packArguments } from '../shared/arguments.js'
import { type Clock, SystemClock } from '../shared/clock.js'
import { parseYaml } from '../shared/yaml.js'
import type { MinionBus } from './bus.js'
import type { MinionLog } from './context.js'
import { messageOf } from './modules/errors.js'
import { isMapping, type Mapping } from './modules/values.js'

export interface MinionReactorOptions {
  /** As the setting `reactor` of a server: a list of `{tag glob: files}` and `{tag glob: {sls: files, …options}}`, or the path of a YAML file with one. */
  readonly rules: string | readonly unknown[]
  readonly fileRoots: Readonly<Record<string, readonly string[]>>
  /** Further names for templates: grains, pillar, opts. */
  readonly context: () => Mapping
  /** Calls a function; false: it failed. */
  readonly run: (fun: string, arg: readonly unknown[]) => Promise<unknown>
  readonly log: MinionLog
  readonly clock?: Clock
}

/** Events that wait for their reactions. More are told of and left out: a loop of events must not eat the machine. */
const MAX_WAITING = 1000
/** Calls in a minute; a reaction that sets itself off meets this. */
const MAX_PER_MINUTE = 600
/** What open windows may gather in memory; beyond it they are closed early. */
const WINDOWS = { ofRule: 1000, ofAll: 5000, bytes: 16 * 1024 * 1024 }
/** Longest wait until the clock is looked at again: it may have been set. */
const LOOK_MS = 60_000

/** A reaction to an event, or to a window. */
interface Reaction {
  readonly rule: Rule
  readonly event: StoredEvent & { readonly events?: readonly StoredEvent[] }
}

export class MinionReactor {
  readonly #o: MinionReactorOptions
  readonly #clock: Clock
  readonly #waiting: (StoredEvent | null)[] = []
  /** Reactions that wait until their rules are active (`outside: hold`). */
  #held: { readonly us: number; readonly reaction: Reaction }[] = []
  #parts: Parts | null = null
  #working: Promise<void> | null = null
  #unlisten: (() => void) | null = null
  #timer: NodeJS.Timeout | null = null
  #seq = 0
  #minute = 0
  #calls = 0

  constructor(options: MinionReactorOptions) {
    this.#o = options
    this.#clock = options.clock ?? new SystemClock()
  }

  /** Begins to listen. A list that cannot be read, or has mistakes, is told of; the minion goes on without it. */
  async start(bus: MinionBus): Promise<void> {
    try {
      const { rules } = this.#o
      const items = typeof rules === 'string' ? parseYaml(await readFile(rules, 'utf8')) : rules
      // Most minions have no rules, and need nothing of the reactor.
      if (Array.isArray(items) && items.length > 0) this.#parts = await loadReactor(items, this.#o, this.#clock)
    } catch (error) {
      this.#o.log.error({ error: messageOf(error) }, 'the reactor of this minion cannot be read')
    }
    if (this.#parts !== null) this.#unlisten = bus.listen('*', (tag, data) => this.#heard(tag, data))
  }

  async stop(): Promise<void> {
    this.#unlisten?.()
    this.#waiting.length = 0
    if (this.#timer) clearTimeout(this.#timer)
    await this.#working
    if (this.#timer) clearTimeout(this.#timer)
    const gathered = [...(this.#parts?.memory.waiting() ?? [])].reduce((sum, { events }) => sum + events.length, this.#held.length)
    if (gathered > 0) this.#o.log.warn({ events: gathered }, 'events still waited in windows of the reactor; they get no reaction')
  }

  /** Looks for what is due: for tests, whose clock is their own. Resolves when it is done. */
  async look(): Promise<void> {
    this.#waiting.push(null)
    await this.#begin()
  }

  #heard(tag: string, data: unknown): void {
    const parts = this.#parts!
    if (parts.rulesFor(tag).length === 0) return
    if (this.#waiting.length >= MAX_WAITING) {
      this.#o.log.error({ tag }, 'too many events wait for their reactions; this one gets none')
      return
    }
    const json = parts.saltJson(isMapping(data) ? data : { data })
    this.#waiting.push({ seq: ++this.#seq, tag, json, stampUs: this.#clock.nowUs(), source: 'server', cause: null })
    void this.#begin()
  }

  #begin(): Promise<void> {
    this.#working ??= this.#work().finally(() => {
      this.#working = null
      this.#setTimer()
    })
    return this.#working
  }

  /** Event by event, in order, each call to its end: of each line of a rule (`concurrency`) one goes at a time. Null: only time has passed. */
  async #work(): Promise<void> {
    for (let event = this.#waiting.shift(); event !== undefined; event = this.#waiting.shift()) {
      try {
        await this.#due(event?.stampUs ?? this.#clock.nowUs())
        if (event !== null) await this.#decide(event)
      } catch (error) {
        this.#o.log.error({ tag: event?.tag, error: messageOf(error) }, 'a reaction failed')
      }
    }
  }

  async #due(us: number): Promise<void> {
    const ready = this.#held.filter(held => held.us <= us)
    this.#held = this.#held.filter(held => held.us > us)
    for (const { reaction } of ready) await this.#react([reaction])
    const { decider, windows, memory } = this.#parts!
    const decisions = decider.due(us)
    memory.apply(windows.changes(), null)
    for (const reaction of decisions.flatMap(decision => this.#reactionOf(decision))) await this.#react([reaction])
  }

  /** As the server does: the files of all matching rules, each once; sections of a later file replace equal ones; calls in Salt's order. */
  async #decide(event: StoredEvent): Promise<void> {
    const { decider, windows, memory, rulesFor } = this.#parts!
    const decisions = decider.event(rulesFor(event.tag), event)
    memory.apply(windows.changes(), event)
    const alone: Reaction[] = []
    for (const decision of decisions) {
      const reactions = this.#reactionOf(decision)
      if (decision.kind === 'window') for (const reaction of reactions) await this.#react([reaction])
      else alone.push(...reactions)
    }
    await this.#react(alone)
  }

  /** None for what is passed over, gathered, stopped or held. */
  #reactionOf(decision: Decision<Rule>): Reaction[] {
    const { rule } = decision
    if (rule === null) return []
    if (decision.kind === 'dead') this.#o.log.error({ tag: decision.event.tag, error: decision.error }, 'an option of a rule has a mistake')
    if (decision.kind === 'resting' && decision.resting.first) this.#o.log.error({ tag: decision.event.tag }, decision.error)
    if (decision.kind !== 'window' && decision.kind !== 'react') return []
    const members = decision.kind === 'window' ? this.#parts!.memory.take(rule.id, decision.fired.first) : [decision.event]
    const last = members[members.length - 1]
    if (decision.stopped !== null) {
      if (decision.stopped.events.length > 0 || decision.stopped.blocked === 'breaker')
        this.#o.log.warn({ tag: rule.tag }, decision.stopped.error)
      return []
    }
    if (last === undefined) return []
    const reaction = { rule, event: decision.kind === 'window' ? { ...last, events: members } : last }
    if (decision.kind !== 'react' || !decision.inactive) return [reaction]
    const us = this.#parts!.activeAgain(rule, last.stampUs)
    if (us === null || this.#held.length >= MAX_WAITING)
      this.#o.log.error(
        { tag: last.tag },
        us === null ? 'the rule is not active within eight days; the event gets no reaction' : 'too many events are held'
      )
    else this.#held.push({ us, reaction })
    return []
  }

  async #react(reactions: readonly Reaction[]): Promise<void> {
    const [first] = reactions
    if (first === undefined) return
    const { renderRules, files, compile } = this.#parts!
    const { tag } = first.event
    const { rules, calls } = await renderRules(
      reactions.map(({ rule }) => rule),
      first.event,
      { files, compile }
    )
    const failures = new Map<string, string | null>(reactions.map(({ rule }) => [rule.id, null]))
    for (const { rule, sls } of rules) {
      for (const { file, error, warnings = [] } of sls) {
        if (error !== undefined) {
          this.#o.log.error({ file, tag, error }, 'a reaction failed')
          failures.set(rule, error)
        }
        // those with a place are for authors, who test; not for each event
        for (const { line, message } of warnings) if (line === 0) this.#o.log.warn({ file, tag }, message)
      }
    }
    for (const { rule, file, call } of calls) {
      const failure = await this.#call(file, tag, call)
      if (failure !== null) failures.set(rule, failure)
    }
    for (const [rule, failure] of failures) await this.#learn(rule, first.event.seq, failure)
  }

  /** Why the call failed; null when it did not. */
  async #call(file: string, tag: string, { client, fun, arg = [], kwarg = {}, error }: RenderedCall): Promise<string | null> {
    const refusal = error ?? (client === 'caller' ? null : `a minion has no '${client}' reactions; only caller`)
    if (refusal !== null) {
      this.#o.log.error({ file, tag }, refusal)
      return refusal
    }
    if (!this.#mayCall(fun)) return 'too many reactions'
    return (await this.#o.run(fun, packArguments([...arg], kwarg))) === false ? `${fun} failed` : null
  }

  /** Tells the breaker of a rule how a reaction ended. */
  async #learn(rule: string, event: number, failure: string | null): Promise<void> {
    const { guards } = this.#parts!
    const before = guards.shown(rule).breaker.state
    await guards.outcome(rule, event, failure)
    const { state, reason } = guards.shown(rule).breaker
    if (state !== before) this.#o.log.warn({ rule, reason }, `the circuit breaker of a rule is ${state}`)
  }

  #setTimer(): void {
    if (this.#timer) clearTimeout(this.#timer)
    const dueUs = Math.min(this.#parts!.windows.nextUs, ...this.#held.map(({ us }) => us))
    if (dueUs === Number.POSITIVE_INFINITY) return
    const ms = Math.min(LOOK_MS, Math.max(1, (dueUs - this.#clock.nowUs()) / 1000))
    this.#timer = setTimeout(() => void this.look(), ms)
    this.#timer.unref()
  }

  #mayCall(fun: string): boolean {
    const minute = Math.floor(performance.now() / 60_000)
    if (minute !== this.#minute) this.#calls = 0
    this.#minute = minute
    if (++this.#calls <= MAX_PER_MINUTE) return true
    this.#o.log.error({ fun }, `more than ${MAX_PER_MINUTE} reactions in a minute; is there a loop? This one is left out`)
    return false
  }
}

type RenderedCall = Awaited<ReturnType<typeof import('../reactor/trial.js').renderRules>>['calls'][number]['call']
type Parts = Awaited<ReturnType<typeof loadReactor>>

/** The server's reactor up to the call. @throws CONFIG_INVALID */
async function loadReactor(items: readonly unknown[], { fileRoots, context }: MinionReactorOptions, clock: Clock) {
  const [rules, { rulesByTag }, { Conditions }, deciding, { detachedGuards }, windowed, kept, { activeAgain }, rest] = await Promise.all([
    import('../reactor/rules.js'),
    import('../reactor/match.js'),
    import('../reactor/conditions.js'),
    import('../reactor/decide.js'),
    import('../reactor/guards.js'),
    import('../reactor/windows.js'),
    import('../reactor/window-memory.js'),
    import('../reactor/gate.js'),
    loadRendering(fileRoots, context)
  ])
  const all = rules.readConfigRules(items)
  refuseRetry(all)
  const rulesFor = rulesByTag(all)
  const byId = new Map(all.map(rule => [rule.id, rule]))
  const find = (id: string) => byId.get(id) ?? null
  const guards: Guards = detachedGuards(find, clock)
  const windows: Windows = new windowed.Windows(WINDOWS)
  const memory: WindowMemory<StoredEvent> = new kept.WindowMemory()
  const conditions = new Conditions(() => clock.nowUs() / 1000)
  // Nothing on the bus has a cause; loops meet the limit of calls.
  const decider: Decider<Rule> = new deciding.Decider({ windows, guards, conditions, maxDepth: Number.POSITIVE_INFINITY, find })
  return { ...rest, rulesFor, guards, windows, memory, decider, activeAgain }
}

async function loadRendering(fileRoots: MinionReactorOptions['fileRoots'], context: MinionReactorOptions['context']) {
  const [{ slsCompiler }, { SlsFiles }, { surroundings }, { renderRules }, { saltJson }] = await Promise.all([
    import('../reactor/compile.js'),
    import('../reactor/sources.js'),
    import('../reactor/surroundings.js'),
    import('../reactor/trial.js'),
    import('../events/json.js')
  ])
  const files = new SlsFiles({ fileRoots })
  const compile = slsCompiler({
    include: (name, from) => files.include(name, from),
    signatureOf: () => null,
    context: () => surroundings({ grains: {}, opts: {}, ...context() })
  })
  return { renderRules, files, compile, saltJson }
}

/** The one option that means nothing where calls are made at once. */
function refuseRetry(rules: readonly Rule[]): void {
  const wrong = rules
    .filter(({ retry }) => retry !== null)
    .map(({ tag }) => `  reactor.${tag}: retry is for calls that could not be published; a minion makes them at once`)
  if (wrong.length > 0) throw brineError('CONFIG_INVALID', wrong.length === 1 ? 'a mistake' : `${wrong.length} mistakes`, wrong.join('\n'))
}
