/** Functions of the `file` module that only look. */
import { constants } from 'node:fs'
import { access as accessFile, open, readdir as readDirectory, readFile, readlink as readLink, realpath, statfs } from 'node:fs/promises'
import { basename, dirname, join, normalize } from 'node:path'
import { compileGlob } from '../../../tags/glob.js'
import { runCommand } from '../../command.js'
import type { ModuleContext } from '../../context.js'
import { hashFile } from '../../files.js'
import { localCopy } from '../../sources.js'
import { diffOf, HIDDEN_DIFF, looksBinary, unifiedDiff } from '../../states/file/diff.js'
import { modeOf } from '../../states/file/place.js'
import { renderTemplate } from '../../template.js'
import { findGroupId, findUser, nameOfId } from '../../users.js'
import { CommandExecutionError, InvocationError } from '../errors.js'
import { doc, fn, type ModuleFunction } from '../module.js'
import { splitWords } from '../shlex.js'
import { flag, type Mapping, number, text, textOrNull } from '../values.js'
import { linesWithEnds } from './edits.js'
import { find } from './find.js'
import { absolutePath, linkStatsOrNull, pathOf, statsOf, statsOrNull } from './paths.js'
import { FilePattern, flagNumber, MULTILINE } from './pattern.js'
import { decodeContent } from './rewrite.js'

const OWN_PROCESS = { isolated: true } as const

function look(signature: string, says: string, example: string, run: ModuleFunction['run']): ModuleFunction {
  return fn(signature, doc(says, example), run, OWN_PROCESS)
}

/** What is known of one path, by its kind. */
function isKind(name: string, says: string, kind: 'isBlockDevice' | 'isCharacterDevice' | 'isFIFO' | 'isSymbolicLink'): ModuleFunction {
  return look(`${name}(path)`, says, `file.${name} /path`, async (_ctx, a) => (await linkStatsOrNull(absolutePath(a)))?.[kind]() ?? false)
}

const FIND_DOC = `Finds files below a path. Criteria: name, iname (globs), regex, iregex, type (a b c d f l p s), owner, group (lists), size ([+-]10m),
mtime ([+-]1w2d), grep (an expression in their content), mindepth, maxdepth. What is done with them: print (a list of group, md5, mode,
mtime, name, owner, path, size, type), exec (a command; {} is the path), delete (types).`

