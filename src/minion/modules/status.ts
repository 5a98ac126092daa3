import os from 'node:os'
import { compileGlob } from '../../tags/glob.js'
import type { ModuleContext } from '../context.js'
import { callFunction } from '../invoke.js'
import { diskStats, diskUsage, mounts } from '../machine/disks.js'
import { localTime } from '../machine/local-time.js'
import { logins } from '../machine/logins.js'
import { listProcesses } from '../machine/processes.js'
import { numberOr, Source, words } from '../machine/source.js'
import { doc, fn, type Module, type ModuleFunction } from './module.js'
import { runTool, systemProgram } from './tool.js'
import { type Mapping, text } from './values.js'

/** Salt's `status` module, over /proc. */
export const status: Module = statusModule(new Source())

/** The same over recordings of /proc. */
export function statusModule(source: Source): Module {
  const reading = (name: string, says: string, read: () => unknown): ModuleFunction => fn(`${name}()`, doc(says, `status.${name}`), read)
  return {
    name: 'status',
    functions: [
      reading('uptime', 'Returns since when the machine runs: seconds, since_iso (UTC), since_t, up, users.', () => uptime(source)),
      reading('loadavg', 'Returns the load averages: 1-min, 5-min, 15-min.', () => loadavg(source)),
      reading('cpustats', 'Returns the counters of /proc/stat; cpu and intr in parts.', () => cpustats(source)),
      reading('meminfo', 'Returns /proc/meminfo: name → value and unit, as texts.', () => meminfo(source)),
      reading('cpuinfo', 'Returns /proc/cpuinfo of the last processor; flags as a list.', () => cpuinfo(source)),
      reading('diskstats', 'Returns the counters of block devices.', () => diskstats(source)),
      fn(
        'diskusage(*args)',
        doc(
          'Returns available and total bytes of mounted file systems: all, or those with these paths or types (globs).',
          'status.diskusage / ext?'
        ),
        (_ctx, { args }) => diskusage(source, args as unknown[])
      ),
      reading('vmstats', 'Returns the counters of virtual memory.', () => vmstats(source)),
      reading('nproc', 'Returns how many processors the agent may use.', () => os.availableParallelism()),
      reading('netstats', 'Returns the counters of the network protocols.', () => netstats(source)),
      reading('netdev', 'Returns the counters of the network interfaces.', () => netdev(source)),
      fn(
        'w()',
        doc('Returns who is logged in and does what, by the program w; without it, who is logged in.', 'status.w'),
        ctx => w(ctx, source),
        {
          isolated: true
        }
      ),
      reading('procs', 'Returns all processes: id → user and cmd.', () => procs(source)),
      fn('pid(sig)', doc('Returns the ids of processes whose command line has this text, one per line.', 'status.pid sshd'), (_ctx, a) =>
        pid(source, text(a.sig, 'sig'))
      ),
      fn(
        "time(format='%A, %d. %B %Y %I:%M:%S %p')",
        doc('Returns the time of this machine, in a strftime format.', "status.time '%s'"),
        (_ctx, a) => localTime(Date.now() / 1000, text(a.format, 'format'))
      ),
      reading(
        'version',
        'Returns the version of the kernel in its own words.',
        async () => (await source.text('/proc/version'))?.trim() ?? ''
      ),
      fn(
        'all_status()',
        doc('Returns what all functions of this module have to say.', 'status.all_status'),
        ctx => allStatus(ctx, source),
        {
          isolated: true
        }
      ),
      fn(
        'custom()',
        doc(
          'Returns what the configuration asks for: `status.cpustats.custom: [cpu, ctxt]` are these parts of status.cpustats.',
          'status.custom'
        ),
        custom,
        { isolated: true }
      )
    ]
  }
}

async function uptime(source: Source): Promise<Mapping> {
  const seconds = Math.floor(Number(((await source.text('/proc/uptime')) ?? '0').split(' ')[0]))
  const since = Date.now() / 1000 - seconds
  const days = Math.floor(seconds / 86_400)
  const rest = seconds % 86_400
  return {
    ...{ seconds, since_iso: new Date(since * 1000).toISOString().slice(0, 23).padEnd(26, '0'), since_t: Math.floor(since) },
    up: `${days} days, ${Math.floor(rest / 3600)}:${Math.floor((rest % 3600) / 60)}`,
    users: (await logins(source)).length
  }
}

async function loadavg(source: Source): Promise<Mapping> {
  const [one, five, fifteen] = words((await source.text('/proc/loadavg')) ?? '0 0 0').map(Number)
  return { '1-min': one, '5-min': five, '15-min': fifteen }
}

const CPU = ['user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal'] as const

async function cpustats(source: Source): Promise<Mapping> {
  const lines = (await source.lines('/proc/stat')).map(words)
  return Object.fromEntries(
    lines.map(([name, ...values]) => {
      const [total, ...rest] = values.map(numberOr)
      if (name === 'cpu') return [name, Object.fromEntries(CPU.map((field, i) => [field, numberOr(values[i] ?? '0')]))]
      if (name === 'intr') return [name, { total, irqs: rest }]
      return name === 'softirq' ? [name, { total, softirqs: rest }] : [name!, total]
    })
  )
}

async function meminfo(source: Source): Promise<Mapping> {
  const lines = (await source.lines('/proc/meminfo')).map(words)
  return Object.fromEntries(
    lines.map(([name, value, unit]) => [name!.replace(':', ''), { value, ...(unit === undefined ? {} : { unit }) }])
  )
}

async function cpuinfo(source: Source): Promise<Mapping> {
  const lines = await source.lines('/proc/cpuinfo')
  return Object.fromEntries(
    lines.map(line => {
      const colon = line.indexOf(':')
      const [name, value] = [line.slice(0, colon).trim(), line.slice(colon + 1).trim()]
      return [name, name === 'flags' ? words(value) : value]
    })
  )
}

