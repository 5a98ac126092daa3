import { seconds } from './arguments.js'
import { connect, type RemoteOptions } from './client.js'
import type { Exit } from './exit.js'
import { type Format, format, table } from './output.js'
import type { Terminal } from './terminal.js'

interface TokenOptions extends RemoteOptions {
  readonly out?: Format
}

export interface CreateOptions extends TokenOptions {
  readonly user?: string
  readonly eauth?: string
  readonly label?: string
  readonly expire?: string
  readonly tag?: readonly string[]
  readonly readOnly?: boolean
}

/** `brine token create`: prints the token, and nothing else, so that it can be put into a variable. */
export async function create(terminal: Terminal, options: CreateOptions): Promise<Exit> {
  const { user, eauth, label, expire, tag, readOnly } = options
  const made = (await connect(terminal, options).json('POST', '/tokens', {
    ...(user === undefined ? {} : { user }),
    ...(eauth === undefined ? {} : { eauth }),
    ...(label === undefined ? {} : { label }),
    ...(expire === undefined ? {} : { expire_seconds: seconds(expire) }),
    ...(readOnly || tag ? { scope: 'stream' } : {}),
    ...(tag === undefined ? {} : { tags: tag })
  })) as { token: string; id: string; expires: string }
  terminal.out(options.out === undefined ? `${made.token}\n` : format(made, options.out))
  return 'ok'
}

/** `brine token list`: those that are alive, never the tokens themselves. */
export async function list(terminal: Terminal, options: TokenOptions): Promise<Exit> {
  const { tokens } = (await connect(terminal, options).json('GET', '/tokens')) as { tokens: Record<string, string>[] }
  if (options.out !== undefined) terminal.out(format(tokens, options.out))
  else {
    const rows = tokens.map(({ id, user, eauth, label, expires }) => [id, user, eauth, label, expires].map(cell => cell ?? ''))
    terminal.out(table(['ID', 'USER', 'EAUTH', 'LABEL', 'EXPIRES (UTC)'], rows))
  }
  return 'ok'
}

/** `brine token revoke ID`. */
export async function revoke(terminal: Terminal, id: string, options: TokenOptions): Promise<Exit> {
  await connect(terminal, options).json('DELETE', `/tokens/${encodeURIComponent(id)}`)
  terminal.out(`${id}  revoked\n`)
  return 'ok'
}
