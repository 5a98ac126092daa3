import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { NewEvent, StoredEvent } from '../../src/events/event.js'
import { SystemClock } from '../../src/shared/clock.js'
import { openSqliteStore } from '../../src/store/sqlite/open.js'
import type { NewJob, Store } from '../../src/store/store.js'

/** What the child writes, so that the parent can tell what must be there. */
export function crashEvent(kind: 'event' | 'job', writer: string, number: number, stampUs: number): NewEvent {
  const json = JSON.stringify({ kind, writer, number, filler: 'x'.repeat((number * 37) % 900) })
  return { tag: `crash/${kind}`, json, stampUs, source: 'server', cause: null }
}

export function crashJob(writer: string, number: number, nowUs: number): NewJob {
  return {
    jid: `${writer}#${number}`,
    fun: 'test.ping',
    arg: [],
    tgt: '*',
    tgtType: 'glob',
    user: 'crash',
    minions: ['a', 'b'],
    missing: [],
    deadlineUs: nowUs + 60_000_000,
    publishedUs: nowUs,
    cause: null
  }
}

interface Acknowledged {
  readonly kind: string
  readonly writer: string
  readonly number: number
  /** 0 for a job, whose answer does not tell. */
  readonly seq: number
}

export interface CrashRound {
  readonly acknowledged: number
  /** In the log after the restart, all rounds so far. */
  readonly events: number
  /** What is wrong; empty when every promise held. */
  readonly faults: readonly string[]
}

/** Starts a writing process, kills it (SIGKILL) once it has acknowledged `killAfter` writes, and compares the log with what it said. */
export async function crashRound(file: string, killAfter: number): Promise<CrashRound> {
  const acknowledged = await writeAndKill(file, killAfter)
  const store = await openSqliteStore({ file, clock: new SystemClock() })
  try {
    const events: StoredEvent[] = []
    for await (const page of store.events.read({ after: 0, upTo: Number.MAX_SAFE_INTEGER })) events.push(...page)
    const faults = [...orderFaults(events), ...missing(events, acknowledged), ...(await jobFaults(store, events))]
    return { acknowledged: acknowledged.length, events: events.length, faults }
  } finally {
    await store.close()
  }
}

async function writeAndKill(file: string, killAfter: number): Promise<Acknowledged[]> {
  const child = fork(join(import.meta.dirname, 'crash-store-child.js'), [file], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  const exited = once(child, 'exit')
  const acknowledged: Acknowledged[] = []
  for await (const line of createInterface({ input: child.stdout! })) {
    const match = /^(event|job) (\S+) (\d+) (\d+)$/.exec(line)
    // The kill may cut the last line in half; half a line acknowledges nothing.
    if (match) acknowledged.push({ kind: match[1]!, writer: match[2]!, number: Number(match[3]), seq: Number(match[4]) })
    if (acknowledged.length >= killAfter) child.kill('SIGKILL')
  }
  await exited
  return acknowledged
}

const nameOf = ({ writer, number }: { writer: string; number: number }) => `${writer}#${number}`

interface Written {
  readonly kind: 'event' | 'job'
  readonly writer: string
  readonly number: number
}

const writtenBy = (event: StoredEvent) => JSON.parse(event.json) as Written

/** Positions without holes, and each writer's events once each in its own order. */
function orderFaults(events: readonly StoredEvent[]): string[] {
  const faults: string[] = []
  const last = new Map<string, number>()
  for (const [i, event] of events.entries()) {
    const { writer, number } = writtenBy(event)
    if (event.seq !== i + 1) faults.push(`position ${i + 1} has seq ${event.seq}`)
    if (number !== (last.get(writer) ?? 0) + 1) faults.push(`${writer}: ${number} follows ${last.get(writer) ?? 0}`)
    last.set(writer, number)
  }
  return faults
}

function missing(events: readonly StoredEvent[], acknowledged: readonly Acknowledged[]): string[] {
  const seqs = new Map(events.map(event => [nameOf(writtenBy(event)), event.seq]))
  return acknowledged
    .filter(said => (said.kind === 'job' ? !seqs.has(nameOf(said)) : seqs.get(nameOf(said)) !== said.seq))
    .map(said => `${said.kind} ${nameOf(said)} was acknowledged as ${said.seq} and is ${seqs.get(nameOf(said)) ?? 'missing'}`)
}

/** A job and its event are there together or not at all. */
async function jobFaults(store: Store, events: readonly StoredEvent[]): Promise<string[]> {
  const jobs = new Set((await store.jobs.list({ limit: Number.MAX_SAFE_INTEGER })).map(job => job.jid))
  const told = new Set(
    events
      .map(writtenBy)
      .filter(({ kind }) => kind === 'job')
      .map(nameOf)
  )
  return [
    ...[...told].filter(jid => !jobs.has(jid)).map(jid => `the event of job ${jid} is there, the job is not`),
    ...[...jobs].filter(jid => !told.has(jid)).map(jid => `job ${jid} is there, its event is not`)
  ]
}