async function diskstats(source: Source): Promise<Mapping> {
  return Object.fromEntries((await diskStats(source)).map(stats => [stats.device, stats]))
}

/** A path is taken as it is; anything else is a glob for types of file systems. What cannot be asked (an endpoint that is gone) is left out. */
async function diskusage(source: Source, args: readonly unknown[]): Promise<Mapping> {
  const wanted = args.map(arg => text(arg, 'args'))
  const paths = wanted.filter(arg => arg.startsWith('/'))
  const types = (wanted.length === 0 ? ['*'] : wanted.filter(arg => !arg.startsWith('/'))).map(compileGlob)
  const mounted = (await mounts(source)).filter(({ fstype }) => types.some(matches => matches(fstype))).map(({ mountpoint }) => mountpoint)
  const found: Mapping = {}
  for (const path of new Set([...paths, ...mounted])) {
    const usage = await diskUsage(source, path).catch(() => null)
    if (usage) found[path] = { available: usage.free, total: usage.total }
  }
  return found
}

async function vmstats(source: Source): Promise<Mapping> {
  return Object.fromEntries((await source.lines('/proc/vmstat')).map(words).map(([name, value]) => [name!, numberOr(value ?? '')]))
}

/** Pairs of lines: names, then values, both behind the same word. */
async function netstats(source: Source): Promise<Mapping> {
  const lines = (await source.lines('/proc/net/netstat')).map(words)
  const found: Mapping = {}
  for (let at = 0; at + 1 < lines.length; at += 2) {
    const [[group, ...names], [, ...values]] = [lines[at]!, lines[at + 1]!]
    found[group!.replace(':', '')] = Object.fromEntries(names.map((name, i) => [name, numberOr(values[i] ?? '')]))
  }
  return found
}

const NETDEV = [
  ...['rx_bytes', 'rx_packets', 'rx_errs', 'rx_drop', 'rx_fifo', 'rx_frame', 'rx_compressed', 'rx_multicast'],
  ...['tx_bytes', 'tx_packets', 'tx_errs', 'tx_drop', 'tx_fifo', 'tx_colls', 'tx_carrier', 'tx_compressed']
]

async function netdev(source: Source): Promise<Mapping> {
  const lines = (await source.lines('/proc/net/dev')).slice(2)
  return Object.fromEntries(
    lines.map(line => {
      const colon = line.lastIndexOf(':')
      const iface = line.slice(0, colon).trim()
      const values = words(line.slice(colon + 1))
      return [iface, { iface, ...Object.fromEntries(NETDEV.map((name, i) => [name, numberOr(values[i] ?? '0')])) }]
    })
  )
}

/** Columns of `w`, whose FROM is not there everywhere, by their heading. */
async function w(ctx: ModuleContext, source: Source): Promise<Mapping[]> {
  if ((await systemProgram('w')) === null) {
    return (await logins(source)).map(({ name, terminal }) => ({
      user: name,
      tty: terminal,
      login: '',
      idle: '',
      jcpu: '',
      pcpu: '',
      what: ''
    }))
  }
  const [, heading = '', ...lines] = (await runTool(ctx, ['w'])).stdout.split('\n')
  const columns = words(heading)
  const of = (fields: readonly string[], name: string) => fields[columns.indexOf(name)] ?? ''
  return lines
    .filter(line => line.trim() !== '')
    .map(words)
    .map(fields => ({
      ...{ user: of(fields, 'USER'), tty: of(fields, 'TTY'), login: of(fields, 'LOGIN@'), idle: of(fields, 'IDLE') },
      ...{ jcpu: of(fields, 'JCPU'), pcpu: of(fields, 'PCPU'), what: fields.slice(columns.indexOf('WHAT')).join(' ') }
    }))
}

async function procs(source: Source): Promise<Mapping> {
  const all = await listProcesses(source)
  return Object.fromEntries(all.map(({ pid: id, user, line, stat }) => [String(id), { user, cmd: shownCommand(line, stat.name) }]))
}

/** The kernel's own threads have no command line; ps shows their name in brackets. */
function shownCommand(line: readonly string[], name: string): string {
  return line.length === 0 ? `[${name}]` : line.join(' ')
}

/** The agent itself is not meant. */
async function pid(source: Source, signature: string): Promise<string> {
  const wanted = signature.replace(/^(["'])(.*)\1$/, '$2')
  const all = await listProcesses(source)
  const found = all.filter(({ pid: id, line, stat }) => id !== process.pid && shownCommand(line, stat.name).includes(wanted))
  return found.map(({ pid: id }) => id).join('\n')
}

async function allStatus(ctx: ModuleContext, source: Source): Promise<Mapping> {
  return {
    ...{ cpuinfo: await cpuinfo(source), cpustats: await cpustats(source), diskstats: await diskstats(source) },
    ...{ diskusage: await diskusage(source, []), loadavg: await loadavg(source), meminfo: await meminfo(source) },
    ...{ netdev: await netdev(source), netstats: await netstats(source), uptime: await uptime(source), vmstats: await vmstats(source) },
    w: await w(ctx, source)
  }
}

async function custom(ctx: ModuleContext): Promise<Mapping> {
  const wanted = (await callFunction(ctx, 'config.dot_vals', ['status'])) as Mapping
  const found: Mapping = {}
  for (const [key, names] of Object.entries(wanted)) {
    const fun = key.split('.')[1] ?? ''
    const values = (await callFunction(ctx, `status.${fun}`, [])) as Mapping
    for (const name of [names].flat().map(String)) found[name] = values[name]
  }
  return found
}
