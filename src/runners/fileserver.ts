/** The files of `file_roots`, Salt's one backend `roots`: what states and minions can be given. */
import { opendir, readlink, realpath, stat } from 'node:fs/promises'
import { isAbsolute, join, relative, sep } from 'node:path'
import { fileserverUpdate } from '../tags/tags.js'
import { ArgumentError, type CallContext, param, type ServerFunction, serverFunction } from './function.js'

/** Entries of an environment that one call looks at: a tree beyond it is a mistake (a root of `/`). */
const MAX_SEEN = 100_000
/** The only backend; Salt's others (git, svn, s3 …) do not exist here. */
const BACKEND = 'roots'

/** What an environment has, paths relative to their root with `/` between parts. */
interface Contents {
  readonly files: Set<string>
  readonly dirs: Set<string>
  readonly emptyDirs: Set<string>
  /** Link → what it names, as it stands in the link. */
  readonly links: Map<string, string>
}

function noContents(): Contents {
  return { files: new Set(), dirs: new Set(), emptyDirs: new Set(), links: new Map() }
}

const common = { saltenv: param.textOr('base'), backend: param.anyOr(null) }

/** A list function: what it shows of an environment's contents. */
function listing(name: string, doc: string, show: (contents: Contents) => unknown): ServerFunction {
  return serverFunction({
    name: `fileserver.${name}`,
    doc,
    params: common,
    async run({ config }, { saltenv, backend }) {
      if (!concerns(backend)) return []
      const contents = noContents()
      const seen = { count: 0 }
      for (const root of Object.hasOwn(config.file_roots, saltenv) ? config.file_roots[saltenv]! : []) {
        const real = await realpath(root).catch(() => null)
        if (real !== null) await walk({ root: real, contents, way: new Set(), seen }, real, '')
      }
      return show(contents)
    }
  })
}

/** True when no backend is named, or this one is. `-roots` means all but this one. */
function concerns(backend: unknown): boolean {
  if (backend === null) return true
  const names = (Array.isArray(backend) ? backend : String(backend).split(',')).map(each => String(each).trim().replace(/fs$/, ''))
  return names.every(name => name.startsWith('-')) ? !names.includes(`-${BACKEND}`) : names.includes(BACKEND)
}

const lists = [
  listing('file_list', 'List the files of an environment.', ({ files }) => sorted(files)),
  listing('dir_list', 'List the directories of an environment.', ({ dirs }) => sorted(dirs)),
  listing('empty_dir_list', 'List the directories of an environment that have nothing in them.', ({ emptyDirs }) => sorted(emptyDirs)),
  listing('symlink_list', 'List the links of an environment, with what they name.', ({ links }) =>
    Object.fromEntries([...links].sort(([a], [b]) => (a < b ? -1 : 1)))
  )
]

const envs = serverFunction({
  name: 'fileserver.envs',
  doc: 'List the environments of the file server. sources=True shows them by backend.',
  params: { backend: param.anyOr(null), sources: param.flagOr(false) },
  run({ config }, { backend, sources }) {
    const names = concerns(backend) ? Object.keys(config.file_roots).sort() : []
    return sources ? { [BACKEND]: names } : names
  }
})

const update = serverFunction({
  name: 'fileserver.update',
  doc: 'Have the file server look for changes. Files are always read as they are, so this only tells those who wait for it: with fileserver_events on, salt/fileserver/roots/update is fired.',
  params: { backend: param.anyOr(null) },
  takesKwargs: true,
  async run(context, { backend }) {
    if (concerns(backend)) await tellOfUpdate(context)
    return true
  }
})

/** Files as they were at the last update, path → time of change; per server, because its settings are one object. */
const lastSeen = new WeakMap<object, ReadonlyMap<string, number>>()

