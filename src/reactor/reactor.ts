import { readFileSync } from 'node:fs'
import type { Logger } from 'pino'
import { REACTOR } from '../auth/permissions.js'
import type { Config } from '../config/schema.js'
import { brineError } from '../errors.js'
import type { StoredEvent } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import type { Hub } from '../hub/hub.js'
import type { JidSource } from '../jobs/jid.js'
import type { Commands } from '../jobs/lowstate.js'
import type { Clock } from '../shared/clock.js'
import { parseYaml } from '../shared/yaml.js'
import type { PlanRecord, ReactionRecord, Store } from '../store/store.js'
import { reactorRetry } from '../tags/tags.js'
import type { CompileSls, ReactionCall } from './compiled.js'
import { Compiler } from './compiler.js'
import { Dispatcher } from './dispatch.js'
import { ReactorErrors } from './errors.js'
import { Guards } from './guards.js'
import { masterCompiler } from './master.js'
import { PassedBy } from './passed.js'
import { Performer } from './performer.js'
import { Planner } from './planner.js'
import { RuleReloader } from './reload.js'
import { Retrier } from './retry.js'
import { type Author, type ConfigChange, Rules, readConfigRules } from './rules.js'
import { JobSettler } from './settle.js'
import { SlsEditor } from './sls-editor.js'
import { SlsFiles } from './sources.js'
import { type TracedEvent, traceOf } from './trace.js'

export interface ReactorOptions {
  readonly config: Pick<
    Config,
    | 'reactor'
    | 'reactor_roots'
    | 'reactor_reload_interval'
    | 'file_roots'
    | 'reactor_max_depth'
    | 'reactor_attempts'
    | 'reactor_rate_limit'
    | 'reactor_breaker'
    | 'embedded_minion'
    | 'embedded_minion_id'
    | 'keep_jobs_seconds'
  >
  readonly store: Store
  readonly events: Pick<EventLog, 'prepare' | 'fire'>
  readonly hub: Pick<Hub, 'listen'>
  readonly commands: Pick<Commands, 'dispatch' | 'context'>
  readonly jids: Pick<JidSource, 'next'>
  readonly clock: Clock
  readonly log: Pick<Logger, 'warn' | 'info'>
  /** The files behind the configuration; without them the file that the setting `reactor` may name is all that is read anew. */
  readonly source?: {
    readonly loaded: { readonly watched: readonly string[] }
    reload(): { readonly config: Pick<Config, 'reactor'>; readonly watched: readonly string[] }
  }
}

/**
 * Work that may wait before ingest is refused (503). Everything that waits is on disk, so this is no matter of memory, but of not falling
 * further behind than some seconds of work without anybody noticing.
 */
const MAX_LAG_EVENTS = 50_000
const MAX_OPEN_PLANS = 10_000
/** Reactions under way at a crash that one start ends; more than run at the same time. */
const MAX_INTERRUPTED = 10_000
/** How long a stop waits for runner and wheel functions of reactions. The next start ends those that took longer, as interrupted. */
const STOP_MS = 1000

/** Reacts to events: rules, planning, rendering, dispatch, settling (DESIGN, "The reactor in steps"). */
export class Reactor {
  readonly #o: ReactorOptions
  readonly #files: SlsFiles
  /** What reads and compiles SLS files: for those who try them without acting. */
  readonly sls: { readonly files: SlsFiles; readonly compile: CompileSls }
  readonly #compiler: Compiler
  readonly #settler: JobSettler
  readonly #dispatcher: Dispatcher
  readonly #performer: Performer
  /** SLS files below `reactor_roots`, to be managed. */
  readonly editor: SlsEditor
  #reloader: RuleReloader | null = null
  /** What pauses, limits and breaks rules. */
  readonly guards: Guards
  readonly #errors: ReactorErrors
  #rules: Rules | null = null
  #planner: Planner | null = null

