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

/** `brine minion`: runs a minion until it is stopped. Null: it runs now, and the process ends when it does. */
export async function minion(terminal: Terminal, options: MinionCommandOptions): Promise<Exit | null> {
  const flags = { id: options.id, master: options.master, minion_dir: options.dir, data_dir: options.data, log_level: options.logLevel }
  const { config, warnings } = load(terminal, options, flags)
  for (const warning of warnings) terminal.err(`warning: ${warning}\n`)
  const { runMinion } = await import('../bin/minion.js')
  await runMinion(config)
  return null
}
