import type { Socket } from 'node:net'
import fp from 'fastify-plugin'

/** So long may requests that are under way when the server closes take to end. Ctrl-C is done within 2 s, whoever does not read or write. */
const LAST_WORDS_MS = 1000

/**
 * Closing waits for connections. One that never sent a request (browsers and clients keep spare ones) is no reason to wait and is cut at
 * once; one whose request does not come to an end is cut after `LAST_WORDS_MS`.
 */
export default fp(
  async app => {
    const silent = new Set<Socket>()
    app.server.on('connection', socket => {
      silent.add(socket)
      socket.once('close', () => silent.delete(socket))
    })
    app.server.on('request', request => silent.delete(request.socket))
    // A WebSocket says goodbye itself.
    app.server.on('upgrade', request => silent.delete(request.socket))
    app.addHook('preClose', async () => {
      for (const socket of silent) socket.destroy()
      const cut = setTimeout(() => app.server.closeAllConnections(), LAST_WORDS_MS)
      app.server.once('close', () => clearTimeout(cut))
    })
  },
  { name: 'connections' }
)
