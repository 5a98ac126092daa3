/** Services of systemd, by systemctl(1). */
import { readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CommandResult } from '../../command.js'
import type { ModuleContext } from '../../context.js'
import { CommandExecutionError } from '../errors.js'
import { rootOf, runTool, systemProgram } from '../tool.js'
import { flag, type Mapping } from '../values.js'
import type { Action, ServiceManager } from './manager.js'

const UNIT = /\.(service|socket|device|mount|automount|swap|target|path|timer|slice|scope)$/
/** Where unit files lie; the administrator's come first. */
const UNIT_DIRECTORIES = ['etc/systemd/system', 'run/systemd/system', 'usr/lib/systemd/system', 'lib/systemd/system']

/** `sshd` is `sshd.service`. */
function unitName(name: string): string {
  return UNIT.test(name) ? name : `${name}.service`
}

const plainName = (unit: string): string => unit.replace(/\.service$/, '')

/** A program that changes something runs in a scope of its own: it would end together with the agent when it restarts that. */
async function systemctl(
  ctx: ModuleContext,
  words: readonly string[],
  { root = null as string | null, scope = false } = {}
): Promise<CommandResult> {
  const apart = scope && (await systemProgram('systemd-run')) ? ['systemd-run', '--scope'] : []
  return runTool(ctx, [...apart, 'systemctl', ...(root === null ? [] : [`--root=${root}`]), ...words])
}

/** What systemd-run says of its scope is no part of an error. */
function errorOf({ stderr }: CommandResult): string {
  return stderr
    .split('\n')
    .filter(line => !/^Running (scope )?as unit/.test(line))
    .join('\n')
}

/** systemd reads a unit file once; after a change it wants to be told. */
async function followUnitFile(ctx: ModuleContext, name: string): Promise<CommandResult> {
  const status = await systemctl(ctx, ['status', unitName(name), '-n', '0', '--full', '--no-pager'])
  if (!`${status.stdout}${status.stderr}`.toLowerCase().includes('systemctl daemon-reload')) return status
  await daemonReload(ctx)
  return systemctl(ctx, ['status', unitName(name), '-n', '0', '--full', '--no-pager'])
}

export async function daemonReload(ctx: ModuleContext): Promise<boolean> {
  const done = await systemctl(ctx, ['--system', 'daemon-reload'], { scope: true })
  if (done.retcode !== 0) throw new CommandExecutionError(`Problem performing systemctl daemon-reload: ${done.stderr}`)
  return true
}

async function unmaskFirst(ctx: ModuleContext, name: string, a: Mapping): Promise<void> {
  if (flag(a.unmask ?? false)) await unmask(ctx, name, false, rootOf(a.root))
  if (flag(a.unmask_runtime ?? false)) await unmask(ctx, name, true, rootOf(a.root))
}

function blocking(a: Mapping): string[] {
  return flag(a.no_block ?? false) ? ['--no-block'] : []
}

export async function masked(name: string, runtime: boolean, root: string | null): Promise<boolean> {
  const link = join(root ?? '/', runtime ? 'run' : 'etc', 'systemd/system', unitName(name))
  return (await readlink(link).catch(() => null)) === '/dev/null'
}

export async function mask(ctx: ModuleContext, name: string, runtime: boolean, root: string | null): Promise<boolean> {
  const done = await systemctl(ctx, ['mask', ...(runtime ? ['--runtime'] : []), unitName(name)], { root, scope: root === null })
  if (done.retcode === 0) return true
  throw new CommandExecutionError(`Failed to mask service '${name}': ${errorOf(done)}`)
}

export async function unmask(ctx: ModuleContext, name: string, runtime: boolean, root: string | null): Promise<boolean> {
  if (!(await masked(name, runtime, root))) return true
  const done = await systemctl(ctx, ['unmask', ...(runtime ? ['--runtime'] : []), unitName(name)], { root, scope: root === null })
  if (done.retcode === 0) return true
  throw new CommandExecutionError(`Failed to unmask service '${name}': ${errorOf(done)}`)
}

async function act(ctx: ModuleContext, action: Action, name: string, a: Mapping): Promise<boolean> {
  await followUnitFile(ctx, name)
  if (action !== 'stop') await unmaskFirst(ctx, name, a)
  const done = await systemctl(ctx, [...blocking(a), action, unitName(name)], { scope: true })
  if (action === 'stop' || done.retcode === 0) return done.retcode === 0
  throw new CommandExecutionError(errorOf(done))
}

/** How often a unit that is starting or stopping is looked at again. */
const LOOK_MS = 250

