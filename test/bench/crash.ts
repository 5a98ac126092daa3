import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crashRounds } from '../helpers/crash-rounds.js'
import { run } from './crash-store.js'
import type { Bench, Figure } from './figures.js'

/** As many as the project promises to survive. */
const ROUNDS = 20

/**
 * `kill -9` at random moments: of the whole server with its minion while hooks are posted and reacted to, and of a bare store under load.
 * What is counted are violations: something acknowledged that is missing, an order that is broken, a reaction that is doubled or lost.
 */
export const bench: Bench = async () => [await server(), await store()]

async function server(): Promise<Figure> {
  const data = mkdtempSync(join(tmpdir(), 'brine-bench-'))
  const undo: (() => unknown)[] = [() => rmSync(data, { recursive: true, force: true })]
  try {
    const report = await crashRounds({ teardown: end => undo.push(end) }, { rounds: ROUNDS, data, longestRoundMs: 1000 })
    for (const violation of report.violations.slice(0, 10)) console.log(`  ${violation}`)
    return {
      name: `server and minion killed ${report.rounds} times`,
      figure: `${report.violations.length} violations`,
      reference: `${report.acknowledged} acknowledged, ${report.logged} logged, ${report.jobs} jobs, ${report.returns} returns`,
      ratio: '',
      limit: 'none',
      pass: report.violations.length === 0 && report.acknowledged > 0
    }
  } finally {
    for (const end of undo.reverse()) await end()
  }
}

async function store(): Promise<Figure> {
  const { rounds, acknowledged, events, faults } = await run(ROUNDS)
  return {
    name: `store killed ${rounds} times`,
    figure: `${faults.length} faults`,
    reference: `${acknowledged} acknowledged, ${events} in the log`,
    ratio: '',
    limit: 'none',
    pass: faults.length === 0 && acknowledged > 0
  }
}
