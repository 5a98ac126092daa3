import { brineError } from '../errors.js'
import { seconds } from './arguments.js'
import { connect, type RemoteOptions } from './client.js'
import type { Exit } from './exit.js'
import { type Format, format, table } from './output.js'
import type { Terminal } from './terminal.js'

interface KeyOptions extends RemoteOptions {
  readonly out?: Format
}

type Keys = Record<'minions' | 'minions_pre' | 'minions_rejected' | 'minions_denied', string[]>

const STATES = { accepted: 'minions', pending: 'minions_pre', rejected: 'minions_rejected', denied: 'minions_denied' } as const

/** `brine key list [STATE]`. */
export async function list(terminal: Terminal, state: string | undefined, options: KeyOptions): Promise<Exit> {
  if (state !== undefined && state !== 'all' && !Object.hasOwn(STATES, state)) {
    throw brineError('USAGE', `'${state}' is no state of a key; there are ${Object.keys(STATES).join(', ')}, all`)
  }
  const keys = await wheel<Keys>(terminal, options, 'key.list_all', {})
  const wanted = Object.entries(STATES).filter(([name]) => state === undefined || state === 'all' || state === name)
  if (options.out !== undefined) {
    terminal.out(format(Object.fromEntries(wanted.map(([name, field]) => [name, keys[field]])), options.out))
  } else {
    for (const [name, field] of wanted) terminal.out([`${name}:`, ...keys[field].map(id => `  ${id}`), ''].join('\n'))
  }
  return 'ok'
}

/** `brine key accept|reject|delete MATCH…`. Fails when no key matched; with several, when one of them matched none. */
export async function change(
  terminal: Terminal,
  action: 'accept' | 'reject' | 'delete',
  matches: readonly string[],
  options: KeyOptions & { readonly includeAccepted?: boolean; readonly includeRejected?: boolean; readonly includeDenied?: boolean }
): Promise<Exit> {
  const { includeAccepted, includeRejected, includeDenied } = options
  const more = {
    ...(includeAccepted ? { include_accepted: true } : {}),
    ...(includeRejected ? { include_rejected: true } : {}),
    ...(includeDenied ? { include_denied: true } : {})
  }
  const done: string[] = []
  let missed = false
  for (const match of matches) {
    // key.delete answers `{}` in Salt, whatever it did; who is there before tells whom it means.
    const before = await wheel<Record<string, string[]>>(terminal, options, 'key.name_match', { match })
    const after = await wheel<Record<string, string[]>>(terminal, options, `key.${action}`, { match, ...more })
    const ids = action === 'delete' ? Object.values(before).flat() : Object.values(after).flat()
    if (ids.length === 0) {
      missed = true
      terminal.err(`no key matches '${match}'\n`)
    }
    done.push(...ids)
  }
  const word = { accept: 'accepted', reject: 'rejected', delete: 'deleted' }[action]
  const unique = [...new Set(done)].sort()
  terminal.out(options.out === undefined ? unique.map(id => `${id}  ${word}\n`).join('') : format({ [word]: unique }, options.out))
  return missed ? 'state' : 'ok'
}

/** `brine key finger [MATCH]`. */
export async function finger(terminal: Terminal, match: string, options: KeyOptions): Promise<Exit> {
  const prints = await wheel<Record<string, Record<string, string>>>(terminal, options, 'key.finger', { match })
  terminal.out(format(prints, options.out ?? 'nested'))
  return Object.keys(prints).length === 0 ? 'state' : 'ok'
}

export interface TokenOptions extends KeyOptions {
  readonly for?: string
  readonly ttl?: string
  readonly label?: string
}

/** `brine key token`: makes a one-time token for new minions and prints it, and nothing else, so that it can be put into a variable. */
export async function createToken(terminal: Terminal, options: TokenOptions): Promise<Exit> {
  const { for: tgt, ttl = '1h', label = '', out } = options
  if (tgt === undefined) throw brineError('USAGE', "say which ids the token is for: --for 'web*'")
  const made = await wheel<{ token: string }>(terminal, options, 'key.token_create', { tgt, ttl: seconds(ttl), label })
  terminal.out(out === undefined ? `${made.token}\n` : format(made, out))
  return 'ok'
}

/** `brine key token list`: those that have not expired, never the tokens themselves. */
export async function listTokens(terminal: Terminal, options: KeyOptions): Promise<Exit> {
  const tokens = await wheel<Record<string, string | null>[]>(terminal, options, 'key.token_list', {})
  if (options.out !== undefined) terminal.out(format(tokens, options.out))
  else {
    const rows = tokens.map(({ id, tgt, label, created_by, expires, used_by }) => [id, tgt, label, created_by, expires, used_by])
    const texts = rows.map(row => row.map(cell => cell ?? ''))
    terminal.out(table(['ID', 'FOR', 'LABEL', 'MADE BY', 'EXPIRES (UTC)', 'USED BY'], texts))
  }
  return 'ok'
}

/** `brine key token revoke ID`. */
export async function revokeToken(terminal: Terminal, id: string, options: KeyOptions): Promise<Exit> {
  const ended = await wheel<boolean>(terminal, options, 'key.token_revoke', { id_: id })
  if (ended) terminal.out(`${id}  revoked\n`)
  else terminal.err(`there is no enrolment token '${id}'\n`)
  return ended ? 'ok' : 'state'
}

async function wheel<T>(terminal: Terminal, options: RemoteOptions, fun: string, kwargs: object): Promise<T> {
  const entry = await connect(terminal, options).run({ client: 'wheel', fun, ...kwargs })
  const { data } = entry as { data: { return: T; success: boolean } }
  if (!data.success) throw brineError('USAGE', String(data.return))
  return data.return
}
