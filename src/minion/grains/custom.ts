/** Grains that people set: in the configuration, and in the `grains` file beside it, which `grains.setval` writes. */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { dumpYaml, parseYaml } from '../../shared/yaml.js'
import { CommandExecutionError, codeOf, messageOf } from '../modules/errors.js'
import { isMapping, type Mapping } from '../modules/values.js'
import type { MinionOptions } from '../options.js'

function grainsFile(options: MinionOptions): string {
  return join(options.conf_dir, 'grains')
}

/** The grains of the file; none when it does not exist. Throws when it is no YAML mapping. */
export async function readGrainsFile(options: MinionOptions): Promise<Mapping> {
  const file = grainsFile(options)
  try {
    const value = parseYaml(await readFile(file, 'utf8'), { file })
    if (value === null) return {}
    if (!isMapping(value)) throw new Error('it is no mapping')
    return value
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return {}
    throw new CommandExecutionError(`Error reading existing grains file: ${messageOf(error)}`)
  }
}

/** Replaces the file in one step. */
export async function writeGrainsFile(options: MinionOptions, grains: Mapping): Promise<void> {
  const file = grainsFile(options)
  const temporary = `${file}.${randomBytes(6).toString('hex')}`
  try {
    await mkdir(dirname(file), { recursive: true })
    await writeFile(temporary, dumpYaml(grains), { mode: 0o644 })
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw new CommandExecutionError(`Unable to write to grains file ${file}: ${messageOf(error)}`)
  }
}
