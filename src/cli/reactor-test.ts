import { readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import type { Config } from '../config/schema.js'
import { brineError } from '../errors.js'
import { saltJson } from '../events/json.js'
import { slsCompiler } from '../reactor/compile.js'
import type { LintWarning } from '../reactor/lint.js'
import { masterCompiler } from '../reactor/master.js'
import { RuleIndex } from '../reactor/match.js'
import { reactorItems } from '../reactor/reactor.js'
import { readConfigRules } from '../reactor/rules.js'
import { SlsFiles } from '../reactor/sources.js'
import { isWrong, type Trial, type TrialRule, type TriedFile, tryRules } from '../reactor/trial.js'
import { SystemClock, stampOf } from '../shared/clock.js'
import { checkTag } from '../tags/tags.js'
import { eventData } from './arguments.js'
import { connect, type RemoteOptions } from './client.js'
import { type ConfigOptions, load } from './config.js'
import type { Exit } from './exit.js'
import { type Format, format } from './output.js'
import type { Terminal } from './terminal.js'

export interface TestOptions extends RemoteOptions, ConfigOptions {
  readonly json?: string
  /** Id of an event of the server's log. */
  readonly event?: string
  /** SLS files that are tried as they are here, whatever rules there are. */
  readonly sls?: readonly string[]
  readonly out?: Format
}

/**
 * `brine reactor test`: what would be done about an event, and nothing is. By the rules of the configuration here; with `--url`, `--data` or
 * `--event` the server is asked (POST /reactor/test, the same code). Fails when no rule matches, or a file or a call of it is wrong.
 */
export async function test(terminal: Terminal, tag: string | undefined, texts: readonly string[], options: TestOptions): Promise<Exit> {
  const remote = options.event !== undefined || options.url !== undefined || options.data !== undefined || !!terminal.env.BRINE_URL
  if ((tag === undefined) === (options.event === undefined)) throw brineError('USAGE', 'name a tag, or an event of the log with --event')
  const event = tag === undefined ? options.event! : { tag: checked(tag), data: eventData(options.json, texts) }
  const tried = remote ? await tryThere(terminal, event, options) : await tryHere(terminal, event as Pasted, options)
  terminal.out(format(printable(tried), options.out ?? 'yaml'))
  return isWrong(tried) ? 'failed' : 'ok'
}

interface Pasted {
  readonly tag: string
  readonly data: Record<string, unknown>
}

type Answer = Trial & { readonly event: unknown }

function checked(tag: string): string {
  const fault = checkTag(tag)
  if (fault !== null) throw brineError('TAG_INVALID', JSON.stringify(tag), fault)
  return tag
}

async function tryThere(terminal: Terminal, event: string | Pasted, options: TestOptions): Promise<Answer> {
  const client = connect(terminal, options)
  const given = filesOf(terminal, options)
  if (given.length === 0) return (await client.json('POST', '/reactor/test', { event })) as Answer
  const rules = given.map(({ name }) => ({ id: name, tag: '*', sls: [name] }))
  const sls = Object.fromEntries(given.map(({ name, text }) => [name, text]))
  return (await client.json('POST', '/reactor/test', { event, rules, sls, only: true })) as Answer
}

async function tryHere(terminal: Terminal, { tag, data }: Pasted, options: TestOptions): Promise<Answer> {
  const stamped = { ...data, _stamp: stampOf(new SystemClock().nowUs()) }
  const { config } = load(terminal, options, {}, true)
  const facts = { fileRoots: config.file_roots, reactorRoots: config.reactor_roots }
  const files = new SlsFiles(facts)
  const compile = slsCompiler(masterCompiler(files, facts))
  const given = filesOf(terminal, options)
  const rules = given.length === 0 ? configured(config, tag) : given.map(({ name }) => candidate(tag, name))
  const textsByName = new Map(given.map(({ name, text }) => [name, text]))
  const trial = await tryRules(rules, { tag, json: saltJson(stamped) }, { files, compile, texts: textsByName })
  return { event: { tag, data: stamped }, ...trial }
}

function candidate(tag: string, sls: string): TrialRule {
  return { id: basename(sls), tag, sls: [sls], source: 'candidate' }
}

/** The files of `--sls`, by the name that they were given under. */
function filesOf(terminal: Terminal, { sls = [] }: TestOptions): { name: string; text: string }[] {
  return sls.map(name => {
    try {
      return { name, text: readFileSync(resolve(terminal.cwd, name), 'utf8') }
    } catch (error) {
      throw brineError('USAGE', `--sls ${name}: ${(error as Error).message}`)
    }
  })
}

function configured(config: Config, tag: string): TrialRule[] {
  const index = new RuleIndex()
  const all = readConfigRules(reactorItems(config.reactor))
  for (const rule of all) index.add(rule)
  const matching = new Set(index.matching(tag))
  return all.filter(rule => matching.has(rule))
}

/** For people: a warning is a line with its place, and what stands in the calls is not told twice. */
function printable({ event, rules, calls }: Answer): object {
  return {
    event,
    rules: rules.map(rule => ({ ...rule, sls: rule.sls.map(printableFile) })),
    ...(calls.length > 0 ? { calls: calls.map(({ section, call }) => `${section}: ${call.client}.${call.fun}`) } : {})
  }
}

function printableFile({ warnings, fault: _, ...file }: TriedFile): object {
  return { ...file, ...(warnings === undefined ? {} : { warnings: warnings.map(placed) }) }
}

function placed({ line, column, message }: LintWarning): string {
  return line === 0 ? message : `${line}:${column}: ${message}`
}
