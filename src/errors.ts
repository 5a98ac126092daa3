/**
 * Every error that a person or a program meets: code, HTTP status, exit code of the CLI, text (with `%s` for the offending values) and what
 * to do next. Services throw `brineError(code, …values)`; one handler turns it into an answer, the CLI into an exit code.
 */
interface ErrorKind {
  readonly status: number
  readonly text: string
  readonly hint?: string
}

export const ERRORS = {
  // requests
  BODY_MALFORMED: { status: 400, text: 'the %s body does not parse: %s' },
  FIELD_INVALID: { status: 400, text: "field '%s': %s" },
  FIELD_MISSING: { status: 400, text: "field '%s' is missing" },
  BODY_TOO_LARGE: { status: 413, text: 'the body is larger than %s bytes', hint: 'the limit is the setting max_request_body_size' },
  MEDIA_TYPE: { status: 406, text: "content type '%s' is not supported", hint: 'send JSON, YAML, a form or text/plain' },
  NOT_ACCEPTABLE: {
    status: 406,
    text: 'Your client sent this Accept header: %s. But this resource only emits these media types: application/json, application/x-yaml.'
  },
  FORBIDDEN: { status: 403, text: 'Request forbidden -- authorization will not help' },
  BAD_IP: { status: 403, text: 'Bad IP', hint: 'the setting rest_cherrypy.authorized_ips lists the addresses that may ask' },
  NOT_FOUND: { status: 404, text: "'%s' was not found" },
  METHOD_NOT_ALLOWED: { status: 405, text: 'method %s is not allowed here' },
  UPGRADE_REQUIRED: { status: 426, text: 'this path speaks WebSocket', hint: 'send Upgrade: websocket' },
  WEBSOCKET_VERSION: { status: 426, text: "WebSocket version '%s' is not spoken here, but 13" },
  CONFLICT: { status: 409, text: '%s' },
  PRECONDITION_FAILED: { status: 412, text: "'%s' was changed meanwhile", hint: 'read it again and repeat the change' },
  PRECONDITION_REQUIRED: {
    status: 428,
    text: "'%s' exists; say over which version with If-Match",
    hint: 'the ETag of a GET, or * for whatever is there'
  },
  RATE_LIMITED: { status: 429, text: 'too many attempts; wait %s seconds' },
  INTERNAL: { status: 500, text: 'an unexpected error occurred', hint: 'the server log has the details under this request id' },
  SHUTTING_DOWN: { status: 503, text: 'the server is shutting down' },
  TOO_MANY: { status: 503, text: 'too many %s', hint: 'try again after Retry-After seconds' },
  GATEWAY_TIMEOUT: {
    status: 504,
    text: 'The gateway server did not receive a timely response',
    hint: 'the call goes on; its events tell the outcome'
  },
  TIMEOUT: { status: 504, text: '%s did not answer within %s seconds' },
  // who may do what
  NO_TOKEN: { status: 401, text: 'No permission -- see authorization schemes', hint: 'POST /login, then send the token as X-Auth-Token' },
  CROSS_SITE: {
    status: 403,
    text: 'a session cookie does not count on a request from another site',
    hint: 'send the token as X-Auth-Token'
  },
  LOGIN_FAILED: { status: 401, text: 'Could not authenticate using provided credentials' },
  // Salt's words for the calls of a lowstate (golden/api section 7)
  NO_CREDENTIALS: { status: 401, text: 'No authentication credentials given', hint: 'give token, or username, password and eauth' },
  CREDENTIALS_MISSING: { status: 400, text: 'Require "username", "password", and "eauth" params' },
  CHUNK_TOKEN: { status: 401, text: 'Invalid token' },
  AUTHENTICATION: { status: 401, text: 'Authentication error occurred.' },
  AUTHORIZATION: { status: 401, text: 'Authorization error occurred.', hint: 'the setting external_auth says who may do what' },
  FUNCTION_REFUSED: {
    status: 401,
    text: 'Authentication failure of type "%s" occurred for user %s.',
    hint: 'the setting external_auth says who may do what'
  },
  RAW_SHELL: { status: 401, text: 'Raw shell option not allowed.' },
  NOT_PERMITTED: { status: 403, text: "'%s' may not %s", hint: 'the setting external_auth says who may do what' },
  EVENTS_REFUSED: { status: 401, text: 'No permission -- see authorization schemes', hint: "the setting external_auth grants '@events'" },
  // events
  TAG_INVALID: { status: 400, text: 'tag %s: %s' },
  EVENT_TOO_LARGE: { status: 413, text: 'event data of %s bytes is larger than %s', hint: 'the limit is the setting max_event_size' },
  STREAMS_FULL: { status: 503, text: 'there are %s open streams already', hint: 'the limit is the setting max_subscribers' },
  CURSOR_INVALID: { status: 400, text: "'%s' is no event id, time or 'earliest'" },
  EVENTS_GONE: { status: 410, text: 'events up to %s were dropped by retention before they were read', hint: 'read on after that event' },
  // store
  STORE_BUSY: { status: 503, text: 'too many writes are waiting', hint: 'try again after Retry-After seconds' },
  REACTOR_BUSY: { status: 503, text: 'too many events wait for their reactions', hint: 'try again after Retry-After seconds' },
  STORE_FULL: { status: 503, text: 'the disk is full; nothing was written', hint: 'make room; the server goes on by itself' },
  STORE_FAILED: { status: 503, text: 'the store does not answer: %s' },
  STORE_LOCKED: {
    status: 500,
    text: "'%s' is in use by another brine server (pid %s)",
    hint: 'stop that server, or start this one with another --data'
  },
  STORE_CORRUPT: {
    status: 500,
    text: "'%s' is damaged: %s",
    hint: 'stop, keep a copy, restore a backup or salvage with: sqlite3 FILE .recover'
  },
  STORE_NEWER: {
    status: 500,
    text: "'%s' was written by a newer brine (schema %s, this one knows %s)",
    hint: 'start that newer version, or use another --data'
  },
  // jobs, targets, minions, keys
  TARGET_SYNTAX: { status: 400, text: "target '%s' does not parse: %s" },
  TARGET_TYPE: { status: 400, text: "target type '%s' is unknown" },
  CLIENT_UNKNOWN: { status: 400, text: "Invalid client specified: '%s'" },
  CLIENT_DISABLED: { status: 400, text: "Client disabled: '%s'. Add to 'netapi_enable_clients' master config option to enable." },
  LOWSTATE_NOT_LIST: { status: 400, text: 'Lowstates must be a list' },
  FUNCTION_MISSING: { status: 400, text: '%s takes at least 1 argument (0 given)', hint: "name the function in 'fun'" },
  FUNCTION_UNKNOWN: { status: 400, text: "'%s' is not available" },
  JID_TAKEN: { status: 409, text: "job id '%s' is taken" },
  MINION_ID_INVALID: { status: 400, text: "minion id '%s' is not valid: %s" },
  KEY_NOT_ACCEPTED: { status: 403, text: "minion '%s' waits for its key to be accepted", hint: 'brine key accept %s' },
  KEY_REJECTED: { status: 403, text: "the key of minion '%s' is rejected" },
  KEY_DENIED: { status: 403, text: "minion '%s' is known with another key", hint: 'brine key delete %s, if the machine was set up anew' },
  KEY_INVALID: { status: 400, text: "the key of minion '%s' is no RSA public key of 2048 to 8192 bits in PEM" },
  PROTOCOL_VERSION: {
    status: 400,
    text: 'link protocol %s is not spoken here, but %s',
    hint: 'give minion and server the same version of brine'
  },
  KEY_PROOF: { status: 401, text: "minion '%s' did not prove its key" },
  // reactor
  RULE_READ_ONLY: { status: 409, text: "rule '%s' comes from the configuration", hint: 'change it there, or disable it there' },
  SLS_INVALID: { status: 400, text: '%s', hint: 'nothing was written' },
  NO_REACTOR_ROOTS: {
    status: 409,
    text: 'the configuration names no directory for SLS files of the reactor',
    hint: 'the setting reactor_roots'
  },
  RELOAD_FAILED: { status: 409, text: 'the rules are as they were: %s' },
  TEMPLATE: { status: 400, text: '%s' },
  // command line and configuration
  CONFIG_INVALID: { status: 500, text: 'the configuration has %s:\n%s' },
  ADDRESS_UNUSABLE: {
    status: 500,
    text: 'cannot listen on %s: %s',
    hint: 'choose another with --host and --port; port 0 takes a free one'
  },
  USAGE: { status: 400, text: '%s' },
  MASTER_UNREACHABLE: {
    status: 503,
    text: 'no server answers: %s',
    hint: 'without a server: brine call --local …; another server: --master URL'
  },
  MASTER_KEY: { status: 403, text: '%s', hint: 'there: brine key list, brine key accept ID' },
  MASTER_REFUSED: { status: 400, text: 'the server refused: %s' },
  DIRECTORY_LOCKED: {
    status: 500,
    text: "'%s' is in use by another minion (pid %s)",
    hint: 'stop that minion, or start this one with another --dir'
  },
  UNREACHABLE: { status: 503, text: 'no brine server answers at %s: %s', hint: 'start one with: brine start' }
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof ERRORS

export class BrineError extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly hint: string | undefined
  /** Values for `%s`, in order; they never hold secrets. */
  readonly values: readonly string[]
  /** Seconds for `Retry-After`. */
  readonly retryAfter: number | undefined
  /** In a request of many lines: the line at fault, counted from 1. */
  readonly line: number | undefined

  constructor(code: ErrorCode, values: readonly string[], options: { cause?: unknown; retryAfter?: number; line?: number } = {}) {
    const kind: ErrorKind = ERRORS[code]
    super(fill(kind.text, values), options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'BrineError'
    this.code = code
    this.status = kind.status
    this.hint = kind.hint === undefined ? undefined : fill(kind.hint, values)
    this.values = values
    this.retryAfter = options.retryAfter
    this.line = options.line
  }
}

/** An error from the table above, its `%s` filled with the values in order. */
export function brineError(code: ErrorCode, ...values: (string | number)[]): BrineError {
  return new BrineError(code, values.map(String))
}

export function isBrineError(error: unknown, code?: ErrorCode): error is BrineError {
  return error instanceof BrineError && (code === undefined || error.code === code)
}

function fill(text: string, values: readonly string[]): string {
  let next = 0
  return text.replace(/%s/g, () => values[next++] ?? '')
}
