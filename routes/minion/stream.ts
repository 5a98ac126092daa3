import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { refusals } from '../../src/plugins/errors.js'

/** GET /minion/stream: jobs for the minion, one JSON object per line, until either side ends it. */
export const stream: FastifyPluginAsync = async app => {
  const { link } = app.services
  const schema = {
    tags: ['link'],
    summary: "A minion's jobs",
    description: 'NDJSON: `hello`, then `job`, `ping` and at last `bye` with the reason.',
    security: [{ bearer: [] }],
    response: { 200: Type.String(), ...refusals(401) }
  }
  app.get('/minion/stream', { schema, exposeHeadRoute: false }, (request, reply) => {
    reply.hijack()
    const socket = takeSocket(reply.raw)
    if (socket === null) return
    socket.setNoDelay(true)
    socket.write(HEAD)
    link.open(request.caller, socket)
  })
  // By `onClose` it would be too late: closing waits for the streams. (A server without a link has none.)
  app.addHook('preClose', async () => link?.stop())
}

/** The body ends with the connection. */
const HEAD = [
  'HTTP/1.1 200 OK',
  'content-type: application/x-ndjson',
  'cache-control: no-store',
  'x-accel-buffering: no',
  'x-content-type-options: nosniff',
  'connection: close',
  '\r\n'
].join('\r\n')

/**
 * The connection for the stream alone. Told that its answer has finished, Node's server lets go of request and answer, and Fastify of what belongs
 * to them: held by each of ten thousand streams, that would be a third of their memory. Null when the connection is gone, or is another answer's
 * (a pipelined request).
 */
function takeSocket(raw: ServerResponse): Socket | null {
  const { socket } = raw
  if (socket === null || socket.destroyed) {
    raw.destroy()
    return null
  }
  raw.emit('finish')
  // Node takes the connection for one that waits for its next request.
  socket.setTimeout(0)
  return socket
}
