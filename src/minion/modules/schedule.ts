import { dumpYaml } from '../../shared/yaml.js'
import type { ModuleContext } from '../context.js'
import { buildEntry, type Entry, isRefused, SHOWN, SWITCHES, shownEntry, timeConflict } from '../schedule/entry.js'
import { localTime } from '../schedule/times.js'
import { doc, fn, type Module, type ModuleFunction } from './module.js'
import { flag, isMapping, type Mapping, setOwn, text, textOrNull } from './values.js'

/** Salt's `schedule` module. Answers: golden/api/gui.json (schedule-*), golden/events/schedule_jobs.jsonl. */
export const schedule: Module = {
  name: 'schedule',
  functions: [
    fn(
      'list_(show_all=False, show_disabled=True, where=None, return_yaml=True, offline=False)',
      doc('Lists the jobs of the schedule, as YAML text or (return_yaml=False) as a mapping. where: opts or pillar.', 'schedule.list'),
      list
    ),
    change(
      'add(name, **kwargs)',
      'Adds a job.',
      "schedule.add job1 function='cmd.run' job_args=\"['date >> /tmp/date.log']\" seconds=60",
      add
    ),
    change('modify(name, **kwargs)', 'Modifies a job.', "schedule.modify job1 function='cmd.run' seconds=3600", modify),
    change('delete(name, **kwargs)', 'Deletes a job.', 'schedule.delete job1', remove),
    change('purge(**kwargs)', 'Deletes all jobs.', 'schedule.purge', purge),
    change('enable_job(name, **kwargs)', 'Enables a job.', 'schedule.enable_job job1', (ctx, a) => switchJob(ctx, a, true)),
    change('disable_job(name, **kwargs)', 'Disables a job.', 'schedule.disable_job job1', (ctx, a) => switchJob(ctx, a, false)),
    change('enable(**kwargs)', 'Enables the schedule.', 'schedule.enable', (ctx, a) => switchAll(ctx, a, true)),
    change('disable(**kwargs)', 'Disables the schedule.', 'schedule.disable', (ctx, a) => switchAll(ctx, a, false)),
    change('run_job(name, force=False)', 'Runs a job now; one that is disabled with force=True.', 'schedule.run_job job1', runJob),
    change('save(**kwargs)', 'Writes the schedule to the disk.', 'schedule.save', save),
    change('reload_()', 'Reads the schedule from the disk.', 'schedule.reload', reload),
    change('skip_job(name, current_time, **kwargs)', 'Leaves one run out.', "schedule.skip_job job '2026-11-22T17:00:00'", skipJob),
    change(
      'postpone_job(name, current_time, new_time, **kwargs)',
      'Runs a job at another time.',
      "schedule.postpone_job job '2026-11-22T17:00:00' '2026-11-22T18:00:00'",
      postponeJob
    ),
    fn(
      'is_enabled(name=None)',
      doc('Returns whether the schedule is enabled, or the job of that name.', 'schedule.is_enabled name=job1'),
      isEnabled
    ),
    fn(
      "show_next_fire_time(name, fmt='%Y-%m-%dT%H:%M:%S', **kwargs)",
      doc('Returns when a job runs next.', 'schedule.show_next_fire_time job1'),
      nextFireTime
    ),
    fn('job_status(name, time_fmt=None)', doc('Returns what is known of a job.', 'schedule.job_status job1'), jobStatus),
    fn(
      'build_schedule_item(name, **kwargs)',
      doc('Returns a job as schedule.add makes it.', 'schedule.build_schedule_item job1 function=test.ping'),
      (_ctx, a) => buildEntry(text(a.name, 'name'), keywords(a))
    )
  ]
}

function change(signature: string, says: string, example: string, run: ModuleFunction['run']): ModuleFunction {
  return fn(signature, doc(says, example), run)
}

/** Without the fields of the job that asks. */
function keywords(a: Mapping): Mapping {
  return Object.fromEntries(Object.entries((a.kwargs ?? {}) as Mapping).filter(([key]) => !key.startsWith('__')))
}

async function jobs(ctx: ModuleContext, where: string | null = null): Promise<Record<string, Entry>> {
  const { schedule: listed } = await ctx.agent.schedule('list', { where })
  return Object.fromEntries(Object.entries(listed as Mapping).filter(([name]) => !SWITCHES.has(name))) as Record<string, Entry>
}

