/** Functions of the `file` module that manage a file as the state `file.managed` does. */
import { createHash, randomBytes } from 'node:crypto'
import { lstat, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModuleContext } from '../../context.js'
import { localCopy } from '../../sources.js'
import { diffOf } from '../../states/file/diff.js'
import { manageFile } from '../../states/file/managed.js'
import { applyOwnership, modeOf, ownershipChanges, ownershipOf } from '../../states/file/place.js'
import type { Low, StateContext } from '../../states/state.js'
import { renderTemplate } from '../../template.js'
import { nameOfId } from '../../users.js'
import { CommandExecutionError, InvocationError } from '../errors.js'
import { doc, fn, type ModuleFunction } from '../module.js'
import { pyStr } from '../python.js'
import { flag, isMapping, type Mapping, text, textOrNull } from '../values.js'
import { pathOf, statsOrNull } from './paths.js'

const WISH = 'user, group, mode, attrs=None, template=None, context=None, defaults=None, saltenv=None, contents=None, skip_verify=False'

function manage(signature: string, says: string, example: string, run: ModuleFunction['run']): ModuleFunction {
  return fn(signature, doc(says, example), run, { isolated: true })
}

export const manageFunctions: readonly ModuleFunction[] = [
  manage(
    `check_managed(name, source, source_hash, source_hash_name, ${WISH}, keep_mode=False, seuser=None, serole=None, setype=None, serange=None, follow_symlinks=False, **kwargs)`,
    'Returns what file.managed would say: [None, what would change] or [True, that nothing would].',
    "file.check_managed /etc/httpd.conf salt://httpd.conf '{hash_type: md5, hsum: …}' None root root 755",
    checkManaged
  ),
  manage(
    `check_managed_changes(name, source, source_hash, source_hash_name, ${WISH}, keep_mode=False, seuser=None, serole=None, setype=None, serange=None, verify_ssl=True, follow_symlinks=False, **kwargs)`,
    'Returns the changes that file.managed would make.',
    "file.check_managed_changes /etc/httpd.conf salt://httpd.conf '{hash_type: md5, hsum: …}' None root root 755",
    checkManagedChanges
  ),
  manage(
    "manage_file(name, sfn, ret, source, source_sum, user, group, mode, attrs, saltenv, backup, makedirs=False, template=None, show_changes=True, contents=None, dir_mode=None, follow_symlinks=True, skip_verify=False, keep_mode=False, encoding=None, encoding_errors='strict', seuser=None, serole=None, setype=None, serange=None, verify_ssl=True, use_etag=False, **kwargs)",
    'Puts a file into place, as file.managed does; returns its result.',
    "file.manage_file /etc/httpd.conf '' '{}' salt://httpd.conf '{hash_type: md5, hsum: …}' root root 755 None base ''",
    managedFile
  ),
  manage(
    'get_managed(name, template, source, source_hash, source_hash_name, user, group, mode, attrs, saltenv, context, defaults, skip_verify=False, verify_ssl=True, use_etag=False, **kwargs)',
    'Fetches (and renders) the source of a managed file: [path, its hash, why not].',
    'file.get_managed /etc/httpd.conf jinja salt://httpd.conf None None root root 755 None base None None',
    getManaged
  ),
  manage(
    'check_file_meta(name, sfn, source, source_sum, user, group, mode, attrs, saltenv, contents=None, seuser=None, serole=None, setype=None, serange=None, verify_ssl=True, follow_symlinks=False)',
    'Returns what of content, owner and mode of a file differs.',
    "file.check_file_meta /etc/httpd.conf None salt://httpd.conf '{}' root root 755 None base",
    checkFileMeta
  ),
  manage(
    'check_perms(name, ret, user, group, mode, attrs=None, follow_symlinks=False, seuser=None, serole=None, setype=None, serange=None)',
    'Sets owner, group and mode; returns [result, what they were].',
    "file.check_perms /etc/sudoers '{}' root root 400",
    checkPerms
  ),
  manage(
    'source_list(source, source_hash, saltenv)',
    'Returns the first source of a list that exists, with its hash.',
    "file.source_list salt://a '' base",
    sourceList
  ),
  manage(
    'apply_template_on_contents(contents, template, context, defaults, saltenv)',
    'Renders a text.',
    "file.apply_template_on_contents '{{ x }}' jinja '{x: 1}' None base",
    (ctx, a) => {
      if (textOrNull(a.template, 'template') !== 'jinja')
        throw new InvocationError(`Specified template format ${pyStr(a.template)} is not supported`)
      const context = { ...(isMapping(a.defaults) ? a.defaults : {}), ...(isMapping(a.context) ? a.context : {}) }
      return renderTemplate(ctx, text(a.contents, 'contents'), { file: 'contents', saltenv: envOf(ctx, a), context })
    }
  )
]

function envOf(ctx: ModuleContext, a: Mapping): string {
  return textOrNull(a.saltenv, 'saltenv') ?? ctx.options.saltenv ?? 'base'
}

/** A function runs the state as a run of its own. */
function stateContext(ctx: ModuleContext, name: string, saltenv: string, test: boolean): StateContext {
  const low = { state: 'file', fun: 'managed', name, __id__: name, __sls__: null, __env__: saltenv, order: 0 } as Low
  return { ...ctx, test, saltenv, low, requisites: {}, results: new Map(), accumulators: new Map() }
}

/** A hash as the functions take it (`{hash_type: …, hsum: …}`, or a text) as the state takes it. */
function hashOf(given: unknown): string {
  if (isMapping(given)) return typeof given.hsum === 'string' ? `${pyStr(given.hash_type ?? 'sha256')}=${given.hsum}` : ''
  return given === null || given === undefined ? '' : text(given, 'source_hash')
}

