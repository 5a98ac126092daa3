import type { BrineProcess, StreamedEvent } from './server.js'

/** A plan as `GET /reactor/plans` shows it. */
export interface ShownPlan {
  readonly id: number
  readonly event: string
  readonly rule: string
  readonly state: string
  readonly window: string | null
}

/** A reaction as `GET /reactor/reactions` shows it. */
export interface ShownReaction {
  readonly id: number
  readonly event: string
  readonly jid: string
  readonly section: string
  readonly state: string
  readonly error: string | null
  readonly call: { readonly client: string; readonly fun: string }
}

/** The whole log, page by page. */
export async function history(brine: BrineProcess): Promise<StreamedEvent[]> {
  const events: StreamedEvent[] = []
  let since = 'earliest'
  for (;;) {
    const answer = await brine.fetch(`/events?since=${since}&limit=1000`, { headers: { accept: 'application/x-ndjson' } })
    if (!answer.ok) throw new Error(`history: ${answer.status} ${await answer.text()}`)
    const page = (await answer.text()).split('\n').filter(Boolean)
    for (const line of page) events.push(JSON.parse(line) as StreamedEvent)
    if (page.length < 1000) return events
    since = events.at(-1)!.id
  }
}

/** All plans that are on record, newest first. */
export function allPlans(brine: BrineProcess): Promise<ShownPlan[]> {
  return pages(brine, 'plans')
}

/** All reactions that are on record, newest first. */
export function allReactions(brine: BrineProcess): Promise<ShownReaction[]> {
  return pages(brine, 'reactions')
}

async function pages<T>(brine: BrineProcess, what: 'plans' | 'reactions'): Promise<T[]> {
  const found: T[] = []
  for (let before = ''; ; ) {
    const page = (await (await brine.fetch(`/reactor/${what}?limit=1000${before}`)).json()) as Record<string, unknown>
    found.push(...(page[what] as T[]))
    if (page.next === undefined) return found
    before = `&before=${page.next}`
  }
}
