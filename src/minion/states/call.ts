/** Calls one state function: its arguments, `onlyif`, `unless`, `creates`, `check_cmd`, `retry`, and the result in Salt's shape. */
import { randomInt } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from '../command.js'
import { callFunction } from '../invoke.js'
import { exceptionText, messageOf } from '../modules/errors.js'
import { pyRepr } from '../modules/python.js'
import { flag, isMapping, type Mapping, number, traverse } from '../modules/values.js'
import { findState } from './index.js'
import { INTERNAL_KEYWORDS, type Low, type StateContext, type StateFunction, type StateResult } from './state.js'

/** Calls the state of `ctx.low` (`fun`: its function, or mod_watch) and never throws. */
export async function callState(ctx: StateContext, fun: string): Promise<StateResult> {
  const { low } = ctx
  const entry = findState(low.state, fun)
  const wrong = entry ? missingParameters(entry, low) : [notFound(low)]
  if (!entry || wrong.length > 0) return { name: low.name, changes: {}, result: false, comment: wrong.map(line => `${line}\n`).join('') }
  try {
    const skipped = await checkConditions(ctx)
    if (skipped) return { name: low.name, changes: {}, ...skipped }
    return await checked(ctx, await attempts(ctx, entry))
  } catch (error) {
    return { name: low.name, changes: {}, result: false, comment: `An exception occurred in this state: ${exceptionText(error)}` }
  }
}

function notFound(low: Low): string {
  const name = `${low.state}.${low.fun}`
  const where = low.__sls__ === null ? `Specified state '${name}' was not found` : `State '${name}' was not found in SLS '${low.__sls__}'`
  return `${where}\nReason: '${name}' is not available.`
}

function missingParameters(entry: StateFunction, low: Low): string[] {
  return entry.params
    .filter(param => !('default' in param) && !Object.hasOwn(low, param.name))
    .map(param => `Missing parameter ${param.name} for state ${low.state}.${low.fun}`)
}

// ── the call ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function callOnce(ctx: StateContext, entry: StateFunction): Promise<StateResult> {
  const { args, warnings } = argumentsOf(entry, ctx)
  const result = await entry.run(ctx, args)
  return warnings.length === 0 ? result : { ...result, warnings }
}

/** The low data's values by parameter; what has no parameter goes into `**kwargs`, or into a warning when there are none. */
function argumentsOf(entry: StateFunction, { low }: StateContext): { args: Mapping; warnings: string[] } {
  const args: Mapping = {}
  const names = new Set(entry.params.map(param => param.name))
  for (const param of entry.params) args[param.name] = Object.hasOwn(low, param.name) ? low[param.name] : param.default
  const extra = Object.entries(low).filter(([key]) => !names.has(key) && !INTERNAL_KEYWORDS.has(key) && key !== 'name')
  if (entry.kwargs !== undefined) return { args: { ...args, [entry.kwargs]: Object.fromEntries(extra) }, warnings: [] }
  const full = `${low.state}.${low.fun}`
  return {
    args,
    warnings:
      extra.length === 0
        ? []
        : [
            strangeArguments(
              extra.map(([key]) => key),
              full
            )
          ]
  }
}

function strangeArguments(names: readonly string[], full: string): string {
  const [last, others] = [names.at(-1)!, names.slice(0, -1).map(name => `'${name}'`)]
  const said =
    others.length === 0
      ? `'${last}' is an invalid keyword argument for '${full}'`
      : `${others.join(', ')} and '${last}' are invalid keyword arguments for '${full}'`
  return `${said}. If you were trying to pass additional data to be used in a template context, please populate 'context' with 'key: value' pairs. Please update your state files.`
}

interface Retry {
  readonly attempts: number
  readonly until: boolean
  readonly interval: number
  readonly splay: number
}

/** A day: more attempts than that are not waited for by anybody. */
const MAX_RETRY_SECONDS = 86_400

function retryOf(given: unknown): Retry | null {
  if (given === undefined || given === null || given === false) return null
  const wish = isMapping(given) ? given : {}
  const seconds = (value: unknown, name: string): number => Math.min(MAX_RETRY_SECONDS, Math.max(0, number(value, name)))
  return {
    attempts: Math.max(1, number(wish.attempts ?? 2, 'retry attempts')),
    until: wish.until === undefined ? true : flag(wish.until),
    interval: seconds(wish.interval ?? 30, 'retry interval'),
    splay: seconds(wish.splay ?? 0, 'retry splay')
  }
}

