import { type Config, SETTINGS } from '../config/schema.js'
import { param, type ServerFunction, serverFunction } from './function.js'

/** In place of a setting that is a secret. */
const MASK = '**********'

/** The settings as they may be shown: those that are secrets are masked. */
export function shownConfig(config: Config): Record<string, unknown> {
  const entries = Object.entries(config).map(([name, value]) => {
    const secret = SETTINGS.get(name as keyof Config)?.secret === true
    return [name, secret && value !== null ? MASK : value]
  })
  return Object.fromEntries(entries)
}

const get = serverFunction({
  name: 'config.get',
  doc: 'Show a setting; a path into it is written with colons. Secrets are masked.\n\nCLI Example:\n\n    brine run config.get file_roots:base',
  params: { key: param.text(), default: param.anyOr(''), delimiter: param.textOr(':') },
  run({ config }, { key, default: fallback, delimiter }) {
    let found: unknown = shownConfig(config)
    for (const part of key.split(delimiter)) {
      if (typeof found !== 'object' || found === null || !Object.hasOwn(found, part)) return fallback
      found = (found as Record<string, unknown>)[part]
    }
    return found
  }
})

/** The runner's functions for the configuration. */
export const configRunners: readonly ServerFunction[] = [get]
