import { resolve } from 'node:path'
import { appliedDir, appliedFiles } from '../config/applied.js'
import { suggest } from '../config/distance.js'
import { defaultConfigFile, type Loaded, loadConfig } from '../config/load.js'
import { sampleFile } from '../config/sample.js'
import { type Config, isSettingName, SETTINGS } from '../config/schema.js'
import { brineError } from '../errors.js'
import { dumpYaml } from '../shared/yaml.js'
import type { Exit } from './exit.js'
import { type Format, format } from './output.js'
import type { Terminal } from './terminal.js'

/** Flags of `brine start` and `brine minion` that are settings, and where their configuration lies. */
export interface ConfigOptions {
  readonly config?: readonly string[]
  readonly [flag: string]: unknown
}

/**
 * The configuration as a command's options, the environment and the files give it. Without `-c`, BRINE_CONFIG names the files (separated by
 * colons), else brine.yaml here is taken, else (`shipped`) the file that comes with brine.
 */
export function load(terminal: Terminal, options: ConfigOptions, flags: Record<string, unknown> = {}, shipped = false): Loaded {
  const named = options.config ?? terminal.env.BRINE_CONFIG?.split(':').filter(Boolean)
  const files = named ?? [defaultConfigFile(terminal.cwd)].filter(file => shipped || file === resolve(terminal.cwd, 'brine.yaml'))
  const from = { env: terminal.env, flags, cwd: terminal.cwd }
  const paths = files.map(file => resolve(terminal.cwd, file))
  const loaded = loadConfig({ ...from, files: paths })
  const applied = appliedFiles(loaded.config.data_dir)
  const all = applied.length === 0 ? loaded : loadConfig({ ...from, files: [...paths, ...applied] })
  return { ...all, watched: [...all.watched, appliedDir(loaded.config.data_dir)] }
}

/** `brine config check`: every mistake at once; exit code `config` when there is one. */
export async function check(terminal: Terminal, files: readonly string[], options: ConfigOptions): Promise<Exit> {
  const { warnings, files: read } = load(terminal, files.length > 0 ? { ...options, config: files } : options)
  for (const warning of warnings) terminal.err(`warning: ${warning}\n`)
  terminal.out(read.length === 0 ? 'no file; the defaults are in effect\n' : `${read.join('\n')}\nthe configuration is right\n`)
  return 'ok'
}

/** `brine config show [SETTING…]`: what is in effect and where it comes from; secrets masked. */
export async function show(
  terminal: Terminal,
  names: readonly string[],
  options: ConfigOptions & { readonly out?: Format }
): Promise<Exit> {
  for (const name of names) {
    if (isSettingName(name)) continue
    const meant = suggest(name, SETTINGS.keys())
    throw brineError('NOT_FOUND', meant === null ? name : `${name}' (did you mean '${meant}'?)`)
  }
  const { config, origins } = load(terminal, options)
  const wanted = [...SETTINGS.keys()].filter(name => names.length === 0 || names.includes(name))
  const values = Object.fromEntries(wanted.map(name => [name, masked(config, name)]))
  if (options.out !== undefined) terminal.out(format(values, options.out))
  else for (const name of wanted) terminal.out(shown(name, values[name], origins.get(name)))
  return 'ok'
}

/** `brine config sample`: the commented file with every setting. */
export async function sample(terminal: Terminal): Promise<Exit> {
  terminal.out(sampleFile())
  return 'ok'
}

function shown(name: string, value: unknown, origin: string | undefined): string {
  const text = dumpYaml({ [name]: value }, { sortKeys: false }).trimEnd()
  if (origin === undefined) return `${text}\n`
  const [first = '', ...rest] = text.split('\n')
  return `${[`${first}  # ${origin}`, ...rest].join('\n')}\n`
}

function masked(config: Config, name: keyof Config): unknown {
  const value = config[name]
  if (SETTINGS.get(name)?.secret === true && value !== null) return '****'
  return name === 'external_auth' ? asWritten(config.external_auth) : value
}

/** Permissions as they stand in the file, without what was made of them. */
function asWritten(auth: Config['external_auth']): unknown {
  return Object.fromEntries(
    Object.entries(auth).map(([backend, users]) => [
      backend,
      Object.fromEntries(Object.entries(users).map(([user, permissions]) => [user, permissions.map(({ entry }) => entry)]))
    ])
  )
}
