/**
 * The jobs of the schedule: those of the configuration and of `schedule.add`, and those of the pillar. `manage` is what Salt's schedule module asks
 * of the minion by events on its bus; the answers' fields are those of Salt's answering events.
 */
import { dumpYaml } from '../../shared/yaml.js'
import { answered, type BookLog, keptIn } from '../book.js'
import { writeDurably } from '../disk.js'
import { CommandExecutionError } from '../modules/errors.js'
import { isMapping, type Mapping } from '../modules/values.js'
import { type Entry, SWITCHES } from './entry.js'

export interface BookOptions {
  /** Jobs of the configuration. */
  readonly config: Readonly<Record<string, unknown>>
  /** Where changed jobs are kept (`_schedule.conf`, as a minion.d of Salt's has it). */
  readonly file: string
  /** Jobs of the minion itself, which nobody may change. Their names begin with `__`. */
  readonly own?: Readonly<Record<string, Entry>>
  /** Tells the minion's bus. */
  readonly fire?: (tag: string, data: Mapping) => void
}

/** What only a running scheduler can do. */
export interface Runner {
  run(name: string): void
  nextFireTime(name: string): number | null
  status(name: string): Mapping
  skip(name: string, at: string): void
  postpone(name: string, from: string, to: string): void
}

/** Tags of the answers, by function. */
const ANSWERS: Readonly<Record<string, string>> = {
  list: 'minion_schedule_list_complete',
  add: 'minion_schedule_add_complete',
  modify: 'minion_schedule_modify_complete',
  delete: 'minion_schedule_delete_complete',
  enable: 'minion_schedule_enabled_complete',
  disable: 'minion_schedule_disabled_complete',
  enable_job: 'minion_schedule_enabled_job_complete',
  disable_job: 'minion_schedule_disabled_job_complete',
  save_schedule: 'minion_schedule_saved',
  reload: 'minion_schedule_reload_complete',
  run_job: 'minion_schedule_run_job_complete',
  skip_job: 'minion_schedule_skip_job_complete',
  postpone_job: 'minion_schedule_postpone_job_complete',
  get_next_fire_time: 'minion_schedule_next_fire_time_complete',
  job_status: 'minion_schedule_job_status_complete'
}

/** Jobs at most: each is looked at whenever one is due. */
const MAX_JOBS = 1000

export class ScheduleBook {
  readonly #o: BookOptions
  #jobs: Record<string, Entry> = {}
  #pillar: Record<string, Entry> = {}
  #pillarSource = ''
  #enabled = true
  #skipDuringRange: unknown = undefined
  #runner: Runner | null = null
  #changed: () => void = () => {}

  constructor(options: BookOptions) {
    this.#o = options
    this.#take(options.config)
  }

