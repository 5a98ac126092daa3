import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { minionFiles } from './call.js'
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
  readonly enrolmentToken?: string
}

/**
 * `brine minion`: runs a minion until SIGINT or SIGTERM, when it ends its jobs first; a second signal ends it at once. SIGHUP, or a change of a
 * file of the configuration, makes it read that anew.
 */
export async function minion(terminal: Terminal, options: MinionCommandOptions): Promise<Exit> {
  const read = () => load(terminal, configOf(terminal, options), flagsOf(options))
  const { config, warnings, files } = read()
  for (const warning of warnings) terminal.err(`warning: ${warning}\n`)
  const { runMinion } = await import('../bin/minion.js')
  const { ended } = await runMinion(config, { reload: { files, read: () => read().config } })
  await ended
  return process.exitCode === 1 ? 'failed' : 'ok'
}

function configOf(terminal: Terminal, { config }: MinionCommandOptions): ConfigOptions {
  const named = config ?? terminal.env.BRINE_CONFIG?.split(':').filter(Boolean)
  return named === undefined ? {} : { config: minionFiles(terminal, named) }
}

function flagsOf(options: MinionCommandOptions): Record<string, unknown> {
  const { id, master, dir, data, logLevel, enrolmentToken } = options
  return { id, master, minion_dir: dir, data_dir: data, log_level: logLevel, enrolment_token: enrolmentToken }
}

export interface InstallOptions extends MinionCommandOptions {
  readonly print?: boolean
  readonly unit?: string
}

/** The program, from dist/src/cli/ or wherever this file was built to. */
const PROGRAM = fileURLToPath(new URL('../bin/cli.js', import.meta.url))

/** `brine minion install`: writes a systemd unit for a minion with these options (`--print`: shows it), after it has looked at the configuration. */
export async function install(terminal: Terminal, options: InstallOptions): Promise<Exit> {
  const { config } = load(terminal, configOf(terminal, options), { minion_dir: '/var/lib/brine-minion', ...defined(flagsOf(options)) })
  const { systemdUnit } = await import('../minion/systemd.js')
  const dir = config.minion_dir ?? '/var/lib/brine-minion'
  const absolute = (path: string) => resolve(terminal.cwd, path)
  const args = [
    ...(options.config ?? []).flatMap(path => ['--config', absolute(path)]),
    ...(options.id === undefined ? [] : ['--id', options.id]),
    ...(options.master === undefined ? [] : ['--master', options.master]),
    ...['--dir', absolute(dir)],
    ...(options.logLevel === undefined ? [] : ['--log-level', options.logLevel])
  ]
  const unit = systemdUnit({ node: process.execPath, program: PROGRAM, args, dir: absolute(dir) })
  if (options.print) terminal.out(unit)
  else {
    const file = options.unit ?? '/etc/systemd/system/brine-minion.service'
    writeFileSync(file, unit)
    terminal.out(`${file} is written; now: systemctl daemon-reload && systemctl enable --now brine-minion\n`)
  }
  return 'ok'
}

function defined(flags: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined))
}
