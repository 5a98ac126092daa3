/**
 * Calling a runner or wheel function: the event that it begins, the call, the event with what it gave. The three stand alone as well,
 * because the reactor writes the first one in the transaction that marks its reaction dispatched.
 */
import { BrineError, isBrineError } from '../errors.js'
import type { EventData, NewEvent } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import { TRIMMED } from '../jobs/return.js'
import { packArguments } from '../shared/arguments.js'
import { runNew, runReturn, wheelNew, wheelReturn } from '../tags/tags.js'
import { ArgumentError, bindArguments, type CallContext, type ServerFunction } from './function.js'

export type FunctionKind = 'runner' | 'wheel'

/** Which function is called, with what. */
export interface FunctionCall {
  readonly fun: string
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
}

/** What came of a call. Errors of the function are values, as in Salt: a text, and `success` false. */
export interface Outcome {
  readonly return: unknown
  readonly success: boolean
}

type About = Pick<CallContext, 'jid' | 'user' | 'source' | 'cause'>

/** `salt/run/<jid>/new` or `salt/wheel/<jid>/new`: `{fun: 'runner.…', jid, user, fun_args}`. */
export function newCallEvent(kind: FunctionKind, call: FunctionCall, about: About, events: Pick<EventLog, 'prepare'>): NewEvent {
  const tag = kind === 'runner' ? runNew(about.jid) : wheelNew(about.jid)
  return prepare(events, tag, callData(kind, call, about), about, 'fun_args')
}

/** `salt/run/<jid>/ret` or `salt/wheel/<jid>/ret`: the same fields, then `_stamp`, `return` and `success`. */
export function returnCallEvent(
  kind: FunctionKind,
  call: FunctionCall,
  outcome: Outcome,
  about: About,
  events: Pick<EventLog, 'prepare'>,
  fn?: ServerFunction
): NewEvent {
  const shown = fn?.redact && outcome.success ? fn.redact(outcome.return) : outcome.return
  // `_stamp` stands before `return`, as recorded; the log puts the time there
  const data = { ...callData(kind, call, about), _stamp: '', return: shown ?? null, success: outcome.success }
  const tag = kind === 'runner' ? runReturn(about.jid) : wheelReturn(about.jid)
  return prepare(events, tag, data, about, 'return')
}

/** The only event of a runner function that does not exist: `{success: false, return, retcode: 254, fun, fun_args, jid}`, as recorded. */
export function unknownRunnerEvent(call: FunctionCall, about: About, events: Pick<EventLog, 'prepare'>): NewEvent {
  const fun = call.fun.slice(0, MAX_UNKNOWN)
  const data = { success: false, return: `'${fun}' is not available.`, retcode: 254, fun, fun_args: packArguments(call.args, call.kwargs) }
  return prepare(events, runReturn(about.jid), { ...data, jid: about.jid }, about, 'fun_args')
}

/** Characters of a name that nothing has. */
const MAX_UNKNOWN = 100

function callData(kind: FunctionKind, { fun, args, kwargs }: FunctionCall, { jid, user }: About): EventData {
  const hidden = SECRET_ARGUMENTS[`${kind}.${fun}`]
  const shownArgs = hidden === undefined ? args : args.map(() => HIDDEN)
  const shownKwargs = hidden === undefined ? kwargs : Object.fromEntries(Object.entries(kwargs).map(hide(hidden)))
  const funArgs = Object.keys(kwargs).length === 0 ? [...shownArgs] : [...shownArgs, shownKwargs]
  return { fun: `${kind}.${fun}`, jid, user, fun_args: funArgs }
}

/** In an event in place of an argument that is a secret. */
const HIDDEN = '**********'
/** Arguments that no event may show; given by position, none of the call's is shown. */
const SECRET_ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  'runner.auth.mk_token': ['password', 'token'],
  'runner.auth.del_token': ['token'],
  'runner.pillar.show_pillar': ['pillar'],
  'wheel.config.apply': ['value'],
  'wheel.config.update_config': ['yaml_contents'],
  'wheel.pillar_roots.write': ['data']
}

function hide(hidden: readonly string[]): (entry: [string, unknown]) => [string, unknown] {
  return ([name, value]) => [name, hidden.includes(name) ? HIDDEN : value]
}

/** A value that makes the event too large is replaced, as Salt does; the caller still gets it whole. */
function prepare(events: Pick<EventLog, 'prepare'>, tag: string, data: EventData, about: About, large: 'fun_args' | 'return'): NewEvent {
  const from = { source: about.source, cause: about.cause }
  try {
    return events.prepare(tag, data, from)
  } catch (error) {
    if (!isBrineError(error, 'EVENT_TOO_LARGE')) throw error
    return events.prepare(tag, { ...data, fun_args: [TRIMMED], ...(large === 'return' ? { return: TRIMMED } : {}) }, from)
  }
}

/**
 * Runs the function, without events. What goes wrong in it, or with its name and arguments, is a text in the outcome.
 * @throws what is not the call's fault: the store is busy, full or gone (STORE_…), the server stops (SHUTTING_DOWN)
 */
export async function callFunction(
  kind: FunctionKind,
  fn: ServerFunction | undefined,
  call: FunctionCall,
  context: CallContext
): Promise<Outcome> {
  const failed = (text: string): Outcome => ({ return: `Exception occurred in ${kind} ${call.fun}: ${text}`, success: false })
  if (fn === undefined) return failed(`'${call.fun}' is not available.`)
  try {
    const { args, rest } = bindArguments(fn, call.args, call.kwargs)
    return { return: (await fn.run(context, args, rest)) ?? null, success: true }
  } catch (error) {
    if (context.signal.aborted) throw new BrineError('SHUTTING_DOWN', [], { retryAfter: 5, cause: error })
    if (isBrineError(error) && error.status >= 500) throw error
    if (error instanceof ArgumentError && error.kind !== 'keyword' && kind === 'runner') return wrongArguments(error, fn)
    return failed(error instanceof Error ? error.message : String(error))
  }
}

/** Salt tells a runner's wrong arguments as a text, with success. */
function wrongArguments(error: ArgumentError, fn: ServerFunction): Outcome {
  const doc = fn.doc.replace(/^(?=.)/gm, '    ')
  return { return: `\nPassed invalid arguments: ${error.message}\n\nUsage:\n\n${doc}`, success: true }
}
