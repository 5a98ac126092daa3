import { compileGlob } from '../../tags/glob.js'
import type { CommandResult } from '../command.js'
import type { ModuleContext } from '../context.js'
import { localCopy } from '../sources.js'
import { CommandExecutionError, InvocationError } from './errors.js'
import type { Module } from './module.js'
import { InformedError } from './nested.js'
import { apt } from './pkg/apt.js'
import { rpmSystem } from './pkg/dnf.js'
import type { Kind, PackageManager, Target, Versions } from './pkg/manager.js'
import { fulfils, isOpen } from './pkg/versions.js'
import { pyRepr } from './python.js'
import { rootOf, toolFn } from './tool.js'
import { flag, isMapping, type Mapping, text, textOrNull, texts } from './values.js'

const INSTALL =
  'name=None, refresh=False, fromrepo=None, skip_verify=False, pkgs=None, sources=None, version=None, reinstall=False, downloadonly=False, ignore_epoch=False, **kwargs'

/** Salt's `pkg` module: apt on Debian and what descends from it, dnf (or yum) on Red Hat and what descends from it. */
export const pkg: Module = {
  name: 'pkg',
  functions: [
    toolFn(
      'version(*names, **kwargs)',
      "Returns the installed version of a package, '' when it is not installed; a mapping for several names and for globs.",
      'pkg.version <package name>',
      version
    ),
    ...['latest_version', 'available_version'].map(name =>
      toolFn(
        `${name}(*names, **kwargs)`,
        "Returns the newest version that is newer than the installed one, '' when there is none; a mapping for several names. refresh=False leaves the lists of packages as they are.",
        `pkg.${name} <package name> fromrepo=unstable`,
        latestVersion
      )
    ),
    toolFn(
      'upgrade_available(name, **kwargs)',
      'Returns whether there is a newer version of a package.',
      'pkg.upgrade_available <package name>',
      async (ctx, a) => (await latestVersion(ctx, { names: [a.name], kwargs: a.kwargs })) !== ''
    ),
    toolFn(
      'list_pkgs(versions_as_list=False, removed=False, purge_desired=False, root=None, **kwargs)',
      'Returns the installed packages: name → version (several: with commas, or a list with versions_as_list). removed: those of which only the configuration is left. purge_desired: those that are marked to be purged.',
      'pkg.list_pkgs versions_as_list=True',
      async (ctx, a) => {
        const kind: Kind = flag(a.removed) ? 'removed' : flag(a.purge_desired) ? 'purge' : 'installed'
        const found = await managerOf(ctx).list(ctx, kind, rootOf(a.root))
        return flag(a.versions_as_list) ? found : joined(found)
      }
    ),
    toolFn(
      'list_upgrades(refresh=True, dist_upgrade=True, **kwargs)',
      'Returns the packages that an upgrade would change: name → new version.',
      'pkg.list_upgrades',
      async (ctx, a) => {
        if (flag(a.refresh)) await refreshed(ctx, optionsOf(a))
        return managerOf(ctx).upgrades(ctx, optionsOf(a))
      }
    ),
    toolFn(
      'refresh_db(cache_valid_time=0, failhard=False, **kwargs)',
      'Fetches the lists of packages: repository → True (fetched), None (as it was), False (failed).',
      'pkg.refresh_db',
      async (ctx, a) => refreshed(ctx, { ...optionsOf(a), failhard: a.failhard })
    ),
    toolFn(
      `install(${INSTALL})`,
      `Installs packages: name (with version), pkgs (names, or {name: version}), or sources ({name: package file}). A version may be a glob (1.2*) or
conditions (>=1.2, <2). fromrepo: the release (apt) or repository (dnf). Returns what changed: name → {old, new}.`,
      'pkg.install pkgs=\'["foo", {"bar": "1.2.3-0ubuntu0"}]\'',
      install
    ),
    toolFn('remove(name=None, pkgs=None, **kwargs)', 'Removes packages; returns what changed.', 'pkg.remove <package name>', (ctx, a) =>
      remove(ctx, a, false)
    ),
    toolFn(
      'purge(name=None, pkgs=None, **kwargs)',
      'Removes packages with their configuration; returns {installed: what changed, removed: whose configuration went} (dnf: as pkg.remove).',
      'pkg.purge <package name>',
      (ctx, a) => remove(ctx, a, true)
    ),
    toolFn(
      'upgrade(name=None, pkgs=None, refresh=True, dist_upgrade=False, **kwargs)',
      'Upgrades all packages, or the named ones; returns what changed.',
      'pkg.upgrade dist_upgrade=True',
      upgrade
    ),
    toolFn(
      'autoremove(list_only=False, purge=False)',
      'Removes packages that were only there for others; returns what changed (list_only: the names of what would go).',
      'pkg.autoremove list_only=True',
      autoremove
    ),
    toolFn(
      'hold(name=None, pkgs=None, sources=None, **kwargs)',
      'Holds packages at their version: name → {name, changes, result, comment}.',
      'pkg.hold <package name>',
      (ctx, a) => setHolds(ctx, a, true)
    ),
    toolFn(
      'unhold(name=None, pkgs=None, sources=None, **kwargs)',
      'Lets go of held packages: name → {name, changes, result, comment}.',
      'pkg.unhold <package name>',
      (ctx, a) => setHolds(ctx, a, false)
    ),
    toolFn('list_holds(**kwargs)', 'Returns the names of held packages.', 'pkg.list_holds', ctx => managerOf(ctx).holds(ctx)),
    toolFn(
      'get_selections(pattern=None, state=None)',
      'Returns packages by what is wanted of them: install, hold, deinstall, purge (what exists).',
      'pkg.get_selections state=hold',
      selections
    ),
    toolFn(
      'version_cmp(pkg1, pkg2, ignore_epoch=False, **kwargs)',
      'Compares two versions as the package manager does: -1, 0 or 1.',
      "pkg.version_cmp '0.2.4-0ubuntu1' '0.2.4.1-0ubuntu1'",
      (ctx, a) => managerOf(ctx).compare(text(a.pkg1, 'pkg1'), text(a.pkg2, 'pkg2'), flag(a.ignore_epoch))
    ),
    toolFn(
      'file_list(*packages, **kwargs)',
      'Returns the files of packages: {errors, files}.',
      'pkg.file_list httpd postfix',
      async (ctx, a) => {
        const { errors, packages } = await fileDict(ctx, a)
        return { errors, files: Object.values(packages).flat() }
      }
    ),
    toolFn(
      'file_dict(*packages, **kwargs)',
      'Returns the files of packages: {errors, packages: name → files}.',
      'pkg.file_dict httpd postfix',
      fileDict
    ),
    toolFn(
      'owner(*paths, **kwargs)',
      "Returns the package that a file belongs to, '' for none; a mapping for several files.",
      'pkg.owner /usr/bin/apachectl',
      async (ctx, a) => {
        const paths = texts(a.paths, 'paths')
        const root = rootOf((a.kwargs as Mapping).root)
        const found: Record<string, string> = {}
        for (const path of paths) found[path] = await managerOf(ctx).owner(ctx, path, root)
        return paths.length === 1 ? found[paths[0]!] : found
      }
    ),
    toolFn(
      'info_installed(*names, **kwargs)',
      'Returns what is known of installed packages (all when none is named): name → {version, arch, size, description, …}. attr: only these keys, with commas. failhard=False leaves out what is not installed.',
      'pkg.info_installed <package1> attr=version,install_date',
      infoInstalled
    ),
    toolFn('list_repos(**kwargs)', 'Returns the repositories: URI → entries (apt), name → settings (dnf).', 'pkg.list_repos', ctx =>
      managerOf(ctx).repositories(ctx)
    ),
    toolFn(
      'list_repo_pkgs(*args, **kwargs)',
      'Returns the versions that the repositories offer, newest first.',
      'pkg.list_repo_pkgs foo bar',
      async (ctx, a) => managerOf(ctx).offered(ctx, texts(a.args, 'args').map(checkedName), optionsOf(a))
    ),
    toolFn(
      'normalize_name(name)',
      "Returns a package's name without the machine's own architecture.",
      'pkg.normalize_name zsh:amd64',
      (ctx, a) => managerOf(ctx).plainName(ctx, text(a.name, 'name'))
    )
  ]
}

