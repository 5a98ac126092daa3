import { constants, createGzip } from 'node:zlib'
import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { brineError } from '../../src/errors.js'
import { refusals } from '../../src/plugins/errors.js'
import { acceptsGzip, isPacked, PACK_FROM } from '../../src/shared/packing.js'
import { pack } from './packed.js'

const Saltenv = Type.Optional(Type.String({ default: 'base', maxLength: 255, description: 'Environment of file_roots' }))

/** GET /minion/file, /minion/files, /minion/environments: the server's file_roots for minions. */
export const files: FastifyPluginAsync = async app => {
  const { link } = app.services
  const common = { tags: ['link'], security: [{ bearer: [] }] }

  const one = {
    ...common,
    summary: 'A file of file_roots',
    description:
      'The ETag is the SHA-256 of the content, in quotes; with If-None-Match a file that is still the same is answered with 304. Range (one, in ' +
      'bytes) and If-Range count as in RFC 9110: 206, or 416 beyond the end. A whole file comes packed to whoever accepts gzip, if that pays; its ' +
      'size is X-File-Size then.',
    querystring: Type.Object({ path: Type.String({ maxLength: 4096 }), saltenv: Saltenv }, { additionalProperties: false }),
    response: { 200: Type.String(), 206: Type.String(), ...refusals(400, 401, 404) }
  }
  app.get<{ Querystring: { path: string; saltenv?: string } }>('/minion/file', { schema: one }, async (request, reply) => {
    const { path, saltenv = 'base' } = request.query
    const file = await link.files.open(path, saltenv)
    if (file === null) throw brineError('NOT_FOUND', `salt://${path.slice(0, 200)}`)
    const etag = `"${file.hash}"`
    reply.header('etag', etag).header('cache-control', 'private, no-cache')
    if (request.headers['if-none-match'] === etag || request.method === 'HEAD') {
      await file.close()
      return reply.code(request.method === 'HEAD' ? 200 : 304).send()
    }
    reply.header('accept-ranges', 'bytes')
    const ifRange = request.headers['if-range']
    const range = ifRange === undefined || ifRange === etag ? readRange(request.headers.range, file.size) : null
    if (range === 'beyond') {
      await file.close()
      return reply.code(416).header('content-range', `bytes */${file.size}`).send()
    }
    if (range !== null) {
      const [from, to] = range
      reply
        .code(206)
        .header('content-range', `bytes ${from}-${to}/${file.size}`)
        .header('content-length', to - from + 1)
      return reply.type('application/octet-stream').send(file.content(from, to))
    }
    reply.type('application/octet-stream').header('vary', 'Accept-Encoding')
    if (file.size < PACK_FROM || isPacked(path) || !acceptsGzip(request.headers['accept-encoding']))
      return reply.header('content-length', file.size).send(file.content())
    const content = file.content()
    const gzip = createGzip({ level: constants.Z_BEST_SPEED })
    content.once('error', error => gzip.destroy(error))
    gzip.once('close', () => content.destroy())
    return reply.header('content-encoding', 'gzip').header('x-file-size', file.size).send(content.pipe(gzip))
  })

  const list = {
    ...common,
    summary: 'Paths of all files, directories and links of an environment',
    querystring: Type.Object({ saltenv: Saltenv }, { additionalProperties: false }),
    response: {
      200: Type.Object({
        files: Type.Array(Type.String()),
        directories: Type.Array(Type.String(), { description: 'Empty ones too' }),
        links: Type.Record(Type.String(), Type.String(), { description: 'Path to target; what they lead to is among the files, too' })
      }),
      ...refusals(401, 503)
    }
  }
  app.get<{ Querystring: { saltenv?: string } }>('/minion/files', { schema: list, onSend: pack }, async request =>
    link.files.tree(request.query.saltenv ?? 'base')
  )

  const environments = {
    ...common,
    summary: 'Environments of file_roots',
    response: { 200: Type.Object({ environments: Type.Array(Type.String()) }), ...refusals(401) }
  }
  app.get('/minion/environments', { schema: environments }, async () => ({ environments: link.files.environments() }))
}

/**
 * `bytes=5-`, `bytes=5-9`, `bytes=-3` → first and last byte. Null: no range, or of a kind that may be passed over (RFC 9110 section 14.2:
 * several, other units); `beyond`: nothing of the file is in it.
 */
function readRange(header: string | undefined, size: number): [from: number, to: number] | 'beyond' | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  if (!match || (match[1] === '' && match[2] === '')) return null
  const [first, last] = [match[1]!, match[2]!]
  const from = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const to = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (first !== '' && last !== '' && Number(last) < from) return null
  return from < size && to >= from ? [from, to] : 'beyond'
}
