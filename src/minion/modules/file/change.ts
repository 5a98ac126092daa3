/** Functions of the `file` module that change something. */
import {
  chmod,
  chown,
  cp,
  link as hardLink,
  lchown,
  mkdir as makeDirectory,
  symlink as makeLink,
  rename as moveFile,
  open,
  readdir,
  readFile,
  readlink,
  rmdir as removeDirectory,
  rm,
  truncate,
  utimes,
  writeFile
} from 'node:fs/promises'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { findProgram, runCommand } from '../../command.js'
import type { ModuleContext } from '../../context.js'
import { moveAnywhere } from '../../states/file/copy.js'
import { unifiedDiff } from '../../states/file/diff.js'
import { blockOf, lineBackup, lineEdit } from '../../states/file/edit.js'
import { keepBackup, MONTHS } from '../../states/file/managed.js'
import { applyOwnership, modeOf, ownershipOf, replaceContent } from '../../states/file/place.js'
import { manageMode } from '../config.js'
import { CommandExecutionError, InvocationError, messageOf } from '../errors.js'
import { doc, fn, type ModuleFunction } from '../module.js'
import { splitWords } from '../shlex.js'
import { flag, isMapping, type Mapping, number, text, textOrNull } from '../values.js'
import { commentLines, editLine, replaceBlock, replaceText } from './edits.js'
import { absolutePath, linkStatsOrNull, pathOf, statsOf, statsOrNull } from './paths.js'
import { FilePattern, flagNumber } from './pattern.js'
import { backupExtension, decodeContent, rewrite, shownChanges } from './rewrite.js'

function change(signature: string, says: string, example: string, run: ModuleFunction['run']): ModuleFunction {
  return fn(signature, doc(says, example), run, { isolated: true })
}

