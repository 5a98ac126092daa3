/**
 * Renders templates of states and files: the evaluator of the reactor, as plain text, with Salt's variables (`salt`, `grains`, `pillar`, `opts`,
 * `saltenv`, `sls` …). Authors are trusted here: templates may call any function and read any file of their environment.
 *
 * The evaluator is synchronous, functions and files are not. So a call that has to wait stops the rendering; when its result is there, the template
 * is rendered again and gets the same results for the same calls in the same order. Each call runs once.
 */
import { readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import type { renderText } from '../reactor/render.js'
import { TemplateError } from '../reactor/template/errors.js'
import type { ModuleContext } from './context.js'
import { bind } from './modules/call.js'
import { optionsOf } from './modules/config.js'
import { CommandExecutionError, messageOf } from './modules/errors.js'
import type { Mapping } from './modules/values.js'

export interface TemplateOptions {
  /** Path below the roots, or another name for messages; other templates are looked up beside it. */
  readonly file: string
  readonly saltenv: string
  /** Variables of a state's `context`; they win over all others. */
  readonly context?: Mapping
  /** Further variables of Salt's (`sls`, `tpldir` …). */
  readonly variables?: Mapping
}

/** Calls and files that one template may wait for. Each renders it once more, so the work grows with the square of this. */
const MAX_WAITS = 500
/** A state's template may do more than a reaction's: nobody else waits for this process. */
const LIMITS = { steps: 10_000_000, size: 64_000_000, milliseconds: 30_000, depth: 200 }

/** The rendered text. Throws an Error whose message names the place in the template. */
export async function renderTemplate(ctx: ModuleContext, source: string, options: TemplateOptions): Promise<string> {
  // Loaded when it is needed: the agent itself, which stays in memory, renders nothing.
  const { renderText } = await import('../reactor/render.js')
  const session = new Session(ctx, options, renderText)
  for (let waits = 0; waits <= MAX_WAITS; waits++) {
    const rendered = session.render(source)
    if (rendered !== null) return rendered
    await session.wait()
  }
  throw new CommandExecutionError(`${options.file}: the template waits for more than ${MAX_WAITS} calls and files`)
}

type Result = { readonly value: unknown } | { readonly error: unknown }

class Session {
  readonly #ctx: ModuleContext
  readonly #options: TemplateOptions
  readonly #renderText: typeof renderText
  readonly #variables: Mapping
  readonly #results: Result[] = []
  readonly #files = new Map<string, string | null>()
  #next = 0
  /** What the last rendering stopped for. */
  #pending: (() => Promise<void>) | null = null

  constructor(ctx: ModuleContext, options: TemplateOptions, render: typeof renderText) {
    this.#ctx = ctx
    this.#renderText = render
    this.#options = options
    this.#variables = {
      ...{
        salt: this.#functions(),
        grains: ctx.grains,
        pillar: ctx.pillar,
        opts: optionsOf(ctx),
        saltenv: options.saltenv,
        env: options.saltenv
      },
      ...options.variables,
      ...options.context
    }
  }

  /** null: something has to be waited for. */
  render(source: string): string | null {
    this.#next = 0
    this.#pending = null
    const { file } = this.#options
    try {
      return this.#renderText(source, this.#variables, { file, limits: LIMITS, loader: (name, from) => this.#load(name, from ?? file) })
    } catch (error) {
      if (this.#pending) return null
      throw error instanceof TemplateError ? new Error(describeFailure(error, source, file)) : error
    }
  }

  async wait(): Promise<void> {
    await this.#pending?.()
  }

  /** `salt['test.ping']()` */
  #functions(): Mapping {
    const all: Mapping = {}
    for (const fun of this.#ctx.modules.functions()) all[fun] = (args: unknown[], kwargs: Mapping) => this.#call(fun, args, kwargs)
    return all
  }

  #call(fun: string, args: unknown[], kwargs: Mapping): unknown {
    const index = this.#next++
    const known = this.#results[index]
    if (known) {
      if ('error' in known) throw new TemplateError('runtime', `${fun}: ${messageOf(known.error)}`)
      return known.value
    }
    const entry = this.#ctx.modules.get(fun)!
    const value = entry.run(this.#ctx, bind(entry, args, kwargs))
    if (!(value instanceof Promise)) {
      this.#results[index] = { value }
      return value
    }
    return this.#stopFor(async () => {
      this.#results[index] = await value.then(
        result => ({ value: result }),
        error => ({ error })
      )
    })
  }

  #load(name: string, from: string): string | null {
    const path = pathOf(name, from)
    if (path === null) return null
    const known = this.#files.get(path)
    if (known !== undefined) return known
    return this.#stopFor(async () => {
      const file = await this.#ctx.files.cacheFile(path, this.#options.saltenv)
      this.#files.set(path, file ? await readFile(file.path, 'utf8') : null)
    })
  }

  #stopFor(pending: () => Promise<void>): never {
    this.#pending = pending
    throw new TemplateError('runtime', 'the template waits')
  }
}

const HEADS: Readonly<Record<string, string>> = { undefined: 'Jinja variable', syntax: 'Jinja syntax error:' }

/** Salt's text for a template that fails: what, the line, and the lines around it. */
function describeFailure(error: TemplateError, source: string, file: string): string {
  if (error.kind === 'yaml') return error.describe()
  const said = `${HEADS[error.kind] ?? 'Jinja error:'} ${error.reason}`
  if (error.line === 0) return said
  return error.file === undefined || error.file === file
    ? `${said}; line ${error.line}\n\n${markedLines(source, error.line)}`
    : `${said}; ${error.file}, line ${error.line}`
}

/** Lines before and after a marked one. */
const AROUND = 5

/** The lines around a line of a text, with a mark behind it, between two lines of dashes. */
export function markedLines(source: string, line: number): string {
  const lines = source.split('\n')
  if (lines.at(-1) === '') lines.pop()
  if (line > lines.length) return `---\n${lines.join('\n')}\n---`
  const [from, to] = [Math.max(0, line - AROUND - 1), Math.min(lines.length, line + AROUND)]
  const shown = lines.slice(from, to).map((text, index) => (from + index + 1 === line ? `${text}    <======================` : text))
  return ['---', ...(from > 0 ? ['[...]'] : []), ...shown, ...(to < lines.length ? ['[...]'] : []), '---'].join('\n')
}

/** `salt://a/b`, `a/b` below the roots; `./b` and `../b` beside the template that names it. null: outside of the roots. */
function pathOf(name: string, from: string): string | null {
  const path = /^\.\.?\//.test(name) ? normalize(join(dirname(from.replace(/^salt:\/\//, '')), name)) : name.replace(/^salt:\/\//, '')
  return path.split('/').includes('..') ? null : path
}