export const lookFunctions: readonly ModuleFunction[] = [
  look(
    'access(path, mode)',
    'Returns whether the minion may access a path. mode: f (it is there), r, w, x.',
    'file.access /etc/passwd r',
    access
  ),
  look('basename(path)', 'Returns the last part of a path.', 'file.basename /a/b', (_ctx, a) => basename(text(a.path, 'path'))),
  look('dirname(path)', 'Returns a path without its last part.', 'file.dirname /a/b', (_ctx, a) => {
    const path = text(a.path, 'path')
    return path.includes('/') ? dirname(path.endsWith('/') ? `${path}x` : path) : ''
  }),
  look('join(*args)', 'Joins parts of a path.', 'file.join / usr local', (_ctx, { args }) => {
    const parts = (args as unknown[]).map(part => text(part, 'part'))
    const from = parts.findLastIndex(part => part.startsWith('/'))
    return normalize(parts.slice(Math.max(0, from)).join('/'))
  }),
  look('normpath(path)', 'Returns a path without `.`, `..` and double slashes.', 'file.normpath /a/../b', (_ctx, a) =>
    normalize(text(a.path, 'path')).replace(/(.)\/+$/, '$1')
  ),
  look('pardir()', "Returns the name of the directory above: '..'.", 'file.pardir', () => '..'),
  look(
    'check_hash(path, file_hash)',
    'Returns whether a file has a hash: sha256:…, md5=… or its digits.',
    'file.check_hash /f md5:…',
    checkHash
  ),
  look('contains(path, text)', 'Returns whether a file contains a text.', "file.contains /etc/crontab 'mymaintenance.sh'", contains),
  look(
    "contains_regex(path, regex, lchar='')",
    'Returns whether a line of a file matches an expression; lchar: characters that are stripped from its beginning.',
    'file.contains_regex /etc/crontab ^x',
    containsRegex
  ),
  look(
    'contains_glob(path, glob_expr)',
    'Returns whether a line of a file matches a glob.',
    "file.contains_glob /etc/f '*x*'",
    containsGlob
  ),
  look('directory_exists(path)', 'Returns whether a directory is there.', 'file.directory_exists /etc', async (_ctx, a) => {
    return (await statsOrNull(pathOf(a)))?.isDirectory() ?? false
  }),
  look('file_exists(path)', 'Returns whether a file is there.', 'file.file_exists /etc/passwd', async (_ctx, a) => {
    return (await statsOrNull(pathOf(a)))?.isFile() ?? false
  }),
  look(
    'path_exists_glob(path)',
    'Returns whether something matches a glob.',
    "file.path_exists_glob '/etc/pam*/*.conf'",
    async (_ctx, a) => {
      return (await globPaths(pathOf(a))).length > 0
    }
  ),
  look('diskusage(path)', 'Returns the size of a file, or of all files below a directory, in bytes.', 'file.diskusage /path', diskusage),
  look('find(path, *args, **kwargs)', FIND_DOC, "file.find / type=f name='*.bak' size=+10m", find),
  look(
    'get_diff(file1, file2, saltenv=None, show_filenames=True, show_changes=True, template=False, source_hash_file1=None, source_hash_file2=None)',
    'Returns the difference of two files (of the minion or of the server); template renders them first.',
    'file.get_diff /a salt://b',
    getDiff
  ),
  look('get_user(path, follow_symlinks=True)', "Returns a path's owner.", 'file.get_user /etc/passwd', (_ctx, a) => named('passwd', a)),
  look('get_group(path, follow_symlinks=True)', "Returns a path's group.", 'file.get_group /etc/passwd', (_ctx, a) => named('group', a)),
  look('get_uid(path, follow_symlinks=True)', "Returns the number of a path's owner.", 'file.get_uid /etc/passwd', async (_ctx, a) => {
    return (await statsOf(pathOf(a), flag(a.follow_symlinks))).uid
  }),
  look('get_gid(path, follow_symlinks=True)', "Returns the number of a path's group.", 'file.get_gid /etc/passwd', async (_ctx, a) => {
    return (await statsOf(pathOf(a), flag(a.follow_symlinks))).gid
  }),
  look('get_mode(path, follow_symlinks=True)', "Returns a path's mode as octal text.", 'file.get_mode /etc/passwd', async (_ctx, a) => {
    return modeOf(await statsOf(pathOf(a), flag(a.follow_symlinks)))
  }),
  look("get_hash(path, form='sha256', chunk_size=65536)", 'Returns the hash of a file.', 'file.get_hash /etc/shadow', getHash),
  look("get_sum(path, form='sha256')", "Returns the hash of a file, or 'File not found'.", 'file.get_sum /etc/passwd sha512', getSum),
  look('grep(path, pattern, *opts)', 'Runs grep; returns pid, retcode, stdout, stderr.', 'file.grep /etc/passwd root -- -i', grep),
  isKind('is_blkdev', 'Returns whether a path is a block device.', 'isBlockDevice'),
  isKind('is_chrdev', 'Returns whether a path is a character device.', 'isCharacterDevice'),
  isKind('is_fifo', 'Returns whether a path is a named pipe.', 'isFIFO'),
  isKind('is_link', 'Returns whether a path is a symbolic link.', 'isSymbolicLink'),
  look('lstat(path)', 'Returns what lstat tells of a path; {} when there is none.', 'file.lstat /path/to/file', lstatOf),
  look('stats(path, hash_type=None, follow_symlinks=True)', 'Returns what is known of a path.', 'file.stats /etc/passwd', statsFunction),
  look('statvfs(path)', "Returns what is known of a path's file system.", 'file.statvfs /path/to/file', statvfs),
  look('read(path, binary=False)', 'Returns the content of a file.', 'file.read /path/to/file', async (_ctx, a) => {
    return decodeContent(await readFile(pathOf(a))).text
  }),
  look('readdir(path)', 'Returns the names in a directory, `.` and `..` with them.', 'file.readdir /path/to/dir', readdir),
  look('readlink(path, canonicalize=False)', 'Returns what a symbolic link points to.', 'file.readlink /path/to/link', readlink),
  look(
    'search(path, pattern, flags=8, bufsize=1, ignore_if_missing=False, multiline=False)',
    'Returns whether an expression finds something in a file.',
    "file.search /etc/crontab 'mymaintenance.sh'",
    search
  ),
  look('seek_read(path, size, offset)', 'Returns size bytes of a file from an offset.', 'file.seek_read /path 4096 0', seekRead),
  look('uid_to_user(uid)', "Returns a user's name by its number, or ''.", 'file.uid_to_user 0', (_ctx, { uid }) => idName('passwd', uid)),
  look('gid_to_group(gid)', "Returns a group's name by its number, or ''.", 'file.gid_to_group 0', (_ctx, { gid }) => idName('group', gid)),
  look('user_to_uid(user)', "Returns a user's number by its name, or ''.", 'file.user_to_uid root', async (_ctx, { user }) => {
    if (user === null || user === undefined) return process.getuid?.() ?? ''
    return typeof user === 'number' ? user : ((await findUser(text(user, 'user')))?.uid ?? '')
  }),
  look('group_to_gid(group)', "Returns a group's number by its name, or ''.", 'file.group_to_gid root', async (_ctx, { group }) => {
    if (group === null || group === undefined || group === '') return ''
    return typeof group === 'number' ? group : ((await findGroupId(text(group, 'group'))) ?? '')
  })
]

