/** What the `pkg` states have in common: what is wanted, what is there, and that the lists of packages are fetched once in a run. */
import { callFunction } from '../../invoke.js'
import { CommandExecutionError, InvocationError } from '../../modules/errors.js'
import { InformedError } from '../../modules/nested.js'
import type { PackageManager, Target, Versions } from '../../modules/pkg/manager.js'
import { conditions, fulfils } from '../../modules/pkg/versions.js'
import { type HoldResult, managerOf, targetsOf } from '../../modules/pkg.js'
import { flag, isMapping, type Mapping, text } from '../../modules/values.js'
import type { StateContext, StateResult } from '../state.js'

export function answer(a: Mapping, result: boolean | null, comment: string, changes: Mapping = {}): StateResult {
  return { name: text(a.name, 'name'), changes, result, comment }
}

type Run = (ctx: StateContext, a: Mapping) => Promise<StateResult>

/** What a tool said when it failed is the comment, and what it has changed all the same are the changes, as in Salt. */
export function guarded(doing: string, run: Run): Run {
  return async (ctx, a) => {
    try {
      return await run(ctx, a)
    } catch (error) {
      if (error instanceof InformedError) return answer(a, false, error.withoutChanges, error.changes)
      if (error instanceof CommandExecutionError)
        return answer(a, false, `An error was encountered while ${doing} package(s): ${error.message}`)
      if (error instanceof InvocationError) return answer(a, false, error.message)
      throw error
    }
  }
}

/** Runs whose lists of packages are fresh, by the run's own map of results. */
const freshRuns = new WeakSet<object>()

/** `refresh: True` always, False never; nothing said: once in a run, by the first state that installs something. */
export function shouldRefresh(ctx: StateContext, refresh: unknown): boolean {
  return refresh === null || refresh === undefined ? !freshRuns.has(ctx.results) : flag(refresh)
}

export function noteRefresh(ctx: StateContext): void {
  freshRuns.add(ctx.results)
}

/** The arguments that go on to the functions of the `pkg` module. */
export function passedOn(ctx: StateContext, a: Mapping): Mapping {
  return { ...(isMapping(a.kwargs) ? a.kwargs : {}), saltenv: ctx.saltenv }
}

/** `pkgs`, or name and version. Throws InvocationError. */
export function wishes(ctx: StateContext, a: Mapping): Target[] {
  const given = a.pkgs === null || a.pkgs === undefined ? [{ [text(a.name, 'name')]: a.version ?? null }] : a.pkgs
  const targets = targetsOf(given)
  if (!targets || (targets.length === 0 && isMapping(given)))
    throw new InvocationError('Invalidly formatted pkgs parameter. See minion log.')
  const manager = managerOf(ctx)
  const normal = flag(a.normalize ?? true)
  return targets.map(({ name, version }) => ({ name: normal ? manager.plainName(ctx, name) : name, version }))
}

export function installedNow(ctx: StateContext): Promise<Versions> {
  return managerOf(ctx).list(ctx, 'installed', null)
}

/** Whether one of the versions that are there is what is wanted. */
export function isFulfilled(versions: readonly string[], wish: string, a: Mapping, manager: PackageManager): boolean {
  const ignore = a.ignore_epoch === null || a.ignore_epoch === undefined ? null : flag(a.ignore_epoch)
  const [only, ...others] = conditions(wish)
  // Updates by others are no reason to go back.
  const relaxed = flag(a.allow_updates ?? false) && others.length === 0 && only?.operator === '==' ? `>=${only.version}` : wish
  return versions.some(version => fulfils(version, relaxed, manager.compare, ignore))
}

/** `name=1.2`, `name>=1.2`. */
export function shown({ name, version }: Target): string {
  return version === null ? name : `${name}${/^[<>=!]/.test(version) ? '' : '='}${version}`
}

/** What holding or letting go would say, in test mode without doing it. */
export async function holdResults(ctx: StateContext, names: readonly string[], on: boolean): Promise<HoldResult[]> {
  if (!ctx.test) {
    const done = await callFunction(ctx, on ? 'pkg.hold' : 'pkg.unhold', [], { pkgs: names })
    return Object.values(done as Record<string, HoldResult>)
  }
  const held = await managerOf(ctx).holds(ctx)
  return names.map(name => {
    if (held.includes(name) === on)
      return { name, changes: {}, result: true, comment: `Package ${name} is ${on ? 'already set to be' : 'not being'} held.` }
    const changes = on ? { old: 'install', new: 'hold' } : { old: 'hold', new: 'install' }
    return { name, changes, result: true, comment: `Package ${name} is set to be ${on ? 'held' : 'unheld'}.` }
  })
}
