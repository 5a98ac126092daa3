import { pino } from 'pino'
import type { Test } from 'tap'
import type { Caller } from '../../src/auth/caller.js'
import { REACTOR } from '../../src/auth/permissions.js'
import { type Config, defaultConfig } from '../../src/config/schema.js'
import type { EventData, StoredEvent } from '../../src/events/event.js'
import { EventLog } from '../../src/events/log.js'
import { Hub } from '../../src/hub/hub.js'
import { JidSource } from '../../src/jobs/jid.js'
import { Jobs } from '../../src/jobs/jobs.js'
import { Commands } from '../../src/jobs/lowstate.js'
import { Keys } from '../../src/keys/keys.js'
import type { MinionLink } from '../../src/link/link.js'
import type { Clock } from '../../src/shared/clock.js'
import type { Delivery, Store } from '../../src/store/store.js'
import { TestClock, tempStore } from './store.js'

/** What a fake minion answers to a job: the fields of its return, or null to stay silent. */
export type Answer = (job: Delivery) => EventData | null | Promise<EventData | null>

/** The other end of the wire: minions that are connected as long as they have an answer, and what was sent to them. */
export class FakeMinions implements MinionLink {
  readonly sent: Delivery[] = []
  readonly #answers = new Map<string, Answer>()
  readonly #listeners = new Set<(id: string, connected: boolean) => void>()
  /** Gets each return, as the link would hand it over. */
  onReturn: (minion: string, ret: EventData) => unknown = () => undefined

  connect(id: string, answer: Answer): void {
    this.#answers.set(id, answer)
    for (const listener of this.#listeners) listener(id, true)
  }

  connected(): string[] {
    return [...this.#answers.keys()].sort()
  }

  isConnected(id: string): boolean {
    return this.#answers.has(id)
  }

  send(id: string, job: Delivery): boolean {
    const answer = this.#answers.get(id)
    if (!answer) return false
    this.sent.push(job)
    void this.#reply(id, job, answer)
    return true
  }

  disconnect(id: string): void {
    this.#answers.delete(id)
    for (const listener of this.#listeners) listener(id, false)
  }

  onPresence(listener: (id: string, connected: boolean) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async #reply(id: string, job: Delivery, answer: Answer): Promise<void> {
    const fields = await answer(job)
    if (fields !== null) await this.onReturn(id, { jid: job.jid, fun: job.fun, fun_args: job.arg, retcode: 0, success: true, ...fields })
  }
}

/** A minion that knows test.ping, test.echo, saltutil.running, saltutil.find_job and sys.list_functions, and answers at once. */
export const obliging: Answer = job => {
  switch (job.fun) {
    case 'test.ping':
      return { return: true }
    case 'test.echo':
      return { return: job.arg[0] }
    case 'saltutil.running':
      return { return: [] }
    case 'saltutil.find_job':
      return { return: {} }
    case 'sys.list_functions':
      return { return: ['test.ping', 'test.echo'] }
    case 'grains.items':
      return { return: { os: 'Debian' } }
    default:
      return { return: `'${String(job.fun)}' is not available.`, retcode: 1, success: false, out: 'nested' }
  }
}

export interface Bench {
  readonly store: Store
  readonly clock: Clock
  readonly events: EventLog
  readonly hub: Hub
  readonly keys: Keys
  readonly minions: FakeMinions
  readonly jobs: Jobs
  readonly commands: Commands
  /** Everything that was committed, as `{tag, data}` without `_stamp`. */
  log(): Promise<{ tag: string; data: EventData }[]>
}

/** Jobs and commands on a real store, with accepted keys for `ids`; nobody is connected yet. */
export async function bench(
  t: Test,
  ids: readonly string[],
  settings: Partial<Config> = {}
): Promise<Bench & { readonly clock: TestClock }> {
  const clock = new TestClock()
  const made = benchOn(t, await tempStore(t, { clock }), clock, settings)
  await made.start(ids)
  return { ...made, clock }
}

/** The same over a store that somebody else opened; `start` gives the ids accepted keys. */
export function benchOn(
  t: Test,
  store: Store,
  clock: Clock,
  settings: Partial<Config> = {}
): Bench & { start(ids: readonly string[]): Promise<void> } {
  const config = defaultConfig({ timeout: 0.05, gather_job_timeout: 0.05, nodegroups: {}, ...settings })
  const log = pino({ level: 'silent' })
  const events = new EventLog({ store, clock, maxEventSize: config.max_event_size })
  const hub = new Hub({ events: store.events, log, clock })
  const minions = new FakeMinions()
  const keys = new Keys({ store, events, clock, config, log })
  const jids = new JidSource(clock)
  const jobs = new Jobs({ store, events, hub, keys, link: minions, jids, clock, config, log })
  const commands = new Commands({ config, store, events, keys, link: minions, jobs, clock, jids, log })
  minions.onReturn = (id, ret) => jobs.recordReturn(id, ret)
  const start = async (ids: readonly string[]) => {
    for (const id of ids) await store.keys.put({ id, state: 'accepted', pub: `key of ${id}`, changedUs: 1 }, [])
    await keys.start()
    await hub.start()
    jobs.start()
  }
  t.teardown(async () => {
    jobs.stop()
    await commands.stop()
    await hub.stop()
  })
  return { store, clock, events, hub, keys, minions, jobs, commands, log: () => eventsOf(store), start }
}

async function eventsOf(store: Store): Promise<{ tag: string; data: EventData }[]> {
  const list: { tag: string; data: EventData }[] = []
  for await (const page of store.events.read({ after: 0, upTo: await store.events.head() })) list.push(...page.map(shown))
  return list
}

/** Tag and data of an event, the time left out. */
export function shown(event: Pick<StoredEvent, 'tag' | 'json'>): { tag: string; data: EventData } {
  const { _stamp, ...data } = JSON.parse(event.json) as EventData
  return { tag: event.tag, data }
}

/** A caller who may do what `may` says, by default everything. */
export function callerNamed(user: string, may: Caller['may'] = () => true): Caller {
  return { ...REACTOR, user, kind: 'user', source: `user:${user}`, eauth: 'file', may }
}
