/** States that place what is on this machine already: copy, rename, hardlink. */
import { chmod, cp, lchown, link, lstat, rename as move, readdir, readFile, readlink, rm, stat, symlink } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { codeOf, messageOf } from '../../modules/errors.js'
import { flag, isMapping, type Mapping, text } from '../../modules/values.js'
import { findUser, nameOfId } from '../../users.js'
import { type StateContext, type StateResult, stateFn } from '../state.js'
import { answer, applyOwnership, exists, makeParents, modeOf, type Ownership, ownershipOf } from './place.js'

const AS_IT_IS: Ownership = { user: null, group: null, uid: null, gid: null, mode: null }

export const copy = stateFn(
  'copy_(name, source, force=False, makedirs=False, preserve=False, user=None, group=None, mode=None, dir_mode=None, subdir=False, **kwargs)',
  'Copies a file or directory of this machine. One that is there stays, unless force says otherwise. preserve keeps owner and mode.',
  copyFile
)

async function copyFile(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const [given, source] = [text(a.name, 'name'), text(a.source, 'source')]
  if (given === '') return answer(given, false, 'Must provide name to file.copy')
  if (!isAbsolute(given)) return answer(given, false, `Specified file ${given} is not an absolute path`)
  const now = await stat(source).catch(() => null)
  if (!now) return answer(given, false, `Source file "${source}" is not present`)
  const wanted = flag(a.preserve) ? await ownershipLike(source) : await copyOwnership(a, source)
  if (typeof wanted === 'string') return answer(given, false, wanted)
  const into = flag(a.subdir) && ((await stat(given).catch(() => null))?.isDirectory() ?? false)
  const name = into ? join(given, basename(source)) : given
  const there = await exists(name)
  // The state answers for the path that it was given, whatever it copies to.
  const say = (result: boolean | null, comment: string, changes: Mapping = {}): StateResult => answer(given, result, comment, changes)
  if (there && !flag(a.force)) return say(true, `The target file "${name}" exists and will not be overwritten`)
  if (there && (await isCopy(source, name, wanted))) return say(true, `Copied "${source}" to "${name}" - files are identical`)
  if (ctx.test) return say(null, `File "${source}" is set to be copied to "${name}"`, { [name]: source })
  if (!(await exists(dirname(name)))) {
    if (!flag(a.makedirs)) return say(false, `The target directory ${dirname(name)} is not present`)
    await makeParents(name, wanted, a.dir_mode === null ? wanted.mode : String(a.dir_mode))
  }
  try {
    await rm(name, { recursive: true, force: true })
    await cp(source, name, { recursive: true, verbatimSymlinks: true, preserveTimestamps: flag(a.preserve) })
    const owned = await own(name, wanted)
    return say(true, `Copied "${source}" to "${given}"`, { [name]: source, ...(flag(a.preserve) ? {} : owned) })
  } catch (error) {
    return say(false, `Failed to copy "${source}" to "${name}": ${messageOf(error)}`)
  }
}

/** Whether a forced copy would change nothing: Salt copies again, and again tells of a change that is none. */
async function isCopy(source: string, name: string, wanted: Ownership): Promise<boolean> {
  const [from, to] = [await lstat(source), await lstat(name)]
  if (!from.isFile() || !to.isFile() || from.size !== to.size) return false
  const owned = (wanted.uid === null || wanted.uid === to.uid) && (wanted.gid === null || wanted.gid === to.gid)
  if (!owned || (wanted.mode !== null && wanted.mode !== modeOf(to))) return false
  return (await readFile(source)).equals(await readFile(name))
}

async function ownershipLike(source: string): Promise<Ownership> {
  const now = await stat(source)
  const [user, group] = [await nameOfId('passwd', now.uid), await nameOfId('group', now.gid)]
  return { user, group, uid: now.uid, gid: now.gid, mode: modeOf(now) }
}

async function copyOwnership(a: Mapping, source: string): Promise<Ownership | string> {
  const owner = a.user ?? (isMapping(a.kwargs) ? a.kwargs.owner : null) ?? userInfo().username
  const account = await findUser(String(owner))
  const group = a.group ?? (account ? await nameOfId('group', account.gid) : null)
  return ownershipOf(owner, group, a.mode ?? modeOf(await stat(source)))
}

/** Owner of a copy and of all in it, and the mode of a copied file. */
async function own(name: string, wanted: Ownership): Promise<Mapping> {
  const now = await lstat(name)
  if (now.isDirectory()) {
    if (wanted.mode !== null) await chmod(name, Number.parseInt(wanted.mode, 8))
    for (const entry of await readdir(name, { recursive: true, withFileTypes: true })) {
      if (wanted.uid !== null && wanted.gid !== null) await lchown(join(entry.parentPath, entry.name), wanted.uid, wanted.gid)
    }
    return applyOwnership(name, { ...wanted, mode: null })
  }
  return now.isSymbolicLink() ? {} : applyOwnership(name, wanted)
}

