import { connect, type Socket } from 'node:net'
import { serve } from '../processes.js'

/** What ends a frame; in every stream of this bench exactly once per event. */
const FRAME = Buffer.from('\n\n')

interface Reader {
  readonly socket: Socket
  frames: number
  /** The last byte of what came before was a line feed. */
  half: boolean
}

const readers: Reader[] = []
let total = 0
let wanted = Number.POSITIVE_INFINITY
let reached: (() => void) | null = null
let first = ''

/** Opens so many streams; a hundred at a time, so that no connection is refused. */
async function open({ url, token, path, count }: { url: string; token: string; path: string; count: number }): Promise<void> {
  const { hostname, port } = new URL(url)
  const request = `GET ${path} HTTP/1.1\r\nHost: bench\r\nX-Auth-Token: ${token}\r\n\r\n`
  for (let left = count; left > 0; left -= 100) {
    await Promise.all(Array.from({ length: Math.min(left, 100) }, () => openOne(hostname, Number(port), request)))
  }
}

function openOne(host: string, port: number, request: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => socket.write(request))
    const reader: Reader = { socket, frames: 0, half: false }
    socket.once('data', () => {
      readers.push(reader)
      socket.on('data', chunk => count(reader, chunk))
      resolve()
    })
    socket.on('error', reject)
  })
}

function count(reader: Reader, chunk: Buffer): void {
  if (first.length < 4096) first += chunk.toString('utf8')
  let frames = reader.half && chunk[0] === 10 ? 1 : 0
  for (let at = chunk.indexOf(FRAME, frames); at >= 0; at = chunk.indexOf(FRAME, at + 2)) frames++
  reader.half = chunk[chunk.length - 1] === 10 && chunk[chunk.length - 2] !== 10
  reader.frames += frames
  total += frames
  if (total >= wanted) reached?.()
}

serve({
  open,
  /** Resolves when so many frames came in all. */
  expect: ({ frames }: { frames: number }) =>
    new Promise<void>(resolve => {
      wanted = frames
      reached = resolve
      if (total >= wanted) resolve()
    }),
  received: () => total,
  least: () => Math.min(...readers.map(reader => reader.frames)),
  /** The beginning of what came, to see what a frame looks like. */
  sample: () => first,
  close: () => {
    for (const { socket } of readers) socket.destroy()
  }
})
