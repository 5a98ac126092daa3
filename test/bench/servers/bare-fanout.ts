import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { gauges, serve } from '../processes.js'

const readers = new Set<ServerResponse>()
let raw = false

/**
 * What fan-out costs without brine: an HTTP server that does not check, store or filter anything. What is posted is written as it is, in a loop
 * over those who listen, once per event: through the answers, as a handler does, or raw to their sockets, framed by hand.
 */
async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === 'GET') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('retry: 400\n')
    readers.add(response)
    return
  }
  const frame = await text(request)
  if (raw) {
    const bytes = Buffer.from(`${Buffer.byteLength(frame).toString(16)}\r\n${frame}\r\n`)
    for (const reader of readers) reader.socket!.write(bytes)
  } else {
    const bytes = Buffer.from(frame)
    for (const reader of readers) reader.write(bytes)
  }
  response.end('{"success": true}')
}

serve({
  ...gauges,
  start: () =>
    new Promise(resolve => {
      const server = createServer((request, response) => void handle(request, response))
      server.listen({ port: 0, host: '127.0.0.1', backlog: 2048 }, () =>
        resolve({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token: 'none' })
      )
    }),
  live: () => readers.size,
  setRaw: (value: boolean) => {
    raw = value
  }
})
