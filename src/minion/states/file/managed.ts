import { randomBytes } from 'node:crypto'
import { copyFile, lstat, mkdir, readFile, realpath, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { runCommand } from '../../command.js'
import { parseSaltUrl } from '../../files.js'
import { manageMode } from '../../modules/config.js'
import { messageOf } from '../../modules/errors.js'
import { quoteWord } from '../../modules/shlex.js'
import { flag, isMapping, type Mapping, text, textOrNull } from '../../modules/values.js'
import { callDirectly, type StateContext, type StateResult, stateFn } from '../state.js'
import { ContentError, wantedContent } from './content.js'
import { diffOf, HIDDEN_DIFF } from './diff.js'
import { applyOwnership, exists, makeParents, type Ownership, ownershipChanges, ownershipOf, replaceContent } from './place.js'

/** `file.managed`. Recorded in golden/events/state_apply_file.jsonl. */
export const managed = stateFn(
  "managed(name, source=None, source_hash='', source_hash_name=None, keep_source=True, user=None, group=None, mode=None, attrs=None, template=None, makedirs=False, dir_mode=None, context=None, replace=True, defaults=None, backup='', show_changes=True, create=True, contents=None, tmp_dir='', tmp_ext='', contents_pillar=None, contents_grains=None, contents_newline=True, contents_delimiter=':', encoding=None, encoding_errors='strict', allow_empty=True, follow_symlinks=True, check_cmd=None, skip_verify=False, selinux=None, verify_ssl=True, use_etag=False, **kwargs)",
  `Manages a file: its content (source, contents, contents_pillar, contents_grains), owner, group and mode. template: jinja renders it with
context over defaults. makedirs makes the directories above it. replace=False leaves existing content alone, create=False a file that is
not there. changes: diff, user, group, mode.`,
  manage
)

/** `file.managed` for other states; only what differs from its defaults needs to be given. */
export function manageFile(ctx: StateContext, args: Mapping): Promise<StateResult> {
  return callDirectly(managed, ctx, args)
}

const TEST_NOTE = '\nNote: No changes made, actual changes may\nbe different due to other states.'

/** Salt's order of keys for this state. */
function answer(name: string, result: boolean | null, comment: string, changes: Mapping = {}): StateResult {
  return { changes, comment, name, result }
}

async function manage(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name')
  if (name === '') return answer(name, false, 'Destination file name is required')
  if (!isAbsolute(name)) return answer(name, false, `Specified file ${name} is not an absolute path`)
  const path = flag(a.follow_symlinks) ? await realpath(name).catch(() => name) : name
  const isLink = !flag(a.follow_symlinks) && ((await lstat(name).catch(() => null))?.isSymbolicLink() ?? false)
  const now = await stat(path).catch(() => null)
  if (now?.isDirectory() && !isLink) return answer(name, false, `Specified target ${name} is a directory`)
  if (!now && !flag(a.create)) return answer(name, true, `File ${name} is not present and is not set for creation`)
  const { kwargs } = a
  const user = a.user ?? (isMapping(kwargs) ? kwargs.owner : null)
  const ownership = await ownershipOf(user, a.group, await modeWish(ctx, a))
  if (typeof ownership === 'string') return answer(name, false, ownership)
  try {
    const content = now && !flag(a.replace) ? null : await wantedContent(ctx, a)
    const before = now && !now.isDirectory() ? await readFile(path) : null
    const plan: Plan = { name, path, before, content, ownership, isLink: isLink && content !== null }
    return ctx.test ? await predict(a, plan) : await apply(ctx, a, plan)
  } catch (error) {
    if (error instanceof ContentError) return answer(name, false, error.message)
    return answer(name, false, `Unable to manage file: ${messageOf(error)}`)
  }
}

interface Plan {
  readonly name: string
  /** Where it is written: the end of symbolic links. */
  readonly path: string
  readonly before: Buffer | null
  /** null: not to be changed. */
  readonly content: Buffer | null
  readonly ownership: Ownership
  /** A link that is not followed stands there: a file takes its place. */
  readonly isLink: boolean
}

/** `mode: keep` is the mode of the source, where the source is a file of this machine. */
async function modeWish(ctx: StateContext, a: Mapping): Promise<unknown> {
  if (a.mode !== 'keep') return a.mode
  const source = typeof a.source === 'string' ? a.source : ''
  const url = parseSaltUrl(source)
  const file =
    url && ctx.options.file_client === 'local'
      ? (await ctx.files.cacheFile(url.path, url.saltenv ?? ctx.saltenv))?.path
      : isAbsolute(source)
        ? source
        : null
  const now = file ? await stat(file).catch(() => null) : null
  return now ? manageMode((now.mode & 0o7777).toString(8)) : null
}

async function predict(a: Mapping, plan: Plan): Promise<StateResult> {
  const { name, path, before, content, ownership } = plan
  const changes = plan.isLink ? { diff: LINK_REPLACED } : predictedChanges(a, name, before, content)
  if (before !== null) Object.assign(changes, ownershipChanges(await stat(path), ownership))
  if (Object.keys(changes).length === 0) return answer(name, true, inPlace(a, plan))
  return answer(name, null, `The file ${name} is set to be changed${TEST_NOTE}`, changes)
}

const LINK_REPLACED = 'Replace symbolic link with regular file'

function predictedChanges(a: Mapping, name: string, before: Buffer | null, content: Buffer | null): Mapping {
  if (before === null) return { newfile: name }
  return content === null ? {} : shown(a, diffOf(before, content))
}

function inPlace(a: Mapping, { name }: Plan): string {
  return flag(a.replace) ? `The file ${name} is in the correct state` : `File ${name} exists with proper permissions. No changes made.`
}

function shown(a: Mapping, diff: string): Mapping {
  if (diff === '') return {}
  return { diff: flag(a.show_changes) ? diff : HIDDEN_DIFF }
}

async function apply(ctx: StateContext, a: Mapping, plan: Plan): Promise<StateResult> {
  const { name, path, before, content, ownership } = plan
  if (!(await exists(dirname(path)))) {
    if (!flag(a.makedirs)) return answer(name, false, 'Parent directory not present')
    await makeParents(path, ownership, manageMode(a.dir_mode))
  }
  const written = plan.isLink || before === null || (content !== null && !before.equals(content))
  if (written) {
    const refused = await checkCommand(ctx, a, content ?? Buffer.alloc(0))
    if (refused !== null) return { ...answer(name, false, refused), skip_watch: true }
    if (plan.isLink) await rm(path)
    else if (before !== null) await backUp(ctx, a, path)
    await replaceContent(path, content ?? Buffer.alloc(0), ownership.mode)
  }
  const changes: Mapping = { ...contentChanges(a, plan), ...(await applyOwnership(path, ownership)) }
  return answer(name, true, comment(a, plan, changes), changes)
}

function contentChanges(a: Mapping, { name, before, content, isLink }: Plan): Mapping {
  if (isLink) return { diff: LINK_REPLACED }
  if (before === null) return content === null ? { new: `file ${name} created` } : { diff: 'New file' }
  return content === null ? {} : shown(a, diffOf(before, content))
}

function comment(a: Mapping, { name, before, content }: Plan, changes: Mapping): string {
  if (before === null && content === null) return 'Empty file'
  if (Object.keys(changes).length > 0) return `File ${name} updated`
  return flag(a.replace) ? `File ${name} is in the correct state` : `File ${name} exists with proper permissions. No changes made.`
}

/** `check_cmd` gets the new content as a file and decides whether it goes into place. null: it may. */
async function checkCommand(ctx: StateContext, a: Mapping, content: Buffer): Promise<string | null> {
  const command = textOrNull(a.check_cmd, 'check_cmd')
  if (command === null) return null
  const file = join(
    textOrNull(a.tmp_dir, 'tmp_dir') || tmpdir(),
    `brine-${randomBytes(8).toString('hex')}${textOrNull(a.tmp_ext, 'tmp_ext') ?? ''}`
  )
  try {
    await writeFile(file, content, { mode: 0o600 })
    const options = { ...(isMapping(a.kwargs) ? a.kwargs : {}), python_shell: true }
    const done = await runCommand(ctx, `${command} ${quoteWord(file)}`, options, { mergeStderr: true })
    return done.retcode === 0 ? null : ['check_cmd execution failed', done.stdout].filter(line => line !== '').join('\n')
  } finally {
    await rm(file, { force: true })
  }
}

/** `backup: minion` keeps the old file below the cache directory. */
async function backUp(ctx: StateContext, a: Mapping, path: string): Promise<void> {
  const mode = a.backup || ctx.options.settings.backup_mode
  if (mode !== 'minion' && mode !== 'both') return
  await keepBackup(ctx.options.cachedir, path)
}

/** Copies a file to where `file.list_backups` finds it: its path below `file_backup`, with the local time to the microsecond. */
export async function keepBackup(cachedir: string, path: string): Promise<void> {
  const target = join(cachedir, 'file_backup', `${path}_${backupStamp(new Date())}`)
  await mkdir(dirname(target), { recursive: true, mode: 0o700 })
  await copyFile(path, target)
  const { atime, mtime } = await stat(path)
  await utimes(target, atime, mtime)
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
export const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** `Mon_Jan_31_12:00:59_123456_2026`, as Salt names its backups. */
function backupStamp(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
  const micros = String(at.getMilliseconds() * 1000 + Number(process.hrtime.bigint() % 1000n)).padStart(6, '0')
  return `${DAYS[at.getDay()]}_${MONTHS[at.getMonth()]}_${two(at.getDate())}_${time}_${micros}_${at.getFullYear()}`
}
