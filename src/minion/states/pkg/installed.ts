/** `pkg.installed`. */
import { callFunction } from '../../invoke.js'
import type { Target, Versions } from '../../modules/pkg/manager.js'
import { type HoldResult, managerOf, newerVersions, sourcesOf } from '../../modules/pkg.js'
import { flag, isMapping, type Mapping, text } from '../../modules/values.js'
import { type StateContext, type StateResult, stateFn } from '../state.js'
import { answer, guarded, holdResults, installedNow, isFulfilled, noteRefresh, passedOn, shouldRefresh, shown, wishes } from './common.js'

export const installed = stateFn(
  'installed(name, version=None, refresh=None, fromrepo=None, skip_verify=False, skip_suggestions=False, pkgs=None, sources=None, allow_updates=False, pkg_verify=False, normalize=True, ignore_epoch=None, reinstall=False, update_holds=False, **kwargs)',
  `A package that is installed: any version, or the one that is named (also a glob like 1.2*, conditions like '>=1.2, <2', or latest). pkgs: several
({name: version}); sources: package files ({name: salt://… or a path}). hold: True or False. reinstall installs it again in every run.
refresh: nothing said, the lists of packages are fetched once in a run, when something is to be installed. Further parameters are those of pkg.install.`,
  guarded('installing', run)
)

/** What is to be there and what of it is to be done. */
interface Plan {
  readonly wanted: readonly Target[]
  readonly targets: readonly Target[]
  readonly again: readonly Target[]
  readonly before: Versions
  /** Whether a version was asked for of something that is there. */
  readonly versions: boolean
  readonly sources: boolean
}

async function run(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const sources = a.sources !== null && a.sources !== undefined
  if (Array.isArray(a.pkgs) && a.pkgs.length === 0) return answer(a, true, 'No packages to install provided')
  if (sources && a.pkgs) return answer(a, false, 'Only one of "pkgs" and "sources" is permitted.')
  if (flag(a.pkg_verify)) return answer(a, false, 'pkg_verify is not available on this minion')
  const plan = sources ? await planSources(ctx, a) : await planPackages(ctx, a)
  const nothing = plan.targets.length === 0 && plan.again.length === 0
  const done = nothing ? answer(a, true, rightAsItIs(a, plan)) : ctx.test ? await predict(ctx, a, plan) : await install(ctx, a, plan)
  return withHold(ctx, a, plan, done)
}

async function planPackages(ctx: StateContext, a: Mapping): Promise<Plan> {
  const manager = managerOf(ctx)
  const before = await installedNow(ctx)
  const wanted = await resolveLatest(ctx, a, wishes(ctx, a), before)
  const there = wanted.filter(({ name }) => name in before)
  const fulfilled = (wish: Target): boolean => wish.version === null || isFulfilled(before[wish.name]!, wish.version, a, manager)
  const again = flag(a.reinstall) ? there.filter(fulfilled) : []
  const targets = wanted.filter(wish => !(wish.name in before) || !fulfilled(wish))
  return { wanted, targets, again, before, versions: there.some(({ version }) => version !== null), sources: false }
}

/** `latest` as the version that it is now. */
async function resolveLatest(ctx: StateContext, a: Mapping, wanted: readonly Target[], before: Versions): Promise<Target[]> {
  const latest = a.pkgs ? latestNames(a.pkgs) : a.version === 'latest' ? [text(a.name, 'name')] : []
  const all = wanted.map(({ name }) => name).filter(name => latest.includes(name) && name in before)
  if (all.length === 0) return [...wanted]
  if (shouldRefresh(ctx, a.refresh) && !ctx.test) {
    await callFunction(ctx, 'pkg.refresh_db')
    noteRefresh(ctx)
  }
  const newer = await newerVersions(ctx, all, { fromrepo: a.fromrepo })
  return wanted.map(wish => (newer[wish.name] ? { ...wish, version: newer[wish.name]! } : wish))
}

function latestNames(pkgs: unknown): string[] {
  const items = Array.isArray(pkgs) ? pkgs.filter(isMapping) : []
  return items.flatMap(item =>
    Object.entries(item)
      .filter(([, version]) => version === 'latest')
      .map(([name]) => name)
  )
}

async function planSources(ctx: StateContext, a: Mapping): Promise<Plan> {
  const manager = managerOf(ctx)
  const before = await installedNow(ctx)
  const found = await sourcesOf(ctx, a.sources, ctx.saltenv)
  const wanted = found.map(({ name }) => ({ name, version: null }))
  const targets: Target[] = []
  for (const [at, { name, path }] of found.entries()) {
    const content = await manager.inFile(ctx, path)
    const right = name in before && (content === null || before[name]!.includes(content.version))
    if (!right) targets.push(wanted[at]!)
  }
  const again = flag(a.reinstall) ? wanted.filter(wish => !targets.includes(wish)) : []
  return { wanted, targets, again, before, versions: true, sources: true }
}

function rightAsItIs(a: Mapping, { wanted, versions, sources }: Plan): string {
  const name = text(a.name, 'name')
  if (a.pkgs || sources)
    return `All specified packages are already installed${versions && !sources ? ' and are at the desired version' : ''}`
  const [only] = wanted
  if (only!.version === null || a.version === 'latest') return `Package ${name} is already installed`
  return /[<>=!*?,]/.test(only!.version)
    ? 'All specified packages are already installed and are at the desired version'
    : `Version ${only!.version} of package '${name}' is already installed`
}

