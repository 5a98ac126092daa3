/**
 * Rendering: template text and data in, text or YAML values out. Nothing here acts (DESIGN, "The reactor in steps" 3 and 4).
 */

import { stoppable, TookTooLong } from '../shared/stoppable.js'
import { parseYamlValue } from '../shared/yaml.js'
import { YamlError, type YamlValue } from '../shared/yaml-compose.js'
import { Functions } from './template/attributes.js'
import { checkNames } from './template/check.js'
import type { Loader, Source } from './template/env.js'
import { TemplateError } from './template/errors.js'
import { Evaluator } from './template/evaluate.js'
import { globalFunctions } from './template/globals.js'
import { loadJson } from './template/json.js'
import { Budget, DEFAULT_LIMITS, type Limits } from './template/limits.js'
import type { Expression, Statement, Template } from './template/nodes.js'
import { truthy } from './template/operators.js'
import type { Output } from './template/output.js'
import { parseExpressionText, parseTemplate } from './template/parser.js'
import { Scope } from './template/scope.js'
import { readJsonParts, readYamlParts } from './template/slots.js'
import { firstOf, fromValue, isLiteral, type Part, PyDict, toNeutral, toValue, type Value } from './template/values.js'

export type { Loader } from './template/env.js'
export { TemplateError, type TemplateErrorKind } from './template/errors.js'
export { DEFAULT_LIMITS, type Limits } from './template/limits.js'
export type { HostFunction } from './template/values.js'

export interface RenderOptions {
  /** Names the template in errors and for relative imports. */
  readonly file?: string
  /** Where `include`, `import` and `extends` read; without it there is nothing to import. */
  readonly loader?: Loader
  readonly limits?: Partial<Limits>
}

/**
 * Renders a template to text, as Salt's `jinja` renderer does: StrictUndefined, the extensions `do`, `loopcontrols` and Salt's `load_yaml`
 * family, one trailing newline kept.
 *
 * `context`: names and their values; JSON-like data, and functions (`HostFunction`) where a name should be callable. `salt` is the dict of
 * functions by `module.function`. All names are seen by imported templates, too.
 * Throws TemplateError with kind, file, line and column.
 */
export function renderText(source: string, context: Readonly<Record<string, unknown>>, options: RenderOptions = {}): string {
  return stopped(options, () => {
    const output = run(source, context, options, false)
    return source.endsWith('\n') ? `${output.text()}\n` : output.text()
  })
}

export interface EventContext extends RenderOptions {
  readonly tag: string
  /** The event's data; or `json`, its text, which keeps the order of keys and the kind of numbers. */
  readonly data?: Readonly<Record<string, unknown>>
  readonly json?: string
  /** All events of a window, as `events` in the template: a list of `{tag, data}`, oldest first. Without them it has this event alone. */
  readonly events?: readonly { readonly tag: string; readonly json: string }[]
  /** The SLS is one of reactions: lists and dicts that are printed in the place of its sections, functions or arguments stay text. */
  readonly reactions?: boolean
  /** Further names: `salt`, `grains`, `pillar`, `opts`, `saltenv` … */
  readonly context?: Readonly<Record<string, unknown>>
}

/**
 * Renders a reactor SLS for an event and reads the result as YAML; `#!` lines choose other renderers. `data['data']` of an event without a
 * field `data` is the event's data itself (Salt's documentation reads beacons that way, Salt fires them flat).
 *
 * Values of the event can become scalars, or lists and dicts in the place of a whole scalar, and nothing else. Mappings of the result are
 * Map, integers beyond 2^53 bigint, floats without a fraction WholeFloat; an empty document is null.
 * Throws TemplateError with kind, file, line and column.
 */
export function renderSls(source: string, event: EventContext): unknown {
  return renderSlsText(source, event).value
}

/** What an SLS rendered to, read and as the text that people know from Salt: the values printed in their places. */
export interface RenderedSls {
  readonly value: unknown
  readonly text: string
}

/** As `renderSls`, with the text beside the value. An error that comes after rendering (it is no YAML) carries the text, too: `rendered`. */
export function renderSlsText(source: string, event: EventContext): RenderedSls {
  const { renderers, body } = shebang(source, event.file)
  try {
    return stopped(event, () => pipeline(renderers, body, event))
  } catch (error) {
    if (error instanceof TemplateError) throw error.at({ file: event.file, line: error.line, column: error.column })
    throw error
  }
}

