import type { Dirent } from 'node:fs'
import { lstat, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { manageMode } from '../../modules/config.js'
import { messageOf } from '../../modules/errors.js'
import { flag, type Mapping, numberOrNull, text, textOrNull, texts } from '../../modules/values.js'
import { type StateContext, type StateResult, stateFn } from '../state.js'
import { removeAll, requiredPaths, unwanted } from './clean.js'
import { answer, applyOwnership, exists, makeParents, type Ownership, ownershipChanges, ownershipOf } from './place.js'

export const directory = stateFn(
  'directory(name, user=None, group=None, recurse=None, max_depth=None, dir_mode=None, file_mode=None, makedirs=False, clean=False, exclude_pat=None, follow_symlinks=False, force=False, backupname=None, allow_symlink=True, children_only=False, mode=None, **kwargs)',
  `Makes a directory and manages its owner and mode. recurse: a list of user, group, mode, ignore_files, ignore_dirs: what holds for
everything in it. clean removes what no required file state wants there. Something else in its place is moved to backupname, or removed with force.`,
  manage
)

interface Wish {
  readonly name: string
  readonly dir: Ownership
  /** Owner and mode of files, with `recurse`. */
  readonly file: Ownership
  readonly recurse: ReadonlySet<string>
  readonly maxDepth: number
  readonly childrenOnly: boolean
}

async function manage(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name').replace(/(.)\/+$/, '$1')
  if (!isAbsolute(name)) return answer(name, false, `Specified file ${name} is not an absolute path`)
  if (flag(a.clean) && a.max_depth !== null) return answer(name, false, 'Cannot specify both max_depth and clean')
  const refused = refusedRecursion(a)
  if (refused !== null) return answer(name, false, refused)
  const dirMode = a.dir_mode ?? a.mode
  const dir = await ownershipOf(a.user, a.group, dirMode)
  const file = await ownershipOf(a.user, a.group, a.file_mode ?? dirMode)
  if (typeof dir === 'string' || typeof file === 'string') return answer(name, false, String(typeof dir === 'string' ? dir : file))
  const wish: Wish = {
    ...{
      name,
      dir,
      file,
      recurse: new Set(Array.isArray(a.recurse) ? texts(a.recurse, 'recurse') : []),
      maxDepth: numberOrNull(a.max_depth, 'max_depth') ?? Number.POSITIVE_INFINITY
    },
    childrenOnly: flag(a.children_only)
  }
  try {
    return silenced(wish, ctx.test ? await predict(ctx, a, wish) : await apply(ctx, a, wish))
  } catch (error) {
    return answer(name, false, messageOf(error))
  }
}

const RECURSIONS = ['user', 'group', 'mode', 'ignore_files', 'ignore_dirs', 'silent']

/** What is wrong with `recurse`; null: nothing. */
function refusedRecursion({ recurse, user, group }: Mapping): string | null {
  if (recurse === null || recurse === undefined || recurse === false) return null
  if (!Array.isArray(recurse)) return '"recurse" must be formed as a list of strings'
  if (recurse.some(name => !RECURSIONS.includes(name))) {
    return 'Types for "recurse" limited to "ignore_files", "ignore_dirs", "user", "group", "mode" and "silent".'
  }
  if (recurse.includes('ignore_files') && recurse.includes('ignore_dirs'))
    return 'Must not specify "recurse" options "ignore_files" and "ignore_dirs" at the same time.'
  const missing = { user, group }
  for (const kind of ['user', 'group'] as const) {
    if (recurse.includes(kind) && (missing[kind] === null || missing[kind] === undefined))
      return `${kind} not specified, but configured as a target for recursive ownership management`
  }
  return null
}

/** `recurse: [silent]` hides what changed. */
function silenced({ recurse }: Wish, result: StateResult): StateResult {
  return recurse.has('silent') && Object.keys(result.changes).length > 0
    ? { ...result, changes: { recursion: 'Changes silenced' } }
    : result
}

async function predict(ctx: StateContext, a: Mapping, wish: Wish): Promise<StateResult> {
  const { name } = wish
  const changes: Record<string, Mapping> = (await isDirectory(a, name)) ? {} : { [name]: { directory: 'new' } }
  if (!(await isDirectory(a, name)) && (await exists(name)) && !flag(a.force) && textOrNull(a.backupname, 'backupname') === null) {
    return answer(name, false, `Specified location ${name} exists and is a file`)
  }
  if (Object.keys(changes).length === 0) {
    for await (const { path, wanted } of members(wish)) {
      const differs = ownershipChanges(await lstat(path), wanted)
      if (Object.keys(differs).length > 0) changes[path] = differs
    }
    for (const path of await toClean(ctx, a, name)) changes[path] = { removed: 'Removed due to clean' }
  }
  if (Object.keys(changes).length === 0) return answer(name, true, `The directory ${name} is in the correct state`)
  const lines = Object.entries(changes).flatMap(([path, differs]) =>
    Object.entries(differs).map(([key, value]) => `${path}: ${key} - ${value}\n`)
  )
  return answer(name, null, `The following files will be changed:\n${lines.join('')}`, changes)
}

async function apply(ctx: StateContext, a: Mapping, wish: Wish): Promise<StateResult> {
  const { name, dir } = wish
  const changes: Mapping = {}
  if (!(await isDirectory(a, name))) {
    const refused = await makeRoom(a, name, changes)
    if (refused !== null) return answer(name, false, refused)
    if (!(await exists(dirname(name)))) {
      if (!flag(a.makedirs)) return answer(name, false, `No directory to create ${name} in`)
      await makeParents(name, dir, manageMode(dir.mode))
    }
    await mkdir(name)
    await applyOwnership(name, dir)
    return answer(name, true, `Directory ${name} created`, { ...changes, [name]: { directory: 'new' } })
  }
  for await (const { path, wanted } of members(wish)) {
    const changed = await applyOwnership(path, wanted)
    if (path === name) Object.assign(changes, changed)
    else if (Object.keys(changed).length > 0) changes[path] = changed
  }
  const goes = await toClean(ctx, a, name)
  if (goes.length > 0) {
    await removeAll(goes)
    return answer(name, true, `Files cleaned from directory ${name}`, { ...changes, removed: goes })
  }
  const updated = Object.keys(changes).length > 0
  return answer(
    name,
    true,
    updated ? `Directory ${name}${wish.childrenOnly ? '/*' : ''} updated` : `The directory ${name} is in the correct state`,
    changes
  )
}

/** With `clean`: what no required file state wants here. */
async function toClean(ctx: StateContext, a: Mapping, name: string): Promise<string[]> {
  return flag(a.clean) ? unwanted(name, requiredPaths(ctx), textOrNull(a.exclude_pat, 'exclude_pat')) : []
}

async function isDirectory(a: Mapping, name: string): Promise<boolean> {
  const now = await (flag(a.allow_symlink) ? stat(name) : lstat(name)).catch(() => null)
  return now?.isDirectory() ?? false
}

/** Moves or removes what is in the way. A text: why not. */
async function makeRoom(a: Mapping, name: string, changes: Mapping): Promise<string | null> {
  if (!(await exists(name))) return null
  const backup = textOrNull(a.backupname, 'backupname')
  if (backup !== null) {
    if ((await exists(backup)) && !flag(a.force)) return `File exists where the backup target ${backup} should go`
    await rm(backup, { recursive: true, force: true })
    await rename(name, backup)
    changes.backup = `Existing file backed up to ${backup}`
    return null
  }
  if (!flag(a.force)) return `Specified location ${name} exists and is a file`
  await rm(name, { recursive: true })
  changes.forced = 'File was forcibly replaced'
  return null
}

/** The directory itself, and with `recurse` what is in it; links are left alone. */
async function* members(wish: Wish): AsyncGenerator<{ path: string; wanted: Ownership }> {
  if (!wish.childrenOnly) yield { path: wish.name, wanted: wish.dir }
  if (wish.recurse.size > 0) yield* inside(wish, wish.name, 1)
}

async function* inside(wish: Wish, dir: string, depth: number): AsyncGenerator<{ path: string; wanted: Ownership }> {
  if (depth > wish.maxDepth) return
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name)
    if (entry.isDirectory()) {
      if (!wish.recurse.has('ignore_dirs')) yield { path, wanted: recursive(wish, wish.dir) }
      yield* inside(wish, path, depth + 1)
    } else if (isPlain(entry) && !wish.recurse.has('ignore_files')) yield { path, wanted: recursive(wish, wish.file) }
  }
}

function isPlain(entry: Dirent): boolean {
  return entry.isFile()
}

/** Only what `recurse` names holds for the members. */
function recursive({ recurse }: Wish, wanted: Ownership): Ownership {
  return {
    ...(recurse.has('user') ? { user: wanted.user, uid: wanted.uid } : { user: null, uid: null }),
    ...(recurse.has('group') ? { group: wanted.group, gid: wanted.gid } : { group: null, gid: null }),
    mode: recurse.has('mode') ? wanted.mode : null
  }
}
