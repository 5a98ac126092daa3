/** Services of init scripts (System V): `service`, and `update-rc.d` (Debian) or `chkconfig` (Red Hat) for what starts at boot. */
import { access, constants, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModuleContext } from '../../context.js'
import { CommandExecutionError } from '../errors.js'
import { runTool, systemProgram } from '../tool.js'
import type { Action, ServiceManager } from './manager.js'

const SCRIPTS = 'etc/init.d'

/** The run level of this machine; containers and the like have none and mean the usual one. */
async function runLevel(ctx: ModuleContext): Promise<string> {
  if (!(await systemProgram('runlevel'))) return '2'
  const { stdout } = await runTool(ctx, ['runlevel'])
  const level = stdout.trim().split(/\s+/).at(-1) ?? ''
  return /^[1-5]$/.test(level) ? level : '2'
}

async function all(ctx: ModuleContext, root: string | null): Promise<string[]> {
  const dir = join(root ?? '/', SCRIPTS)
  const names = (await readdir(dir).catch(() => [])).filter(name => name !== 'README' && name !== 'skeleton' && name !== 'functions')
  const executable = await Promise.all(
    names.map(name =>
      access(join(dir, name), constants.X_OK).then(
        () => true,
        () => false
      )
    )
  )
  return [...new Set([...names.filter((_name, at) => executable[at]), ...(await allEnabled(ctx, root))])].sort()
}

/** What the links of the run level, and those of the start of the system, start. */
async function allEnabled(ctx: ModuleContext, root: string | null): Promise<string[]> {
  const levels = [await runLevel(ctx), 'S']
  const lists = await Promise.all(
    levels.flatMap(level => [`etc/rc${level}.d`, `etc/rc.d/rc${level}.d`]).map(dir => readdir(join(root ?? '/', dir)).catch(() => []))
  )
  const names = lists.flat().map(link => /^S\d+(.+)$/.exec(link)?.[1])
  return [...new Set(names.filter(name => name !== undefined))].sort()
}

async function service(ctx: ModuleContext, name: string, action: string): Promise<boolean> {
  return (await runTool(ctx, ['service', name, action])).retcode === 0
}

async function atBoot(ctx: ModuleContext, name: string, on: boolean): Promise<boolean> {
  if (await systemProgram('update-rc.d')) {
    // Without links there is nothing to switch yet; `defaults` makes them as the script's header says.
    if (on && (await runTool(ctx, ['update-rc.d', name, 'defaults'])).retcode !== 0) return false
    return (await runTool(ctx, ['update-rc.d', name, on ? 'enable' : 'disable'])).retcode === 0
  }
  if (await systemProgram('chkconfig')) return (await runTool(ctx, ['chkconfig', name, on ? 'on' : 'off'])).retcode === 0
  throw new CommandExecutionError('Neither update-rc.d nor chkconfig is there: what starts at boot cannot be changed')
}

export const init: ServiceManager = {
  all,
  allEnabled,
  act: (ctx, action: Action, name) => service(ctx, name, action),
  running: (ctx, name) => service(ctx, name, 'status'),
  available: async (ctx, name) => (await all(ctx, null)).includes(name),
  enable: (ctx, name) => atBoot(ctx, name, true),
  disable: (ctx, name) => atBoot(ctx, name, false),
  enabled: async (ctx, name, root) => (await allEnabled(ctx, root)).includes(name),
  allDisabled: async (ctx, root) => {
    const on = await allEnabled(ctx, root)
    return (await all(ctx, root)).filter(name => !on.includes(name))
  },
  allRunning: async ctx => {
    const names = await all(ctx, null)
    const states: boolean[] = []
    for (const name of names) states.push(await service(ctx, name, 'status'))
    return names.filter((_name, at) => states[at])
  }
}
