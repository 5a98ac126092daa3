import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { Caller } from '../src/auth/caller.js'
import { brineError } from '../src/errors.js'
import type { EventData } from '../src/events/event.js'
import type { Services } from '../src/services.js'

/** An event as a client sends it. */
export interface Incoming {
  readonly tag: string
  readonly data: EventData
}

/** Longest Idempotency-Key: a UUID has 36 characters, a hash 64. */
const MAX_KEY = 255

/**
 * The request's Idempotency-Key, made the caller's own (users of two backends may share a name) and these tags' own: nobody is answered with
 * somebody else's event, and an event with another tag is not taken for a repeat and lost. Hashed, which bounds it and leaves nothing to
 * imitate by a name with a space. Throws FIELD_INVALID.
 */
export function idempotencyKey(request: FastifyRequest, tags: readonly string[]): { idempotencyKey?: string } {
  const key = request.headers['idempotency-key']
  if (key === undefined) return {}
  if (typeof key !== 'string' || key.length === 0 || key.length > MAX_KEY) {
    throw brineError('FIELD_INVALID', 'Idempotency-Key', `must have 1 to ${MAX_KEY} characters`)
  }
  const { source, eauth } = request.caller
  return {
    idempotencyKey: createHash('sha256')
      .update(JSON.stringify([source, eauth, key, tags]))
      .digest('base64url')
  }
}

/** Throws REACTOR_BUSY while so much waits for its reactions that nothing more may come: the reactor never drops work, so ingest must wait. */
export function checkRoom({ reactor }: Services): void {
  if (reactor.overloaded()) throw brineError('REACTOR_BUSY')
}

/** Throws NOT_PERMITTED unless the caller may fire this tag. */
export function checkFire(caller: Caller, tag: string): void {
  if (!caller.may({ kind: 'fire', tag })) throw brineError('NOT_PERMITTED', caller.user, `fire ${JSON.stringify(tag.slice(0, 100))}`)
}

/** Checks the shape of one event; `at` names its place in the request (`[3]`), empty when it is the whole. */
export function readIncoming(value: unknown, at: string): Incoming {
  const path = (name: string) => (at === '' ? name : `${at}.${name}`)
  if (!isMapping(value)) throw brineError('FIELD_INVALID', at || 'body', 'must be a mapping {tag, data}')
  const { tag, data = {}, ...rest } = value
  if (tag === undefined) throw brineError('FIELD_MISSING', path('tag'))
  if (typeof tag !== 'string') throw brineError('FIELD_INVALID', path('tag'), 'must be a text')
  if (!isMapping(data)) throw brineError('FIELD_INVALID', path('data'), 'must be a mapping')
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) throw brineError('FIELD_INVALID', path(unknown.slice(0, 100)), 'is not known here')
  return { tag, data }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