async function running(ctx: ModuleContext, name: string, waitSeconds: number): Promise<boolean> {
  await followUnitFile(ctx, name)
  for (let left = waitSeconds * 1000; ; left -= LOOK_MS) {
    const { retcode, stdout } = await systemctl(ctx, ['is-active', unitName(name)])
    if (left <= 0 || !['activating', 'deactivating'].includes(stdout)) return retcode === 0
    await sleep(LOOK_MS, undefined, { signal: ctx.signal })
  }
}

/** systemctl status ends with 4 for a unit that it does not know, and with less for one that it does. */
async function available(ctx: ModuleContext, name: string): Promise<boolean> {
  const { retcode, stderr } = await followUnitFile(ctx, name)
  if (/Failed to (connect to bus|get D-Bus connection)|has not been booted with systemd/.test(stderr))
    throw new CommandExecutionError(stderr)
  return retcode >= 0 && retcode < 4
}

async function enable(ctx: ModuleContext, name: string, a: Mapping): Promise<boolean> {
  const root = rootOf(a.root)
  if (root === null) await followUnitFile(ctx, name)
  await unmaskFirst(ctx, name, a)
  const done = await systemctl(ctx, [...blocking(a), 'enable', unitName(name)], { root, scope: root === null })
  if (done.retcode === 0) return true
  throw new CommandExecutionError(errorOf(done))
}

async function disable(ctx: ModuleContext, name: string, a: Mapping): Promise<boolean> {
  const root = rootOf(a.root)
  if (root === null) await followUnitFile(ctx, name)
  return (await systemctl(ctx, [...blocking(a), 'disable', unitName(name)], { root, scope: root === null })).retcode === 0
}

async function enabled(ctx: ModuleContext, name: string, root: string | null): Promise<boolean> {
  return (await systemctl(ctx, ['is-enabled', unitName(name)], { root })).retcode === 0
}

async function withState(ctx: ModuleContext, root: string | null, state: string): Promise<string[]> {
  const { stdout } = await systemctl(ctx, ['--full', '--no-legend', '--no-pager', 'list-unit-files'], { root })
  const found = stdout
    .split('\n')
    .map(line => line.trim().split(/\s+/))
    .filter(([unit, now]) => UNIT.test(unit ?? '') && now === state)
  return [...new Set(found.map(([unit]) => plainName(unit!)))].sort()
}

export const allStatic = (ctx: ModuleContext, root: string | null): Promise<string[]> => withState(ctx, root, 'static')

async function all(_ctx: ModuleContext, root: string | null): Promise<string[]> {
  const lists = await Promise.all(UNIT_DIRECTORIES.map(dir => readdir(join(root ?? '/', dir)).catch(() => [])))
  return [
    ...new Set(
      lists
        .flat()
        .filter(unit => UNIT.test(unit))
        .map(plainName)
    )
  ].sort()
}

async function allRunning(ctx: ModuleContext): Promise<string[]> {
  const { stdout } = await systemctl(ctx, ['--full', '--no-legend', '--no-pager'])
  const units = stdout
    .split('\n')
    // a mark stands before units that failed or are not found
    .map(line => line.replace(/^[^\w]+/, '').split(/\s+/))
    .filter(words => words[3] === 'running' && UNIT.test(words[0]!))
  return [...new Set(units.map(([unit]) => plainName(unit!)))].sort()
}

/** `systemctl show`: `{ a=1 ; b=2 }` becomes a mapping, lists of units become lists. */
export async function show(ctx: ModuleContext, name: string, root: string | null): Promise<Mapping> {
  const { stdout } = await systemctl(ctx, ['show', unitName(name)], { root })
  const lines = stdout.split('\n').filter(line => line.includes('='))
  return Object.fromEntries(
    lines.map(line => {
      const at = line.indexOf('=')
      return [line.slice(0, at), shownValue(line.slice(0, at), line.slice(at + 1))]
    })
  )
}

function shownValue(key: string, value: string): unknown {
  if (['Before', 'After', 'Wants'].includes(key)) return value.split(/\s+/).filter(unit => unit !== '')
  if (!value.startsWith('{')) return value
  const parts = value.replace(/[{}]/g, '').split(' ; ')
  return Object.fromEntries(parts.map(part => [part.split('=')[0]!.trim(), (part.split('=')[1] ?? '').trim()]))
}

export const systemd: ServiceManager = {
  ...{ act, running, available, enable, disable, enabled, all, allRunning },
  allEnabled: (ctx, root) => withState(ctx, root, 'enabled'),
  allDisabled: (ctx, root) => withState(ctx, root, 'disabled')
}