function pipeline(renderers: readonly string[], body: string, event: EventContext): RenderedSls {
  const last = renderers.at(-1)
  if (!renderers.includes('jinja')) {
    return { value: last === 'json' ? readJson(body, event.file) : readYaml(body, event.file), text: body.replace(/^\n/, '') }
  }
  const printed = run(body, eventContext(event), event, true).parts()
  const parts = body.endsWith('\n') ? [...printed, { literal: '\n', line: body.split('\n').length - 1, column: 1 }] : printed
  const text = textOf(parts)
  try {
    if (last === 'yaml') return { value: readYamlParts(parts, event.reactions), text }
    return { value: jsonErrors(event.file, () => readJsonParts(parts, new Budget(event.limits), event.reactions)), text }
  } catch (error) {
    if (error instanceof TemplateError) error.rendered = text
    throw error
  }
}

/** Printed text as one. A line that only statements stood on is empty in it, as it is for Jinja. */
function textOf(parts: readonly Part[]): string {
  return parts
    .map(part => (isLiteral(part) ? part.literal : part.text))
    .join('')
    .replace(/^\n+/, '')
}

/** The value of a lone expression over an event, for conditions and grouping keys: `data.load > 3`. */
export function evaluateExpression(source: string, event: EventContext): unknown {
  return eventExpressions(event).value(source)
}

/** Expressions over one event: its data are read once. */
export interface EventExpressions {
  /** As Python prints it in JSON, apart from one another where Python tells apart. @throws TemplateError */
  value(source: string): unknown
  /** Whether the value is true, as Python takes it. @throws TemplateError */
  holds(source: string): boolean
}

export function eventExpressions(event: EventContext): EventExpressions {
  let context: Readonly<Record<string, unknown>> | null = null
  const evaluate = (source: string): Value =>
    guarded(event.file, () => {
      context ??= eventContext(event)
      return evaluatorFor(context, event, false).expression(expressionOf(source))
    })
  const stoppedAt = <T>(source: string, work: () => T) => (isSwiftExpression(source) ? work() : stopped(event, work))
  return {
    value: source => stoppedAt(source, () => guarded(event.file, () => fromValue(evaluate(source)))),
    holds: source => stoppedAt(source, () => truthy(evaluate(source)))
  }
}

/** Expressions that look at what is there and make nothing: their time is bounded by the event's size. Most conditions are, and need no watchdog. */
export function isSwiftExpression(source: string): boolean {
  return isSwift(guarded(undefined, () => expressionOf(source)))
}

function isSwift(node: Expression): boolean {
  switch (node.type) {
    case 'constant':
    case 'name':
      return true
    case 'attribute':
      return isSwift(node.target)
    case 'item':
      return isSwift(node.target) && isSwift(node.index)
    case 'unary':
      return isSwift(node.operand)
    case 'and':
    case 'or':
      return isSwift(node.left) && isSwift(node.right)
    case 'compare':
      return isSwift(node.first) && node.rest.every(({ operand }) => isSwift(operand))
    case 'list':
    case 'tuple':
      return node.items.every(isSwift)
    default:
      return false
  }
}

/** Why a text is no expression; null when it is one. */
export function expressionFault(source: string): string | null {
  try {
    expressionOf(source)
    return null
  } catch (error) {
    if (error instanceof TemplateError) return error.describe()
    throw error
  }
}

// ---- #! lines ----------------------------------------------------------------------------------------------------------------------------

const RENDERERS = ['jinja', 'yaml', 'json']

/** Pipes that Salt still knows by one name. */
const OLD_NAMES: Readonly<Record<string, string>> = Object.assign(Object.create(null), {
  yaml_jinja: 'jinja|yaml',
  json_jinja: 'jinja|json'
})

/** The renderers that the first line names, and the rest of the text (the line stays as an empty one, so that lines keep their numbers). */
function shebang(source: string, file: string | undefined): { renderers: string[]; body: string } {
  const line = /^#!([^\n]*)/.exec(source)
  // `#!/usr/bin/env python` is no renderer line
  if (line === null || line[1]!.trim().startsWith('/')) return { renderers: ['jinja', 'yaml'], body: source }
  const pipe = line[1]!.trim()
  const renderers = (OLD_NAMES[pipe] ?? pipe).split('|').map(name => name.trim().split(/\s+/)[0]!)
  const unknown = renderers.find(name => !RENDERERS.includes(name))
  if (unknown !== undefined) {
    throw new TemplateError('unknown_renderer', `The renderer "${unknown}" is not available`, { file, line: 1, column: 1 })
  }
  if (renderers.at(-1) === 'jinja') renderers.push('yaml')
  return { renderers, body: source.slice(line[0].length) }
}

