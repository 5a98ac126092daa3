import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { brineError } from '../errors.js'
import { packageRoot } from '../shared/paths.js'
import { parseYaml, setOwn } from '../shared/yaml.js'
import { suggest } from './distance.js'
import { type ConfigFile, readConfigFiles } from './files.js'
import { saltSetting } from './salt-settings.js'
import { type Config, environmentName, isSettingName, SETTINGS, type SettingName } from './schema.js'
import { isMapping, kindOf, type Setting } from './setting.js'

export interface LoadOptions {
  /** Files and directories, later ones win. None: defaults only. */
  readonly files?: readonly string[]
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Setting name → what was given on the command line: text, or a value. */
  readonly flags?: Readonly<Record<string, unknown>>
  /** Relative paths from environment, flags and defaults count from here. */
  readonly cwd?: string
}

export interface Loaded {
  readonly config: Config
  /** For people, one line each; none of them holds a value that might be secret. */
  readonly warnings: readonly string[]
  /** Every file that was read, in the order in which later ones win. */
  readonly files: readonly string[]
  /** Files and directories whose change may mean another configuration. */
  readonly watched: readonly string[]
  /** Where each setting that is not at its default comes from: a file, `BRINE_…` or `the command line`. */
  readonly origins: ReadonlyMap<SettingName, string>
}

/** Settings that salt-api has in its section, and brine beside the others. */
const CHERRYPY_SETTINGS = new Set(['port', 'host', 'max_request_body_size', 'cors_origin'])

/** These are read by the command line client and the shell, not from the table. */
const OTHER_ENVIRONMENT = new Set(['BRINE_URL', 'BRINE_TOKEN', 'BRINE_CONFIG'])

/**
 * Reads the configuration: defaults, then files, then `BRINE_*`, then flags; each wins over what comes before it. Mappings from several files
 * are laid over one another key by key, lists and everything else are replaced, as Salt does with `master.d`.
 * Throws CONFIG_INVALID with all mistakes at once, each with its place and its value (secrets masked).
 */
export function loadConfig(options: LoadOptions = {}): Loaded {
  const cwd = resolve(options.cwd ?? '.')
  const loading = new Loading()
  const { files, mistakes, watched } = readConfigFiles(options.files ?? [])
  for (const { file, path, text } of mistakes) loading.mistake(file, path, text)
  for (const file of files) loading.addFile(file)
  loading.addEnvironment(options.env ?? {}, cwd)
  loading.addFlags(options.flags ?? {}, cwd)
  return { ...loading.finish(cwd), files: files.map(each => each.file), watched }
}

/** The file that is used when none is named: `brine.yaml` here, else the one that comes with brine. */
export function defaultConfigFile(cwd = '.'): string {
  const own = resolve(cwd, 'brine.yaml')
  return existsSync(own) ? own : resolve(packageRoot(), 'examples/start.yaml')
}

const BY_ENVIRONMENT = new Map([...SETTINGS.keys()].map(name => [environmentName(name), name]))

class Loading {
  readonly #values = new Map<SettingName, unknown>()
  readonly #origins = new Map<SettingName, string>()
  readonly #mistakes: string[] = []
  readonly #warnings: string[] = []
  readonly #ignored = new Map<string, string[]>()

  addFile({ file, values }: ConfigFile): void {
    const from = dirname(file)
    for (const [name, value] of Object.entries(values)) {
      if (name === 'rest_cherrypy') this.#addCherrypy(file, value)
      else if (name === 'keep_jobs' && typeof value === 'number') this.#set('keep_jobs_seconds', value * 3600, file, from, 'keep_jobs')
      else if (isSettingName(name)) this.#set(name, value, file, from)
      else this.#unknown(name, name, value, file)
    }
  }

