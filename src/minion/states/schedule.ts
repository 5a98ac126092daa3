import { callFunction } from '../invoke.js'
import { flag, isMapping, type Mapping, text } from '../modules/values.js'
import { type StateContext, type StateModule, type StateResult, stateFn } from './state.js'

/** Salt's `schedule` states, over the functions of the `schedule` module. */
export const schedule: StateModule = {
  name: 'schedule',
  functions: [
    stateFn('present(name, **kwargs)', 'Adds a job to the schedule, or changes it. Parameters as in schedule.add.', present),
    stateFn('absent(name, **kwargs)', 'Removes a job from the schedule.', (ctx, a) =>
      withJob(ctx, a, 'delete', 'Removed job %s from schedule')
    ),
    stateFn('enabled(name, **kwargs)', 'Enables a job of the schedule.', (ctx, a) => switched(ctx, a, true)),
    stateFn('disabled(name, **kwargs)', 'Disables a job of the schedule.', (ctx, a) => switched(ctx, a, false))
  ]
}

function answer(name: string, result: boolean | null, comment: string, changes: Mapping = {}): StateResult {
  return { name, changes, result, comment }
}

interface Done {
  readonly result: boolean
  readonly comment: string
  readonly changes: Mapping
}

/** A function of the `schedule` module that changes it. */
async function change(ctx: StateContext, fun: string, name: string, kwargs: Mapping): Promise<Done> {
  const done = await callFunction(ctx, `schedule.${fun}`, [name], kwargs)
  const { result, comment, changes } = isMapping(done) ? done : {}
  return { result: result === true, comment: [comment].flat().map(String).join('\n'), changes: isMapping(changes) ? changes : {} }
}

async function jobs(ctx: StateContext): Promise<Mapping> {
  const listed = await callFunction(ctx, 'schedule.list', [], { show_all: true, return_yaml: false })
  if (!isMapping(listed)) return {}
  return isMapping(listed.schedule) && Object.keys(listed).length === 1 ? listed.schedule : listed
}

function argumentsOf({ kwargs }: Mapping): Mapping {
  return isMapping(kwargs) ? kwargs : {}
}

async function present(ctx: StateContext, a: Mapping): Promise<StateResult> {
  const name = text(a.name, 'name')
  const kwargs = argumentsOf(a)
  const there = Object.hasOwn(await jobs(ctx), name)
  const fun = there ? 'modify' : 'add'
  const planned = await change(ctx, fun, name, { ...kwargs, test: true })
  // A job that is as it should be is one whose modification would change nothing.
  if (there && planned.result && Object.keys(planned.changes).length === 0) return answer(name, true, `Job ${name} in correct state`)
  if (ctx.test) return answer(name, null, planned.comment, Object.keys(planned.changes).length > 0 ? planned.changes : { [name]: 'added' })
  const done = await change(ctx, fun, name, kwargs)
  if (!done.result) return answer(name, false, done.comment, done.changes)
  return answer(name, true, there ? `Modifying job ${name} in schedule` : `Adding new job ${name} to schedule`, done.changes)
}

async function withJob(ctx: StateContext, a: Mapping, fun: string, said: string): Promise<StateResult> {
  const name = text(a.name, 'name')
  if (!Object.hasOwn(await jobs(ctx), name)) return answer(name, true, `Job ${name} not present in schedule`)
  const kwargs = argumentsOf(a)
  const done = await change(ctx, fun, name, ctx.test ? { ...kwargs, test: true } : kwargs)
  const changes =
    Object.keys(done.changes).length > 0 ? done.changes : { [name]: fun === 'delete' ? 'removed' : `${fun.replace('_job', '')}d` }
  if (ctx.test) return answer(name, null, done.comment, changes)
  return answer(name, done.result, done.result ? said.replace('%s', name) : done.comment, done.result ? changes : {})
}

async function switched(ctx: StateContext, a: Mapping, on: boolean): Promise<StateResult> {
  const name = text(a.name, 'name')
  const job = (await jobs(ctx))[name]
  const [verb, fun] = on ? ['Enabled', 'enable_job'] : ['Disabled', 'disable_job']
  if (isMapping(job) && flag(job.enabled ?? true) === on) return answer(name, true, `Job ${name} in correct state`)
  const result = await withJob(ctx, a, fun!, `${verb} job %s from schedule`)
  return result.comment === `Job ${name} not present in schedule` ? { ...result, result: false } : result
}
