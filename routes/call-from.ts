import type { FastifyReply, FastifyRequest } from 'fastify'
import type { From } from '../src/jobs/lowstate.js'

/**
 * Where a command comes from. Its signal aborts when the client goes before it was answered, so that nobody waits for minions in its name.
 * (`request.signal` is no use here: with a body it aborts as soon as the body has been read.)
 */
export function callFrom(request: FastifyRequest, reply: FastifyReply): From {
  const gone = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort()
  })
  return { address: request.ip, signal: gone.signal }
}
