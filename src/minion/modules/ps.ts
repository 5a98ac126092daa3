import os from 'node:os'
import { setTimeout as wait } from 'node:timers/promises'
import { PythonRegex } from '../../shared/regex/index.js'
import type { ModuleContext } from '../context.js'
import { type DiskStats, diskStats, diskUsage, mounts, physicalTypes } from '../machine/disks.js'
import { localTime } from '../machine/local-time.js'
import { logins } from '../machine/logins.js'
import { bootTime, busyPercent, type CpuTimes, cpuTimes, swapMemory, virtualMemory } from '../machine/memory.js'
import { processInfo } from '../machine/process-info.js'
import { fullName, type Listed, listProcesses, memoryUse, processIds } from '../machine/processes.js'
import { Source, words } from '../machine/source.js'
import { CommandExecutionError, InvocationError } from './errors.js'
import { doc, fn, type Module } from './module.js'
import { runTool, toolFn } from './tool.js'
import { flag, type Mapping, number, text, textOrNull, texts } from './values.js'

/** Salt's `ps` module: what psutil tells, read from /proc. Sizes in bytes, times in seconds. */
export const ps: Module = psModule(new Source())

/** The same over recordings of /proc. */
export function psModule(source: Source): Module {
  return {
    name: 'ps',
    functions: [
      fn(
        'top(num_processes=5, interval=3)',
        doc('Returns the processes that used most of the processor during the interval (seconds).', 'ps.top 5 10'),
        (ctx, a) => top(ctx, source, number(a.num_processes, 'num_processes'), number(a.interval, 'interval')),
        { isolated: true }
      ),
      fn('get_pid_list()', doc('Returns the ids of all processes.', 'ps.get_pid_list'), () => processIds(source)),
      fn(
        'proc_info(pid, attrs=None)',
        doc(
          "Returns what there is to know about a process, or what attrs names (psutil's names; environ only so).",
          "ps.proc_info 2322 attrs='[pid, name]'"
        ),
        (_ctx, a) => processInfo(source, number(a.pid, 'pid'), a.attrs === null ? null : texts(a.attrs, 'attrs'))
      ),
      fn(
        'kill_pid(pid, signal=15)',
        doc('Sends a signal to a process; False when there is none.', 'ps.kill_pid 2000 signal=9'),
        (_ctx, a) => killPid(number(a.pid, 'pid'), signalOf(a.signal))
      ),
      fn(
        'pkill(pattern, user=None, signal=15, full=False)',
        doc(
          'Sends a signal to the processes whose name (full: whose command line) has this text; returns whom, or None.',
          'ps.pkill httpd signal=1'
        ),
        (_ctx, a) => pkill(source, a)
      ),
      fn(
        'pgrep(pattern, user=None, full=False, pattern_is_regex=False)',
        doc('Returns the ids of the processes whose name (full: whose command line) has this text, or None.', 'ps.pgrep httpd'),
        async (_ctx, a) => {
          const found = await matching(source, a)
          return found.length === 0 ? null : found.map(({ pid }) => pid)
        }
      ),
      fn(
        'cpu_percent(interval=0.1, per_cpu=False)',
        doc('Returns how busy the processors were during the interval, in percent.', 'ps.cpu_percent'),
        (ctx, a) => cpuPercent(ctx, source, number(a.interval, 'interval'), flag(a.per_cpu)),
        { isolated: true }
      ),
      fn(
        'cpu_times(per_cpu=False)',
        doc('Returns the seconds that the processors spent in each state.', 'ps.cpu_times'),
        async (_ctx, { per_cpu }) => {
          const { all, each } = await cpuTimes(source)
          return flag(per_cpu) ? each : all
        }
      ),
      fn('virtual_memory()', doc('Returns how memory is used.', 'ps.virtual_memory'), () => virtualMemory(source)),
      fn('swap_memory()', doc('Returns how swap space is used.', 'ps.swap_memory'), () => swapMemory(source)),
      fn(
        'disk_partitions(all=False)',
        doc('Returns the mounted file systems: those on devices, or all.', 'ps.disk_partitions'),
        (_ctx, a) => partitions(source, flag(a.all))
      ),
      fn('disk_usage(path)', doc('Returns total, used, free and percent of the file system at a path.', 'ps.disk_usage /home'), (_ctx, a) =>
        usageOf(source, text(a.path, 'path'))
      ),
      fn(
        'disk_partition_usage(all=False)',
        doc('Returns the mounted file systems with how full they are.', 'ps.disk_partition_usage'),
        async (_ctx, a) => {
          const found = await partitions(source, flag(a.all))
          return Promise.all(found.map(async each => ({ ...each, ...(await usageOf(source, each.mountpoint as string)) })))
        }
      ),
      fn(
        'total_physical_memory()',
        doc('Returns the bytes of memory.', 'ps.total_physical_memory'),
        async () => (await virtualMemory(source)).total
      ),
      fn(
        'num_cpus()',
        doc('Returns the number of processors.', 'ps.num_cpus'),
        async () => (await cpuTimes(source)).each.length || os.cpus().length
      ),
      fn(
        'boot_time(time_format=None)',
        doc('Returns when the machine started, in seconds since 1970, or in a strftime format.', "ps.boot_time '%c'"),
        async (_ctx, a) => {
          const format = textOrNull(a.time_format, 'time_format')
          return format ? localTime(await bootTime(source), format) : bootTime(source)
        }
      ),
      fn(
        'network_io_counters(interface=None)',
        doc(
          'Returns what was sent and received, by all interfaces or one; False when there is no such one.',
          'ps.network_io_counters eth0'
        ),
        (_ctx, a) => networkCounters(source, textOrNull(a.interface, 'interface'))
      ),
      fn(
        'disk_io_counters(device=None)',
        doc('Returns what was read and written, on all disks or one device; False when there is no such one.', 'ps.disk_io_counters sda1'),
        (_ctx, a) => diskCounters(source, textOrNull(a.device, 'device'))
      ),
      fn('get_users()', doc('Returns who is logged in: name, terminal, started, host, pid.', 'ps.get_users'), () => logins(source)),
      toolFn(
        'lsof(name)',
        'Returns the open files of processes whose name begins so, as lsof prints them.',
        'ps.lsof apache2',
        async (ctx, a) => {
          const name = text(a.name, 'name')
          return [name, (await runTool(ctx, ['lsof', '-c', name])).stdout]
        }
      ),
      toolFn('netstat(name)', 'Returns the lines of netstat -nap that have this text.', 'ps.netstat apache2', (ctx, a) =>
        printedLines(ctx, ['netstat', '-nap'], text(a.name, 'name'))
      ),
      toolFn('ss(name)', 'Returns the lines of ss -neap that have this text.', 'ps.ss apache2', (ctx, a) =>
        printedLines(ctx, ['ss', '-neap'], text(a.name, 'name'))
      ),
      toolFn(
        'psaux(name)',
        'Returns the lines of ps aux that a regular expression fits, and how many there are.',
        'ps.psaux www-data.+apache2',
        psaux
      )
    ]
  }
}

