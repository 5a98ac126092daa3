/** What SLS files of the reactor see besides `tag` and `data`, and the functions whose parameters they may write: the same in every thread and tool. */
import { arch, cpus, hostname, release, type } from 'node:os'
import { RUNNERS } from '../runners/index.js'
import { WHEEL } from '../wheel/index.js'
import { type CompilerOptions, serverSignatures } from './compile.js'
import type { SlsFiles } from './sources.js'
import { surroundings } from './surroundings.js'

export interface MasterFacts {
  /** Setting `file_roots`. */
  readonly fileRoots: Readonly<Record<string, readonly string[]>>
  /** Setting `reactor_roots`. */
  readonly reactorRoots?: readonly string[]
}

/** How SLS files are compiled on a server (or, for a trial, as on one). */
export function masterCompiler(files: Pick<SlsFiles, 'include'>, facts: MasterFacts): CompilerOptions {
  const context = masterSurroundings(facts)
  return { include: (name, from) => files.include(name, from), signatureOf: serverSignatures(RUNNERS, WHEEL), context: () => context }
}

/** `grains` and `opts` as on a Salt master, whose id ends in `_master`. Of the configuration only what is no secret. */
function masterSurroundings({ fileRoots }: MasterFacts): Record<string, unknown> {
  const id = `${hostname()}_master`
  const about = { kernel: type(), kernelrelease: release(), cpuarch: arch() === 'x64' ? 'x86_64' : arch(), num_cpus: cpus().length }
  const grains = { id, host: hostname().split('.')[0], nodename: hostname(), ...about }
  return surroundings({ grains, opts: { id, file_roots: fileRoots, saltenv: 'base', renderer: 'jinja|yaml' } })
}
