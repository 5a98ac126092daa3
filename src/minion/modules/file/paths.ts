/** What functions of the `file` module ask of a path, with Salt's texts for what is wrong with it. */
import type { Stats } from 'node:fs'
import { lstat, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { CommandExecutionError, InvocationError } from '../errors.js'
import { type Mapping, text } from '../values.js'

/** A path argument; `~` is the home directory. */
export function pathOf(a: Mapping, name = 'path'): string {
  const path = text(a[name], name)
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path
}

export function absolutePath(a: Mapping, name = 'path', message = 'File path must be absolute.'): string {
  const path = pathOf(a, name)
  if (!isAbsolute(path)) throw new InvocationError(message)
  return path
}

export function statsOrNull(path: string): Promise<Stats | null> {
  return stat(path).catch(() => null)
}

export function linkStatsOrNull(path: string): Promise<Stats | null> {
  return lstat(path).catch(() => null)
}

/** The entry itself or, with `follow`, what it points to. Throws when there is none. */
export async function statsOf(path: string, follow: boolean): Promise<Stats> {
  const found = (follow ? await statsOrNull(path) : null) ?? (await linkStatsOrNull(path))
  if (!found) throw new CommandExecutionError(`Path not found: ${path}`)
  return found
}
