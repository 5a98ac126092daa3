import { callFunction } from '../../invoke.js'
import type { Versions } from '../../modules/pkg/manager.js'
import { managerOf, newerVersions } from '../../modules/pkg.js'
import { flag, isMapping, type Mapping, text } from '../../modules/values.js'
import { callDirectly, type StateContext, type StateModule, type StateResult, stateFn } from '../state.js'
import { answer, guarded, holdResults, installedNow, isFulfilled, noteRefresh, passedOn, shouldRefresh, wishes } from './common.js'
import { installed } from './installed.js'

const latestState = stateFn(
  'latest(name, refresh=None, fromrepo=None, skip_verify=False, pkgs=None, watch_flags=True, **kwargs)',
  'A package that is installed in the newest version that the repositories offer. pkgs: several.',
  guarded('installing', latest)
)

const removedState = stateFn(
  'removed(name, version=None, pkgs=None, normalize=True, ignore_epoch=None, **kwargs)',
  'A package that is not installed (version: not in this version). pkgs: several.',
  guarded('removing', (ctx, a) => uninstalled(ctx, a, 'remove'))
)

const purgedState = stateFn(
  'purged(name, version=None, pkgs=None, normalize=True, ignore_epoch=None, **kwargs)',
  'A package that is not installed and has left no configuration. pkgs: several.',
  guarded('removing', (ctx, a) => uninstalled(ctx, a, 'purge'))
)

const WATCHED: Readonly<Record<string, typeof installed>> = { installed, latest: latestState, removed: removedState, purged: purgedState }

/** Salt's `pkg` states, over the functions of the `pkg` module. */
export const pkg: StateModule = {
  name: 'pkg',
  functions: [
    installed,
    latestState,
    removedState,
    purgedState,
    stateFn(
      'uptodate(name, refresh=False, pkgs=None, **kwargs)',
      'A system without packages to upgrade (pkgs: only these).',
      guarded('upgrading', upToDate)
    ),
    stateFn(
      'held(name, version=None, pkgs=None, replace=False, **kwargs)',
      'A package that stays at its version. replace: no other package is held.',
      guarded('holding', (ctx, a) => holdState(ctx, a, true))
    ),
    stateFn(
      'unheld(name, version=None, pkgs=None, all=False, **kwargs)',
      'A package that is not held. all: no package is held.',
      guarded('unholding', (ctx, a) => holdState(ctx, a, false))
    )
  ],
  watch: stateFn('mod_watch(name, sfun=None, **kwargs)', 'Does again what the state does.', watch)
}

async function watch(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const again = WATCHED[String(a.sfun)]
  if (!again) return answer(a, false, `pkg.${a.sfun} does not work with the watch requisite`)
  return callDirectly(again, ctx, { ...(isMapping(a.kwargs) ? a.kwargs : {}), name: a.name })
}

// ── latest ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function latest(ctx: StateContext, a: Mapping): Promise<StateResult> {
  if (Array.isArray(a.pkgs) && a.pkgs.length === 0) return answer(a, true, 'No packages to install provided')
  const names = wishes(ctx, { ...a, version: null }).map(({ name }) => name)
  if (shouldRefresh(ctx, a.refresh)) {
    await callFunction(ctx, 'pkg.refresh_db')
    noteRefresh(ctx)
  }
  const before = await installedNow(ctx)
  const newer = await newerVersions(ctx, names, { fromrepo: a.fromrepo })
  const unknown = names.filter(name => newer[name] === '' && !(name in before))
  if (unknown.length > 0) return answer(a, false, unknown.map(name => `No information found for '${name}'.`).join(' '))
  const targets = names.filter(name => newer[name] !== '').sort()
  if (targets.length === 0) return answer(a, true, allUpToDate(names))
  const current = names.filter(name => !targets.includes(name)).sort()
  const planned = Object.fromEntries(targets.map(name => [name, { old: before[name]?.join(',') ?? '', new: newer[name] }]))
  if (ctx.test) {
    const comment = [`The following packages would be installed/upgraded: ${targets.join(', ')}`, ...stillCurrent('are', current, before)]
    return answer(a, null, comment.join('\n'), planned)
  }
  const { fromrepo, skip_verify } = a
  const what = { pkgs: targets.map(name => ({ [name]: newer[name] })), refresh: false, fromrepo, skip_verify }
  const changes = (await callFunction(ctx, 'pkg.install', [], { ...passedOn(ctx, a), ...what })) as Mapping
  return latestDone(a, changes, newer, targets, stillCurrent('were', current, before))
}

function stillCurrent(are: 'are' | 'were', names: readonly string[], before: Versions): string[] {
  if (names.length === 0) return []
  if (names.length > 10) return [`${names.length} packages ${are} already up-to-date`]
  return [`The following packages ${are} already up-to-date: ${names.map(name => `${name} (${before[name]?.join(',')})`).join(', ')}`]
}

function allUpToDate(names: readonly string[]): string {
  if (names.length === 1) return `Package ${names[0]} is already up-to-date`
  return names.length > 10
    ? `All ${names.length} packages are up-to-date.`
    : `All packages are up-to-date (${[...names].sort().join(', ')}).`
}

