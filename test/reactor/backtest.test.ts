import t from 'tap'
import { type OfRule, type Report, backtestServer as server } from '../helpers/backtest.js'

/** Says what it sees: the event, and all events of its window. */
const SAY = `say_{{ data.n }}:
  runner.test.arg:
    - args: [{ns: {{ events | map(attribute='data') | map(attribute='n') | list }}}]
`
type Bench = Awaited<ReturnType<typeof server>>['bench']

/** A rule in use for `n/*` with these options. */
const inUse = (t: Parameters<typeof server>[0], options: object, sls = SAY) =>
  server(t, { reactor: [{ 'n/*': { sls: 'DIR/say.sls', ...options } }], files: { 'say.sls': sls } })

async function fire(bench: Bench, ...ns: number[]): Promise<void> {
  for (const n of ns) await bench.fire(`n/${n}`, { n, id: n % 2 ? 'odd' : 'even' })
}

/** Until everything is planned, what was due is closed, and what was reacted to is over. */
async function settled(bench: Bench, reactions: number): Promise<void> {
  await bench.planned()
  await bench.reactor.look()
  await bench.reactions(found => found.length >= reactions && found.every(({ state }) => state !== 'planned' && state !== 'dispatched'))
}

/** Every event of a rule has one fate. */
function adds(t: { equal: (found: number, wanted: number, message: string) => unknown }, { rules }: Report): void {
  for (const [id, { matched, reacted, waiting, passed }] of Object.entries(rules)) {
    const sum = Object.values(passed).reduce((sum, count) => sum + count, reacted + waiting)
    t.equal(sum, matched, `${id}: reacted to, waiting and passed over are all that matched`)
  }
}

/** What the rules in use would do again about a past that their options shaped: exactly what they did. */
const SHAPED: {
  readonly name: string
  readonly options: object
  readonly reactions: number
  readonly of: Partial<OfRule>
  readonly windows: number
}[] = [
  {
    name: 'throttle once_within: the events of that time are passed over',
    options: { throttle: { once_within: '10s' } },
    reactions: 3,
    of: { matched: 8, reacted: 3, passed: { throttle: 5 } },
    windows: 0
  },
  {
    name: 'throttle once_after with group_by: one reaction to each group, with all its events',
    options: { throttle: { once_after: '10s' }, group_by: 'data.id' },
    reactions: 4,
    of: { matched: 8, reacted: 7, waiting: 1, passed: {} },
    windows: 4
  },
  {
    name: 'debounce: one reaction when none came for the period, at the latest after max',
    options: { debounce: { period: '7s', max: '20s' } },
    reactions: 1,
    of: { matched: 8, reacted: 7, waiting: 1, passed: {} },
    windows: 1
  },
  {
    name: 'accumulate: so many within a time; the others are let go',
    options: { accumulate: { within: '5s', threshold: 3 } },
    reactions: 1,
    of: { matched: 8, reacted: 3, waiting: 1, passed: { accumulate: 4 } },
    windows: 1
  },
  {
    name: 'rate_limit: what is more is blocked',
    options: { rate_limit: { limit: 2, per: '30s' } },
    reactions: 3,
    of: { matched: 8, reacted: 3, passed: { rate_limit: 5 } },
    windows: 0
  },
  {
    name: 'rate_limit of windows: all events of a window that is blocked count',
    options: { throttle: { once_after: '10s' }, rate_limit: { limit: 1, per: '1h' } },
    reactions: 1,
    of: { matched: 8, reacted: 4, waiting: 1, passed: { rate_limit: 3 } },
    windows: 1
  },
  {
    name: 'when and active: each by its own name',
    options: { when: 'data.n != 2', active: [{ from: '08:00', to: '08:01' }] },
    reactions: 6,
    of: { matched: 8, reacted: 6, passed: { when: 1, active: 1 } },
    windows: 0
  }
]

for (const { name, options, reactions, of, windows } of SHAPED) {
  t.test(`options count as they did: ${name}`, async t => {
    // The clock of the test begins on 2027-01-15 at 08:00 UTC.
    const { bench, result } = await inUse(t, options)
    await fire(bench, 1, 2, 3)
    bench.clock.pass(6)
    await fire(bench, 4)
    bench.clock.pass(6)
    await fire(bench, 5, 6)
    bench.clock.pass(6)
    await fire(bench, 7)
    bench.clock.pass(60)
    await settled(bench, 0)
    await fire(bench, 8)
    await settled(bench, reactions)
    const report = await result({})
    t.match(report.counts, { calls: reactions, same: reactions, changed: 0, added: 0, removed: 0, windows })
    t.match(Object.values(report.rules), [of])
    t.strictSame(report.passed, of.passed)
    adds(t, report)
  })
}

t.test('a part of the log is compared rightly: windows are filled before it and closed after it', async t => {
  const { bench, result } = await inUse(t, { throttle: { once_after: '10s' } })
  const seqs: number[] = []
  for (const n of [1, 2, 3, 4, 5, 6]) {
    seqs.push(await bench.fire(`n/${n}`, { n }))
    bench.clock.pass(4)
  }
  bench.clock.pass(60)
  await settled(bench, 2)
  const id = (n: number) => `${bench.store.events.epoch}-${seqs[n - 1]}`
  // 1, 2 and 3 are one window, 4, 5 and 6 the other
  t.match((await result({ since: id(2), until: id(5) })).counts, { matched: 3, windows: 1, calls: 1, same: 1, removed: 0, added: 0 })
  t.match((await result({ since: id(2), until: id(2) })).counts, { matched: 0, calls: 0, removed: 0, added: 0 })
  t.match((await result({ since: id(3), until: id(6) })).counts, { matched: 3, calls: 1, same: 1 })
})

