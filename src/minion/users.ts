/** Users and groups of this machine, from /etc/passwd and /etc/group, else from the system's databases (`getent`). */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

export interface User {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
  readonly shell: string
}

const run = promisify(execFile)
/** Long enough for a directory service that answers at all. */
const GETENT_MS = 5000

/** A user by name or number; null when there is none. */
export async function findUser(name: string | number): Promise<User | null> {
  const line = await find('passwd', String(name))
  if (!line) return null
  const [user, , uid, gid, , home, shell] = line.split(':')
  return { name: user!, uid: Number(uid), gid: Number(gid), home: home || '/', shell: shell || '/bin/sh' }
}

/** A group's number by its name or number; null when there is none. */
export async function findGroupId(name: string | number): Promise<number | null> {
  const line = await find('group', String(name))
  return line ? Number(line.split(':')[2]) : null
}

/** The name of a user or group number; the number as text when it has none. */
export async function nameOfId(kind: 'passwd' | 'group', id: number): Promise<string> {
  return (await find(kind, String(id)))?.split(':')[0] ?? String(id)
}

async function find(database: 'passwd' | 'group', key: string): Promise<string | null> {
  const column = /^\d+$/.test(key) ? 2 : 0
  const text = await readFile(`/etc/${database}`, 'utf8').catch(() => '')
  const local = text.split('\n').find(line => line.split(':')[column] === key)
  if (local) return local
  if (key === '' || key.startsWith('-')) return null
  try {
    return (await run('getent', [database, key], { timeout: GETENT_MS })).stdout.trim() || null
  } catch {
    return null
  }
}
