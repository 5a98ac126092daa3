/** Errors that functions throw, each with the text that Salt returns for it. Any other error is an exception of the function itself. */

/** Salt's CommandExecutionError: the work could not be done. */
export class CommandExecutionError extends Error {
  override readonly name = 'CommandExecutionError'
}

/** Salt's SaltInvocationError: the call makes no sense. */
export class InvocationError extends Error {
  override readonly name = 'SaltInvocationError'
}

/** Python's TypeError for a call: arguments do not fit the function's signature. */
export class ArgumentError extends Error {
  override readonly name = 'TypeError'
}

/** What `test.exception` raises. */
export class PlainException extends Error {
  override readonly name = 'Exception'
}

/** `The minion function caused an exception: Traceback …` with the message alone: frames of the minion's own code help nobody who reads a return. */
export function exceptionText(error: unknown): string {
  return `Traceback (most recent call last):\n${errorLine(error)}\n`
}

/** `Name: message`, one line per line of the message. */
export function errorLine(error: unknown): string {
  if (!(error instanceof Error)) return `Exception: ${String(error)}`
  const name = error.name === 'Error' ? 'Exception' : error.name
  return error.message === '' ? name : `${name}: ${error.message}`
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The system's error code (`ENOENT`), if it has one. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : undefined
}
