/** What a managed file is to contain: `source`, `contents`, `contents_pillar`, `contents_grains`, rendered when a template is named. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { parseSaltUrl } from '../../files.js'
import { CommandExecutionError, messageOf } from '../../modules/errors.js'
import { flag, isMapping, type Mapping, text, textOrNull, traverse } from '../../modules/values.js'
import { localCopy } from '../../sources.js'
import { renderTemplate } from '../../template.js'
import type { StateContext } from '../state.js'
import { accumulatedFor } from './accumulated.js'

/** Thrown with the comment of a state that fails. */
export class ContentError extends Error {
  override readonly name = 'ContentError'
}

/** The wanted content; null: the state does not say what it is. Throws ContentError. */
export async function wantedContent(ctx: StateContext, a: Mapping): Promise<Buffer | null> {
  const named = ['contents', 'contents_pillar', 'contents_grains'].filter(key => a[key] !== null && a[key] !== undefined)
  if (named.length > 1) throw new ContentError("Only one of 'contents', 'contents_pillar', and 'contents_grains' is permitted")
  const hasSource = a.source !== null && a.source !== undefined && a.source !== ''
  if (hasSource && named.length > 0) {
    throw new ContentError("'source' cannot be used in combination with 'contents', 'contents_pillar', or 'contents_grains'")
  }
  if (named.length > 0) return Buffer.from(await rendered(ctx, a, inlineContent(ctx, a, named[0]!), 'contents'))
  return hasSource ? sourceContent(ctx, a) : null
}

// ── contents ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function inlineContent(ctx: StateContext, a: Mapping, kind: string): string {
  const value = kind === 'contents' ? a.contents : lookUp(kind === 'contents_pillar' ? ctx.pillar : ctx.grains, kind, a)
  if (kind !== 'contents' && !flag(a.allow_empty) && (value === '' || value === null))
    throw new ContentError(`${kind} ${a[kind]} evaluates to empty`)
  return lines(value, flag(a.contents_newline))
}

function lookUp(data: Mapping, kind: string, a: Mapping): unknown {
  const what = kind === 'contents_pillar' ? 'Pillar' : 'Grain'
  const find = (key: unknown): unknown => {
    const found = traverse(data, text(key, kind), text(a.contents_delimiter ?? ':', 'contents_delimiter'))
    if (found === undefined) throw new ContentError(`${what} ${key} does not exist`)
    return found
  }
  return Array.isArray(a[kind]) ? a[kind].map(find) : find(a[kind])
}

/** A text, or a list of texts one per line; with an end of line at the end unless `contents_newline` is false. */
function lines(value: unknown, newline: boolean): string {
  const parts = Array.isArray(value) ? value : [value]
  if (!parts.every(part => typeof part === 'string' || typeof part === 'number' || typeof part === 'boolean')) {
    throw new ContentError(
      'Contents specified by contents/contents_pillar/contents_grains is not a string or list of strings, and is not binary data. SLS is likely malformed.'
    )
  }
  const all = parts.flatMap(part => {
    const split = text(part, 'contents').split(/\r\n|\n|\r/)
    if (split.at(-1) === '') split.pop()
    return split
  })
  const joined = all.map(line => `${line}\n`).join('')
  return newline ? joined : joined.replace(/\n+$/, '')
}

// ── source ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function sourceContent(ctx: StateContext, a: Mapping): Promise<Buffer> {
  const { source, path } = await findSource(ctx, a)
  const content = await readFile(path)
  await checkHash(ctx, a, source, content)
  return textOrNull(a.template, 'template') === null ? content : Buffer.from(await rendered(ctx, a, content.toString('utf8'), source))
}

/** The first source of a list that exists. */
async function findSource(ctx: StateContext, a: Mapping): Promise<{ source: string; path: string }> {
  const sources = (Array.isArray(a.source) ? a.source : [a.source]).map(item =>
    text(isMapping(item) ? Object.keys(item)[0] : item, 'source')
  )
  for (const source of sources) {
    // What comes from the web is only taken when it is known what it must be.
    if (/^https?:/.test(source) && !textOrNull(a.source_hash, 'source_hash') && !flag(a.skip_verify))
      throw new ContentError(`Unable to verify upstream hash of source file ${source}, please set source_hash or set skip_verify to True`)
    const path = await localCopy(ctx, source, ctx.saltenv).catch(error => {
      throw new ContentError(`Unable to manage file: ${messageOf(error)}`)
    })
    if (path !== null) return { source, path }
  }
  if (sources.length > 1) throw new ContentError('Unable to manage file: none of the specified sources were found')
  const saltenv = parseSaltUrl(sources[0]!)?.saltenv ?? ctx.saltenv
  throw new ContentError(
    sources[0]!.startsWith('salt://')
      ? `Source file ${sources[0]} not found in saltenv '${saltenv}'`
      : `Unable to manage file: Local file source ${sources[0]} does not exist`
  )
}