export const rename = stateFn(
  'rename(name, source, force=False, makedirs=False, **kwargs)',
  'Moves a file, link or directory of this machine. What is in its place stays, unless force says otherwise.',
  async (ctx, a) => {
    const [name, source] = [text(a.name, 'name'), text(a.source, 'source')]
    if (name === '') return answer(name, false, 'Must provide name to file.rename')
    if (!isAbsolute(name)) return answer(name, false, `Specified file ${name} is not an absolute path`)
    if (!(await exists(source))) return answer(name, true, `Source file "${source}" has already been moved out of place`)
    const there = await exists(name)
    if (there && !flag(a.force)) return answer(name, true, `The target file "${name}" exists and will not be overwritten`)
    if (ctx.test) return answer(name, null, `File "${source}" is set to be moved to "${name}"`, { [name]: source })
    if (!(await exists(dirname(name)))) {
      if (!flag(a.makedirs)) return answer(name, false, `The target directory ${dirname(name)} is not present`)
      await makeParents(name, AS_IT_IS, null)
    }
    try {
      if (there) await rm(name, { recursive: true })
      await moveAnywhere(source, name)
    } catch {
      return answer(name, false, `Failed to move "${source}" to "${name}"`)
    }
    return answer(name, true, `Moved "${source}" to "${name}"`, { [name]: source })
  }
)

/** A rename, or across file systems a copy and a removal. */
export async function moveAnywhere(source: string, target: string): Promise<void> {
  try {
    await move(source, target)
  } catch (error) {
    if (codeOf(error) !== 'EXDEV') throw error
    const now = await lstat(source)
    if (now.isSymbolicLink()) await symlink(await readlink(source), target)
    else await cp(source, target, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true })
    await rm(source, { recursive: true })
  }
}

export const hardlink = stateFn(
  'hardlink(name, target, force=False, makedirs=False, user=None, group=None, dir_mode=None, **kwargs)',
  'Makes a hard link to a file. Another file in its place is replaced with force.',
  async (ctx, a) => {
    const [name, target] = [text(a.name, 'name'), text(a.target, 'target')]
    if (name === '') return answer(name, false, 'Must provide name to file.hardlink')
    for (const [kind, path] of [
      ['file', name],
      ['target', target]
    ] as const)
      if (!isAbsolute(path)) return answer(name, false, `Specified ${kind} ${path} is not an absolute path`)
    const wanted = await ownershipOf(a.user, a.group, null)
    if (typeof wanted === 'string') return answer(name, false, wanted)
    const [now, end] = [await lstat(name).catch(() => null), await stat(target).catch(() => null)]
    if (!end) return answer(name, false, `Target ${target} for hard link does not exist`)
    if (end.isDirectory()) return answer(name, false, `Unable to hard link from directory ${target}`)
    if (now?.isDirectory()) return answer(name, false, `Unable to hard link to directory ${name}`)
    if (now && now.ino === end.ino && now.dev === end.dev) {
      return answer(
        name,
        true,
        ctx.test
          ? `The hard link ${name} is presently targetting ${target}`
          : `Target of hard link ${name} is already pointing to ${target}`
      )
    }
    if (now && !flag(a.force)) {
      const refusal = ctx.test
        ? `File or directory exists where the hard link ${name} should be. Did you mean to use force?`
        : `File exists where the hard link ${name} should be`
      return answer(name, false, refusal)
    }
    if (ctx.test) {
      const planned = now ? `The file or directory ${name} is set for removal to make way for a new hard link targeting ${target}` : null
      return answer(name, null, planned ?? `Hard link ${name} to ${target} is set for creation`, { new: name })
    }
    if (!(await exists(dirname(name)))) {
      if (!flag(a.makedirs)) return answer(name, false, `Directory ${dirname(name)} for hard link is not present`)
      await makeParents(name, wanted, a.dir_mode === null ? null : String(a.dir_mode))
    }
    try {
      if (now) await rm(name)
      await link(target, name)
    } catch (error) {
      return answer(name, false, `Unable to create new hard link ${name} -> ${target}: ${messageOf(error)}`)
    }
    return answer(
      name,
      true,
      `Created new hard link ${name} -> ${target}`,
      now ? { forced: 'File for hard link was forcibly replaced', new: name } : { new: name }
    )
  }
)