t.test('candidates carry options: what a window would have changed is told; mistakes name the rule and the option', async t => {
  const { bench, result, ask } = await inUse(t, {})
  const [{ id }] = bench.reactor.rules.all() as unknown as [{ id: string }]
  await fire(bench, 1, 2, 3)
  bench.clock.pass(60)
  await settled(bench, 3)
  const candidate = { id, tag: 'n/*', sls: ['/say.sls'], debounce: { period: '5s' } }
  const { counts, samples } = await result({ rules: [candidate], sls: { '/say.sls': SAY } })
  t.match(counts, { matched: 3, windows: 1, calls: 1, same: 0, changed: 1, added: 0, removed: 2 })
  t.match(samples.changed, [{ call: { kwarg: { ns: [1, 2, 3] } }, was: { kwarg: { ns: [3] } } }])
  const refused = async (options: object) => {
    const { status, text } = await ask({ rules: [{ tag: 'n/*', sls: ['/x.sls'], ...options }] })
    return { status, text }
  }
  t.match(await refused({ debounce: { period: 'soon' } }), { status: 400, text: /rules\[0\]\.debounce\.period/ })
  t.match(await refused({ when: '(' }), { status: 400, text: /rules\[0\]\.when/ })
  t.match(await refused({ trottle: { once_within: 5 } }), { status: 400, text: /trottle|additional/ })
  t.match(await refused({ match: 'path', tag: '(' }), { status: 400, text: /tag/ })
  t.match((await result({ rules: [{ ...candidate, enabled: false }], sls: { '/say.sls': SAY } })).counts, { matched: 0, removed: 3 })
})

t.test('a breaker opens and closes by what became of the same calls', async t => {
  const fail = 'fail_{{ data.n }}:\n  runner.test.{{ "arg" if data.ok else "nosuch" }}:\n    - args: [{n: {{ data.n }}}]\n'
  const { bench, result } = await inUse(t, { breaker: { failures: 2, within: '1m', rest: '30s' } }, fail)
  const breaker = (state: string) => bench.event(({ tag, data }) => tag.endsWith('/breaker') && data.state === state)
  await bench.fire('n/1', { n: 1, ok: false })
  await bench.fire('n/2', { n: 2, ok: false })
  await breaker('open')
  bench.clock.pass(1)
  await bench.fire('n/3', { n: 3, ok: true })
  bench.clock.pass(40)
  await bench.fire('n/4', { n: 4, ok: true })
  await breaker('closed')
  bench.clock.pass(1)
  await bench.fire('n/5', { n: 5, ok: true })
  await settled(bench, 4)
  const report = await result({})
  t.match(report.counts, { calls: 4, same: 4, added: 0, removed: 0, unknown: 0 })
  t.strictSame(report.passed, { breaker: 1 })
  adds(t, report)
})

t.test(
  'concurrency: a reaction stands in line for as long as the calls before it took; what is not over holds those behind it',
  async t => {
    const go = 'go_{{ data.n }}:\n  local.test.echo:\n    - tgt: slow\n    - arg: [{{ data.n }}]\n'
    const options = { concurrency: { key: 'data.id', limit: 1 } }
    const made = await server(t, { reactor: [{ 'n/*': { sls: 'DIR/go.sls', ...options } }], files: { 'go.sls': go }, ids: ['slow'] })
    const { bench, result } = made
    bench.minions.connect('slow', () => null)
    await fire(bench, 1, 3, 5)
    const begun = async (section: string) => {
      const found = await bench.reactions(all => all.some(each => each.section === section && each.state === 'dispatched'))
      return found.find(each => each.section === section)!.jid
    }
    const jid = await begun('go_1')
    bench.clock.pass(5)
    await bench.jobs.recordReturn('slow', { jid, fun: 'test.echo', fun_args: [1], return: 1, retcode: 0, success: true })
    await bench.reactor.look()
    await begun('go_3')
    const report = await result({})
    t.match(report.counts, { calls: 2, same: 2, added: 0, removed: 0, queued: 1, unknown: 0 })
    t.match(Object.values(report.rules), [{ matched: 3, reacted: 2, waiting: 1 }])
    const id = bench.reactor.rules.all()[0]!.id
    const other = go.replace('[{{ data.n }}]', "['other']")
    const candidate = { id, tag: 'n/*', sls: ['/o.sls'], ...options }
    const { counts } = await result({ rules: [candidate], sls: { '/o.sls': other } })
    t.match(counts, { calls: 3, changed: 2, added: 1, queued: 0, unknown: 3 }, 'calls that were never made take no time')
  }
)

t.test('events that are held until their rule is active wait, when that is not yet', async t => {
  const { bench, result } = await inUse(t, { active: [{ from: '08:30', to: '09:30' }], outside: 'hold' })
  await fire(bench, 1)
  await settled(bench, 0)
  t.match(await result({}), { counts: { calls: 0, added: 0 }, rules: { [bench.reactor.rules.all()[0]!.id]: { matched: 1, waiting: 1 } } })
  bench.clock.pass(1800)
  await settled(bench, 1)
  t.match((await result({})).counts, { calls: 1, same: 1 })
})

t.test('mistakes in conditions are failures, with an example of each', async t => {
  const { bench, result } = await inUse(t, { when: '1 / data.n' })
  await fire(bench, 0, 1)
  await settled(bench, 1)
  const report = await result({})
  t.match(report.counts, { failed: 1, calls: 1, same: 1 })
  t.strictSame(report.passed, { when: 1 })
  t.match(report.samples.errors, [{ error: /when: .*division by zero/ }])
  adds(t, report)
})
