import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { packageRoot } from '../../src/shared/paths.js'
import { compileFilter, compileGlob, filterKey } from '../../src/tags/glob.js'

interface Vector {
  pattern: string
  tag: string
  match: boolean
}

t.test('a pattern matches exactly the tags that fnmatch of Python matches', async t => {
  const { fnmatch } = JSON.parse(readFileSync(join(packageRoot(), 'test/fixtures/golden/globs.json'), 'utf8')) as { fnmatch: Vector[] }
  t.ok(fnmatch.length > 400)
  t.strictSame(
    fnmatch.filter(({ pattern, tag, match }) => compileGlob(pattern)(tag) !== match),
    []
  )
})

t.test("sets follow Python's rules where it rewrites them: reversed ranges, hyphens, brackets, `!` that comes to stand first", async t => {
  const cases: [pattern: string, tag: string, match: boolean][] = [
    ['[z-a]', 'm', false],
    ['[!z-a]', 'm', true],
    ['[a-c-e]', '-', true],
    ['[a-c-e]', 'd', false],
    ['[--a]', '0', true],
    ['[]-a]', '^', true],
    ['[!]a]', ']', false],
    ['[z-a!x]', 'x', false],
    ['[z-a!x]', 'y', true],
    ['[b-a!]', 'q', true],
    ['*[!🎉]', '🎉', false],
    ['*?', '🎉', true],
    ['*???', '🎉a', false],
    ['[🎆-🎊]x', '🎉x', true],
    ['[', '[', true],
    ['[!]', '[!]', true]
  ]
  for (const [pattern, tag, match] of cases) t.equal(compileGlob(pattern)(tag), match, `${pattern} ${tag}`)
})

t.test('the cost of a match stays within pattern length x tag length, also for patterns that make backtracking matchers hang', async t => {
  const tag = 'a'.repeat(1024)
  const patterns = [
    `${'*a'.repeat(60)}b`,
    `${'a*'.repeat(60)}b`,
    `${'*?a'.repeat(100)}b`,
    `${'*[ab]'.repeat(200)}c`,
    `${'*'.repeat(1000)}b`
  ]
  // Exponential matchers do not come back from any of these; the test's own time limit is the measure.
  for (const pattern of patterns) t.equal(compileGlob(pattern)(tag), false)
})

t.test('a star takes any text, wherever it stands', async () => {
  const word = fc.stringMatching(/^[a-c/]{0,6}$/)
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 4 }), fc.array(word, { minLength: 4, maxLength: 4 }), (parts, fill) => {
      const tag = parts.map((part, i) => (i === 0 ? part : `${fill[i - 1]}${part}`)).join('')
      return compileGlob(parts.join('*'))(tag)
    })
  )
})

t.test('a filter lets a tag through that is included and allowed and not excluded', async t => {
  const test = compileFilter({ include: ['salt/*', 'myco/*'], exclude: ['*/secret'], allowed: ['myco/*', 'salt/job/*'] })
  t.equal(test('myco/a'), true)
  t.equal(test('salt/job/1/new'), true)
  t.equal(test('salt/key'), false, 'included, not allowed')
  t.equal(test('myco/secret'), false, 'excluded')
  t.equal(test('other'), false)
  t.equal(compileFilter({})('anything'), true)
  t.equal(compileFilter({ include: [] })('anything'), true, 'nothing asked for means everything')
  t.equal(compileFilter({ allowed: [] })('anything'), false, 'nothing allowed means nothing')
})

t.test('a filter is compiled once, whoever asks and in whatever order its patterns stand', async t => {
  t.equal(filterKey({ include: ['a', 'b'] }), filterKey({ include: ['b', 'a', 'b'] }))
  t.not(filterKey({ include: ['a'] }), filterKey({ exclude: ['a'] }))
  t.not(filterKey({}), filterKey({ allowed: [] }))
  t.equal(compileFilter({ include: ['a', 'b'] }), compileFilter({ include: ['b', 'a'] }))
})
