/** Mounted file systems and block devices. */
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { rounded, type Source, words } from './source.js'

export interface Mount {
  readonly device: string
  readonly mountpoint: string
  readonly fstype: string
  readonly opts: string
}

/** /proc/self/mounts in its order. Blanks in names are written as octal numbers there. */
export async function mounts(source: Source): Promise<Mount[]> {
  const lines = await source.lines('/proc/self/mounts')
  return (lines.length > 0 ? lines : await source.lines('/proc/mounts')).map(line => {
    const [device, mountpoint, fstype, opts] = words(line).map(unescaped)
    return { device: device!, mountpoint: mountpoint!, fstype: fstype ?? '', opts: opts ?? '' }
  })
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}

/** Types of file systems that lie on a device (/proc/filesystems without `nodev`), and zfs. */
export async function physicalTypes(source: Source): Promise<ReadonlySet<string>> {
  const lines = await source.lines('/proc/filesystems')
  return new Set([...lines.filter(line => !line.startsWith('nodev')).map(line => line.trim()), 'zfs'])
}

export interface Usage {
  readonly total: number
  readonly used: number
  /** For everybody but root. */
  readonly free: number
  /** Of what everybody may use. */
  readonly percent: number
}

/** psutil.disk_usage in bytes. Throws ENOENT and the like. */
export async function diskUsage(source: Source, path: string): Promise<Usage> {
  const { bsize, blocks, bfree, bavail } = await statfs(join(source.root, path))
  const used = (blocks - bfree) * bsize
  const free = bavail * bsize
  return { total: blocks * bsize, used, free, percent: used + free === 0 ? 0 : rounded((used / (used + free)) * 100) }
}

/** Names for the columns of /proc/diskstats behind major, minor and device; later kernels have more. */
const COLUMNS = [
  ...['reads_issued', 'reads_merged', 'sectors_read', 'ms_spent_reading', 'writes_completed', 'writes_merged', 'sectors_written'],
  ...['ms_spent_writing', 'io_in_progress', 'ms_spent_in_io', 'weighted_ms_spent_in_io']
] as const
export type DiskStats = { readonly major: number; readonly minor: number; readonly device: string } & Record<
  (typeof COLUMNS)[number],
  number
>

export async function diskStats(source: Source): Promise<DiskStats[]> {
  return (await source.lines('/proc/diskstats')).map(line => {
    const [major, minor, device, ...counts] = words(line)
    const counted = Object.fromEntries(COLUMNS.map((name, i) => [name, Number(counts[i] ?? 0)])) as Record<(typeof COLUMNS)[number], number>
    return { major: Number(major), minor: Number(minor), device: device!, ...counted }
  })
}