export const changeFunctions: readonly ModuleFunction[] = [
  change('append(path, *args, **kwargs)', 'Puts lines at the end of a file.', "file.append /etc/motd 'one line' 'another'", (_ctx, a) =>
    addLines(a, 'append')
  ),
  change('prepend(path, *args, **kwargs)', 'Puts lines at the beginning of a file.', "file.prepend /etc/motd 'one line'", (_ctx, a) =>
    addLines(a, 'prepend')
  ),
  change('write(path, *args, **kwargs)', 'Writes lines into a file, over what it holds.', "file.write /etc/motd 'one line'", (_ctx, a) =>
    addLines(a, 'write')
  ),
  change(
    "blockreplace(path, marker_start='#-- start managed zone --', marker_end='#-- end managed zone --', content='', append_if_not_found=False, prepend_if_not_found=False, backup='.bak', dry_run=False, show_changes=True, append_newline=None, insert_before_match=None, insert_after_match=None)",
    'Replaces what stands between two marked lines; returns the difference.',
    "file.blockreplace /etc/hosts '#-- start --' '#-- end --' '10.0.1.1 foo' True",
    async (ctx, a) => {
      const edit = (source: string): string => replaceBlock(source, blockOf(a))
      return shownChanges(await rewrite(pathOf(a), edit, { dryRun: dry(ctx, a), backup: backupExtension(a.backup) }), flag(a.show_changes))
    }
  ),
  change(
    "replace(path, pattern, repl, count=0, flags=8, bufsize=1, append_if_not_found=False, prepend_if_not_found=False, not_found_content=None, backup='.bak', dry_run=False, search_only=False, show_changes=True, ignore_if_missing=False, preserve_inode=True, backslash_literal=False)",
    'Replaces what an expression finds; returns the difference, or with search_only whether it finds something.',
    "file.replace /etc/httpd.conf 'LogLevel warn' 'LogLevel info'",
    replace
  ),
  change(
    'line(path, content=None, match=None, mode=None, location=None, before=None, after=None, show_changes=True, backup=False, quiet=False, indent=True)',
    'Edits one line: mode ensure, insert, replace or delete. Returns the difference.',
    "file.line /etc/nsswitch.conf 'networks: files dns' after='hosts:.*?' mode=ensure",
    line
  ),
  change(
    "comment(path, regex, char='#', backup='.bak')",
    'Comments lines out; returns their difference.',
    'file.comment /etc/modules pcspkr',
    (ctx, a) => turn(ctx, a, true)
  ),
  change(
    "uncomment(path, regex, char='#', backup='.bak')",
    'Removes the comment sign from lines.',
    "file.uncomment /etc/hosts.deny 'ALL: PARANOID'",
    (ctx, a) => turn(ctx, a, false)
  ),
  change(
    "comment_line(path, regex, char='#', cmnt=True, backup='.bak')",
    'Comments lines out, or with cmnt=False in.',
    'file.comment_line /etc/modules pcspkr',
    (ctx, a) => turn(ctx, a, flag(a.cmnt))
  ),
  change(
    "sed(path, before, after, limit='', backup='.bak', options='-r -e', flags='g', escape_all=False, negate_match=False)",
    'Runs sed in place; returns pid, retcode, stdout, stderr.',
    "file.sed /etc/httpd.conf 'LogLevel warn' 'LogLevel info'",
    sed
  ),
  change(
    "patch(originalfile, patchfile, options='', dry_run=False)",
    'Runs patch; returns pid, retcode, stdout, stderr.',
    'file.patch /opt/file.txt /tmp/file.patch',
    patch
  ),
  change('chown(path, user, group)', "Sets a path's owner and group.", 'file.chown /etc/passwd root root', (_ctx, a) => setOwner(a, true)),
  change(
    'lchown(path, user, group)',
    'Sets owner and group of a path, a link itself if it is one.',
    'file.lchown /link root root',
    (_ctx, a) => setOwner(a, false)
  ),
  change('chgrp(path, group)', "Sets a path's group.", 'file.chgrp /etc/passwd root', (_ctx, a) => setOwner({ ...a, user: null }, true)),
  change('set_mode(path, mode)', "Sets a path's mode; returns it.", 'file.set_mode /etc/passwd 0644', setMode),
  change(
    'copy(src, dst, recurse=False, remove_existing=False)',
    'Copies a file; a directory with recurse.',
    'file.copy /path/a /path/b',
    copy
  ),
  change('move(src, dst, disallow_copy_and_unlink=False)', 'Moves a file or directory.', 'file.move /path/a /path/b', move),
  change('rename(src, dst)', 'Renames a file or directory.', 'file.rename /path/a /path/b', rename),
  change('link(src, path)', 'Makes a hard link.', 'file.link /path/a /path/link', link),
  change('symlink(src, path, force=False, atomic=False)', 'Makes a symbolic link at path.', 'file.symlink /path/a /path/link', symlink),
  change('remove(path, **kwargs)', 'Removes a file, or a directory with all that is in it.', 'file.remove /tmp/foo', remove),
  change('rmdir(path, recurse=False, verbose=False, older_than=None)', 'Removes an empty directory.', 'file.rmdir /tmp/foo', rmdir),
  change(
    'mkdir(dir_path, user=None, group=None, mode=None)',
    'Makes a directory and those above it.',
    'file.mkdir /opt/jetty/context',
    mkdir
  ),
  change(
    'makedirs(path, user=None, group=None, mode=None)',
    'Makes the directories above a path (which may end with a slash).',
    'file.makedirs /opt/code/',
    makedirs
  ),
  change(
    "makedirs_perms(name, user=None, group=None, mode='0755')",
    'Makes a directory and those above it with owner and mode.',
    'file.makedirs_perms /opt/code',
    makedirsPerms
  ),
  change('touch(name, atime=None, mtime=None)', 'Makes an empty file, or sets times.', 'file.touch /var/log/emptyfile', touch),
  change('truncate(path, length)', 'Cuts a file to a length.', 'file.truncate /path/to/file 512', async (_ctx, a) => {
    await truncate(pathOf(a), number(a.length, 'length'))
    return null
  }),
  change(
    'seek_write(path, data, offset)',
    'Writes at an offset; returns the number of bytes.',
    "file.seek_write /path 'some data' 4096",
    seekWrite
  ),
  change('list_backups(path, limit=None)', 'Lists the backups of a file, newest first.', 'file.list_backups /foo/bar/baz.txt', listBackups),
  change('list_backup(path, limit=None)', 'Lists the backups of a file, newest first.', 'file.list_backup /foo/bar/baz.txt', listBackups),
  change(
    'restore_backup(path, backup_id)',
    'Puts a backup back; what is there is kept as a backup first.',
    'file.restore_backup /foo/bar/baz.txt 0',
    restoreBackup
  ),
  change('delete_backup(path, backup_id)', 'Removes a backup.', 'file.delete_backup /var/cache/file 0', deleteBackup),
  change('remove_backup(path, backup_id)', 'Removes a backup.', 'file.remove_backup /var/cache/file 0', deleteBackup)
]

