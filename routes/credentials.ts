import type { Authenticator } from '../src/auth/authenticator.js'
import type { Caller } from '../src/auth/caller.js'
import { opaqueKind } from '../src/auth/sessions.js'
import { brineError, isBrineError } from '../src/errors.js'

type Fields = Readonly<Record<string, unknown>>

/** What of a chunk or body says who calls, where no session does. It is taken off before anything is run. */
const CREDENTIALS = ['token', 'username', 'password', 'eauth'] as const

/** Who sends a chunk or body, how that was proved, and the fields without the proof. */
export interface Authenticated {
  readonly caller: Caller
  readonly credential: 'token' | 'eauth'
  readonly rest: Fields
}

/**
 * Reads the credentials of a chunk or body.
 * @throws NO_CREDENTIALS, CHUNK_TOKEN; AUTHENTICATION or FUNCTION_REFUSED (by the client that the chunk names) when they are wrong
 */
export async function authenticate(auth: Authenticator, fields: Fields, address: string): Promise<Authenticated> {
  const caller = await callerOf(auth, fields, address)
  const rest = Object.fromEntries(Object.entries(fields).filter(([name]) => !(CREDENTIALS as readonly string[]).includes(name)))
  return { caller, credential: fields.token === undefined ? 'eauth' : 'token', rest }
}

/** Who calls, in Salt's order of checks and with its texts: a token first, else user name and password. */
async function callerOf(auth: Authenticator, fields: Fields, address: string): Promise<Caller> {
  const { token, username, password, eauth } = fields
  try {
    if (token !== undefined) {
      if (typeof token !== 'string' || token === '') throw brineError('CHUNK_TOKEN')
      // The id of a session belongs to POST /, as in salt-api; programs have tokens of their own.
      if (opaqueKind(token) === 'session') throw brineError('NO_TOKEN')
      return await auth.verify(token)
    }
    if (typeof username !== 'string' || typeof password !== 'string' || typeof eauth !== 'string') throw brineError('NO_CREDENTIALS')
    return await auth.identify({ username, password, eauth, address })
  } catch (error) {
    if (isBrineError(error, 'NO_TOKEN') && !hasFormOfToken(token)) throw brineError('CHUNK_TOKEN')
    if (isBrineError(error, 'NO_TOKEN') || isBrineError(error, 'LOGIN_FAILED')) throw refused(fields)
    throw error
  }
}

/** Salt's tokens are hexadecimal, the server's own signed ones have three parts. No token at all has no wrong form. */
function hasFormOfToken(token: unknown): boolean {
  return typeof token !== 'string' || /^[0-9a-f]+$|^[\w-]+(?:\.[\w-]+){2}$/i.test(token)
}

function refused({ client, token, username }: Fields): Error {
  const isFunction = typeof client === 'string' && /^(runner|wheel)/.test(client)
  if (!isFunction) return brineError('AUTHENTICATION')
  return token === undefined
    ? brineError('FUNCTION_REFUSED', 'eauth', String(username))
    : brineError('FUNCTION_REFUSED', 'token', 'UNKNOWN')
}

/** A field of a login as text: what is none is as wrong as an empty one. */
export function asText(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
}
