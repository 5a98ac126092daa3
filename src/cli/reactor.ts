import type { RuleSpec } from '../store/store.js'
import { type Client, connect, type RemoteOptions } from './client.js'
import type { Exit } from './exit.js'
import { type Format, format, table } from './output.js'
import type { Terminal } from './terminal.js'

interface ReactorOptions extends RemoteOptions {
  readonly out?: Format
}

interface ListOptions extends ReactorOptions {
  readonly tagged?: string
  readonly owner?: string
}

/** `brine reactor list`: the rules of a running server, in the order in which they apply. */
export async function list(terminal: Terminal, options: ListOptions): Promise<Exit> {
  const { tagged, owner } = options
  const wanted = { ...(tagged === undefined ? {} : { tagged }), ...(owner === undefined ? {} : { owner }) }
  const rules = await allRules(connect(terminal, options), new URLSearchParams(wanted))
  if (options.out !== undefined) terminal.out(format(rules, options.out))
  else {
    const rows = rules.map(({ id, tag, sls, enabled, source }) => [id, enabled ? 'on' : 'off', source, tag, sls.join(' ')])
    terminal.out(table(['ID', 'STATE', 'FROM', 'TAG', 'SLS'], rows))
  }
  return 'ok'
}

interface ShowOptions extends ReactorOptions {
  readonly versions?: boolean
  readonly diff?: boolean
}

/** `brine reactor show ID`: one rule; with `--versions` who made which version, with `--diff` what the newest one changed. */
export async function show(terminal: Terminal, id: string, options: ShowOptions): Promise<Exit> {
  const client = connect(terminal, options)
  const path = `/reactor/rules/${encodeURIComponent(id)}`
  if (options.diff === true) terminal.out(((await client.json('GET', `${path}/diff`)) as { diff: string }).diff)
  else if (options.versions === true) {
    const { versions } = (await client.json('GET', `${path}/versions`)) as { versions: FullRule[] }
    if (options.out !== undefined) terminal.out(format(versions, options.out))
    else terminal.out(table(['VERSION', 'CHANGED', 'BY'], versions.map(versionRow)))
  } else terminal.out(format(await client.json('GET', path), options.out ?? 'yaml'))
  return 'ok'
}

function versionRow({ version, changed, changed_by }: FullRule): string[] {
  return [String(version), changed ?? '-', changed_by]
}

/** A rule as the server answers it. */
export interface FullRule extends RuleSpec {
  readonly id: string
  readonly version: number
  readonly source: 'config' | 'api'
  readonly changed_by: string
  readonly changed: string | null
}

/** All rules, a thousand a page. */
export async function allRules(client: Client, query: URLSearchParams): Promise<FullRule[]> {
  const rules: FullRule[] = []
  for (;;) {
    const page = (await client.json('GET', `/reactor/rules?${query}`)) as { rules: FullRule[]; next?: string }
    rules.push(...page.rules)
    if (page.next === undefined) return rules
    query.set('after', page.next)
  }
}
