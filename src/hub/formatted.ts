import type { EventData } from '../events/event.js'

/** Jobs and minions that one formatted stream remembers; the oldest go first. A page shows no more. */
const MAX_KEPT = 1000

interface SeenJob {
  jid: string
  start_time?: string
  fun?: unknown
  tgt?: unknown
  tgt_type?: unknown
  state: 'running' | 'complete'
  minions: Record<string, { success: boolean | null; return?: unknown; retcode?: number }>
}

/**
 * The form of a WebSocket stream with `format_events` (golden/api section 11): what an event says of a job or of a minion, gathered from the events
 * before it. Other events have no frame.
 */
export class FormattedEvents {
  readonly #jobs = new Map<string, SeenJob>()
  readonly #minions = new Map<string, { id: string; grains?: unknown }>()

  /** What is sent for this event, null for nothing. */
  take(tag: string, data: EventData): object | null {
    const [salt, family, name = '', kind, minion = ''] = tag.split('/')
    if (salt !== 'salt') return null
    if (family === 'job' && kind === 'new') return this.#started(name, data)
    if (family === 'job' && kind === 'ret') return this.#returned(name, minion, data)
    if (family === 'key') return this.#keyMoved(data)
    return family === 'presence' ? this.#present(data) : null
  }

  #started(jid: string, { fun, tgt, tgt_type, minions, _stamp }: EventData): object {
    const named = Array.isArray(minions) ? minions.map(String) : []
    const waiting = Object.fromEntries(named.map(id => [id, { success: null }]))
    const job: SeenJob = { jid, start_time: String(_stamp ?? ''), fun, tgt, tgt_type, state: 'running', minions: waiting }
    keep(this.#jobs, jid, job)
    return { jobs: { [jid]: job } }
  }

  #returned(jid: string, id: string, data: EventData): object {
    const job = this.#jobs.get(jid) ?? { jid, state: 'running', minions: {} }
    keep(this.#jobs, jid, job)
    job.fun ??= data.fun
    job.minions[id] = { success: data.success === true, return: data.return, retcode: Number(data.retcode ?? 0) }
    if (Object.values(job.minions).every(({ success }) => success !== null)) job.state = 'complete'
    const jobs = { jobs: { [jid]: job } }
    if (data.fun !== 'grains.items' || data.success !== true) return jobs
    keep(this.#minions, id, { id, grains: data.return })
    return { ...jobs, minions: [...this.#minions.values()] }
  }

  #keyMoved({ id, act, result }: EventData): object | null {
    if (typeof id !== 'string' || result !== true) return null
    if (act === 'delete' || act === 'reject') this.#minions.delete(id)
    else if (act === 'accept') keep(this.#minions, id, this.#minions.get(id) ?? { id })
    return { minions: [...this.#minions.values()] }
  }

  #present({ present, new: appeared, lost }: EventData): object {
    for (const id of ids(lost)) this.#minions.delete(id)
    for (const id of [...ids(present), ...ids(appeared)]) keep(this.#minions, id, this.#minions.get(id) ?? { id })
    return { minions: [...this.#minions.values()] }
  }
}

function ids(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(each => typeof each === 'string') : []
}

function keep<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key)
  if (map.size >= MAX_KEPT) map.delete(map.keys().next().value!)
  map.set(key, value)
}
