import { isBrineError } from '../errors.js'
import { param, type ServerFunction, serverFunction } from './function.js'

const mkToken = serverFunction({
  name: 'auth.mk_token',
  doc: 'Log a user in and return the token: {start, expire, name, eauth, token}; False when the credentials are wrong.',
  params: { username: param.text(), password: param.text(), eauth: param.text(), token_expire: param.numberOr(null) },
  takesKwargs: true,
  redact: value => (typeof value === 'object' && value !== null ? { ...value, token: '**********' } : value),
  async run({ auth, source }, { username, password, eauth, token_expire }) {
    try {
      // The address is not known here: attempts count against whoever called.
      const request = { username, password, eauth, address: source, ...(token_expire === null ? {} : { tokenExpire: token_expire }) }
      const login = await auth!.login(request, 'eauth')
      return { start: login.startUs / 1e6, expire: login.expiresUs / 1e6, name: username, eauth, token: login.token }
    } catch (error) {
      if (isBrineError(error, 'LOGIN_FAILED')) return false
      throw error
    }
  }
})

const delToken = serverFunction({
  name: 'auth.del_token',
  doc: 'End a token, with all that it holds open. True when there was such a token.',
  params: { token: param.text() },
  async run({ auth }, { token }) {
    try {
      const { jti } = await auth!.verify(token)
      return jti !== null && (await auth!.revoke(jti)) === 'revoked'
    } catch (error) {
      if (isBrineError(error, 'NO_TOKEN')) return false
      throw error
    }
  }
})

/** The runner's functions for tokens. */
export const authRunners: readonly ServerFunction[] = [mkToken, delToken]
