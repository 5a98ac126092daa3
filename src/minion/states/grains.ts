import { callFunction } from '../invoke.js'
import { pyStr } from '../modules/python.js'
import { flag, isMapping, type Mapping, text, traverse } from '../modules/values.js'
import { type StateContext, type StateModule, type StateResult, stateFn } from './state.js'

/** Salt's `grains` states: custom grains of this minion. Later states of the run see them. */
export const grains: StateModule = {
  name: 'grains',
  functions: [
    stateFn("present(name, value, delimiter=':', force=False)", 'Sets a grain; a list or mapping only with force.', present),
    stateFn("absent(name, destructive=False, delimiter=':', force=False)", 'Sets a grain to None; destructive removes it.', absent),
    stateFn("append(name, value, convert=False, delimiter=':')", 'Adds a value to a list; convert makes a list of a scalar.', append),
    stateFn("list_present(name, value, delimiter=':')", 'A list that holds the value or values.', listPresent),
    stateFn("list_absent(name, value, delimiter=':')", 'A list that does not hold the value or values.', listAbsent),
    stateFn("exists(name, delimiter=':')", 'Fails unless a grain is there.', (ctx, a) => {
      const { name, value } = grainOf(ctx, a)
      return value === undefined ? answer(name, false, 'Grain does not exist') : answer(name, true, 'Grain exists')
    })
  ]
}

function answer(name: string, result: boolean | null, comment: string, changes: Mapping = {}): StateResult {
  return { name, changes, result, comment }
}

function grainOf(ctx: StateContext, a: Mapping): { name: string; value: unknown } {
  const name = text(a.name, 'name').replaceAll(text(a.delimiter, 'delimiter'), ':')
  return { name, value: traverse(ctx.grains, name) }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)
const holds = (list: readonly unknown[], value: unknown): boolean => list.some(item => same(item, value))

async function present(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const { name, value: existing } = grainOf(ctx, a)
  if (existing !== undefined && same(existing, a.value)) return answer(name, true, 'Grain is already set')
  if (ctx.test) {
    if (existing === undefined) return answer(name, null, `Grain ${name} is set to be added`, { new: name })
    return answer(name, null, `Grain ${name} is set to be changed`, { changed: { [name]: a.value } })
  }
  return set(ctx, name, { val: a.value, force: flag(a.force) }, `Set grain ${name} to ${pyStr(a.value)}`)
}

/** `grains.set`; its changes, and the comment when something changed. */
async function set(ctx: StateContext, name: string, wish: Mapping, comment: string): Promise<StateResult> {
  const done = await callFunction(ctx, 'grains.set', [name], wish)
  const { result, changes, comment: why } = isMapping(done) ? done : {}
  if (result !== true) return answer(name, false, String(why ?? ''))
  const changed = isMapping(changes) ? changes : {}
  return answer(name, true, Object.keys(changed).length > 0 ? comment : String(why ?? ''), changed)
}

async function absent(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const { name, value } = grainOf(ctx, a)
  const destructive = flag(a.destructive)
  if (value === undefined || (value === null && !destructive)) return answer(name, true, `Grain ${name} does not exist`)
  const changes = destructive ? { deleted: name } : { grain: name, value: null }
  if (ctx.test) {
    return answer(
      name,
      null,
      destructive ? `Grain ${name} is set to be deleted` : `Value for grain ${name} is set to be deleted (None)`,
      changes
    )
  }
  const done = await set(ctx, name, { val: null, destructive, force: flag(a.force) }, '')
  if (done.result !== true) return done
  return answer(name, true, destructive ? `Grain ${name} was deleted` : `Value for grain ${name} was set to None`, changes)
}

async function append(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const { name, value: existing } = grainOf(ctx, a)
  const shown = pyStr(a.value)
  if (existing === undefined) return answer(name, false, `Grain ${name} does not exist`)
  const changes = { added: a.value }
  if (!Array.isArray(existing)) {
    if (!flag(a.convert)) return answer(name, false, `Grain ${name} is not a valid list`)
    if (ctx.test) return answer(name, null, `Grain ${name} is set to be converted to list and value ${shown} will be added`, changes)
    await callFunction(ctx, 'grains.set', [name], { val: existing === null ? [a.value] : [existing, a.value], force: true })
    return answer(name, true, `Value ${shown} was added to grain ${name}`, changes)
  }
  if (holds(existing, a.value)) return answer(name, true, `Value ${shown} is already in the list for grain ${name}`)
  if (ctx.test) return answer(name, null, `Value ${shown} in grain ${name} is set to be added`, changes)
  await callFunction(ctx, 'grains.append', [name, a.value])
  return answer(name, true, `Value ${shown} was added to grain ${name}`, changes)
}

async function listPresent(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const { name, value: existing } = grainOf(ctx, a)
  const shown = pyStr(a.value)
  const empty = existing === undefined || existing === null || existing === ''
  if (!empty && !Array.isArray(existing)) return answer(name, false, `Grain ${name} is not a valid list`)
  const list = empty ? [] : (existing as unknown[])
  if (list.length > 0 && [a.value].flat().every(value => holds(list, value)))
    return answer(name, true, `Value ${shown} is already in grain ${name}`)
  if (ctx.test) {
    const comment = list.length > 0 ? `Value ${shown} is set to be appended to grain ${name}` : `Grain ${name} is set to be added`
    return answer(name, null, comment, { new: existing ?? null })
  }
  const fresh = await callFunction(ctx, 'grains.append', [name, a.value])
  const now = traverse(ctx.grains, name)
  if (!Array.isArray(now) || ![a.value].flat().every(value => holds(now, value)))
    return answer(name, false, `Failed append value ${shown} to grain ${name}`)
  return answer(name, true, `Append value ${shown} to grain ${name}`, { new: fresh })
}

async function listAbsent(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const { name, value: existing } = grainOf(ctx, a)
  if (existing === undefined || existing === null || existing === '' || (Array.isArray(existing) && existing.length === 0))
    return answer(name, true, `Grain ${name} does not exist`)
  if (!Array.isArray(existing)) return answer(name, false, `Grain ${name} is not a valid list`)
  const comments: string[] = []
  const deleted: unknown[] = []
  for (const value of [a.value].flat()) {
    const shown = pyStr(value)
    if (!holds(existing, value)) {
      comments.push(`Value ${shown} is absent from grain ${name}`)
      continue
    }
    if (!ctx.test) await callFunction(ctx, 'grains.remove', [name, value])
    comments.push(ctx.test ? `Value ${shown} in grain ${name} is set to be deleted` : `Value ${shown} was deleted from grain ${name}`)
    deleted.push(value)
  }
  return answer(name, ctx.test && deleted.length > 0 ? null : true, comments.join('\n'), deleted.length > 0 ? { deleted } : {})
}
