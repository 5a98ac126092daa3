import type { ModuleContext } from '../context.js'
import { InvocationError } from './errors.js'
import { fn, type Module } from './module.js'
import { flag, isMapping, type Mapping, setOwn, text, texts } from './values.js'

/** Salt's `event` module. Envelopes on the server: golden/README.md section 1, golden/events/event_*.jsonl. */
export const event: Module = {
  name: 'event',
  functions: [
    fn(
      'send(tag, data=None, preload=None, with_env=False, with_grains=False, with_pillar=False, with_env_opts=False, timeout=60, **kwargs)',
      `Sends an event to the server. Keyword arguments become data too; what \`data\` says wins over them. with_grains, with_pillar and
with_env add all grains, pillar or environment variables, or those that a list names. preload is merged into the event's envelope.

CLI Example:

    salt-call event.send myco/mytag/success '{success: True, message: "It works!"}'
    salt '*' event.send myco/deploy version=1.2 with_grains='[id, role]'`,
      send
    ),
    fn(
      'fire(data, tag, timeout=60)',
      `Fires an event on the minion's own bus. The server does not see it.

CLI Example:

    salt '*' event.fire '{"data": "my event data"}' 'tag'`,
      fire
    ),
    fn(
      'fire_master(data, tag, preload=None, timeout=60)',
      `Fires an event on the server's bus. \`data\` is passed on as it is.

CLI Example:

    salt '*' event.fire_master '{"data":"my event data"}' 'tag'`,
      fireMaster
    )
  ]
}

async function send(ctx: ModuleContext, a: Mapping): Promise<boolean> {
  const data: Mapping = {}
  if (flag(a.with_env)) data.environ = pick(environment(), a.with_env, 'with_env')
  if (flag(a.with_grains)) data.grains = pick(ctx.grains, a.with_grains, 'with_grains')
  if (flag(a.with_pillar)) data.pillar = pick(ctx.pillar, a.with_pillar, 'with_pillar')
  if (flag(a.with_env_opts)) {
    data.saltenv = ctx.options.saltenv
    data.pillarenv = ctx.options.settings.pillarenv ?? null
  }
  merge(data, a.kwargs as Mapping)
  if (isMapping(a.data)) merge(data, a.data)
  return fireMaster(ctx, { data, tag: a.tag, preload: a.preload })
}

async function fireMaster(ctx: ModuleContext, { data, tag, preload }: Mapping): Promise<boolean> {
  if (preload !== null && preload !== undefined && !isMapping(preload)) throw new InvocationError('preload must be a mapping')
  const options = isMapping(preload) && Object.keys(preload).length > 0 ? { preload } : {}
  await ctx.events.sendEvent(text(tag, 'tag'), data, options)
  return ctx.events.offline !== true
}

async function fire(ctx: ModuleContext, { data, tag }: Mapping): Promise<boolean> {
  if (!isMapping(data)) throw new InvocationError('data must be a mapping')
  await ctx.events.fireLocal(text(tag, 'tag'), data)
  return true
}

/** The whole mapping, or the keys that a list names. */
function pick(all: Mapping, names: unknown, parameter: string): Mapping {
  if (!Array.isArray(names)) return all
  return Object.fromEntries(texts(names, parameter).map(name => [name, Object.hasOwn(all, name) ? all[name] : '']))
}

/** The agent's environment without its own settings, which may hold secrets. */
function environment(): Mapping {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('BRINE_')))
}

function merge(target: Mapping, source: Mapping): void {
  for (const [name, value] of Object.entries(source)) setOwn(target, name, value)
}
