import { lchown, lstat, symlink as makeLink, readlink, rename, rm } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { dirname, isAbsolute, join, normalize } from 'node:path'
import { manageMode } from '../../modules/config.js'
import { messageOf } from '../../modules/errors.js'
import { flag, type Mapping, text, textOrNull } from '../../modules/values.js'
import { nameOfId } from '../../users.js'
import { type StateContext, type StateResult, stateFn } from '../state.js'
import { answer, exists, makeParents, type Ownership, ownershipOf } from './place.js'

export const symlink = stateFn(
  'symlink(name, target, force=False, backupname=None, makedirs=False, user=None, group=None, mode=None, **kwargs)',
  'Makes a symbolic link. What is in its place is moved to backupname, or removed with force.',
  link
)

async function link(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const [name, target] = [text(a.name, 'name'), text(a.target, 'target')]
  if (!isAbsolute(name)) return answer(name, false, `Specified file ${name} is not an absolute path`)
  const ownership = await ownershipOf(a.user ?? userInfo().username, a.group ?? (await nameOfId('group', process.getegid?.() ?? 0)), null)
  if (typeof ownership === 'string') return answer(name, false, ownership)
  try {
    return ctx.test ? await predict(a, name, target, ownership) : await apply(a, name, target, ownership)
  } catch (error) {
    return answer(name, false, `Unable to create new symlink ${name} -> ${target}: ${messageOf(error)}`)
  }
}

type There = 'nothing' | 'right' | 'other link' | 'File' | 'Directory' | 'File system entry'

async function whatIsThere(name: string, target: string): Promise<There> {
  const now = await lstat(name).catch(() => null)
  if (!now) return 'nothing'
  if (now.isSymbolicLink()) return normalize(await readlink(name)) === normalize(target) ? 'right' : 'other link'
  return now.isFile() ? 'File' : now.isDirectory() ? 'Directory' : 'File system entry'
}

async function ownedBy(name: string, { uid, gid }: Ownership): Promise<boolean> {
  const now = await lstat(name)
  return now.uid === uid && now.gid === gid
}

async function predict(a: Mapping, name: string, target: string, ownership: Ownership): Promise<StateResult> {
  const there = await whatIsThere(name, target)
  if (there === 'nothing') return answer(name, null, `Symlink ${name} to ${target} is set for creation`, { new: name })
  if (there === 'other link') return answer(name, null, `Link ${name} target is set to be changed to ${target}`, { change: name })
  if (there === 'right') {
    if (await ownedBy(name, ownership)) return answer(name, true, `The symlink ${name} is present`)
    const owner = `${ownership.user}:${ownership.group}`
    return answer(name, null, `The ownership of the symlink ${name} is set to be changed`, { ownership: owner })
  }
  if (textOrNull(a.backupname, 'backupname') !== null)
    return answer(name, null, `${there} ${name} is set to be backed up`, { renamed: name })
  if (flag(a.force)) {
    const comment = `The file or directory ${name} is set for removal to make way for a new symlink targeting ${target}`
    return answer(name, null, comment, { forced: name })
  }
  return answer(name, false, `File or directory exists where the symlink ${name} should be. Did you mean to use force?`)
}

async function apply(a: Mapping, name: string, target: string, ownership: Ownership): Promise<StateResult> {
  const owner = `${ownership.user}:${ownership.group}`
  const there = await whatIsThere(name, target)
  if (there === 'right') {
    if (await ownedBy(name, ownership)) return answer(name, true, `Symlink ${name} is present and owned by ${owner}`)
    await lchown(name, ownership.uid!, ownership.gid!)
    return answer(name, true, `Set ownership of symlink ${name} to ${owner}`, { ownership: owner })
  }
  const cleared = await clear(a, name, there)
  if (typeof cleared === 'string') return answer(name, false, cleared)
  if (!(await exists(dirname(name)))) {
    if (!flag(a.makedirs)) return answer(name, false, `Directory ${dirname(name)} for symlink is not present`)
    await makeParents(name, ownership, manageMode(a.mode))
  }
  await makeLink(target, name)
  if (!(await ownedBy(name, ownership))) await lchown(name, ownership.uid!, ownership.gid!)
  return answer(name, true, `Created new symlink ${name} -> ${target}`, { ...cleared, new: name })
}

/** Makes room. A text: why it cannot be made. */
async function clear(a: Mapping, name: string, there: There): Promise<Mapping | string> {
  if (there === 'nothing') return {}
  if (there === 'other link') {
    await rm(name)
    return {}
  }
  const backup = textOrNull(a.backupname, 'backupname')
  if (backup !== null) {
    const path = isAbsolute(backup) ? backup : join(dirname(name), backup)
    if ((await exists(path)) && !flag(a.force)) return `Backupname ${path} already exists`
    await rm(path, { recursive: true, force: true })
    await rename(name, path)
    return { renamed: `${name} was moved to ${path}` }
  }
  if (!flag(a.force)) return `${there} exists where the symlink ${name} should be`
  await rm(name, { recursive: true })
  return { forced: 'Symlink was forcibly replaced' }
}
