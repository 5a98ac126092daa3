/**
 * The files of `file_roots`: directories by environment, of which the first that has a path wins. Nothing outside of a root is ever read,
 * neither by `..` nor by a link that leads out of it.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, opendir, readlink, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { BrineError, brineError } from '../errors.js'
import { isAbsent, isInside, openInside, partsOf } from '../shared/inside.js'

/** Hashes that are remembered, by file and time of change: a few MB. The oldest goes first. */
const MAX_HASHES = 20_000
/** Entries of one root that are looked at: a tree beyond it is a mistake (a root of `/`), and walking it would stall the server. */
const MAX_LISTED = 100_000

export interface RootFile {
  /** SHA-256, 64 hex digits. */
  readonly hash: string
  /** Bytes. */
  readonly size: number
  /** The bytes from `from` (0) to `to` (the last one), both included; to be read or destroyed. */
  content(from?: number, to?: number): Readable
  /** Without reading it. May be called twice. */
  close(): Promise<void>
}

/** All that an environment has, its roots laid over each other. Paths are relative, sorted. */
export interface RootsTree {
  readonly files: string[]
  /** Empty ones too. */
  readonly directories: string[]
  /** Links that stay inside of their root, path → target as it is written. What they lead to is among the files, too. */
  readonly links: Readonly<Record<string, string>>
}

export class FileRoots {
  readonly #roots: Readonly<Record<string, readonly string[]>>
  readonly #hashes = new Map<string, string>()

  constructor(roots: Readonly<Record<string, readonly string[]>>) {
    this.#roots = roots
  }

  environments(): string[] {
    return Object.keys(this.#roots)
  }

  /** The file under `path` (relative, `/` between its parts); null when no root has it, or it is no file. Throws FIELD_INVALID for a path that leaves the roots. */
  async open(path: string, saltenv: string): Promise<RootFile | null> {
    const parts = checkedParts(path)
    for (const root of this.#rootsOf(saltenv)) {
      const file = await openInside(root, parts)
      if (file === null) continue
      try {
        return await this.#describe(file)
      } catch (error) {
        await file.close()
        throw error
      }
    }
    return null
  }

  /** Paths of all files of an environment, sorted. Links are followed as long as they stay inside of their root. */
  async list(saltenv: string): Promise<string[]> {
    return (await this.tree(saltenv)).files
  }

  async tree(saltenv: string): Promise<RootsTree> {
    const found: Walk['found'] = { files: new Set(), directories: new Set(), links: new Map() }
    for (const root of this.#rootsOf(saltenv)) {
      const real = await realOf(root)
      if (real !== null) await walk({ root: real, found, way: new Set(), seen: 0 }, real, '')
    }
    return { files: [...found.files].sort(), directories: [...found.directories].sort(), links: Object.fromEntries(found.links) }
  }

  #rootsOf(saltenv: string): readonly string[] {
    return Object.hasOwn(this.#roots, saltenv) ? this.#roots[saltenv]! : []
  }

  async #describe(file: FileHandle): Promise<RootFile> {
    const { dev, ino, size, mtimeNs } = await file.stat({ bigint: true })
    const key = `${dev}:${ino}:${size}:${mtimeNs}`
    const known = this.#hashes.get(key)
    const hash = known ?? (await hashOf(file))
    if (known === undefined) this.#remember(key, hash)
    return {
      hash,
      size: Number(size),
      // Never more than was announced, should the file grow meanwhile.
      content: (from = 0, to = Number(size) - 1) =>
        size === 0n ? Readable.from([]).once('close', () => void file.close()) : file.createReadStream({ start: from, end: to }),
      close: () => file.close()
    }
  }

  #remember(key: string, hash: string): void {
    if (this.#hashes.size >= MAX_HASHES) this.#hashes.delete(this.#hashes.keys().next().value!)
    this.#hashes.set(key, hash)
  }
}

function checkedParts(path: string): string[] {
  const parts = partsOf(path)
  if (parts === null) throw brineError('FIELD_INVALID', 'path', 'is no path below file_roots')
  return parts
}

async function realOf(path: string): Promise<string | null> {
  try {
    return await realpath(path)
  } catch (error) {
    if (isAbsent(error)) return null
    throw error
  }
}

async function hashOf(file: FileHandle): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of file.createReadStream({ start: 0, autoClose: false })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

interface Walk {
  readonly root: string
  readonly found: { readonly files: Set<string>; readonly directories: Set<string>; readonly links: Map<string, string> }
  /** Directories that are being walked, so that a link to a parent does not lead in circles. */
  readonly way: Set<string>
  seen: number
}

async function walk(all: Walk, dir: string, prefix: string): Promise<void> {
  if (all.way.has(dir)) return
  all.way.add(dir)
  for await (const entry of await opendir(dir)) {
    if (++all.seen > MAX_LISTED) throw new BrineError('TOO_MANY', [`files in file_roots (more than ${MAX_LISTED})`])
    const path = prefix === '' ? entry.name : `${prefix}/${entry.name}`
    const real = entry.isSymbolicLink() ? await realOf(join(dir, entry.name)) : join(dir, entry.name)
    if (real === null || !isInside(all.root, real)) continue
    const what = entry.isSymbolicLink() ? await stat(real) : entry
    // The first root that has a path decides what it is.
    if (entry.isSymbolicLink() && !all.found.links.has(path)) all.found.links.set(path, await readlink(join(dir, entry.name)))
    if (what.isDirectory()) {
      all.found.directories.add(path)
      await walk(all, real, path)
    } else if (what.isFile()) all.found.files.add(path)
  }
  all.way.delete(dir)
}
