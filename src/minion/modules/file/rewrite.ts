/** Changes the content of a file by an edit of its text: atomically, with its mode and owner, and a backup when one is asked for. */
import { chmod, chown, copyFile, lstat, readFile, readlink, realpath, rm, stat, symlink, utimes } from 'node:fs/promises'
import { looksBinary, unifiedDiff } from '../../states/file/diff.js'
import { replaceContent } from '../../states/file/place.js'
import { InvocationError } from '../errors.js'
import { linesWithEnds } from './edits.js'

export interface RewriteOptions {
  /** Only tell what would change. */
  readonly dryRun: boolean
  /** What is put behind the file's name for a copy of the old content; null: no copy. */
  readonly backup: string | null
}

/** What a parameter `backup` (an extension; False or None: no backup) means. */
export function backupExtension(given: unknown): string | null {
  return given === false || given === null || given === undefined || given === '' || given === 'False' ? null : String(given)
}

export interface Rewritten {
  readonly before: string
  readonly after: string
}

/** The text of a file's bytes, and back: bytes that are no UTF-8 keep their value. */
export function decodeContent(content: Buffer): { text: string; encode: (text: string) => Buffer } {
  const text = content.toString('utf8')
  return Buffer.from(text, 'utf8').equals(content)
    ? { text, encode: after => Buffer.from(after, 'utf8') }
    : { text: content.toString('latin1'), encode: after => Buffer.from(after, 'latin1') }
}

/** Applies an edit to a file (links are followed). Throws InvocationError for a file that is not there or is no text. */
export async function rewrite(path: string, edit: (text: string) => string, options: RewriteOptions): Promise<Rewritten> {
  const real = await realpath(path).catch(() => null)
  if (real === null) throw new InvocationError(`File not found: ${path}`)
  const content = await readFile(real)
  if (looksBinary(content)) throw new InvocationError(`Cannot perform string replacements on a binary file: ${path}`)
  const { text: before, encode } = decodeContent(content)
  const after = edit(before)
  if (after === before || options.dryRun) return { before, after }
  if (options.backup !== null) await keepCopy(path, real, options.backup)
  await replaceContent(real, encode(after), null)
  return { before, after }
}

/** A copy beside the file; a link to the file gets a link to the copy. */
async function keepCopy(path: string, real: string, extension: string): Promise<void> {
  const copy = `${real}${extension}`
  await copyFile(real, copy)
  const { mode, uid, gid, atime, mtime } = await stat(real)
  await chown(copy, uid, gid).catch(() => {}) // only root can give files away
  await chmod(copy, mode & 0o7777)
  await utimes(copy, atime, mtime)
  if (!(await lstat(path)).isSymbolicLink()) return
  const link = `${path}${extension}`
  await rm(link, { force: true })
  await symlink(`${await readlink(path)}${extension}`, link)
}

/** The difference as `changes.diff` has it; '' for none. */
function textDiff({ before, after }: Rewritten): string {
  return before === after ? '' : unifiedDiff(linesWithEnds(before), linesWithEnds(after)).join('')
}

/** What a function with `show_changes` returns: the difference, or whether there is one. */
export function shownChanges(rewritten: Rewritten, show: boolean): string | boolean {
  return show ? textDiff(rewritten) : rewritten.before !== rewritten.after
}
