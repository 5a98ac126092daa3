/** Grains about the machine: processors, memory, virtualisation, identity. */
import { stat } from 'node:fs/promises'
import os from 'node:os'
import { readText } from './read.js'

type Grains = Record<string, unknown>

export async function hardwareGrains(): Promise<Grains> {
  const [cpuinfo, meminfo, machineId, dmi] = await Promise.all([
    readText('/proc/cpuinfo'),
    readText('/proc/meminfo'),
    readText('/etc/machine-id'),
    dmiGrains()
  ])
  const cpus = os.cpus()
  return {
    num_cpus: cpus.length || 1,
    cpu_model: cpus[0]?.model ?? 'Unknown',
    cpu_flags: /^(?:flags|Features)\s*:\s*(.+)$/m.exec(cpuinfo ?? '')?.[1]?.split(/\s+/) ?? [],
    mem_total: Math.floor(os.totalmem() / 1024 / 1024),
    swap_total: Math.floor(Number(/^SwapTotal:\s+(\d+)/m.exec(meminfo ?? '')?.[1] ?? 0) / 1024),
    ...(machineId?.trim() ? { machine_id: machineId.trim() } : {}),
    ...dmi,
    ...(await virtualGrains(dmi, cpuinfo ?? ''))
  }
}

async function dmiGrains(): Promise<Record<string, string>> {
  const fields = {
    ...{ biosversion: 'bios_version', biosreleasedate: 'bios_date', biosvendor: 'bios_vendor', boardname: 'board_name' },
    ...{ manufacturer: 'sys_vendor', productname: 'product_name', serialnumber: 'product_serial', uuid: 'product_uuid' }
  }
  const found: Record<string, string> = {}
  for (const [grain, file] of Object.entries(fields)) {
    const value = (await readText(`/sys/class/dmi/id/${file}`))?.trim()
    if (value) found[grain] = grain === 'uuid' ? value.toLowerCase() : value
  }
  return found
}

/** Words in the maker's or product's name → Salt's `virtual`. */
const MAKERS: readonly (readonly [RegExp, string])[] = [
  [/QEMU|KVM|Red Hat|OpenStack|Amazon EC2|Google|DigitalOcean|Hetzner/i, 'kvm'],
  [/VMware/i, 'VMware'],
  [/VirtualBox|innotek/i, 'VirtualBox'],
  [/Microsoft.*Virtual|Virtual Machine/i, 'VirtualPC'],
  [/Xen/i, 'xen'],
  [/Parallels/i, 'Parallels'],
  [/Firecracker/i, 'kvm']
]

async function virtualGrains(dmi: Readonly<Record<string, string>>, cpuinfo: string): Promise<Grains> {
  const container = await containerKind()
  if (container !== null) return { virtual: 'container', virtual_subtype: container }
  const names = `${dmi.manufacturer ?? ''} ${dmi.productname ?? ''}`
  const maker = MAKERS.find(([pattern]) => pattern.test(names))?.[1]
  if (maker !== undefined) return { virtual: maker }
  return { virtual: /^flags\s*:.*\bhypervisor\b/m.test(cpuinfo) ? 'kvm' : 'physical' }
}

async function containerKind(): Promise<string | null> {
  if (await stat('/.dockerenv').catch(() => null)) return 'Docker'
  if (await stat('/run/.containerenv').catch(() => null)) return 'Podman'
  const environment = (await readText('/proc/1/environ')) ?? ''
  const named = /(?:^|\0)container=([^\0]+)/.exec(environment)?.[1]
  if (named) return named === 'lxc' ? 'LXC' : named
  return /kubepods|docker|containerd/.test((await readText('/proc/1/cgroup')) ?? '') ? 'Docker' : null
}