/** `saved: true` stands in the YAML form alone, as recorded. */
async function list(ctx: ModuleContext, a: Mapping): Promise<unknown> {
  const where = textOrNull(a.where, 'where')
  const { schedule: listed } = await ctx.agent.schedule('list', { where })
  const shown: Mapping = {}
  const yaml = flag(a.return_yaml)
  const kept = yaml ? await jobs(ctx, 'opts') : {}
  for (const [name, entry] of Object.entries(listed as Mapping)) {
    if (!isMapping(entry)) setOwn(shown, name, entry)
    else if ((flag(a.show_all) || !name.startsWith('__')) && (flag(a.show_disabled) || entry.enabled !== false)) {
      setOwn(shown, name, { ...shownEntry(entry), ...(yaml ? { saved: name in kept } : {}) })
    }
  }
  return yaml ? dumpYaml({ schedule: shown }) : shown
}

interface Answer extends Mapping {
  comment: unknown
  result: boolean
  changes: Mapping
}

function answer(comment: string, result: boolean, changes: Mapping = {}): Answer {
  return { comment, result, changes }
}

async function add(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const [name, given] = [text(a.name, 'name'), keywords(a)]
  if (name in (await jobs(ctx))) return answer(`Job ${name} already exists in schedule.`, false)
  const built = buildEntry(name, given)
  if (isRefused(built)) return answer(built.comment, false)
  if (flag(given.test)) return answer(`Job: ${name} would be added to schedule.`, true, { [name]: 'added' })
  await ctx.agent.schedule('add', { name, schedule: built, persist: given.persist ?? true })
  return answer(`Added job: ${name} to schedule.`, true, { [name]: 'added' })
}

async function modify(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const [name, given] = [text(a.name, 'name'), keywords(a)]
  const reply = (comment: string, result: boolean, changes: Mapping = {}) => ({ comment, changes, result })
  const conflict = timeConflict(given)
  if (conflict !== null) return reply(conflict, false)
  const current = (await jobs(ctx))[name]
  if (!current) return reply(`Job ${name} does not exist in schedule.`, false)
  const { test, persist, job_args, job_kwargs, ...options } = given
  const known = Object.entries(options).filter(([option]) => SHOWN.has(option))
  const [old, entry] = [shownEntry(current), { ...shownEntry(current), ...Object.fromEntries(known) } as Entry]
  if (job_args !== undefined) entry.args = job_args
  if (job_kwargs !== undefined) entry.kwargs = job_kwargs
  if (JSON.stringify(old) === JSON.stringify(entry)) return reply(`Job ${name} in correct state`, true)
  const changes = { [name]: { old, new: entry } }
  if (flag(test)) return reply(`Job: ${name} would be modified in schedule.`, true, changes)
  await ctx.agent.schedule('modify', { name, schedule: entry, persist: persist ?? true })
  return reply(`Modified job: ${name} in schedule.`, true, changes)
}

async function remove(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const [name, { test, persist }] = [text(a.name, 'name'), keywords(a)]
  if (name === '') return answer('Job name is required.', false)
  if (!(name in (await jobs(ctx)))) return answer(`Job ${name} does not exist.`, false)
  if (flag(test)) return answer(`Job: ${name} would be deleted from schedule.`, true)
  await ctx.agent.schedule('delete', { name, persist: persist ?? true })
  return answer(`Deleted Job ${name} from schedule.`, true, { [name]: 'removed' })
}

async function purge(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const { test, persist } = keywords(a)
  const names = Object.keys(await jobs(ctx)).filter(name => !name.startsWith('__'))
  const says = (name: string) => (flag(test) ? `Job: ${name} would be deleted from schedule.` : `Deleted job: ${name} from schedule.`)
  if (!flag(test)) for (const name of names) await ctx.agent.schedule('delete', { name, persist: persist ?? true })
  return { comment: names.map(says), changes: Object.fromEntries(names.map(name => [name, 'removed'])), result: true }
}

