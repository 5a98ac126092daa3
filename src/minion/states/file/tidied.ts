import type { Stats } from 'node:fs'
import { lstat, readdir, rm } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { messageOf } from '../../modules/errors.js'
import { FilePattern } from '../../modules/file/pattern.js'
import { flag, type Mapping, number, text, texts } from '../../modules/values.js'
import { type StateContext, type StateResult, stateFn } from '../state.js'
import { answer } from './place.js'

export const tidied = stateFn(
  "tidied(name, age=0, matches=None, rmdirs=False, size=0, exclude=None, full_path_match=False, followlinks=False, time_comparison='atime', age_size_logical_operator='OR', age_size_only=None, rmlinks=True, **kwargs)",
  `Removes old or large files below a directory: age in days (of atime, mtime or ctime), size in bytes or with a unit, matches: expressions of
names. rmdirs removes empty and old directories, too.`,
  tidy
)

interface Wish {
  readonly days: number
  readonly bytes: number
  readonly time: 'atimeMs' | 'mtimeMs' | 'ctimeMs'
  readonly both: boolean
  readonly only: string | null
  readonly matches: readonly FilePattern[]
  readonly exclude: readonly FilePattern[]
  readonly fullPath: boolean
  readonly links: boolean
  readonly directories: boolean
}

async function tidy(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name')
  if (!isAbsolute(name)) return answer(name, false, `Specified file ${name} is not an absolute path`)
  if (!(await lstat(name).catch(() => null))?.isDirectory()) return answer(name, false, `${name} does not exist or is not a directory.`)
  const wish = wishOf(a)
  const goes: string[] = []
  await collect(name, wish, goes)
  if (goes.length === 0) return answer(name, true, `Nothing to remove from directory ${name}`)
  if (ctx.test) return answer(name, null, `${name} is set to be tidied`, { removed: goes })
  const removed: string[] = []
  for (const path of goes) {
    try {
      await rm(path, { recursive: true })
      removed.push(path)
    } catch (error) {
      return answer(name, false, messageOf(error), removed.length > 0 ? { removed } : {})
    }
  }
  return answer(name, true, `Removed ${removed.length} files or directories from directory ${name}`, { removed })
}

function wishOf(a: Mapping): Wish {
  const patterns = (given: unknown, otherwise: string[]): FilePattern[] => {
    const wanted = texts(given, 'matches')
    // Salt matches from the beginning of the name.
    return (wanted.length > 0 ? wanted : otherwise).map(pattern => new FilePattern(`\\A(?:${pattern})`, 0))
  }
  const time = text(a.time_comparison, 'time_comparison').toLowerCase()
  return {
    ...{ days: number(a.age, 'age'), bytes: bytesOf(a.size), both: text(a.age_size_logical_operator, 'operator').toUpperCase() === 'AND' },
    ...{ only: a.age_size_only === null ? null : text(a.age_size_only, 'age_size_only').toLowerCase(), fullPath: flag(a.full_path_match) },
    ...{ matches: patterns(a.matches, ['.*']), exclude: patterns(a.exclude, []), links: flag(a.rmlinks), directories: flag(a.rmdirs) },
    time: time === 'mtime' ? 'mtimeMs' : time === 'ctime' ? 'ctimeMs' : 'atimeMs'
  }
}

const UNITS: Readonly<Record<string, number>> = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }

/** `10`, `10k`, `1.5G` */
function bytesOf(size: unknown): number {
  const match = /^([\d.]+)\s*([bkmgt]?)b?$/i.exec(String(size).trim())
  return match ? Math.floor(Number(match[1]) * (UNITS[match[2]!.toLowerCase() || 'b'] ?? 1)) : number(size, 'size')
}

/** What goes, members of a directory before itself. */
async function collect(dir: string, wish: Wish, goes: string[]): Promise<number> {
  let left = 0
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name)
    const now = await lstat(path)
    const empty = now.isDirectory() && (await collect(path, wish, goes)) === 0
    if (isDue(wish, path, entry.name, now) && (now.isDirectory() ? wish.directories && empty : true)) goes.push(path)
    else left++
  }
  return left
}

function isDue(wish: Wish, path: string, name: string, now: Stats): boolean {
  if (now.isSymbolicLink() && !wish.links) return false
  const shown = wish.fullPath ? path : name
  if (!wish.matches.some(pattern => pattern.test(shown)) || wish.exclude.some(pattern => pattern.test(shown))) return false
  const old = Math.floor((Date.now() - now[wish.time]) / 86_400_000) >= wish.days
  const large = now.isDirectory() || now.size >= wish.bytes
  if (wish.only === 'age') return old
  if (wish.only === 'size') return large
  return wish.both ? old && large : (wish.days > 0 && old) || (wish.bytes > 0 && large) || (wish.days === 0 && wish.bytes === 0)
}
