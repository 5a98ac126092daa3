/** Removes from a directory what no state wants there. */
import type { Dirent } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import type { StateContext } from '../state.js'
import { isIncluded } from './patterns.js'

/** Paths of file states that the state requires: they stay, with all that is in those that are directories. */
export function requiredPaths(ctx: StateContext): string[] {
  return (ctx.requisites.require ?? []).filter(low => low.state === 'file').map(low => low.name)
}

/** What of a directory is not to be kept, deepest first. `exclude`: paths below the directory that stay whatever they are. */
export async function unwanted(dir: string, keep: Iterable<string>, exclude: string | null): Promise<string[]> {
  const trees = [...keep].map(path => path.replace(/(.)\/+$/, '$1'))
  const above = new Set<string>()
  for (const path of trees) for (let up = path; up !== dirname(up); up = dirname(up)) above.add(up)
  const roots = new Set(trees.filter(path => path !== dir))
  const found: string[] = []
  await walk(dir)
  return found.reverse()

  async function walk(at: string): Promise<void> {
    for (const entry of await readdir(at, { withFileTypes: true }).catch((): Dirent[] => [])) {
      const path = join(at, entry.name)
      if (roots.has(path)) continue
      if (above.has(path)) {
        await walk(path)
        continue
      }
      if (!isIncluded(relative(dir, path), null, exclude)) continue
      const before = found.length
      found.push(path)
      if (!entry.isDirectory()) continue
      await walk(path)
      // A directory with something in it that stays, stays.
      if (exclude !== null && (await holdsMore(path, found.length - before - 1))) found.splice(before, 1)
    }
  }

  async function holdsMore(path: string, goes: number): Promise<boolean> {
    // With their types, so that links are counted and not followed.
    return (await readdir(path, { recursive: true, withFileTypes: true })).length > goes
  }
}

export async function removeAll(paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path, { recursive: true, force: true })
}
