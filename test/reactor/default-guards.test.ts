import t from 'tap'
import { defaultConfig } from '../../src/config/schema.js'
import { type ReactorBench, reactorBench, succeeded } from '../helpers/reactor.js'

const SAY = `say_{{ data.n }}:
  runner.test.arg:
    - args: [{n: {{ data.n }}}]
`
const files = { 'say.sls': SAY }
const FAIL = 'fail_{{ data.n }}:\n  runner.test.{{ "arg" if data.ok else "nosuch" }}:\n    - args: [{n: {{ data.n }}}]\n'

const rule = (options: object, tag = 'n/*') => [{ [tag]: { sls: 'DIR/say.sls', ...options } }]

async function fire(bench: ReactorBench, ...ns: number[]): Promise<void> {
  for (const n of ns) await bench.fire(`n/${n}`, { n })
}

t.test('a rule without a limit of its own has that of the setting, for each minute; its own counts in its stead', async t => {
  const reactor = [...rule({}), ...rule({ rate_limit: { limit: 4, per: '1m' } }, 'own/*')]
  const bench = await reactorBench(t, { files, reactor, settings: { reactor_rate_limit: 2 } })
  const [common, own] = bench.reactor.rules.all()
  await fire(bench, 1, 2, 3, 4)
  for (let n = 1; n <= 5; n++) await bench.fire(`own/${n}`, { n })
  await bench.reactions(succeeded(6))
  await bench.planned()
  const blocked = await bench.store.reactions.plans({ state: 'blocked', limit: 10 })
  t.strictSame(blocked.map(plan => plan.rule).sort(), [common!.id, common!.id, own!.id].sort())
  t.match(
    blocked.find(plan => plan.rule === common!.id),
    { blocked: 'rate_limit', error: /more than 2 events in 1m \(reactor_rate_limit\)/ }
  )
  t.match(bench.reactor.guards.shown(common!.id).rate, { count: 2, blocked: 2 })
  await bench.event(({ tag, data }) => tag === `salt/reactor/${common!.id}/blocked` && data.limit === 2)
  bench.clock.pass(61)
  await fire(bench, 5)
  await bench.reactions(succeeded(7))
})

t.test('ten thousand events at once are no rush: the limit that every rule has lies above', async t => {
  t.ok(defaultConfig({}).reactor_rate_limit >= 100_000)
  const bench = await reactorBench(t, { files, reactor: rule({}), settings: { reactor_rate_limit: 0 } })
  await fire(bench, 1)
  await bench.reactions(succeeded(1))
  t.equal(bench.reactor.guards.shown(bench.reactor.rules.all()[0]!.id).rate, null, '0: no limit')
})

t.test('a rule without a breaker of its own has that of the setting', async t => {
  const bench = await reactorBench(t, {
    files: { 'fail.sls': FAIL },
    reactor: [{ 'n/*': 'DIR/fail.sls' }],
    settings: { reactor_breaker: 2 }
  })
  const { id } = bench.reactor.rules.all()[0]!
  for (const n of [1, 2]) await bench.fire(`n/${n}`, { n, ok: false })
  await bench.event(({ tag, data }) => tag === `salt/reactor/${id}/breaker` && data.state === 'open')
  await bench.fire('n/3', { n: 3, ok: true })
  await bench.planned()
  t.match(await bench.store.reactions.plans({ state: 'blocked', limit: 10 }), [{ blocked: 'breaker' }])
})
