import { join } from 'node:path'
import t from 'tap'
import { crashRound } from '../helpers/crash-store.js'
import { tempFolder } from '../helpers/store.js'

// A few rounds; `npm run bench` plays many (test/bench/crash-store.ts).
t.test('a process killed under load loses nothing that it acknowledged, and doubles and disorders nothing', async t => {
  const file = join(await tempFolder(t), 'brine.db')
  for (const killAfter of [1, 137, 1_500]) {
    const { acknowledged, events, faults } = await crashRound(file, killAfter)
    t.strictSame(faults.slice(0, 5), [])
    t.ok(acknowledged >= killAfter && events >= acknowledged, `${acknowledged} acknowledged, ${events} in the log`)
  }
})
