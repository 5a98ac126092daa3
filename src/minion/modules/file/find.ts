/** Salt's `file.find`: files below a path by type, name, owner, size, age or content; printed, removed, or given to a command. */
import type { Stats } from 'node:fs'
import { lstat, readdir, readFile, realpath, rm, rmdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { compileGlob } from '../../../tags/glob.js'
import { runCommand } from '../../command.js'
import type { ModuleContext } from '../../context.js'
import { hashFile } from '../../files.js'
import { modeOf } from '../../states/file/place.js'
import { findGroupId, findUser, nameOfId } from '../../users.js'
import { InvocationError } from '../errors.js'
import { quoteWord } from '../shlex.js'
import { isMapping, type Mapping, number, text, texts } from '../values.js'
import { FilePattern } from './pattern.js'

interface Found {
  readonly path: string
  readonly stats: Stats
}

type Test = (found: Found) => boolean | Promise<boolean>

const OPTIONS = [
  'name',
  'iname',
  'regex',
  'iregex',
  'type',
  'owner',
  'group',
  'size',
  'mtime',
  'grep',
  'print',
  'exec',
  'delete',
  'maxdepth',
  'mindepth'
]

/** Entries at most: a list of more is for a database, not for a return. */
const MAX_FOUND = 1_000_000

export async function find(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const wish = optionsOf(a)
  const tests = await testsOf(wish)
  const [least, most] = [depth(wish.mindepth, 0), depth(wish.maxdepth, Number.POSITIVE_INFINITY)]
  const found: Found[] = []
  const root = text(a.path, 'path')
  await walk(root, 0)
  if (wish.delete !== undefined) return removeFound(found, wish.delete)
  if (wish.exec !== undefined) return execFound(ctx, found, text(wish.exec, 'exec'))
  return Promise.all(found.map(entry => printed(entry, wish.print)))

  async function walk(path: string, level: number): Promise<void> {
    const stats = await lstat(path).catch(() => null)
    if (!stats) return
    if (level >= least && (await every(tests, { path, stats })) && found.push({ path, stats }) > MAX_FOUND)
      throw new InvocationError(`more than ${MAX_FOUND} files are found`)
    if (level >= most || !stats.isDirectory()) return
    for (const name of (await readdir(path).catch((): string[] => [])).sort()) await walk(join(path, name), level + 1)
  }
}

function depth(wish: unknown, otherwise: number): number {
  return wish === undefined ? otherwise : number(wish, 'depth')
}

/** Options come as keywords, or as texts `name=value`. */
function optionsOf(a: Mapping): Mapping {
  const given = Object.fromEntries(Object.entries(isMapping(a.kwargs) ? a.kwargs : {}).filter(([key]) => !key.startsWith('__pub_')))
  for (const arg of Array.isArray(a.args) ? a.args : []) {
    const [key, value] = text(arg, 'option').split(/=(.*)/s)
    given[key!] = value ?? ''
  }
  const unknown = Object.keys(given).find(key => !OPTIONS.includes(key))
  if (unknown !== undefined) throw new InvocationError(`invalid criterion "${unknown}" specified`)
  return given
}

async function every(tests: readonly Test[], found: Found): Promise<boolean> {
  for (const test of tests) if (!(await test(found))) return false
  return true
}

async function testsOf(wish: Mapping): Promise<Test[]> {
  const tests: Test[] = []
  for (const [key, value] of Object.entries(wish)) {
    const test = await testOf(key, value)
    if (test) tests.push(test)
  }
  return tests
}

/** null: no criterion, but something to do. */
async function testOf(key: string, value: unknown): Promise<Test | null> {
  switch (key) {
    case 'name':
    case 'iname': {
      const fold = (name: string): string => (key === 'iname' ? name.toLowerCase() : name)
      const matches = compileGlob(fold(text(value, key)))
      return ({ path }) => matches(fold(basename(path)))
    }
    case 'regex':
    case 'iregex': {
      const pattern = new FilePattern(text(value, key), key === 'iregex' ? 2 : 0)
      return ({ path }) => pattern.test(basename(path))
    }
    case 'type': {
      const kinds = texts(value, key).flatMap(kind => [...kind])
      return ({ stats }) => kinds.includes('a') || kinds.includes(kindOf(stats))
    }
    case 'owner': {
      const ids = await Promise.all(texts(value, key).map(async name => (await findUser(name))?.uid ?? null))
      return ({ stats }) => ids.includes(stats.uid)
    }
    case 'group': {
      const ids = await Promise.all(texts(value, key).map(findGroupId))
      return ({ stats }) => ids.includes(stats.gid)
    }
    case 'size':
      return sizeTest(text(value, key))
    case 'mtime':
      return ageTest(text(value, key))
    case 'grep': {
      const pattern = new FilePattern(text(value, key))
      return async ({ path, stats }) => stats.isFile() && pattern.test(await readFile(path, 'utf8').catch(() => ''))
    }
    default:
      return null
  }
}

function kindOf(stats: Stats): string {
  if (stats.isSymbolicLink()) return 'l'
  if (stats.isDirectory()) return 'd'
  if (stats.isFile()) return 'f'
  if (stats.isFIFO()) return 'p'
  if (stats.isSocket()) return 's'
  return stats.isBlockDevice() ? 'b' : 'c'
}

const SIZES: Readonly<Record<string, number>> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }

