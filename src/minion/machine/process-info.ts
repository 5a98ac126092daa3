/** Everything about one process, in the shape of psutil's `as_dict`: tuples as lists. */
import { CommandExecutionError } from '../modules/errors.js'
import { nameOfId } from '../users.js'
import { bootTime, cpuTimes, virtualMemory } from './memory.js'
import { commandLine, fullName, memoryUse, type ProcessStat, processStat, processStatus } from './processes.js'
import { rounded, type Source, words } from './source.js'

/** Only where they are named: the environment holds passwords and tokens, and what a function returns stands in the event log. */
const SECRET: ReadonlySet<string> = new Set(['environ'])

interface Process {
  readonly source: Source
  readonly pid: number
  readonly stat: ProcessStat
  readonly line: readonly string[]
  readonly status: Readonly<Record<string, string[]>>
}

type Attribute = (process: Process) => unknown

const ids =
  (field: string): Attribute =>
  ({ status }) =>
    (status[field] ?? []).slice(0, 3).map(Number)

/** psutil's names. What this user may not see is null, as psutil has it. */
const ATTRIBUTES: Readonly<Record<string, Attribute>> = {
  pid: ({ pid }) => pid,
  ppid: ({ stat }) => stat.ppid,
  name: ({ stat, line }) => fullName(stat, line),
  exe: ({ source, pid }) => source.link(`/proc/${pid}/exe`),
  cmdline: ({ line }) => line,
  cwd: ({ source, pid }) => source.link(`/proc/${pid}/cwd`),
  status: ({ stat }) => stat.status,
  username: ({ status }) => nameOfId('passwd', Number(status.Uid?.[0] ?? 0)),
  uids: ids('Uid'),
  gids: ids('Gid'),
  terminal: ({ stat }) => terminal(stat.terminal),
  nice: ({ stat }) => stat.nice,
  num_threads: ({ stat }) => stat.threads,
  num_fds: async ({ source, pid }) => (await source.names(`/proc/${pid}/fd`)).length,
  num_ctx_switches: ({ status }) => ['voluntary_ctxt_switches', 'nonvoluntary_ctxt_switches'].map(name => Number(status[name]?.[0] ?? 0)),
  cpu_times: ({ stat }) => Object.values(stat.cpu),
  cpu_num: async ({ source, pid }) => Number(words((await source.text(`/proc/${pid}/stat`))?.replace(/^[\s\S]*\) /, '') ?? '')[36] ?? 0),
  cpu_affinity: ({ status }) => processors(status.Cpus_allowed_list?.[0] ?? ''),
  cpu_percent: percentSinceStart,
  memory_info: async ({ source, pid }) => Object.values(await memoryUse(source, pid)),
  memory_percent: async ({ source, pid }) => rounded(((await memoryUse(source, pid)).rss / (await virtualMemory(source)).total!) * 100, 6),
  create_time: async ({ source, stat }) => (await bootTime(source)) + stat.startedAfterBoot,
  io_counters: ioCounters,
  environ: environment,
  open_files: openFiles
}

/**
 * @param attrs names of attributes; null: all of them but the environment
 * @throws CommandExecutionError when there is no such process, or attribute
 */
export async function processInfo(source: Source, pid: number, attrs: readonly string[] | null): Promise<Record<string, unknown>> {
  const unknown = attrs?.filter(name => !Object.hasOwn(ATTRIBUTES, name)) ?? []
  if (unknown.length > 0) throw new CommandExecutionError(`invalid attr name ${unknown.map(name => `'${name}'`).join(', ')}`)
  const [stat, line, status] = await Promise.all([processStat(source, pid), commandLine(source, pid), processStatus(source, pid)])
  if (stat === null) throw new CommandExecutionError(`process no longer exists (pid=${pid})`)
  const process: Process = { source, pid, stat, line, status }
  const names = attrs ?? Object.keys(ATTRIBUTES).filter(name => !SECRET.has(name))
  return Object.fromEntries(await Promise.all(names.map(async name => [name, await ATTRIBUTES[name]!(process)])))
}

/** Consoles and pseudo terminals by their device number; others have no name here. */
function terminal(device: number): string | null {
  const [major, minor] = [(device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00)]
  if (major >= 136 && major <= 143) return `/dev/pts/${(major - 136) * 256 + minor}`
  return major === 4 ? (minor < 64 ? `/dev/tty${minor}` : `/dev/ttyS${minor - 64}`) : null
}

/** `0-2,5` → [0, 1, 2, 5]. */
function processors(list: string): number[] {
  return list
    .split(',')
    .filter(part => part !== '')
    .flatMap(part => {
      const [from, to = from] = part.split('-').map(Number) as [number, number?]
      return Array.from({ length: to - from + 1 }, (_, i) => from + i)
    })
}

/** Of one processor, over the life of the process: psutil has nothing to compare its first reading with and says 0. */
async function percentSinceStart({ source, stat }: Process): Promise<number> {
  const uptime = Number(((await source.text('/proc/uptime')) ?? '0').split(' ')[0])
  const life = uptime - stat.startedAfterBoot
  const count = (await cpuTimes(source)).each.length || 1
  return life <= 0 ? 0 : rounded(Math.min(100 * count, ((stat.cpu.user + stat.cpu.system) / life) * 100))
}

/** read_count, write_count, read_bytes, write_bytes, read_chars, write_chars. */
async function ioCounters({ source, pid }: Process): Promise<number[] | null> {
  const found = Object.fromEntries((await source.lines(`/proc/${pid}/io`)).map(line => line.split(': ') as [string, string]))
  if (Object.keys(found).length === 0) return null
  return ['syscr', 'syscw', 'read_bytes', 'write_bytes', 'rchar', 'wchar'].map(name => Number(found[name] ?? 0))
}

async function environment({ source, pid }: Process): Promise<Record<string, string> | null> {
  const text = await source.text(`/proc/${pid}/environ`)
  if (text === null) return null
  const pairs = text.split('\0').filter(entry => entry.includes('='))
  return Object.fromEntries(pairs.map(entry => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]))
}

/** Regular files: path and descriptor. */
async function openFiles({ source, pid }: Process): Promise<[string, number][]> {
  const descriptors = await source.names(`/proc/${pid}/fd`)
  const targets = await Promise.all(descriptors.map(async fd => [await source.link(`/proc/${pid}/fd/${fd}`), Number(fd)] as const))
  return targets.flatMap(([path, fd]) => (path?.startsWith('/') && !path.startsWith('/dev/') ? [[path, fd] as [string, number]] : []))
}
