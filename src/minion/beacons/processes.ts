import { readdir, readFile } from 'node:fs/promises'
import { loadavg, uptime } from 'node:os'
import { isMapping } from '../modules/values.js'
import { type Beacon, type Item, ownOptions } from './beacon.js'
import { meminfo } from './measures.js'

/** The kernel keeps so many characters of a process's name; longer ones are completed from its command line. */
const COMM = 15

export const ps: Beacon = {
  name: 'ps',
  doc: 'Tells of processes that run, or do not: processes: {nginx: stopped, backup: running}. One event per process.',
  validate({ processes }) {
    if (!isMapping(processes)) return 'Configuration for ps beacon requires processes, a mapping of names to running or stopped.'
    const wrong = Object.entries(processes).find(([, state]) => !['running', 'stopped', true, false].includes(state as string))
    return wrong ? `processes: '${wrong[0]}' must be running or stopped.` : null
  },
  open: ({ processes }) => ({
    async look() {
      const names = await processNames()
      return Object.entries(processes as Record<string, unknown>).flatMap(([name, wanted]): Item[] => {
        const runs = names.has(name)
        if (runs !== (wanted === 'running' || wanted === true)) return []
        return [{ [name]: runs ? 'Running' : 'Stopped' }]
      })
    }
  })
}

async function processNames(): Promise<Set<string>> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  const names = await Promise.all(pids.map(nameOf))
  return new Set(names.filter(name => name !== null))
}

/** Null: the process is gone. */
async function nameOf(pid: string): Promise<string | null> {
  try {
    const name = (await readFile(`/proc/${pid}/comm`, 'utf8')).trimEnd()
    if (name.length < COMM) return name
    const [command = ''] = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0')
    const whole = command.slice(command.lastIndexOf('/') + 1)
    return whole.startsWith(name) ? whole : name
  } catch {
    return null
  }
}

/** What the status beacon can tell, with the names of Salt's status module. */
const STATUS: Readonly<Record<string, () => unknown>> = {
  loadavg() {
    const [one, five, fifteen] = loadavg()
    return { '1-min': one, '5-min': five, '15-min': fifteen }
  },
  async meminfo() {
    return Object.fromEntries(Object.entries(await meminfo()).map(([name, kb]) => [name, { value: String(kb), unit: 'kB' }]))
  },
  time: () => new Date().toString(),
  uptime: () => ({ seconds: Math.floor(uptime()), days: Math.floor(uptime() / 86_400) })
}
const STATUS_DEFAULT = ['loadavg', 'meminfo', 'time']

export const status: Beacon = {
  name: 'status',
  doc: `Tells how the machine is, each time: a list of ${Object.keys(STATUS).join(', ')}, with the fields that are wanted, or all ([all]).`,
  validate(options) {
    const unknown = ownOptions(options).find(([name]) => !Object.hasOwn(STATUS, name))
    return unknown ? `the status beacon knows ${Object.keys(STATUS).join(', ')}, not '${unknown[0]}'.` : null
  },
  open(options) {
    const given = ownOptions(options)
    const wanted = given.length > 0 ? given : STATUS_DEFAULT.map(name => [name, ['all']] as [string, unknown])
    return {
      async look() {
        const told = wanted.map(async ([name, fields]) => [name, onlyFields(await STATUS[name]!(), [fields].flat())] as const)
        return [{ tag: new Date().toISOString().replace('Z', '000'), data: Object.fromEntries(await Promise.all(told)) }]
      }
    }
  }
}

function onlyFields(value: unknown, fields: readonly unknown[]): unknown {
  if (!isMapping(value) || fields.includes('all')) return fields.includes('all') && !isMapping(value) ? { all: value } : value
  return Object.fromEntries(Object.entries(value).filter(([name]) => fields.includes(name)))
}
