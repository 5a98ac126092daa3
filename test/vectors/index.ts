import { readFileSync } from 'node:fs'
import { play, type Result } from './play.js'

/**
 * `npm run -s vectors -- FILE…`: plays files in the golden formats (globs, targeting, reactor, jinja, jids; recognised by content) against the code.
 * Prints each failure, each deliberate difference with its reason, and last `N passed, N failed`. Exit codes: 0 all passed, 1 some
 * failed, 2 wrong usage or a file that cannot be played.
 */
function main(files: readonly string[]): number {
  if (files.length === 0) {
    console.error('usage: npm run -s vectors -- FILE…')
    return 2
  }
  const results: Result[] = []
  for (const file of files) {
    try {
      results.push(...play(JSON.parse(readFileSync(file, 'utf8'))))
    } catch (error) {
      console.error(`${file}: ${(error as Error).message}`)
      return 2
    }
  }
  for (const result of results) report(result)
  const count = (outcome: Result['outcome']) => results.filter(result => result.outcome === outcome).length
  if (count('differs') > 0) console.log(`${count('differs')} differ on purpose`)
  console.log(`${count('passed')} passed, ${count('failed')} failed`)
  return count('failed') === 0 ? 0 : 1
}

function report({ name, outcome, expected, got, reason }: Result): void {
  if (outcome === 'passed') return
  console.log(`${outcome === 'failed' ? 'FAILED' : `differs (${reason})`}: ${name}`)
  console.log(`  expected: ${JSON.stringify(expected)}`)
  console.log(`  got:      ${JSON.stringify(got)}`)
}

process.exitCode = main(process.argv.slice(2))
