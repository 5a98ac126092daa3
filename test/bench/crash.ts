import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crashRounds } from '../helpers/crash-rounds.js'
import { run } from './crash-store.js'
import { absolute, type Bench, type Figure } from './figures.js'

/** As many as the project promises to survive. */
const ROUNDS = 20

/**
 * `kill -9` at random moments: of a writing store, and of the whole server with its minion while hooks are posted and reacted to. What is
 * counted is broken promises: something acknowledged that is missing, an order that is broken, a reaction that is doubled or lost.
 */
export const bench: Bench = async () => [await store(), await server()]

async function store(): Promise<Figure> {
  const { acknowledged, faults } = await run(ROUNDS)
  for (const fault of faults) console.error(fault)
  const note = `${ROUNDS} rounds, ${acknowledged.toLocaleString('en')} acknowledged writes`
  return absolute('broken promises after kill -9 of the store', faults.length, { atMost: 0 }, 'faults', note)
}

async function server(): Promise<Figure> {
  const data = mkdtempSync(join(tmpdir(), 'brine-bench-'))
  const undo: (() => unknown)[] = [() => rmSync(data, { recursive: true, force: true })]
  try {
    const report = await crashRounds({ teardown: end => undo.push(end) }, { rounds: ROUNDS, data, longestRoundMs: 1000 })
    for (const violation of report.violations.slice(0, 10)) console.error(violation)
    const note = `${ROUNDS} rounds, ${report.acknowledged} acknowledged hooks, ${report.jobs} jobs, ${report.returns} returns`
    return absolute('the same of server and minion, reacting', report.violations.length, { atMost: 0 }, 'faults', note)
  } finally {
    for (const end of undo.reverse()) await end()
  }
}
