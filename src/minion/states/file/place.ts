/** Puts files in place: owner and mode looked up and set, directories made, content replaced in one step. */
import { randomBytes } from 'node:crypto'
import type { Stats } from 'node:fs'
import { chmod, chown, lstat, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { manageMode } from '../../modules/config.js'
import type { Mapping } from '../../modules/values.js'
import { findGroupId, findUser } from '../../users.js'
import type { StateResult } from '../state.js'

/** Who a file is to belong to and what its mode is to be; null: as it is. */
export interface Ownership {
  readonly user: string | null
  readonly group: string | null
  readonly uid: number | null
  readonly gid: number | null
  /** `0644` */
  readonly mode: string | null
}

/** Looks up user and group. A text: what is not available. */
export async function ownershipOf(user: unknown, group: unknown, mode: unknown): Promise<Ownership | string> {
  const names = { user: given(user), group: given(group) }
  const uid = names.user === null ? null : ((await findUser(names.user))?.uid ?? undefined)
  const gid = names.group === null ? null : ((await findGroupId(names.group)) ?? undefined)
  const missing = [
    uid === undefined ? `User ${names.user} is not available` : '',
    gid === undefined ? `Group ${names.group} is not available` : ''
  ]
  if (uid === undefined || gid === undefined) return missing.filter(text => text !== '').join(' ')
  return { ...names, uid, gid, mode: mode === 'keep' ? null : manageMode(mode) }
}

function given(name: unknown): string | null {
  return name === null || name === undefined || name === '' ? null : String(name)
}

/** What of owner and mode is not as wanted, with Salt's keys: user, group, mode. */
export function ownershipChanges(now: Stats, wanted: Ownership): Mapping {
  const changes: Mapping = {}
  if (wanted.uid !== null && wanted.uid !== now.uid) changes.user = wanted.user
  if (wanted.gid !== null && wanted.gid !== now.gid) changes.group = wanted.group
  if (wanted.mode !== null && wanted.mode !== modeOf(now)) changes.mode = wanted.mode
  return changes
}

/** `0644` */
export function modeOf(now: Stats): string {
  return manageMode((now.mode & 0o7777).toString(8))!
}

/** Sets owner and mode; returns what changed. */
export async function applyOwnership(path: string, wanted: Ownership): Promise<Mapping> {
  const changes = ownershipChanges(await stat(path), wanted)
  if ('user' in changes || 'group' in changes) await chown(path, wanted.uid ?? -1, wanted.gid ?? -1)
  // A change of owner clears the set-id bits, so the mode comes last.
  if (wanted.mode !== null && (Object.keys(changes).length > 0 || 'mode' in changes)) await chmod(path, Number.parseInt(wanted.mode, 8))
  return changes
}

/** Makes the directories above a path. Mode: `dirMode`, or the file's with the right to enter wherever there is another right. */
export async function makeParents(path: string, wanted: Ownership, dirMode: string | null): Promise<void> {
  const mode = dirMode ?? (wanted.mode === null ? null : enterable(wanted.mode))
  const missing: string[] = []
  for (let dir = dirname(path); !(await exists(dir)); dir = dirname(dir)) missing.unshift(dir)
  for (const dir of missing) {
    await mkdir(dir)
    await applyOwnership(dir, { ...wanted, mode })
  }
}

function enterable(mode: string): string {
  const digits = [...mode.slice(-3)].map(digit => (digit === '0' ? digit : String(Number(digit) | 1)))
  return manageMode(digits.join(''))!
}

export async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false
  )
}

/**
 * Replaces a file's content so that a reader sees the old or the new one, never a part, and a crash leaves one of them. Owner and mode stay as
 * they were; a new file gets `mode` or the process's default.
 */
export async function replaceContent(path: string, content: Buffer, mode: string | null): Promise<void> {
  const before = await stat(path).catch(() => null)
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
  try {
    const file = await open(temporary, 'wx', before || mode !== null ? 0o600 : 0o666)
    try {
      await file.writeFile(content)
      if (before) {
        if (before.uid !== process.geteuid?.() || before.gid !== process.getegid?.()) await file.chown(before.uid, before.gid)
        await file.chmod(before.mode & 0o7777)
      }
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** A result in the order in which most file states answer: name, changes, result, comment. */
export function answer(name: string, result: boolean | null, comment: string, changes: Mapping = {}): StateResult {
  return { name, changes, result, comment }
}
