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
    const { raw } = reply
    raw.socket?.setNoDelay(true)
    raw.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
    link.open(request.caller, raw)
  })
  // By `onClose` it would be too late: closing waits for the streams. (A server without a link has none.)
  app.addHook('preClose', async () => link?.stop())
}
