import { readFileSync, realpathSync, statSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, normalize, relative, sep } from 'node:path'
import { isInside } from '../shared/inside.js'
import { compileSegment, hasWildcards } from './path-glob.js'

/**
 * Where SLS files come from: a path, a shell glob of paths, or `salt://…` below the file roots. Only reads; what it finds is text.
 */
export interface SlsSource {
  /** Where the text is, for error messages and as `__sls__`. */
  readonly file: string
  readonly text: string
}

/** The file is not there (or is no file), or cannot be read now: it may be there later, so the plan is tried again. */
export class SlsMissing extends Error {
  constructor(reference: string, reason: string) {
    super(`SLS ${reference} cannot be read: ${reason}`)
    this.name = 'SlsMissing'
  }
}

export interface SlsFilesOptions {
  /** Setting `file_roots`: environment → directories. The reactor reads from `base`. */
  readonly fileRoots: Readonly<Record<string, readonly string[]>>
  /** Setting `reactor_roots`: where imports look after the file roots. */
  readonly reactorRoots?: readonly string[]
}

/** An SLS is written by hand; a larger file is something else. */
const MAX_BYTES = 1024 * 1024
/** Files that one glob may mean, and folder entries that are looked at for it. */
const MAX_FILES = 1000
const MAX_ENTRIES = 20_000
/** Files whose text is kept. Beyond it the one read first is read again when it is needed. */
const MAX_CACHED = 1000

interface Cached {
  readonly stamp: string
  readonly source: SlsSource
}

export class SlsFiles {
  readonly #roots: readonly string[]
  readonly #reactorRoots: readonly string[]
  readonly #cache = new Map<string, Cached>()
  readonly #reading = new Map<string, Promise<SlsSource>>()

  constructor({ fileRoots, reactorRoots = [] }: SlsFilesOptions) {
    this.#roots = fileRoots.base ?? []
    this.#reactorRoots = reactorRoots
  }

  /**
   * The files that a reference means, sorted, as Python's glob finds them: `*` and `?` stay within a folder and leave out names that begin
   * with a dot. `salt://` globs mean the files of all roots. A reference without wildcards means itself, whether the file is there or not; a glob that
   * finds nothing too, so that the plan says what is missing.
   */
  async expand(reference: string): Promise<readonly string[]> {
    if (!isGlob(reference)) return [reference]
    const found = reference.startsWith('salt://') ? await this.#globRoots(reference) : await this.#glob('/', reference)
    return found.length === 0 ? [reference] : found
  }

