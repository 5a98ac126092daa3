import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import staticFiles from '@fastify/static'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { brineError } from '../src/errors.js'
import { negotiate } from '../src/plugins/answers.js'
import { acceptsGzip } from '../src/shared/packing.js'
import { APP_PAGE, APP_POLICY } from './app-page.js'
import { None } from './schemas.js'

const zipped = promisify(gzip)

/** A GUI has scripts and styles of its own and talks to this server; nobody may put it into a frame. */
const GUI_POLICY = "default-src 'self' 'unsafe-inline' data: blob:; connect-src 'self' ws: wss:; frame-ancestors 'none'"

/**
 * The place of a GUI, as salt-api has it: `app` at `app_path`, or a page that watches events. No token: the page asks for one.
 */
export const gui: FastifyPluginAsync = async app => {
  const { config } = app.services
  const path = config['rest_cherrypy.app_path']
  const schema = { hide: true, querystring: None } as object
  for (const url of [path, `${path}/*`]) app.get(url, { schema }, (request, reply) => sendApp(app, request, reply))
  app.get('/favicon.ico', { schema: { hide: true } as object }, (_request, reply) => {
    // salt-api has the path, and no method for it.
    reply.header('allow', '')
    throw brineError('METHOD_NOT_ALLOWED', 'GET')
  })
}

/** The files of the GUI. salt-api's web server knows of no other method there: what is no file, or not asked for with GET, does not exist. */
export const guiFiles: FastifyPluginAsync = async app => {
  const { 'rest_cherrypy.static': root, 'rest_cherrypy.static_path': prefix } = app.services.config
  if (root === null) return
  await app.register(staticFiles, {
    root,
    prefix: `${prefix}/`,
    decorateReply: false,
    index: false,
    dotfiles: 'deny',
    setHeaders(response, file) {
      response.header('content-security-policy', GUI_POLICY)
      // As salt-api tells it: the page that loads a file says how it is encoded.
      const type = String(response.getHeader('content-type') ?? '')
      if (/^text\//.test(type) && !file.endsWith('.html')) response.header('content-type', type.replace(/;.*$/, ''))
    }
  })
}

/**
 * With `app` set, a browser that goes to any path gets the GUI, so that its own paths can be bookmarked. Only what asks for a page and would rather
 * have that than JSON, and only GET (golden/api section 15, 20).
 */
export function sendAppToBrowsers(app: FastifyInstance): void {
  const { config } = app.services
  const { 'rest_cherrypy.app': file, 'rest_cherrypy.static_path': prefix } = config
  if (file === null) return
  const others = [prefix, '/docs', '/events', '/ws']
  app.addHook('onRequest', async (request, reply) => {
    const path = request.url.split('?', 1)[0]!
    const wanted = (request.method === 'GET' || request.method === 'HEAD') && prefersPage(request)
    if (!wanted || others.some(each => path === each || path.startsWith(`${each}/`))) return
    reply.header('allow', 'GET, HEAD')
    await sendApp(app, request, reply)
    return reply
  })
}

function prefersPage({ headers: { accept = '' } }: FastifyRequest): boolean {
  return /text\/html/i.test(accept) && negotiate(accept, ['application/json', 'text/html']) === 'text/html'
}

async function sendApp(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { 'rest_cherrypy.app': file } = app.services.config
  const page = file === null ? Buffer.from(APP_PAGE) : await pageIn(file)
  const packs = acceptsGzip(request.headers['accept-encoding'])
  reply
    .header('content-type', 'text/html;charset=utf-8')
    .header('content-security-policy', file === null ? APP_POLICY : GUI_POLICY)
    .header('vary', 'Accept-Encoding, Accept')
  if (packs) reply.header('content-encoding', 'gzip')
  return reply.send(packs ? await zipped(page) : page)
}

async function pageIn(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch {
    throw brineError('NOT_FOUND', 'the file that rest_cherrypy.app names')
  }
}
