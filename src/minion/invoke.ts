/**
 * Runs the functions of a job and makes its outcome, with Salt's texts and codes: golden/README.md section 2 and golden/events/job_*.jsonl.
 * Never throws.
 */
import { stampOf } from '../shared/clock.js'
import type { ModuleContext } from './context.js'
import type { Job, Outcome } from './job.js'
import { bind, publishedFields, splitArguments, unmarked } from './modules/call.js'
import { ArgumentError, CommandExecutionError, exceptionText, InvocationError, messageOf } from './modules/errors.js'
import type { ModuleFunction } from './modules/module.js'
import { pyRepr } from './modules/python.js'
import type { ModuleTable } from './modules/table.js'
import { isMapping, type Mapping, setOwn } from './modules/values.js'

interface CallResult {
  readonly return: unknown
  readonly retcode: number
  readonly out?: string
}

/** Runs a job; a list of functions runs one after the other, each with its own result. */
export async function invoke(ctx: ModuleContext, job: Job): Promise<Outcome> {
  return typeof job.fun === 'string' ? invokeOne(ctx, job, job.fun) : invokeCompound(ctx, job, job.fun)
}

async function invokeOne(ctx: ModuleContext, job: Job, fun: string): Promise<Outcome> {
  const entry = ctx.modules.get(fun)
  if (!entry) return { ...notAvailable(ctx.modules, fun), fun, fun_args: job.arg, success: false }
  const funArgs = unmarked(job.arg)
  const result = await call(ctx, fun, entry, job.arg, job.published ?? publishedFields(job, funArgs))
  return { ...result, fun, fun_args: funArgs, success: result.retcode === 0 }
}

async function invokeCompound(ctx: ModuleContext, job: Job, funs: readonly string[]): Promise<Outcome> {
  const lists = funs.map((_fun, index) => {
    const list = job.arg[index]
    return Array.isArray(list) ? (list as unknown[]) : []
  })
  const funArgs = lists.map(unmarked)
  const published = job.published ?? publishedFields(job, funArgs)
  const values: Mapping = {}
  const retcode: Record<string, number> = {}
  for (const [index, fun] of funs.entries()) {
    const entry = ctx.modules.get(fun)
    const result = entry ? await call(ctx, fun, entry, lists[index]!, published) : notAvailable(ctx.modules, fun)
    setOwn(values, fun, result.return)
    setOwn(retcode, fun, result.retcode)
  }
  const success = Object.fromEntries(Object.entries(retcode).map(([fun, code]) => [fun, code === 0]))
  return { fun: funs, fun_args: funArgs, return: values, retcode, success }
}

async function call(
  ctx: ModuleContext,
  fun: string,
  entry: ModuleFunction,
  arg: readonly unknown[],
  published: Mapping
): Promise<CallResult> {
  ctx.outcome.retcode = 0
  const out = entry.out === undefined ? {} : { out: entry.out }
  try {
    const { args, kwargs } = splitArguments(entry, arg, published)
    const value = (await entry.run(ctx, bind(entry, args, kwargs))) ?? null
    checkSize(value, ctx.options.return_max_bytes)
    return { return: value, retcode: ctx.outcome.retcode || (reportsFailure(value) ? 1 : 0), ...out }
  } catch (error) {
    return { return: await errorText(ctx, fun, entry, error), retcode: 1, out: 'nested' }
  }
}

/** Runs one function from within another (`ctx` is the caller's), without a job's published fields. Throws what the function throws. */
export async function callFunction(ctx: ModuleContext, fun: string, args: readonly unknown[] = [], kwargs: Mapping = {}): Promise<unknown> {
  const entry = ctx.modules.get(fun)
  if (!entry) throw new CommandExecutionError(`'${fun}' is not available.`)
  return entry.run(ctx, bind(entry, args, kwargs))
}

/** Salt answers an unknown name with the documentation of the functions whose names begin with it, if there are any. */
function notAvailable(modules: ModuleTable, fun: string): CallResult {
  const text = `'${fun}' is not available.`
  const docs = fun === '' ? {} : modules.docs(name => name.startsWith(fun))
  return { return: Object.keys(docs).length > 0 ? { ...docs, [fun]: text } : text, retcode: 1, out: 'nested' }
}

/** A mapping that says `result: False` or `success: False` is a failure though nothing was thrown. */
function reportsFailure(value: unknown): boolean {
  return isMapping(value) && ['result', 'success'].some(key => Object.hasOwn(value, key) && !value[key])
}

async function errorText(ctx: ModuleContext, fun: string, entry: ModuleFunction, error: unknown): Promise<string> {
  if (error instanceof ArgumentError) return `Passed invalid arguments to ${fun}: ${error.message}\n\n${indented(entry.doc)}`
  if (error instanceof InvocationError) return `ERROR executing '${fun}': ${error.message}`
  if (error instanceof CommandExecutionError) return `ERROR: ${error.message}`
  await reportException(ctx, fun, error)
  return `The minion function caused an exception: ${exceptionText(error)}`
}

/** Salt's `_salt_error` event. A server that cannot be told is no reason to lose the job's own answer. */
async function reportException(ctx: ModuleContext, fun: string, error: unknown): Promise<void> {
  ctx.log.warn({ fun, jid: ctx.job.jid, error: messageOf(error) }, 'a function failed with an exception')
  const message = 'The minion function caused an exception'
  try {
    await ctx.events.sendEvent('_salt_error', { message, args: [message], _stamp: stampOf(ctx.clock.nowUs()) })
  } catch (cause) {
    ctx.log.warn({ fun, error: messageOf(cause) }, 'the exception could not be reported')
  }
}

function indented(doc: string): string {
  return doc
    .split('\n')
    .map(line => (line === '' ? '' : `    ${line}`))
    .join('\n')
}

/** Throws when a value is larger than the server takes, or is no JSON at all. */
function checkSize(value: unknown, maxBytes: number): void {
  const bytes = Buffer.byteLength(JSON.stringify(value) ?? 'null')
  if (bytes > maxBytes)
    throw new CommandExecutionError(`the return has ${bytes} bytes, more than ${maxBytes}; it starts with ${start(value)}`)
}

function start(value: unknown): string {
  const text = typeof value === 'string' ? value : pyRepr(value)
  return text.slice(0, 200)
}
