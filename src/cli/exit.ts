import { type ErrorCode, isBrineError } from '../errors.js'

/** What the exit code of every command means. */
export const EXIT = {
  ok: { code: 0, meaning: 'done' },
  failed: { code: 1, meaning: 'done, and the outcome is a failure: a function failed, nothing matched, the awaited event did not come' },
  usage: { code: 2, meaning: 'the command line is not right, or the server refuses its values' },
  refused: { code: 3, meaning: 'no token, a token that does not count (any more), or no permission' },
  state: { code: 4, meaning: 'what is named does not exist, exists already, or was changed meanwhile' },
  unreachable: { code: 5, meaning: 'no server answers, or it cannot serve now (full disk, overload, stopping)' },
  config: { code: 6, meaning: 'the configuration or the data directory is not right' },
  internal: { code: 70, meaning: 'a fault of brine' },
  interrupted: { code: 130, meaning: 'ended by Ctrl-C' }
} as const

export type Exit = keyof typeof EXIT

/** For `brine help exit-codes` and the end of `brine --help`. */
export function exitCodeTable(): string {
  return Object.values(EXIT)
    .map(({ code, meaning }) => `  ${String(code).padStart(3)}  ${meaning}`)
    .join('\n')
}

const BY_CODE: Partial<Record<ErrorCode, Exit>> = {
  CONFIG_INVALID: 'config',
  STORE_CORRUPT: 'config',
  STORE_NEWER: 'config',
  STORE_LOCKED: 'config',
  ADDRESS_UNUSABLE: 'config',
  NOT_FOUND: 'state',
  CONFLICT: 'state',
  PRECONDITION_FAILED: 'state',
  INTERNAL: 'internal'
}

/** The exit code for an error that ended a command. */
export function exitOf(error: unknown): Exit {
  if (!isBrineError(error)) return 'internal'
  return BY_CODE[error.code] ?? exitOfStatus(error.status)
}

/** The exit code for an answer of the server. */
export function exitOfStatus(status: number): Exit {
  if (status === 401 || status === 403) return 'refused'
  if (status === 404 || status === 409 || status === 412) return 'state'
  if (status === 429 || status >= 502) return 'unreachable'
  return status >= 500 ? 'internal' : 'usage'
}
