import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Writes a file that only its owner may read (0600), so that a crash leaves the old or the new one and never half of one: a new file beside it,
 * synced, then renamed over it. The directory is made (0700) when it is missing.
 */
export function writePrivateFile(file: string, text: string): void {
  const dir = dirname(file)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const next = `${file}.${process.pid}.new`
  const fd = openSync(next, 'w', 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(next, file)
  const parent = openSync(dir, 'r')
  try {
    fsyncSync(parent)
  } finally {
    closeSync(parent)
  }
}
