import { dumpYaml } from '../../shared/yaml.js'
import type { ModuleContext } from '../context.js'
import { diffOf } from '../states/file/diff.js'
import { doc, fn, type Module } from './module.js'
import { flag, isMapping, type Mapping, text } from './values.js'

/** Salt's `beacons` module. Answers: golden/api/gui.json (beacons-*). Which beacons there are: `src/minion/beacons/`. */
export const beacons: Module = {
  name: 'beacons',
  functions: [
    fn(
      'list_(return_yaml=True, include_pillar=True, include_opts=True, **kwargs)',
      doc('Lists the beacons that are set up, as YAML text or (return_yaml=False) as a mapping.', 'beacons.list'),
      list
    ),
    fn('list_available(return_yaml=True)', doc('Lists the beacons that there are.', 'beacons.list_available'), listAvailable),
    fn(
      'add(name, beacon_data, **kwargs)',
      doc('Sets up a beacon. beacon_save keeps it over a restart.', "beacons.add ps \"[{'processes': {'nginx': 'stopped'}}]\""),
      add
    ),
    fn(
      'modify(name, beacon_data, **kwargs)',
      doc('Changes a beacon.', "beacons.modify ps \"[{'processes': {'nginx': 'running'}}]\""),
      modify
    ),
    fn('delete(name, **kwargs)', doc('Takes a beacon away.', 'beacons.delete ps'), remove),
    fn('save(**kwargs)', doc('Keeps the beacons over a restart.', 'beacons.save'), save),
    fn('enable(**kwargs)', doc('Switches all beacons on.', 'beacons.enable'), (ctx, a) => switchAll(ctx, a, true)),
    fn('disable(**kwargs)', doc('Switches all beacons off.', 'beacons.disable'), (ctx, a) => switchAll(ctx, a, false)),
    fn('enable_beacon(name, **kwargs)', doc('Switches a beacon on.', 'beacons.enable_beacon ps'), (ctx, a) => switchOne(ctx, a, true)),
    fn('disable_beacon(name, **kwargs)', doc('Switches a beacon off.', 'beacons.disable_beacon ps'), (ctx, a) => switchOne(ctx, a, false)),
    fn('reset(**kwargs)', doc('Forgets the beacons that were set up.', 'beacons.reset'), reset)
  ]
}

/** `[name, whether test=True]`: with it a function only says what it would do. */
function asked(a: Mapping): { name: string; test: boolean } {
  return { name: a.name === undefined || a.name === null ? '' : text(a.name, 'name'), test: flag((a.kwargs as Mapping | undefined)?.test) }
}

function answer(comment: string, result = true): { comment: string; result: boolean } {
  return { comment, result }
}

async function listed(ctx: ModuleContext): Promise<Mapping> {
  return (await ctx.agent.beacons('list', {})).beacons as Mapping
}

async function list(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const [include_pillar, include_opts] = [flag(a.include_pillar), flag(a.include_opts)]
  const { beacons: shown } = await ctx.agent.beacons('list', { include_pillar, include_opts })
  return flag(a.return_yaml) ? dumpYaml({ beacons: shown }) : shown
}

async function listAvailable(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const { beacons: names } = await ctx.agent.beacons('list_available', {})
  return flag(a.return_yaml) ? dumpYaml({ beacons: names }) : names
}

async function add(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const { name, test } = asked(a)
  if (name === '') return answer('Beacon name is required.', false)
  if (name in (await listed(ctx))) return answer(`Beacon ${name} is already configured.`, false)
  const { valid, vcomment } = await ctx.agent.beacons('validate_beacon', { name, beacon_data: a.beacon_data })
  if (!valid) return answer(`Beacon ${name} configuration invalid, not adding.\n${vcomment}`, false)
  if (test) return answer(`Beacon: ${name} would be added.`)
  await ctx.agent.beacons('add', { name, beacon_data: a.beacon_data })
  return answer(`Added beacon: ${name}.`)
}

async function modify(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const { name, test } = asked(a)
  if (name === '') return answer('Beacon name is required.', false)
  const before = (await listed(ctx))[name]
  if (before === undefined) return answer(`Beacon ${name} is not configured.`, false)
  const { valid, vcomment } = await ctx.agent.beacons('validate_beacon', { name, beacon_data: a.beacon_data })
  if (!valid) return answer(`Beacon ${name} configuration invalid, not modifying.\n${vcomment}`, false)
  const diff = diffOf(lines(before), lines(a.beacon_data))
  if (diff === '') return answer(`Job ${name} in correct state`)
  if (test) return { ...answer(`Beacon: ${name} would be modified.`), changes: { diff } }
  await ctx.agent.beacons('modify', { name, beacon_data: a.beacon_data })
  return { ...answer(`Modified beacon: ${name}.`), changes: { diff } }
}

/** An option per line, to be compared. */
function lines(entry: unknown): Buffer {
  const options = Object.assign({}, ...[entry].flat().filter(isMapping)) as Mapping
  const shown = Object.entries(options).map(([name, value]) => `${name}:${typeof value === 'string' ? value : JSON.stringify(value)}\n`)
  return Buffer.from(shown.join(''))
}

async function remove(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const { name, test } = asked(a)
  if (name === '') return answer('Beacon name is required.', false)
  if (test) return answer(`Beacon: ${name} would be deleted.`)
  await ctx.agent.beacons('delete', { name })
  return answer(`Deleted beacon: ${name}.`)
}

async function save(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  if (asked(a).test) return answer('Beacons would be saved.')
  const { path } = await ctx.agent.beacons('save', {})
  return answer(`Beacons saved to ${path}.`)
}

async function switchAll(ctx: ModuleContext, a: Mapping, on: boolean): Promise<Mapping> {
  if (asked(a).test) return answer(`Beacons would be ${on ? 'enabled' : 'disabled'}.`)
  await ctx.agent.beacons(on ? 'enable' : 'disable', {})
  return answer(`${on ? 'Enabled' : 'Disabled'} beacons on minion.`)
}

async function switchOne(ctx: ModuleContext, a: Mapping, on: boolean): Promise<Mapping> {
  const { name, test } = asked(a)
  if (name === '') return answer('Beacon name is required.', false)
  if (!(name in (await listed(ctx)))) return answer(`Beacon ${name} is not currently configured.`, false)
  if (test) return answer(`Beacon ${name} would be ${on ? 'enabled' : 'disabled'}.`)
  await ctx.agent.beacons(on ? 'enable_beacon' : 'disable_beacon', { name })
  return answer(`${on ? 'Enabled' : 'Disabled'} beacon ${name} on minion.`)
}

async function reset(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  if (asked(a).test) return answer('Beacons would be reset.')
  await ctx.agent.beacons('reset', {})
  return answer('Beacon configuration reset.')
}
