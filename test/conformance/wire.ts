import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'

/**
 * A client that sends exactly the bytes of a recorded request and shows exactly what comes back: fetch and node:http would correct methods,
 * lengths and paths before they are sent.
 */
export interface Answer {
  readonly status: number
  /** Lower-case names; of repeated ones the last. */
  readonly headers: Readonly<Record<string, string>>
  /** Without HTTP's chunks. */
  readonly body: Buffer
  /** Everything after the head, as it came. */
  readonly wire: Buffer
}

export interface Sent {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | null
}

/** A request that does not end by itself within this time counts as one that was not answered. */
const ANSWER_MS = 40_000

export class Connection {
  #received: Buffer = Buffer.alloc(0)
  #closed = false
  readonly #socket: Socket
  readonly #waiting = new Set<() => void>()

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', bytes => {
      this.#received = Buffer.concat([this.#received, bytes])
      this.#wake()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#closed = true
      this.#wake()
    })
  }

  /** Opens a connection and sends the request. */
  static async send(url: URL, request: Sent): Promise<Connection> {
    const socket = connect(Number(url.port || 80), url.hostname)
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    const connection = new Connection(socket)
    connection.write(requestBytes(request))
    return connection
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  /** Resolves with what `read` makes of the bytes received so far, as soon as that is not null. Null when the time is over. */
  async until<T>(read: (bytes: Buffer, closed: boolean) => T | null, withinMs = ANSWER_MS): Promise<T | null> {
    const end = Date.now() + withinMs
    for (;;) {
      const found = read(this.#received, this.#closed)
      if (found !== null) return found
      const left = end - Date.now()
      if (this.#closed || left <= 0) return null
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left)
        this.#waiting.add(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  get received(): Buffer {
    return this.#received
  }

  close(): void {
    this.#socket.destroy()
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}

/** Sends a request and waits for the whole answer. Throws when none came. */
export async function ask(url: URL, request: Sent): Promise<Answer> {
  const connection = await Connection.send(url, request)
  const answer = await connection.until((bytes, closed) => wholeAnswer(bytes, closed, request.method))
  connection.close()
  if (answer === null)
    throw new Error(`no answer to ${request.method} ${request.path}: ${connection.received.toString('latin1').slice(0, 200)}`)
  return answer
}

function requestBytes({ method, path, headers, body }: Sent): Buffer {
  const chunked = Object.keys(headers).some(name => name.toLowerCase() === 'transfer-encoding')
  const lengths = Object.keys(headers).some(name => name.toLowerCase() === 'content-length')
  const lines = [`${method} ${path} HTTP/1.1`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)]
  if (body !== null && !chunked && !lengths) lines.push(`Content-Length: ${body.length}`)
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'utf8')
  if (body === null) return head
  return Buffer.concat(chunked ? [head, Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')] : [head, body])
}

export interface Head {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Where the body begins. */
  readonly end: number
}

/** Null until the head is complete. Interim answers (100) are skipped. */
export function readHead(bytes: Buffer, from = 0): Head | null {
  const end = bytes.indexOf('\r\n\r\n', from)
  if (end < 0) return null
  const [first = '', ...lines] = bytes.toString('utf8', from, end).split('\r\n')
  const status = Number(first.split(' ')[1])
  if (status === 100) return readHead(bytes, end + 4)
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  return { status, headers, end: end + 4 }
}

function wholeAnswer(bytes: Buffer, closed: boolean, method: string): Answer | null {
  const head = readHead(bytes)
  if (head === null) return null
  const { status, headers } = head
  const wire = bytes.subarray(head.end)
  if (method === 'HEAD' || status === 204 || status === 304) return { status, headers, body: Buffer.alloc(0), wire }
  if (headers['transfer-encoding'] === 'chunked') {
    const { body, complete } = dechunked(wire)
    return complete || closed ? { status, headers, body, wire } : null
  }
  const length = headers['content-length']
  if (length !== undefined && wire.length < Number(length)) return closed ? { status, headers, body: wire, wire } : null
  if (length === undefined && !closed) return null
  return { status, headers, body: length === undefined ? wire : wire.subarray(0, Number(length)), wire }
}

/** What has come of a body in chunks. */
export function dechunked(wire: Buffer): { body: Buffer; complete: boolean } {
  const parts: Buffer[] = []
  let at = 0
  for (;;) {
    const line = wire.indexOf('\r\n', at)
    if (line < 0) return { body: Buffer.concat(parts), complete: false }
    const size = Number.parseInt(wire.toString('latin1', at, line), 16)
    if (Number.isNaN(size) || wire.length < line + 2 + size) return { body: Buffer.concat(parts), complete: false }
    if (size === 0) return { body: Buffer.concat(parts), complete: true }
    parts.push(wire.subarray(line + 2, line + 2 + size))
    at = line + 2 + size + 2
  }
}

// ── WebSocket frames (RFC 6455), so that the handshake can be sent as it was recorded ────────────────────────────────────────────────────

const OPCODES = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const
export type FrameKind = keyof typeof OPCODES

export interface Frame {
  readonly kind: FrameKind
  readonly data: string
}

/** A client's frame, masked as the RFC wants it. Short frames only. */
export function clientFrame({ kind, data }: Frame): Buffer {
  const payload = Buffer.from(data, 'utf8')
  if (payload.length > 125) throw new RangeError('a test sends short frames')
  const mask = createHash('md5').update(payload).digest().subarray(0, 4)
  const masked = payload.map((byte, i) => byte ^ mask[i % 4]!)
  return Buffer.concat([Buffer.from([0x80 | OPCODES[kind], 0x80 | payload.length]), mask, masked])
}

/** The complete frames of a server. */
export function serverFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = []
  let at = 0
  while (bytes.length >= at + 2) {
    const short = bytes[at + 1]! & 0x7f
    const head = short === 126 ? 4 : short === 127 ? 10 : 2
    if (bytes.length < at + head) break
    const length = short === 126 ? bytes.readUInt16BE(at + 2) : short === 127 ? Number(bytes.readBigUInt64BE(at + 2)) : short
    if (bytes.length < at + head + length) break
    const opcode = bytes[at]! & 0x0f
    const kind = (Object.keys(OPCODES) as FrameKind[]).find(each => OPCODES[each] === opcode) ?? 'text'
    frames.push({ kind, data: bytes.toString('utf8', at + head, at + head + length) })
    at += head + length
  }
  return frames
}
