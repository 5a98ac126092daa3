import { join } from 'node:path'
import t from 'tap'
import { packageRoot } from '../../src/shared/paths.js'
import { readCases } from './cases.js'
import { expectedOf, readRules } from './differences.js'

t.test('every rule of a difference is about a recorded case, says why, and how a client notices', async t => {
  const cases = readCases([join(packageRoot(), 'test/fixtures/golden/api')])
  const used = new Set(cases.flatMap(each => expectedOf(each, readRules()).rules.map(({ name }) => name)))
  for (const { name, because, reason, client } of readRules()) {
    t.ok(used.has(name), name)
    t.ok(because.length > 3 && reason.length > 15 && client.length > 3, `${name}: because, reason and client`)
  }
})

t.test('every case that the reference wants answered otherwise is answered as recorded or by a rule', async t => {
  const cases = readCases([join(packageRoot(), 'test/fixtures/golden/api')]).filter(({ diverge }) => diverge !== undefined)
  t.ok(cases.length >= 114)
  for (const each of cases) {
    const named = expectedOf(each, readRules()).rules.some(
      ({ when }) => when.diverge !== undefined || when.name !== undefined || when.body !== undefined
    )
    t.ok(named || AS_RECORDED.has(each.name), `${each.name}: ${each.diverge}`)
  }
})

/** Here the recorded answer is the wished one already; what the reference wants is what happens besides. */
const AS_RECORDED = new Set([
  'ro-two-chunks-second-denied',
  '406-accept',
  'accept-html',
  // From an origin that the fixture lists.
  'events-origin',
  'simple-origin',
  'simple-origin-post'
])
