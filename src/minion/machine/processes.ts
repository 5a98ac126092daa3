/** Processes as /proc has them, in the shapes of psutil. */
import { nameOfId } from '../users.js'
import { TICKS_PER_SECOND } from './memory.js'
import { type Source, words } from './source.js'

/** One line of /proc/PID/stat, as far as it is used here. Times in seconds. */
export interface ProcessStat {
  readonly pid: number
  readonly name: string
  readonly status: string
  readonly ppid: number
  readonly terminal: number
  readonly cpu: CpuUse
  readonly nice: number
  readonly threads: number
  /** Seconds since the machine started. */
  readonly startedAfterBoot: number
}

export interface CpuUse {
  readonly user: number
  readonly system: number
  readonly children_user: number
  readonly children_system: number
  readonly iowait: number
}

/** The kernel's letters in psutil's words. */
const STATES: Readonly<Record<string, string>> = {
  ...{ R: 'running', S: 'sleeping', D: 'disk-sleep', T: 'stopped', t: 'tracing-stop', Z: 'zombie', X: 'dead', x: 'dead' },
  ...{ K: 'wake-kill', W: 'waking', I: 'idle', P: 'parked' }
}

/** Ids of all processes, smallest first. */
export async function processIds(source: Source): Promise<number[]> {
  const names = await source.names('/proc')
  return names
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b)
}

/** Null when there is no such process (any more). */
export async function processStat(source: Source, pid: number): Promise<ProcessStat | null> {
  const line = await source.text(`/proc/${pid}/stat`)
  // The name is in parentheses and may have any characters, also these.
  const match = line === null ? null : /^\d+ \(([\s\S]*)\) (\S) ([\s\S]*)$/.exec(line.trim())
  if (!match) return null
  const fields = words(match[3]!).map(Number)
  // proc_pid_stat(5) counts from 1, and ppid is its 4th field.
  const field = (number: number) => fields[number - 4] ?? 0
  const seconds = (number: number) => field(number) / TICKS_PER_SECOND
  return {
    ...{ pid, name: match[1]!, status: STATES[match[2]!] ?? '?', ppid: field(4), terminal: field(7), nice: field(19), threads: field(20) },
    cpu: { user: seconds(14), system: seconds(15), children_user: seconds(16), children_system: seconds(17), iowait: seconds(42) },
    startedAfterBoot: seconds(22)
  }
}

/** The words of the command line; none for the kernel's own threads. */
export async function commandLine(source: Source, pid: number): Promise<string[]> {
  const text = (await source.text(`/proc/${pid}/cmdline`)) ?? ''
  if (text === '') return []
  // Programs that rewrite their title leave one text with blanks.
  const parts = text.replace(/\0+$/, '').split('\0')
  return parts.length === 1 ? parts[0]!.split(' ').filter(word => word !== '') : parts
}

/** The name, whole: the kernel cuts it after 15 characters. */
export function fullName(stat: Pick<ProcessStat, 'name'>, line: readonly string[]): string {
  const program = line[0]?.split('/').at(-1) ?? ''
  return stat.name.length >= 15 && program.startsWith(stat.name) ? program : stat.name
}

/** Fields of /proc/PID/status: `Uid` → its words. */
export async function processStatus(source: Source, pid: number): Promise<Record<string, string[]>> {
  const lines = await source.lines(`/proc/${pid}/status`)
  return Object.fromEntries(
    lines.map(line => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon), words(line.slice(colon + 1))]
    })
  )
}

export interface MemoryUse {
  readonly rss: number
  readonly vms: number
  readonly shared: number
  readonly text: number
  readonly lib: number
  readonly data: number
  readonly dirty: number
}

/** psutil's memory_info in bytes. */
export async function memoryUse(source: Source, pid: number): Promise<MemoryUse> {
  const pages = words((await source.text(`/proc/${pid}/statm`)) ?? '').map(Number)
  const size = await pageSize(source)
  const of = (index: number) => (pages[index] || 0) * size
  return { rss: of(1), vms: of(0), shared: of(2), text: of(3), lib: of(4), data: of(5), dirty: of(6) }
}

const PAGE_SIZES = new WeakMap<Source, Promise<number>>()

function pageSize(source: Source): Promise<number> {
  const known = PAGE_SIZES.get(source) ?? readPageSize(source)
  PAGE_SIZES.set(source, known)
  return known
}

async function readPageSize(source: Source): Promise<number> {
  const found = /^KernelPageSize:\s+(\d+) kB/m.exec((await source.text('/proc/self/smaps')) ?? '')
  return found ? Number(found[1]) * 1024 : 4096
}

/** Names of user ids, each asked for once. */
class UserNames {
  readonly #known = new Map<string, Promise<string>>()

  of(uid: string): Promise<string> {
    const name = this.#known.get(uid) ?? nameOfId('passwd', Number(uid))
    this.#known.set(uid, name)
    return name
  }
}

export interface Listed {
  readonly pid: number
  readonly stat: ProcessStat
  readonly line: readonly string[]
  readonly user: string
}

/** All processes with what lists show of them. Those that end meanwhile are left out. */
export async function listProcesses(source: Source): Promise<Listed[]> {
  const users = new UserNames()
  const found = await Promise.all((await processIds(source)).map(pid => listed(source, pid, users)))
  return found.filter(each => each !== null)
}

async function listed(source: Source, pid: number, users: UserNames): Promise<Listed | null> {
  const [stat, line, status] = await Promise.all([processStat(source, pid), commandLine(source, pid), processStatus(source, pid)])
  const uid = status.Uid?.[0]
  return stat === null || uid === undefined ? null : { pid, stat, line, user: await users.of(uid) }
}
