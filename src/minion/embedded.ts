/**
 * The minion that a server brings along: the same program as any other minion, in a process of its own, started, watched and stopped by the
 * server. It has one privilege: the server accepts its key without asking, because it lies in the server's own directory.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'pino'
import { type Config, environmentName, SETTINGS } from '../config/schema.js'
import type { Keys } from '../keys/keys.js'
import type { MinionLink } from '../link/link.js'
import { Backoff } from '../shared/backoff.js'
import { sleep } from '../shared/sleep.js'
import { Identity } from './identity.js'

/** The program, from dist/src/minion/ or wherever this file was built to. */
const PROGRAM = fileURLToPath(new URL('../bin/cli.js', import.meta.url))

/** After SIGTERM the agent ends its jobs; the server's own end must not take longer than people wait (2 s). */
const STOP_MS = 1200
/** Pauses before a minion that ended is started again; one that ran for a while counts as sound. */
const RESTART = { firstMs: 500, maxMs: 30_000 }
const SOUND_MS = 60_000
/** pino's levels, for lines that the minion logged. */
const LEVELS: Readonly<Record<number, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal'
}
/** A line of the minion's output that is longer is no log line; what is logged of it ends here. */
const MAX_LINE = 4096

export interface EmbeddedMinionOptions {
  readonly config: Config
  /** Where the server listens. */
  readonly url: string
  readonly keys: Pick<Keys, 'vouch'>
  readonly link: Pick<MinionLink, 'isConnected' | 'onPresence'>
  readonly log: Logger
  /** Another program than this one's own (tests). */
  readonly program?: string
}

export class EmbeddedMinion {
  /** Resolves when the minion is connected for the first time. */
  readonly ready: Promise<void>
  readonly #o: EmbeddedMinionOptions
  readonly #id: string
  readonly #dir: string
  readonly #stopping = new AbortController()
  readonly #unlisten: () => void
  #child: ChildProcess | null = null
  #watch: Promise<void> | null = null

  constructor(options: EmbeddedMinionOptions) {
    const { config, link } = options
    this.#o = options
    this.#id = config.embedded_minion_id
    this.#dir = config.minion_dir ?? join(config.data_dir, 'minion')
    let connected = () => {}
    this.ready = new Promise(resolve => {
      connected = resolve
    })
    this.#unlisten = link.onPresence((id, isConnected) => {
      if (id === this.#id && isConnected) connected()
    })
  }

  /** Makes the minion's key known to the server and starts it. Resolves once its process runs. May be called twice. */
  async start(): Promise<void> {
    if (this.#watch !== null || this.#stopping.signal.aborted) return
    const { pub } = await Identity.open(this.#dir)
    const state = await this.#o.keys.vouch(this.#id, pub)
    if (state !== 'accepted') this.#o.log.warn({ id: this.#id }, `the key of the embedded minion is ${state}: it will not connect`)
    this.#watch = this.#run()
  }

  /** Ends the minion: its jobs get a moment, then it is killed. May be called twice. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#unlisten()
    const child = this.#child
    if (child !== null && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      await once(child, 'close')
      clearTimeout(timer)
    }
    await this.#watch
  }

  /** One round is one life of the process. The only way out is `stop`. */
  async #run(): Promise<void> {
    const { signal } = this.#stopping
    const backoff = new Backoff(RESTART)
    while (!signal.aborted) {
      const since = performance.now()
      const how = await this.#live()
      if (signal.aborted) return
      if (performance.now() - since >= SOUND_MS) backoff.reset()
      const pauseMs = RESTART.firstMs + backoff.next()
      this.#o.log.warn({ id: this.#id, pauseMs }, `the embedded minion ended (${how}); it is started again`)
      await sleep(pauseMs, signal)
    }
  }

  /** Runs the process to its end. */
  async #live(): Promise<string> {
    const child = this.#spawn()
    this.#child = child
    this.#forward(child.stdout!)
    this.#forward(child.stderr!)
    try {
      const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
      return signal ?? `exit code ${code}`
    } catch (error) {
      return (error as Error).message
    } finally {
      this.#child = null
    }
  }

  #spawn(): ChildProcess {
    const { config, url, program = PROGRAM } = this.#o
    const flags = ['--id', this.#id, '--master', url, '--dir', this.#dir, '--data', config.data_dir, '--log-level', config.log_level]
    // A debugger's port is taken by this process.
    const node = process.execArgv.filter(flag => !flag.startsWith('--inspect'))
    return spawn(process.execPath, [...node, program, 'minion', ...flags], {
      env: { ...process.env, ...minionEnvironment(config) },
      // By the channel the minion notices when this process ends, however it ends.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc']
    })
  }

  /** The minion's log becomes part of the server's. */
  #forward(output: Readable): void {
    createInterface({ input: output }).on('line', line => {
      const { level, msg, fields } = readLogLine(line.slice(0, MAX_LINE))
      this.#o.log[level](fields, msg)
    })
  }
}

/** The minion's settings as the server has them; those that the flags give, and the server's own reactor, are left out. */
function minionEnvironment(config: Config): Record<string, string> {
  const given = new Set(['id', 'master', 'minion_dir', 'reactor'])
  const rows = [...SETTINGS].filter(([name, row]) => row.for !== 'server' && !given.has(name) && config[name] !== null)
  return Object.fromEntries(
    rows.map(([name, row]) => [environmentName(name), row.textual ? String(config[name]) : JSON.stringify(config[name])])
  )
}

function readLogLine(line: string): { level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'; msg: string; fields: object } {
  try {
    const { level, msg, time: _time, pid: _pid, hostname: _hostname, ...fields } = JSON.parse(line) as Record<string, unknown>
    return { level: LEVELS[Number(level)] ?? 'info', msg: String(msg ?? ''), fields }
  } catch {
    return { level: 'info', msg: line, fields: {} }
  }
}
