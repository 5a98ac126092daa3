/** Calls one state function: its arguments, `onlyif`, `unless`, `creates`, `check_cmd`, and the result in Salt's shape; and calls it again (`retry`). */
import { randomInt } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { runCommand } from '../command.js'
import { callFunction } from '../invoke.js'
import { CommandExecutionError, exceptionText, messageOf } from '../modules/errors.js'
import { pyRepr, truthy } from '../modules/python.js'
import { isMapping, type Mapping, text, traverse } from '../modules/values.js'
import { findState } from './index.js'
import { INTERNAL_KEYWORDS, type Low, type RunResult, type StateContext, type StateFunction, type StateResult } from './state.js'

/** Calls the state of `ctx.low` (`fun`: its function, or mod_watch) and never throws. */
export async function callState(ctx: StateContext, fun: string): Promise<StateResult> {
  const { low } = ctx
  const entry = findState(low.state, fun)
  const wrong = entry ? missingParameters(entry, low) : [notFound(low)]
  if (!entry || wrong.length > 0) return { name: low.name, changes: {}, result: false, comment: wrong.map(line => `${line}\n`).join('') }
  try {
    const skipped = await checkConditions(ctx)
    if (skipped) return { name: low.name, changes: {}, ...skipped }
    return await checked(ctx, await callOnce(ctx, entry))
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

export interface Retry {
  readonly attempts: number
  readonly until: boolean
  readonly interval: number
  readonly splay: number
}

/** A day: more attempts than that are not waited for by anybody. */
const MAX_RETRY_SECONDS = 86_400
const RETRY_DEFAULTS: Retry = { attempts: 2, until: true, interval: 30, splay: 0 }

/** `retry: True` or a mapping; a value that is no number, and anything that is no mapping, means the defaults, as in Salt. */
export function retryOf(given: unknown): Retry | null {
  if (given === undefined || given === null || given === false) return null
  const wish = isMapping(given) ? given : {}
  const seconds = (name: 'interval' | 'splay'): number => {
    const value = wish[name]
    return Number.isInteger(value) ? Math.min(MAX_RETRY_SECONDS, Math.max(0, value as number)) : RETRY_DEFAULTS[name]
  }
  return {
    attempts: Number.isInteger(wish.attempts) ? Math.max(1, wish.attempts as number) : RETRY_DEFAULTS.attempts,
    until: typeof wish.until === 'boolean' ? wish.until : RETRY_DEFAULTS.until,
    interval: seconds('interval'),
    splay: seconds('splay')
  }
}

/** Calls again while the result is not the one that is waited for. Each attempt is a whole call: with conditions, and a number of its own. */
export async function withRetry(retry: Retry, ctx: StateContext, once: () => Promise<RunResult>): Promise<RunResult> {
  const first = await once()
  if (ctx.test) return { ...first, comment: `${first.comment}  ${plannedRetry(retry)}` }
  let result = first
  let duration = Number(first.duration)
  const history: string[] = []
  for (let attempt = 1; attempt < retry.attempts && result.result !== retry.until; attempt++) {
    history.push(`Attempt ${attempt}: Returned a result of "${pyRepr(result.result)}", with the following comment: "${result.comment}"`)
    const seconds = retry.interval + (retry.splay > 0 ? randomInt(retry.splay + 1) : 0)
    await sleep(seconds * 1000, undefined, { signal: ctx.signal })
    result = await once()
    duration += Number(result.duration) + seconds * 1000
  }
  if (history.length === 0) return result
  return {
    ...result,
    comment: [...history, result.comment].join('\n'),
    start_time: first.start_time,
    duration: Math.round(duration * 1000) / 1000
  }
}

function plannedRetry({ interval, splay, attempts: count, until }: Retry): string {
  return `The state would be retried every ${interval} seconds (with a splay of up to ${splay} seconds) a maximum of ${count} times or until a result of ${pyRepr(until)} is returned`
}

// ── conditions ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Skipped = Pick<StateResult, 'result' | 'comment'> & { skip_watch: boolean }

/** What one of `onlyif`, `unless` and `creates` says, in Salt's words. */
interface Condition {
  readonly skip: boolean
  readonly comment: string
}

/** What a state that is not to run answers, with what each of its conditions says; null: it is to run. */
async function checkConditions(ctx: StateContext): Promise<Skipped | null> {
  const { onlyif, unless, creates } = ctx.low
  const said: Condition[] = []
  if (onlyif !== undefined) said.push(await checkOnlyif(ctx, asEntries(onlyif)))
  if (unless !== undefined) said.push(await checkUnless(ctx, asEntries(unless)))
  if (creates !== undefined) said.push(await checkCreates(creates))
  if (!said.some(({ skip }) => skip)) return null
  return { comment: said.map(({ comment }) => comment).join('\n'), skip_watch: true, result: true }
}

function asEntries(condition: unknown): unknown[] {
  return Array.isArray(condition) ? condition : [condition]
}

/** A state runs when all of its `onlyif` succeed. What is no condition at all (an empty mapping, None) does not keep it from running. */
async function checkOnlyif(ctx: StateContext, entries: readonly unknown[]): Promise<Condition> {
  for (const entry of entries) {
    const outcome = await tried(ctx, entry, false)
    if (outcome === null) break
    if (!outcome) return { skip: true, comment: 'onlyif condition is false' }
  }
  return { skip: false, comment: 'onlyif condition is true' }
}

/** A state runs when one of its `unless` fails, or is no condition. A command that cannot be started keeps it from running, as in Salt. */
async function checkUnless(ctx: StateContext, entries: readonly unknown[]): Promise<Condition> {
  for (const entry of entries) if ((await tried(ctx, entry, true)) !== true) return { skip: false, comment: 'unless condition is false' }
  return entries.length === 0 ? { skip: false, comment: 'unless condition is false' } : { skip: true, comment: 'unless condition is true' }
}

async function checkCreates(creates: unknown): Promise<Condition> {
  const paths = Array.isArray(creates) ? creates : typeof creates === 'string' ? [creates] : []
  const there = await Promise.all(
    paths.map(path =>
      stat(String(path)).then(
        () => true,
        () => false
      )
    )
  )
  if (there.length === 0 || !there.every(Boolean)) return { skip: false, comment: 'Creates files not found' }
  return { skip: true, comment: Array.isArray(creates) ? 'All files in creates exist' : `${creates} exists` }
}

/** Whether an entry of a condition succeeds: a command, a call (`{fun: …, args: …}`), a truth value. null: it is none of these. */
async function tried(ctx: StateContext, entry: unknown, unstartable: boolean): Promise<boolean | null> {
  if (typeof entry === 'boolean') return entry
  if (isMapping(entry)) return typeof entry.fun === 'string' ? call(ctx, entry) : null
  if (typeof entry !== 'string') return null
  try {
    return await commandSucceeds(ctx, entry)
  } catch (error) {
    if (error instanceof CommandExecutionError) return unstartable
    throw error
  }
}

async function commandSucceeds(ctx: StateContext, command: string): Promise<boolean> {
  return (await runCommand(ctx, command, { ...commandOptions(ctx.low), python_shell: true })).retcode === 0
}

/** A module function in a condition: an exit code decides before what it returns does; `get_return` picks a value out of that. */
async function call(ctx: StateContext, entry: Mapping): Promise<boolean> {
  const { fun, args, get_return: path, ...kwargs } = entry
  const outcome = { retcode: 0 }
  const value = await callFunction({ ...ctx, outcome }, String(fun), Array.isArray(args) ? args : [], kwargs)
  if (outcome.retcode !== 0) return false
  return truthy(typeof path === 'string' ? traverse(value, path) : value)
}

/** The arguments of a state that also hold for the commands of its conditions. */
function commandOptions(low: Mapping): Mapping {
  const names = ['cwd', 'runas', 'env', 'prepend_path', 'umask', 'timeout', 'success_retcodes', 'shell']
  const excluded = asEntries(low.cmd_opts_exclude)
  return Object.fromEntries(names.filter(name => Object.hasOwn(low, name) && !excluded.includes(name)).map(name => [name, low[name]]))
}

/** `check_cmd` decides whether a state that ran has succeeded. A file's own `check_cmd` works on the file before it is in place. */
async function checked(ctx: StateContext, result: StateResult): Promise<StateResult> {
  const { low } = ctx
  if (low.check_cmd === undefined || low.state === 'file' || ctx.test) return result
  try {
    let success = true
    for (const command of asEntries(low.check_cmd)) success = success && (await commandSucceeds(ctx, text(command, 'check_cmd')))
    return {
      ...result,
      result: success,
      comment: success ? 'check_cmd determined the state succeeded' : 'check_cmd determined the state failed'
    }
  } catch (error) {
    return { ...result, result: false, comment: messageOf(error) }
  }
}
