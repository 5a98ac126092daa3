/** Beacons that measure: load, diskusage, memusage, swapusage, network_info. They read the kernel's files and start no program. */
import { readFile, statfs } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { isMapping, type Mapping } from '../modules/values.js'
import { type Beacon, type Item, ownOptions, percentOf } from './beacon.js'

const AVERAGES = ['1m', '5m', '15m'] as const
type Averages = Readonly<Record<(typeof AVERAGES)[number], number>>

export const load: Beacon = {
  name: 'load',
  doc: 'Tells of load averages outside of [least, most]: averages: {1m: [0.0, 2.0], …}. onchangeonly: when one leaves its bounds; emitatstartup.',
  validate({ averages }) {
    if (!isMapping(averages)) return 'Averages configuration is required for load beacon.'
    const isBounds = (value: unknown) => Array.isArray(value) && value.length === 2 && value.every(each => Number.isFinite(Number(each)))
    const wrong = Object.entries(averages).find(([name, bounds]) => !(AVERAGES as readonly string[]).includes(name) || !isBounds(bounds))
    return wrong ? `averages: '${wrong[0]}' must be 1m, 5m or 15m with two numbers.` : null
  },
  open(options) {
    let last: Averages | null = null
    return {
      async look() {
        const [one = 0, five = 0, fifteen = 0] = loadavg()
        const now = { '1m': one, '5m': five, '15m': fifteen }
        const before = last
        last = now
        return isLoadToTell(options, now, before) ? [now] : []
      }
    }
  }
}

/** With `onchangeonly` the pass before counts, so the first one tells nothing unless `emitatstartup` says so. */
function isLoadToTell(options: Mapping, now: Averages, before: Averages | null): boolean {
  const averages = options.averages as Record<keyof Averages, [unknown, unknown] | undefined>
  const outside = (value: number, [least, most]: [unknown, unknown]) => value < Number(least) || value > Number(most)
  const bounded = AVERAGES.flatMap(name => (averages[name] ? [[name, averages[name]] as const] : []))
  if (options.onchangeonly !== true) return bounded.some(([name, bounds]) => outside(now[name], bounds))
  if (before === null) return options.emitatstartup === true && bounded.some(([name, bounds]) => outside(now[name], bounds))
  return bounded.some(([name, bounds]) => outside(now[name], bounds) && !outside(before[name], bounds))
}

export const diskusage: Beacon = {
  name: 'diskusage',
  doc: 'Tells of file systems that are fuller than a share: mount point, or a regular expression of them (^…), → 63%.',
  validate(options) {
    const entries = ownOptions(options)
    if (entries.length === 0) return 'Configuration for diskusage beacon must have a mount point.'
    const wrong = entries.find(([, share]) => percentOf(share) === null)
    return wrong ? `'${wrong[0]}': must be a share like 63%.` : null
  },
  open: options => ({
    async look() {
      const items: Item[] = []
      const mounts = await mountPoints()
      for (const [wanted, share] of ownOptions(options)) {
        for (const mount of meantMounts(wanted, mounts)) {
          const used = await usedShare(mount)
          if (used !== null && used >= percentOf(share)!) items.push({ diskusage: used, mount })
        }
      }
      return items
    }
  })
}

/** A path is itself; what begins with ^ or ends with $ is asked of every mount point. An expression that is none means nothing. */
function meantMounts(wanted: string, mounts: readonly string[]): readonly string[] {
  if (!/^\^|\$$/.test(wanted)) return [wanted]
  try {
    const pattern = new RegExp(wanted)
    return mounts.filter(mount => pattern.test(mount))
  } catch {
    return []
  }
}

async function mountPoints(): Promise<string[]> {
  const text = await readFile('/proc/self/mounts', 'utf8')
  return text.split('\n').flatMap(line => line.split(' ')[1] ?? [])
}

/** As df counts it: what only root may use is neither used nor free. Null: there is no such path. */
async function usedShare(mount: string): Promise<number | null> {
  const stats = await statfs(mount).catch(() => null)
  if (stats === null) return null
  const used = stats.blocks - stats.bfree
  const all = used + stats.bavail
  return all === 0 ? 0 : rounded((used / all) * 100)
}