function latestDone(a: Mapping, changes: Mapping, newer: Mapping, targets: readonly string[], current: readonly string[]): StateResult {
  const done = (name: string): boolean => {
    const change = changes[name]
    return isMapping(change) && String(change.new).split(',').includes(String(newer[name]))
  }
  const [failed, fine] = [targets.filter(name => !done(name)), targets.filter(done)]
  const comment = [
    ...(failed.length > 0 ? [`The following packages failed to update: ${failed.join(', ')}`] : []),
    ...(fine.length > 0 ? [`The following packages were successfully installed/upgraded: ${fine.join(', ')}`] : []),
    ...current
  ]
  return answer(a, failed.length === 0, comment.join('\n'), changes)
}

// ── removed, purged ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function uninstalled(ctx: StateContext, a: Mapping, action: 'remove' | 'purge'): Promise<StateResult> {
  const manager = managerOf(ctx)
  const wanted = wishes(ctx, a)
  const before = await installedNow(ctx)
  const left: Versions = action === 'purge' ? await manager.list(ctx, 'removed', null) : {}
  const fits = (name: string, version: string | null): boolean =>
    name in before ? version === null || isFulfilled(before[name]!, version, a, manager) : name in left && version === null
  const targets = wanted.filter(({ name, version }) => fits(name, version)).map(({ name }) => name)
  if (targets.length === 0) {
    const matching = wanted.some(({ name, version }) => version !== null && name in before) ? ' (matching specified versions)' : ''
    return answer(a, true, `All specified packages${matching} are already absent`)
  }
  if (ctx.test) {
    const planned = targets.map(name => [name, { old: (before[name] ?? left[name])!.join(','), new: '' }])
    return answer(a, null, `The following packages will be ${action}d: ${targets.join(', ')}.`, Object.fromEntries(planned))
  }
  const changes = (await callFunction(ctx, `pkg.${action}`, [], { ...passedOn(ctx, a), pkgs: targets })) as Mapping
  const after = await installedNow(ctx)
  const failed = targets.filter(name => name in after)
  if (failed.length > 0) return answer(a, false, `The following packages failed to ${action}: ${failed.join(', ')}.`, changes)
  const others = wanted
    .map(({ name }) => name)
    .filter(name => !targets.includes(name))
    .sort()
  if (others.length === 0) return answer(a, true, `All targeted packages were ${action}d.`, changes)
  const comment = `The following packages were not installed: ${others.join(', ')}.\nThe following packages were ${action}d: ${targets.join(', ')}.`
  return answer(a, true, comment, changes)
}

// ── uptodate, held, unheld ───────────────────────────────────────────────────────────────────────────────────────────────────────────

async function upToDate(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const options = passedOn(ctx, a)
  const all = (await callFunction(ctx, 'pkg.list_upgrades', [], { ...options, refresh: a.refresh })) as Record<string, string>
  const only = a.pkgs === null || a.pkgs === undefined ? null : wishes(ctx, a).map(({ name }) => name)
  const names = Object.keys(all).filter(name => only === null || only.includes(name))
  if (names.length === 0) return answer(a, true, 'System is already up-to-date')
  const before = await installedNow(ctx)
  const planned = Object.fromEntries(names.map(name => [name, { new: all[name], old: before[name]?.join(',') ?? '' }]))
  if (ctx.test) return answer(a, null, 'System update will be performed', planned)
  // list_upgrades counts what needs further packages too, so that the upgrade has to allow them.
  const what = { refresh: false, dist_upgrade: true, ...options, pkgs: only === null ? null : names }
  const changes = (await callFunction(ctx, 'pkg.upgrade', [], what)) as Mapping
  const missing = only === null ? [] : names.filter(name => !(name in changes))
  if (missing.length > 0) return answer(a, false, `The following package(s) failed to update: ${missing.join(', ')}`, changes)
  return answer(a, true, 'Upgrade ran successfully', changes)
}

async function holdState(ctx: StateContext, a: Mapping, on: boolean): Promise<StateResult> {
  const sweep = flag((on ? a.replace : a.all) ?? false)
  const did = on ? 'held' : 'unheld'
  if (Array.isArray(a.pkgs) && a.pkgs.length === 0 && !sweep) return answer(a, true, `No packages to be ${did} provided`)
  const names = wishes(ctx, { ...a, name: text(a.name, 'name'), version: null }).map(({ name }) => name)
  const held = await managerOf(ctx).holds(ctx)
  const wanted = names.filter(name => held.includes(name) !== on)
  const others = sweep ? held.filter(name => (on ? !names.includes(name) : !wanted.includes(name))) : []
  const release = on ? others : [...wanted, ...others]
  const results = [
    ...(on && wanted.length > 0 ? await holdResults(ctx, wanted, true) : []),
    ...(release.length > 0 ? await holdResults(ctx, release, false) : [])
  ]
  if (results.length === 0) return answer(a, true, 'No changes made')
  const changes = Object.fromEntries(results.map(result => [result.name, ctx.test ? result.changes : { ...result }]))
  if (ctx.test) {
    const comment = results.map(
      ({ name, changes: { new: now } }) => `The following package would be ${now === 'hold' ? 'held' : 'unheld'}: ${name}`
    )
    return answer(a, null, comment.join('\n'), changes)
  }
  const said = results.map(({ name, result, comment }) =>
    on && wanted.includes(name) ? `Package ${name} ${result ? 'is now being held' : 'was not held'}` : comment
  )
  return answer(
    a,
    results.every(({ result }) => result),
    said.join('\n'),
    changes
  )
}
