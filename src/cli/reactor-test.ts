import { readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { brineError } from '../errors.js'
import { slsCompiler } from '../reactor/compile.js'
import { detachedGuards } from '../reactor/guards.js'
import type { LintWarning } from '../reactor/lint.js'
import { masterCompiler } from '../reactor/master.js'
import { NO_OPTIONS } from '../reactor/options.js'
import { pastedEvent } from '../reactor/pasted.js'
import { reactorItems } from '../reactor/reactor.js'
import { readConfigRules } from '../reactor/rules.js'
import { SlsFiles } from '../reactor/sources.js'
import {
  asStored,
  isWrong,
  type TrialRule,
  type TriedCall,
  type TriedFile,
  type TriedRule,
  type TriedWindow,
  tryEvents
} from '../reactor/trial.js'
import type { OptionEffect } from '../reactor/trial-options.js'
import { WindowMemory } from '../reactor/window-memory.js'
import { Windows } from '../reactor/windows.js'
import { SystemClock } from '../shared/clock.js'
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
  /** A file with several events; `-`: stdin. */
  readonly events?: string
  /** SLS files that are tried as they are here, whatever rules there are. */
  readonly sls?: readonly string[]
  readonly out?: Format
}

/**
 * `brine reactor test`: what would be done about an event, or about several, and nothing is. By the rules of the configuration here; with `--url`,
 * `--data` or `--event` the server is asked (POST /reactor/test, the same code). Fails when no rule matches, or an option, a file or a call of it is wrong.
 */
export async function test(terminal: Terminal, tag: string | undefined, texts: readonly string[], options: TestOptions): Promise<Exit> {
  const remote = options.event !== undefined || options.url !== undefined || options.data !== undefined || !!terminal.env.BRINE_URL
  if ([tag, options.event, options.events].filter(each => each !== undefined).length !== 1)
    throw brineError('USAGE', 'name a tag, an event of the log with --event, or a file of events with --events')
  const asked = await askedOf(terminal, tag, texts, options)
  const tried = remote ? await tryThere(terminal, asked, options) : await tryHere(terminal, asked, options)
  terminal.out(format(printable(tried), options.out ?? 'yaml'))
  return isWrong(rulesIn(tried)) ? 'failed' : 'ok'
}

interface Pasted {
  readonly tag: string
  readonly data?: Record<string, unknown>
}

type Asked = { readonly event: string | Pasted } | { readonly events: readonly (string | Pasted)[] }

/** What is told of an event; a server from before a field existed does not have it. */
interface About {
  readonly event?: unknown
  readonly rules?: readonly (Omit<TriedRule, 'options'> & Partial<Pick<TriedRule, 'options'>>)[]
  readonly windows?: readonly TriedWindow[]
  readonly calls?: readonly TriedCall[]
}

interface Answer extends About {
  readonly events?: readonly About[]
}

async function askedOf(terminal: Terminal, tag: string | undefined, texts: readonly string[], options: TestOptions): Promise<Asked> {
  if (tag !== undefined) return { event: { tag: checked(tag), data: eventData(options.json, texts) } }
  if (options.event !== undefined) return { event: options.event }
  const name = options.events!
  const content = name === '-' ? await text(terminal.stdin) : textOf(terminal, '--events', name)
  return { events: eventsIn(content, name) }
}

/** Events as JSON: a list of `{tag, data}`, or one in each line, as `brine event listen --out json` prints them. */
function eventsIn(content: string, name: string): Pasted[] {
  try {
    const isList = content.trimStart().startsWith('[')
    const lines = content.split('\n').filter(line => line.trim() !== '')
    const list: unknown = isList ? JSON.parse(content) : lines.map(line => JSON.parse(line) as unknown)
    return (list as unknown[]).map(each => {
      const { tag, data } = each as Partial<Pasted>
      if (typeof tag !== 'string') throw new Error('an event has no tag')
      if (data !== undefined && (typeof data !== 'object' || data === null || Array.isArray(data)))
        throw new Error(`the data of ${tag} is no object`)
      return { tag: checked(tag), ...(data === undefined ? {} : { data }) }
    })
  } catch (error) {
    throw brineError('USAGE', `--events ${name}: ${(error as Error).message}`)
  }
}

function checked(tag: string): string {
  const fault = checkTag(tag)
  if (fault !== null) throw brineError('TAG_INVALID', JSON.stringify(tag), fault)
  return tag
}