const HASH_LENGTHS: Readonly<Record<number, string>> = { 32: 'md5', 40: 'sha1', 56: 'sha224', 64: 'sha256', 96: 'sha384', 128: 'sha512' }

/** `source_hash`: `sha256=…`, `sha256:…`, the digits alone, whose number tells the kind, or a file that lists hashes. */
async function checkHash(ctx: StateContext, a: Mapping, source: string, content: Buffer): Promise<void> {
  const wish = textOrNull(a.source_hash, 'source_hash')?.trim()
  if (!wish || flag(a.skip_verify)) return
  const match = /^(?:(\w+)[=:])?([0-9a-fA-F]+)$/.exec(wish)
  const digits = match ? match[2]! : await hashFromFile(ctx, a, source, wish)
  const kind = match?.[1]?.toLowerCase() ?? HASH_LENGTHS[digits?.length ?? 0]
  if (digits === null || kind === undefined || !/^(md5|sha(1|224|256|384|512))$/.test(kind))
    throw new ContentError(`Source hash '${wish}' format is invalid. It must be in the format <hash type>=<hash>`)
  const found = createHash(kind).update(content).digest('hex')
  if (found !== digits.toLowerCase())
    throw new ContentError(`Specified ${kind} checksum for ${source} (${digits}) does not match actual checksum (${found}).`)
}

/** The hash of a file of checksums that stands beside `source_hash_name`, else the name of the managed file or its source, else the only one. */
async function hashFromFile(ctx: StateContext, a: Mapping, source: string, url: string): Promise<string | null> {
  if (!/^(\w+:\/\/|\/)/.test(url)) return null
  const path = await localCopy(ctx, url, ctx.saltenv).catch(error => {
    throw new ContentError(`Unable to manage file: ${messageOf(error)}`)
  })
  if (path === null) throw new ContentError(`Source hash file ${url} not found`)
  const entries = (await readFile(path, 'utf8')).split('\n').flatMap(line => {
    const words = line.split(/[\s=:*()]+/)
    const digits = words.find(word => HASH_LENGTHS[word.length] !== undefined && /^[0-9a-fA-F]+$/.test(word))
    return digits === undefined ? [] : [{ digits, names: words.filter(word => word !== digits && word !== '') }]
  })
  const named = textOrNull(a.source_hash_name, 'source_hash_name')
  const candidates = named ? [named] : [basename(text(a.name, 'name')), basename(source)]
  const found = candidates
    .map(name => entries.find(entry => entry.names.some(word => word === name || word.endsWith(`/${name}`))))
    .find(entry => entry !== undefined)
  return found?.digits ?? (entries.length === 1 && !named ? entries[0]!.digits : null)
}

async function rendered(ctx: StateContext, a: Mapping, source: string, file: string): Promise<string> {
  const engine = textOrNull(a.template, 'template')
  if (engine === null) return source
  if (engine !== 'jinja') throw new ContentError(`Specified template format ${engine} is not supported`)
  if (a.context !== null && a.context !== undefined && !isMapping(a.context)) throw new ContentError('Context must be formed as a dict')
  if (a.defaults !== null && a.defaults !== undefined && !isMapping(a.defaults)) throw new ContentError('Defaults must be formed as a dict')
  const context = { ...(a.defaults as Mapping | null), ...(a.context as Mapping | null) }
  try {
    return await renderTemplate(ctx, source, {
      file,
      saltenv: ctx.saltenv,
      context,
      variables: { name: a.name, source: file, accumulator: accumulatedFor(ctx, text(a.name, 'name')) }
    })
  } catch (error) {
    throw error instanceof CommandExecutionError ? error : new ContentError(`Unable to manage file: ${messageOf(error)}`)
  }
}
