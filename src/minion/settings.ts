/** From the configuration to what the agent and its functions work with. */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { type Config, isSettingName, SETTINGS } from '../config/schema.js'
import type { Credentials } from './masters.js'
import { type MinionOptions, minionOptions } from './options.js'

/** Where a minion keeps what it has. */
export function minionDir(config: Config): string {
  return config.minion_dir ?? join(config.data_dir, 'minion')
}

/** The id of the configuration, else the one that this directory's minion had last (so that a new host name makes no new minion), else the host's name. */
export function minionId(config: Config): string {
  return config.id ?? remembered(minionDir(config), 'minion_id') ?? hostname()
}

/** One of the small files in which the minion notes how it ran last: `minion_id`, `minion_master`. */
export function remembered(dir: string, name: string): string | null {
  try {
    return readFileSync(join(dir, name), 'utf8').trim() || null
  } catch {
    return null // it has not run here yet
  }
}

/** What may let this minion in without people: an enrolment token, and the grains that the server is to look at. */
export function credentialsOf(
  { enrolment_token, autosign_grains }: Pick<Config, 'enrolment_token' | 'autosign_grains'>,
  grains: Readonly<Record<string, unknown>>
): Credentials {
  const shown = Object.fromEntries(autosign_grains.flatMap(name => (Object.hasOwn(grains, name) ? [[name, grains[name]]] : [])))
  return {
    ...(enrolment_token === null ? {} : { enrolment_token }),
    ...(autosign_grains.length === 0 ? {} : { autosign_grains: shown })
  }
}

export function optionsOf(config: Config): MinionOptions {
  const dir = minionDir(config)
  return minionOptions({
    ...{ id: minionId(config), cachedir: join(dir, 'cache'), conf_dir: dir, grains: config.grains, pillar: config.pillar },
    ...{ file_client: config.file_client, file_roots: config.file_roots, saltenv: config.saltenv, state_events: config.state_events },
    ...{ pillar_roots: config.pillar_roots, pillarenv: config.pillarenv, pillar_merge_lists: config.pillar_merge_lists },
    pillar_source_merging_strategy: config.pillar_source_merging_strategy,
    ...{ test: config.test, failhard: config.failhard, cmd_safe: config.cmd_safe, process_count_max: config.process_count_max },
    ...{ job_time_limit_seconds: config.job_time_limit_seconds, job_memory_mib: config.job_memory_mib, schedule: config.schedule },
    ...{ mine_enabled: config.mine_enabled, mine_functions: config.mine_functions, mine_interval: config.mine_interval },
    beacons: config.beacons,
    settings: shownSettings(config)
  })
}

/** What functions and templates may see of the configuration: the minion's part, without secrets. */
function shownSettings(config: Config): Record<string, unknown> {
  const shown = ([name]: [string, unknown]) => {
    const row = isSettingName(name) ? SETTINGS.get(name) : undefined
    return row !== undefined && row.for !== 'server' && row.secret !== true
  }
  return Object.fromEntries(Object.entries(config).filter(shown))
}