  /** As `salt://` references: which root has a file is found when it is read. */
  async #globRoots(reference: string): Promise<string[]> {
    const below = belowRoot(reference)
    if (below === null) return []
    const found = await Promise.all(
      this.#roots.map(async root => (await this.#glob(root, below)).map(file => `salt://${relative(root, file)}`))
    )
    return [...new Set(found.flat())].sort()
  }

  /** The text of one file. Events that come together share one look at the disk. @throws SlsMissing */
  load(reference: string): Promise<SlsSource> {
    const running = this.#reading.get(reference)
    if (running) return running
    const reading = this.#load(reference).finally(() => this.#reading.delete(reference))
    this.#reading.set(reference, reading)
    return reading
  }

  /**
   * For imports in templates: the text of a file, at once; null when there is none. A name, with or without `salt://`, means a file below the file
   * roots, as in Salt, and then one below the reactor roots; `./name` and `../name` one beside the file that imports it, below the root that has
   * that file (a file of no root: below its own directory). Nothing else is reached, neither by `..` nor, but for the file roots, by links.
   */
  include(name: string, from?: string): SlsSource | null {
    for (const { root, below } of isBeside(name) ? this.#besides(name, from) : this.#named(name)) {
      const file = join(root, below)
      const info = statSync(file, { throwIfNoEntry: false })
      if (!info?.isFile() || info.size > MAX_BYTES) continue
      if (this.#roots.includes(root) || isInside(realpathSync(root), realpathSync(file))) return { file, text: readFileSync(file, 'utf8') }
    }
    return null
  }

  #named(name: string): Place[] {
    const below = belowRoot(name.startsWith('salt://') ? name : `salt://${name}`)
    return below === null ? [] : [...this.#roots, ...this.#reactorRoots].map(root => ({ root, below }))
  }

  #besides(name: string, from: string | undefined): Place[] {
    if (from === undefined || !isAbsolute(from)) return this.#named(join(dirname(from ?? ''), name))
    const root = [...this.#roots, ...this.#reactorRoots].find(each => isInside(each, from)) ?? dirname(from)
    const below = belowRoot(`salt://${relative(root, join(dirname(from), name))}`)
    return below === null ? [] : [{ root, below }]
  }

  async #load(reference: string): Promise<SlsSource> {
    const file = reference.startsWith('salt://') ? await this.#find(reference) : reference
    if (!isAbsolute(file)) throw new SlsMissing(reference, 'it is no absolute path')
    try {
      const { mtimeMs, size, ino } = await regular(file)
      const stamp = `${mtimeMs} ${size} ${ino}`
      const cached = this.#cache.get(file)
      if (cached?.stamp === stamp) return cached.source
      const source = { file, text: await readFile(file, 'utf8') }
      this.#remember(file, { stamp, source })
      return source
    } catch (error) {
      throw new SlsMissing(reference, reasonOf(error))
    }
  }

  #remember(file: string, entry: Cached): void {
    this.#cache.delete(file)
    this.#cache.set(file, entry)
    if (this.#cache.size > MAX_CACHED) this.#cache.delete(this.#cache.keys().next().value!)
  }

  async #find(reference: string): Promise<string> {
    const below = belowRoot(reference)
    if (below === null) throw new SlsMissing(reference, 'it leaves the file roots')
    for (const root of this.#roots) {
      const file = join(root, below)
      if ((await stat(file).catch(() => null))?.isFile()) return file
    }
    throw new SlsMissing(reference, 'no file root of the environment base has it')
  }

  async #glob(from: string, pattern: string): Promise<string[]> {
    // what ends so are folders
    if (/(?:^|\/)\.{0,2}$/.test(pattern)) return []
    const segments = pattern.split('/').filter(Boolean)
    let entries = MAX_ENTRIES
    let folders = [from]
    for (const [i, segment] of segments.entries()) {
      const last = i === segments.length - 1
      const means = compileSegment(segment)
      const next: string[] = []
      for (const folder of folders) {
        if (!hasWildcards(segment)) {
          next.push(join(folder, segment))
          continue
        }
        const names = (await readdir(folder).catch(() => [])).sort().slice(0, entries)
        entries -= names.length
        next.push(...names.filter(means).map(name => join(folder, name)))
      }
      folders = next.slice(0, MAX_FILES)
      if (last) break
    }
    const files = await Promise.all(folders.map(async file => ((await stat(file).catch(() => null))?.isFile() ? file : null)))
    return files.filter(file => file !== null).sort()
  }
}

/** Whether a reference may mean several files; the `?` of `?saltenv=` is no wildcard. */
export function isGlob(reference: string): boolean {
  return hasWildcards(reference.startsWith('salt://') ? withoutSaltenv(reference) : reference)
}

function withoutSaltenv(reference: string): string {
  return reference.replace(/\?saltenv=[^?]*$/, '')
}

interface Place {
  readonly root: string
  readonly below: string
}

/** Whether a name in an import means a file beside the importing one. */
export function isBeside(name: string): boolean {
  return /^\.\.?\//.test(name)
}

/** The path below a file root of a `salt://` reference, without its `?saltenv=`; null when it would leave the root. */
export function belowRoot(reference: string): string | null {
  const path = withoutSaltenv(reference).slice('salt://'.length)
  const below = normalize(path.replace(/^\/+/, ''))
  return path.includes('\0') || below === '.' || below === '..' || below.startsWith(`..${sep}`) || isAbsolute(below) ? null : below
}

async function regular(file: string): Promise<{ mtimeMs: number; size: number; ino: number }> {
  const info = await stat(file)
  if (!info.isFile()) throw new Error('it is no file')
  if (info.size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`)
  return info
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code === 'ENOENT' ? 'there is no such file' : (code ?? message)
}
