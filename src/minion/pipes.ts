/**
 * Pipes as programs know them. What Node gives its children are sockets: under one as its input bash believes that it was started over the network
 * and reads ~/.bashrc, and one as output cannot be opened again (`> /dev/stderr` fails). A named pipe that has lost its name is a pipe like any other.
 */
import { execFile } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Descriptors of the two ends; closed by whoever took them. */
export interface Pipe {
  readonly read: number
  readonly write: number
}

/** Made at a time, because making one costs a process. */
const AT_A_TIME = 8

const free: Pipe[] = []
let making: Promise<void> | null = null

/** A pipe of one's own. Throws when the system has no `mkfifo` or no room for one. */
export async function takePipe(): Promise<Pipe> {
  for (;;) {
    const pipe = free.pop()
    if (pipe) return pipe
    making ??= make().finally(() => {
      making = null
    })
    await making
  }
}

async function make(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'brine-pipes-'))
  try {
    // Within a directory of the owner's; open for all, so that a program under another user may open its output again.
    const paths = Array.from({ length: AT_A_TIME }, (_, i) => join(dir, String(i)))
    await promisify(execFile)('mkfifo', ['-m', '666', ...paths])
    for (const path of paths) free.push(opened(path))
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** Opening one end alone would wait for the other. */
function opened(path: string): Pipe {
  const both = openSync(path, constants.O_RDWR)
  try {
    return { read: openSync(path, constants.O_RDONLY), write: openSync(path, constants.O_WRONLY) }
  } finally {
    closeSync(both)
  }
}

/** The reading end as a stream, which closes it. */
export function readingEnd({ read }: Pipe): Socket {
  return new Socket({ fd: read, readable: true, writable: false })
}

/** The writing end as a stream, which closes it. */
export function writingEnd({ write }: Pipe): Socket {
  return new Socket({ fd: write, readable: false, writable: true })
}
