import type { ServerResponse } from 'node:http'
import Fastify from 'fastify'
import { gauges, serve } from '../processes.js'

const streams = new Set<ServerResponse>()
let returned = 0
let wanted = Number.POSITIVE_INFINITY
let all: (() => void) | null = null

/** What is left of jobs without brine: a Fastify server with open streams that writes a line to each and counts what is posted back. */
async function start(): Promise<{ url: string }> {
  const app = Fastify()
  app.get('/minion/stream', (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.raw.write('data: {"type": "hello"}\n\n')
    streams.add(reply.raw)
  })
  app.post('/minion/up', async request => {
    const { items } = request.body as { items: unknown[] }
    returned += items.length
    if (returned >= wanted) all?.()
    return { refused: [] }
  })
  return { url: await app.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }) }
}

/** Writes a job to all; resolves with the seconds until all have posted. */
async function ping({ jid }: { jid: string }): Promise<number> {
  returned = 0
  wanted = streams.size
  const done = new Promise<void>(resolve => {
    all = resolve
  })
  const from = performance.now()
  for (const stream of streams) stream.write(`data: {"type": "job", "job": {"jid": "${jid}", "fun": "test.ping", "arg": []}}\n\n`)
  await done
  return (performance.now() - from) / 1000
}

serve({ ...gauges, start, ping })
