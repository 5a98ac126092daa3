/**
 * The SLS files below `reactor_roots`, for those who manage them from afar: listed, read, written after a check of their syntax, removed; every
 * change with its author, and undone on request. The files on disk are the truth: what was changed there becomes a version of its own with the
 * next change that comes this way.
 */
import { createHash } from 'node:crypto'
import { opendir, realpath, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { brineError } from '../errors.js'
import type { EventLog } from '../events/log.js'
import type { Clock } from '../shared/clock.js'
import { isAbsent, isInside, openInside, partsOf, placeInside, replaceFile } from '../shared/inside.js'
import type { SlsVersion, SlsVersionInfo, Store } from '../store/store.js'
import { REACTOR_SLS } from '../tags/tags.js'
import { checkSlsFile, placedText, type SlsCheck } from './check.js'
import type { CompileSls } from './compiled.js'
import type { LintWarning } from './lint.js'
import type { Author } from './rules.js'
import { textDiff } from './text-diff.js'

export interface SlsEditorOptions {
  /** Setting `reactor_roots`. */
  readonly roots: readonly string[]
  readonly store: Pick<Store, 'rules'>
  readonly events: Pick<EventLog, 'prepare'>
  readonly clock: Clock
  readonly compile: CompileSls
}

/** A file below one of the roots. */
export interface SlsEntry {
  /** Below its root, `/` between the parts. */
  readonly path: string
  /** Absolute, as rules name it. */
  readonly file: string
  readonly root: string
  /** Bytes. */
  readonly size: number
  readonly changedUs: number
}

export interface SlsDocument extends Omit<SlsEntry, 'size'> {
  readonly text: string
  /** Names this content; for `If-Match`. */
  readonly etag: string
  readonly warnings: readonly LintWarning[]
}

/** Which content a change is meant for. `match`: tags, or `*` for any; `absent`: only where nothing is. */
export interface Condition {
  readonly match?: string
  readonly absent?: boolean
}

/** Characters of a file that is written: a hundred times a long SLS. What is longer on disk is shown, up to MAX_READ bytes. */
const MAX_TEXT = 256 * 1024
const MAX_READ = 1024 * 1024
/** Entries of the roots that are looked at; a tree beyond it is a mistake (a root of `/`). */
const MAX_LISTED = 5000
const MAX_DEPTH = 20

interface Place {
  readonly root: string
  readonly parts: readonly string[]
  readonly path: string
  readonly file: string
}

interface Found {
  readonly text: string
  readonly hash: string
  readonly changedUs: number
}

export class SlsEditor {
  readonly #o: SlsEditorOptions
  /** One change after the other: what is compared and what is then written belong together. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: SlsEditorOptions) {
    this.#o = options
  }

  get roots(): readonly string[] {
    return this.#o.roots
  }

  /** All files of all roots, by path; of two with the same path the one in the earlier root, which is the one that a path means. */
  async list(): Promise<SlsEntry[]> {
    const found = new Map<string, SlsEntry>()
    const walk = { left: MAX_LISTED, found }
    for (const root of this.#o.roots) {
      const real = await realpath(root).catch(() => null)
      if (real !== null) await listInto(walk, { root, real, dir: real, prefix: '', depth: 0 })
    }
    return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  }

  /** @throws NOT_FOUND; FIELD_INVALID for a path that leaves the roots */
  read(path: string): Promise<SlsDocument> {
    return tellingWhy(async () => {
      const place = await this.#existing(path)
      return this.#document(place, (await find(place))!)
    })
  }

  /** Checks a text as `write` would. */
  check(file: string, text: string): Promise<SlsCheck> {
    return checkSlsFile(file, text, this.#o.compile)
  }

  /**
   * Puts a text in place; the same text again changes nothing. The old one is demanded by `condition`: over a file that is there nothing is
   * written blindly. @throws SLS_INVALID with the place of the mistake; PRECONDITION_REQUIRED, PRECONDITION_FAILED; FIELD_INVALID
   */
  write(path: string, text: string, author: Author, condition: Condition): Promise<{ document: SlsDocument; created: boolean }> {
    return this.#alone(() => this.#write(path, text, author, condition))
  }

  /** @throws NOT_FOUND, PRECONDITION_REQUIRED, PRECONDITION_FAILED */
  remove(path: string, author: Author, condition: Condition): Promise<void> {
    return this.#alone(async () => {
      const place = await this.#existing(path)
      const found = (await find(place))!
      check(place.path, found, condition)
      const target = await placeInside(place.root, place.parts)
      if (target === null) throw refused()
      await this.#record(place, found, null, 'removed', author)
      await rm(target.file)
    })
  }

  /** What is kept of a file, newest first; also of one that is gone. @throws NOT_FOUND */
  async versions(path: string): Promise<readonly SlsVersionInfo[]> {
    const versions = await this.#o.store.rules.slsVersions((await this.#place(path)).file)
    if (versions.length === 0) throw brineError('NOT_FOUND', `versions of ${path.slice(0, 200)}`)
    return versions
  }

  /** @throws NOT_FOUND */
  async version(path: string, version: number): Promise<SlsVersion> {
    const found = await this.#o.store.rules.slsVersion((await this.#place(path)).file, version)
    if (found === null) throw brineError('NOT_FOUND', `version ${version} of ${path.slice(0, 200)}`)
    return found
  }

  /** The unified difference of two versions; without `to`: to what is on disk now. A file that is not there is empty. */
  async diff(path: string, from: number, to: number | null): Promise<string> {
    const before = (await this.version(path, from)).text ?? ''
    const after = to === null ? ((await find(await this.#place(path)))?.text ?? '') : ((await this.version(path, to)).text ?? '')
    return textDiff(before, after, `version ${from}`, to === null ? 'now' : `version ${to}`)
  }

  /** Makes a file what it was in an earlier version, which becomes the newest. @throws NOT_FOUND, PRECONDITION_FAILED, SLS_INVALID */
  async restore(path: string, version: number, author: Author, condition: Condition): Promise<SlsDocument> {
    const { text } = await this.version(path, version)
    if (text === null) throw brineError('CONFLICT', `in version ${version} the file was removed`)
    const isThere = (await find(await this.#place(path))) !== null
    return (await this.write(path, text, author, isThere ? { match: '*', ...condition } : condition)).document
  }

  async #write(path: string, text: string, author: Author, condition: Condition): Promise<{ document: SlsDocument; created: boolean }> {
    const place = await this.#place(path)
    const found = await find(place)
    check(place.path, found, condition)
    await this.#checkText(place.path, text)
    if (found?.text === text) return { document: await this.#document(place, found), created: false }
    const target = await placeInside(place.root, place.parts)
    if (target === null) throw refused()
    const act = found === null ? 'created' : 'changed'
    await replaceFile(target.file, text, target.mode ?? 0o644, () => this.#record(place, found, text, act, author))
    return { document: await this.#document(place, (await find(place))!), created: found === null }
  }

  async #checkText(path: string, text: string): Promise<void> {
    if (text.length > MAX_TEXT) throw brineError('FIELD_INVALID', 'text', `is longer than ${MAX_TEXT} characters`)
    if (text.includes('\0')) throw brineError('FIELD_INVALID', 'text', 'has a NUL character')
    const { fault } = await this.check(path, text)
    if (fault !== null) throw brineError('SLS_INVALID', placedText(fault, fault.message))
  }

  /** The change, and before it what was found on disk if nobody has told of that. */
  async #record(place: Place, found: Found | null, text: string | null, act: string, author: Author): Promise<void> {
    const { store, events, clock } = this.#o
    const last = (await store.rules.slsVersions(place.file))[0]
    const versions: SlsVersion[] = []
    const add = (content: string | null, changedBy: string, changedUs: number) => {
      const version = (last?.version ?? 0) + versions.length + 1
      const hash = content === null ? null : hashOf(content)
      versions.push({ file: place.file, version, hash, text: content, changedBy, changedUs })
    }
    if (found !== null && found.hash !== last?.hash) add(found.text, '', found.changedUs)
    add(text, author.user, clock.nowUs())
    const data = { act, file: place.file, version: versions.at(-1)!.version, user: author.user }
    const event = events.prepare(REACTOR_SLS, data, { source: author.source })
    if ((await store.rules.putSls(versions, last?.version ?? 0, [event])) === 'conflict')
      throw brineError('PRECONDITION_FAILED', place.path)
  }

  async #document({ path, file, root }: Place, { text, hash, changedUs }: Found): Promise<SlsDocument> {
    return { path, file, root, text, etag: etagOf(hash), changedUs, warnings: (await this.check(path, text)).warnings }
  }

  /** Where a path is, or would be: in the first root that has it, else in the first. */
  async #place(path: string): Promise<Place> {
    const parts = partsOf(path)
    // Names that begin with a dot are left out of globs, and are those of files that are being written.
    const odd = parts === null || path.length > 1024 || parts.some(part => part.startsWith('.') || /[\u0000-\u001f\u007f]/.test(part))
    if (odd) throw refused()
    const [first] = this.#o.roots
    if (first === undefined) throw brineError('NO_REACTOR_ROOTS')
    const at = (root: string): Place => ({ root, parts, path: parts.join('/'), file: join(root, ...parts) })
    for (const root of this.#o.roots) {
      const file = await openInside(root, parts)
      if (file === null) continue
      await file.close()
      return at(root)
    }
    return at(first)
  }

  async #existing(path: string): Promise<Place> {
    const place = await this.#place(path)
    if ((await find(place)) === null) throw brineError('NOT_FOUND', place.path.slice(0, 200))
    return place
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(() => tellingWhy(work))
    this.#turn = mine.catch(() => {})
    return mine
  }
}

function refused(): Error {
  return brineError('FIELD_INVALID', 'path', 'is no path of a plain file below reactor_roots')
}

/** What the file system refuses is told as what it is. */
async function tellingWhy<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === 'ENAMETOOLONG' || code === 'ENOTDIR') throw refused()
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
      throw brineError('CONFLICT', `the server itself may not do this (${code})`)
    if (code === 'ENOSPC' || code === 'EDQUOT') throw brineError('STORE_FULL')
    throw error
  }
}

