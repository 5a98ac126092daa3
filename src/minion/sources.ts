/** Where the content of a file comes from: salt:// from file_roots, a path of this machine, or an http(s) URL. */
import { createHash, randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ModuleContext } from './context.js'
import { parseSaltUrl } from './files.js'
import { CommandExecutionError, messageOf } from './modules/errors.js'

/** The path on this machine of a source; null when there is no such file. Throws for a scheme that is not supported. */
export async function localCopy(ctx: ModuleContext, source: string, saltenv: string): Promise<string | null> {
  const url = parseSaltUrl(source)
  if (url) return (await ctx.files.cacheFile(url.path, url.saltenv ?? saltenv))?.path ?? null
  if (/^https?:\/\//.test(source)) return download(ctx, source, saltenv)
  const path = source.startsWith('file://') ? source.slice('file://'.length) : source
  if (isAbsolute(path)) return (await stat(path).catch(() => null))?.isFile() ? path : null
  throw new CommandExecutionError(`Source '${source}' is neither salt://, http(s)://, file:// nor an absolute path`)
}

/** A download may take this long without a byte; its length is not bounded. */
const SILENCE_MS = 60_000

/** Where a downloaded file is kept, as Salt lays it out: `extrn_files/<env>/<host>/<path>`. */
export function externalPath(ctx: Pick<ModuleContext, 'options'>, source: string, saltenv: string): string {
  const { host, pathname, search } = new URL(source)
  const parts = decodeURIComponent(pathname)
    .split('/')
    .filter(part => part !== '' && part !== '.' && part !== '..')
  const query = search === '' ? '' : `-${createHash('sha256').update(search).digest('hex').slice(0, 16)}`
  return join(ctx.options.cachedir, 'extrn_files', saltenv.replaceAll('/', '_'), host, `${parts.join('/') || 'index'}${query}`)
}

/** Fetches into the cache, beside the target first. null: the server says that there is none (404, 410). */
async function download(ctx: ModuleContext, source: string, saltenv: string): Promise<string | null> {
  if (!URL.canParse(source)) throw new CommandExecutionError(`Source '${source}' is no URL`)
  // Loaded when it is needed: most jobs download nothing.
  const { Agent, fetch } = await import('undici')
  const target = externalPath(ctx, source, saltenv)
  const temporary = `${target}.${randomBytes(6).toString('hex')}`
  const dispatcher = new Agent({ bodyTimeout: SILENCE_MS, headersTimeout: SILENCE_MS })
  try {
    const answer = await fetch(source, { dispatcher, signal: ctx.signal, headers: { 'user-agent': 'brine' } })
    if (answer.status === 404 || answer.status === 410) return null
    if (!answer.ok || answer.body === null) throw new Error(`HTTP ${answer.status} ${answer.statusText}`)
    await mkdir(dirname(target), { recursive: true, mode: 0o700 })
    await pipeline(Readable.fromWeb(answer.body), createWriteStream(temporary, { mode: 0o600 }))
    await rename(temporary, target)
    return target
  } catch (error) {
    await rm(temporary, { force: true })
    const cause = (error as { cause?: unknown }).cause
    throw new CommandExecutionError(`Failed to fetch ${source}: ${messageOf(cause ?? error)}`)
  } finally {
    await dispatcher.close().catch(() => {})
  }
}