/** Longest that top and cpu_percent look on. */
const MAX_INTERVAL = 3600

function interval(ctx: ModuleContext, seconds: number): Promise<unknown> {
  if (seconds < 0 || seconds > MAX_INTERVAL) throw new InvocationError(`interval must lie between 0 and ${MAX_INTERVAL} seconds`)
  return wait(seconds * 1000, undefined, { signal: ctx.signal })
}

async function top(ctx: ModuleContext, source: Source, count: number, seconds: number): Promise<Mapping[]> {
  const spent = ({ stat }: Listed) => stat.cpu.user + stat.cpu.system
  const before = new Map((await listProcesses(source)).map(each => [each.pid, spent(each)]))
  await interval(ctx, seconds)
  const used = (await listProcesses(source))
    .filter(each => before.has(each.pid))
    .map(each => ({ each, used: spent(each) - before.get(each.pid)! }))
    .sort((a, b) => b.used - a.used || b.each.pid - a.each.pid)
  const boot = await bootTime(source)
  return Promise.all((count > 0 ? used.slice(0, count) : used).map(({ each }) => topEntry(source, each, boot)))
}

async function topEntry(source: Source, { pid, stat, line, user }: Listed, boot: number): Promise<Mapping> {
  return {
    ...{ cmd: line.length > 0 ? line : [stat.name], user, status: stat.status, pid, create_time: boot + stat.startedAfterBoot },
    ...{ cpu: stat.cpu, mem: await memoryUse(source, pid) }
  }
}

// ── signals ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function signalOf(value: unknown): number {
  const signal = number(value, 'signal')
  if (!Number.isInteger(signal) || signal < 0 || signal > 64) throw new InvocationError(`${signal} is no signal`)
  return signal
}

/** Whole numbers from 1 on: 0 and below mean groups of processes. */
function killPid(pid: number, signal: number): boolean {
  if (!Number.isInteger(pid) || pid < 1) throw new InvocationError(`${pid} is no process id`)
  try {
    process.kill(pid, signal)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw new CommandExecutionError(`${pid}: ${(error as Error).message}`)
  }
}

