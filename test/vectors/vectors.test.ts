import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { packageRoot } from '../../src/shared/paths.js'
import { type Content, knownDifferences, play } from './play.js'

const golden = (name: string): Content => JSON.parse(readFileSync(join(packageRoot(), 'test/fixtures/golden', name), 'utf8'))

/** File, and how many checks it has at least: a file that is not played at all must not pass. */
const FILES: [file: string, checks: number][] = [
  ['globs.json', 758],
  ['jids.json', 34],
  ['targeting.json', 286],
  ['jinja.json', 651],
  ['reactor.json', 182]
]

for (const [file, checks] of FILES) {
  t.test(`brine does what Salt was recorded to do: ${file}`, async t => {
    const results = play(golden(file))
    t.ok(results.length >= checks, `${results.length} checks`)
    t.strictSame(
      results.filter(result => result.outcome === 'failed'),
      []
    )
  })
}

t.test('a vector that does not come out as recorded is a failure, unless a difference with a reason is listed for it', async t => {
  const content = { fnmatch: [{ pattern: 'a', tag: 'a', match: false }] }
  t.match(play(content, {}), [{ outcome: 'failed', expected: false, got: true }])
  t.match(play(content, { globs: { 'fnmatch "a" "a"': 'because' } }), [{ outcome: 'differs', reason: 'because' }])
  t.throws(() => play({ vectors: [{ other: 1 }] }), /none of the formats/)
})

t.test('every listed difference is one: it names a vector that exists and comes out differently', async t => {
  for (const [format, reasons] of Object.entries(knownDifferences())) {
    const differing = play(golden(`${format}.json`)).filter(result => result.outcome === 'differs')
    for (const [name, reason] of Object.entries(reasons)) {
      t.ok(reason.length > 20, `${name} has a reason`)
      t.ok(
        differing.some(result => result.name === name),
        `${format}: ${name}`
      )
    }
  }
})
