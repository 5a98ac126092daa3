import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BacktestProgress, Backtests } from '../../src/reactor/backtest.js'
import { SystemClock } from '../../src/shared/clock.js'
import { openSqliteStore } from '../../src/store/sqlite/open.js'
import type { Store } from '../../src/store/store.js'
import { absolute, type Bench, percentile } from './figures.js'

const EVENTS = 1_000_000
const BATCH = 5_000
/** One event in so many is one that the rule means. */
const SELECTIVE = 500
/** Writes that are timed, alone and beside a backtest. */
const WRITES = 200
const SLS = "restart:\n  local.service.restart:\n    - tgt: {{ data['id'] }}\n    - arg: [shop]\n"

/** What a backtest over a million events costs, itself and those who write meanwhile. */
export const bench: Bench = async () => {
  const dir = await mkdtemp(join(tmpdir(), 'brine-bench-backtest-'))
  const store = await openSqliteStore({ file: join(dir, 'brine.db'), clock: new SystemClock() })
  try {
    await fill(store)
    const backtests = new Backtests({ store, fileRoots: {}, maxDepth: 10, clock: new SystemClock() })
    const alone = await writes(store)
    const abort = new AbortController()
    const running = result(backtests, abort.signal)
    const beside = await writes(store)
    const { scanned, seconds, summary } = await running
    if (summary.counts.calls !== EVENTS / SELECTIVE) throw new Error(`the backtest found ${summary.counts.calls} calls`)
    const after = await result(backtests, abort.signal)
    return [
      absolute(
        'backtest of a selective rule',
        after.scanned / after.seconds,
        { atLeast: 50_000 },
        'events/s',
        `${EVENTS.toLocaleString('en')} events`
      ),
      absolute('the same beside a writer', scanned / seconds, { atLeast: 25_000 }, 'events/s', ''),
      absolute(
        'a write beside a backtest, p99',
        percentile(beside, 0.99),
        { atMost: 50 },
        'ms',
        `alone ${percentile(alone, 0.99).toFixed(1)} ms`
      )
    ]
  } finally {
    await store.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function fill(store: Store): Promise<void> {
  for (let at = 0; at < EVENTS; at += BATCH) {
    const events = Array.from({ length: BATCH }, (_, i) =>
      event((at + i) % SELECTIVE === 0 ? 'myco/disk/full' : `other/tag/${(at + i) % 97}`)
    )
    await store.events.append(events)
  }
}

function event(tag: string) {
  const json = `{"id": "web1", "text": "${'x'.repeat(150)}", "_stamp": "2026-11-22T20:45:09.123456"}`
  return { tag, json, stampUs: 1_800_000_000_000_000, source: 'server', cause: null } as const
}

async function writes(store: Store): Promise<number[]> {
  const took: number[] = []
  for (let i = 0; i < WRITES; i++) {
    const from = performance.now()
    await store.events.append([event('other/write')])
    took.push(performance.now() - from)
  }
  return took
}

async function result(backtests: Backtests, signal: AbortSignal): Promise<BacktestProgress> {
  const rules = [{ id: 'r', tag: 'myco/disk/*', match: 'glob', sls: ['/r.sls'] }] as const
  let last: BacktestProgress | null = null
  const question = { rules, texts: new Map([['/r.sls', SLS]]), after: 0, upTo: EVENTS, samples: 5, compare: {} }
  for await (const progress of backtests.run(question, signal)) last = progress
  return last!
}
