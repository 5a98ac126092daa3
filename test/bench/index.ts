import type { Bench, Figure } from './figures.js'

/**
 * The figures of the project, one file each: `npm run bench` runs all of them, `npm run bench -- ingest fanout` some. Each compares with a
 * reference that is measured in the same run on the same machine, and says whether its limit holds.
 */
const BENCHES: Readonly<Record<string, () => Promise<{ bench: Bench }>>> = {
  ingest: () => import('./ingest.js'),
  fanout: () => import('./fanout.js'),
  replay: () => import('./replay.js'),
  rules: () => import('./rules.js'),
  reactor: () => import('./reactor.js'),
  backtest: () => import('./backtest.js'),
  idle: () => import('./idle.js'),
  start: () => import('./start.js'),
  api: () => import('./api.js'),
  jobs: () => import('./jobs.js'),
  minions: () => import('./minions.js'),
  targeting: () => import('./targeting.js'),
  agent: () => import('./agent.js'),
  crash: () => import('./crash.js')
}

const names = process.argv.slice(2)
const unknown = names.filter(name => !Object.hasOwn(BENCHES, name))
if (unknown.length > 0) {
  console.error(`no such bench: ${unknown.join(', ')}; there are ${Object.keys(BENCHES).join(', ')}`)
  process.exit(2)
}

const all: Figure[] = []
for (const name of names.length > 0 ? names : Object.keys(BENCHES)) {
  const from = performance.now()
  const { bench } = await BENCHES[name]!()
  const figures = await bench()
  all.push(...figures)
  console.log(`\n${name} (${((performance.now() - from) / 1000).toFixed(0)} s)`)
  for (const { name, figure, reference, ratio, limit, pass } of figures) {
    const against = reference === '' ? '' : ` · ${reference}`
    console.log(`  ${pass ? 'pass' : 'FAIL'}  ${name}: ${figure}${against}${ratio === '' ? '' : ` · ratio ${ratio}`} · limit ${limit}`)
  }
}
const failed = all.filter(({ pass }) => !pass)
console.log(`\n${all.length - failed.length} passed, ${failed.length} failed`)
process.exit(failed.length === 0 ? 0 : 1)
