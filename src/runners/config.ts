import { hostname } from 'node:os'
import { type ExternalAuth, permissionEntries } from '../auth/external-auth.js'
import { type Config, SETTINGS } from '../config/schema.js'
import { param, type ServerFunction, serverFunction } from './function.js'

/** In place of a setting that is a secret. */
const MASK = '**********'

/** Processes that answer requests, by Salt's name for their number: this one. */
const WORKERS = 1

/** Salt's id of a master: what its own functions run as. */
export function masterId(): string {
  return `${hostname()}_master`
}

/**
 * The settings as they may be shown: those that are secrets are masked, permissions are as they were written. Clients look for a few of
 * Salt's names that are no settings here (`id`, `pki_dir`: where the server's own key is, `rest_cherrypy`); they have their meaning.
 */
export function shownConfig(config: Config): Record<string, unknown> {
  const entries = Object.entries(config).map(([name, value]) => {
    if (name === 'external_auth') return [name, permissionEntries(value as ExternalAuth)]
    const secret = SETTINGS.get(name as keyof Config)?.secret === true
    return [name, secret && value !== null ? MASK : value]
  })
  const { host, port } = config
  const rest_cherrypy = {
    ...Object.fromEntries(entries.flatMap(([name, value]) => (isCherrypy(name) ? [[name.slice(CHERRYPY.length), value]] : []))),
    port,
    host,
    disable_ssl: true,
    debug: false
  }
  const names = { id: masterId(), interface: host, user: userName(), pki_dir: config.data_dir, worker_threads: WORKERS }
  return { ...Object.fromEntries(entries.filter(([name]) => !isCherrypy(name))), ...names, rest_cherrypy }
}

const CHERRYPY = 'rest_cherrypy.'

function isCherrypy(name: unknown): name is string {
  return typeof name === 'string' && name.startsWith(CHERRYPY)
}

function userName(): string {
  return process.getuid?.() === 0 ? 'root' : (process.env.USER ?? String(process.getuid?.() ?? ''))
}

/** Salt's path through mappings (by key) and lists (by index); undefined when it leads nowhere. */
function traverse(data: unknown, path: string, delimiter: string): unknown {
  let found = data
  for (const part of path.split(delimiter)) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, part)) return undefined
    found = (found as Record<string, unknown>)[part]
  }
  return found
}

const get = serverFunction({
  name: 'config.get',
  doc: 'Show a setting; a path into it is written with colons. Secrets are masked.\n\nCLI Example:\n\n    brine run config.get file_roots:base',
  params: { key: param.text(), default: param.anyOr(''), delimiter: param.textOr(':') },
  run({ config }, { key, default: fallback, delimiter }) {
    const found = traverse(shownConfig(config), key, delimiter === '' ? ':' : delimiter)
    return found === undefined ? fallback : found
  }
})

/** The runner's functions for the configuration. */
export const configRunners: readonly ServerFunction[] = [get]