function wished(a: Mapping): Mapping {
  const { user, group, mode, template, context, defaults, contents, skip_verify, source, source_hash_name, follow_symlinks } = a
  const wish = { user, group, mode, template, context, defaults, contents, skip_verify, source, source_hash_name }
  return { ...wish, source_hash: hashOf(a.source_hash ?? a.source_sum), follow_symlinks: follow_symlinks ?? true }
}

async function predicted(ctx: ModuleContext, a: Mapping): Promise<{ result: boolean | null; comment: string; changes: Mapping }> {
  const name = pathOf(a, 'name')
  return manageFile(stateContext(ctx, name, envOf(ctx, a), true), { ...wished(a), name })
}

async function checkManaged(ctx: ModuleContext, a: Mapping): Promise<unknown[]> {
  const { result, comment, changes } = await predicted(ctx, a)
  if (result === false) return [false, comment]
  const lines = Object.entries(changes).map(([key, value]) => `${key}: ${pyStr(value)}\n`)
  if (lines.length === 0) return [true, `The file ${pathOf(a, 'name')} is in the correct state`]
  return [null, `The following values are set to be changed:\n${lines.join('')}`]
}

async function checkManagedChanges(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const { result, comment, changes } = await predicted(ctx, a)
  return result === false ? [false, comment] : changes
}

async function managedFile(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const name = pathOf(a, 'name')
  const { backup, makedirs, show_changes, dir_mode, sfn } = a
  // A file that get_managed has fetched is the source.
  const source = typeof sfn === 'string' && sfn !== '' ? { source: sfn, template: null, source_hash: '' } : {}
  const wish = { ...wished(a), ...source, name, backup, makedirs, show_changes, dir_mode }
  return manageFile(stateContext(ctx, name, envOf(ctx, a), ctx.options.test), wish)
}

async function getManaged(ctx: ModuleContext, a: Mapping): Promise<unknown[]> {
  const [source] = await sourceList(ctx, a)
  if (source === null) return ['', {}, '']
  const path = await localCopy(ctx, String(source), envOf(ctx, a))
  if (path === null) return ['', {}, `Source file ${source} not found in saltenv '${envOf(ctx, a)}'`]
  const content = await readFile(path)
  const sum = (bytes: Buffer): Mapping => ({ hash_type: 'sha256', hsum: createHash('sha256').update(bytes).digest('hex') })
  if (textOrNull(a.template, 'template') === null) return [path, sum(content), '']
  const context = { ...(isMapping(a.defaults) ? a.defaults : {}), ...(isMapping(a.context) ? a.context : {}) }
  const rendered = Buffer.from(
    await renderTemplate(ctx, content.toString('utf8'), { file: String(source), saltenv: envOf(ctx, a), context })
  )
  const target = join(ctx.options.cachedir, `managed-${randomBytes(8).toString('hex')}`)
  await mkdir(ctx.options.cachedir, { recursive: true })
  await writeFile(target, rendered, { mode: 0o600 })
  return [target, sum(rendered), '']
}

async function sourceList(ctx: ModuleContext, a: Mapping): Promise<[unknown, unknown]> {
  if (a.source === null || a.source === undefined || a.source === '') return [null, a.source_hash ?? null]
  if (!Array.isArray(a.source)) return [a.source, a.source_hash ?? null]
  for (const item of a.source) {
    const [source, hash] = isMapping(item) ? Object.entries(item)[0]! : [text(item, 'source'), a.source_hash ?? null]
    if ((await localCopy(ctx, source, envOf(ctx, a)).catch(() => null)) !== null) return [source, hash]
  }
  throw new CommandExecutionError('none of the specified sources were found')
}

async function checkFileMeta(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const name = pathOf(a, 'name')
  const now = await statsOrNull(name)
  if (!now) return { newfile: name }
  const wanted = await ownershipOf(a.user, a.group, a.mode)
  if (typeof wanted === 'string') throw new CommandExecutionError(wanted)
  const source = textOrNull(a.sfn, 'sfn') || (await fetched(ctx, a))
  const content = a.contents !== null ? Buffer.from(text(a.contents, 'contents')) : source ? await readFile(source) : null
  const diff = content === null ? '' : diffOf(await readFile(name), content)
  return { ...(diff === '' ? {} : { diff }), ...ownershipChanges(now, wanted) }
}

async function fetched(ctx: ModuleContext, a: Mapping): Promise<string | null> {
  const [source] = await sourceList(ctx, a)
  return source === null ? null : localCopy(ctx, String(source), envOf(ctx, a))
}

async function checkPerms(ctx: ModuleContext, a: Mapping): Promise<unknown[]> {
  const name = pathOf(a, 'name')
  const before = flag(a.follow_symlinks) ? await statsOrNull(name) : await lstat(name).catch(() => null)
  if (!before) throw new CommandExecutionError(`${name} does not exist`)
  const ret = isMapping(a.ret) && Object.keys(a.ret).length > 0 ? { ...a.ret } : { name, changes: {}, comment: '', result: true }
  const wanted = await ownershipOf(a.user, a.group, a.mode)
  if (typeof wanted === 'string') throw new CommandExecutionError(wanted)
  const changed = ctx.options.test ? ownershipChanges(before, wanted) : await applyOwnership(name, wanted)
  const perms = { luser: await nameOfId('passwd', before.uid), lgroup: await nameOfId('group', before.gid), lmode: modeOf(before) }
  return [{ ...ret, changes: { ...(isMapping(ret.changes) ? ret.changes : {}), ...changed } }, perms]
}