async function switchJob(ctx: ModuleContext, a: Mapping, on: boolean): Promise<Mapping> {
  const [name, { test, persist }] = [text(a.name, 'name'), keywords(a)]
  const word = on ? 'enabled' : 'disabled'
  if (name === '') return answer('Job name is required.', false)
  if (!(name in (await jobs(ctx)))) return answer(`Job ${name} does not exist.`, false)
  if (flag(test)) return answer(`Job: ${name} would be ${word} in schedule.`, true)
  await ctx.agent.schedule(on ? 'enable_job' : 'disable_job', { name, persist: persist ?? true })
  return answer(`${on ? 'Enabled' : 'Disabled'} Job ${name} in schedule.`, true, { [name]: word })
}

async function switchAll(ctx: ModuleContext, a: Mapping, on: boolean): Promise<Mapping> {
  const word = on ? 'enabled' : 'disabled'
  if (flag(keywords(a).test)) return { comment: `Schedule would be ${word}.`, changes: {}, result: true }
  await ctx.agent.schedule(on ? 'enable' : 'disable', { persist: keywords(a).persist ?? true })
  return { comment: `${on ? 'Enabled' : 'Disabled'} schedule on minion.`, changes: { schedule: word }, result: true }
}

async function runJob(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const name = text(a.name, 'name')
  const entry = (await jobs(ctx))[name]
  if (name === '') return { comment: 'Job name is required.', result: false }
  if (!entry) return { comment: `Job ${name} does not exist.`, result: false }
  if (entry.enabled === false && !flag(a.force)) return { comment: `Job ${name} is disabled.`, result: false }
  await ctx.agent.schedule('run_job', { name })
  return { comment: `Scheduling Job ${name} on minion.`, result: true }
}

async function save(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  if (flag(keywords(a).test)) return { comment: 'Schedule would be saved.', result: true }
  await ctx.agent.schedule('save_schedule', {})
  return { comment: 'Schedule (non-pillar items) saved.', result: true }
}

async function reload(ctx: ModuleContext): Promise<Mapping> {
  await ctx.agent.schedule('reload', { persist: false })
  return { comment: ['Reloaded schedule on minion.'], result: true }
}

async function skipJob(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const [name, at] = [text(a.name, 'name'), textOrNull(a.current_time, 'current_time')]
  if (name === '') return answer('Job name is required.', false)
  if (!at) return answer('Job time is required.', false)
  if (!(name in (await jobs(ctx)))) return answer(`Job ${name} does not exist.`, false)
  if (flag(keywords(a).test)) return answer(`Job: ${name} would be skipped in schedule.`, true)
  await ctx.agent.schedule('skip_job', { name, time: at })
  return answer(`Added Skip Job ${name} in schedule.`, true, { [name]: `Added Skip Job ${name} in schedule.` })
}

async function postponeJob(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const [name, from, to] = [text(a.name, 'name'), textOrNull(a.current_time, 'current_time'), textOrNull(a.new_time, 'new_time')]
  if (name === '') return answer('Job name is required.', false)
  if (!from) return answer('Job current time is required.', false)
  if (!to) return answer('Job new_time is required.', false)
  if (!(name in (await jobs(ctx)))) return answer(`Job ${name} does not exist.`, false)
  if (flag(keywords(a).test)) return answer(`Job: ${name} would be postponed in schedule.`, true)
  await ctx.agent.schedule('postpone_job', { name, time: from, new_time: to })
  return answer(`Postponed Job ${name} in schedule.`, true, { [name]: `Postponed Job ${name} in schedule.` })
}

async function isEnabled(ctx: ModuleContext, { name }: Mapping): Promise<unknown> {
  const { schedule: listed } = await ctx.agent.schedule('list', { where: null })
  if (name === null || name === '') return (listed as Mapping).enabled ?? true
  const entry = (listed as Mapping)[text(name, 'name')]
  return isMapping(entry) ? shownEntry(entry) : {}
}

async function nextFireTime(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const name = text(a.name, 'name')
  if (!(name in (await jobs(ctx)))) return { comment: `Job ${name} does not exist.`, result: false }
  const { next_fire_time: next } = await ctx.agent.schedule('get_next_fire_time', { name })
  return typeof next === 'number'
    ? { comment: '', result: true, next_fire_time: localTime(next) }
    : { comment: 'next fire time not available.', result: true }
}

async function jobStatus(ctx: ModuleContext, { name }: Mapping): Promise<unknown> {
  return (await ctx.agent.schedule('job_status', { name: text(name, 'name') })).data ?? {}
}
