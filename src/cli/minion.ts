import type { ConfigOptions } from './config.js'
import { load } from './config.js'
import type { Exit } from './exit.js'
import type { Terminal } from './terminal.js'

export interface MinionCommandOptions extends ConfigOptions {
  readonly id?: string
  readonly master?: string
  readonly dir?: string
  readonly data?: string
  readonly logLevel?: string
}

/** `brine minion`: runs a minion until SIGINT or SIGTERM, when it ends its jobs first; a second signal ends it at once. */
export async function minion(terminal: Terminal, options: MinionCommandOptions): Promise<Exit> {
  const flags = { id: options.id, master: options.master, minion_dir: options.dir, data_dir: options.data, log_level: options.logLevel }
  const { config, warnings } = load(terminal, options, flags)
  for (const warning of warnings) terminal.err(`warning: ${warning}\n`)
  const { runMinion } = await import('../bin/minion.js')
  const { ended } = await runMinion(config)
  await ended
  return 'ok'
}
