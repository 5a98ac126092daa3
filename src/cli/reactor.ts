import type { Rule } from '../reactor/rules.js'
import { type Client, connect, type RemoteOptions } from './client.js'
import type { Exit } from './exit.js'
import { type Format, format, table } from './output.js'
import type { Terminal } from './terminal.js'

interface ReactorOptions extends RemoteOptions {
  readonly out?: Format
}

/** What of a rule is shown and tried. */
type ShownRule = Pick<Rule, 'id' | 'tag' | 'sls' | 'enabled' | 'source'>

/** `brine reactor list`: the rules of a running server, in the order in which they apply. */
export async function list(terminal: Terminal, options: ReactorOptions): Promise<Exit> {
  const rules = await rulesOf(connect(terminal, options), new URLSearchParams())
  if (options.out !== undefined) terminal.out(format(rules, options.out))
  else {
    const rows = rules.map(({ id, tag, sls, enabled, source }) => [id, enabled ? 'on' : 'off', source, tag, sls.join(' ')])
    terminal.out(table(['ID', 'STATE', 'FROM', 'TAG', 'SLS'], rows))
  }
  return 'ok'
}

/** A thousand rules a page. */
export async function rulesOf(client: Client, query: URLSearchParams): Promise<ShownRule[]> {
  const rules: ShownRule[] = []
  for (;;) {
    const page = (await client.json('GET', `/reactor/rules?${query}`)) as { rules: ShownRule[]; next?: string }
    rules.push(...page.rules)
    if (page.next === undefined) return rules
    query.set('after', page.next)
  }
}
