/**
 * What is worth a warning in an SLS before it runs: event data that becomes part of a command line without `|quote`. It cannot break out of
 * its YAML scalar, but a shell reads that scalar.
 */
import type { Expression, Statement } from './template/nodes.js'
import { parseTemplate } from './template/parser.js'

export interface LintWarning {
  readonly line: number
  readonly column: number
  readonly message: string
}

/** Functions whose arguments a shell reads. */
const COMMAND = /^(?:cmd\.\w+|salt\.cmd|ssh\.cmd|saltutil\.cmd|powershell\.\w+|at\.at|cron\.set_job|docker\.run|lxc\.cmd_run\w*)$/
/** Keys of a reaction that are no arguments. */
const NO_ARGUMENT = /^(?:tgt|tgt_type|ret|timeout|metadata|order|name)$/
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

/** Warnings of a template, in the order of its lines. Throws TemplateError when it does not parse. */
export function lintTemplate(source: string): LintWarning[] {
  const lint = new Lint()
  // the shebang line is no template text; a plain YAML file has no prints
  lint.walk(parseTemplate(source.replace(/^#![^\n]*/, '')).body)
  return lint.warnings
}

class Lint {
  readonly warnings: LintWarning[] = []
  /** Names that hold event data. */
  readonly #tainted = new Set(['data', 'tag', 'events'])
  /** The function and the key that the text so far has opened. */
  #fun = ''
  #key = ''

  walk(body: readonly Statement[]): void {
    for (const statement of body) this.#statement(statement)
  }

  #statement(node: Statement): void {
    if (node.type === 'text') this.#text(node.text)
    else if (node.type === 'print') this.#print(node, node.value)
    else {
      const before = [this.#fun, this.#key] as const
      this.#names(node)
      for (const body of bodiesOf(node)) this.walk(body)
      // the text of a macro or a set block does not stand here
      if (node.type === 'macro' || node.type === 'setBlock') [this.#fun, this.#key] = before
    }
  }

  #text(text: string): void {
    for (const [, fun, key] of text.matchAll(/^[ \t]*(?:(?:local|cmd|caller|runner|wheel)\.([\w.]+):|(?:- )+([\w.]+):)/gm)) {
      if (fun !== undefined) [this.#fun, this.#key] = [fun, '']
      else this.#key = key!
    }
  }

  #print(place: Statement, value: Expression): void {
    if (!COMMAND.test(this.#fun) || NO_ARGUMENT.test(this.#key) || !this.#reads(value)) return
    const message = `event data becomes part of the command of '${this.#fun}'; put it through the filter quote`
    this.warnings.push({ line: place.line, column: place.column, message })
  }

  /** Names that take over event data: assignments, loops, and the parameters of macros. */
  #names(node: Statement): void {
    if (node.type === 'set' && this.#reads(node.value)) this.#taint(node.target)
    if (node.type === 'for' && this.#reads(node.over)) this.#taint(node.target)
    if (node.type === 'with') for (const { target, value } of node.assignments) if (this.#reads(value)) this.#taint(target)
    if (node.type === 'macro' || node.type === 'callBlock') for (const { name } of node.parameters) this.#tainted.add(name)
  }

  #taint(target: { type: string; name?: string; items?: readonly { type: string; name?: string }[] }): void {
    if (target.name !== undefined) this.#tainted.add(target.name)
    for (const item of target.items ?? []) this.#taint(item)
  }

  /** Whether what an expression gives may hold event data as it is. */
  #reads(node: unknown): boolean {
    if (Array.isArray(node)) return node.some(item => this.#reads(item))
    if (typeof node !== 'object' || node === null) return false
    const { type, name } = node as { type?: string; name?: string }
    if (type === 'name') return this.#tainted.has(name!)
    if (type === 'compare' || type === 'test' || (type === 'filter' && SAFE.has(name!))) return false
    if (type === 'condition') {
      const { value, otherwise } = node as { value: unknown; otherwise: unknown }
      return this.#reads(value) || this.#reads(otherwise)
    }
    return Object.values(node).some(item => this.#reads(item))
  }
}

function bodiesOf(node: Statement): Statement[][] {
  const { body, otherwise } = node as { body?: Statement[]; otherwise?: Statement[] }
  return [body ?? [], otherwise ?? []]
}
