import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isJid, JidSource, jidOf, jidToTime, parseJidTime } from '../../src/jobs/jid.js'
import { packageRoot } from '../../src/shared/paths.js'

interface Vector {
  value: unknown
  is_jid: boolean
  jid_to_time?: string
  jid_to_time_error?: string
}

t.test("what a job id is, and its time as text, is what Salt's own functions say", async t => {
  const { vectors } = JSON.parse(readFileSync(join(packageRoot(), 'test/fixtures/golden/jids.json'), 'utf8')) as { vectors: Vector[] }
  for (const vector of vectors) {
    const name = JSON.stringify(vector.value)
    t.equal(isJid(vector.value), vector.is_jid, name)
    if (vector.jid_to_time_error) {
      t.throws(() => parseJidTime(vector.value), RangeError, name)
      t.equal(jidToTime(vector.value), '', name)
    } else {
      t.equal(parseJidTime(vector.value), vector.jid_to_time, name)
    }
  }
})

t.test('a job id is the UTC time to the microsecond', async t => {
  t.equal(jidOf(Date.UTC(2026, 10, 22, 20, 37, 58, 556) * 1000 + 109), '20261122203758556109')
})

t.test('job ids are unique and ascending, also while the clock stands still or goes back', async t => {
  const times = [1_000_000, 1_000_000, 999_999, 1_000_005, 1_000_005]
  const source = new JidSource({ nowUs: () => times.shift()! })
  const jids = Array.from({ length: 5 }, () => source.next())
  t.strictSame(jids, [...new Set(jids)].sort())
  t.ok(jids.every(jid => /^\d{20}$/.test(jid)))
})
