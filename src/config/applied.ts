/**
 * Settings that were changed from afar (wheel functions config.apply and config.update_config): files in `DATA/config.d`, read after the
 * configuration files at the next start. Environment and command line win over them.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writePrivateFile } from '../auth/private-file.js'
import { isBrineError } from '../errors.js'
import { dumpYaml, parseYaml } from '../shared/yaml.js'
import { loadConfig } from './load.js'
import { isMapping } from './setting.js'

/** The file that single settings go to. */
const SINGLE = 'applied'
/** Files that are kept: each is made by a person. */
const MAX_FILES = 100

/** Where they lie. */
export function appliedDir(dataDir: string): string {
  return join(dataDir, 'config.d')
}

/** The files in the order in which later ones win. */
export function appliedFiles(dataDir: string): string[] {
  const dir = appliedDir(dataDir)
  return namesIn(dir).map(name => join(dir, name))
}

/**
 * Writes `DATA/config.d/<name>.conf`, in the place of one that is there. Null when it was written, else why not: a name that is no plain
 * name, values that are no settings.
 */
export function writeApplied(dataDir: string, name: string, values: unknown): string | null {
  if (!/^\w[\w-]{0,63}$/.test(name)) return 'Invalid path'
  if (!isMapping(values)) return 'must be a mapping of settings'
  if (Object.hasOwn(values, 'data_dir')) return 'data_dir cannot be changed from here: it says where this file lies'
  if (['include', 'default_include'].some(key => Object.hasOwn(values, key))) return 'files cannot be included from here'
  const dir = join(dataDir, 'config.d')
  const others = namesIn(dir).filter(each => each !== `${name}.conf`)
  if (others.length >= MAX_FILES) return `there are ${MAX_FILES} files already`
  const wrong = mistakesIn(values)
  if (wrong !== null) return wrong
  writePrivateFile(join(dir, `${name}.conf`), dumpYaml(values))
  return null
}

/** The same for one setting; those that were set so before stay. */
export function applySetting(dataDir: string, key: string, value: unknown): string | null {
  return writeApplied(dataDir, SINGLE, { ...readSingle(dataDir), [key]: value })
}

function readSingle(dataDir: string): Record<string, unknown> {
  try {
    const values = parseYaml(readFileSync(join(dataDir, 'config.d', `${SINGLE}.conf`), 'utf8'))
    return isMapping(values) ? values : {}
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
}

/** What a start with these values would complain of. The table knows: they are given to it as flags are. */
function mistakesIn(values: Record<string, unknown>): string | null {
  try {
    loadConfig({ flags: values })
    return null
  } catch (error) {
    if (isBrineError(error, 'CONFIG_INVALID')) return error.message
    throw error
  }
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir)
      .filter(name => /^[^.].*\.conf$/.test(name))
      .sort()
  } catch (error) {
    // A data directory that is none is told of where it is made.
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  }
}