async function tellOfUpdate({ config, events, source, cause }: CallContext): Promise<void> {
  if (!config.fileserver_events) return
  const now = await timesOf(Object.values(config.file_roots).flat())
  const before = lastSeen.get(config) ?? now
  lastSeen.set(config, now)
  const files = {
    changed: [...now].filter(([file, ms]) => before.has(file) && before.get(file) !== ms).map(([file]) => file),
    removed: [...before.keys()].filter(file => !now.has(file)),
    added: [...now.keys()].filter(file => !before.has(file))
  }
  const changed = Object.values(files).some(each => each.length > 0)
  await events.fire(fileserverUpdate(BACKEND), { changed, files, backend: BACKEND }, { source, cause })
}

async function timesOf(roots: readonly string[]): Promise<Map<string, number>> {
  const times = new Map<string, number>()
  const seen = { count: 0 }
  for (const root of roots) {
    const real = await realpath(root).catch(() => null)
    if (real === null) continue
    const contents = noContents()
    await walk({ root: real, contents, way: new Set(), seen }, real, '')
    for (const file of contents.files) times.set(join(root, file), (await stat(join(real, file)).catch(() => null))?.mtimeMs ?? 0)
  }
  return times
}

/** Salt's caches and locks belong to its remote backends; roots has neither, and Salt says so in these words. */
const NOTHING_CLEARED = 'No cache was cleared'

const keeping = [
  serverFunction({
    name: 'fileserver.clear_cache',
    doc: 'Clear what the file server keeps. Files are always read as they are: there is nothing to clear.',
    params: { backend: param.anyOr(null) },
    run: () => NOTHING_CLEARED
  }),
  serverFunction({
    name: 'fileserver.clear_file_list_cache',
    doc: 'Clear the kept lists of files: {backend: [environments]}. Nothing is kept here.',
    params: { saltenv: param.anyOr(null), backend: param.anyOr(null) },
    run: () => ({})
  }),
  serverFunction({
    name: 'fileserver.lock',
    doc: 'Lock remotes of version control. There are none here.',
    params: { backend: param.anyOr(null), remote: param.anyOr(null) },
    run: () => 'No locks were set'
  }),
  serverFunction({
    name: 'fileserver.clear_lock',
    doc: 'Remove locks of remotes of version control. There are none here.',
    params: { backend: param.anyOr(null), remote: param.anyOr(null) },
    run: () => 'No locks were removed'
  }),
  serverFunction({
    name: 'fileserver.unlock',
    doc: 'The same as fileserver.clear_lock.',
    params: { backend: param.anyOr(null), remote: param.anyOr(null) },
    run: () => 'No locks were removed'
  })
]

/** The runner's functions for the file server. */
export const fileserverRunners: readonly ServerFunction[] = [...lists, envs, update, ...keeping]

function sorted(paths: ReadonlySet<string>): string[] {
  return [...paths].sort()
}

interface Walk {
  readonly root: string
  readonly contents: Contents
  /** Directories that are being walked, so that a link to a parent does not lead in circles. */
  readonly way: Set<string>
  readonly seen: { count: number }
}

async function walk(all: Walk, dir: string, prefix: string): Promise<void> {
  if (all.way.has(dir)) return
  all.way.add(dir)
  let isEmpty = true
  for await (const entry of await opendir(dir)) {
    if (++all.seen.count > MAX_SEEN) throw new ArgumentError('value', `file_roots has more than ${MAX_SEEN} entries`)
    isEmpty = false
    const path = prefix === '' ? entry.name : `${prefix}/${entry.name}`
    const link = entry.isSymbolicLink()
    if (link) all.contents.links.set(path, await readlink(join(dir, entry.name)))
    const real = link ? await realpath(join(dir, entry.name)).catch(() => null) : join(dir, entry.name)
    if (real === null || !isInside(all.root, real)) continue
    const kind = link ? await stat(real) : entry
    if (kind.isFile()) all.contents.files.add(path)
    else if (kind.isDirectory()) {
      all.contents.dirs.add(path)
      await walk(all, real, path)
    }
  }
  if (isEmpty && prefix !== '') all.contents.emptyDirs.add(prefix)
  all.way.delete(dir)
}

function isInside(root: string, path: string): boolean {
  const way = relative(root, path)
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}
