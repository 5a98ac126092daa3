import type { StatsFs } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModuleContext } from '../context.js'
import { type Mount, mounts } from '../machine/disks.js'
import { Source } from '../machine/source.js'
import { CommandExecutionError } from './errors.js'
import { doc, fn, type Module } from './module.js'
import { runTool, toolFn } from './tool.js'
import { type Mapping, text, textOrNull, texts } from './values.js'

/** Salt's `disk` module: how full file systems are, as df tells it, and what block devices hold. */
export const disk: Module = diskModule(new Source())

/** The same with the mounts of another root. */
export function diskModule(source: Source): Module {
  return {
    name: 'disk',
    functions: [
      fn(
        'usage(args=None)',
        doc('Returns for each mount point filesystem, 1K-blocks, used, available and capacity, as texts.', 'disk.usage'),
        (_ctx, a) => usage(source, flagsOf(a.args, 'disk.usage'))
      ),
      fn(
        'inodeusage(args=None)',
        doc('Returns for each mount point inodes, used, free, use and filesystem, as texts.', 'disk.inodeusage'),
        (_ctx, a) => inodeUsage(source, flagsOf(a.args, 'disk.inodeusage'))
      ),
      fn(
        'percent(args=None)',
        doc('Returns how full file systems are: of one mount point, or by mount point.', 'disk.percent /var'),
        (_ctx, a) => percent(source, textOrNull(a.args, 'args'))
      ),
      toolFn(
        'blkid(device=None, token=None)',
        'Returns the attributes of block devices (UUID, TYPE, LABEL …).',
        'disk.blkid /dev/sda',
        blkid
      ),
      toolFn(
        'fstype(device)',
        'Returns the type of the file system on a device; empty when there is none.',
        'disk.fstype /dev/sdX1',
        async (ctx, a) => {
          const device = text(a.device, 'device')
          const found = await blkid(ctx, { device, token: null })
          return (found[device] as Mapping | undefined)?.TYPE ?? ''
        }
      ),
      toolFn(
        'dump(device, args=None)',
        'Returns what blockdev says about a device: getro, getsz, getss …, as texts.',
        'disk.dump /dev/sda1',
        dump
      )
    ]
  }
}

/** df's letters. `a`: also file systems without size; `l`: no network; the others change how df prints, which does not show here. */
const FLAGS = new Set('aBhHiklPtTxv')

function flagsOf(value: unknown, caller: string): ReadonlySet<string> {
  const flags = new Set([...texts(value, 'args').join('')].filter(letter => letter !== '-'))
  if ([...flags].some(letter => !FLAGS.has(letter))) throw new CommandExecutionError(`Invalid flag passed to ${caller}`)
  return flags
}

interface Filled {
  readonly mount: Mount
  readonly stats: StatsFs
}

const NETWORK = /^(nfs\d?|cifs|smb3?|sshfs|fuse\.sshfs|ceph|glusterfs|9p|afs)$/

/** File systems as df lists them: each device once, at the mount point with the shortest name; those without size only when asked for. */
async function filled(source: Source, flags: ReadonlySet<string>): Promise<Filled[]> {
  const last = new Map((await mounts(source)).map(mount => [mount.mountpoint, mount]))
  const found: Filled[] = []
  for (const mount of last.values()) {
    if (flags.has('l') && NETWORK.test(mount.fstype)) continue
    const stats = await statfs(join(source.root, mount.mountpoint)).catch(() => null)
    if (stats && (stats.blocks > 0 || flags.has('a'))) found.push({ mount, stats })
  }
  if (flags.has('a')) return found
  const isFirst = ({ mount }: Filled) =>
    !found.some(
      other =>
        other.mount.device === mount.device && mount.device.startsWith('/') && other.mount.mountpoint.length < mount.mountpoint.length
    )
  return found.filter(isFirst)
}

/** Part of the whole in percent, rounded up, as df has it; `-` of nothing. */
function share(used: number, free: number): string {
  return used + free === 0 ? '-' : `${Math.ceil((used / (used + free)) * 100)}%`
}

async function usage(source: Source, flags: ReadonlySet<string>): Promise<Mapping> {
  return Object.fromEntries(
    (await filled(source, flags)).map(({ mount, stats: { bsize, blocks, bfree, bavail } }) => {
      const kib = (count: number) => String(Math.floor((count * bsize) / 1024))
      return [
        mount.mountpoint,
        {
          ...{ filesystem: mount.device, '1K-blocks': kib(blocks), used: kib(blocks - bfree), available: kib(bavail) },
          capacity: share(blocks - bfree, bavail)
        }
      ]
    })
  )
}

async function inodeUsage(source: Source, flags: ReadonlySet<string>): Promise<Mapping> {
  return Object.fromEntries(
    (await filled(source, flags)).map(({ mount, stats: { files, ffree } }) => [
      mount.mountpoint,
      {
        inodes: String(files),
        used: String(files - ffree),
        free: String(ffree),
        use: share(files - ffree, ffree),
        filesystem: mount.device
      }
    ])
  )
}

/** A mount point that is not there has nothing: an empty mapping, as in Salt. */
async function percent(source: Source, mountpoint: string | null): Promise<unknown> {
  const all = Object.entries(await usage(source, new Set()))
  const found = Object.fromEntries(all.map(([name, about]) => [name, (about as Mapping).capacity]))
  if (mountpoint === null || mountpoint === '') return found
  return found[mountpoint] ?? {}
}

async function blkid(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const device = textOrNull(a.device, 'device')
  const token = textOrNull(a.token, 'token')
  const which = device !== null ? [checkedDevice(device)] : token !== null ? ['-t', token] : []
  const { stdout, retcode, stderr } = await runTool(ctx, ['blkid', ...which])
  // 2: nothing was found.
  if (retcode !== 0 && retcode !== 2) throw new CommandExecutionError(stderr || `blkid ended with ${retcode}`)
  return Object.fromEntries(stdout.split('\n').flatMap(line => attributes(line)))
}

/** `/dev/sda1: UUID="…" TYPE="ext4"`. */
function attributes(line: string): [string, Mapping][] {
  const [, device, rest] = /^(\S+): (.*)$/.exec(line) ?? []
  if (device === undefined) return []
  return [[device, Object.fromEntries([...rest!.matchAll(/([\w.-]+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name!, value!]))]]
}

const BLOCKDEV = [
  'getro',
  'getsz',
  'getss',
  'getpbsz',
  'getiomin',
  'getioopt',
  'getalignoff',
  'getmaxsect',
  'getsize',
  'getsize64',
  'getra',
  'getfra'
]

async function dump(ctx: ModuleContext, a: Mapping): Promise<Mapping> {
  const device = checkedDevice(text(a.device, 'device'))
  const { stdout, retcode, stderr } = await runTool(ctx, ['blockdev', ...BLOCKDEV.map(name => `--${name}`), device])
  if (retcode !== 0) throw new CommandExecutionError(stderr || `blockdev ended with ${retcode}`)
  const values = stdout.split('\n')
  const wanted = texts(a.args, 'args')
  const names = wanted.length === 0 ? BLOCKDEV : BLOCKDEV.filter(name => wanted.includes(name))
  return Object.fromEntries(names.map(name => [name, values[BLOCKDEV.indexOf(name)]?.trim() ?? '']))
}

/** A path: what begins with `-` would be an option. */
function checkedDevice(device: string): string {
  if (!device.startsWith('/')) throw new CommandExecutionError(`'${device}' is no absolute path of a device`)
  return device
}
