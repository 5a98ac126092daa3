import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { JidSource } from '../../src/jobs/jid.js'
import type { Agent, MinionLog, ModuleContext } from '../../src/minion/context.js'
import { Executor } from '../../src/minion/executor.js'
import { openFileClient } from '../../src/minion/files.js'
import { collectGrains } from '../../src/minion/grains/index.js'
import { invoke } from '../../src/minion/invoke.js'
import type { Job, Outcome, RunningJob } from '../../src/minion/job.js'
import type { MasterClient, SendOptions } from '../../src/minion/master.js'
import { loadModules } from '../../src/minion/modules/index.js'
import type { ModuleTable } from '../../src/minion/modules/table.js'
import { type MinionOptions, minionOptions } from '../../src/minion/options.js'
import { mergePillar } from '../../src/pillar/merge.js'
import { type Clock, SystemClock } from '../../src/shared/clock.js'
import { packageRoot } from '../../src/shared/paths.js'

interface Test {
  teardown(end: () => unknown): unknown
}

export interface SentEvent {
  readonly tag: string
  readonly data: unknown
  readonly options: SendOptions | undefined
}

export interface MinionTest {
  /** A directory of its own; `roots` below it is the file_roots of `base`. */
  readonly dir: string
  readonly options: MinionOptions
  /** Events that went to the server, in order. */
  readonly sent: SentEvent[]
  /** Events on the minion's own bus. */
  readonly local: SentEvent[]
  readonly context: ModuleContext
  /** Runs a function in this process. Keyword arguments as a mapping marked `__kwarg__`. */
  run(fun: string | readonly string[], ...arg: unknown[]): Promise<Outcome>
  /** The same, only the returned value. */
  value(fun: string, ...arg: unknown[]): Promise<unknown>
  /** Runs a job as it was published. */
  invoke(job: Job): Promise<Outcome>
  write(path: string, text: string): Promise<string>
  read(path: string): Promise<string>
}

interface Setup {
  /** Files below file_roots of `base`. */
  readonly files?: Readonly<Record<string, string>>
  readonly options?: Partial<MinionOptions>
  readonly grains?: Readonly<Record<string, unknown>>
  readonly modules?: ModuleTable
  readonly clock?: Clock
  /** Who keeps the schedule. */
  readonly schedule?: Agent['schedule']
  readonly beacons?: Agent['schedule']
  /** Where the mine is. */
  readonly mine?: Agent['mine']
}

export const silent: MinionLog = { debug() {}, info() {}, warn() {}, error() {} }

const jids = new JidSource(new SystemClock())

/** A job as the server would publish it to web1. */
export function jobOf(fun: string | readonly string[], arg: readonly unknown[], jid = jids.next()): Job {
  return { jid, fun, arg, tgt: 'web1', tgtType: 'glob', user: 'root', ret: '' }
}

async function prepare(test: Test, { files = {}, options = {} }: Setup): Promise<{ dir: string; options: MinionOptions }> {
  const dir = await mkdtemp(join(tmpdir(), 'brine-minion-'))
  test.teardown(() => rm(dir, { recursive: true, force: true }))
  await mkdir(join(dir, 'roots'))
  for (const [path, text] of Object.entries(files)) await put(join(dir, 'roots', path), text)
  const places = { id: 'web1', cachedir: join(dir, 'cache'), conf_dir: join(dir, 'conf') }
  return { dir, options: minionOptions({ ...places, file_client: 'local', file_roots: { base: [join(dir, 'roots')] }, ...options }) }
}

async function put(path: string, text: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
  return path
}

/** A master that keeps what it is sent and has no files. */
export function recordingMaster(): { master: MasterClient; sent: SentEvent[]; local: SentEvent[] } {
  const sent: SentEvent[] = []
  const local: SentEvent[] = []
  const master: MasterClient = {
    fetchFile: async () => null,
    listFiles: async () => [],
    listEnvironments: async () => ['base'],
    sendEvent: async (tag, data, options) => {
      sent.push({ tag, data: structuredClone(data), options })
    },
    fireLocal: async (tag, data) => {
      local.push({ tag, data, options: undefined })
    }
  }
  return { master, sent, local }
}

/** Functions called in this process, with an agent that runs nothing else. */
export async function minionTest(test: Test, setup: Setup = {}): Promise<MinionTest> {
  const { dir, options } = await prepare(test, setup)
  const { master, sent, local } = recordingMaster()
  const signal = new AbortController().signal
  let grains = { ...(await collectGrains(options)), ...setup.grains }
  const agent: Agent = {
    running: async () => [],
    signal: async () => '',
    enterState: async () => [],
    refreshGrains: async () => {
      grains = { ...(await collectGrains(options)), ...setup.grains }
      return grains
    },
    refreshPillar: async () => ({ ...options.pillar }),
    compilePillar: async ({ override = {} }) => mergePillar(options.pillar, override, { strategy: 'recurse', mergeLists: false }),
    schedule: setup.schedule ?? (async () => ({})),
    beacons: setup.beacons ?? (async () => ({})),
    mine: setup.mine ?? (async () => true)
  }
  const contextOf = (job: Job): ModuleContext => ({
    ...{ id: options.id, job, options, grains, pillar: { ...options.pillar }, modules: setup.modules ?? loadModules() },
    ...{ files: openFileClient(options, master), events: master, agent, processes: { started() {}, ended() {} }, signal },
    ...{ clock: setup.clock ?? new SystemClock(), log: silent, outcome: { retcode: 0 } }
  })
  const perform = (job: Job): Promise<Outcome> => invoke(contextOf(job), job)
  const run = (fun: string | readonly string[], ...arg: unknown[]) => perform(jobOf(fun, arg))
  return {
    ...{ dir, options, sent, local, run, invoke: perform, context: contextOf(jobOf('test.ping', [])) },
    value: async (fun, ...arg) => (await run(fun, ...arg)).return,
    write: (path, text) => put(join(dir, path), text),
    read: path => readFile(join(dir, path), 'utf8')
  }
}

export interface ExecutorTest {
  readonly dir: string
  readonly executor: Executor
  readonly sent: SentEvent[]
  execute(fun: string | readonly string[], ...arg: unknown[]): Promise<Outcome | null>
}

/** A whole executor with processes for its jobs; stopped with the test. */
export async function executorTest(test: Test, setup: Setup & { master?: Partial<MasterClient> } = {}): Promise<ExecutorTest> {
  const { dir, options } = await prepare(test, setup)
  const { master, sent } = recordingMaster()
  const grains = { ...(await collectGrains(options)), ...setup.grains }
  const executor = new Executor({ options, grains, master: { ...master, ...setup.master }, log: silent })
  test.teardown(() => executor.stop({ now: true }))
  return { dir, executor, sent, execute: (fun, ...arg) => executor.execute(jobOf(fun, arg)) }
}

/** Keyword arguments as a job carries them. */
export function kw(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return { __kwarg__: true, ...values }
}

export interface RecordedEvent {
  readonly tag: string
  readonly data: Record<string, unknown>
}

/** A recorded scenario of golden/events. */
export async function recorded(name: string): Promise<RecordedEvent[]> {
  const text = await readFile(join(packageRoot(), 'test/fixtures/golden/events', `${name}.jsonl`), 'utf8')
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as RecordedEvent)
}

/** Waits for a condition that another process brings about, at most ten seconds. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (await condition()) return
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  throw new Error(`did not come about: ${what}`)
}

/** Whether a process of this id is there (a zombie, which its parent has not looked at yet, is not). */
export async function alive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  return stat !== null && !/\) Z /.test(stat)
}

export type { RunningJob }
