/**
 * The ways to call a wheel function; the functions are in `list.ts`.
 */
import type { NewEvent } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import { callFunction, type FunctionCall, newCallEvent, type Outcome, returnCallEvent } from '../runners/call.js'
import type { CallContext, ServerFunction } from '../runners/function.js'
import { wheelFunctions } from './list.js'

/** The wheel functions by name. */
export const WHEEL: ReadonlyMap<string, ServerFunction> = new Map(wheelFunctions.map(fn => [fn.name, fn]))

type Log = Pick<EventLog, 'prepare'>
type About = Pick<CallContext, 'jid' | 'user' | 'source' | 'cause'>

/** The event that a wheel call begins with, `salt/wheel/<jid>/new`. */
export function wheelNewEvent(call: FunctionCall, about: About, events: Log): NewEvent {
  return newCallEvent('wheel', call, about, events)
}

/** The event that a wheel call ends with, `salt/wheel/<jid>/ret`. */
export function wheelRetEvent(call: FunctionCall, outcome: Outcome, about: About, events: Log): NewEvent {
  return returnCallEvent('wheel', call, outcome, about, events, WHEEL.get(call.fun))
}

/** Runs a wheel function without events. What goes wrong in it is a text in the outcome; only a store that cannot write throws. */
export function callWheel(
  fun: string,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
  context: CallContext
): Promise<Outcome> {
  return callFunction('wheel', WHEEL.get(fun), { fun, args, kwargs }, context)
}
