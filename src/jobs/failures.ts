/** What the server tells of states that failed, beside the return of the run that they were in. */
import type { EventData } from '../events/event.js'
import { jobError } from '../tags/tags.js'
import type { TaggedData } from './job.js'
import type { CheckedReturn } from './return.js'

/** Functions whose failed states are told (Salt's SUB_EVENT; `state.apply` is not among them). */
const TOLD: ReadonlySet<string> = new Set(['state.sls', 'state.highstate'])
/** Failed states of a run that are told at most: the return has them all, and whoever reacts to hundreds has one reason for them. */
const MOST = 200
/** `<state>_|-<id>_|-<name>_|-<function>`, as results are keyed. The tag is made of it, so both are names and nothing else. */
const RESULT = /^(\w{1,64})_\|-[\s\S]*_\|-(\w{1,64})$/

/**
 * For each failed state `<state>.<function>` with its result, and `salt/job/<jid>/sub/<id>/error/<fun>` with the same and whose it is
 * (golden/events/state_sls_fail_sub.jsonl). Empty when the run succeeded, or was none. `user`: who published the job.
 */
export function failureEvents({ record, sent }: CheckedReturn, user: string): TaggedData[] {
  const runs = typeof record.fun === 'string' ? [record.fun] : record.fun
  return runs.flatMap(fun => {
    const of = (values: unknown) => (typeof record.fun === 'string' ? values : mapping(values)?.[fun])
    const retcode = of(sent.retcode)
    const results = mapping(of(record.return))
    return retcode === 0 || retcode === undefined || results === null || !TOLD.has(fun) ? [] : told(results, { fun, retcode, record, user })
  })
}

interface Run {
  readonly fun: string
  readonly retcode: unknown
  readonly record: CheckedReturn['record']
  readonly user: string
}

function told(results: EventData, { fun, retcode, record, user }: Run): TaggedData[] {
  const { jid, minion: id } = record
  const failed = Object.entries(results).flatMap(([key, value]) => {
    const [, state, name] = RESULT.exec(key) ?? []
    const result = mapping(value)
    return state !== undefined && result?.result === false ? [{ name: `${state}.${name}`, data: { ...result, retcode } }] : []
  })
  return failed.slice(0, MOST).flatMap(({ name, data }): TaggedData[] => [
    [name, data],
    [jobError(jid, id, fun), { ...data, jid, id, success: false, return: `Error: ${name}`, fun, user }]
  ])
}

function mapping(value: unknown): EventData | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as EventData) : null
}
