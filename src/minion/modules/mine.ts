import type { ModuleContext } from '../context.js'
import { callFunction } from '../invoke.js'
import { InvocationError, messageOf } from './errors.js'
import { doc, fn, type Module } from './module.js'
import { flag, isMapping, type Mapping, setOwn, text, textOrNull, texts } from './values.js'

/**
 * Salt's `mine` module (https://docs.saltproject.io/en/3006/topics/mine/): results of functions that other minions may read. They lie with the
 * server; `mine_functions` of configuration and pillar says which they are, `mine_interval` how often they are sent.
 */
export const mine: Module = {
  name: 'mine',
  functions: [
    fn(
      'update(clear=False, mine_functions=None)',
      doc('Runs mine_functions and sends what they return. clear: what is there already goes.', 'mine.update'),
      update,
      { isolated: true }
    ),
    fn('send(name, *args, **kwargs)', doc('Runs one function and sends what it returns.', 'mine.send network.ip_addrs eth0'), send, {
      isolated: true
    }),
    fn(
      "get(tgt, fun, tgt_type='glob', exclude_minion=False)",
      doc(
        'Returns what minions have sent: minion → value. Several functions: function → minion → value.',
        "mine.get '*' network.interfaces"
      ),
      get
    ),
    fn('delete(fun)', doc('Takes one function out of the mine.', 'mine.delete network.interfaces'), (ctx, { fun }) =>
      ctx.agent.mine({ kind: 'delete', fun: text(fun, 'fun') })
    ),
    fn('flush()', doc('Takes everything of this minion out of the mine.', 'mine.flush'), ctx => ctx.agent.mine({ kind: 'flush' })),
    fn('valid()', doc('Returns the mine functions that are configured and can be called.', 'mine.valid'), valid)
  ]
}

interface Call {
  readonly fun: string
  readonly args: readonly unknown[]
  readonly kwargs: Mapping
  readonly allow: Mapping
}

/** `mine_functions` as a mapping; a list of names, or of one-key mappings, becomes one. */
function functionsOf(ctx: ModuleContext, given: unknown): Mapping {
  if (given !== null && given !== undefined) return asMapping(given)
  return { ...asMapping(ctx.pillar.mine_functions), ...ctx.options.mine_functions }
}

function asMapping(value: unknown): Mapping {
  if (isMapping(value)) return value
  if (!Array.isArray(value)) return {}
  return Object.assign({}, ...value.map(item => (isMapping(item) ? item : { [String(item)]: [] }))) as Mapping
}

const ACL = ['allow_tgt', 'allow_tgt_type']

/**
 * One entry: `name: args`, `name: {kwargs}`, or `alias: [{mine_function: name}, args…]`, `alias: {mine_function: name, …}`. Arguments as a list hold
 * one-key mappings for keywords.
 */
export function mineCall(name: string, written: unknown): Call {
  const args: unknown[] = []
  const named: Mapping = {}
  const items = Array.isArray(written) ? written : written === null || written === undefined || written === '' ? [] : [written]
  for (const item of items) {
    if (isMapping(item)) for (const [key, value] of Object.entries(item)) setOwn(named, key, value)
    else args.push(item)
  }
  const { mine_function: fun, ...rest } = named
  const pick = (wanted: boolean) => Object.fromEntries(Object.entries(rest).filter(([key]) => ACL.includes(key) === wanted))
  return { fun: typeof fun === 'string' ? fun : name, args, kwargs: pick(false), allow: pick(true) }
}

async function resultOf(ctx: ModuleContext, { fun, args, kwargs, allow }: Call): Promise<unknown> {
  const value = await callFunction(ctx, fun, args, kwargs)
  return Object.keys(allow).length === 0 ? value : { __data__: value, __saltmine_acl__: 1, ...allow }
}

async function update(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const data: Mapping = {}
  for (const [name, written] of Object.entries(functionsOf(ctx, a.mine_functions))) {
    try {
      setOwn(data, name, await resultOf(ctx, mineCall(name, written)))
    } catch (error) {
      ctx.log.warn({ fun: name, error: messageOf(error) }, 'a mine function failed and is left out')
    }
  }
  if (Object.keys(data).length === 0 && !flag(a.clear)) return null
  return ctx.agent.mine({ kind: 'send', data, clear: flag(a.clear) })
}

async function send(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const name = text(a.name, 'name')
  const named = Object.fromEntries(Object.entries(a.kwargs as Mapping).filter(([key]) => !key.startsWith('__pub_')))
  const call = mineCall(name, [...(a.args as unknown[]), named])
  if (!ctx.modules.get(call.fun)) return false
  return ctx.agent.mine({ kind: 'send', data: { [name]: await resultOf(ctx, call) } })
}

async function get(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const names = texts(a.fun, 'fun')
  if (names.length === 0) throw new InvocationError('fun is empty')
  const fun = names.length === 1 && typeof a.fun === 'string' ? names[0]! : names
  if (typeof fun === 'string' && ctx.events.offline) return {}
  const found = await ctx.agent.mine({ kind: 'get', tgt: a.tgt, tgt_type: textOrNull(a.tgt_type, 'tgt_type') ?? 'glob', fun })
  if (!flag(a.exclude_minion) || !isMapping(found)) return found
  const without = (values: unknown) =>
    isMapping(values) ? Object.fromEntries(Object.entries(values).filter(([id]) => id !== ctx.id)) : values
  return typeof fun === 'string'
    ? without(found)
    : Object.fromEntries(Object.entries(found).map(([name, values]) => [name, without(values)]))
}

function valid(ctx: ModuleContext): Mapping {
  const found: Mapping = {}
  for (const [name, written] of Object.entries(functionsOf(ctx, null))) {
    const { fun, args, kwargs } = mineCall(name, written)
    if (!ctx.modules.get(fun)) continue
    const list = [...args, ...Object.entries(kwargs).map(([key, value]) => ({ [key]: value }))]
    setOwn(found, name, fun === name ? list : { [fun]: list })
  }
  return found
}
