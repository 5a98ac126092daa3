/**
 * Reactions to events on the minion's own bus (`reactor:` in its configuration): a masterless minion that mends itself. SLS files are those of the
 * server's reactor; the one type that means something here is `caller`, functions of this minion.
 */
import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
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
  readonly matches: (tag: string) => boolean
  readonly files: readonly string[]
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
      const { tag } = event
      for (const { files } of this.#rules.filter(rule => rule.matches(tag))) {
        for (const reference of files) for (const file of await this.#expand(reference)) await this.#react(file, event)
      }
    }
  }

  async #react(file: string, { tag, data }: { tag: string; data: Mapping }): Promise<void> {
    try {
      // Loaded with the first event that concerns it: most minions have no reactor.
      const [{ renderSls }, { parseReactions }] = await Promise.all([import('../reactor/render.js'), import('../reactor/parse.js')])
      const high = renderSls(await readFile(file, 'utf8'), { file, tag, data, context: this.#o.context() })
      if (high === null) return
      const { calls, errors } = parseReactions(high, file)
      for (const { message } of errors) this.#o.log.error({ file, tag }, message)
      for (const { client, fun, arg, kwarg } of calls) {
        if (client !== 'caller') this.#o.log.error({ file, tag }, `a minion has no '${client}' reactions; only caller`)
        else if (this.#mayCall(fun)) await this.#o.run(fun, packArguments([...arg], kwarg))
      }
    } catch (error) {
      this.#o.log.error({ file, tag, error: messageOf(error) }, 'a reaction failed')
    }
  }

  #mayCall(fun: string): boolean {
    const minute = Math.floor(performance.now() / 60_000)
    if (minute !== this.#minute) this.#calls = 0
    this.#minute = minute
    if (++this.#calls <= MAX_PER_MINUTE) return true
    this.#o.log.error({ fun }, `more than ${MAX_PER_MINUTE} reactions in a minute; is there a loop? This one is left out`)
    return false
  }

  /** `salt://` lies below file_roots of base; wildcards stand for names in one directory. */
  async #expand(reference: string): Promise<string[]> {
    const paths = reference.startsWith('salt://')
      ? (this.#o.fileRoots.base ?? []).map(root => join(root, join('/', reference.slice('salt://'.length))))
      : [reference]
    const found = await Promise.all(paths.map(path => (/[*?[]/.test(basename(path)) ? matching(path) : [path])))
    return found.flat()
  }
}

async function matching(pattern: string): Promise<string[]> {
  const matches = compileGlob(basename(pattern))
  const names = await readdir(dirname(pattern)).catch(() => [])
  return names
    .filter(name => !name.startsWith('.') && matches(name))
    .sort()
    .map(name => join(dirname(pattern), name))
}

/** Items of another form are ignored, as in Salt. */
function rulesOf(list: unknown): Rule[] {
  if (!Array.isArray(list)) return []
  return list.flatMap(item => {
    const entries = isMapping(item) ? Object.entries(item) : []
    if (entries.length !== 1) return []
    const [tag, files] = entries[0]!
    return [{ matches: compileGlob(tag), files: [files].flat().filter((file): file is string => typeof file === 'string') }]
  })
}
