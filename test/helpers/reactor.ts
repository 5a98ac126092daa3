import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pino } from 'pino'
import type { Test } from 'tap'
import { type Config, defaultConfig } from '../../src/config/schema.js'
import type { EventData, StoredEvent } from '../../src/events/event.js'
import { JidSource } from '../../src/jobs/jid.js'
import { Reactor } from '../../src/reactor/reactor.js'
import { openSqliteStore } from '../../src/store/sqlite/open.js'
import type { ReactionRecord, Store } from '../../src/store/store.js'
import { type Bench, benchOn, obliging, shown } from './commands.js'
import { TestClock, tempFolder } from './store.js'

export interface ReactorBench extends Bench {
  readonly clock: TestClock
  readonly reactor: Reactor
  /** The folder with the SLS files. */
  readonly dir: string
  readonly file: string
  /** Fires an event from outside; gives its seq. */
  fire(tag: string, data?: EventData): Promise<number>
  /** Resolves with the first event, from the beginning of the log on, that the test accepts. */
  event(accept: (event: { tag: string; data: EventData }) => boolean): Promise<StoredEvent>
  /** Resolves once all events that are on the log have been matched. */
  planned(): Promise<void>
  /** Resolves once the reactions, oldest first, are as the test wants them. */
  reactions(accept: (reactions: readonly ReactionRecord[]) => boolean): Promise<readonly ReactionRecord[]>
  /** Ends in order. */
  stop(): Promise<void>
  /** Leaves everything as it is and closes the store: a crash, as far as the next start can tell. */
  kill(): Promise<void>
}

export interface ReactorBenchOptions {
  /** SLS files by name, written to `dir`; `DIR` in rules stands for it. */
  readonly files?: Readonly<Record<string, string>>
  readonly reactor?: unknown
  readonly ids?: readonly string[]
  readonly settings?: Partial<Config>
  /** An earlier bench, whose store and files go on. */
  readonly after?: { readonly dir: string; readonly file: string; readonly clock: TestClock }
  /** Laid around the store. */
  readonly store?: (store: Store) => Store
}

/** A reactor on a real store, with jobs and commands and minions that answer at once. */
export async function reactorBench(t: Test, options: ReactorBenchOptions = {}): Promise<ReactorBench> {
  const { files = {}, reactor: rules = [], ids = ['web1'], settings = {}, after } = options
  const dir = after?.dir ?? (await tempFolder(t))
  const file = after?.file ?? join(dir, 'brine.db')
  for (const [name, text] of Object.entries(files)) write(join(dir, name), text)
  const clock = after?.clock ?? new TestClock()
  const opened = await openSqliteStore({ file, clock })
  t.teardown(() => opened.close())
  const store = options.store?.(opened) ?? opened
  const placed = JSON.parse(JSON.stringify(rules).replaceAll('DIR', dir))
  const config = { file_roots: { base: [dir] }, embedded_minion: false, ...settings, reactor: placed }
  const made = benchOn(t, store, clock, config)
  await made.start(ids)
  for (const id of ids) made.minions.connect(id, obliging)
  const { events, hub, commands } = made
  const log = pino({ level: 'silent' })
  const reactor = new Reactor({ config: defaultConfig(config), store, events, hub, commands, jids: new JidSource(clock), clock, log })
  await reactor.start()
  let stopping: Promise<void> | null = null
  const stop = () => {
    stopping ??= reactor.stop().then(() => opened.close())
    return stopping
  }
  const kill = () => {
    stopping = opened.close()
    return stopping
  }
  t.teardown(stop)
  return {
    ...made,
    ...{ clock, reactor, dir, file, stop, kill },
    fire: async (tag, data = {}) => (await events.fire(tag, data, { source: 'user:test' })).seq,
    event: accept => firstEvent(store, accept),
    planned: async () => {
      const head = await store.events.head()
      while ((await store.reactions.cursor()) < head) await reactor.look()
    },
    reactions: accept => untilReactions(store, accept)
  }
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

async function firstEvent(store: Store, accept: (event: { tag: string; data: EventData }) => boolean): Promise<StoredEvent> {
  return new Promise((resolve, reject) => {
    const look = (events: readonly StoredEvent[]) => {
      const found = events.find(event => accept(shown(event)))
      if (found) resolve(found)
      if (found) unwatch()
    }
    const unwatch = store.events.watch(look)
    const history = async () => {
      for await (const page of store.events.read({ after: 0, upTo: await store.events.head() })) look(page)
    }
    history().catch(reject)
  })
}

/** Reactions change with commits, which the log does not always tell of: looked at again after each turn of the store. */
async function untilReactions(store: Store, accept: (reactions: readonly ReactionRecord[]) => boolean): Promise<readonly ReactionRecord[]> {
  for (;;) {
    const reactions = [...(await store.reactions.list({ limit: 1000 }))].reverse()
    if (accept(reactions)) return reactions
    await new Promise(resolve => setImmediate(resolve))
  }
}

/** For `reactions`: so many at least, and all of them succeeded. */
export const succeeded = (n: number) => (reactions: readonly ReactionRecord[]) =>
  reactions.length >= n && reactions.every(({ state }) => state === 'succeeded')

/** Section → state. */
export function pack(reactions: readonly ReactionRecord[]): Record<string, string> {
  return Object.fromEntries(reactions.map(({ section, state }) => [section, state]))
}
