/** Grains about the operating system: kernel, distribution, init. Names and values as Salt has them. */
import { readlink, stat } from 'node:fs/promises'
import os from 'node:os'
import { basename } from 'node:path'
import { parseAssignments, readText } from './read.js'

type Grains = Record<string, unknown>

/** os-release ID → Salt's os grain, where it is not the NAME. */
const NAMES: Readonly<Record<string, string>> = {
  ...{ almalinux: 'AlmaLinux', alpine: 'Alpine', amzn: 'Amazon', arch: 'Arch', centos: 'CentOS', debian: 'Debian', fedora: 'Fedora' },
  ...{ gentoo: 'Gentoo', kali: 'Kali', linuxmint: 'Mint', manjaro: 'Manjaro', ol: 'OEL', 'opensuse-leap': 'Leap', pop: 'Pop' },
  ...{ 'opensuse-tumbleweed': 'Tumbleweed', raspbian: 'Raspbian', rhel: 'RedHat', rocky: 'Rocky', sles: 'SUSE', ubuntu: 'Ubuntu' },
  void: 'Void'
}

const FAMILIES: Readonly<Record<string, string>> = {
  ...{ AlmaLinux: 'RedHat', Amazon: 'RedHat', CentOS: 'RedHat', Fedora: 'RedHat', OEL: 'RedHat', RedHat: 'RedHat', Rocky: 'RedHat' },
  ...{ Debian: 'Debian', Kali: 'Debian', Mint: 'Debian', Pop: 'Debian', Raspbian: 'Debian', Ubuntu: 'Debian' },
  ...{ Leap: 'Suse', SUSE: 'Suse', Tumbleweed: 'Suse' },
  ...{ Arch: 'Arch', Manjaro: 'Arch', Alpine: 'Alpine', Gentoo: 'Gentoo', Void: 'Void' }
}

/** Names of the machine's architecture as Debian's packages have them; other families use the kernel's name. */
const DEBIAN_ARCH: Readonly<Record<string, string>> = {
  ...{ x86_64: 'amd64', aarch64: 'arm64', armv7l: 'armhf', armv6l: 'armel', i686: 'i386', ppc64le: 'ppc64el', s390x: 's390x' },
  riscv64: 'riscv64'
}

export async function osGrains(): Promise<Grains> {
  const kernel = {
    ...{ kernel: os.type(), kernelrelease: os.release(), kernelversion: os.version(), cpuarch: os.machine(), ps: 'ps -efHww' },
    ...{ uid: process.getuid?.() ?? null, gid: process.getgid?.() ?? null, username: username(), groupname: null }
  }
  if (kernel.kernel === 'Linux') return { ...kernel, ...(await distribution(os.machine())), ...(await initGrains()) }
  const name = kernel.kernel === 'Darwin' ? 'MacOS' : kernel.kernel
  return { ...kernel, os: name, os_family: name, osarch: os.machine(), osrelease: os.release(), osfinger: `${name}-${os.release()}` }
}

async function distribution(machine: string): Promise<Grains> {
  const source = (await readText('/etc/os-release')) ?? (await readText('/usr/lib/os-release')) ?? ''
  return distributionGrains(parseAssignments(source), machine, (await readText('/etc/debian_version'))?.trim() ?? null)
}

/** What os-release says, in Salt's words. `debianVersion`: the text of /etc/debian_version, which also has the point release. */
export function distributionGrains(release: Readonly<Record<string, string>>, machine: string, debianVersion: string | null): Grains {
  const id = release.ID ?? ''
  const osname = NAMES[id] ?? release.NAME ?? 'Unknown'
  const family = FAMILIES[osname] ?? familyLike(release.ID_LIKE) ?? osname
  const osrelease =
    id === 'debian' && debianVersion !== null && /^\d/.test(debianVersion) ? debianVersion.split('.')[0]! : (release.VERSION_ID ?? '')
  const parts = osrelease.split('.').map(part => (/^\d+$/.test(part) ? Number(part) : part))
  const major = typeof parts[0] === 'number' ? { osmajorrelease: parts[0] } : {}
  const fullname = release.NAME ?? osname
  return {
    ...{ os: osname, os_family: family, osfullname: fullname, osarch: family === 'Debian' ? (DEBIAN_ARCH[machine] ?? machine) : machine },
    ...{ osrelease, osrelease_info: osrelease === '' ? [] : parts, ...major, oscodename: codename(release) },
    osfinger: `${fullname}-${id === 'ubuntu' ? osrelease : (parts[0] ?? '')}`,
    ...{ lsb_distrib_id: fullname, lsb_distrib_release: release.VERSION_ID ?? '', lsb_distrib_codename: codename(release) }
  }
}

function familyLike(like: string | undefined): string | undefined {
  return like
    ?.split(' ')
    .map(id => FAMILIES[NAMES[id] ?? ''])
    .find(family => family !== undefined)
}

function codename(release: Readonly<Record<string, string>>): string {
  return release.VERSION_CODENAME ?? /\(([^)]+)\)/.exec(release.VERSION ?? '')?.[1] ?? release.PRETTY_NAME ?? ''
}

async function initGrains(): Promise<Grains> {
  const booted = (await stat('/run/systemd/system').catch(() => null))?.isDirectory() ?? false
  const program = basename((await readlink('/proc/1/exe').catch(() => '')) || ((await readText('/proc/1/comm')) ?? '').trim())
  const names: Readonly<Record<string, string>> = { init: 'sysvinit', systemd: 'systemd', runit: 'runit', tini: 'tini', upstart: 'upstart' }
  return { init: booted ? 'systemd' : (names[program] ?? (program || 'unknown')) }
}

function username(): string | null {
  try {
    return os.userInfo().username
  } catch {
    return null // a user id without an entry, as in some containers
  }
}