/** @throws PRECONDITION_REQUIRED, PRECONDITION_FAILED */
function check(path: string, found: Found | null, { match, absent = false }: Condition): void {
  if (absent ? found !== null : found === null && match !== undefined) throw brineError('PRECONDITION_FAILED', path)
  if (absent || found === null || match === '*') return
  if (match === undefined) throw brineError('PRECONDITION_REQUIRED', path)
  const tags = match.split(',').map(tag => tag.trim().replace(/^W\//, ''))
  if (!tags.includes(etagOf(found.hash))) throw brineError('PRECONDITION_FAILED', path)
}

async function find({ root, parts, path }: Place): Promise<Found | null> {
  const file = await openInside(root, parts)
  if (file === null) return null
  try {
    const { size, mtimeMs } = await file.stat()
    if (size > MAX_READ) throw brineError('FIELD_INVALID', 'path', `${path} is larger than ${MAX_READ} bytes`)
    const text = await file.readFile('utf8')
    return { text, hash: hashOf(text), changedUs: Math.round(mtimeMs * 1000) }
  } finally {
    await file.close()
  }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Half of the hash is as good as all of it. */
export function etagOf(hash: string): string {
  return `"${hash.slice(0, 32)}"`
}

interface Walk {
  left: number
  readonly found: Map<string, SlsEntry>
}

interface Folder {
  readonly root: string
  /** The root without links. */
  readonly real: string
  readonly dir: string
  readonly prefix: string
  readonly depth: number
}

/** Links are followed as long as they stay below the root. */
async function listInto(walk: Walk, folder: Folder): Promise<void> {
  if (folder.depth > MAX_DEPTH) return
  // What the server may not look into is as if it were not there.
  const entries = await opendir(folder.dir).catch(() => [])
  for await (const entry of entries) {
    if (--walk.left < 0) throw brineError('TOO_MANY', `files in reactor_roots (more than ${MAX_LISTED})`)
    if (entry.name.startsWith('.')) continue
    const path = `${folder.prefix}${entry.name}`
    const real = await realpath(join(folder.dir, entry.name)).catch(() => null)
    if (real === null || !isInside(folder.real, real)) continue
    const info = await stat(real).catch(error => {
      if (isAbsent(error)) return null
      throw error
    })
    if (info?.isDirectory()) await listInto(walk, { ...folder, dir: real, prefix: `${path}/`, depth: folder.depth + 1 })
    else if (info?.isFile() && !walk.found.has(path)) {
      const { root } = folder
      walk.found.set(path, { path, file: join(root, path), root, size: info.size, changedUs: Math.round(info.mtimeMs * 1000) })
    }
  }
}