/** By the family of the system. */
export function managerOf(ctx: ModuleContext): PackageManager {
  if (ctx.grains.os_family === 'Debian') return apt
  if (ctx.grains.os_family === 'RedHat') return rpmSystem
  throw new CommandExecutionError(
    `Packages are managed on systems of Debian (apt) and Red Hat (dnf), not on ${ctx.grains.os_family ?? 'this one'}`
  )
}

function optionsOf(a: Mapping): Mapping {
  const { kwargs, ...named } = a
  return { ...(isMapping(kwargs) ? kwargs : {}), ...named }
}

/** A text that a tool would take for an option, for several words, or (apt, `name-`) for a removal, is no name. */
function checkedName(name: string): string {
  if (!/^[^-\s][^\s]*$/.test(name) || /[^+]-$/.test(name)) throw new InvocationError(`'${name}' is not the name of a package`)
  return name
}

/** Versions with commas, as list_pkgs shows them. */
function joined(found: Versions): Record<string, string> {
  return Object.fromEntries(Object.entries(found).map(([name, versions]) => [name, versions.join(',')]))
}

type Changes = Record<string, { old: string; new: string }>

/** Salt's shape of what changed. */
function difference(before: Versions, after: Versions): Changes {
  const [old, now] = [joined(before), joined(after)]
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter(name => old[name] !== now[name]).sort()
  return Object.fromEntries(names.map(name => [name, { old: old[name] ?? '', new: now[name] ?? '' }]))
}

