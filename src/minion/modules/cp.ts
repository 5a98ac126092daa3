import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { compileGlob } from '../../tags/glob.js'
import type { ModuleContext } from '../context.js'
import { hashFile, parseSaltUrl, relativePath } from '../files.js'
import { externalPath, localCopy } from '../sources.js'
import { renderTemplate } from '../template.js'
import { CommandExecutionError, InvocationError } from './errors.js'
import { doc, fn, type Module } from './module.js'
import { flag, isMapping, type Mapping, text, textOrNull, texts } from './values.js'

const OWN_PROCESS = { isolated: true } as const

/** Salt's `cp` module: files of the server. Texts and values for what is missing are Salt's ('' or False). */
export const cp: Module = {
  name: 'cp',
  functions: [
    fn(
      'get_file(path, dest, saltenv=None, makedirs=False, template=None, gzip=None, **kwargs)',
      doc('Copies a file of the server.', 'cp.get_file salt://vimrc /etc/vimrc'),
      getFile,
      OWN_PROCESS
    ),
    fn(
      "get_url(path, dest='', saltenv=None, makedirs=False, source_hash=None, **kwargs)",
      doc('Copies a file by its URL.', 'cp.get_url salt://a /tmp/a'),
      getUrl,
      OWN_PROCESS
    ),
    fn(
      "get_template(path, dest, template='jinja', saltenv=None, makedirs=False, **kwargs)",
      doc('Renders a file of the server into a file.', 'cp.get_template salt://a /a'),
      getTemplate,
      OWN_PROCESS
    ),
    fn(
      'get_dir(path, dest, saltenv=None, template=None, gzip=None, **kwargs)',
      doc('Copies a directory of the server.', 'cp.get_dir salt://etc/foo /etc'),
      getDir,
      OWN_PROCESS
    ),
    fn(
      'get_file_str(path, saltenv=None)',
      doc('Returns the text of a file of the server.', 'cp.get_file_str salt://my/file'),
      getFileStr,
      OWN_PROCESS
    ),
    fn(
      'cache_file(path, saltenv=None, source_hash=None, verify_ssl=True, use_etag=False)',
      doc('Fetches a file into the cache; its path there.', 'cp.cache_file salt://path'),
      cacheFile,
      OWN_PROCESS
    ),
    fn(
      'cache_files(paths, saltenv=None)',
      doc('Fetches files into the cache.', 'cp.cache_files salt://a,salt://b'),
      cacheFiles,
      OWN_PROCESS
    ),
    fn(
      'cache_dir(path, saltenv=None, include_empty=False, include_pat=None, exclude_pat=None)',
      doc('Fetches a directory into the cache.', 'cp.cache_dir salt://path'),
      cacheDir,
      OWN_PROCESS
    ),
    fn('is_cached(path, saltenv=None)', doc("Returns the cached file's path, or ''.", 'cp.is_cached salt://path/to/file'), isCached),
    fn(
      'hash_file(path, saltenv=None)',
      doc('Returns the hash of a file of the server and its kind.', 'cp.hash_file salt://path'),
      hashOf,
      OWN_PROCESS
    ),
    fn("list_master(saltenv=None, prefix='')", doc('Lists the files of the server.', 'cp.list_master'), listMaster),
    fn("list_master_dirs(saltenv=None, prefix='')", doc('Lists the directories of the server.', 'cp.list_master_dirs'), listDirs),
    fn('list_states(saltenv=None)', doc('Lists the SLS files of the server by their state names.', 'cp.list_states'), listStates),
    fn(
      'cache_master(saltenv=None)',
      doc('Fetches all files of the server into the cache; their paths there.', 'cp.cache_master'),
      cacheMaster,
      OWN_PROCESS
    ),
    fn(
      'cache_local_file(path)',
      doc('Copies a file of this machine into the cache; its path there.', 'cp.cache_local_file /etc/hosts'),
      cacheLocal,
      OWN_PROCESS
    ),
    fn(
      'cache_dest(url, saltenv=None)',
      doc('Returns where a URL lies in the cache once it is fetched.', 'cp.cache_dest salt://my/file'),
      cacheDest
    ),
    fn('list_minion(saltenv=None)', doc('Lists the files in the cache.', 'cp.list_minion'), listMinion, OWN_PROCESS),
    fn(
      "list_master_symlinks(saltenv=None, prefix='')",
      doc('Lists the symbolic links of the server: it follows them, so there are none.', 'cp.list_master_symlinks'),
      () => ({})
    ),
    fn(
      'hash_file_str(path, saltenv=None)',
      doc('Returns the SHA-256 of a file of the server as text.', 'cp.hash_file_str salt://path'),
      async (ctx, a) => (await hashOf(ctx, a)).hsum ?? '',
      OWN_PROCESS
    ),
    fn(
      'stat_file(path, saltenv=None, octal=True)',
      doc('Masterless: returns the mode of a file.', 'cp.stat_file salt://path'),
      statFile,
      OWN_PROCESS
    ),
    fn('recv(files, dest)', doc('Writes files: path → text, below a directory.', 'cp.recv'), receive, OWN_PROCESS),
    fn('envs()', doc('Lists the environments of the server.', 'cp.envs'), ctx => ctx.files.listEnvironments())
  ]
}

