import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import type { ConfigOptions } from './config.js'
import { load } from './config.js'
import type { Exit } from './exit.js'
import type { Terminal } from './terminal.js'

export interface StartOptions extends ConfigOptions {
  readonly host?: string
  readonly port?: string
  readonly data?: string
  readonly logLevel?: string
  /** False with `--no-minion`. */
  readonly minion?: boolean
  readonly minionId?: string
}

/** A stop takes well under two seconds. What hangs longer is cut by the end of the process: what was acknowledged is on disk. */
const LONGEST_STOP_MS = 8000

/** `brine start`: runs the server until Ctrl-C (SIGINT) or SIGTERM. A second one ends it at once, as a crash would. */
export async function start(terminal: Terminal, options: StartOptions): Promise<Exit> {
  const flags = {
    host: options.host,
    port: options.port,
    data_dir: options.data,
    log_level: options.logLevel,
    embedded_minion_id: options.minionId,
    ...(options.minion === false ? { embedded_minion: false } : {})
  }
  const loaded = load(terminal, options, flags, true)
  const { config, warnings } = loaded
  for (const warning of warnings) terminal.err(`warning: ${warning}\n`)
  const { startServer } = await import('../bin/server.js')
  const interrupted = terminal.interrupted()
  const print = (line: string) => terminal.out(`${line}\n`)
  const reload = () => load(terminal, options, flags, true)
  const server = await startServer(config, { print, source: { loaded, reload } })
  if (!interrupted.aborted) await once(interrupted, 'abort')
  const stopped = server.stop().then(() => true)
  if (await Promise.race([stopped, wait(LONGEST_STOP_MS, false, { ref: false })])) return 'ok'
  terminal.err(`brine: something did not end within ${LONGEST_STOP_MS / 1000} s and was cut off\n`)
  return 'internal'
}