async function tryThere(terminal: Terminal, asked: Asked, options: TestOptions): Promise<Answer> {
  const client = connect(terminal, options)
  const given = filesOf(terminal, options)
  if (given.length === 0) return (await client.json('POST', '/reactor/test', asked)) as Answer
  const rules = given.map(({ name }) => ({ id: name, tag: '*', sls: [name] }))
  const sls = Object.fromEntries(given.map(({ name, text }) => [name, text]))
  return (await client.json('POST', '/reactor/test', { ...asked, rules, sls, only: true })) as Answer
}

/** Windows are empty, nothing is counted or paused: what a server that has just started would do. */
async function tryHere(terminal: Terminal, asked: Asked, options: TestOptions): Promise<Answer> {
  const clock = new SystemClock()
  const given = 'events' in asked ? asked.events : [asked.event]
  const pasted = (given as readonly Pasted[]).map(event => pastedEvent(event, clock.nowUs()))
  const { config } = load(terminal, options, {}, true)
  const facts = { fileRoots: config.file_roots, reactorRoots: config.reactor_roots }
  const files = new SlsFiles(facts)
  const compile = slsCompiler(masterCompiler(files, facts))
  const own = filesOf(terminal, options)
  const rules = own.length === 0 ? readConfigRules(reactorItems(config.reactor)) : own.map(({ name }) => candidate(name))
  const byId = new Map(rules.map(rule => [rule.id, rule]))
  const trial = await tryEvents(asStored(pasted), {
    ...{ files, compile, texts: new Map(own.map(({ name, text }) => [name, text])), rules, maxDepth: config.reactor_max_depth },
    ...{ windows: new Windows(), memory: new WindowMemory(), guards: detachedGuards(id => byId.get(id) ?? null, clock), running: null }
  })
  const events = trial.events.map((tried, i) => ({
    event: { tag: pasted[i]!.tag, data: JSON.parse(pasted[i]!.json) as unknown },
    ...tried
  }))
  const last = events.pop()!
  const closed = { ...last, windows: [...last.windows, ...trial.windows] }
  return { ...('events' in asked ? { events: [...events, closed] } : closed), calls: trial.calls }
}

function candidate(sls: string): TrialRule {
  return { ...NO_OPTIONS, id: basename(sls), version: 0, tag: '*', match: 'glob', enabled: true, sls: [sls], source: 'candidate' }
}

/** The files of `--sls`, by the name that they were given under. */
function filesOf(terminal: Terminal, { sls = [] }: TestOptions): { name: string; text: string }[] {
  return sls.map(name => ({ name, text: textOf(terminal, '--sls', name) }))
}

function textOf(terminal: Terminal, flag: string, name: string): string {
  try {
    return readFileSync(resolve(terminal.cwd, name), 'utf8')
  } catch (error) {
    throw brineError('USAGE', `${flag} ${name}: ${(error as Error).message}`)
  }
}

function rulesIn(answer: Answer): Pick<TriedRule, 'outcome' | 'sls'>[] {
  return [answer, ...(answer.events ?? [])].flatMap(({ rules = [], windows = [] }) => [...rules, ...windows])
}

/** For people: a warning and an option are a line each, and what stands in the calls is not told twice. */
function printable({ events, calls = [], ...one }: Answer): object {
  const called = calls.length > 0 ? { calls: calls.map(({ section, call }) => `${section}: ${call.client}.${call.fun}`) } : {}
  return { ...(events === undefined ? printableEvent(one) : { events: events.map(printableEvent) }), ...called }
}

function printableEvent({ event, rules = [], windows = [] }: About): object {
  return { event, rules: rules.map(printableRule), ...(windows.length === 0 ? {} : { windows: windows.map(printableRule) }) }
}

function printableRule<T extends { readonly sls: readonly TriedFile[]; readonly options?: readonly OptionEffect[] }>(rule: T): object {
  const { options = [], sls, ...about } = rule
  const told =
    options.length === 0
      ? {}
      : { options: options.map(({ option, passes, reason }) => `${option} ${passes ? 'passes' : 'stops'}: ${reason}`) }
  return { ...about, ...told, sls: sls.map(printableFile) }
}

function printableFile({ warnings, fault: _, ...file }: TriedFile): object {
  return { ...file, ...(warnings === undefined ? {} : { warnings: warnings.map(placed) }) }
}

function placed({ line, column, message }: LintWarning): string {
  return line === 0 ? message : `${line}:${column}: ${message}`
}
