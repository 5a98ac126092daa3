import type { Readable } from 'node:stream'
import { Transform } from 'node:stream'
import { promisify } from 'node:util'
import { createGunzip, gzip, constants as zlib } from 'node:zlib'
import type { FastifyReply, FastifyRequest, preParsingHookHandler } from 'fastify'
import { brineError } from '../../src/errors.js'
import { acceptsGzip, PACK_FROM } from '../../src/shared/packing.js'

/**
 * Unpacks a body with `Content-Encoding: gzip` for the route's parser. What comes out is bound by the route's `bodyLimit`, as a plain body is:
 * beyond it nothing more is unpacked (413), however small it came.
 */
export const unpack: preParsingHookHandler = (request, _reply, payload, done) => {
  const encoding = request.headers['content-encoding'] ?? 'identity'
  if (encoding === 'identity') done(null, payload)
  else if (encoding === 'gzip') done(null, gunzipped(payload as Readable))
  else done(brineError('FIELD_INVALID', 'content-encoding', 'must be gzip, or none'))
}

const packed = promisify(gzip)

/** An `onSend` hook: packs a large JSON answer for a minion that takes it so (pillars, lists of files). */
export async function pack(request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
  if (typeof payload !== 'string' || payload.length < PACK_FROM) return payload
  reply.header('vary', 'Accept-Encoding')
  if (!acceptsGzip(request.headers['accept-encoding'])) return payload
  const bytes = await packed(payload, { level: zlib.Z_BEST_SPEED })
  reply.header('content-encoding', 'gzip').header('content-length', bytes.length)
  return bytes
}

/** Fastify compares the Content-Length with `receivedEncodedLength`: what came, not what came out. */
function gunzipped(payload: Readable): Transform & { receivedEncodedLength: number } {
  const counted = Object.assign(new Transform(), { receivedEncodedLength: 0 })
  const gunzip = createGunzip({ finishFlush: zlib.Z_FINISH })
  counted._transform = (chunk, _encoding, done) => done(null, chunk)
  payload.on('data', (chunk: Buffer) => {
    counted.receivedEncodedLength += chunk.length
  })
  payload.once('error', error => counted.destroy(error))
  gunzip.once('error', error => counted.destroy(brineError('BODY_MALFORMED', 'gzip', error.message)))
  // The parser has had enough (413): the rest is neither read nor unpacked.
  counted.once('close', () => {
    payload.unpipe(gunzip)
    gunzip.destroy()
    payload.resume()
  })
  payload.pipe(gunzip).pipe(counted)
  return counted
}