async function predict(ctx: StateContext, a: Mapping, { targets, again, before, sources }: Plan): Promise<StateResult> {
  const comment: string[] = []
  const say = (list: readonly Target[]): string => list.map(wish => (sources ? wish.name : shown(wish))).join(', ')
  if (targets.length > 0) comment.push(`The following packages would be installed/updated: ${say(targets)}`)
  if (again.length > 0) comment.push(`The following packages would be reinstalled: ${say(again)}`)
  const offered = sources ? {} : await newestFulfilling(ctx, a, targets)
  const changes: Mapping = {}
  for (const { name, version } of [...targets, ...again]) {
    const old = before[name]?.join(',') ?? ''
    changes[name] = { old, new: offered[name] ?? version ?? (old || 'installed') }
  }
  return answer(a, null, comment.join('\n'), changes)
}

/** The version that each target would get, as far as the repositories tell. */
async function newestFulfilling(ctx: StateContext, a: Mapping, targets: readonly Target[]): Promise<Record<string, string>> {
  const manager = managerOf(ctx)
  const names = (any: boolean): string[] => targets.filter(({ version }) => (version === null) === any).map(({ name }) => name)
  const found: Record<string, string> = {}
  const newest = names(true).length > 0 ? await manager.candidates(ctx, names(true), { fromrepo: a.fromrepo }) : {}
  for (const [name, version] of Object.entries(newest)) if (version !== '') found[name] = version
  const offered = names(false).length > 0 ? await manager.offered(ctx, names(false), { fromrepo: a.fromrepo }) : {}
  for (const { name, version } of targets) {
    const best = version === null ? undefined : offered[name]?.find(candidate => isFulfilled([candidate], version, a, manager))
    if (best !== undefined) found[name] = best
  }
  return found
}

async function install(ctx: StateContext, a: Mapping, plan: Plan): Promise<StateResult> {
  const { targets, again, sources } = plan
  const refresh = shouldRefresh(ctx, a.refresh)
  const { fromrepo, skip_verify, update_holds, ignore_epoch } = a
  const what = sources
    ? { sources: chosenSources(a.sources, [...targets, ...again]) }
    : { pkgs: [...targets, ...again].map(({ name, version }) => ({ [name]: version })) }
  const common = {
    ...passedOn(ctx, a),
    refresh,
    fromrepo,
    skip_verify,
    update_holds,
    ignore_epoch: ignore_epoch ?? false,
    reinstall: again.length > 0
  }
  const changes = (await callFunction(ctx, 'pkg.install', [], { ...common, ...what })) as Mapping
  if (refresh) noteRefresh(ctx)
  return conclude(ctx, a, plan, changes)
}

function chosenSources(sources: unknown, wanted: readonly Target[]): Mapping[] {
  const entries = [sources].flat().flatMap(item => (isMapping(item) ? Object.entries(item) : []))
  return entries.filter(([name]) => wanted.some(wish => wish.name === name)).map(([name, source]) => ({ [name]: source }))
}

async function conclude(ctx: StateContext, a: Mapping, { wanted, targets, again, sources }: Plan, changes: Mapping): Promise<StateResult> {
  const after = await installedNow(ctx)
  const manager = managerOf(ctx)
  const fine = ({ name, version }: Target): boolean => name in after && (version === null || isFulfilled(after[name]!, version, a, manager))
  const say = (list: readonly Target[]): string => list.map(wish => (sources ? wish.name : shown(wish))).join(', ')
  const [done, failed] = [targets.filter(fine), targets.filter(wish => !fine(wish))]
  const asBefore = wanted.filter(wish => !targets.includes(wish) && !again.includes(wish))
  const comment: string[] = []
  if (failed.length > 0) comment.push(`The following packages failed to install/update: ${say(failed)}`)
  if (done.length > 0) {
    const many = done.length > 1
    comment.push(
      say(done).length < 20
        ? `The following packages were installed/updated: ${say(done)}`
        : `${done.length} targeted package${many ? 's' : ''} ${many ? 'were' : 'was'} installed/updated.`
    )
  }
  if (asBefore.length > 20) comment.push(`${asBefore.length} targeted packages were already installed`)
  else if (asBefore.length > 0) comment.push(`The following packages were already installed: ${say(asBefore)}`)
  const notAgain = again.filter(({ name }) => !(name in changes))
  for (const wish of again)
    comment.push(
      notAgain.includes(wish) ? `Reinstall was not successful for package ${say([wish])}.` : `Package ${say([wish])} was reinstalled.`
    )
  return answer(a, failed.length === 0 && notAgain.length === 0, comment.join('\n'), changes)
}

/** `hold` of the state, after the packages are there. */
async function withHold(ctx: StateContext, a: Mapping, { wanted }: Plan, done: StateResult): Promise<StateResult> {
  const hold = isMapping(a.kwargs) ? a.kwargs.hold : undefined
  if (hold === undefined || hold === null || done.result === false) return done
  const results = await holdResults(
    ctx,
    wanted.map(({ name }) => name),
    flag(hold)
  )
  const changes: Mapping = { ...done.changes }
  for (const held of results) if (Object.keys(held.changes).length > 0) changes[held.name] = joinedChange(changes[held.name], held)
  const failed = results.some(({ result }) => !result)
  const changed = results.some(held => Object.keys(held.changes).length > 0)
  const comment = [done.comment, ...results.map(held => held.comment)].join('\n')
  return { ...done, changes, comment, result: failed ? false : ctx.test && changed ? null : done.result }
}

/** Salt writes both kinds of changes of a package below one another. */
function joinedChange(change: unknown, { changes }: HoldResult): Mapping {
  if (!isMapping(change)) return changes
  const both = (key: string): string => [change[key], changes[key]].filter(value => value !== '' && value !== undefined).join('\n')
  return { old: both('old'), new: both('new') }
}
