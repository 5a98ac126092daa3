import { brineError } from '../errors.js'
import { connect, type RemoteOptions } from './client.js'
import type { Exit } from './exit.js'
import { type Format, format, table } from './output.js'
import type { Terminal } from './terminal.js'

interface JobOptions extends RemoteOptions {
  readonly out?: Format
}

interface ListOptions extends JobOptions {
  readonly fun?: readonly string[]
  readonly target?: readonly string[]
  readonly since?: string
  readonly limit: string
}

interface Listed {
  readonly Function: string | readonly string[]
  readonly Target: unknown
  readonly User: string
  readonly StartTime: string
}

interface Job extends Listed {
  readonly jid: string
  readonly Minions?: readonly string[]
  readonly Result: Readonly<Record<string, { readonly return: unknown; readonly retcode?: number; readonly success?: boolean }>>
  readonly Error?: string
}

/** `brine job list`: one line for each, with its id to go on with. */
export async function list(terminal: Terminal, options: ListOptions): Promise<Exit> {
  const { fun, target, since } = options
  const limit = Number(options.limit)
  const found = await runner<Record<string, Listed>>(terminal, options, 'jobs.list_jobs', {
    limit,
    ...(fun === undefined ? {} : { search_function: fun }),
    ...(target === undefined ? {} : { search_target: target }),
    ...(since === undefined ? {} : { start_time: since })
  })
  const newest = Object.entries(found)
    .sort(([a], [b]) => (a < b ? 1 : -1))
    .slice(0, limit)
  if (options.out !== undefined) terminal.out(format(Object.fromEntries(newest), options.out))
  else {
    const rows = newest.map(([jid, job]) => [jid, job.StartTime, job.User, text(job.Target), text(job.Function)])
    terminal.out(table(['JID', 'STARTED', 'USER', 'TARGET', 'FUNCTION'], rows))
  }
  return 'ok'
}

/** `brine job show JID`: fails when a minion failed or has not returned. */
export async function show(terminal: Terminal, jid: string, options: JobOptions): Promise<Exit> {
  const job = await find(terminal, jid, options)
  const missing = (job.Minions ?? []).filter(id => !Object.hasOwn(job.Result, id))
  if (options.out !== undefined) terminal.out(format(job, options.out))
  else {
    terminal.out(`${jid}  ${text(job.Function)}  on ${text(job.Target)}  by ${job.User}  ${job.StartTime}\n`)
    terminal.out(format(Object.fromEntries(Object.entries(job.Result).map(([id, { return: value }]) => [id, value])), 'nested'))
    if (missing.length > 0) terminal.out(`no return from: ${missing.join(', ')}\n`)
  }
  const failed = Object.values(job.Result).some(({ retcode, success }) => (retcode ?? 0) !== 0 || success === false)
  return failed || missing.length > 0 ? 'failed' : 'ok'
}

/** `brine job active`. */
export async function active(terminal: Terminal, options: JobOptions): Promise<Exit> {
  terminal.out(format(await runner(terminal, options, 'jobs.active', {}), options.out ?? 'nested'))
  return 'ok'
}

/** `brine job kill JID`: fails when no minion ran it any more. */
export async function kill(terminal: Terminal, jid: string, options: JobOptions & { readonly term?: boolean }): Promise<Exit> {
  const job = await find(terminal, jid, options)
  const fun = options.term ? 'saltutil.term_job' : 'saltutil.kill_job'
  const chunk = { client: 'local', tgt: job.Minions ?? [], tgt_type: 'list', fun, arg: [jid] }
  const answers = (await connect(terminal, options).run(chunk, terminal.interrupted())) as Record<string, unknown>
  terminal.out(format(answers, options.out ?? 'nested'))
  return Object.values(answers).some(answer => typeof answer === 'string' && answer.startsWith('Signal ')) ? 'ok' : 'failed'
}

async function find(terminal: Terminal, jid: string, options: JobOptions): Promise<Job> {
  const job = await runner<Job>(terminal, options, 'jobs.list_job', { jid })
  if (job.Error !== undefined) throw brineError('NOT_FOUND', `job ${jid}`)
  return job
}

async function runner<T = unknown>(terminal: Terminal, options: JobOptions, fun: string, kwarg: Record<string, unknown>): Promise<T> {
  return (await connect(terminal, options).run({ client: 'runner', fun, kwarg }, terminal.interrupted())) as T
}

function text(value: unknown): string {
  return Array.isArray(value) ? value.join(',') : String(value)
}
