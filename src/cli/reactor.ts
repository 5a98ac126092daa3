import { eventData } from './arguments.js'
import { connect, type RemoteOptions } from './client.js'
import type { Exit } from './exit.js'
import { type Format, format, table } from './output.js'
import type { Terminal } from './terminal.js'

interface ReactorOptions extends RemoteOptions {
  readonly out?: Format
}

interface Rule {
  readonly id: string
  readonly tag: string
  readonly sls: readonly string[]
  readonly enabled: boolean
  readonly source?: string
}

/** `brine reactor list`. */
export async function list(terminal: Terminal, options: ReactorOptions): Promise<Exit> {
  const { rules } = (await connect(terminal, options).json('GET', '/reactor/rules')) as { rules: Rule[] }
  if (options.out !== undefined) terminal.out(format(rules, options.out))
  else {
    const rows = rules.map(({ id, tag, sls, enabled, source }) => [id, enabled ? 'on' : 'off', source ?? '', tag, sls.join(' ')])
    terminal.out(table(['ID', 'STATE', 'FROM', 'TAG', 'SLS'], rows))
  }
  return 'ok'
}

/** `brine reactor test`: fails when a file does not render, or nothing matches. */
export async function test(
  terminal: Terminal,
  tag: string,
  texts: readonly string[],
  options: ReactorOptions & { readonly json?: string }
): Promise<Exit> {
  const answer = (await connect(terminal, options).json('POST', '/reactor/test', { tag, data: eventData(options.json, texts) })) as {
    matches?: { errors?: unknown[]; error?: unknown }[]
  }
  terminal.out(format(answer, options.out ?? 'yaml'))
  const matches = answer.matches ?? []
  return matches.length === 0 || matches.some(match => (match.errors ?? []).length > 0 || match.error) ? 'failed' : 'ok'
}
