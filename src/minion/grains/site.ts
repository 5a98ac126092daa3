/**
 * Grains of the site's own: ESM files in `file_roots/_grains`, brought here by `saltutil.sync_grains`. Every exported function that answers with a
 * mapping adds it. They run in a process of their own, which has a time limit: a grain that hangs costs itself.
 */
import { execFile } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { customFiles } from '../modules/custom-sync.js'
import { messageOf } from '../modules/errors.js'
import { isMapping, type Mapping } from '../modules/values.js'
import type { MinionOptions } from '../options.js'

const LIMIT_MS = 20_000
/** Bytes of JSON; the server takes 1 MiB of grains. */
const MAX_BYTES = 1024 * 1024

/** Runs the functions of the files that are its arguments, and prints what came of it as one line of JSON. */
const PROGRAM = `
const all = {}
for (const url of process.argv.slice(1)) {
  try {
    for (const [name, call] of Object.entries(await import(url))) {
      if (typeof call !== 'function' || name.startsWith('_')) continue
      const value = await call(all)
      if (value && typeof value === 'object' && !Array.isArray(value)) Object.assign(all, value)
    }
  } catch (error) { process.stderr.write(url + ': ' + error.message + '\\n') }
}
process.stdout.write('\\n' + JSON.stringify(all), () => process.exit(0))`

export async function siteGrains(options: Pick<MinionOptions, 'cachedir'>): Promise<Mapping> {
  const files = await customFiles(options, 'grains')
  if (files.length === 0) return {}
  try {
    const args = ['--input-type=module', '-e', PROGRAM, ...files.map(file => pathToFileURL(file).href)]
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
      timeout: LIMIT_MS,
      maxBuffer: MAX_BYTES,
      killSignal: 'SIGKILL'
    })
    if (stderr.trim() !== '') process.emitWarning(stderr.trim(), 'GrainsWarning')
    const value: unknown = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}')
    return isMapping(value) ? value : {}
  } catch (error) {
    process.emitWarning(`the grains of file_roots/_grains are left out: ${messageOf(error).split('\n')[0]}`, 'GrainsWarning')
    return {}
  }
}
