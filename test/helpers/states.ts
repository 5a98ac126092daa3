import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { kw, type MinionTest } from './executor.js'

export interface StateOutcome {
  readonly name: string
  readonly result: boolean | null
  readonly comment: string
  readonly changes: Record<string, unknown>
  readonly warnings?: string[]
}

export type Single = (fun: string, args: Record<string, unknown>) => Promise<StateOutcome>

/** Runs one state (`user.present`) with its arguments. */
export function singleState(minion: MinionTest): Single {
  return async (fun, args) => {
    const results = await minion.value('state.single', fun, kw(args))
    if (typeof results !== 'object' || results === null || Array.isArray(results)) throw new Error(`${fun}: ${JSON.stringify(results)}`)
    return Object.values(results as Record<string, StateOutcome>)[0]!
  }
}

/**
 * The rule for every state: test=True predicts that something changes and changes nothing, the first run changes it, the second finds nothing to
 * do, and so does a second test=True. `look` shows what the state is about; the prediction and the first run are returned.
 */
export async function predictsAndRepeats(
  t: Test,
  single: Single,
  [fun, args]: readonly [string, Record<string, unknown>],
  look: () => unknown = () => null
): Promise<{ predicted: StateOutcome; first: StateOutcome }> {
  const before = JSON.stringify(await look())
  const predicted = await single(fun, { ...args, test: true })
  t.equal(predicted.result, null, `${fun} predicts: ${predicted.comment}`)
  t.not(Object.keys(predicted.changes).length, 0, 'and names what would change')
  t.equal(JSON.stringify(await look()), before, 'and changes nothing')
  const first = await single(fun, args)
  t.equal(first.result, true, `${fun} does it: ${first.comment}`)
  t.not(Object.keys(first.changes).length, 0, 'the first run changes')
  const after = JSON.stringify(await look())
  for (const again of [await single(fun, args), await single(fun, { ...args, test: true })]) {
    t.equal(again.result, true, `${fun} again: ${again.comment}`)
    t.same(again.changes, {}, 'there is nothing to do')
  }
  t.equal(JSON.stringify(await look()), after)
  return { predicted, first }
}

/** Programs that stand in for the system's: a directory for the front of PATH, each file a shell script. */
export async function fakePrograms(t: Test, dir: string, scripts: Readonly<Record<string, string>>): Promise<string> {
  const bin = join(dir, 'bin')
  await mkdir(bin, { recursive: true })
  for (const [name, script] of Object.entries(scripts)) {
    await writeFile(join(bin, name), `#!/bin/sh\n${script}\n`)
    await chmod(join(bin, name), 0o755)
  }
  const before = process.env.PATH
  process.env.PATH = `${bin}:${before ?? ''}`
  t.teardown(() => {
    process.env.PATH = before
  })
  return bin
}