  constructor(options: ReactorOptions) {
    this.#o = options
    const { config, store, events, hub, commands, jids, clock, log } = options
    const attempts = config.reactor_attempts
    const errors = new ReactorErrors(events, store.events.epoch)
    this.#errors = errors
    const ruleOf = (id: string) => this.#rules?.find(id) ?? null
    const rules = () => this.#rules?.all() ?? []
    this.guards = new Guards({ store: store.reactions, events, clock, ruleOf, rules, defaults: defaultGuards(config), log })
    const { guards } = this
    const retryOf = (id: string) => ruleOf(id)?.retry ?? null
    const released = () => this.#performer.look()
    const facts = { fileRoots: config.file_roots, reactorRoots: config.reactor_roots }
    this.#files = new SlsFiles(facts)
    const retryAt = (us: number) => this.#performer.retryAt(us)
    const retrier = new Retrier({ store, events, jids, clock, retryOf, attempts, retryAt })
    this.#settler = new JobSettler({ store, hub, guards, retrier, clock, released, log })
    const callerMinion = config.embedded_minion ? config.embedded_minion_id : null
    const about = { store, events, commands, errors, guards, retrier, clock, attempts, retryOf, log }
    this.#dispatcher = new Dispatcher({ ...about, settler: this.#settler, caller: REACTOR, callerMinion, retryAt, released })
    this.#compiler = new Compiler({ here: masterCompiler(this.#files, facts), facts })
    const { compile } = this.#compiler
    this.sls = { files: this.#files, compile }
    this.editor = new SlsEditor({ roots: config.reactor_roots, store, events, clock, compile })
    this.#performer = new Performer({ ...about, files: this.#files, compile, dispatcher: this.#dispatcher, jids })
  }

  /**
   * Reads the rules, ends what a crash interrupted, and goes on at the cursor. May be called twice.
   * @throws CONFIG_INVALID when the file that the setting `reactor` names cannot be read
   */
  async start(): Promise<void> {
    if (this.#planner !== null) return
    const { config, store, events, clock, log } = this.#o
    const configured = readConfigRules(reactorItems(config.reactor))
    this.#rules = await Rules.open({ store, events, clock, config: configured })
    const planned = (reacting: readonly StoredEvent[], plans: number) => this.#performer.planned(reacting, plans)
    const { guards } = this
    const of = { store, rules: this.#rules, files: this.#files, guards, errors: this.#errors, clock, log, planned }
    this.#planner = new Planner({ ...of, maxDepth: config.reactor_max_depth })
    // Before anything is done: a reactor that was paused does nothing.
    await guards.load()
    await guards.recall()
    await this.#endInterrupted()
    this.#settler.start()
    this.#performer.start()
    await this.#planner.start()
    this.#follow(this.#rules)
  }

  /** Ends after the work at hand, within some seconds; what is left is done after the next start. May be called twice. */
  async stop(): Promise<void> {
    const planner = this.#planner
    this.#planner = null
    if (planner === null) return
    this.#reloader?.stop()
    await planner.stop()
    // First what waits for the thread, so that nobody waits for that: its plans stay open.
    await this.#compiler.stop()
    await this.#performer.stop()
    await within(STOP_MS, this.#dispatcher.settled())
    await this.#settler.stop()
  }

  /** The rules. Only after `start`. */
  get rules(): Rules {
    if (this.#rules === null) throw brineError('SHUTTING_DOWN')
    return this.#rules
  }

  /**
   * Reads the rules of the configuration anew from its files, on behalf of a user; the same happens by itself when one of them changes.
   * @throws RELOAD_FAILED when they have mistakes; the rules are as they were
   */
  reload(user: string): Promise<ConfigChange> {
    if (this.#reloader === null) throw brineError('SHUTTING_DOWN')
    return this.#reloader.reload(user)
  }

  /** True while so much waits that no more events should be taken in: the routes then answer 503 with Retry-After. */
  overloaded(): boolean {
    const { lag, open } = this.backlog()
    return lag > MAX_LAG_EVENTS || open > MAX_OPEN_PLANS
  }

  /** `lag`: events not matched yet; `open`: plans not worked on yet; `running`: runner and wheel calls under way. */
  backlog(): { lag: number; open: number; running: number } {
    return { lag: this.#planner?.lag ?? 0, open: this.#performer.open, running: this.#dispatcher.running }
  }

  /** What an event led to, and which rules passed it over and why. Events whose tags are not `visible` are left out. */
  trace(event: StoredEvent, visible: (tag: string) => boolean): Promise<TracedEvent> {
    const { store, clock, config } = this.#o
    const plannedUpTo = this.#planner?.upTo ?? 0
    const recordsFromUs = clock.nowUs() - config.keep_jobs_seconds * 1_000_000
    const passed = new PassedBy({ rules: this.rules, files: this.#files, store, plannedUpTo, recordsFromUs })
    return traceOf(event, { store, visible, passed, paused: this.paused })
  }

  /** Looks now for what is due and for jobs that are over: for tests, whose clock is their own. */
  async look(): Promise<void> {
    await this.#planner?.look()
    this.#performer.look()
    await this.#settler.sweep()
  }

  /** Windows that were closed early since the start, because too many were open. */
  get windowsClosedEarly(): number {
    return this.#planner?.early ?? 0
  }

  /** True while it only plans and does not act. */
  get paused(): boolean {
    return this.guards.paused()
  }

  /** What is planned from now on waits: of one rule, or (without an id) of all. False: it was paused already. @throws NOT_FOUND, STORE_… */
  async pause(author: Author, rule?: string): Promise<boolean> {
    return this.#setPaused(author, rule, true)
  }

  /** What waited goes on, in its order. False: it was not paused. Also for a rule that is gone: what waits because of it is not lost. */
  async resume(author: Author, rule?: string): Promise<boolean> {
    return this.#setPaused(author, rule, false)
  }

  async #setPaused(author: Author, rule: string | undefined, paused: boolean): Promise<boolean> {
    if (rule !== undefined && !this.guards.paused(rule)) this.rules.get(rule)
    const done = await this.guards.setPaused(rule ?? null, paused, author)
    this.#performer.look()
    return done
  }

  /**
   * Drives dead plans, and dead or failed reactions, again: as if nobody had tried them, reactions under new job ids. An event per rule tells who
   * asked. Returns how many there were; what has another state by now is left alone.
   */
  async redrive(
    plans: readonly PlanRecord[],
    reactions: readonly ReactionRecord[],
    { user, source }: Author
  ): Promise<{ plans: number; reactions: number }> {
    const { store, events, clock, jids } = this.#o
    const rules = [...new Set([...plans, ...reactions].map(({ rule }) => rule))]
    if (rules.length === 0) return { plans: 0, reactions: 0 }
    const ids = (of: readonly { readonly rule: string; readonly id: number }[], rule: string) =>
      of.filter(each => each.rule === rule).map(({ id }) => id)
    const told = rules.map(rule => {
      const data = { rule, plans: ids(plans, rule), reactions: ids(reactions, rule), user }
      return events.prepare(reactorRetry(rule), data, { source })
    })
    const again = reactions.map(({ id }) => ({ id, jid: jids.next() }))
    const done = await store.reactions.redrive({ plans: plans.map(({ id }) => id), reactions: again }, clock.nowUs(), told)
    this.#performer.look()
    return done
  }

  #follow(rules: Rules): void {
    const { config, events, log, source } = this.#o
    const itemsOf = (setting: Config['reactor'], watched: readonly string[]) => ({
      items: reactorItems(setting),
      watched: typeof setting === 'string' ? [...watched, setting] : watched
    })
    const read = () => {
      const now = source?.reload() ?? { config, watched: [] }
      return itemsOf(now.config.reactor, now.watched)
    }
    this.#reloader = new RuleReloader({ source: { read }, rules, events, log, intervalMs: config.reactor_reload_interval * 1000 })
    const first = source?.loaded.watched ?? []
    this.#reloader.start(typeof config.reactor === 'string' ? [...first, config.reactor] : first)
  }

  async #endInterrupted(): Promise<void> {
    for (const reaction of await this.#o.store.reactions.inState('dispatched', MAX_INTERRUPTED)) {
      const { client } = reaction.call as ReactionCall
      if (client !== 'runner' && client !== 'wheel') continue
      const event = await this.#o.store.events.get(reaction.event)
      await this.#dispatcher.interrupted(reaction, { seq: reaction.event, depth: (event?.cause?.depth ?? 0) + 1 })
    }
  }
}

/** The guards of rules that have none of their own; 0: none. */
function defaultGuards({ reactor_rate_limit, reactor_breaker }: Pick<Config, 'reactor_rate_limit' | 'reactor_breaker'>) {
  return {
    rate_limit: reactor_rate_limit === 0 ? null : ({ limit: reactor_rate_limit, per: '1m' } as const),
    breaker: reactor_breaker === 0 ? null : { failures: reactor_breaker }
  }
}

/** The items of the setting `reactor`: a list, or the path of a YAML file with one. */
export function reactorItems(setting: Config['reactor']): unknown {
  if (typeof setting !== 'string') return setting
  try {
    return parseYaml(readFileSync(setting, 'utf8'))
  } catch (error) {
    throw brineError('CONFIG_INVALID', 'a mistake', `reactor: '${setting}' cannot be read: ${(error as Error).message}`)
  }
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>(resolve => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, late]).finally(() => clearTimeout(timer))
}
