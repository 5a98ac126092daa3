import { setTimeout as wait } from 'node:timers/promises'
import { allReactions, history, type ShownReaction } from './history.js'
import { type BrineProcess, type StreamedEvent, startBrine } from './server.js'

export interface CrashReport {
  readonly rounds: number
  /** Hooks answered 2xx. */
  readonly acknowledged: number
  /** Hook events found in the log (an unanswered one may be there too). */
  readonly logged: number
  readonly jobs: number
  readonly returns: number
  /** What broke a rule, in words; empty when all held. */
  readonly violations: string[]
}

/** Longer than a killed minion takes to come back on a busy machine: a job that ends without its return is not what is looked for. */
const JOB_SECONDS = 120

interface Test {
  teardown(undo: () => unknown): void
}

/**
 * Kills the server and its minion (SIGKILL to the group) at random moments while hooks are posted, starts them again on the same data,
 * and in the end compares log and acknowledgements: nothing answered 2xx is missing, ids ascend, every hook was reacted to exactly once,
 * every job returned exactly once.
 */
export async function crashRounds(
  t: Test,
  options: { rounds: number; clients?: number; longestRoundMs?: number; data: string }
): Promise<CrashReport> {
  const acknowledged = new Set<number>()
  let next = 0
  let brine: BrineProcess | null = null
  const start = () => startBrine(t, { data: options.data, env: { BRINE_TIMEOUT: String(JOB_SECONDS) } })
  for (let round = 0; round < options.rounds; round++) {
    brine = await start()
    const running = brine
    let stop = false
    const clients = Array.from({ length: options.clients ?? 8 }, async () => {
      while (!stop) {
        const n = next++
        try {
          const answer = await running.fetch('/hook/ci/crash', { method: 'POST', body: new URLSearchParams({ status: `n${n}` }) })
          await answer.arrayBuffer()
          if (answer.ok) acknowledged.add(n)
          // Refused because the reactor is behind: that is an answer, not a loss.
          else await wait(20)
        } catch {
          return
        }
      }
    })
    await wait(200 + Math.random() * (options.longestRoundMs ?? 1500))
    await brine.crash()
    stop = true
    await Promise.all(clients)
  }
  const last = await start()
  await settled(last)
  const events = await history(last)
  const reactions = await allReactions(last)
  await last.stop()
  const report = judge(events, acknowledged, options.rounds)
  return { ...report, violations: [...report.violations, ...misplanned(events, reactions)] }
}

/** Waits until no reaction is open and no job is running. Bounded: what is not settled after a minute is reported by `judge`. */
async function settled(brine: BrineProcess): Promise<void> {
  for (let attempt = 0; attempt < 240; attempt++) {
    const reactions = (await (await brine.fetch('/reactor/reactions?state=planned&limit=1')).json()) as { reactions: unknown[] }
    const events = await history(brine)
    const hooks = events.filter(event => event.tag === 'salt/netapi/hook/ci/crash').length
    const returns = events.filter(event => event.tag.includes('/ret/')).length
    if (reactions.reactions.length === 0 && returns >= hooks) return
    await wait(250)
  }
}

/** Every hook has one reaction on record, under the job id that was published, and none is left half done. */
function misplanned(events: readonly StreamedEvent[], reactions: readonly ShownReaction[]): string[] {
  const violations: string[] = []
  const published = new Set(events.filter(({ tag }) => /^salt\/job\/\d+\/new$/.test(tag)).map(({ tag }) => tag.split('/')[2]))
  const planned = new Map<string, number>()
  for (const { event, jid, state } of reactions) {
    count(planned, event)
    if (!published.has(jid)) violations.push(`the reaction to ${event} (${state}) has no job ${jid}`)
    if (state === 'planned' || state === 'dead') violations.push(`the reaction to ${event} is ${state}`)
  }
  for (const { id, tag } of events) {
    if (tag !== 'salt/netapi/hook/ci/crash') continue
    if (planned.get(id) !== 1) violations.push(`hook event ${id} has ${planned.get(id) ?? 0} reactions on record`)
  }
  return violations
}

function judge(events: readonly StreamedEvent[], acknowledged: ReadonlySet<number>, rounds: number): CrashReport {
  const violations: string[] = []
  const hooks = new Map<number, number>()
  const jobs = new Map<number, string[]>()
  const returns = new Map<string, number>()
  let lastSeq = 0
  for (const event of events) {
    const seq = Number(event.id.split('-')[1])
    if (seq <= lastSeq) violations.push(`id ${event.id} after ${lastSeq}`)
    lastSeq = seq
    const data = event.data as { post?: { status: string }; fun?: string; arg?: [string]; jid: string }
    if (event.tag === 'salt/netapi/hook/ci/crash') count(hooks, Number(data.post!.status.slice(1)))
    else if (event.tag.endsWith('/new') && data.fun === 'test.echo') {
      const n = Number(/n(\d+)$/.exec(data.arg![0])![1])
      jobs.set(n, [...(jobs.get(n) ?? []), data.jid])
    } else if (/^salt\/job\/\d+\/ret\//.test(event.tag)) count(returns, data.jid)
  }
  for (const n of acknowledged) if (!hooks.has(n)) violations.push(`hook ${n} was answered 2xx and is not in the log`)
  for (const [n, times] of hooks) {
    if (times !== 1) violations.push(`hook ${n} is in the log ${times} times`)
    const jids = jobs.get(n) ?? []
    if (jids.length !== 1) violations.push(`hook ${n} has ${jids.length} jobs`)
  }
  for (const jids of jobs.values())
    for (const jid of jids) if (returns.get(jid) !== 1) violations.push(`job ${jid} returned ${returns.get(jid) ?? 0} times`)
  return { rounds, acknowledged: acknowledged.size, logged: hooks.size, jobs: jobs.size, returns: returns.size, violations }
}

function count<K>(map: Map<K, number>, key: K): void {
  map.set(key, (map.get(key) ?? 0) + 1)
}
