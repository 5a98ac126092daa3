/**
 * Reactions to events on the minion's own bus (`reactor:` in its configuration): a masterless minion that mends itself. SLS files are those of the
 * server's reactor; the one type that means something here is `caller`, functions of this minion.
 */
import { readFile } from 'node:fs/promises'
import { packArguments } from '../shared/arguments.js'
import { parseYaml } from '../shared/yaml.js'
import { compileGlob } from '../tags/glob.js'
import type { MinionBus } from './bus.js'
import type { MinionLog } from './context.js'
import { messageOf } from './modules/errors.js'
import { isMapping, type Mapping } from './modules/values.js'

export interface MinionReactorOptions {
  /** Salt's list of one-key mappings, tag glob → file or files; or the path of a YAML file with such a list. */
  readonly rules: string | readonly unknown[]
  readonly fileRoots: Readonly<Record<string, readonly string[]>>
  /** Further names for templates: grains, pillar, opts. */
  readonly context: () => Mapping
  readonly run: (fun: string, arg: readonly unknown[]) => Promise<void>
  readonly log: MinionLog
}

interface Rule {
  readonly tag: string
  readonly matches: (tag: string) => boolean
  readonly sls: readonly string[]
}

/** Events that wait for their reactions. More are told of and left out: a loop of events must not eat the machine. */
const MAX_WAITING = 1000
/** Calls in a minute; a reaction that sets itself off meets this. */
const MAX_PER_MINUTE = 600

export class MinionReactor {
  readonly #o: MinionReactorOptions
  readonly #waiting: { tag: string; data: Mapping }[] = []
  #rules: readonly Rule[] = []
  #working: Promise<void> | null = null
  #loaded: ReturnType<typeof loadReactor> | null = null
  #unlisten: (() => void) | null = null
  #minute = 0
  #calls = 0

  constructor(options: MinionReactorOptions) {
    this.#o = options
  }

  /** Begins to listen. A list that cannot be read is told of; the minion goes on without it. */
  async start(bus: MinionBus): Promise<void> {
    try {
      this.#rules = rulesOf(typeof this.#o.rules === 'string' ? parseYaml(await readFile(this.#o.rules, 'utf8')) : this.#o.rules)
    } catch (error) {
      this.#o.log.error({ error: messageOf(error) }, 'the reactor of this minion cannot be read')
    }
    if (this.#rules.length > 0) this.#unlisten = bus.listen('*', (tag, data) => this.#heard(tag, data))
  }

  async stop(): Promise<void> {
    this.#unlisten?.()
    this.#waiting.length = 0
    await this.#working
  }

  #heard(tag: string, data: unknown): void {
    if (!this.#rules.some(rule => rule.matches(tag))) return
    if (this.#waiting.length >= MAX_WAITING) {
      this.#o.log.error({ tag }, 'too many events wait for their reactions; this one gets none')
      return
    }
    this.#waiting.push({ tag, data: isMapping(data) ? data : { data } })
    this.#working ??= this.#work().finally(() => {
      this.#working = null
    })
  }

  /** Event by event, in order. */
  async #work(): Promise<void> {
    for (let event = this.#waiting.shift(); event !== undefined; event = this.#waiting.shift()) {
      try {
        await this.#react(event)
      } catch (error) {
        this.#o.log.error({ tag: event.tag, error: messageOf(error) }, 'a reaction failed')
      }
    }
  }

  /** As the server does: the files of all matching rules, each once; sections of a later file replace equal ones; calls in Salt's order. */
  async #react({ tag, data }: { tag: string; data: Mapping }): Promise<void> {
    const { tryRules, files, compile, saltJson } = await this.#reactor()
    const matching = this.#rules
      .filter(rule => rule.matches(tag))
      .map(({ tag, sls }, i) => ({ id: String(i), tag, sls, source: 'config' as const }))
    const { rules, calls } = await tryRules(matching, { tag, json: saltJson(data) }, { files, compile })
    for (const { file, error, warnings = [] } of rules.flatMap(rule => rule.sls)) {
      if (error !== undefined) this.#o.log.error({ file, tag, error }, 'a reaction failed')
      // those with a place are for authors, who test; not for each event
      for (const { line, message } of warnings) if (line === 0) this.#o.log.warn({ file, tag }, message)
    }
    for (const { file, call } of calls) {
      const { client, fun, arg = [], kwarg = {}, error } = call
      if (error !== undefined) this.#o.log.error({ file, tag }, error)
      else if (client !== 'caller') this.#o.log.error({ file, tag }, `a minion has no '${client}' reactions; only caller`)
      else if (this.#mayCall(fun)) await this.#o.run(fun, packArguments([...arg], kwarg))
    }
  }

  /** The server's reactor up to the call. Loaded with the first event that concerns it: most minions have no rules. */
  #reactor() {
    this.#loaded ??= loadReactor(this.#o)
    return this.#loaded
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

async function loadReactor({ fileRoots, context }: Pick<MinionReactorOptions, 'fileRoots' | 'context'>) {
  const [{ slsCompiler }, { SlsFiles }, { surroundings }, { tryRules }, { saltJson }] = await Promise.all([
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
  return { tryRules, files, compile, saltJson }
}

/** Items of another form are ignored, as in Salt. */
function rulesOf(list: unknown): Rule[] {
  if (!Array.isArray(list)) return []
  return list.flatMap(item => {
    const entries = isMapping(item) ? Object.entries(item) : []
    if (entries.length !== 1) return []
    const [tag, files] = entries[0]!
    return [{ tag, matches: compileGlob(tag), sls: [files].flat().filter((file): file is string => typeof file === 'string') }]
  })
}