async function access(_ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const modes: Readonly<Record<string, number>> = { f: constants.F_OK, r: constants.R_OK, w: constants.W_OK, x: constants.X_OK }
  const mode = typeof a.mode === 'number' ? a.mode : modes[text(a.mode, 'mode')]
  if (mode === undefined || ![0, 1, 2, 4].includes(mode)) throw new InvocationError('Invalid mode specified.')
  return accessFile(absolutePath(a, 'path', 'Path to link must be absolute.'), mode).then(
    () => true,
    () => false
  )
}

const DIGITS: Readonly<Record<number, string>> = { 32: 'md5', 40: 'sha1', 56: 'sha224', 64: 'sha256', 96: 'sha384', 128: 'sha512' }

async function checkHash(_ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const wish = text(a.file_hash, 'file_hash')
  const [, kind, digits] = /^(?:(\w+)[:=])?([0-9a-fA-F]+)$/.exec(wish) ?? []
  const form = kind ?? DIGITS[digits?.length ?? 0]
  if (digits === undefined || form === undefined)
    throw new InvocationError(`Bad hash value '${wish}': it is neither <kind>:<digits> nor the digits of a known kind`)
  return (await hashFile(pathOf(a), algorithm(form))) === digits.toLowerCase()
}

function algorithm(form: string): string {
  if (!/^(md5|sha1|sha224|sha256|sha384|sha512)$/.test(form)) throw new InvocationError(`Invalid hash type: ${form}`)
  return form
}

async function contentOf(path: string): Promise<string | null> {
  if (!(await statsOrNull(path))?.isFile()) return null
  return decodeContent(await readFile(path)).text
}

async function contains(_ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const [content, wanted] = [await contentOf(pathOf(a)), text(a.text, 'text')]
  return wanted.trim() !== '' && (content?.includes(wanted.trim()) ?? false)
}

async function containsRegex(_ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const content = await contentOf(pathOf(a))
  const [pattern, strip] = [new FilePattern(text(a.regex, 'regex'), 0), text(a.lchar, 'lchar')]
  return linesWithEnds(content ?? '').some(line => {
    let from = 0
    while (from < line.length && strip.includes(line[from]!)) from++
    return pattern.test(line.slice(from))
  })
}

async function containsGlob(_ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const matches = compileGlob(text(a.glob_expr, 'glob_expr'))
  return linesWithEnds((await contentOf(pathOf(a))) ?? '').some(line => matches(line.replace(/\r?\n$/, '')))
}

