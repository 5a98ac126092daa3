import jwt from '@fastify/jwt'
import Fastify from 'fastify'
import { jwtOptions, type TokenCodec } from '../auth/jwt.js'

/** The standard's `iat` and `exp` are whole seconds to the library; ours have decimals and travel beside them. */
interface Signed extends Record<string, unknown> {
  readonly times?: { readonly iat?: number; readonly exp?: number }
}

/**
 * @fastify/jwt's signing and reading of tokens, as functions: who needs them (`Authenticator`) is there before the server is, and the command
 * line issues tokens without one. `key`: as `readOrCreateKey` returns it.
 */
export async function createTokenCodec(key: string): Promise<TokenCodec> {
  const app = Fastify()
  await app.register(jwt, jwtOptions(key))
  await app.ready()
  return {
    sign({ iat, exp, ...claims }) {
      const whole = typeof exp === 'number' ? { exp: Math.ceil(exp) } : {}
      return app.jwt.sign({ ...claims, ...whole, times: { iat, exp } })
    },
    verify(token) {
      const { times, ...claims } = app.jwt.verify<Signed>(token)
      return { ...claims, ...times }
    }
  }
}
