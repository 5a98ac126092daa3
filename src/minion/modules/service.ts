import { readdir, readFile } from 'node:fs/promises'
import { compileGlob } from '../../tags/glob.js'
import type { ModuleContext } from '../context.js'
import { CommandExecutionError, InvocationError } from './errors.js'
import type { Module, ModuleFunction } from './module.js'
import { init } from './service/init.js'
import type { Action, ServiceManager } from './service/manager.js'
import { allStatic, daemonReload, mask, masked, show, systemd, unmask } from './service/systemd.js'
import { rootOf, toolFn } from './tool.js'
import { flag, type Mapping, number, text, textOrNull } from './values.js'

const START = 'no_block=False, unmask=False, unmask_runtime=False'
const ONLY_SYSTEMD = 'no_block, unmask and unmask_runtime: systemd only.'

/** Salt's `service` module: systemd where it runs, else init scripts. */
export const service: Module = {
  name: 'service',
  functions: [
    action('start', `start(name, ${START})`, `Starts a service. ${ONLY_SYSTEMD}`),
    action('stop', 'stop(name, no_block=False)', 'Stops a service.'),
    action('restart', `restart(name, ${START})`, `Restarts a service. ${ONLY_SYSTEMD}`),
    action('reload', `reload_(name, ${START})`, `Has a service read its configuration anew. ${ONLY_SYSTEMD}`),
    action('force-reload', `force_reload(name, ${START})`, 'Has a service read its configuration anew, or restarts it where it cannot.'),
    toolFn(
      'status(name, sig=None, wait=3)',
      'Returns whether a service runs; for a glob a mapping. sig: text in the command line of its process, whose numbers are returned instead. wait: seconds for one that is starting or stopping.',
      'service.status sshd',
      status
    ),
    toolFn(`enable(name, ${START}, root=None)`, 'Has a service start at boot.', 'service.enable sshd', (ctx, a) =>
      managerOf(ctx).enable(ctx, nameOf(a), a)
    ),
    toolFn('disable(name, no_block=False, root=None)', 'Has a service not start at boot.', 'service.disable sshd', (ctx, a) =>
      managerOf(ctx).disable(ctx, nameOf(a), a)
    ),
    toolFn('enabled(name, root=None, **kwargs)', 'Returns whether a service starts at boot.', 'service.enabled sshd', (ctx, a) =>
      managerOf(ctx).enabled(ctx, nameOf(a), rootOf(a.root))
    ),
    toolFn(
      'disabled(name, root=None)',
      'Returns whether a service does not start at boot.',
      'service.disabled sshd',
      async (ctx, a) => !(await managerOf(ctx).enabled(ctx, nameOf(a), rootOf(a.root)))
    ),
    toolFn('available(name)', 'Returns whether there is a service.', 'service.available sshd', (ctx, a) =>
      managerOf(ctx).available(ctx, nameOf(a))
    ),
    toolFn(
      'missing(name)',
      'Returns whether there is no such service.',
      'service.missing sshd',
      async (ctx, a) => !(await managerOf(ctx).available(ctx, nameOf(a)))
    ),
    list('get_all', 'root=None', 'Returns the names of all services.', (manager, ctx, root) => manager.all(ctx, root)),
    list('get_enabled', 'root=None', 'Returns the services that start at boot.', (manager, ctx, root) => manager.allEnabled(ctx, root)),
    list('get_disabled', 'root=None', 'Returns the services that do not start at boot.', (manager, ctx, root) =>
      manager.allDisabled(ctx, root)
    ),
    list('get_running', '', 'Returns the services that run.', (manager, ctx) => manager.allRunning(ctx)),
    onlySystemd('get_static(root=None)', 'Returns the units that cannot be enabled.', 'service.get_static', (ctx, a) =>
      allStatic(ctx, rootOf(a.root))
    ),
    onlySystemd('masked(name, runtime=False, root=None)', 'Returns whether a service is masked.', 'service.masked foo', (_ctx, a) =>
      masked(nameOf(a), flag(a.runtime), rootOf(a.root))
    ),
    onlySystemd('mask(name, runtime=False, root=None)', 'Masks a service: nothing can start it.', 'service.mask foo', (ctx, a) =>
      mask(ctx, nameOf(a), flag(a.runtime), rootOf(a.root))
    ),
    onlySystemd('unmask_(name, runtime=False, root=None)', 'Removes the mask of a service.', 'service.unmask foo', (ctx, a) =>
      unmask(ctx, nameOf(a), flag(a.runtime), rootOf(a.root))
    ),
    onlySystemd('show(name, root=None)', 'Returns all properties of a unit.', 'service.show sshd', (ctx, a) =>
      show(ctx, nameOf(a), rootOf(a.root))
    ),
    onlySystemd('execs(root=None)', 'Returns the program of each service.', 'service.execs', execs),
    onlySystemd('systemctl_reload()', 'Has systemd read all unit files anew.', 'service.systemctl_reload', ctx => daemonReload(ctx))
  ]
}

/** Whether systemd runs here, by the grain that says what process 1 is. */
export function runsSystemd(ctx: ModuleContext): boolean {
  return ctx.grains.init === 'systemd'
}

function managerOf(ctx: ModuleContext): ServiceManager {
  return runsSystemd(ctx) ? systemd : init
}

/** A name that a tool would take for an option, or for a path, is no name. */
function nameOf(a: Mapping): string {
  const name = text(a.name, 'name')
  if (name === '' || /^-|[/\s]/.test(name)) throw new InvocationError(`name '${name}' is not the name of a service`)
  return name
}

function action(what: Action, signature: string, says: string): ModuleFunction {
  return toolFn(signature, says, `service.${what.replace('-', '_')} sshd`, (ctx, a) => managerOf(ctx).act(ctx, what, nameOf(a), a))
}

function list(
  name: string,
  params: string,
  says: string,
  run: (manager: ServiceManager, ctx: ModuleContext, root: string | null) => Promise<string[]>
): ModuleFunction {
  return toolFn(`${name}(${params})`, says, `service.${name}`, (ctx, a) => run(managerOf(ctx), ctx, rootOf(a.root)))
}

function onlySystemd(signature: string, says: string, example: string, run: ModuleFunction['run']): ModuleFunction {
  return toolFn(signature, `${says} systemd only.`, example, (ctx, a) => {
    if (!runsSystemd(ctx) && rootOf(a.root) === null) throw new CommandExecutionError('systemd does not run on this minion')
    return run(ctx, a)
  })
}

async function status(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const sig = textOrNull(a.sig, 'sig')
  if (sig) return processesWith(sig)
  const name = nameOf(a)
  const manager = managerOf(ctx)
  const wait = number(a.wait, 'wait')
  if (!/[*?[]/.test(name)) return manager.running(ctx, name, wait)
  const fits = compileGlob(name)
  const found: Mapping = {}
  for (const service of (await manager.all(ctx, null)).filter(service => fits(service)))
    found[service] = await manager.running(ctx, service, wait)
  return found
}

/** Numbers of the processes with a text in their command line, one per line; '' when there are none. */
async function processesWith(sig: string): Promise<string> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name) && name !== String(process.pid))
  const lines = await Promise.all(pids.map(pid => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return pids.filter((_pid, at) => lines[at]!.replaceAll('\0', ' ').includes(sig)).join('\n')
}

async function execs(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const root = rootOf(a.root)
  const found: Mapping = {}
  for (const name of await systemd.all(ctx, root)) {
    const { ExecStart } = await show(ctx, name, root)
    if (typeof ExecStart === 'object' && ExecStart !== null) found[name] = (ExecStart as Mapping).path
  }
  return found
}