function dry(_ctx: ModuleContext, a: Mapping): boolean {
  return flag(a.dry_run ?? false)
}

// ── content ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function addLines(a: Mapping, how: 'append' | 'prepend' | 'write'): Promise<string> {
  const path = pathOf(a)
  const named = isMapping(a.kwargs) ? a.kwargs.args : undefined
  const lines = (named === undefined ? (a.args as unknown[]) : [named].flat()).map(item => text(item, 'line').replace(/\n$/, ''))
  const block = lines.map(line => `${line}\n`).join('')
  const before = how === 'write' || !(await statsOrNull(path)) ? '' : decodeContent(await readFile(path)).text
  const after = how === 'prepend' ? block + before : before + (before === '' || before.endsWith('\n') ? '' : '\n') + block
  await replaceContent(path, Buffer.from(after), null)
  return `${how === 'prepend' ? 'Prepended' : 'Wrote'} ${lines.length} lines to "${path}"`
}

async function replace(ctx: ModuleContext, a: Mapping): Promise<string | boolean> {
  const path = pathOf(a)
  if (!(await statsOrNull(path))) {
    if (flag(a.ignore_if_missing)) return false
    throw new InvocationError(`File not found: ${path}`)
  }
  const wish = {
    ...{ pattern: text(a.pattern, 'pattern'), repl: text(a.repl, 'repl'), count: number(a.count, 'count'), flags: flagNumber(a.flags) },
    ...{ append: flag(a.append_if_not_found), prepend: flag(a.prepend_if_not_found) },
    ...{ notFoundContent: textOrNull(a.not_found_content, 'not_found_content'), backslashLiteral: flag(a.backslash_literal) }
  }
  if (flag(a.search_only)) {
    if (wish.append || wish.prepend) throw new InvocationError('search_only cannot be used with append/prepend_if_not_found')
    return new FilePattern(wish.pattern, wish.flags).test(decodeContent(await readFile(path)).text)
  }
  const done = await rewrite(path, source => replaceText(source, wish), { dryRun: dry(ctx, a), backup: backupExtension(a.backup) })
  return shownChanges(done, flag(a.show_changes))
}

async function line(_ctx: ModuleContext, a: Mapping): Promise<string | boolean> {
  const path = pathOf(a)
  if (!(await statsOrNull(path))?.isFile()) {
    if (flag(a.quiet)) return false
    throw new CommandExecutionError(`File "${path}" does not exists or is not a file.`)
  }
  const edit = lineEdit(a)
  const done = await rewrite(path, source => editLine(source, edit), { dryRun: false, backup: lineBackup(a.backup) })
  // Salt answers False, not an empty text, when nothing changed.
  return shownChanges(done, flag(a.show_changes)) || false
}

async function turn(_ctx: ModuleContext, a: Mapping, comment: boolean): Promise<string | false> {
  let changed: { before: string[]; after: string[] } | null = null
  const edit = (source: string): string => {
    const turned = commentLines(source, text(a.regex, 'regex'), text(a.char, 'char'), comment)
    changed = turned
    return turned?.text ?? source
  }
  await rewrite(pathOf(a), edit, { dryRun: false, backup: backupExtension(a.backup) })
  const lines = changed as { before: string[]; after: string[] } | null
  return lines === null ? false : unifiedDiff(lines.before, lines.after).join('')
}

