import t from 'tap'
import { reactorCrashRounds } from '../helpers/reactor-crash.js'
import { tempData } from '../helpers/server.js'

/** More of them: BRINE_CRASH_ROUNDS=40 node dist/test/e2e/reactor-crash.test.js */
const ROUNDS = Number(process.env.BRINE_CRASH_ROUNDS ?? 3)
const BOUND_MS = 150_000 + ROUNDS * 15_000
t.setTimeout(BOUND_MS)

t.test(
  'killed while rules of every kind react: each event is in one window, each window reacted to once, nothing is called or published twice',
  { timeout: BOUND_MS },
  async t => {
    const report = await reactorCrashRounds(t, { rounds: ROUNDS, data: tempData(t) })
    t.comment(JSON.stringify({ ...report, violations: report.violations.length }))
    t.ok(report.hooks > 0 && report.windows > 0, 'there was load, and there were windows')
    t.same(report.violations.slice(0, 10), [])
  }
)
