/**
 * The runner functions, written out, and the ways to call one.
 */

import type { NewEvent } from '../events/event.js'
import type { EventLog } from '../events/log.js'
import { wheelFunctions } from '../wheel/list.js'
import { authRunners } from './auth.js'
import { cacheRunners } from './cache.js'
import { callFunction, type FunctionCall, newCallEvent, type Outcome, returnCallEvent } from './call.js'
import { configRunners } from './config.js'
import { docRunners } from './doc.js'
import { errorFunctions } from './error.js'
import { eventRunners } from './event.js'
import { fileserverRunners } from './fileserver.js'
import type { CallContext, ServerFunction } from './function.js'
import { jobsRunners } from './jobs.js'
import { manageRunners } from './manage.js'
import { mineRunners } from './mine.js'
import { pillarRunners } from './pillar.js'
import { reactorRunners } from './reactor.js'
import { saltRunners } from './salt.js'
import { saltutilRunners } from './saltutil.js'
import { surveyRunners } from './survey.js'
import { testRunners } from './test.js'

const LIST: readonly ServerFunction[] = [
  ...authRunners,
  ...cacheRunners,
  ...configRunners,
  ...docRunners({ runner: () => LIST, wheel: () => wheelFunctions }),
  ...errorFunctions,
  ...eventRunners,
  ...fileserverRunners,
  ...jobsRunners,
  ...manageRunners,
  ...mineRunners,
  ...pillarRunners,
  ...reactorRunners,
  ...saltRunners,
  ...saltutilRunners,
  ...surveyRunners,
  ...testRunners
]

/** The runner functions by name. */
export const RUNNERS: ReadonlyMap<string, ServerFunction> = new Map(LIST.map(fn => [fn.name, fn]))

type Log = Pick<EventLog, 'prepare'>

/** The event that a runner call begins with, `salt/run/<jid>/new`. */
export function runnerNewEvent(call: FunctionCall, about: Pick<CallContext, 'jid' | 'user' | 'source' | 'cause'>, events: Log): NewEvent {
  return newCallEvent('runner', call, about, events)
}

/** The event that a runner call ends with, `salt/run/<jid>/ret`. */
export function runnerRetEvent(
  call: FunctionCall,
  outcome: Outcome,
  about: Pick<CallContext, 'jid' | 'user' | 'source' | 'cause'>,
  events: Log
): NewEvent {
  return returnCallEvent('runner', call, outcome, about, events, RUNNERS.get(call.fun))
}

/** Runs a runner function without events. What goes wrong in it is a text in the outcome; only a store that cannot write throws. */
export function callRunner(
  fun: string,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>>,
  context: CallContext
): Promise<Outcome> {
  return callFunction('runner', RUNNERS.get(fun), { fun, args, kwargs }, context)
}