/** `pkgs` (names, `{name: version}`, a text with commas) as targets; null: it makes no sense. */
export function targetsOf(pkgs: unknown): Target[] | null {
  const items = typeof pkgs === 'string' ? texts(pkgs, 'pkgs') : isMapping(pkgs) ? [pkgs] : pkgs
  if (!Array.isArray(items)) return null
  const targets: Target[] = []
  for (const item of items) {
    if (isMapping(item))
      targets.push(...Object.entries(item).map(([name, version]) => ({ name: checkedName(name), version: versionWish(version) })))
    else if (typeof item === 'string' || typeof item === 'number') targets.push({ name: checkedName(String(item)), version: null })
    else return null
  }
  return targets
}

function versionWish(version: unknown): string | null {
  const wish = textOrNull(version, 'version')
  return wish === null || wish === '' || wish === 'latest' ? null : wish
}

function wantedTargets(a: Mapping): Target[] {
  const none = a.pkgs === null || a.pkgs === undefined
  if (none && (a.name === null || a.name === undefined || a.name === '')) return []
  const targets = none ? [{ name: checkedName(text(a.name, 'name')), version: versionWish(a.version) }] : targetsOf(a.pkgs)
  if (!targets) throw new InvocationError(`Invalidly formatted pkgs parameter: ${pyRepr(a.pkgs)}`)
  return targets
}

