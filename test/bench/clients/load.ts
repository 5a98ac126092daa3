import { connect, type Socket } from 'node:net'
import { serve } from '../processes.js'

interface Load {
  readonly url: string
  readonly path: string
  readonly token: string
  readonly body: string
  readonly connections: number
  readonly seconds: number
}

interface Measured {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly failed: number
}

/** Posts on so many connections, one request after the other on each, for so long. Raw sockets, so that the client costs little. */
async function run({ url, path, token, body, connections, seconds }: Load): Promise<Measured> {
  const request = Buffer.from(
    `POST ${path} HTTP/1.1\r\nHost: bench\r\nX-Auth-Token: ${token}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
  const latencies: number[] = []
  let failed = 0
  const until = performance.now() + seconds * 1000
  const from = performance.now()
  const one = (socket: Socket) =>
    new Promise<void>((resolve, reject) => {
      let sent = performance.now()
      let rest = ''
      socket.on('error', reject)
      socket.setNoDelay(true).on('data', chunk => {
        rest += chunk.toString('latin1')
        const head = rest.indexOf('\r\n\r\n')
        if (head < 0) return
        const length = Number(/content-length: (\d+)/i.exec(rest)?.[1] ?? 0)
        if (rest.length < head + 4 + length) return
        if (!rest.startsWith('HTTP/1.1 200')) failed++
        rest = ''
        const now = performance.now()
        latencies.push(now - sent)
        if (now >= until) {
          socket.destroy()
          resolve()
        } else {
          sent = now
          socket.write(request)
        }
      })
      socket.write(request)
    })
  const { hostname, port } = new URL(url)
  await Promise.all(Array.from({ length: connections }, () => one(connect(Number(port), hostname))))
  latencies.sort((a, b) => a - b)
  const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? 0
  return { perSecond: (latencies.length / (performance.now() - from)) * 1000, p50Ms: at(0.5), p99Ms: at(0.99), failed }
}

serve({ run })