export const memusage: Beacon = {
  name: 'memusage',
  doc: 'Tells when more memory is in use than a share: percent: 63%.',
  validate: needsPercent,
  open: ({ percent }) => ({
    async look() {
      const { MemTotal = 0, MemAvailable = 0 } = await meminfo()
      const memusage = MemTotal === 0 ? 0 : rounded(((MemTotal - MemAvailable) / MemTotal) * 100)
      return memusage >= percentOf(percent)! ? [{ memusage }] : []
    }
  })
}

export const swapusage: Beacon = {
  name: 'swapusage',
  doc: 'Tells when more swap space is in use than a share: percent: 13%.',
  validate: needsPercent,
  open: ({ percent }) => ({
    async look() {
      const { SwapTotal = 0, SwapFree = 0 } = await meminfo()
      const swapusage = SwapTotal === 0 ? 0 : rounded(((SwapTotal - SwapFree) / SwapTotal) * 100)
      return swapusage >= percentOf(percent)! ? [{ swapusage }] : []
    }
  })
}

function needsPercent({ percent }: Mapping): string | null {
  return percentOf(percent) === null ? 'Configuration for this beacon requires percent, a share like 63%.' : null
}

/** kB by name. */
export async function meminfo(): Promise<Readonly<Record<string, number>>> {
  const text = await readFile('/proc/meminfo', 'utf8')
  return Object.fromEntries([...text.matchAll(/^(\S+):\s+(\d+)/gm)].map(([, name, kb]) => [name, Number(kb)]))
}

function rounded(percent: number): number {
  return Math.round(percent * 10) / 10
}

const COUNTERS = ['bytes_sent', 'bytes_recv', 'packets_sent', 'packets_recv', 'errin', 'errout', 'dropin', 'dropout'] as const
type Counters = Readonly<Record<(typeof COUNTERS)[number], number>>

export const networkInfo: Beacon = {
  name: 'network_info',
  doc: 'Tells the counters of interfaces: interfaces: {eth0: {type: equal or greater, bytes_sent: 100000}}; without counters always.',
  validate({ interfaces }) {
    if (!isMapping(interfaces)) return 'Configuration for network_info beacon must have interfaces, a mapping.'
    const wrong = Object.entries(interfaces).find(([, wanted]) => wanted !== null && !isWantedCounters(wanted))
    return wrong ? `interfaces: '${wrong[0]}' must have type equal or greater, and counters (${COUNTERS.join(', ')}).` : null
  },
  open: ({ interfaces }) => ({
    async look() {
      const all = await counters()
      return Object.entries(interfaces as Mapping).flatMap(([name, wanted]) => {
        const now = all.get(name)
        return now && isReached(now, (wanted ?? {}) as Mapping) ? [{ interface: name, network_info: now }] : []
      })
    }
  })
}

function isWantedCounters(wanted: unknown): boolean {
  if (!isMapping(wanted)) return false
  const { type, ...rest } = wanted
  const isCounter = ([name, value]: [string, unknown]) => (COUNTERS as readonly string[]).includes(name) && Number.isFinite(Number(value))
  return (type === undefined || type === 'equal' || type === 'greater') && Object.entries(rest).every(isCounter)
}

function isReached(now: Counters, { type, ...wanted }: Mapping): boolean {
  return Object.entries(wanted).every(([name, value]) => {
    const count = now[name as keyof Counters]
    return type === 'greater' ? count > Number(value) : count === Number(value)
  })
}

async function counters(): Promise<Map<string, Counters>> {
  const text = await readFile('/proc/net/dev', 'utf8')
  const found = new Map<string, Counters>()
  for (const [, name, values] of text.matchAll(/^\s*(\S+?):\s*(.*)$/gm)) {
    const n = values!.trim().split(/\s+/).map(Number)
    const [bytes_recv = 0, packets_recv = 0, errin = 0, dropin = 0] = n
    const [bytes_sent = 0, packets_sent = 0, errout = 0, dropout = 0] = n.slice(8)
    found.set(name!, { bytes_sent, bytes_recv, packets_sent, packets_recv, errin, errout, dropin, dropout })
  }
  return found
}
