/**
 * `file_roots.*` and `pillar_roots.*`: the files of the roots, to be looked at and written from afar. Nothing outside of a root is reached,
 * neither by `..` nor by a link that leads out of it.
 */
import { type FileHandle, opendir, realpath, stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { ArgumentError, param, type ServerFunction, serverFunction } from '../runners/function.js'
import { isInside, openInside, partsOf, placeInside, replaceFile } from '../shared/inside.js'

/** Bytes of a file that is read or written: what a request and an answer may well carry, far more than an SLS file has. */
const MAX_FILE = 4 * 1024 * 1024
/** Entries of all roots that one answer lists: a tree beyond it is a mistake (a root of `/`). */
const MAX_LISTED = 50_000
/** So many first bytes say whether a file is text, as Salt's own test. */
const TEXT_PROBE = 512

type Roots = Readonly<Record<string, readonly string[]>>

/** A directory: names → `f` for a file, or what is in the directory of that name. */
interface Tree {
  [name: string]: 'f' | Tree
}

/** The five functions for one setting. `redact`: what an event may show of file contents. */
export function rootsWheel(setting: 'file_roots' | 'pillar_roots'): readonly ServerFunction[] {
  const what = setting === 'file_roots' ? 'files' : 'pillar files'
  const hideContents =
    setting === 'pillar_roots'
      ? {
          redact: (value: unknown) =>
            Array.isArray(value) ? value.map(each => mapValues(each as object, () => '(content removed)')) : value
        }
      : {}
  return [
    serverFunction({
      name: `${setting}.find`,
      doc: `Find the ${what} of this relative path in all roots of an environment: [{absolute path: txt or bin}].`,
      params: { path: param.text(), saltenv: param.textOr('base') },
      async run({ config }, { path, saltenv }) {
        return (await found(config[setting], path, saltenv)).map(({ full, text }) => ({ [full]: text === null ? 'bin' : 'txt' }))
      }
    }),
    serverFunction({
      name: `${setting}.list_env`,
      doc: `List the ${what} of an environment: {root: {name: f, directory: {…}}}.`,
      params: { saltenv: param.textOr('base') },
      run: ({ config }, { saltenv }) => listEnv(rootsOf(config[setting], saltenv), { left: MAX_LISTED })
    }),
    serverFunction({
      name: `${setting}.list_roots`,
      doc: `List the ${what} of all environments: {environment: [{root: {name: f, directory: {…}}}]}.`,
      async run({ config }) {
        const bound = { left: MAX_LISTED }
        const entries: [string, unknown[]][] = []
        for (const [env, roots] of Object.entries(config[setting])) {
          const listed = await listEnv(roots, bound)
          entries.push([env, Object.entries(listed).map(([root, tree]) => ({ [root]: tree }))])
        }
        return Object.fromEntries(entries)
      }
    }),
    serverFunction({
      name: `${setting}.read`,
      doc: `Read the text ${what} of this relative path in all roots of an environment: [{absolute path: content}].`,
      params: { path: param.text(), saltenv: param.textOr('base') },
      ...hideContents,
      async run({ config }, { path, saltenv }) {
        return (await found(config[setting], path, saltenv)).flatMap(({ full, text }) => (text === null ? [] : [{ [full]: text }]))
      }
    }),
    serverFunction({
      name: `${setting}.write`,
      doc: `Write a file below a root of an environment; \`index\` says which root. Directories are made. Returns a text that says what was done.`,
      params: { data: param.text(), path: param.text(), saltenv: param.textOr('base'), index: param.numberOr(0) },
      run: ({ config }, { data, path, saltenv, index }) => write(config[setting], { data, path, saltenv, index })
    })
  ]
}

function rootsOf(roots: Roots, saltenv: string): readonly string[] {
  return Object.hasOwn(roots, saltenv) ? roots[saltenv]! : []
}

// ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The path as it stands under each root that has it, with its content when it is text. */
async function found(roots: Roots, path: string, saltenv: string): Promise<{ full: string; text: string | null }[]> {
  const parts = partsOf(path)
  const list: { full: string; text: string | null }[] = []
  if (parts === null) return list
  for (const root of rootsOf(roots, saltenv)) {
    const file = await openInside(root, parts)
    if (file === null) continue
    try {
      list.push({ full: join(root, ...parts), text: await textOf(file) })
    } finally {
      await file.close()
    }
  }
  return list
}

/** The whole file when its first bytes are text, else null. */
async function textOf(file: FileHandle): Promise<string | null> {
  const { size } = await file.stat()
  if (size > MAX_FILE) throw new ArgumentError('value', `argument 'path': a file of ${size} bytes, more than ${MAX_FILE}`)
  const content = Buffer.alloc(size)
  const { bytesRead } = await file.read(content, 0, size, 0)
  const whole = content.subarray(0, bytesRead)
  return whole.subarray(0, TEXT_PROBE).includes(0) ? null : whole.toString('utf8')
}

// ── listing ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function listEnv(roots: readonly string[], bound: { left: number }): Promise<Record<string, Tree>> {
  const listed: Record<string, Tree> = {}
  for (const root of roots) {
    const real = await realpath(root).catch(() => null)
    listed[root] = real === null ? {} : await treeOf(real, real, new Set(), bound)
  }
  return listed
}

async function treeOf(root: string, dir: string, way: ReadonlySet<string>, bound: { left: number }): Promise<Tree> {
  const entries: [string, 'f' | Tree][] = []
  for await (const entry of await opendir(dir)) {
    if (--bound.left < 0) throw new ArgumentError('value', `the roots have more than ${MAX_LISTED} entries`)
    const real = entry.isSymbolicLink() ? await realpath(join(dir, entry.name)).catch(() => null) : join(dir, entry.name)
    // A link that leads out of the root is not there, one to a directory above it ends here.
    if (real === null || !isInside(root, real) || real === dir || way.has(real)) continue
    const kind = entry.isSymbolicLink() ? await stat(real) : entry
    if (kind.isDirectory()) entries.push([entry.name, await treeOf(root, real, new Set([...way, dir]), bound)])
    else if (kind.isFile()) entries.push([entry.name, 'f'])
  }
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

// ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Salt's texts for what cannot be written where it should be. */
async function write(
  roots: Roots,
  { data, path, saltenv, index }: { data: string; path: string; saltenv: string; index: number }
): Promise<string> {
  if (!Object.hasOwn(roots, saltenv)) return `Named environment ${saltenv} is not present`
  const root = Number.isInteger(index) ? roots[saltenv]!.at(index) : undefined
  if (root === undefined) return `Specified index ${index} in environment ${saltenv} is not present`
  if (isAbsolute(path)) return `The path passed in ${path} is not relative to the environment ${saltenv}`
  const parts = partsOf(path)
  if (parts === null) return `Invalid path: ${path}`
  if (Buffer.byteLength(data) > MAX_FILE) throw new ArgumentError('value', `argument 'data': more than ${MAX_FILE} bytes`)
  const place = await placeInside(root, parts)
  if (place === null) return `Invalid path: ${path}`
  await replaceFile(place.file, data, place.mode ?? 0o644)
  return `Wrote data to file ${join(root, ...parts)}`
}

function mapValues(object: object, change: () => string): Record<string, string> {
  return Object.fromEntries(Object.keys(object).map(key => [key, change()]))
}