/** Paths that match a glob; `*` stays within one directory. */
async function globPaths(pattern: string): Promise<string[]> {
  let found = [pattern.startsWith('/') ? '/' : '.']
  for (const part of pattern.split('/').filter(piece => piece !== '')) {
    const next: string[] = []
    for (const dir of found) {
      if (!/[*?[]/.test(part)) {
        if (await linkStatsOrNull(join(dir, part))) next.push(join(dir, part))
        continue
      }
      const matches = compileGlob(part)
      const names = await readDirectory(dir).catch((): string[] => [])
      // As in a shell, a name that begins with a dot must be asked for.
      for (const name of names.sort()) if (matches(name) && (!name.startsWith('.') || part.startsWith('.'))) next.push(join(dir, name))
    }
    found = next
  }
  return found
}

async function diskusage(_ctx: ModuleContext, a: Mapping): Promise<number> {
  const path = pathOf(a)
  const top = await statsOrNull(path)
  if (top && !top.isDirectory()) return top.size
  const counted = new Set<string>()
  let total = 0
  for (const entry of await readDirectory(path, { recursive: true, withFileTypes: true }).catch(() => [])) {
    if (entry.isDirectory()) continue
    const now = await statsOrNull(join(entry.parentPath, entry.name))
    if (!now || counted.has(`${now.dev}:${now.ino}`)) continue
    counted.add(`${now.dev}:${now.ino}`)
    total += now.size
  }
  return total
}

async function getDiff(ctx: ModuleContext, a: Mapping): Promise<string> {
  const saltenv = textOrNull(a.saltenv, 'saltenv') ?? ctx.options.saltenv ?? 'base'
  const names = [text(a.file1, 'file1'), text(a.file2, 'file2')] as const
  const contents: Buffer[] = []
  for (const name of names) {
    const path = await localCopy(ctx, name, saltenv)
    if (path === null) throw new CommandExecutionError(`Failed to read one or more files: ${name}: No such file or directory`)
    const content = await readFile(path)
    contents.push(flag(a.template) ? Buffer.from(await renderTemplate(ctx, content.toString('utf8'), { file: name, saltenv })) : content)
  }
  const [one, two] = contents as [Buffer, Buffer]
  if (one.equals(two)) return ''
  if (!flag(a.show_changes)) return HIDDEN_DIFF
  if (looksBinary(one) || looksBinary(two)) return diffOf(one, two)
  const lines = unifiedDiff(linesWithEnds(decodeContent(one).text), linesWithEnds(decodeContent(two).text))
  return (flag(a.show_filenames) ? [`--- ${names[0]}\n`, `+++ ${names[1]}\n`, ...lines.slice(2)] : lines).join('')
}

async function named(kind: 'passwd' | 'group', a: Mapping): Promise<string> {
  const now = await statsOf(pathOf(a), flag(a.follow_symlinks))
  return nameOfId(kind, kind === 'passwd' ? now.uid : now.gid)
}

async function getHash(_ctx: ModuleContext, a: Mapping): Promise<string> {
  const path = pathOf(a)
  if (!(await statsOrNull(path))) throw new CommandExecutionError(`[Errno 2] No such file or directory: '${path}'`)
  return hashFile(path, algorithm(text(a.form, 'form')))
}

async function getSum(_ctx: ModuleContext, a: Mapping): Promise<string> {
  const path = pathOf(a)
  return (await statsOrNull(path))?.isFile() ? hashFile(path, algorithm(text(a.form, 'form'))) : 'File not found'
}

async function grep(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const options = (a.opts as unknown[]).flatMap(option => splitWords(text(option, 'opts')))
  if (options.some(option => option.includes('\0'))) throw new InvocationError('options are texts without NUL')
  const paths = await globPaths(pathOf(a))
  const words = ['grep', ...options, text(a.pattern, 'pattern'), ...(paths.length > 0 ? paths : [pathOf(a)])]
  return runCommand(ctx, words, { python_shell: false })
}

async function lstatOf(_ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const now = await linkStatsOrNull(absolutePath(a, 'path', 'Path to file must be absolute.'))
  if (!now) return {}
  const { gid, mode, nlink, size, uid } = now
  return {
    ...{ st_atime: now.atimeMs / 1000, st_ctime: now.ctimeMs / 1000, st_gid: gid, st_mode: mode, st_mtime: now.mtimeMs / 1000 },
    ...{ st_nlink: nlink, st_size: size, st_uid: uid }
  }
}

async function statsFunction(_ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const path = pathOf(a)
  const now = await statsOf(path, flag(a.follow_symlinks))
  const kind = now.isDirectory() ? 'dir' : now.isFile() ? 'file' : now.isSymbolicLink() ? 'link' : now.isFIFO() ? 'pipe' : null
  const form = textOrNull(a.hash_type, 'hash_type')
  return {
    ...{ inode: now.ino, uid: now.uid, gid: now.gid, group: await nameOfId('group', now.gid), user: await nameOfId('passwd', now.uid) },
    ...{ atime: now.atimeMs / 1000, mtime: now.mtimeMs / 1000, ctime: now.ctimeMs / 1000, size: now.size, mode: modeOf(now) },
    ...(form !== null && now.isFile() ? { sum: await hashFile(path, algorithm(form)) } : {}),
    type: kind ?? (now.isBlockDevice() ? 'block' : now.isCharacterDevice() ? 'char' : 'socket'),
    target: await realpath(path).catch(() => path)
  }
}

async function statvfs(_ctx: ModuleContext, a: Mapping): Promise<Mapping | false> {
  const path = absolutePath(a)
  const now = await statfs(path).catch(() => null)
  if (!now) throw new CommandExecutionError(`Could not statvfs '${path}'`)
  return {
    ...{ f_bavail: now.bavail, f_bfree: now.bfree, f_blocks: now.blocks, f_bsize: now.bsize, f_favail: now.ffree },
    ...{ f_ffree: now.ffree, f_files: now.files, f_frsize: now.bsize, f_namemax: 255 }
  }
}

async function readdir(_ctx: ModuleContext, a: Mapping): Promise<string[]> {
  const path = absolutePath(a, 'path', 'Dir path must be absolute.')
  if (!(await statsOrNull(path))?.isDirectory()) throw new InvocationError('A valid directory was not specified.')
  return ['.', '..', ...(await readDirectory(path))]
}

async function readlink(_ctx: ModuleContext, a: Mapping): Promise<string> {
  const path = absolutePath(a, 'path', `Path to link must be absolute: ${pathOf(a)}`)
  if (!(await linkStatsOrNull(path))?.isSymbolicLink()) throw new InvocationError(`A valid link was not specified: ${path}`)
  return flag(a.canonicalize) ? realpath(path) : readLink(path)
}

async function search(_ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const content = await contentOf(pathOf(a))
  if (content === null) {
    if (flag(a.ignore_if_missing)) return false
    throw new InvocationError(`File not found: ${pathOf(a)}`)
  }
  return new FilePattern(text(a.pattern, 'pattern'), flagNumber(a.flags) | (flag(a.multiline) ? MULTILINE : 0)).test(content)
}

/** Bytes that are read at once at most: what a return may carry. */
const MAX_READ = 16 * 1024 * 1024

async function seekRead(_ctx: ModuleContext, a: Mapping): Promise<string> {
  const file = await open(pathOf(a), 'r')
  try {
    const buffer = Buffer.alloc(Math.min(MAX_READ, Math.max(0, number(a.size, 'size'))))
    const { bytesRead } = await file.read(buffer, 0, buffer.length, number(a.offset, 'offset'))
    return decodeContent(buffer.subarray(0, bytesRead)).text
  } finally {
    await file.close()
  }
}

async function idName(kind: 'passwd' | 'group', id: unknown): Promise<string> {
  if (typeof id === 'string' && !/^\d+$/.test(id)) return id
  const name = await nameOfId(kind, number(id, 'id'))
  return name === String(id) ? '' : name
}
