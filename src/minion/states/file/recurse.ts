import { lstat, mkdir, rm, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { parseSaltUrl } from '../../files.js'
import { manageMode } from '../../modules/config.js'
import { messageOf } from '../../modules/errors.js'
import { flag, isMapping, type Mapping, numberOrNull, text, textOrNull } from '../../modules/values.js'
import { callDirectly, type StateContext, type StateResult, stateFn } from '../state.js'
import { removeAll, requiredPaths, unwanted } from './clean.js'
import { directory } from './directory.js'
import { manageFile } from './managed.js'
import { isIncluded } from './patterns.js'
import { answer, applyOwnership, exists, makeParents, ownershipOf } from './place.js'
import { symlink } from './symlink.js'

export const recurse = stateFn(
  "recurse(name, source, keep_source=True, clean=False, require=None, user=None, group=None, dir_mode=None, file_mode=None, sym_mode=None, template=None, context=None, replace=True, defaults=None, include_empty=False, backup='', include_pat=None, exclude_pat=None, maxdepth=None, keep_symlinks=False, force_symlinks=False, win_owner=None, win_perms=None, win_deny_perms=None, win_inheritance=True, **kwargs)",
  `Copies a directory of the server. include_pat, exclude_pat: globs, or expressions behind E@, over paths below it. clean removes all that is
neither from the server nor of a file state that is required. include_empty makes directories that have nothing in them, too. keep_symlinks makes
links where the server has them (force_symlinks: in the place of something else). changes: what changed, by path.`,
  manageTree
)

interface Tree {
  readonly saltenv: string
  readonly source: string
  /** Paths below the source. */
  readonly files: readonly string[]
  /** With include_empty: directories below the source. */
  readonly directories: readonly string[]
  /** With keep_symlinks: links below the source, and where they lead. */
  readonly links: ReadonlyMap<string, string>
}

async function manageTree(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name').replace(/(.)\/+$/, '$1')
  if (name === '') return answer(name, false, 'Must provide name to file.recurse')
  if (isMapping(a.kwargs) && Object.hasOwn(a.kwargs, 'mode')) {
    return answer(name, false, "'mode' is not allowed in 'file.recurse'. Please use 'file_mode' and 'dir_mode'.")
  }
  if (!isAbsolute(name)) return answer(name, false, `Specified file ${name} is not an absolute path`)
  const owner = await ownershipOf(a.user, a.group, a.dir_mode)
  if (typeof owner === 'string') return answer(name, false, owner)
  const tree = await findTree(ctx, a)
  if (typeof tree === 'string') return answer(name, false, tree)
  const now = await stat(name).catch(() => null)
  if (now && !now.isDirectory()) return answer(name, false, `The path ${name} exists and is not a directory`)
  if (!now && !ctx.test) {
    await makeParents(name, owner, manageMode(a.dir_mode))
    await mkdir(name)
    await applyOwnership(name, owner)
  }
  return new Recursion(ctx, a, name).run(wanted(a, tree))
}

/** The first source that is a directory of the server; a text: why there is none. */
async function findTree(ctx: StateContext, a: Mapping): Promise<Tree | string> {
  const sources = [a.source].flat().map(item => text(isMapping(item) ? Object.keys(item)[0] : item, 'source').replace(/\/+$/, ''))
  const strange = sources.find(source => !source.startsWith('salt://'))
  if (strange !== undefined) return `Invalid source '${strange}' (must be a salt:// URI)`
  let missing = ''
  for (const url of sources) {
    try {
      const { path: source, saltenv: named } = url === 'salt:' || url === 'salt:/' ? { path: '', saltenv: null } : parseSaltUrl(url)!
      const saltenv = named ?? ctx.saltenv
      const files = below(source, await ctx.files.listFiles(saltenv))
      const more = flag(a.include_empty) || flag(a.keep_symlinks) ? await ctx.files.listTree(saltenv) : { directories: [], links: {} }
      const directories = flag(a.include_empty) ? below(source, more.directories) : []
      const links = flag(a.keep_symlinks) ? below(source, Object.keys(more.links)) : []
      if (files.length + directories.length + links.length > 0) {
        const targets = links.map(link => [link, more.links[source === '' ? link : `${source}/${link}`]!] as const)
        return { saltenv, source, files, directories, links: new Map(targets) }
      }
      missing ||= `The directory '${source}' does not exist on the salt fileserver in saltenv '${saltenv}'`
    } catch (error) {
      return `Recurse failed: ${messageOf(error)}`
    }
  }
  return missing
}

/** Paths below a directory, relative to it. */
function below(source: string, paths: readonly string[]): string[] {
  return source === '' ? [...paths] : paths.filter(path => path.startsWith(`${source}/`)).map(path => path.slice(source.length + 1))
}

/** What the patterns and the depth leave of a tree. Nothing below a link that is kept is a file of its own. */
function wanted(a: Mapping, tree: Tree): Tree {
  const [include, exclude] = [textOrNull(a.include_pat, 'include_pat'), textOrNull(a.exclude_pat, 'exclude_pat')]
  const depth = numberOrNull(a.maxdepth, 'maxdepth')
  const isWanted = (path: string): boolean => (depth === null || path.split('/').length - 1 <= depth) && isIncluded(path, include, exclude)
  const links = new Map([...tree.links].filter(([path]) => isWanted(path)))
  const throughLink = (path: string): boolean => [...links.keys()].some(link => path === link || path.startsWith(`${link}/`))
  const own = (paths: readonly string[]): string[] => paths.filter(path => isWanted(path) && !throughLink(path))
  return { ...tree, files: own(tree.files), directories: own(tree.directories), links }
}

/** The states of the members, gathered into one. */
class Recursion {
  readonly #ctx: StateContext
  readonly #a: Mapping
  readonly #name: string
  readonly #comments = new Map<string, string[]>()
  readonly #changes: Mapping = {}
  #result: boolean | null = true

  constructor(ctx: StateContext, a: Mapping, name: string) {
    this.#ctx = ctx
    this.#a = a
    this.#name = name
  }

  async run(tree: Tree): Promise<StateResult> {
    const place = (path: string): string => join(this.#name, path)
    const directories = new Set([this.#name, ...tree.files.map(file => dirname(place(file))), ...tree.directories.map(place)])
    for (const [link, target] of tree.links) await this.#link(place(link), target)
    for (const dir of directories) await this.#directory(dir)
    for (const file of tree.files) await this.#file(place(file), saltUrl(tree, file))
    if (flag(this.#a.clean)) await this.#clean([...directories, ...[...tree.files, ...tree.links.keys()].map(place)])
    return answer(this.#name, this.#result, this.#comment(), this.#changes)
  }

  /** The most negative result counts; comments only of what did not go well or would change. */
  #merge(path: string, { result, comment, changes }: StateResult): void {
    if (result === false || this.#result === true) this.#result = result
    if (result !== true && comment) this.#comments.set(path, [...(this.#comments.get(path) ?? []), comment])
    if (Object.keys(changes).length > 0) this.#changes[path] = changes
  }

  async #link(path: string, target: string): Promise<void> {
    const { user, group, sym_mode, force_symlinks } = this.#a
    this.#merge(
      path,
      await callDirectly(symlink, this.#ctx, { name: path, target, makedirs: true, force: force_symlinks, user, group, mode: sym_mode })
    )
  }

  async #directory(path: string): Promise<void> {
    const now = await lstat(path).catch(() => null)
    if (now && !now.isDirectory() && !(await stat(path).catch(() => null))?.isDirectory() && flag(this.#a.clean)) {
      if (await this.#replaced(path, `Replacing ${path} with a directory`, 'Replaced file with a directory')) return
    }
    const { user, group, dir_mode } = this.#a
    this.#merge(path, await callDirectly(directory, this.#ctx, { name: path, user, group, dir_mode, recurse: [], makedirs: true }))
  }

  async #file(path: string, source: string): Promise<void> {
    const now = await lstat(path).catch(() => null)
    if (now?.isDirectory() && flag(this.#a.clean) && flag(this.#a.replace)) {
      if (await this.#replaced(path, `Replacing directory ${path} with a file`, 'Replaced directory with a new file')) return
    }
    const { user, group, file_mode, template, replace, context, defaults, backup, keep_source, kwargs } = this.#a
    const given = { ...(isMapping(kwargs) ? kwargs : {}), name: path, source, user, group, mode: file_mode, template, replace, context }
    this.#merge(path, await manageFile(this.#ctx, { ...given, defaults, backup, keep_source, makedirs: true }))
  }

  /** Makes room for another kind of entry; true: it is only told. */
  async #replaced(path: string, would: string, diff: string): Promise<boolean> {
    if (this.#ctx.test) {
      this.#merge(path, answer(this.#name, null, would))
      return true
    }
    await rm(path, { recursive: true })
    this.#merge(path, answer(this.#name, true, '', { diff }))
    return false
  }

  async #clean(own: readonly string[]): Promise<void> {
    if (!(await exists(this.#name))) return
    const keep = new Set(own)
    const goes = (await unwanted(this.#name, requiredPaths(this.#ctx), textOrNull(this.#a.exclude_pat, 'exclude_pat'))).filter(
      path => !keep.has(path)
    )
    if (goes.length === 0) return
    this.#changes.removed = goes
    if (this.#ctx.test) {
      if (this.#result) this.#result = null
      this.#comments.set('removed', goes)
    } else await removeAll(goes)
  }

  #comment(): string {
    const told = [...this.#comments]
      .map(([path, lines]) => `\n#### ${path} ####\n${lines.join('\n')}`)
      .join('\n')
      .trim()
    if (Object.keys(this.#changes).length === 0 && this.#result) return `The directory ${this.#name} is in the correct state`
    return told === '' ? `Recursively updated ${this.#name}` : told
  }
}

function saltUrl({ source, saltenv }: Tree, file: string): string {
  return `salt://${source === '' ? '' : `${source}/`}${file}?saltenv=${encodeURIComponent(saltenv)}`
}
