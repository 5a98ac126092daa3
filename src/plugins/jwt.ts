import jwt from '@fastify/jwt'
import Fastify from 'fastify'
import { jwtOptions, type TokenCodec } from '../auth/jwt.js'

/**
 * @fastify/jwt's signing and reading of tokens, as functions: who needs them (`Authenticator`) is there before the server is, and the command
 * line issues tokens without one. `key`: as `readOrCreateKey` returns it.
 */
export async function createTokenCodec(key: string): Promise<TokenCodec> {
  const app = Fastify()
  await app.register(jwt, jwtOptions(key))
  await app.ready()
  return { sign: claims => app.jwt.sign(claims), verify: token => app.jwt.verify<Record<string, unknown>>(token) }
}
