import jwt from '@fastify/jwt'
import Fastify from 'fastify'
import { jwtOptions, type TokenCodec } from '../auth/jwt.js'

/**
 * @fastify/jwt's sign and verify for services, which come before the HTTP server. The instance that carries the plugin never listens.
 * `key`: base64, as `readOrCreateKey` gives it.
 */
export async function tokenCodec(key: string): Promise<TokenCodec> {
  const carrier = Fastify({ logger: false })
  await carrier.register(jwt, jwtOptions(key))
  await carrier.ready()
  return {
    sign: claims => carrier.jwt.sign(claims),
    verify: token => carrier.jwt.verify<Record<string, unknown>>(token)
  }
}
