/** What SLS files of the reactor see besides `tag` and `data`, and the functions whose parameters they may write: the same in every thread and tool. */
import { arch, cpus, hostname, release, type } from 'node:os'
import { pillarFunctions } from '../pillar/functions.js'
import { RUNNERS } from '../runners/index.js'
import { WHEEL } from '../wheel/index.js'
import { type CompilerOptions, serverSignatures } from './compile.js'
import type { SlsFiles } from './sources.js'

export interface MasterFacts {
  /** Setting `file_roots`. */
  readonly fileRoots: Readonly<Record<string, readonly string[]>>
}

/** How SLS files are compiled on a server (or, for a trial, as on one). */
export function masterCompiler(files: Pick<SlsFiles, 'include'>, facts: MasterFacts): CompilerOptions {
  const context = surroundings(facts)
  return { include: path => files.include(path), signatureOf: serverSignatures(RUNNERS, WHEEL), context: () => context }
}

/**
 * `grains`, `opts`, `pillar` and `salt` as on a Salt master, whose id ends in `_master`. Of the configuration only what is no secret; of functions
 * only those that look something up: a template that could run something would run it for every event, and for every trial.
 */
function surroundings({ fileRoots }: MasterFacts): Record<string, unknown> {
  const id = `${hostname()}_master`
  const about = { kernel: type(), kernelrelease: release(), cpuarch: arch() === 'x64' ? 'x86_64' : arch(), num_cpus: cpus().length }
  const grains = { id, host: hostname().split('.')[0], nodename: hostname(), ...about }
  const opts = { id, file_roots: fileRoots, saltenv: 'base', renderer: 'jinja|yaml' }
  const functions = pillarFunctions({ id, grains, pillar: {}, nodegroups: {} })
  const fromOpts = pillarFunctions({ id, grains: { ...grains, ...opts }, pillar: {}, nodegroups: {} })
  const salt = { ...functions, 'config.get': fromOpts['grains.get'], 'test.echo': (args: unknown[]) => args[0] ?? null }
  return { salt, grains, opts, pillar: {}, saltenv: 'base', sls: '' }
}