/** Calls again while the result is not the one that `retry` waits for. */
async function attempts(ctx: StateContext, entry: StateFunction): Promise<StateResult> {
  const retry = retryOf(ctx.low.retry)
  let result = await callOnce(ctx, entry)
  if (!retry) return result
  if (ctx.test) return { ...result, comment: `${result.comment}  ${plannedRetry(retry)}` }
  const history: string[] = []
  for (let attempt = 1; attempt < retry.attempts && result.result !== retry.until; attempt++) {
    history.push(`Attempt ${attempt}: Returned a result of "${pyRepr(result.result)}", with the following comment: "${result.comment}"`)
    const seconds = retry.interval + (retry.splay > 0 ? randomInt(Math.floor(retry.splay) + 1) : 0)
    await sleep(seconds * 1000, undefined, { signal: ctx.signal })
    result = await callOnce(ctx, entry)
  }
  return history.length === 0 ? result : { ...result, comment: [...history, result.comment].join('\n') }
}

function plannedRetry({ interval, splay, attempts: count, until }: Retry): string {
  return `The state would be retried every ${interval} seconds (with a splay of up to ${splay} seconds) a maximum of ${count} times or until a result of ${pyRepr(until)} is returned`
}

// ── conditions ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Skipped = Pick<StateResult, 'result' | 'comment'> & { skip_watch: boolean }

/** What a state that is not to run answers; null: it is to run. */
async function checkConditions(ctx: StateContext): Promise<Skipped | null> {
  const { low } = ctx
  const skip = (comment: string): Skipped => ({ comment, skip_watch: true, result: true })
  if (low.onlyif !== undefined && !(await all(ctx, 'onlyif', low.onlyif))) return skip('onlyif condition is false')
  if (low.unless !== undefined && (await all(ctx, 'unless', low.unless))) return skip('unless condition is true')
  if (low.creates === undefined || low.creates === null) return null
  const paths = Array.isArray(low.creates) ? low.creates : [low.creates]
  const there = await Promise.all(
    paths.map(path =>
      stat(String(path)).then(
        () => true,
        () => false
      )
    )
  )
  if (!there.every(Boolean)) return null
  return skip(Array.isArray(low.creates) ? 'All files in creates exist' : `${low.creates} exists`)
}

/** Whether every entry of a condition succeeds: commands, calls (`{fun: …, args: …}`), truth values. */
async function all(ctx: StateContext, name: string, condition: unknown): Promise<boolean> {
  const entries = Array.isArray(condition) ? condition : [condition]
  for (const entry of entries) if (!(await succeeds(ctx, name, entry))) return false
  return true
}

async function succeeds(ctx: StateContext, name: string, entry: unknown): Promise<boolean> {
  if (typeof entry === 'boolean') return entry
  if (typeof entry === 'string') return (await runCommand(ctx, entry, { ...commandOptions(ctx.low), python_shell: true })).retcode === 0
  if (isMapping(entry) && typeof entry.fun === 'string') return flag(await call(ctx, entry))
  throw new Error(`${name} is not a string or a list of strings: ${pyRepr(entry)}`)
}

/** A module function in a condition; `get_return` picks a value out of what it returns. */
async function call(ctx: StateContext, entry: Mapping): Promise<unknown> {
  const { fun, args, get_return: path, ...kwargs } = entry
  const value = await callFunction(ctx, String(fun), Array.isArray(args) ? args : [], kwargs)
  if (typeof path !== 'string') return value
  return traverse(value, path)
}

/** The arguments of a state that also hold for the commands of its conditions. */
export function commandOptions(low: Mapping): Mapping {
  const names = ['cwd', 'runas', 'env', 'prepend_path', 'umask', 'timeout', 'success_retcodes', 'shell']
  return Object.fromEntries(names.filter(name => Object.hasOwn(low, name)).map(name => [name, low[name]]))
}

/** `check_cmd` decides whether a state that ran has succeeded. A file's own `check_cmd` works on the file before it is in place. */
async function checked(ctx: StateContext, result: StateResult): Promise<StateResult> {
  const { low } = ctx
  if (low.check_cmd === undefined || low.state === 'file' || ctx.test) return result
  try {
    const success = await all(ctx, 'check_cmd', low.check_cmd)
    return {
      ...result,
      result: success,
      comment: success ? 'check_cmd determined the state succeeded' : 'check_cmd determined the state failed'
    }
  } catch (error) {
    return { ...result, result: false, comment: messageOf(error) }
  }
}
