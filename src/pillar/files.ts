/** The files of `pillar_roots`, read where the pillar is compiled: synchronously, in a thread or process that nobody else waits for. */
import { opendirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { isAbsolute, join, relative, sep } from 'node:path'

/** Bytes of one pillar file: more is not configuration. */
const MAX_FILE = 8 * 1024 * 1024
/** Entries of one root that are looked at for globs: a tree beyond it is a mistake (a root of `/`). */
const MAX_LISTED = 100_000
/** Files that are remembered by their time of change; the oldest goes first. */
const MAX_KEPT = 2_000

export class PillarFiles {
  readonly #roots: Readonly<Record<string, readonly string[]>>
  readonly #kept = new Map<string, { key: string; text: string }>()

  constructor(roots: Readonly<Record<string, readonly string[]>>) {
    this.#roots = roots
  }

  environments(): string[] {
    return Object.keys(this.#roots).filter(name => name !== '__env__')
  }

  /** The text of the first file with this path (relative, `/` between its parts) in the environment's roots; null when there is none. */
  read(path: string, saltenv: string): string | null {
    const parts = path.split('/')
    if (isAbsolute(path) || parts.includes('..') || path.includes('\0')) return null
    for (const root of this.#rootsOf(saltenv)) {
      const real = inside(root, join(root, ...parts))
      const text = real === null ? null : this.#text(real)
      if (text !== null) return text
    }
    return null
  }

  /** Names of all SLS files (`a.b` for `a/b.sls` and `a/b/init.sls`), sorted. */
  names(saltenv: string): string[] {
    const names = new Set<string>()
    for (const root of this.#rootsOf(saltenv)) {
      const budget = { left: MAX_LISTED }
      walk(root, root, '', names, budget, 0)
    }
    return [...names].sort()
  }

  /** Salt's dynamic environment: `__env__` stands for every environment that is not written out. */
  #rootsOf(saltenv: string): readonly string[] {
    if (Object.hasOwn(this.#roots, saltenv)) return this.#roots[saltenv]!
    const any = Object.hasOwn(this.#roots, '__env__') && /^[\w.-]{1,255}$/.test(saltenv) ? this.#roots.__env__! : []
    return any.map(root => root.replaceAll('__env__', saltenv))
  }

  #text(path: string): string | null {
    const found = statSync(path, { throwIfNoEntry: false })
    if (!found?.isFile()) return null
    if (found.size > MAX_FILE) throw new Error(`${path} is larger than ${MAX_FILE} bytes`)
    const key = `${found.ino}:${found.size}:${found.mtimeMs}:${found.ctimeMs}`
    const kept = this.#kept.get(path)
    if (kept?.key === key) return kept.text
    const text = readFileSync(path, 'utf8')
    if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value!)
    this.#kept.set(path, { key, text })
    return text
  }
}

/** The real path, if it stays inside of the root: neither `..` nor a link leads out of it. */
function inside(root: string, path: string): string | null {
  try {
    const real = realpathSync(path)
    const way = relative(realpathSync(root), real)
    return way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way) ? null : real
  } catch {
    return null
  }
}

function walk(root: string, dir: string, prefix: string, names: Set<string>, budget: { left: number }, depth: number): void {
  // Deeper than any tree that people name: a link that leads in circles ends here.
  if (depth > 40 || inside(root, dir) === null || !statSync(dir, { throwIfNoEntry: false })?.isDirectory()) return
  const entries = opendirSync(dir)
  try {
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      if (--budget.left < 0) throw new Error(`${root} has more than ${MAX_LISTED} entries`)
      const path = join(dir, entry.name)
      if (entry.isDirectory() || entry.isSymbolicLink()) walk(root, path, `${prefix}${entry.name}.`, names, budget, depth + 1)
      if (entry.name.endsWith('.sls') && !entry.name.slice(0, -4).includes('.')) names.add(nameOf(prefix, entry.name))
    }
  } finally {
    entries.closeSync()
  }
}

function nameOf(prefix: string, file: string): string {
  return file === 'init.sls' && prefix !== '' ? prefix.slice(0, -1) : prefix + file.slice(0, -'.sls'.length)
}
