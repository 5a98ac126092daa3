import type { Config } from '../config/schema.js'
import { brineError } from '../errors.js'
import { saltJson } from '../events/json.js'
import { serverSignatures, slsCompiler } from '../reactor/compile.js'
import { type CompiledReaction, type CompileSls, inSaltsOrder, type SlsEvent } from '../reactor/compiled.js'
import { lintTemplate } from '../reactor/lint.js'
import { RuleIndex } from '../reactor/match.js'
import { reactorItems, SURROUNDINGS } from '../reactor/reactor.js'
import { type Rule, readConfigRules } from '../reactor/rules.js'
import { SlsFiles, SlsMissing } from '../reactor/sources.js'
import { RUNNERS } from '../runners/index.js'
import { SystemClock, stampOf } from '../shared/clock.js'
import { checkTag } from '../tags/tags.js'
import { WHEEL } from '../wheel/index.js'
import { eventData } from './arguments.js'
import { type Client, connect, type RemoteOptions } from './client.js'
import { type ConfigOptions, load } from './config.js'
import type { Exit } from './exit.js'
import { type Format, format, table } from './output.js'
import type { Terminal } from './terminal.js'

interface ReactorOptions extends RemoteOptions {
  readonly out?: Format
}

/** What of a rule is shown and tried. */
type ShownRule = Pick<Rule, 'id' | 'tag' | 'sls' | 'enabled' | 'source'>

/** `brine reactor list`: the rules of a running server, in the order in which they apply. */
export async function list(terminal: Terminal, options: ReactorOptions): Promise<Exit> {
  const rules = await rulesOf(connect(terminal, options), new URLSearchParams())
  if (options.out !== undefined) terminal.out(format(rules, options.out))
  else {
    const rows = rules.map(({ id, tag, sls, enabled, source }) => [id, enabled ? 'on' : 'off', source, tag, sls.join(' ')])
    terminal.out(table(['ID', 'STATE', 'FROM', 'TAG', 'SLS'], rows))
  }
  return 'ok'
}

/** A thousand rules a page. */
async function rulesOf(client: Client, query: URLSearchParams): Promise<ShownRule[]> {
  const rules: ShownRule[] = []
  for (;;) {
    const page = (await client.json('GET', `/reactor/rules?${query}`)) as { rules: ShownRule[]; next?: string }
    rules.push(...page.rules)
    if (page.next === undefined) return rules
    query.set('after', page.next)
  }
}

export interface TestOptions extends ReactorOptions, ConfigOptions {
  readonly json?: string
}

interface TriedFile {
  readonly file: string
  readonly error?: string
  /** What is worth a look before this file meets real events, with line and column. */
  readonly warnings?: readonly string[]
  readonly reactions: readonly { readonly section: string; readonly call: unknown }[]
}

/**
 * `brine reactor test`: what would be done about an event, and nothing is. Rules are those of the configuration, or with `--url` or `--data`
 * those of a running server; SLS files are read and rendered here. Fails when no rule matches, or a file or a call of it is wrong.
 */
export async function test(terminal: Terminal, tag: string, texts: readonly string[], options: TestOptions): Promise<Exit> {
  const fault = checkTag(tag)
  if (fault !== null) throw brineError('TAG_INVALID', JSON.stringify(tag), fault)
  const data = { ...eventData(options.json, texts), _stamp: stampOf(new SystemClock().nowUs()) }
  const { config } = load(terminal, options, {}, true)
  const running = options.url !== undefined || options.data !== undefined || terminal.env.BRINE_URL !== undefined
  const rules = running ? await rulesOf(connect(terminal, options), new URLSearchParams({ tag })) : configured(config, tag)
  const files = new SlsFiles({ fileRoots: config.file_roots })
  const compile = slsCompiler({
    include: path => files.include(path),
    signatureOf: serverSignatures(RUNNERS, WHEEL),
    context: () => SURROUNDINGS
  })
  const event = { tag, json: saltJson(data) }
  const tried = []
  for (const rule of rules) tried.push({ rule: rule.id, tag: rule.tag, sls: await tryFiles(rule, event, files, compile) })
  terminal.out(format({ event: { tag, data }, rules: tried }, options.out ?? 'yaml'))
  const wrong = tried.flatMap(rule => rule.sls).some(({ error, reactions }) => error !== undefined || reactions.some(isWrong))
  return tried.length === 0 || wrong ? 'failed' : 'ok'
}

function configured(config: Config, tag: string): Rule[] {
  const index = new RuleIndex()
  const all = readConfigRules(reactorItems(config.reactor))
  for (const rule of all) index.add(rule)
  const matching = new Set(index.matching(tag))
  return all.filter(rule => matching.has(rule))
}

async function tryFiles(rule: ShownRule, event: SlsEvent, files: SlsFiles, compile: CompileSls): Promise<TriedFile[]> {
  const tried: TriedFile[] = []
  for (const reference of rule.sls) {
    for (const file of await files.expand(reference)) tried.push(await tryFile(file, event, files, compile))
  }
  return tried
}

async function tryFile(file: string, event: SlsEvent, files: SlsFiles, compile: CompileSls): Promise<TriedFile> {
  try {
    const source = await files.load(file)
    const { reactions, error } = compile(source, event)
    // A file that does not parse says so in `error`.
    const warnings = error === null ? lintTemplate(source.text).map(({ line, column, message }) => `${line}:${column}: ${message}`) : []
    return {
      file,
      ...(error === null ? {} : { error }),
      ...(warnings.length === 0 ? {} : { warnings }),
      reactions: [...reactions].sort(inSaltsOrder).map(shown)
    }
  } catch (error) {
    if (error instanceof SlsMissing) return { file, error: error.message, reactions: [] }
    throw error
  }
}

function shown({ section, call }: CompiledReaction): { section: string; call: unknown } {
  const { order: _, ...rest } = call
  return { section, call: rest }
}

function isWrong({ call }: { readonly call: unknown }): boolean {
  return (call as { error?: string }).error !== undefined
}
