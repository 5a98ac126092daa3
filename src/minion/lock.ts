import { createHash, randomBytes } from 'node:crypto'
import { link, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brineError } from '../errors.js'
import { readIfThere } from './disk.js'

/**
 * Keeps two agents from one directory (they would send each other's returns and run jobs twice). `<dir>/agent.pid` holds `<pid> <start>`, where
 * start is the process's start time as the kernel has it: a pid alone may be somebody else's by now. A lock whose process is gone is taken over.
 * Returns its undo. Throws DIRECTORY_LOCKED with the holder's pid.
 */
export async function lockDirectory(dir: string): Promise<() => Promise<void>> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const lock = join(dir, 'agent.pid')
  const mine = `${lock}.${randomBytes(6).toString('hex')}`
  const holder = `${process.pid} ${await startOf(process.pid)}`
  await writeFile(mine, holder, { mode: 0o600 })
  try {
    await acquire(lock, mine, dir)
  } finally {
    await rm(mine, { force: true })
  }
  return async () => {
    if ((await readIfThere(lock)) === holder) await rm(lock, { force: true })
  }
}

/** Returns when `lock` is a link to `mine`. Throws DIRECTORY_LOCKED when a living process has it. */
async function acquire(lock: string, mine: string, dir: string): Promise<void> {
  while (!(await linked(mine, lock))) {
    const found = await readIfThere(lock)
    if (found === null) continue
    if (await isAlive(found)) throw brineError('DIRECTORY_LOCKED', dir, found.split(' ')[0] ?? '?')
    await takeAway(lock, found, mine, dir)
  }
}

/**
 * Removes the stale lock, and no other that somebody has taken meanwhile: who wants to remove it must hold a lock on just this removal, and
 * looks again when it does. (That lock is taken as any other, so that one left behind by a crash is in nobody's way either.)
 */
async function takeAway(lock: string, stale: string, mine: string, dir: string): Promise<void> {
  const claim = `${lock}.${createHash('sha256').update(stale).digest('hex').slice(0, 12)}`
  await acquire(claim, mine, dir)
  try {
    if ((await readIfThere(lock)) === stale) await rm(lock)
  } finally {
    await rm(claim, { force: true })
  }
}

/** `link` is what fails when the name exists, and never leaves a file without content. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function isAlive(holder: string): Promise<boolean> {
  const [pid, start] = holder.split(' ')
  try {
    process.kill(Number(pid), 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return (await startOf(Number(pid))) === start
}

/** Start time of a process in the kernel's ticks since boot; `?` where there is no /proc. */
async function startOf(pid: number): Promise<string> {
  const stat = await readIfThere(`/proc/${pid}/stat`).catch(() => null)
  // The command's name (second field) may have blanks and brackets in it; the start is the 20th field after it.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '?'
}
