import { join } from 'node:path'
import type { Test } from 'tap'
import { packageRoot } from '../../src/shared/paths.js'
import { readCases } from './cases.js'
import { readRules } from './differences.js'
import { localFixture } from './fixture.js'
import { Player } from './play.js'

/** Plays recorded files one after the other, as they were recorded; each is a test. `cases`: so many it has at least, or it was not played at all. */
export async function playRecorded(t: Test, files: readonly (readonly [group: string, cases: number])[]): Promise<void> {
  const fixture = await localFixture()
  const player = new Player(fixture, readRules())
  t.teardown(async () => {
    player.stop()
    await fixture.stop()
  })
  for (const [group, least] of files) {
    await t.test(`brine answers as salt-api did, or as the list of differences says: ${group}`, async t => {
      const cases = readCases([join(packageRoot(), 'test/fixtures/golden/api', `${group}.json`)])
      t.ok(cases.length >= least, `${cases.length} cases`)
      for (const each of cases) {
        const { outcome, differences, reason } = await player.play(each)
        t.strictSame([outcome, differences, reason], ['passed', [], undefined], each.name)
      }
    })
  }
}
