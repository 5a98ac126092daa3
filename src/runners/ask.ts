import type { CallContext } from './function.js'

export interface Question {
  readonly fun: string
  readonly arg?: readonly unknown[]
  /** Default: every minion. */
  readonly tgt?: unknown
  readonly tgtType?: string
  readonly timeoutSeconds?: number | null
  readonly gatherSeconds?: number | null
}

/** Runs a function on minions for a runner, in its caller's name, and gives what came back. Who did not answer is not in it. */
export async function askMinions(context: CallContext, question: Question): Promise<Map<string, unknown>> {
  const { fun, arg = [], tgt = '*', tgtType = 'glob' } = question
  const timeoutSeconds = question.timeoutSeconds ?? undefined
  const gatherSeconds = question.gatherSeconds ?? undefined
  const { user, cause, jobs, signal } = context
  const published = await jobs.publish({ fun, arg, tgt, tgtType, user, cause, timeoutSeconds, gatherSeconds })
  if (published.status === 'no-match') return new Map()
  const returns = await jobs.collect(published.jid, published.minions, timeoutSeconds, { signal, gatherSeconds, askAs: user })
  return new Map([...returns].map(([minion, ret]) => [minion, ret.return]))
}
