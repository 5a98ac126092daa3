/** Further grains that Salt has: disks, kernel parameters, locale, systemd, graphics, firmware. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, readdir, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { readText } from './read.js'

type Grains = Record<string, unknown>

/** systemctl answers at once or hangs with its manager. */
const SYSTEMCTL_MS = 2000

export async function systemGrains(): Promise<Grains> {
  const [disks, gpus, kernel, systemd, selinux, firmware] = await Promise.all([
    diskGrains(),
    gpuGrains(),
    readText('/proc/cmdline'),
    systemdGrain(),
    selinuxGrain(),
    firmwareGrains()
  ])
  return {
    ...{ ...disks, ...gpus, ...systemd, ...selinux, ...firmware, kernelparams: kernelParameters(kernel ?? '') },
    ...{ locale_info: localeInfo(process.env), groupname: await groupName(), cwd: process.cwd(), lvm: {} },
    ...{ mdadm: raidArrays((await readText('/proc/mdstat')) ?? ''), transactional: await exists('/usr/sbin/transactional-update') },
    zfs_support: await exists('/sys/module/zfs')
  }
}

/** Salt's server_id: the id's SHA-256 modulo 2^31. */
export function serverId(id: string): number {
  const hash = createHash('sha256').update(id).digest()
  return hash.readUInt32BE(28) % 2 ** 31
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false
  )
}

/** `disks` turn, `ssds` do not, as the kernel says. */
async function diskGrains(): Promise<Grains> {
  const names = (await readdir('/sys/block').catch(() => [])).sort()
  const kinds = await Promise.all(names.map(async name => [name, (await readText(`/sys/block/${name}/queue/rotational`))?.trim()] as const))
  const of = (flag: string) => kinds.filter(([, rotational]) => rotational === flag).map(([name]) => name)
  return { disks: of('1'), ssds: of('0') }
}

/** PCI vendors by their number, in Salt's words. */
const VENDORS: Readonly<Record<string, string>> = {
  '0x10de': 'nvidia',
  '0x1002': 'amd',
  '0x8086': 'intel',
  '0x102b': 'matrox',
  '0x15ad': 'vmware'
}

async function gpuGrains(): Promise<Grains> {
  const root = '/sys/bus/pci/devices'
  const devices = await readdir(root).catch(() => [])
  const gpus: Grains[] = []
  for (const device of devices.sort()) {
    if (!(await readText(join(root, device, 'class')))?.startsWith('0x03')) continue
    const vendor = (await readText(join(root, device, 'vendor')))?.trim() ?? ''
    gpus.push({ vendor: VENDORS[vendor] ?? 'unknown', model: (await readText(join(root, device, 'device')))?.trim() ?? '' })
  }
  return { gpus, num_gpus: gpus.length }
}

/** Pairs, as Salt has them; a parameter without value has null. */
export function kernelParameters(cmdline: string): [string, string | null][] {
  const words = cmdline.trim().match(/(?:[^\s"]|"[^"]*")+/g) ?? []
  return words.map(word => {
    const at = word.indexOf('=')
    return at < 0 ? [word, null] : [word.slice(0, at), word.slice(at + 1).replace(/^"(.*)"$/, '$1')]
  })
}

export function localeInfo(env: NodeJS.ProcessEnv): Grains {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || 'C'
  const [language, encoding] = locale.split('.')
  const plain = language === 'C' || language === 'POSIX'
  return {
    defaultlanguage: plain ? null : language,
    defaultencoding: encoding ?? null,
    detectedencoding: 'utf-8',
    timezone:
      new Intl.DateTimeFormat('en', { timeZoneName: 'short' }).formatToParts(new Date()).find(part => part.type === 'timeZoneName')
        ?.value ?? 'UTC'
  }
}

async function groupName(): Promise<string> {
  const gid = String(process.getgid?.() ?? '')
  const line = ((await readText('/etc/group')) ?? '').split('\n').find(each => each.split(':')[2] === gid)
  return line?.split(':')[0] ?? ''
}

export function raidArrays(mdstat: string): string[] {
  return [...mdstat.matchAll(/^(md\S+) : active/gm)].map(match => match[1]!)
}

/** Only where systemd is the init system; the one program that collecting grains starts. */
async function systemdGrain(): Promise<Grains> {
  if (!(await stat('/run/systemd/system').catch(() => null))?.isDirectory()) return {}
  try {
    const { stdout } = await promisify(execFile)('systemctl', ['--version'], { timeout: SYSTEMCTL_MS })
    const [first = '', features = ''] = stdout.split('\n')
    return { systemd: { version: first.split(/\s+/)[1] ?? '', features: features.trim() } }
  } catch {
    return {}
  }
}

async function selinuxGrain(): Promise<Grains> {
  const enforce = await readText('/sys/fs/selinux/enforce')
  if (enforce === null) return {}
  return { selinux: { enabled: true, enforced: enforce.trim() === '1' ? 'Enforcing' : 'Permissive' } }
}

async function firmwareGrains(): Promise<Grains> {
  const efi = await exists('/sys/firmware/efi')
  const variable = '/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c'
  const secure = efi && ((await readText(variable)) ?? '').charCodeAt(4) === 1
  const iqn = /^InitiatorName=(\S+)/m.exec((await readText('/etc/iscsi/initiatorname.iscsi')) ?? '')?.[1]
  const saltpath = await readlink('/proc/self/exe').catch(() => process.execPath)
  return { efi, 'efi-secure-boot': secure, saltpath, ...(iqn === undefined ? {} : { iscsi_iqn: [iqn] }) }
}