  /** With what was kept of changes. A broken file is told and passed over. */
  async load(log?: BookLog): Promise<this> {
    const kept = await keptIn(this.#o.file, 'schedule', log)
    if (kept !== null) this.#take(kept)
    return this
  }

  /** The scheduler joins: it runs jobs, and is told of every change. */
  attach(runner: Runner, changed: () => void): void {
    this.#runner = runner
    this.#changed = changed
  }

  /** The schedule as a whole is switched on. */
  get enabled(): boolean {
    return this.#enabled
  }

  get skipDuringRange(): unknown {
    return this.#skipDuringRange
  }

  /** All jobs, those of the configuration over those of the pillar. */
  jobs(): Record<string, Entry> {
    return { ...this.#o.own, ...this.#pillar, ...this.#jobs }
  }

  /** The pillar's `schedule`, as it is now. Unchanged, what was switched meanwhile stays. */
  setPillar(schedule: unknown): void {
    const source = JSON.stringify(schedule ?? {})
    if (source === this.#pillarSource) return
    this.#pillarSource = source
    this.#pillar = isMapping(schedule) ? jobsOf(schedule) : {}
    this.#changed()
  }

  /** The configuration was read anew: its jobs take the place of those that it had, changed ones stay. */
  setConfig(before: Readonly<Record<string, unknown>>, now: Readonly<Record<string, unknown>>): void {
    for (const [name, entry] of Object.entries(jobsOf(before))) {
      if (!(name in now) && JSON.stringify(this.#jobs[name]) === JSON.stringify(entry)) delete this.#jobs[name]
    }
    this.#take(now)
    this.#changed()
  }

  /** Does what a function of the schedule module asks. `pillar`: as it is now, where it is known. Throws CommandExecutionError. */
  async manage(func: string, args: Mapping, pillar: Mapping | null = null): Promise<Mapping> {
    if (pillar !== null) this.setPillar(pillar.schedule)
    return answered({ name: 'schedule', func, args, answers: ANSWERS, fire: this.#o.fire }, () => this.#perform(func, args))
  }

  async #perform(func: string, args: Mapping): Promise<Mapping> {
    const name = String(args.name ?? '')
    switch (func) {
      case 'list':
        return { schedule: this.#listed(args.where) }
      case 'add':
      case 'modify':
        this.#put(name, args.schedule as Entry, args.where)
        break
      case 'delete':
        delete this.#jobs[name]
        delete this.#pillar[name]
        break
      case 'enable':
      case 'disable':
        this.#enabled = func === 'enable'
        break
      case 'enable_job':
      case 'disable_job':
        if (!(name in this.jobs())) throw new CommandExecutionError(`Job ${name} does not exist.`)
        this.#put(name, { ...this.jobs()[name], enabled: func === 'enable_job' }, args.where)
        break
      case 'reload':
        this.#take(this.#o.config)
        await this.load()
        break
      case 'save_schedule':
        await this.#save()
        return {}
      default:
        return this.#run(func, name, args)
    }
    if (args.persist !== false) await this.#save()
    this.#changed()
    return { schedule: this.#listed(undefined) }
  }

  #run(func: string, name: string, args: Mapping): Mapping {
    const runner = this.#runner
    if (runner === null) throw new CommandExecutionError('no minion runs here that could do this')
    if (func === 'get_next_fire_time') return { next_fire_time: runner.nextFireTime(name) }
    if (func === 'job_status') return { data: runner.status(name) }
    if (func === 'run_job') runner.run(name)
    else if (func === 'skip_job') runner.skip(name, String(args.time))
    else runner.postpone(name, String(args.time), String(args.new_time))
    return { schedule: this.#listed(undefined) }
  }

  #put(name: string, entry: Entry, where: unknown): void {
    const into = where === 'pillar' || (!(name in this.#jobs) && name in this.#pillar) ? this.#pillar : this.#jobs
    if (!(name in into) && Object.keys(this.jobs()).length >= MAX_JOBS) {
      throw new CommandExecutionError(`the schedule has ${MAX_JOBS} jobs already`)
    }
    into[name] = entry
  }

  #listed(where: unknown): Mapping {
    const jobs = where === 'pillar' ? this.#pillar : where === 'opts' ? this.#jobs : this.jobs()
    return { enabled: this.#enabled, ...structuredClone(jobs) }
  }

  #take(schedule: Readonly<Record<string, unknown>>): void {
    if (typeof schedule.enabled === 'boolean') this.#enabled = schedule.enabled
    if (schedule.skip_during_range !== undefined) this.#skipDuringRange = schedule.skip_during_range
    this.#jobs = { ...this.#jobs, ...jobsOf(schedule) }
  }

  async #save(): Promise<void> {
    await writeDurably(this.#o.file, dumpYaml({ schedule: { enabled: this.#enabled, ...this.#jobs } }))
  }
}

function jobsOf(schedule: Readonly<Record<string, unknown>>): Record<string, Entry> {
  const jobs = Object.entries(schedule).filter(([name, entry]) => !SWITCHES.has(name) && isMapping(entry))
  return structuredClone(Object.fromEntries(jobs)) as Record<string, Entry>
}