function readYaml(text: string, file: string | undefined): YamlValue {
  try {
    return parseYamlValue(text)
  } catch (error) {
    if (error instanceof YamlError) throw new TemplateError('yaml', error.reason, { file, line: error.line, column: error.column })
    throw error
  }
}

function readJson(text: string, file: string | undefined): unknown {
  if (text.trim() === '') return null
  return jsonErrors(file, () => toNeutral(loadJson(text, new Budget())))
}

function jsonErrors<T>(file: string | undefined, read: () => T): T {
  return guarded(file, () => {
    try {
      return read()
    } catch (error) {
      if (error instanceof TemplateError && error.kind === 'runtime') throw new TemplateError('yaml', `not JSON: ${error.reason}`)
      throw error
    }
  })
}

// ---- running -----------------------------------------------------------------------------------------------------------------------------

function eventContext(event: EventContext): Record<string, unknown> {
  const data = dataOf(event.json === undefined ? toValue(event.data ?? {}) : loadJson(event.json, new Budget()))
  const events = (event.events ?? [event]).map(each =>
    eventDict(each.tag, each === event ? data : dataOf(loadJson(each.json!, new Budget())))
  )
  return { ...event.context, tag: event.tag, data, events }
}

function eventDict(tag: string, data: Value): PyDict {
  const dict = new PyDict()
  dict.set('tag', tag)
  dict.set('data', data)
  return dict
}

function dataOf(data: Value): Value {
  return data instanceof PyDict ? withOwnData(data) : data
}

/** `data['data']` reaches the event itself when the event has no such field; the field does not exist otherwise (`'data' in data`). */
function withOwnData(data: PyDict): PyDict {
  return data.has('data') ? data : new BeaconData(data)
}

/** An event's data where `data.data` is the data again. */
class BeaconData extends PyDict {
  constructor(source: PyDict) {
    super()
    for (const [key, value] of source.entries()) this.set(key, value)
  }
  override get(key: Value): Value | undefined {
    return firstOf(super.get(key), key === 'data' ? this : undefined)
  }
}

function run(source: string, context: Readonly<Record<string, unknown>>, options: RenderOptions, yaml: boolean): Output {
  return guarded(options.file, () => {
    const evaluator = evaluatorFor(context, options, yaml)
    return evaluator.render({ template: templateOf(source), file: options.file })
  })
}

function evaluatorFor(context: Readonly<Record<string, unknown>>, options: RenderOptions, yaml: boolean): Evaluator {
  const functions = new Scope(null)
  for (const [name, value] of globalFunctions(() => evaluator)) functions.set(name, value)
  const globals = new Scope(functions)
  for (const [name, value] of Object.entries(context)) globals.set(name, name === 'salt' ? functionsOf(value) : toValue(value))
  const evaluator: Evaluator = new Evaluator({
    budget: new Budget(options.limits),
    yaml,
    globals,
    functions,
    load: loaderOf(options.loader)
  })
  return evaluator
}

function functionsOf(value: unknown): Value {
  const functions = new Functions()
  const dict = toValue(value)
  if (dict instanceof PyDict) for (const [key, item] of dict.entries()) functions.set(key, item)
  return functions
}

/** Templates of one rendering are loaded once each. */
function loaderOf(loader: Loader | undefined): (name: string, from: string | undefined) => Source | null {
  const loaded = new Map<string, Source | null>()
  return (name, from) => {
    if (loader === undefined) return null
    const key = `${from ?? ''}\0${name}`
    const known = loaded.get(key)
    if (known !== undefined) return known
    const found = loader(name, from)
    const { text, file } = typeof found === 'string' ? { text: found, file: name } : (found ?? { text: null, file: name })
    const source = text === null ? null : { template: guarded(file, () => templateOf(text)), file }
    loaded.set(key, source)
    return source
  }
}