async function sed(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const path = pathOf(a)
  if (!(await statsOrNull(path))) return false
  const quoted = (value: unknown, all: boolean): string => text(value, 'expression').replace(all ? /[\\/.*[\]^$()&]/g : /\//g, '\\$&')
  const all = flag(a.escape_all)
  const limit = text(a.limit, 'limit')
  const where = limit === '' ? '' : `/${quoted(limit, false)}/${flag(a.negate_match) ? '! ' : ' '}`
  const expression = `${where}s/${quoted(a.before, all)}/${quoted(a.after, all)}/${text(a.flags, 'flags')}`
  const backup = backupExtension(a.backup)
  return runCommand(ctx, ['sed', backup === null ? '-i' : `-i${backup}`, ...splitWords(text(a.options, 'options')), expression, path], {
    python_shell: false
  })
}

async function patch(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const program = await findProgram('patch', process.env.PATH ?? '/usr/bin:/bin', '/')
  if (program === null) throw new CommandExecutionError("patch executable not found. Is the distribution's patch package installed?")
  const original = pathOf(a, 'originalfile')
  const options = Array.isArray(a.options) ? a.options.map(item => text(item, 'options')) : splitWords(text(a.options, 'options'))
  const forward = options.some(option => option === '-N' || option === '--forward' || option === '-R' || option === '--reverse')
  const into = (await statsOrNull(original))?.isDirectory() ? ['-d', original] : [original]
  const reject = options.some(option => option.startsWith('-r') || option.startsWith('--reject-file')) ? [] : ['--reject-file=-']
  const words = [
    program,
    ...options,
    ...(flag(a.dry_run) ? ['--dry-run'] : []),
    ...(forward ? [] : ['-N']),
    ...reject,
    '-i',
    pathOf(a, 'patchfile'),
    ...into
  ]
  return runCommand(ctx, words, { python_shell: false })
}

async function seekWrite(_ctx: ModuleContext, a: Mapping): Promise<number> {
  const file = await open(pathOf(a), 'r+')
  try {
    const { bytesWritten } = await file.write(Buffer.from(text(a.data, 'data')), 0, null, number(a.offset, 'offset'))
    return bytesWritten
  } finally {
    await file.close()
  }
}

// ── owner and mode ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** null: done; a text: why not, as Salt answers it. */
async function setOwner(a: Mapping, follow: boolean): Promise<string | null> {
  const path = pathOf(a)
  const user = await ownershipOf(a.user, null, null)
  const group = await ownershipOf(null, a.group, null)
  const missing = [typeof user === 'string' ? 'User does not exist\n' : '', typeof group === 'string' ? 'Group does not exist\n' : ''].join(
    ''
  )
  const there = follow ? await statsOrNull(path) : await linkStatsOrNull(path)
  if (typeof user === 'string' || typeof group === 'string') return there ? missing : `${missing}File not found`
  if (!there) return 'File not found'
  await (follow ? chown : lchown)(path, user.uid ?? there.uid, group.gid ?? there.gid)
  return null
}

async function setMode(_ctx: ModuleContext, a: Mapping): Promise<string> {
  const path = pathOf(a)
  const mode = manageMode(a.mode) || '0'
  if (!(await statsOrNull(path))) throw new CommandExecutionError(`${path}: File not found`)
  if (!/^[0-7]+$/.test(mode)) return `Invalid Mode ${mode}`
  await chmod(path, Number.parseInt(mode, 8))
  return modeOf(await statsOf(path, true))
}

// ── entries ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function copy(_ctx: ModuleContext, a: Mapping): Promise<true> {
  const [src, dst] = [absolutePath(a, 'src'), pathOf(a, 'dst')]
  const now = await statsOrNull(src)
  if (!now) throw new CommandExecutionError(`No such file or directory: '${src}'`)
  if (now.isDirectory() && !flag(a.recurse))
    throw new InvocationError('Cannot copy overwriting a directory without recurse flag set to true!')
  const into = !now.isDirectory() && (await statsOrNull(dst))?.isDirectory() ? join(dst, basename(src)) : dst
  try {
    if (flag(a.remove_existing) && now.isDirectory()) await rm(into, { recursive: true, force: true })
    await cp(src, into, { recursive: true, verbatimSymlinks: true })
    const { uid, gid } = now
    if (process.getuid?.() === 0) await chown(into, uid, gid)
  } catch (error) {
    throw new CommandExecutionError(`Could not copy '${src}' to '${dst}': ${messageOf(error)}`)
  }
  return true
}

