import { isMapping, type Mapping, setOwn, text } from '../../modules/values.js'
import { type Accumulator, type StateContext, stateFn } from '../state.js'
import { answer } from './place.js'

export const accumulated = stateFn(
  'accumulated(name, filename, text, **kwargs)',
  `Gathers texts for a file that a later file.managed (its template sees them as accumulator[name]) or file.blockreplace writes. It must name that
state in require_in or watch_in.`,
  (ctx, a) => {
    const name = text(a.name, 'name')
    if (name === '') return answer(name, false, 'Must provide name to file.accumulated')
    if (a.text === null) return answer(name, false, 'No text supplied for accumulator')
    const targets = [ctx.low.require_in, ctx.low.watch_in].flat().filter(isMapping)
    if (!targets.some(target => Object.hasOwn(target, 'file')))
      return answer(name, false, `Orphaned accumulator ${name} in ${ctx.low.__sls__}:${ctx.low.__id__}`)
    const file = text(a.filename, 'filename')
    const all = ctx.accumulators.get(file) ?? new Map<string, Accumulator>()
    ctx.accumulators.set(file, all)
    const one = all.get(name) ?? { texts: [], targets: new Set<string>() }
    all.set(name, one)
    for (const target of targets) for (const id of Object.values(target)) one.targets.add(String(id))
    const fresh = [a.text].flat().filter(chunk => !one.texts.includes(chunk))
    one.texts.push(...fresh)
    return answer(name, true, fresh.length > 0 ? `Accumulator ${name} for file ${file} was charged by text` : '')
  }
)

/** What has been gathered for a file by the states that name this one; without such, all of it. */
export function accumulatedFor(ctx: StateContext, file: string): Record<string, unknown[]> {
  const all = [...(ctx.accumulators.get(file) ?? [])]
  const meant = all.filter(([, { targets }]) => targets.has(ctx.low.__id__))
  const found: Mapping = {}
  for (const [name, { texts }] of meant.length > 0 ? meant : all) setOwn(found, name, texts)
  return found as Record<string, unknown[]>
}
