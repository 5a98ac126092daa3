import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { packageRoot } from '../../src/shared/paths.js'
import { type Case, readCases } from './cases.js'
import { readRules } from './differences.js'
import { localFixture, remoteFixture } from './fixture.js'
import { Player, type Result } from './play.js'

const USAGE = `usage: npm run -s conformance -- [--url URL] [--case NAME]… [--verbose] [DIR or FILE…]

Plays recorded requests of a salt-api against brine (or, with --url, against any server with the same fixture) and prints each difference as
FAIL name /pointer expected … got …, and last: N passed, N failed. --case plays one case, with what must come before it. --verbose names the
deliberate differences (test/fixtures/golden/api-differences.json) that each case shows. Without files: test/fixtures/golden/api.`

/** Exit codes: 0 all passed, 1 some failed, 2 wrong usage or a file without cases. */
async function main(): Promise<number> {
  let options: ReturnType<typeof readOptions>
  let cases: Case[]
  try {
    options = readOptions()
    cases = readCases(options.paths)
    if (options.names.length > 0) cases = withPrerequisites(cases, options.names)
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`)
    return 2
  }
  const fixture = options.url === undefined ? await localFixture() : remoteFixture(options.url)
  const player = new Player(fixture, readRules())
  const results: Result[] = []
  try {
    for (const each of cases) {
      const result = await player.play(each)
      if (options.names.length > 0 && !options.names.includes(each.name)) continue
      report(result, options.verbose)
      results.push(result)
    }
  } finally {
    player.stop()
    await fixture.stop()
  }
  return summarise(results)
}

function readOptions() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      url: { type: 'string' },
      case: { type: 'string', multiple: true, default: [] },
      verbose: { type: 'boolean', default: false }
    }
  })
  if (values.url !== undefined && !URL.canParse(values.url)) throw new Error(`--url ${values.url}: no URL`)
  const paths = positionals.length > 0 ? positionals : [join(packageRoot(), 'test/fixtures/golden/api')]
  return { url: values.url, names: values.case, verbose: values.verbose, paths }
}

/** The named cases with those whose values they use and those that must have been before, all in their order. */
function withPrerequisites(cases: readonly Case[], names: readonly string[]): Case[] {
  const wanted = new Set<Case>()
  const want = (each: Case | undefined) => {
    if (each === undefined || wanted.has(each)) return
    wanted.add(each)
    want(cases.find(({ name }) => name === each.after))
    for (const [, used] of JSON.stringify([each.request, each.response]).matchAll(/\{\{(\w+?)(?:_start)?\}\}/g)) {
      want(cases.find(({ capture = {} }) => used! in capture))
    }
  }
  for (const name of names) {
    const found = cases.find(each => each.name === name)
    if (found === undefined) throw new Error(`--case ${name}: there is no such case`)
    want(found)
  }
  return cases.filter(each => wanted.has(each))
}

function report({ name, outcome, differences, rules, reason }: Result, verbose: boolean): void {
  if (outcome === 'skipped') console.log(`SKIP ${name}: ${reason}`)
  for (const { pointer, expected, got } of differences)
    console.log(`FAIL ${name} ${pointer || '/'} expected ${text(expected)} got ${text(got)}`)
  if (verbose) console.log(`${outcome} ${name}${rules.length > 0 ? ` (on purpose: ${rules.map(rule => rule.name).join(', ')})` : ''}`)
}

/** A value on one line; what is very long is cut, because the place says the rest. */
function text(value: unknown): string {
  const json = value === undefined ? 'nothing' : JSON.stringify(value)
  return json.length > 400 ? `${json.slice(0, 400)}…` : json
}

function summarise(results: readonly Result[]): number {
  const count = (outcome: Result['outcome'], among = results) => among.filter(result => result.outcome === outcome).length
  for (const group of new Set(results.map(result => result.group))) {
    const among = results.filter(result => result.group === group)
    const differing = among.filter(
      result => result.outcome === 'passed' && result.rules.some(rule => rule.when.diverge !== undefined)
    ).length
    console.log(
      `${group.padEnd(16)} ${count('passed', among)} passed (${differing} of them where brine differs on purpose), ${count('failed', among)} failed`
    )
  }
  const skipped = count('skipped')
  console.log(`${count('passed')} passed, ${count('failed')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return count('failed') === 0 ? 0 : 1
}

process.exitCode = await main()
