import { callFunction } from '../invoke.js'
import { messageOf } from '../modules/errors.js'
import { pyStr } from '../modules/python.js'
import { isMapping, type Mapping, setOwn, text } from '../modules/values.js'
import { INTERNAL_KEYWORDS, type StateContext, type StateModule, type StateResult, stateFn } from './state.js'

/**
 * Salt's `module` states: functions of the minion as states. Two forms: `module.run: [{test.echo: [text]}, …]`, and the older one with `name`,
 * the function's own arguments, `args`, `kwargs`, and `m_` before names that states use themselves.
 */
export const module: StateModule = {
  name: 'module',
  functions: [
    stateFn('run(name=None, **kwargs)', 'Runs functions.', run),
    stateFn('wait(name, **kwargs)', 'Runs functions only when a watched state changed.', (_ctx, { name }) => answer(String(name), true, ''))
  ],
  watch: stateFn('mod_watch(name, sfun=None, **kwargs)', 'Runs the functions.', run)
}

function answer(name: unknown, result: boolean | null, comment: string, changes: Mapping = {}): StateResult {
  return { name: name as string, changes, result, comment }
}

function run(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const kwargs = Object.fromEntries(
    Object.entries(isMapping(a.kwargs) ? a.kwargs : {}).filter(([key]) => key !== '__reqs__' && key !== 'sfun')
  )
  const functions = Object.keys(kwargs).filter(key => key.includes('.'))
  return functions.length > 0 ? runFunctions(ctx, functions, kwargs) : runOne(ctx, text(a.name, 'name'), kwargs)
}

// ── the new form ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function runFunctions(ctx: StateContext, functions: readonly string[], given: Mapping): Promise<StateResult> {
  const realName = (key: string): string => key.split(':')[0]!
  const missing = functions.filter(key => !ctx.modules.get(realName(key)))
  const names = Object.keys(given).filter(key => !INTERNAL_KEYWORDS.has(key))
  if (missing.length > 0 || ctx.test) {
    const present = functions.filter(key => !missing.includes(key))
    const plural = (list: readonly string[]): string => (list.length > 1 ? 's' : '')
    const comment = [
      missing.length > 0 ? `Unavailable function${plural(missing)}: ${missing.join(', ')}.` : '',
      ctx.test && present.length > 0 ? `Function${plural(present)} ${present.join(', ')} to be executed.` : ''
    ]
    const changes = missing.length > 0 ? {} : Object.fromEntries(present.map(key => [key, 'to be executed']))
    return answer(names, missing.length > 0 ? false : null, comment.join(' ').trim(), changes)
  }
  const changes: Mapping = {}
  const [failures, successes]: [string[], string[]] = [[], []]
  for (const key of functions) {
    try {
      const { args, kwargs } = newArguments(given[key])
      const value = await callFunction(ctx, realName(key), args, kwargs)
      if (succeeded(value)) {
        setOwn(changes, key, value ?? null)
        successes.push(`${key}: ${isMapping(value) ? pyStr(value.comment ?? 'Success') : pyStr(value)}`)
      } else failures.push(`'${key}' failed: ${isMapping(value) ? pyStr(value.comment ?? '(error message N/A)') : pyStr(value)}`)
    } catch (error) {
      failures.push(`'${key}' failed: ${messageOf(error)}`)
    }
  }
  return answer(names, failures.length === 0, [...failures, ...successes].join(', '), changes)
}

/** `[value, {name: value}, …]`, or a mapping. */
function newArguments(given: unknown): { args: unknown[]; kwargs: Mapping } {
  const args: unknown[] = []
  const kwargs: Mapping = {}
  for (const item of given === null || given === undefined ? [] : [given].flat()) {
    if (isMapping(item)) for (const [name, value] of Object.entries(item)) setOwn(kwargs, name, value)
    else args.push(item)
  }
  return { args, kwargs }
}

// ── the old form ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function runOne(ctx: StateContext, name: string, given: Mapping): Promise<StateResult> {
  const entry = ctx.modules.get(name)
  if (!entry) return answer(name, false, `Module function ${name} is not available`)
  if (ctx.test) return answer(name, null, `Module function ${name} is set to execute`, { ret: 'to be executed' })
  const { args, kwargs } = oldArguments(given, new Set(entry.params.map(param => param.name)), entry.kwargs !== undefined)
  const missing = entry.params.slice(args.length).filter(param => !('default' in param) && !Object.hasOwn(kwargs, param.name))
  if (missing.length > 0) {
    return answer(name, false, `The following arguments are missing: ${missing.map(param => param.name).join(', ')}`)
  }
  try {
    const value = (await callFunction(ctx, name, args, kwargs)) ?? null
    return answer(name, succeeded(value), `Module function ${name} executed`, { ret: value })
  } catch (error) {
    return answer(name, false, `Module function ${name} threw an exception. Exception: ${messageOf(error)}`)
  }
}

function oldArguments(given: Mapping, known: ReadonlySet<string>, takesMore: boolean): { args: unknown[]; kwargs: Mapping } {
  const { args, kwargs, ...named } = given
  const collected: Mapping = {}
  for (const [key, value] of Object.entries(named)) {
    const name = key.startsWith('m_') ? key.slice(2) : key
    if (known.has(name)) setOwn(collected, name, value)
    // What the function does not name is the state's own business.
    else if (takesMore && !['returner', 'ret_config', 'ret_kwargs'].includes(name)) setOwn(collected, name, value)
  }
  return { args: [args ?? []].flat(), kwargs: { ...collected, ...(isMapping(kwargs) ? kwargs : {}) } }
}

/** Salt's reading of a function's value: False, a return code, or a `result: False` anywhere in it is a failure. */
function succeeded(value: unknown): boolean {
  if (typeof value === 'boolean') return value
  if (!isMapping(value)) return true
  if (typeof value.retcode === 'number' && value.retcode !== 0) return false
  if (typeof value.result === 'boolean') return value.result
  return Object.values(value).every(item => !isMapping(item) || succeeded(item))
}
