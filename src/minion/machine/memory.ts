/** Memory, processors and boot time, in the shapes of psutil. */
import { rounded, type Source, words } from './source.js'

/** What /proc counts time in: USER_HZ is 100 on every architecture that Node runs on. */
export const TICKS_PER_SECOND = 100

/** /proc/meminfo in bytes. */
async function meminfo(source: Source): Promise<Record<string, number>> {
  const lines = await source.lines('/proc/meminfo')
  return Object.fromEntries(
    lines.map(line => {
      const [name, value, unit] = words(line)
      return [name!.replace(':', ''), Number(value) * (unit === 'kB' ? 1024 : 1)]
    })
  )
}

/** psutil.virtual_memory: bytes, and percent that is not available. */
export async function virtualMemory(source: Source): Promise<Record<string, number>> {
  const info = await meminfo(source)
  const of = (name: string) => info[name] ?? 0
  const cached = of('Cached') + of('SReclaimable')
  const [total, free, buffers] = [of('MemTotal'), of('MemFree'), of('Buffers')]
  const used = total - free - cached - buffers
  const available = info.MemAvailable ?? free + buffers + cached
  return {
    ...{ total, available, percent: total === 0 ? 0 : rounded(((total - available) / total) * 100) },
    ...{ used: used < 0 ? total - free : used, free, active: of('Active'), inactive: of('Inactive') },
    ...{ buffers, cached, shared: info.Shmem ?? of('MemShared'), slab: of('Slab') }
  }
}

/** psutil.swap_memory: bytes; `sin` and `sout` are what was swapped since the machine started. */
export async function swapMemory(source: Source): Promise<Record<string, number>> {
  const info = await meminfo(source)
  const [total, free] = [info.SwapTotal ?? 0, info.SwapFree ?? 0]
  const vmstat = Object.fromEntries((await source.lines('/proc/vmstat')).map(line => words(line) as [string, string]))
  const pages = (name: string) => Number(vmstat[name] ?? 0) * 4096
  const used = total - free
  return { total, used, free, percent: total === 0 ? 0 : rounded((used / total) * 100), sin: pages('pswpin'), sout: pages('pswpout') }
}

const CPU_FIELDS = ['user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal', 'guest', 'guest_nice'] as const
export type CpuTimes = Record<(typeof CPU_FIELDS)[number], number>

/** psutil.cpu_times in seconds: of all processors together, then of each. */
export async function cpuTimes(source: Source): Promise<{ all: CpuTimes; each: CpuTimes[] }> {
  const lines = (await source.lines('/proc/stat')).filter(line => line.startsWith('cpu')).map(words)
  const times = ([, ...ticks]: readonly string[]) =>
    Object.fromEntries(CPU_FIELDS.map((name, i) => [name, Number(ticks[i] ?? 0) / TICKS_PER_SECOND])) as CpuTimes
  const all = lines.find(([name]) => name === 'cpu')
  return { all: times(all ?? []), each: lines.filter(([name]) => name !== 'cpu').map(times) }
}

/** Percent of the time between two readings in which the processor did something. */
export function busyPercent(before: CpuTimes, after: CpuTimes): number {
  // The time of guests is in user and nice already.
  const total = (times: CpuTimes) => CPU_FIELDS.slice(0, 8).reduce((sum, name) => sum + times[name], 0)
  const idle = (times: CpuTimes) => times.idle + times.iowait
  const spent = total(after) - total(before)
  const busy = spent - (idle(after) - idle(before))
  return spent <= 0 ? 0 : rounded(Math.min(100, Math.max(0, (busy / spent) * 100)))
}

/** Seconds since 1970 at which the machine started. */
export async function bootTime(source: Source): Promise<number> {
  const line = (await source.lines('/proc/stat')).find(text => text.startsWith('btime '))
  return Number(line?.split(' ')[1] ?? 0)
}