async function move(_ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const [src, dst] = [pathOf(a, 'src'), pathOf(a, 'dst')]
  if (!isAbsolute(src)) throw new InvocationError('Source path must be absolute.')
  if (!isAbsolute(dst)) throw new InvocationError('Destination path must be absolute.')
  const target = (await statsOrNull(dst))?.isDirectory() ? join(dst, basename(src)) : dst
  try {
    await (flag(a.disallow_copy_and_unlink) ? moveFile(src, dst) : moveAnywhere(src, target))
  } catch (error) {
    throw new CommandExecutionError(`Unable to move '${src}' to '${dst}': ${messageOf(error)}`)
  }
  return { result: true, comment: `'${src}' moved to '${dst}'` }
}

async function rename(_ctx: ModuleContext, a: Mapping): Promise<true> {
  const [src, dst] = [absolutePath(a, 'src'), pathOf(a, 'dst')]
  await moveFile(src, dst).catch(() => {
    throw new CommandExecutionError(`Could not rename '${src}' to '${dst}'`)
  })
  return true
}

async function link(_ctx: ModuleContext, a: Mapping): Promise<true> {
  const [src, path] = [absolutePath(a, 'src'), absolutePath(a)]
  await hardLink(src, path).catch(() => {
    throw new CommandExecutionError(`Could not create '${path}'`)
  })
  return true
}

