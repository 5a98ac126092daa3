import { Rules, readConfigRules } from '../../src/reactor/rules.js'
import { TestClock } from '../helpers/store.js'
import { type Bench, compare, percentile } from './figures.js'

const MATCHES = 200_000
const ROUNDS = 7

/** Tag globs as people write them: most with a fixed beginning, some with a fixed end, some with both, some for a family of tags. */
function patterns(count: number): string[] {
  const forms = [
    (i: number) => `ci/project-${i}/*`,
    (i: number) => `salt/beacon/web${i}/*/`,
    (i: number) => `salt/job/*/ret/db${i}`,
    (i: number) => `salt/netapi/hook/team-${i}/deploy`,
    (i: number) => `*/alert-${i}/firing`,
    (i: number) => `myco/site${i}/*/disk/[0-9]*`
  ]
  return Array.from({ length: count }, (_, i) => forms[i % forms.length]!(i))
}

/** Half of the tags are for one of the first rules, half for none. */
const TAGS = Array.from({ length: 1000 }, (_, i) =>
  i % 2 === 0
    ? [`ci/project-${(i % 2) * 6}/build`, 'salt/beacon/web1/inotify/', 'salt/job/20261122203758556109/ret/db2'][i % 3]!
    : `other/tag/${i}`
)

async function rulesOf(count: number): Promise<Rules> {
  const config = readConfigRules(patterns(count).map(tag => ({ [tag]: ['/srv/reactor/a.sls'] })))
  const none = { all: async () => [] } as never
  return Rules.open({ store: { rules: none }, events: { prepare: () => null as never }, clock: new TestClock(), config })
}

/** Nanoseconds per event. */
function cost(rules: Rules): number {
  const from = performance.now()
  let found = 0
  for (let i = 0; i < MATCHES; i++) found += rules.matching(TAGS[i % TAGS.length]!).length
  if (found === 0) throw new Error('no rule matched')
  return ((performance.now() - from) / MATCHES) * 1e6
}

/** What matching an event costs with many rules and with few. */
export const bench: Bench = async () => {
  const few = await rulesOf(10)
  const many = await rulesOf(10_000)
  const costs = { few: [] as number[], many: [] as number[] }
  for (let round = 0; round < ROUNDS; round++) {
    costs.few.push(cost(few))
    costs.many.push(cost(many))
  }
  return [
    compare(
      'matching one event against 10,000 rules',
      percentile(costs.many, 0.5),
      percentile(costs.few, 0.5),
      { atMost: 2 },
      'ns',
      '10 rules'
    )
  ]
}