function envOf(ctx: ModuleContext, given: unknown): string {
  return textOrNull(given, 'saltenv') ?? ctx.options.saltenv ?? 'base'
}

async function getFile(ctx: ModuleContext, a: Mapping): Promise<string> {
  if (textOrNull(a.template, 'template') !== null) return getTemplate(ctx, a)
  const source = await localCopy(ctx, text(a.path, 'path'), envOf(ctx, a.saltenv))
  return source === null ? '' : place(source, text(a.dest, 'dest'), basename(text(a.path, 'path')), flag(a.makedirs))
}

async function getUrl(ctx: ModuleContext, a: Mapping): Promise<string | false> {
  if (a.dest === null) return getFileStr(ctx, a)
  const source = await localCopy(ctx, text(a.path, 'path'), envOf(ctx, a.saltenv))
  if (source === null) return false
  const expected = textOrNull(a.source_hash, 'source_hash')
  if (expected !== null) await checkHash(source, expected)
  return a.dest === '' ? source : place(source, text(a.dest, 'dest'), basename(text(a.path, 'path')), flag(a.makedirs))
}

async function getTemplate(ctx: ModuleContext, a: Mapping): Promise<string> {
  const [path, saltenv] = [text(a.path, 'path'), envOf(ctx, a.saltenv)]
  const source = await localCopy(ctx, path, saltenv)
  if (source === null) return ''
  const context = isMapping(a.kwargs) ? a.kwargs : {}
  const rendered = await renderTemplate(ctx, await readFile(source, 'utf8'), { file: path, saltenv, context })
  const temporary = join(ctx.options.cachedir, `template-${randomBytes(6).toString('hex')}`)
  await mkdir(ctx.options.cachedir, { recursive: true })
  try {
    await writeFile(temporary, rendered, { mode: 0o600 })
    return await place(temporary, text(a.dest, 'dest'), basename(path), flag(a.makedirs))
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Copies into place in one step. A directory, or a path that ends with a slash, gets the source's name. */
async function place(source: string, dest: string, name: string, makedirs: boolean): Promise<string> {
  const into = dest.endsWith('/') || (await stat(dest).catch(() => null))?.isDirectory()
  const target = into ? join(dest, name) : dest
  if (!(await stat(dirname(target)).catch(() => null))) {
    if (!makedirs) return ''
    await mkdir(dirname(target), { recursive: true })
  }
  const temporary = `${target}.${randomBytes(6).toString('hex')}`
  try {
    await copyFile(source, temporary)
    await rename(temporary, target)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  return target
}

async function getDir(ctx: ModuleContext, a: Mapping): Promise<string[]> {
  const { files, base, saltenv } = await filesBelow(ctx, a)
  const top = base.includes('/') ? base.slice(0, base.lastIndexOf('/') + 1) : ''
  const written: string[] = []
  for (const file of files) {
    const dest = join(text(a.dest, 'dest'), file.slice(top.length))
    written.push(await getFile(ctx, { ...a, path: `salt://${file}`, dest, makedirs: true, saltenv }))
  }
  return written
}

async function filesBelow(ctx: ModuleContext, a: Mapping): Promise<{ files: string[]; base: string; saltenv: string }> {
  const path = text(a.path, 'path')
  const url = parseSaltUrl(path)
  const saltenv = url?.saltenv ?? envOf(ctx, a.saltenv)
  const base = url?.path ?? relativePath(path)
  return { files: (await ctx.files.listFiles(saltenv)).filter(file => file.startsWith(`${base}/`)), base, saltenv }
}

async function getFileStr(ctx: ModuleContext, a: Mapping): Promise<string | false> {
  const source = await localCopy(ctx, text(a.path, 'path'), envOf(ctx, a.saltenv))
  return source === null ? false : readFile(source, 'utf8')
}

async function cacheFile(ctx: ModuleContext, a: Mapping): Promise<string | false> {
  return (await localCopy(ctx, text(a.path, 'path'), envOf(ctx, a.saltenv))) ?? false
}

async function cacheFiles(ctx: ModuleContext, a: Mapping): Promise<(string | false)[]> {
  const found: (string | false)[] = []
  for (const path of texts(a.paths, 'paths')) found.push(await cacheFile(ctx, { ...a, path }))
  return found
}

async function cacheDir(ctx: ModuleContext, a: Mapping): Promise<(string | false)[]> {
  const { files, saltenv } = await filesBelow(ctx, a)
  const include = textOrNull(a.include_pat, 'include_pat')
  const exclude = textOrNull(a.exclude_pat, 'exclude_pat')
  const wanted = files.filter(
    file => (include === null || matchesPattern(include, file)) && (exclude === null || !matchesPattern(exclude, file))
  )
  const found: (string | false)[] = []
  for (const file of wanted) found.push(await cacheFile(ctx, { path: `salt://${file}`, saltenv }))
  return found
}

/** A glob, or a regular expression behind `E@`. */
function matchesPattern(pattern: string, path: string): boolean {
  if (!pattern.startsWith('E@')) return compileGlob(pattern)(path)
  try {
    return new RegExp(pattern.slice(2)).test(path)
  } catch {
    throw new CommandExecutionError(`'${pattern}' is no regular expression`)
  }
}

/** `sha256=…`, `md5:…`, or the digits alone, whose number tells the kind. Throws when the file is another one. */
async function checkHash(path: string, expected: string): Promise<void> {
  const [, named, digits] = /^(?:(\w+)[=:])?([0-9a-f]+)$/i.exec(expected.trim()) ?? []
  const kind = named ?? { 32: 'md5', 40: 'sha1', 56: 'sha224', 64: 'sha256', 96: 'sha384', 128: 'sha512' }[digits?.length ?? 0]
  if (digits === undefined || kind === undefined) throw new CommandExecutionError(`source_hash '${expected}' is no hash`)
  const found = await hashFile(path, kind)
  if (found !== digits.toLowerCase()) throw new CommandExecutionError(`the hash of the file is ${kind} ${found}, not ${digits}`)
}

async function cacheMaster(ctx: ModuleContext, a: Mapping): Promise<(string | false)[]> {
  const saltenv = envOf(ctx, a.saltenv)
  const found: (string | false)[] = []
  for (const file of await ctx.files.listFiles(saltenv)) found.push(await cacheFile(ctx, { path: `salt://${file}`, saltenv }))
  return found
}

async function cacheLocal(ctx: ModuleContext, a: Mapping): Promise<string> {
  const path = text(a.path, 'path')
  if (!(await stat(path).catch(() => null))?.isFile()) return ''
  const target = join(ctx.options.cachedir, 'localfiles', relativePath(path))
  await mkdir(dirname(target), { recursive: true, mode: 0o700 })
  await copyFile(path, target)
  return target
}

function cacheDest(ctx: ModuleContext, a: Mapping): string {
  const [url, saltenv] = [text(a.url, 'url'), envOf(ctx, a.saltenv)]
  const parsed = parseSaltUrl(url)
  if (parsed) return join(ctx.options.cachedir, 'files', parsed.saltenv ?? saltenv, parsed.path)
  return /^https?:/.test(url) ? externalPath(ctx, url, saltenv) : join(ctx.options.cachedir, 'localfiles', relativePath(url))
}

async function listMinion(ctx: ModuleContext, a: Mapping): Promise<string[]> {
  const dir = join(ctx.options.cachedir, 'files', envOf(ctx, a.saltenv))
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries
    .filter(entry => entry.isFile())
    .map(entry => relative(dir, join(entry.parentPath, entry.name)))
    .sort()
}

/** The server does not tell modes; on a masterless minion the file itself is there to be asked. */
async function statFile(ctx: ModuleContext, a: Mapping): Promise<string | number> {
  if (ctx.options.file_client !== 'local') throw new CommandExecutionError('cp.stat_file needs file_client: local (masterless)')
  const path = await localCopy(ctx, text(a.path, 'path'), envOf(ctx, a.saltenv))
  if (path === null) return ''
  const { mode } = await stat(path)
  return flag(a.octal) ? `0${(mode & 0o7777).toString(8)}` : mode
}

async function receive(_ctx: ModuleContext, { files, dest }: Mapping): Promise<Mapping> {
  if (!isMapping(files)) throw new InvocationError('files must be a mapping of paths to texts')
  const dir = text(dest, 'dest')
  if (!(await stat(dir).catch(() => null))?.isDirectory()) return { error: 'dest unavailable' }
  const done: Mapping = {}
  for (const [path, content] of Object.entries(files)) {
    const target = join(dir, relativePath(path))
    await mkdir(dirname(target), { recursive: true })
    await writeFile(target, text(content, path))
    done[target] = true
  }
  return done
}

async function isCached(ctx: ModuleContext, a: Mapping): Promise<string> {
  const url = parseSaltUrl(text(a.path, 'path'))
  if (!url) return ''
  const file = join(ctx.options.cachedir, 'files', url.saltenv ?? envOf(ctx, a.saltenv), url.path)
  return (await stat(file).catch(() => null))?.isFile() ? file : ''
}

async function hashOf(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const source = await localCopy(ctx, text(a.path, 'path'), envOf(ctx, a.saltenv))
  return source === null ? {} : { hsum: await hashFile(source), hash_type: 'sha256' }
}

async function listMaster(ctx: ModuleContext, a: Mapping): Promise<string[]> {
  const prefix = text(a.prefix, 'prefix')
  return (await ctx.files.listFiles(envOf(ctx, a.saltenv))).filter(file => file.startsWith(prefix))
}

async function listDirs(ctx: ModuleContext, a: Mapping): Promise<string[]> {
  const saltenv = envOf(ctx, a.saltenv)
  const found = new Set<string>(['.', ...(await ctx.files.listTree(saltenv)).directories])
  for (const file of await ctx.files.listFiles(saltenv)) {
    for (let dir = dirname(file); dir !== '.'; dir = dirname(dir)) found.add(dir)
  }
  return [...found].filter(dir => dir.startsWith(text(a.prefix, 'prefix'))).sort()
}

async function listStates(ctx: ModuleContext, a: Mapping): Promise<string[]> {
  const files = (await ctx.files.listFiles(envOf(ctx, a.saltenv))).filter(file => file.endsWith('.sls'))
  return files
    .map(file =>
      file
        .slice(0, -'.sls'.length)
        .replace(/\/init$/, '')
        .replaceAll('/', '.')
    )
    .sort()
}