async function version(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const names = texts(a.names, 'names')
  const found = joined(await managerOf(ctx).list(ctx, 'installed', rootOf((a.kwargs as Mapping).root)))
  const globs = names.some(name => /[*?[]/.test(name))
  if (names.length === 1 && !globs) return found[managerOf(ctx).plainName(ctx, names[0]!)] ?? ''
  const wanted = names.flatMap(name => (/[*?[]/.test(name) ? Object.keys(found).filter(compileGlob(name)) : [name]))
  return Object.fromEntries(wanted.map(name => [name, found[managerOf(ctx).plainName(ctx, name)] ?? '']))
}

async function latestVersion(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const names = texts(a.names, 'names').map(checkedName)
  const options = optionsOf(a)
  if (names.length === 0) return ''
  if (flag(options.refresh ?? true)) await refreshed(ctx, options)
  const newer = await newerVersions(ctx, names, options)
  return names.length === 1 ? newer[names[0]!] : newer
}

/** Name → the offered version where it is newer than what is installed, else ''. */
export async function newerVersions(ctx: ModuleContext, names: readonly string[], options: Mapping): Promise<Record<string, string>> {
  const manager = managerOf(ctx)
  const installed = await manager.list(ctx, 'installed', null)
  const offered = await manager.candidates(ctx, names, options)
  return Object.fromEntries(
    names.map(name => {
      const now = installed[manager.plainName(ctx, name)]?.at(-1)
      const best = offered[name] ?? ''
      const newer = best !== '' && (now === undefined || manager.compare(best, now) > 0 || flag(options.show_installed ?? false))
      return [name, newer ? best : '']
    })
  )
}

async function refreshed(ctx: ModuleContext, options: Mapping): Promise<unknown> {
  const { value, errors } = await managerOf(ctx).refresh(ctx, options)
  if (errors.length > 0) {
    if (flag(options.failhard ?? false)) throw new CommandExecutionError(`Error getting repos: ${errors.join('\n')}`)
    ctx.log.warn({ errors }, 'lists of packages could not be fetched')
  }
  return value
}

/** Does something, and tells what it changed; what the tool said when it failed is an InformedError that has the changes too. */
async function changing(ctx: ModuleContext, problem: string, act: () => Promise<CommandResult>): Promise<Changes> {
  const manager = managerOf(ctx)
  const before = await manager.list(ctx, 'installed', null)
  const done = await act()
  const changes = difference(before, await manager.list(ctx, 'installed', null))
  if (done.retcode !== 0) throw new InformedError(problem, { errors: [done.stderr.trim() || done.stdout.trim()], changes })
  return changes
}

async function install(ctx: ModuleContext, a: Mapping): Promise<Changes> {
  const options = optionsOf(a)
  if (flag(a.refresh)) await refreshed(ctx, options)
  const hasSources = Array.isArray(a.sources) ? a.sources.length > 0 : isMapping(a.sources)
  const files = hasSources ? await sourceFiles(ctx, a) : []
  const targets = hasSources ? [] : await resolved(ctx, wantedTargets(a), options)
  if (files.length === 0 && targets.length === 0) return {}
  const manager = managerOf(ctx)
  const installed = await manager.list(ctx, 'installed', null)
  const nowOf = (name: string): string | undefined => installed[manager.plainName(ctx, name)]?.at(-1)
  // A wish without an epoch means the version in whatever epoch it is offered.
  const older = ({ name, version }: Target): boolean =>
    version !== null && nowOf(name) !== undefined && manager.compare(version, nowOf(name)!, !version.includes(':')) < 0
  const downgrades = targets.filter(older).map(target => target.name)
  const reinstall = flag(a.reinstall)
  const wish = { targets, files, reinstall, downgrades, options }
  const changes = await changing(ctx, 'Problem encountered installing package(s)', () => manager.install(ctx, wish))
  const same = reinstall ? targets.filter(({ name }) => nowOf(name) !== undefined && !(name in changes)) : []
  return { ...changes, ...Object.fromEntries(same.map(({ name }) => [name, { old: nowOf(name)!, new: nowOf(name)! }])) }
}

/** `sources`: package files, fetched when they are elsewhere. */
export async function sourcesOf(
  ctx: ModuleContext,
  sources: unknown,
  saltenv: string
): Promise<{ name: string; source: string; path: string }[]> {
  const entries = (Array.isArray(sources) ? sources : [sources]).flatMap(item => (isMapping(item) ? Object.entries(item) : []))
  if (entries.length === 0) throw new InvocationError(`Invalidly formatted sources parameter: ${pyRepr(sources)}`)
  const found: { name: string; source: string; path: string }[] = []
  for (const [name, where] of entries) {
    const source = text(where, 'sources')
    const path = await localCopy(ctx, source, saltenv)
    if (path === null) throw new CommandExecutionError(`Unable to cache ${source}: file not found`)
    found.push({ name: checkedName(name), source, path })
  }
  return found
}

async function sourceFiles(ctx: ModuleContext, a: Mapping): Promise<string[]> {
  const saltenv = textOrNull(optionsOf(a).saltenv, 'saltenv') ?? 'base'
  return (await sourcesOf(ctx, a.sources, saltenv)).map(({ path }) => path)
}

/** Wishes like `1.2*` and `>=1.2, <2` as the newest version that fulfils them. */
async function resolved(ctx: ModuleContext, targets: readonly Target[], options: Mapping): Promise<Target[]> {
  const manager = managerOf(ctx)
  const open = targets.filter(({ version }) => version !== null && isOpen(version)).map(({ name }) => name)
  const offered = open.length > 0 ? await manager.offered(ctx, open, options) : {}
  const ignore = flag(options.ignore_epoch ?? false) ? true : null
  return targets.map(target => {
    if (target.version === null || !open.includes(target.name)) return target
    const all = offered[target.name] ?? []
    const best = all.find(version => fulfils(version, target.version!, manager.compare, ignore))
    if (best !== undefined) return { name: target.name, version: best }
    throw new CommandExecutionError(`No version matching '${target.name}${target.version}' could be found (available: ${all.join(', ')})`)
  })
}

async function remove(ctx: ModuleContext, a: Mapping, purge: boolean): Promise<Changes | { installed: Changes; removed: Changes }> {
  const manager = managerOf(ctx)
  const installed = await manager.list(ctx, 'installed', null)
  const left = purge ? await manager.list(ctx, 'removed', null) : {}
  const names = wantedTargets(a).map(({ name }) => manager.plainName(ctx, name))
  const targets = names.filter(name => name in installed || name in left)
  if (targets.length === 0) return {}
  const changes = await changing(ctx, 'Problem encountered removing package(s)', () => manager.remove(ctx, targets, purge, optionsOf(a)))
  if (!purge || manager !== apt) return changes
  return { installed: changes, removed: difference(left, await manager.list(ctx, 'removed', null)) }
}

async function upgrade(ctx: ModuleContext, a: Mapping): Promise<Changes> {
  const options = optionsOf(a)
  if (flag(a.refresh)) await refreshed(ctx, options)
  const names = wantedTargets(a).map(({ name }) => name)
  return changing(ctx, 'Problem encountered upgrading packages', () => managerOf(ctx).upgrade(ctx, names, options))
}

async function autoremove(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const manager = managerOf(ctx)
  if (flag(a.list_only)) return (await manager.autoremove(ctx, flag(a.purge), true)).names
  return changing(ctx, 'Problem encountered removing package(s)', async () => (await manager.autoremove(ctx, flag(a.purge), false)).done)
}

export interface HoldResult extends Mapping {
  readonly name: string
  readonly changes: Mapping
  readonly result: boolean
  readonly comment: string
}

async function setHolds(ctx: ModuleContext, a: Mapping, on: boolean): Promise<Record<string, HoldResult>> {
  const names = Array.isArray(a.sources)
    ? a.sources.flatMap(item => Object.keys(isMapping(item) ? item : {}))
    : wantedTargets(a).map(({ name }) => name)
  if (names.length === 0) throw new InvocationError('One of name, pkgs, or sources must be specified.')
  const manager = managerOf(ctx)
  const held = await manager.holds(ctx)
  const installed = await manager.list(ctx, 'installed', null)
  const results: Record<string, HoldResult> = {}
  for (const name of names) {
    const is = held.includes(name)
    const answer = (result: boolean, comment: string, changes: Mapping = {}): HoldResult => ({
      name,
      changes,
      result,
      comment: `Package ${name} ${comment}`
    })
    if (is === on) results[name] = answer(true, on ? 'is already set to be held.' : 'is not being held.')
    // dpkg and versionlock would hold anything, also a name with a mistake in it.
    else if (on && !(manager.plainName(ctx, name) in installed)) results[name] = answer(false, 'is not installed, so it cannot be held.')
    else {
      const done = await manager.setHold(ctx, name, on)
      const changes = on ? { old: 'install', new: 'hold' } : { old: 'hold', new: 'install' }
      results[name] =
        done.retcode === 0
          ? answer(true, on ? 'is now being held.' : 'is no longer being held.', changes)
          : answer(false, `could not be ${on ? 'held' : 'unheld'}: ${done.stderr.trim()}`)
    }
  }
  return results
}

async function selections(ctx: ModuleContext, a: Mapping): Promise<Record<string, string[]>> {
  const manager = managerOf(ctx)
  const held = await manager.holds(ctx)
  const [installed, removed, purge] = await Promise.all(
    (['installed', 'removed', 'purge'] as const).map(kind => manager.list(ctx, kind, null))
  )
  const all: Record<string, string[]> = {
    install: Object.keys(installed!).filter(name => !held.includes(name)),
    hold: held,
    deinstall: Object.keys(removed!),
    purge: Object.keys(purge!)
  }
  const fits = a.pattern === null ? () => true : compileGlob(text(a.pattern, 'pattern'))
  const wanted = textOrNull(a.state, 'state')
  const chosen = Object.entries(all).map(([state, names]) => [state, names.filter(name => fits(name)).sort()] as const)
  return Object.fromEntries(chosen.filter(([state, names]) => names.length > 0 && (wanted === null || state === wanted)))
}

async function fileDict(ctx: ModuleContext, a: Mapping): Promise<{ errors: string[]; packages: Record<string, string[]> }> {
  const manager = managerOf(ctx)
  const root = rootOf((a.kwargs as Mapping).root)
  const given = texts(a.packages, 'packages').map(checkedName)
  const names = given.length > 0 ? given : Object.keys(await manager.list(ctx, 'installed', root))
  const errors: string[] = []
  const packages: Record<string, string[]> = {}
  for (const name of names) {
    const files = await manager.files(ctx, name, root)
    if (files) packages[name] = files
    else errors.push(`Package ${name} is not installed.`)
  }
  return { errors, packages }
}

async function infoInstalled(ctx: ModuleContext, a: Mapping): Promise<Record<string, Mapping>> {
  const options = a.kwargs as Mapping
  const names = texts(a.names, 'names').map(checkedName)
  const found = await managerOf(ctx).info(ctx, names, rootOf(options.root))
  const missing = names.filter(name => !(name in found))
  if (missing.length > 0 && flag(options.failhard ?? true))
    throw new CommandExecutionError(`Package(s) not installed: ${missing.join(', ')}`)
  const attributes = texts(options.attr, 'attr')
  if (attributes.length === 0) return found
  const shown = (entry: Mapping): Mapping => Object.fromEntries(Object.entries(entry).filter(([key]) => attributes.includes(key)))
  return Object.fromEntries(Object.entries(found).map(([name, entry]) => [name, shown(entry)]))
}
