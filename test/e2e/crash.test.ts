import t from 'tap'
import { crashRounds } from '../helpers/crash-rounds.js'
import { tempData } from '../helpers/server.js'

t.test('killed at random moments under load: nothing acknowledged is lost, order holds, each event is reacted to once', async t => {
  const report = await crashRounds(t, { rounds: 3, data: tempData(t) })
  t.comment(JSON.stringify({ ...report, violations: report.violations.length }))
  t.ok(report.acknowledged > 0, 'there was load')
  t.same(report.violations.slice(0, 10), [])
})
