import { run } from './crash-store.js'
import { absolute, type Bench } from './figures.js'

const ROUNDS = 20

/** `kill -9` of a writing process at random moments: what was acknowledged is there, in order, once. */
export const bench: Bench = async () => {
  const { acknowledged, faults } = await run(ROUNDS)
  for (const fault of faults) console.error(fault)
  const note = `${ROUNDS} rounds, ${acknowledged.toLocaleString('en')} acknowledged writes`
  return [absolute('broken promises after kill -9 of the store', faults.length, { atMost: 0 }, 'faults', note)]
}
