/** Where the content of a file comes from: salt:// from file_roots, or a path of this machine. */
import { stat } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import type { ModuleContext } from './context.js'
import { parseSaltUrl } from './files.js'
import { CommandExecutionError } from './modules/errors.js'

/** The path on this machine of a source; null when there is no such file. Throws for a scheme that is not supported. */
export async function localCopy(ctx: ModuleContext, source: string, saltenv: string): Promise<string | null> {
  const url = parseSaltUrl(source)
  if (url) return (await ctx.files.cacheFile(url.path, url.saltenv ?? saltenv))?.path ?? null
  const path = source.startsWith('file://') ? source.slice('file://'.length) : source
  if (isAbsolute(path)) return (await stat(path).catch(() => null))?.isFile() ? path : null
  throw new CommandExecutionError(`Source '${source}' is neither salt://, file:// nor an absolute path`)
}
