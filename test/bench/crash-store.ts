import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CrashRound, crashRound } from '../helpers/crash-store.js'

/** The longest a round goes on before the kill: some three seconds of writing on a slow disk. */
const MOST_WRITES = 6_000

export interface CrashReport {
  readonly rounds: number
  readonly acknowledged: number
  readonly events: number
  /** Empty when every promise held in every round. */
  readonly faults: readonly string[]
}

/** Kills a writing process again and again, at random moments, over one and the same log, and adds up what was found. */
export async function run(rounds: number): Promise<CrashReport> {
  const folder = await mkdtemp(join(tmpdir(), 'brine-crash-'))
  try {
    const results: CrashRound[] = []
    for (let i = 0; i < rounds; i++) results.push(await crashRound(join(folder, 'brine.db'), 1 + Math.floor(Math.random() * MOST_WRITES)))
    return {
      rounds,
      acknowledged: results.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
      events: results.at(-1)?.events ?? 0,
      faults: results.flatMap(({ faults }, round) => faults.map(fault => `round ${round + 1}: ${fault}`))
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
