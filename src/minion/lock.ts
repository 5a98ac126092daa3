import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brineError } from '../errors.js'
import { readIfThere } from './disk.js'

/** Attempts to take the lock when others want it at the same moment. */
const ATTEMPTS = 5

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
    for (let attempt = 1; ; attempt++) {
      if (await linked(mine, lock)) break
      const found = await readIfThere(lock)
      if (found === null) continue
      if (attempt === ATTEMPTS || (await isAlive(found))) throw brineError('DIRECTORY_LOCKED', dir, found.split(' ')[0] ?? '?')
      await takeAway(lock, found, `${mine}.old`)
    }
  } finally {
    await rm(mine, { force: true })
  }
  return async () => {
    if ((await readIfThere(lock)) === holder) await rm(lock, { force: true })
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

/** Removes the stale lock, and no other: if somebody took it meanwhile it is put back. */
async function takeAway(lock: string, stale: string, aside: string): Promise<void> {
  try {
    await rename(lock, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if ((await readFile(aside, 'utf8')) !== stale) await linked(aside, lock)
  await rm(aside, { force: true })
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
