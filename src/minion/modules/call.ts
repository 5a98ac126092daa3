/**
 * From the `arg` list of a job to the arguments of a function, by Salt's rules and with Python's messages. The rules are recorded in
 * golden/events/job_*.jsonl and golden/api/root-lowstate.json.
 */
import { isKeywordMapping, splitKeyword, yamlArgument } from '../../shared/arguments.js'
import type { Job } from '../job.js'
import { ArgumentError, InvocationError } from './errors.js'
import type { Signature } from './module.js'
import { pyStr } from './python.js'
import { type Mapping, setOwn } from './values.js'

/** Names of the fields of a published job that a function with `**kwargs` also gets, as `__pub_<name>`. */
export type PublishedFields = Mapping

/** The fields in Salt's order. */
export function publishedFields(job: Job, funArgs: readonly unknown[]): PublishedFields {
  return {
    fun: job.fun,
    arg: funArgs,
    tgt: job.tgt ?? '*',
    jid: job.jid,
    ret: job.ret ?? '',
    tgt_type: job.tgtType ?? 'glob',
    ...(job.metadata === undefined ? {} : { metadata: job.metadata }),
    user: job.user ?? 'root'
  }
}

/** `fun_args` of a return: the arguments as published, keyword mappings without their mark. */
export function unmarked(arg: readonly unknown[]): unknown[] {
  return arg.map(item => {
    if (!isKeywordMapping(item)) return item
    const { __kwarg__: _mark, ...rest } = item
    return rest
  })
}

/** Splits an `arg` list for a function. Throws InvocationError for keywords that the function does not know. */
export function splitArguments(
  signature: Signature,
  arg: readonly unknown[],
  published?: PublishedFields
): { args: unknown[]; kwargs: Mapping } {
  const args: unknown[] = []
  const kwargs: Mapping = {}
  const unknown: string[] = []
  const known = new Set(signature.params.map(param => param.name))
  const keyword = (name: string, value: unknown): void => {
    if (signature.kwargs !== undefined || known.has(name)) setOwn(kwargs, name, value)
    else unknown.push(`${name}=${pyStr(value)}`)
  }
  for (const item of arg) {
    const written = typeof item === 'string' ? splitKeyword(item) : null
    if (written) keyword(written.name, yamlArgument(written.value))
    else if (isKeywordMapping(item)) {
      for (const [name, value] of Object.entries(item)) if (name !== '__kwarg__') keyword(name, value)
    } else args.push(item)
  }
  if (unknown.length > 0) throw new InvocationError(`The following keyword arguments are not valid: ${unknown.join(', ')}`)
  if (signature.kwargs !== undefined && published) for (const [name, value] of Object.entries(published)) kwargs[`__pub_${name}`] = value
  return { args, kwargs }
}

/** Binds arguments to parameters as Python does, with its messages. Every parameter has a value in the result. */
export function bind(signature: Signature, args: readonly unknown[], kwargs: Mapping): Mapping {
  const { pythonName, params, varargs } = signature
  const bound: Mapping = {}
  for (const [index, param] of params.entries()) if (index < args.length) bound[param.name] = args[index]
  const extra = bindKeywords(signature, kwargs, bound)
  if (args.length > params.length && varargs === undefined) throw new ArgumentError(tooMany(signature, args.length))
  const missing = params.filter(param => !Object.hasOwn(bound, param.name) && !('default' in param)).map(param => param.name)
  if (missing.length > 0) throw new ArgumentError(`${pythonName}() missing ${missingNames(missing)}`)
  for (const param of params) if (!Object.hasOwn(bound, param.name)) bound[param.name] = param.default
  if (varargs !== undefined) bound[varargs] = args.slice(params.length)
  if (signature.kwargs !== undefined) bound[signature.kwargs] = extra
  return bound
}

function bindKeywords(signature: Signature, kwargs: Mapping, bound: Mapping): Mapping {
  const known = new Set(signature.params.map(param => param.name))
  const extra: Mapping = {}
  for (const [name, value] of Object.entries(kwargs)) {
    if (known.has(name)) {
      if (Object.hasOwn(bound, name)) throw new ArgumentError(`${signature.pythonName}() got multiple values for argument '${name}'`)
      bound[name] = value
    } else if (signature.kwargs !== undefined) setOwn(extra, name, value)
    else throw new ArgumentError(`${signature.pythonName}() got an unexpected keyword argument '${name}'`)
  }
  return extra
}

function tooMany({ pythonName, params }: Signature, given: number): string {
  const required = params.filter(param => !('default' in param)).length
  const count = required === params.length ? `${required}` : `from ${required} to ${params.length}`
  const plural = params.length === 1 ? '' : 's'
  return `${pythonName}() takes ${count} positional argument${plural} but ${given} ${given === 1 ? 'was' : 'were'} given`
}

function missingNames(names: readonly string[]): string {
  const quoted = names.map(name => `'${name}'`)
  const last = quoted.at(-1)
  const list = quoted.length < 3 ? quoted.join(' and ') : `${quoted.slice(0, -1).join(', ')}, and ${last}`
  return `${names.length} required positional argument${names.length === 1 ? '' : 's'}: ${list}`
}
