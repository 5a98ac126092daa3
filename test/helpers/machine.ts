/** Recordings of a machine's /proc and /sys below a directory of the test's own. */
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import { Source } from '../../src/minion/machine/source.js'
import type { Module } from '../../src/minion/modules/module.js'
import { ModuleTable } from '../../src/minion/modules/table.js'
import { type MinionTest, minionTest } from './executor.js'

/** Path → content; a text that begins with `-> ` is a link. */
export type Files = Readonly<Record<string, string | Buffer>>

export async function recordedMachine(t: Test, files: Files): Promise<Source> {
  const root = t.testdir({})
  for (const [path, content] of Object.entries(files)) {
    const place = join(root, path)
    await mkdir(dirname(place), { recursive: true })
    if (typeof content === 'string' && content.startsWith('-> ')) await symlink(content.slice(3), place)
    else await writeFile(place, content)
  }
  return new Source(root)
}

/** A minion whose only functions are those of this module. */
export function minionWith(t: Test, module: Module): Promise<MinionTest> {
  return minionTest(t, { modules: new ModuleTable([module]) })
}
