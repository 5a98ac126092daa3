import type { FastifyInstance } from 'fastify'
import type { Caller } from '../auth/caller.js'
import { brineError } from '../errors.js'
import { verify } from './authenticate.js'

/**
 * Every request of this scope comes from a minion that has proved its key, and whose key is still accepted; `request.caller` is that minion.
 * Its token stands in `Authorization: Bearer` and nowhere else. Throws NO_TOKEN (401) otherwise, before the body is read.
 */
export function requireMinion(app: FastifyInstance): void {
  const { auth, link } = app.services
  app.addHook('onRequest', (request, _reply, done) => {
    const token = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
    if (token === undefined) return done(brineError('NO_TOKEN'))
    const accept = (caller: Caller) => {
      if (!link.admits(caller)) return done(brineError('NO_TOKEN'))
      request.caller = caller
      done()
    }
    verify(auth, token, accept, done)
  })
}