/** The agent itself is never meant: `full` would often find it. */
async function pkill(source: Source, a: Mapping): Promise<Mapping | null> {
  const signal = signalOf(a.signal)
  const found = (await matching(source, a)).filter(({ pid }) => pid !== process.pid && pid !== process.ppid)
  const killed = found.filter(({ pid }) => killPid(pid, signal)).map(({ pid }) => pid)
  return killed.length === 0 ? null : { killed }
}

async function matching(source: Source, a: Mapping): Promise<Listed[]> {
  const pattern = text(a.pattern, 'pattern')
  const user = textOrNull(a.user, 'user')
  const regex = flag(a.pattern_is_regex ?? false) ? new PythonRegex(pattern) : null
  const fits = (name: string) => (regex ? regex.search(name) !== null : name.includes(pattern))
  return (await listProcesses(source)).filter(each => {
    if (user !== null && each.user !== user) return false
    return fits(flag(a.full) ? each.line.join(' ') : fullName(each.stat, each.line))
  })
}

// ── counters ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function cpuPercent(ctx: ModuleContext, source: Source, seconds: number, each: boolean): Promise<unknown> {
  const before = await cpuTimes(source)
  await interval(ctx, seconds)
  const after = await cpuTimes(source)
  if (!each) return busyPercent(before.all, after.all)
  return after.each.map((times, i) => busyPercent(before.each[i] ?? ({ ...times } as CpuTimes), times))
}

async function partitions(source: Source, all: boolean): Promise<Mapping[]> {
  const physical = await physicalTypes(source)
  const found = (await mounts(source)).filter(({ device, fstype }) => all || (device !== '' && device !== 'none' && physical.has(fstype)))
  return found.map(({ device, mountpoint, fstype, opts }) => ({ device, mountpoint, fstype, opts, maxfile: 255, maxpath: 4096 }))
}

async function usageOf(source: Source, path: string): Promise<Mapping> {
  try {
    return { ...(await diskUsage(source, path)) }
  } catch (error) {
    throw new CommandExecutionError(`${path}: ${(error as Error).message}`)
  }
}

/** Columns of /proc/net/dev in psutil's words. */
const NETWORK: readonly (readonly [string, number])[] = [
  ['bytes_sent', 8],
  ['bytes_recv', 0],
  ['packets_sent', 9],
  ['packets_recv', 1],
  ['errin', 2],
  ['errout', 10],
  ['dropin', 3],
  ['dropout', 11]
]

async function networkCounters(source: Source, wanted: string | null): Promise<Mapping | false> {
  const lines = (await source.lines('/proc/net/dev')).slice(2).map(line => {
    const colon = line.lastIndexOf(':')
    return { name: line.slice(0, colon).trim(), counts: words(line.slice(colon + 1)).map(Number) }
  })
  const of = wanted === null || wanted === '' ? lines : lines.filter(({ name }) => name === wanted)
  if (of.length === 0) return false
  return Object.fromEntries(NETWORK.map(([name, column]) => [name, of.reduce((sum, { counts }) => sum + (counts[column] ?? 0), 0)]))
}

/** The kernel counts in sectors of 512 bytes, whatever the disk's are. */
const SECTOR = 512

/** Without a device whole disks alone: their partitions would count twice. */
async function diskCounters(source: Source, wanted: string | null): Promise<Mapping | false> {
  const all = await diskStats(source)
  const disks = new Set(await source.names('/sys/block'))
  const of =
    wanted === null || wanted === '' ? all.filter(({ device }) => disks.has(device)) : all.filter(({ device }) => device === wanted)
  if (of.length === 0) return false
  const sum = (field: Exclude<keyof DiskStats, 'device'>, times = 1) => of.reduce((total, stats) => total + stats[field] * times, 0)
  return {
    ...{ read_count: sum('reads_issued'), write_count: sum('writes_completed') },
    ...{ read_bytes: sum('sectors_read', SECTOR), write_bytes: sum('sectors_written', SECTOR) },
    ...{ read_time: sum('ms_spent_reading'), write_time: sum('ms_spent_writing') },
    ...{ read_merged_count: sum('reads_merged'), write_merged_count: sum('writes_merged'), busy_time: sum('ms_spent_in_io') }
  }
}

// ── what programs print ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function printedLines(ctx: ModuleContext, argv: readonly string[], name: string): Promise<unknown[]> {
  return [name, (await runTool(ctx, argv)).stdout.split('\n').filter(line => line.includes(name))]
}

async function psaux(ctx: ModuleContext, a: Mapping): Promise<unknown[]> {
  const name = text(a.name, 'name')
  const regex = new PythonRegex(name)
  const lines = (await runTool(ctx, ['ps', 'aux'])).stdout.split('\n').filter(line => regex.search(line) !== null)
  return [name, lines, `${lines.length} occurence(s).`]
}
