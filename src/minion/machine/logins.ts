/** Who is logged in: the records of utmp(5) in glibc's layout. */
import type { Source } from './source.js'

export interface Login {
  readonly name: string
  readonly terminal: string
  readonly host: string
  /** Seconds since 1970. */
  readonly started: number
  readonly pid: number
}

/** Bytes of a record, and of its fields that are read. */
const RECORD = 384
const USER_PROCESS = 7

export async function logins(source: Source): Promise<Login[]> {
  const bytes = (await source.bytes('/run/utmp')) ?? (await source.bytes('/var/run/utmp')) ?? Buffer.alloc(0)
  const found: Login[] = []
  for (let at = 0; at + RECORD <= bytes.length; at += RECORD) {
    const record = bytes.subarray(at, at + RECORD)
    if (record.readInt16LE(0) !== USER_PROCESS) continue
    const field = (from: number, length: number) => record.toString('utf8', from, from + length).replace(/\0[\s\S]*$/, '')
    found.push({
      ...{ name: field(44, 32), terminal: field(8, 32), host: field(76, 256) },
      ...{ started: record.readInt32LE(340), pid: record.readInt32LE(4) }
    })
  }
  return found
}