  /** salt-api's section: its port, host and body limit are settings here, the others are known or unknown like those at the top. */
  #addCherrypy(file: string, section: unknown): void {
    if (!isMapping(section)) {
      this.mistake(file, 'rest_cherrypy', `must be a mapping, not ${kindOf(section)}`)
      return
    }
    for (const [name, value] of Object.entries(section)) {
      const path = `rest_cherrypy.${name}`
      if (CHERRYPY_SETTINGS.has(name)) this.#set(name as SettingName, value, file, dirname(file), path)
      else if (isSettingName(path)) this.#set(path, value, file, dirname(file))
      else this.#unknown(path, name, value, file)
      if ((name === 'ssl_crt' || name === 'ssl_key') && section.disable_ssl !== true) {
        this.#warnings.push(`${file}: ${path} is ignored: brine speaks plain HTTP; put a TLS proxy in front of it`)
      }
    }
  }

  addEnvironment(env: Readonly<Record<string, string | undefined>>, cwd: string): void {
    for (const [variable, text] of Object.entries(env)) {
      if (!variable.startsWith('BRINE_') || text === undefined || OTHER_ENVIRONMENT.has(variable)) continue
      const name = variable.slice('BRINE_'.length).toLowerCase()
      // Kubernetes gives every container such variables for a service that is called brine: BRINE_PORT=tcp://10.0.0.1:8000.
      if (/^tcp:\/\//.test(text) && name.startsWith('port')) continue
      const setting = BY_ENVIRONMENT.get(variable)
      if (setting !== undefined) this.#setText(setting, text, variable, cwd)
      else if (!/^(port|service)_/.test(name)) {
        const meant = suggest(name, SETTINGS.keys())
        this.#warnings.push(`${variable} is no setting${meantText(meant && environmentName(meant))}`)
      }
    }
  }

  addFlags(flags: Readonly<Record<string, unknown>>, cwd: string): void {
    for (const [name, value] of Object.entries(flags)) {
      if (value === undefined) continue
      if (!isSettingName(name)) this.#unknown(name, name, value, 'the command line')
      else if (typeof value === 'string') this.#setText(name, value, 'the command line', cwd)
      else this.#set(name, value, 'the command line', cwd)
    }
  }

  /** Text from outside of a file: as it stands for texts and paths, YAML for everything else. */
  #setText(name: SettingName, text: string, origin: string, cwd: string): void {
    const row = SETTINGS.get(name)!
    let value: unknown = text
    if (!row.textual) {
      try {
        value = parseYaml(text)
      } catch {
        this.mistake(origin, name, `must be a ${row.type}`, shown(row, text))
        return
      }
    }
    this.#set(name, value, origin, cwd)
  }

  #set(name: SettingName, value: unknown, origin: string, from: string, path: string = name): void {
    const row = SETTINGS.get(name)!
    const read = row.read(value)
    if ('faults' in read) {
      for (const each of read.faults) this.mistake(origin, join(path, each.path), each.text, shown(row, each.value))
      return
    }
    for (const warning of read.warnings ?? []) this.#warnings.push(`${origin}: ${warning}`)
    const resolved = row.resolve ? row.resolve(read.value, from) : read.value
    this.#values.set(name, overlay(this.#values.get(name), resolved))
    this.#origins.set(name, origin)
  }

  #unknown(path: string, name: string, value: unknown, origin: string): void {
    const salt = saltSetting(path)
    if (salt === 'unused') this.#ignored.set(path, [...(this.#ignored.get(path) ?? []), origin])
    else if (salt === 'restriction') this.#warnings.push(`${origin}: ${path} restricts access in Salt and is NOT enforced by brine`)
    else {
      const meant = suggest(name, SETTINGS.keys())
      const secret = /pass|secr|token|key|cred/i.test(name) || (meant !== null && SETTINGS.get(meant as SettingName)?.secret === true)
      this.mistake(origin, path, `is no setting${meantText(meant)}`, secret ? '****' : shown(null, value))
    }
  }

  mistake(origin: string, path: string, text: string, value?: string): void {
    this.#mistakes.push(`  ${origin}: ${path === '' ? '' : `${path} `}${text}${value === undefined ? '' : ` (value: ${value})`}`)
  }

  finish(cwd: string): Omit<Loaded, 'files' | 'watched'> {
    const values = Object.fromEntries(
      [...SETTINGS].map(([name, row]) => {
        if (this.#values.has(name)) return [name, this.#values.get(name)]
        return [name, row.resolve ? row.resolve(row.default, cwd) : row.default]
      })
    )
    const config = deepFreeze(values) as unknown as Config
    this.#checkTogether(config)
    if (this.#mistakes.length > 0) {
      const count = this.#mistakes.length === 1 ? 'a mistake' : `${this.#mistakes.length} mistakes`
      throw brineError('CONFIG_INVALID', count, this.#mistakes.join('\n'))
    }
    return { config, warnings: [...this.#warnings, ...this.#ignoredWarning()], origins: this.#origins }
  }

  /** What no single setting can know. */
  #checkTogether(config: Config): void {
    if (config.external_auth.sharedsecret && config.sharedsecret === null) {
      this.#warnings.push('external_auth has users of sharedsecret, but the setting sharedsecret is empty: they cannot log in')
    }
    if (config.recon_max < config.recon_default) {
      this.mistake(
        this.#origins.get('recon_max') ?? this.#origins.get('recon_default') ?? '',
        'recon_max',
        'must not be less than recon_default'
      )
    }
    if (config.cors_origin.includes('*')) {
      this.mistake(
        this.#origins.get('cors_origin') ?? '',
        'cors_origin',
        'must name origins; "*" would let every web page act for its visitors'
      )
    }
  }

  #ignoredWarning(): string[] {
    if (this.#ignored.size === 0) return []
    const names = [...this.#ignored.keys()].sort()
    const files = [...new Set([...this.#ignored.values()].flat())]
    return [`Salt settings that brine does not use, ignored (${files.join(', ')}): ${names.join(', ')}`]
  }
}

function meantText(meant: string | null): string {
  return meant === null ? '' : `; did you mean ${meant}?`
}

function join(path: string, inner: string): string {
  return inner === '' ? path : inner.startsWith('[') ? path + inner : `${path}.${inner}`
}

/** A value for an error text: short, on one line, and never a secret or the inside of a structure. */
function shown(row: Setting<unknown> | null, value: unknown): string {
  if (row?.secret === true) return '****'
  if (typeof value === 'object' && value !== null) return kindOf(value)
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}

/** Mappings key by key, everything else replaced: Salt's way with several files. */
function overlay(lower: unknown, upper: unknown): unknown {
  if (!isMapping(lower) || !isMapping(upper)) return upper
  const merged: Record<string, unknown> = { ...lower }
  for (const [key, value] of Object.entries(upper)) {
    setOwn(merged, key, Object.hasOwn(lower, key) ? overlay(lower[key], value) : value)
  }
  return merged
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) deepFreeze(inner)
  }
  return value
}