async function symlink(_ctx: ModuleContext, a: Mapping): Promise<true> {
  const [src, path] = [text(a.src, 'src'), absolutePath(a, 'path', `Link path must be absolute: ${pathOf(a)}`)]
  const now = await linkStatsOrNull(path)
  if (now?.isSymbolicLink()) {
    if ((await readlink(path)) === src) return true
    if (!flag(a.force) && !flag(a.atomic)) throw new CommandExecutionError(`Found existing symlink: ${path}`)
  } else if (now && !flag(a.force) && !flag(a.atomic)) throw new CommandExecutionError(`Existing path is not a symlink: ${path}`)
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`)
  await makeLink(src, temporary)
  try {
    if (now?.isDirectory()) await rm(path, { recursive: true })
    await moveFile(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw new CommandExecutionError(`Could not create '${path}': ${messageOf(error)}`)
  }
  return true
}

async function remove(_ctx: ModuleContext, a: Mapping): Promise<true> {
  const path = absolutePath(a, 'path', `File path must be absolute: ${pathOf(a)}`)
  if (!(await linkStatsOrNull(path))) throw new CommandExecutionError(`Path not found: ${path}`)
  await rm(path, { recursive: true }).catch(error => {
    throw new CommandExecutionError(`Could not remove '${path}': ${messageOf(error)}`)
  })
  return true
}

/** True, or the reason as a text; with `recurse` the empty directories below it go, too, and `verbose` tells of all. */
async function rmdir(_ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const path = absolutePath(a)
  if (!(await statsOrNull(path))?.isDirectory()) throw new InvocationError('A valid directory was not specified.')
  const before = a.older_than === null ? null : Date.now() - number(a.older_than, 'older_than') * 86_400_000
  const [deleted, errors]: [string[], [string, string][]] = [[], []]
  const attempt = async (dir: string): Promise<void> => {
    if (before !== null && (await statsOf(dir, true)).mtimeMs > before) return
    await removeDirectory(dir).then(
      () => deleted.push(dir),
      error => errors.push([dir, messageOf(error)])
    )
  }
  if (flag(a.recurse)) {
    const below = (await readdir(path, { recursive: true, withFileTypes: true })).filter(entry => entry.isDirectory())
    for (const dir of below
      .map(entry => join(entry.parentPath, entry.name))
      .sort()
      .reverse()) {
      if ((await readdir(dir)).length === 0) await attempt(dir)
    }
  }
  await attempt(path)
  if (flag(a.verbose)) return { deleted, errors, result: errors.length === 0 }
  return flag(a.recurse) ? errors.length === 0 : (errors[0]?.[1] ?? true)
}

async function mkdir(_ctx: ModuleContext, a: Mapping): Promise<true> {
  await makeTree(pathOf(a, 'dir_path'), a)
  return true
}

/** Makes what is missing of a directory, each with owner and mode. */
async function makeTree(dir: string, a: Mapping): Promise<void> {
  const wanted = await ownershipOf(a.user, a.group, a.mode)
  if (typeof wanted === 'string') throw new CommandExecutionError(wanted)
  const missing: string[] = []
  for (let path = dir.replace(/(.)\/+$/, '$1'); !(await statsOrNull(path)); path = dirname(path)) missing.unshift(path)
  for (const path of missing) {
    await makeDirectory(path)
    await applyOwnership(path, wanted)
  }
}

/** null, or Salt's text when there is nothing to make. */
async function makedirs(_ctx: ModuleContext, a: Mapping): Promise<string | null> {
  const path = pathOf(a)
  const dir = path.endsWith('/') ? path.replace(/(.)\/+$/, '$1') : dirname(path)
  const now = await statsOrNull(dir)
  if (now?.isDirectory()) return `Directory '${dir}' already exists`
  if (now) return `The path '${dir}' already exists and is not a directory`
  await makeTree(dir, a)
  return null
}

async function makedirsPerms(_ctx: ModuleContext, a: Mapping): Promise<null> {
  const name = pathOf(a, 'name')
  await makeTree(name, a)
  const wanted = await ownershipOf(a.user, a.group, a.mode)
  if (typeof wanted !== 'string') await applyOwnership(name, wanted)
  return null
}

async function touch(_ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const name = pathOf(a, 'name')
  const seconds = (given: unknown, otherwise: number): number => (given === null ? otherwise : number(given, 'time'))
  if (!(await statsOrNull(name))) await writeFile(name, '', { flag: 'a' })
  const now = Date.now() / 1000
  await utimes(name, seconds(a.atime, now), seconds(a.mtime, now))
  return (await statsOrNull(name)) !== null
}

// ── backups ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Backup {
  readonly 'Start Time': string
  readonly Size: number
  readonly Location: string
}

/** Number (0: the newest) → the backup. */
async function listBackups(ctx: ModuleContext, a: Mapping): Promise<Record<string, Backup>> {
  const path = pathOf(a)
  const [dir, name] = [join(ctx.options.cachedir, 'file_backup', dirname(path)), basename(path)]
  const found: { at: string; backup: Backup }[] = []
  for (const file of await readdir(dir).catch((): string[] => [])) {
    const match = /^(\w{3})_(\w{3})_(\d\d)_(\d\d:\d\d:\d\d)_(\d{6})_(\d{4})$/.exec(
      file.startsWith(`${name}_`) ? file.slice(name.length + 1) : ''
    )
    const now = match && (await statsOrNull(join(dir, file)))
    if (!match || !now) continue
    const [, weekday, month, day, time, micros, year] = match
    const order = `${year}-${String(MONTHS.indexOf(month!) + 1).padStart(2, '0')}-${day}T${time}.${micros}`
    const backup = { 'Start Time': `${weekday} ${month} ${day} ${year} ${time}.${micros}`, Size: now.size, Location: join(dir, file) }
    found.push({ at: order, backup })
  }
  found.sort((one, two) => (one.at < two.at ? 1 : -1))
  const limit = a.limit === null || a.limit === undefined ? found.length : number(a.limit, 'limit')
  return Object.fromEntries(found.slice(0, limit).map(({ backup }, index) => [String(index), backup]))
}

async function backupOf(ctx: ModuleContext, a: Mapping): Promise<Backup | string> {
  const id = text(a.backup_id, 'backup_id')
  if (!/^\d+$/.test(id)) return `Invalid backup_id '${id}'`
  return (await listBackups(ctx, { path: a.path, limit: null }))[id] ?? `backup_id '${id}' does not exist for ${pathOf(a)}`
}

async function restoreBackup(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const path = pathOf(a)
  const backup = await backupOf(ctx, a)
  if (typeof backup === 'string') return { result: false, comment: backup }
  const before = await statsOrNull(path)
  try {
    const content = await readFile(backup.Location)
    if (before) await keepBackup(ctx.options.cachedir, path)
    await replaceContent(path, content, before ? null : '0600')
  } catch (error) {
    return { result: false, comment: `Unable to restore ${backup.Location} to ${path}: ${messageOf(error)}` }
  }
  return { result: true, comment: `Successfully restored ${backup.Location} to ${path}` }
}

async function deleteBackup(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const backup = await backupOf(ctx, a)
  if (typeof backup === 'string') return { result: false, comment: backup }
  await rm(backup.Location)
  return { result: true, comment: `Successfully removed ${backup.Location}` }
}
