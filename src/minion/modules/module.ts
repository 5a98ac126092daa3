/**
 * What an execution module is: a list of functions, each with its signature, its documentation and what it does. Mapping of arguments,
 * `sys.doc`, `sys.argspec` and all errors about calls come from these entries alone.
 */
import type { ModuleContext } from '../context.js'
import type { Mapping } from './values.js'

export interface Parameter {
  readonly name: string
  /** Absent: required. */
  readonly default?: unknown
}

export interface Signature {
  /** The name in Python's messages (`true_`); callers use it without the underscore (`test.true`). */
  readonly pythonName: string
  readonly params: readonly Parameter[]
  /** Name of `*args`. */
  readonly varargs?: string
  /** Name of `**kwargs`. */
  readonly kwargs?: string
}

export interface ModuleFunction extends Signature {
  readonly name: string
  readonly doc: string
  /** Salt's outputter for people. */
  readonly out?: string
  /** Runs in a process of its own: may run long, block, or use much memory. Without it: bounded work in the agent's own process. */
  readonly isolated: boolean
  run(ctx: ModuleContext, args: Mapping): unknown
}

export interface Module {
  readonly name: string
  readonly functions: readonly ModuleFunction[]
}

interface FunctionOptions {
  readonly isolated?: boolean
  readonly out?: string
}

/**
 * One function. `signature` is written as in Salt's documentation: `sleep(length)`, `fire(data, tag, timeout=60)`, `arg(*args, **kwargs)`.
 * `run` gets every parameter by its name, defaults filled in; `args` as a list, `kwargs` as a mapping.
 */
export function fn(signature: string, doc: string, run: ModuleFunction['run'], options: FunctionOptions = {}): ModuleFunction {
  const parsed = parseSignature(signature)
  const out = options.out === undefined ? {} : { out: options.out }
  return { ...parsed, ...out, name: parsed.pythonName.replace(/_$/, ''), doc, isolated: options.isolated ?? false, run }
}

/** What a function does, and an example, in the form of Salt's documentation. */
export function doc(says: string, example: string): string {
  return `${says}\n\nCLI Example:\n\n    salt '*' ${example}`
}

/** Reads `name(a, b=None, *args, **kwargs)`. Defaults are None, True, False, numbers and quoted texts. */
export function parseSignature(signature: string): Signature {
  const match = /^(\w+)\((.*)\)$/s.exec(signature.trim())
  if (!match) throw new Error(`not a signature: ${signature}`)
  const params: Parameter[] = []
  let stars: Pick<Signature, 'varargs' | 'kwargs'> = {}
  for (const part of match[2]!.split(/,(?=(?:[^']*'[^']*')*[^']*$)/).map(piece => piece.trim())) {
    if (part === '') continue
    if (part.startsWith('**')) stars = { ...stars, kwargs: part.slice(2) }
    else if (part.startsWith('*')) stars = { ...stars, varargs: part.slice(1) }
    else params.push(parseParameter(part))
  }
  return { pythonName: match[1]!, params, ...stars }
}

function parseParameter(part: string): Parameter {
  const [, name, value] = /^([^=]+)(?:=(.*))?$/s.exec(part) ?? []
  return value === undefined ? { name: name!.trim() } : { name: name!.trim(), default: literal(value.trim()) }
}

const LITERALS: Readonly<Record<string, unknown>> = { None: null, True: true, False: false }

function literal(source: string): unknown {
  if (source in LITERALS) return LITERALS[source]
  if (/^'.*'$/s.test(source)) return source.slice(1, -1)
  const value = Number(source)
  if (Number.isNaN(value)) throw new Error(`not a default: ${source}`)
  return value
}