/**
 * Times its time before it is stopped from outside. Templates stop themselves at their limits; this is for work in one piece that nobody thought
 * of, which would hold up the server until it is done.
 */
const PATIENCE = 3
const MIN_PATIENCE_MS = 50

function stopped<T>({ file, limits }: RenderOptions, work: () => T): T {
  const milliseconds = Math.max(MIN_PATIENCE_MS, PATIENCE * (limits?.milliseconds ?? DEFAULT_LIMITS.milliseconds))
  try {
    return stoppable(milliseconds, work)
  } catch (error) {
    if (!(error instanceof TookTooLong)) throw error
    throw new TemplateError('limit', `the template takes longer than ${milliseconds} ms`, { file })
  }
}

/** Gives errors without a file the one that is being read, and makes limits of what else a template can run into. */
function guarded<T>(file: string | undefined, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof TemplateError) throw error.at({ file, line: error.line, column: error.column })
    if (error instanceof RangeError) throw new TemplateError('limit', `the template asks for too much: ${error.message}`, { file })
    throw error
  }
}

// ---- parsed once per content -------------------------------------------------------------------------------------------------------------

/** Parsed templates by text. Rules use some dozens of files; the bound is for templates that are made on the way. */
class ParseCache<T> {
  readonly #parsed = new Map<string, T>()
  readonly #parse: (source: string) => T
  #characters = 0
  static readonly MAX_CHARACTERS = 4_000_000

  constructor(parse: (source: string) => T) {
    this.#parse = parse
  }

  get(source: string): T {
    const known = this.#parsed.get(source)
    if (known !== undefined) return known
    const made = this.#parse(source)
    this.#parsed.set(source, made)
    this.#characters += source.length
    for (const oldest of this.#parsed.keys()) {
      if (this.#characters <= ParseCache.MAX_CHARACTERS) break
      this.#parsed.delete(oldest)
      this.#characters -= oldest.length
    }
    return made
  }
}

const templates = new ParseCache<Template>(source => {
  const template = parseTemplate(source)
  checkNames(template)
  return template
})
const expressions = new ParseCache<Expression>(parseExpressionText)

function templateOf(source: string): Template {
  return templates.get(source)
}

function expressionOf(source: string): Expression {
  return expressions.get(source)
}

/**
 * Checks an SLS without an event: the template's syntax; and the YAML (or JSON) around what it prints, where the template has no branches and
 * prints nothing that is meant to be structure, so that there is one way through it. Throws TemplateError.
 */
export function checkSls(source: string, file?: string): void {
  const { renderers, body } = shebang(source, file)
  const format = renderers.at(-1)
  if (!renderers.includes('jinja')) {
    if (format === 'yaml') readYaml(body, file)
    else readJson(body, file)
    return
  }
  const parts = guarded(file, () => onlyParts(templateOf(body).body))
  if (format === 'yaml' && parts !== null) guarded(file, () => readYamlParts(parts))
}

/** Checks a file that others import; throws TemplateError. */
export function checkTemplate(source: string, file?: string): void {
  guarded(file, () => templateOf(source))
}

/** What a template prints whatever the event, a word in the place of each value; null when that cannot be said. */
function onlyParts(body: readonly Statement[]): Part[] | null {
  const parts: Part[] = []
  for (const node of body) {
    if (node.type === 'text') parts.push({ literal: node.text, line: node.line, column: node.column })
    else if (node.type === 'print' && isValue(node.value)) parts.push({ value: 'x', text: 'x', exact: false })
    else if (!SILENT.has(node.type)) return null
  }
  return parts
}

/** Statements that print nothing. */
const SILENT: ReadonlySet<Statement['type']> = new Set([
  'set',
  'setBlock',
  'macro',
  'do',
  'import',
  'fromImport',
  'importData',
  'loadBlock'
])

/** False for what an author may mean as structure: filters that print it, and calls of macros. */
function isValue(value: Expression): boolean {
  if (value.type === 'filter') return !STRUCTURE.has(value.name)
  return (
    value.type === 'constant' ||
    value.type === 'attribute' ||
    value.type === 'item' ||
    (value.type === 'call' && value.target.type !== 'name')
  )
}

const STRUCTURE: ReadonlySet<string> = new Set([
  'json',
  'tojson',
  'yaml',
  'safe',
  'indent',
  'dict_to_sls_yaml_params',
  'load_yaml',
  'load_json'
])
