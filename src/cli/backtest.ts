import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { brineError } from '../errors.js'
import { givenOptions } from '../reactor/options.js'
import { reactorItems } from '../reactor/reactor.js'
import { readConfigRules } from '../reactor/rules.js'
import { connect, type RemoteOptions } from './client.js'
import { type ConfigOptions, load } from './config.js'
import type { Exit } from './exit.js'
import { type Format, format } from './output.js'
import type { Terminal } from './terminal.js'

export interface BacktestOptions extends RemoteOptions, ConfigOptions {
  readonly tag?: string
  readonly sls?: readonly string[]
  readonly rule?: string
  readonly since?: string
  readonly until?: string
  readonly samples?: number
  readonly quiet?: boolean
  readonly out?: Format
}

interface Report {
  readonly done: boolean
  readonly scanned: number
  readonly total: number
  readonly seconds: number
  readonly counts: Readonly<Record<string, number>>
}

/** `brine reactor backtest`: what rules would have done about the past (POST /reactor/backtest). Fails when files did not render or calls could not be made. */
export async function backtest(terminal: Terminal, options: BacktestOptions): Promise<Exit> {
  const client = connect(terminal, options)
  const { rule, since, until, samples } = options
  const body = { ...candidatesOf(terminal, options), rule, since, until, samples }
  const response = await client.fetch('/reactor/backtest', {
    method: 'POST',
    headers: { accept: 'application/x-ndjson', 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: terminal.interrupted()
  })
  let last: Report | null = null
  for await (const line of createInterface({ input: Readable.fromWeb(response.body as never) })) {
    last = JSON.parse(line) as Report
    if (!last.done && options.quiet !== true) terminal.err(progress(last))
  }
  if (last === null || !last.done) throw brineError('UNREACHABLE', client.url, 'the backtest was broken off')
  terminal.out(format(last, options.out ?? 'yaml'))
  return (last.counts.failed ?? 0) + (last.counts.refused ?? 0) > 0 ? 'failed' : 'ok'
}

function candidatesOf(terminal: Terminal, options: BacktestOptions): object {
  if (options.sls !== undefined) {
    const { tag } = options
    if (tag === undefined) throw brineError('USAGE', '--sls needs --tag: the events on which it is tried')
    const texts = Object.fromEntries(options.sls.map(name => [name, textOf(terminal, name)]))
    return { rules: options.sls.map(name => ({ id: name, tag, sls: [name] })), sls: texts, only: true, compare: false }
  }
  if (options.config === undefined) return {}
  const rules = readConfigRules(reactorItems(load(terminal, options, {}, true).config.reactor))
  return { rules: rules.map(rule => ({ id: rule.id, tag: rule.tag, match: rule.match, sls: rule.sls, ...givenOptions(rule) })), only: true }
}

function textOf(terminal: Terminal, name: string): string {
  try {
    return readFileSync(resolve(terminal.cwd, name), 'utf8')
  } catch (error) {
    throw brineError('USAGE', `--sls ${name}: ${(error as Error).message}`)
  }
}

function progress({ scanned, total, seconds, counts }: Report): string {
  const share = total === 0 ? 100 : Math.floor((scanned / total) * 100)
  return `${share}% of ${total} events, ${counts.calls} calls, ${Math.round(scanned / Math.max(seconds, 0.001))} events/s\n`
}
