/**
 * Files of file_roots as files on this machine: from the server through a cache that knows its content by hash, or, masterless, from
 * directories of this machine.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readdir, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { CachedFile, FileClient } from './context.js'
import type { MasterClient, MasterFile, RootsShape } from './master.js'
import { CommandExecutionError, codeOf } from './modules/errors.js'
import type { MinionOptions } from './options.js'

/** The file client that the options ask for. */
export function openFileClient(options: MinionOptions, master: MasterClient): FileClient {
  return options.file_client === 'local' ? new LocalFiles(options.file_roots) : new CachedFiles(master, join(options.cachedir, 'files'))
}

export interface SaltUrl {
  readonly path: string
  readonly saltenv: string | null
}

/** `salt://a/b?saltenv=dev` → path and environment; null when the text is no such URL. Throws for a path that leaves the roots. */
export function parseSaltUrl(url: string): SaltUrl | null {
  if (!url.startsWith('salt://')) return null
  const [path, query] = url.slice('salt://'.length).replace(/^\|/, '').split('?')
  return { path: relativePath(path!), saltenv: query === undefined ? null : new URLSearchParams(query).get('saltenv') }
}

/** A path inside the roots, normalised; throws when it is none. */
export function relativePath(path: string): string {
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  if (parts.length === 0 || parts.includes('..') || path.includes('\0'))
    throw new CommandExecutionError(`'${path}' is no path below file_roots`)
  return parts.join('/')
}

interface Known {
  readonly hash: string
  readonly mtimeMs: number
  readonly size: number
}

class CachedFiles implements FileClient {
  readonly #master: MasterClient
  readonly #dir: string
  /** Hashes of cached files, so that a file is not read again to ask whether it is current. As many as there are files in the roots. */
  readonly #known = new Map<string, Known>()

  constructor(master: MasterClient, dir: string) {
    this.#master = master
    this.#dir = dir
  }

  async cacheFile(path: string, saltenv: string): Promise<CachedFile | null> {
    const target = join(this.#dir, relativePath(saltenv), relativePath(path))
    const known = await this.#knownHash(target)
    const answer = await this.#master.fetchFile(relativePath(path), saltenv, known)
    if (answer === 'unchanged' && known !== undefined) return { path: target, hash: known }
    if (answer === null || answer === 'unchanged') {
      await rm(target, { force: true })
      return null
    }
    await this.#makeRoom(target)
    await writeStream(target, answer)
    await this.#remember(target, answer.hash)
    return { path: target, hash: answer.hash }
  }

  listFiles(saltenv: string): Promise<string[]> {
    return this.#master.listFiles(saltenv)
  }

  async listTree(saltenv: string): Promise<RootsShape> {
    return (await this.#master.listTree?.(saltenv)) ?? { directories: [], links: {} }
  }

  listEnvironments(): Promise<string[]> {
    return this.#master.listEnvironments()
  }

  async #knownHash(target: string): Promise<string | undefined> {
    const now = await stat(target).catch(() => null)
    if (!now?.isFile()) return undefined
    const known = this.#known.get(target)
    if (known && known.mtimeMs === now.mtimeMs && known.size === now.size) return known.hash
    const hash = await hashFile(target)
    await this.#remember(target, hash)
    return hash
  }

  /** What was a directory on the server may be a file now, and the other way round: what is in the way goes. */
  async #makeRoom(target: string): Promise<void> {
    if ((await stat(target).catch(() => null))?.isDirectory()) await rm(target, { recursive: true, force: true })
    for (let dir = dirname(target); dir.length > this.#dir.length; dir = dirname(dir)) {
      const there = await stat(dir).catch(() => null)
      if (there?.isDirectory()) return
      if (there) await rm(dir, { force: true })
    }
  }

  async #remember(target: string, hash: string): Promise<void> {
    const { mtimeMs, size } = await stat(target)
    this.#known.set(target, { hash, mtimeMs, size })
  }
}

/** Writes beside the target, checks the hash, and moves into place, so that nobody ever sees half a file. */
async function writeStream(target: string, file: MasterFile): Promise<void> {
  await mkdir(dirname(target), { recursive: true, mode: 0o700 })
  const temporary = `${target}.${randomBytes(6).toString('hex')}`
  const hash = createHash('sha256')
  const through = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      done(null, chunk)
    }
  })
  try {
    await pipeline(Readable.from(file.content), through, createWriteStream(temporary, { mode: 0o600 }))
    const found = hash.digest('hex')
    if (found !== file.hash)
      throw new CommandExecutionError(`${target}: the file that arrived has hash ${found}, the server named ${file.hash}`)
    await rename(temporary, target)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

class LocalFiles implements FileClient {
  readonly #roots: MinionOptions['file_roots']

  constructor(roots: MinionOptions['file_roots']) {
    this.#roots = roots
  }

  async cacheFile(path: string, saltenv: string): Promise<CachedFile | null> {
    for (const root of this.#roots[saltenv] ?? []) {
      const file = join(root, relativePath(path))
      if ((await stat(file).catch(() => null))?.isFile()) return { path: file, hash: await hashFile(file) }
    }
    return null
  }

  async listFiles(saltenv: string): Promise<string[]> {
    return [...(await this.#tree(saltenv)).files].sort()
  }

  async listTree(saltenv: string): Promise<RootsShape> {
    const { directories, links } = await this.#tree(saltenv)
    return { directories: [...directories].sort(), links: Object.fromEntries(links) }
  }

  async #tree(saltenv: string): Promise<LocalTree> {
    const tree: LocalTree = { files: new Set(), directories: new Set(), links: new Map() }
    for (const root of this.#roots[saltenv] ?? []) await walkLocal(tree, { dir: root, prefix: '', way: [] })
    return tree
  }

  async listEnvironments(): Promise<string[]> {
    return Object.keys(this.#roots)
  }
}

interface LocalTree {
  readonly files: Set<string>
  readonly directories: Set<string>
  readonly links: Map<string, string>
}

/** Links are followed, as the server does; one that leads to a directory on the way to it would go on for ever. */
async function walkLocal(tree: LocalTree, { dir, prefix, way }: { dir: string; prefix: string; way: readonly string[] }): Promise<void> {
  const real = await realpath(dir).catch(() => dir)
  if (way.includes(real)) return
  for (const entry of await readdir(dir, { withFileTypes: true }).catch(emptyWhenMissing)) {
    const [path, below] = [join(dir, entry.name), prefix + entry.name]
    const what = entry.isSymbolicLink() ? await stat(path).catch(() => null) : entry
    if (what === null) continue
    if (entry.isSymbolicLink() && !tree.links.has(below)) tree.links.set(below, await readlink(path))
    if (what.isFile()) tree.files.add(below)
    if (!what.isDirectory()) continue
    tree.directories.add(below)
    await walkLocal(tree, { dir: path, prefix: `${below}/`, way: [...way, real] })
  }
}

function emptyWhenMissing(error: unknown): never[] {
  if (codeOf(error) === 'ENOENT') return []
  throw error
}

/** The hash of a file's content: `sha256`, `md5`, … as Node's crypto names them. */
export async function hashFile(path: string, algorithm = 'sha256'): Promise<string> {
  const hash = createHash(algorithm)
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