/** `+10k`: at least, `-10k`: at most, `10k`: as large, to the unit. */
function sizeTest(wish: string): Test {
  const match = /^([+-]?)([\d.]+)([bkmgt]?)$/i.exec(wish.trim())
  if (!match) throw new InvocationError(`invalid size: "${wish}"`)
  const unit = SIZES[match[3]!.toLowerCase()]!
  const size = Number(match[2]) * unit
  if (match[1] === '-') return ({ stats }) => stats.size <= size
  if (match[1] === '+') return ({ stats }) => stats.size >= size
  return ({ stats }) => stats.size >= size && stats.size <= size + unit - 1
}

const SECONDS: Readonly<Record<string, number>> = { w: 604_800, d: 86_400, h: 3600, m: 60, s: 1 }

/** `+2w3d`: modified before that, `-1h`: since then, `1d`: so long ago, to the smallest unit. */
function ageTest(wish: string): Test {
  const match = /^([+-]?)((?:[\d.]+[wdhms])+)$/i.exec(/[a-z]$/i.test(wish) ? wish : `${wish}s`)
  if (!match) throw new InvocationError(`invalid time interval: "${wish}"`)
  const parts = [...match[2]!.matchAll(/([\d.]+)([wdhms])/gi)]
  const seconds = parts.reduce((sum, [, count, unit]) => sum + Number(count) * SECONDS[unit!.toLowerCase()]!, 0)
  const resolution = Math.min(...parts.map(([, , unit]) => SECONDS[unit!.toLowerCase()]!))
  const at = Date.now() / 1000 - Math.floor(seconds / resolution) * resolution
  const modified = ({ stats }: Found): number => stats.mtimeMs / 1000
  if (match[1] === '+') return found => modified(found) <= at
  if (match[1] === '-') return found => modified(found) >= at
  return found => modified(found) <= at && modified(found) >= at - resolution
}

const PRINTED: Readonly<Record<string, (found: Found) => unknown>> = {
  group: ({ stats }) => nameOfId('group', stats.gid),
  md5: async ({ path, stats }) => (stats.isFile() ? hashFile(path, 'md5') : ''),
  mode: ({ stats }) => Number.parseInt(modeOf(stats), 8),
  mtime: ({ stats }) => Math.floor(stats.mtimeMs / 1000),
  name: ({ path }) => basename(path),
  owner: ({ stats }) => nameOfId('passwd', stats.uid),
  path: ({ path }) => path,
  size: ({ stats }) => stats.size,
  type: ({ stats }) => kindOf(stats)
}

async function printed(found: Found, wish: unknown): Promise<unknown> {
  const columns = texts(wish ?? 'path', 'print')
  const unknown = columns.find(column => !Object.hasOwn(PRINTED, column))
  if (unknown !== undefined) throw new InvocationError(`"${unknown}" is not a printable property`)
  const values = await Promise.all(columns.map(column => PRINTED[column]!(found)))
  return values.length === 1 ? values[0] : values
}

/** `delete=fd`: kinds that are removed, files when nothing is said; members before their directories. */
async function removeFound(found: readonly Found[], wish: unknown): Promise<string[]> {
  const kinds = wish === true || wish === '' || wish === 'True' ? ['f'] : [...text(wish, 'delete')]
  const removed: string[] = []
  for (const { path, stats } of found.toReversed()) {
    if (!kinds.includes('a') && !kinds.includes(kindOf(stats))) continue
    await (stats.isDirectory() ? rmdir(path) : rm(path)).then(
      () => removed.unshift(path),
      () => {} // what cannot be removed is not told as removed
    )
  }
  return removed
}

/** The last lines that the command printed for each; `{}` stands for the path. */
async function execFound(ctx: ModuleContext, found: readonly Found[], command: string): Promise<unknown[]> {
  const outputs: string[] = []
  for (const { path } of found) {
    const absolute = await realpath(dirname(path)).then(dir => join(dir, basename(path)))
    const line = command.includes('{}') ? command.replaceAll('{}', quoteWord(absolute)) : `${command} ${quoteWord(absolute)}`
    outputs.push((await runCommand(ctx, line, { python_shell: true })).stdout)
  }
  return outputs.filter(output => output !== '')
}
