/**
 * Files below a directory, and nothing outside of it: reached neither by `..` nor by a link that leads out. For what is named from afar.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, sep } from 'node:path'

/** The parts of a relative path; null when it is none, or leaves its root. */
export function partsOf(path: string): string[] | null {
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  return isAbsolute(path) || parts.includes('..') || path.includes('\0') || parts.length === 0 ? null : parts
}

export function isInside(root: string, path: string): boolean {
  const way = relative(root, path)
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}

/** The plain file at this place below the root, open for reading; null when there is none, or it lies outside. */
export async function openInside(root: string, parts: readonly string[]): Promise<FileHandle | null> {
  try {
    const realRoot = await realpath(root)
    const real = await realpath(join(realRoot, ...parts))
    if (!isInside(realRoot, real)) return null
    // A fifo would make the open wait for ever.
    const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    if ((await file.stat()).isFile()) return file
    await file.close()
    return null
  } catch (error) {
    if (isAbsent(error)) return null
    throw error
  }
}

export function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'EISDIR', 'ENXIO'].includes((error as NodeJS.ErrnoException).code ?? '')
}

/**
 * Where a file may be written below the root, whose directories are made; its mode when it is there. Null when a part of the path leads out of
 * the root or is no directory, or what stands there is no plain file: nothing is written through a link or a device.
 */
export async function placeInside(root: string, parts: readonly string[]): Promise<{ file: string; mode: number | null } | null> {
  await mkdir(root, { recursive: true })
  const dir = await makeInside(await realpath(root), parts.slice(0, -1))
  if (dir === null) return null
  const file = join(dir, parts.at(-1)!)
  const there = await lstat(file).catch(() => null)
  if (there !== null && !there.isFile()) return null
  return { file, mode: there === null ? null : there.mode & 0o777 }
}

/** The real directory below the root, made part by part, so that no part leads out of it; null when one does, or is no directory. */
async function makeInside(root: string, parts: readonly string[]): Promise<string | null> {
  let dir = root
  for (const part of parts) {
    const next = join(dir, part)
    await mkdir(next).catch(error => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    })
    const real = await realpath(next).catch(() => null)
    if (real === null || !isInside(root, real) || !(await stat(real)).isDirectory()) return null
    dir = real
  }
  return dir
}

/** A reader sees the old file or the new one, never half of it. `before`: what must have happened before the new one is seen. */
export async function replaceFile(file: string, data: string, mode: number, before?: () => Promise<void>): Promise<void> {
  const next = join(dirname(file), `.${randomBytes(6).toString('hex')}.new`)
  try {
    const handle = await open(next, 'wx', mode)
    try {
      await handle.writeFile(data)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await before?.()
    await rename(next, file)
  } catch (error) {
    await rm(next, { force: true })
    throw error
  }
}
