/**
 * What is worth a warning in an SLS before it runs: event data that becomes part of a command line without `|quote`. It cannot break out of
 * its YAML scalar, but a shell reads that scalar.
 *
 * Names are followed, not values: what data is assigned to, gathered in or looped over, blocks that are captured, and macros by what they are called
 * with. What is looked up by event data (`hosts[data.x]`) is what the author wrote. Only this file is looked at.
 */
import { SlsPlace } from './lint-place.js'
import type { Expression, Statement } from './template/nodes.js'
import { parseTemplate } from './template/parser.js'

export interface LintWarning {
  readonly line: number
  readonly column: number
  readonly message: string
}

/** Filters after which nothing is left that a shell would read as syntax. */
const SAFE = new Set([
  'quote',
  'int',
  'float',
  'length',
  'count',
  'to_num',
  'md5',
  'sha1',
  'sha256',
  'sha512',
  'base64_encode',
  'uuid',
  'regex_escape'
])
/** Methods that put something into what they belong to. */
const GATHERS = new Set(['append', 'extend', 'insert', 'update', 'setdefault', 'add'])
/** Names are followed through so many assignments that stand in another order than they run in. */
const MAX_PASSES = 5

/** Warnings of a template, in the order of its lines. Throws TemplateError when it does not parse. */
export function lintTemplate(source: string): LintWarning[] {
  // the shebang line is no template text; a plain YAML file has no prints
  const { body } = parseTemplate(source.replace(/^#![^\n]*/, ''))
  const names = new Set(['data', 'tag', 'events'])
  const macros = new Map<string, Macro>()
  for (let pass = 1; ; pass++) {
    const before = sizeOf(names, macros)
    const lint = new Lint(names, macros)
    lint.walk(body)
    lint.end()
    if (pass === MAX_PASSES || sizeOf(names, macros) === before) return lint.warnings.sort((a, b) => a.line - b.line || a.column - b.column)
  }
}

interface Macro {
  readonly parameters: readonly string[]
  /** Whether it is called here at all: what is only imported elsewhere may be called with anything. */
  called: boolean
  /** Parameters that get event data. */
  readonly tainted: Set<string>
  /** It prints event data as it is: its own, or what it is called with. */
  leaks: boolean
  own: boolean
}

function sizeOf(names: ReadonlySet<string>, macros: ReadonlyMap<string, Macro>): number {
  let size = names.size
  for (const { called, tainted, leaks, own } of macros.values()) size += 10 + tainted.size + [called, leaks, own].filter(Boolean).length
  return size
}

class Lint {
  readonly warnings: LintWarning[] = []
  /** Names that hold event data. */
  readonly #tainted: Set<string>
  readonly #macros: Map<string, Macro>
  /** Parameters of the macro around: they hide names of the file. */
  #parameters: ReadonlyMap<string, boolean> = new Map()
  #place = new SlsPlace(warning => this.warnings.push(warning))
  /** Whether the body that is captured now has printed event data as it is. */
  #leaked = false
  #quoted = false
  /** Macros around. */
  #depth = 0

  constructor(tainted: Set<string>, macros: Map<string, Macro>) {
    this.#tainted = tainted
    this.#macros = macros
  }

  walk(body: readonly Statement[]): void {
    for (const statement of body) this.#statement(statement)
  }

  end(): void {
    this.#place.end()
  }

  #statement(node: Statement): void {
    this.#calls(node)
    switch (node.type) {
      case 'text':
        this.#place.text(node.text)
        break
      case 'print':
        this.#print(node, node.value)
        break
      case 'macro':
        this.#macro(node)
        break
      case 'setBlock':
        if (this.#captures(node.body, node.filter !== null && this.#quotes(node.filter))) this.#taint(node.target)
        break
      case 'loadBlock':
        if (this.#captures(node.body, false)) this.#tainted.add(node.name)
        break
      case 'filterBlock':
        this.#filtered(node.body, this.#quotes(node.filter))
        break
      case 'callBlock':
        this.#print(node, node.call)
        this.walk(node.body)
        break
      case 'do':
        this.#gathers(node.value)
        break
      default:
        this.#names(node)
        for (const body of bodiesOf(node)) this.walk(body)
    }
  }

  #print(place: Statement, value: Expression): void {
    const reads = !this.#quoted && this.#reads(value)
    if (reads) this.#leaked = true
    this.#place.print(place, reads)
  }

  /** The text of a body that is captured does not stand here; true when it holds event data as it is. */
  #captures(body: readonly Statement[], quoted: boolean): boolean {
    const before = [this.#place, this.#leaked, this.#quoted] as const
    this.#place = new SlsPlace(warning => this.warnings.push(warning))
    this.#leaked = false
    this.#quoted = quoted || this.#quoted
    this.walk(body)
    this.#place.end()
    const leaked = this.#leaked
    ;[this.#place, this.#leaked, this.#quoted] = before
    return leaked
  }

  #filtered(body: readonly Statement[], quoted: boolean): void {
    const before = this.#quoted
    this.#quoted = quoted || before
    this.walk(body)
    this.#quoted = before
  }

  /** Whether a filter, or one that is put after it or before it, quotes. */
  #quotes(filter: Expression | null): boolean {
    return filter?.type === 'filter' && (SAFE.has(filter.name) || this.#quotes(filter.target))
  }

  #macro({ name, parameters, body }: Statement & { type: 'macro' }): void {
    const names = parameters.map(parameter => parameter.name)
    const known = this.#macros.get(name) ?? { parameters: names, called: false, tainted: new Set(), leaks: false, own: false }
    this.#macros.set(name, known)
    const before = this.#parameters
    const within = (tainted: (parameter: string) => boolean) => {
      this.#parameters = new Map(names.map(each => [each, tainted(each)]))
      return this.#captures(body, false)
    }
    const told = this.warnings.length
    this.#depth++
    // Within another macro one look must do, or each level would take three times as long as the one around.
    known.own = this.#depth === 1 && within(() => false)
    this.warnings.length = told
    if (this.#depth === 1) {
      known.leaks = within(() => true)
      this.warnings.length = told
    }
    const leaks = within(each => this.#depth > 1 || !known.called || known.tainted.has(each))
    if (this.#depth > 1) known.leaks = leaks
    this.#depth--
    this.#parameters = before
  }

  /** Macros of this file learn what they are called with. */
  #calls(node: unknown): void {
    if (Array.isArray(node)) for (const item of node) if (!isStatement(item)) this.#calls(item)
    if (typeof node !== 'object' || node === null || Array.isArray(node)) return
    const { type } = node as { type?: string }
    if (type === 'text' || type === 'constant') return
    if (type === 'call') this.#called(node as Expression & { type: 'call' })
    for (const item of Object.values(node)) this.#calls(item)
  }

  #called({ target, arguments: given }: Expression & { type: 'call' }): void {
    const macro = target.type === 'name' ? this.#macros.get(target.name) : undefined
    if (macro === undefined) return
    macro.called = true
    given.positional.forEach((value, i) => {
      if (macro.parameters[i] !== undefined && this.#reads(value)) macro.tainted.add(macro.parameters[i])
    })
    for (const { name, value } of given.named) if (this.#reads(value)) macro.tainted.add(name)
    if (this.#reads(given.star) || this.#reads(given.doubleStar)) for (const name of macro.parameters) macro.tainted.add(name)
  }

  /** Names that take over event data: assignments and loops. */
  #names(node: Statement): void {
    if (node.type === 'set' && this.#reads(node.value)) this.#taint(node.target)
    if (node.type === 'for' && this.#reads(node.over)) this.#taint(node.target)
    if (node.type === 'with') for (const { target, value } of node.assignments) if (this.#reads(value)) this.#taint(target)
  }

  #gathers(value: Expression): void {
    if (value.type !== 'call' || value.target.type !== 'attribute' || !GATHERS.has(value.target.name)) return
    const into = value.target.target
    if (into.type === 'name' && this.#reads(value.arguments)) this.#tainted.add(into.name)
  }

  #taint(target: { type: string; name?: string; items?: readonly { type: string; name?: string }[] }): void {
    if (target.name !== undefined) this.#tainted.add(target.name)
    for (const item of target.items ?? []) this.#taint(item)
  }

  /** Whether what an expression gives may hold event data as it is. */
  #reads(node: unknown): boolean {
    if (Array.isArray(node)) return node.some(item => this.#reads(item))
    if (typeof node !== 'object' || node === null) return false
    const expression = node as Expression
    switch (expression.type) {
      case 'name':
        return this.#parameters.get(expression.name) ?? this.#tainted.has(expression.name)
      case 'compare':
      case 'test':
        return false
      case 'filter':
        return !isSafe(expression) && (this.#reads(expression.target) || this.#reads(expression.arguments))
      case 'condition':
        return this.#reads(expression.value) || this.#reads(expression.otherwise)
      case 'item':
        return this.#reads(expression.target)
      case 'call':
        return this.#readsCall(expression)
      default:
        return Object.values(node).some(item => this.#reads(item))
    }
  }

  #readsCall({ target, arguments: given }: Expression & { type: 'call' }): boolean {
    const macro = target.type === 'name' ? this.#macros.get(target.name) : undefined
    if (macro !== undefined) return macro.own || (macro.leaks && this.#reads(given))
    // `hosts.get(data.x, 'none')`: the key is not what comes out
    if (target.type === 'attribute' && target.name === 'get') return this.#reads(target.target) || this.#reads(given.positional.slice(1))
    return this.#reads(target) || this.#reads(given)
  }
}

/** `| quote`, and `| map('quote')` of each in a list. */
function isSafe({ name, arguments: given }: Expression & { type: 'filter' }): boolean {
  if (SAFE.has(name)) return true
  const [first] = given.positional
  return name === 'map' && first?.type === 'constant' && SAFE.has(String(first.value))
}

function isStatement(node: unknown): boolean {
  const statements = [
    'text',
    'print',
    'if',
    'for',
    'set',
    'setBlock',
    'macro',
    'callBlock',
    'filterBlock',
    'with',
    'do',
    'loadBlock',
    'block'
  ]
  return statements.includes(String((node as { type?: unknown } | null)?.type))
}

function bodiesOf(node: Statement): Statement[][] {
  const { body, otherwise } = node as { body?: Statement[]; otherwise?: Statement[] }
  return [body ?? [], otherwise ?? []]
}
