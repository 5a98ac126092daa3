import type { MergeStrategy } from '../pillar/merge.js'

/**
 * What the executor, the functions and the states read of the minion's configuration, with Salt's names. The agent fills it from the settings;
 * everything else of the configuration is in `settings`, for `config.get` and templates (`opts`).
 */
export interface MinionOptions {
  readonly id: string
  /** Directory of the file cache and of other things that may be deleted at any time. */
  readonly cachedir: string
  /** Directory of the `grains` file that `grains.setval` writes. */
  readonly conf_dir: string
  /** `local`: files come from `file_roots` of this machine (masterless). */
  readonly file_client: 'remote' | 'local'
  readonly file_roots: Readonly<Record<string, readonly string[]>>
  /** Environment that functions use when none is named; null: all environments of the top file, and `base`. */
  readonly saltenv: string | null
  /** Custom grains of the configuration. */
  readonly grains: Readonly<Record<string, unknown>>
  /** Pillar of a masterless minion, and what a server without pillar leaves. */
  readonly pillar: Readonly<Record<string, unknown>>
  /** Fire a progress event for each state of every state run. */
  readonly state_events: boolean
  /** Every state run only predicts, unless called with test=False. */
  readonly test: boolean
  /** The first failed state ends a state run. */
  readonly failhard: boolean
  /** False: cross-module calls of cmd.* do not use a shell unless they say so. */
  readonly cmd_safe: boolean
  /** Bytes kept of each output stream of a command; the rest is read and dropped, with a note at the end of the text. */
  readonly cmd_output_max_bytes: number
  /** Bytes of a return as JSON; a larger one is replaced by an error text. */
  readonly return_max_bytes: number
  /** Seconds after which a job's process is killed, whatever it does. 0: never. */
  readonly job_time_limit_seconds: number
  /** Jobs that run in processes of their own at a time (Salt's process_count_max); further ones wait. */
  readonly process_count_max: number
  /** MiB of JavaScript memory of a job's own process. */
  readonly job_memory_mib: number
  /** Masterless: where the pillar comes from, as on a server. */
  readonly pillar_roots: Readonly<Record<string, readonly string[]>>
  readonly pillarenv: string | null
  readonly pillar_source_merging_strategy: MergeStrategy
  readonly pillar_merge_lists: boolean
  /** Functions whose results go to the mine, and how often (minutes). */
  readonly mine_enabled: boolean
  readonly mine_functions: Readonly<Record<string, unknown>>
  readonly mine_interval: number
  /** Jobs of the configuration that the minion runs by itself. */
  readonly schedule: Readonly<Record<string, unknown>>
  /** What the minion watches. */
  readonly beacons: Readonly<Record<string, unknown>>
  /** Everything else, with secrets masked. */
  readonly settings: Readonly<Record<string, unknown>>
}

const DEFAULTS: Omit<MinionOptions, 'id' | 'cachedir' | 'conf_dir'> = {
  file_client: 'remote',
  file_roots: {},
  saltenv: null,
  grains: {},
  pillar: {},
  state_events: false,
  test: false,
  failhard: false,
  cmd_safe: true,
  // 8 MiB: more than a person reads and more than most programs print; ten such jobs still fit into a small machine.
  cmd_output_max_bytes: 8 * 1024 * 1024,
  // 64 MiB: what the server takes as one return.
  return_max_bytes: 64 * 1024 * 1024,
  // One day: longer than any job that somebody still waits for; a process that hangs for ever is gone at the latest then.
  job_time_limit_seconds: 86_400,
  // Each takes about 50 MB: enough for a busy minion, and a storm of jobs does not eat the machine.
  process_count_max: 16,
  // Above what the largest return (64 MiB) needs to be built and sent.
  job_memory_mib: 512,
  pillar_roots: {},
  pillarenv: null,
  pillar_source_merging_strategy: 'smart',
  pillar_merge_lists: false,
  mine_enabled: true,
  mine_functions: {},
  mine_interval: 60,
  schedule: {},
  beacons: {},
  settings: {}
}

/** Options with everything that was left out filled in. */
export function minionOptions(given: Pick<MinionOptions, 'id' | 'cachedir' | 'conf_dir'> & Partial<MinionOptions>): MinionOptions {
  return { ...DEFAULTS, ...given }
}
