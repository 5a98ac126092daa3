import t from 'tap'
import { type ReactorBench, reactorBench } from '../helpers/reactor.js'

const me = { user: 'ada', source: 'user:ada' } as const
const files = { 'say.sls': 'say:\n  runner.test.arg: []\n', 'other.sls': 'other:\n  runner.test.arg: []\n' }
const rule = (options: object, tag = 'n/*') => [{ [tag]: { sls: 'DIR/say.sls', ...options } }]

/** Once it was matched: what the trace of an event says of rules that did nothing. */
async function passed(bench: ReactorBench, seq: number) {
  await bench.planned()
  return (await traced(bench, seq)).passed ?? []
}

async function traced(bench: ReactorBench, seq: number) {
  return bench.reactor.trace((await bench.store.events.get(seq))!, () => true)
}

const idOf = (bench: ReactorBench, seq: number) => `${bench.store.events.epoch}-${seq}`

t.test('an event for which `when` does not hold says so, and why; one for which it does has a plan instead', async t => {
  const bench = await reactorBench(t, { files, reactor: rule({ when: 'data.n > 2' }) })
  const { id, version } = bench.reactor.rules.all()[0]!
  const [few, none, enough] = [await bench.fire('n/1', { n: 1 }), await bench.fire('n/2'), await bench.fire('n/3', { n: 3 })]
  t.strictSame(await passed(bench, few), [{ rule: id, version, as_of: 'then', why: 'when', reason: 'when: the condition does not hold' }])
  t.match(await passed(bench, none), [{ why: 'when', reason: /does not hold: .*n/ }])
  t.strictSame(await passed(bench, enough), [])
  t.strictSame(await passed(bench, await bench.fire('m/1')), [], 'a rule whose tag does not match has nothing to say')
})

t.test('an error in `when` is a dead letter with its reason, and is not told twice', async t => {
  const bench = await reactorBench(t, { files, reactor: rule({ when: '1 / data.n' }) })
  const seq = await bench.fire('n/0', { n: 0 })
  t.strictSame(await passed(bench, seq), [])
  t.match((await traced(bench, seq)).plans, [{ state: 'dead', error: /when: .*division by zero/ }])
})

t.test('an event outside of the times of a rule says so', async t => {
  // The clock of the test begins on 2027-01-15 (a Friday) at 08:00 UTC.
  const bench = await reactorBench(t, { files, reactor: rule({ active: [{ from: '09:00', to: '10:00' }] }) })
  t.match(await passed(bench, await bench.fire('n/1')), [{ why: 'active', reason: /not active at the time of the event/ }])
  bench.clock.pass(3600)
  t.strictSame(await passed(bench, await bench.fire('n/2')), [])
})

t.test('an event that once_within passes over names the one that was reacted to instead, of its own key', async t => {
  const bench = await reactorBench(t, { files, reactor: rule({ throttle: { once_within: '10s' }, group_by: 'data.id' }) })
  const [a, b] = [await bench.fire('n/1', { id: 'a' }), await bench.fire('n/2', { id: 'b' })]
  bench.clock.pass(5)
  const again = await bench.fire('n/3', { id: 'a' })
  t.strictSame(await passed(bench, a), [])
  t.strictSame(await passed(bench, b), [])
  t.match(await passed(bench, again), [{ why: 'throttle', reason: /within 10s/, event: idOf(bench, a) }])
  bench.clock.pass(6)
  const later = await bench.fire('n/4', { id: 'a' })
  t.strictSame(await passed(bench, later), [], 'its time was over')
  bench.clock.pass(1)
  t.match(await passed(bench, await bench.fire('n/5', { id: 'a' })), [{ why: 'throttle', event: idOf(bench, later) }])
})

t.test('an event that an accumulating rule let go says so; one that still counts is in its window', async t => {
  const bench = await reactorBench(t, { files, reactor: rule({ accumulate: { within: '10s', threshold: 3 } }) })
  const seq = await bench.fire('n/1')
  t.strictSame(await passed(bench, seq), [])
  t.match((await traced(bench, seq)).windows, [{ first: idOf(bench, seq), reacted: null, plans: [], reactions: [] }])
  bench.clock.pass(20)
  await bench.reactor.look()
  t.match(await passed(bench, seq), [{ why: 'accumulate', reason: /not 3 events within 10s/ }])
})

t.test('an event of a window that was reacted to later has the reaction that it became part of', async t => {
  const bench = await reactorBench(t, { files, reactor: rule({ accumulate: { within: '10s', threshold: 2 } }) })
  const [first, last] = [await bench.fire('n/1'), await bench.fire('n/2')]
  const [reaction] = await bench.reactions(all => all.length === 1 && all[0]!.state === 'succeeded')
  t.match(await traced(bench, first), {
    windows: [
      {
        first: idOf(bench, first),
        reacted: idOf(bench, last),
        plans: [{ id: reaction!.plan, state: 'rendered' }],
        reactions: [{ id: reaction!.id, section: 'say', state: 'succeeded', jid: reaction!.jid }]
      }
    ]
  })
  t.strictSame(await passed(bench, first), [])
})

t.test('a window that a guard stopped shows that at each of its events', async t => {
  const options = { accumulate: { within: '10s', threshold: 1 }, rate_limit: { limit: 1, per: '1h' } }
  const bench = await reactorBench(t, { files, reactor: rule(options) })
  await bench.fire('n/1')
  const seq = await bench.fire('n/2')
  await bench.planned()
  t.match((await traced(bench, seq)).windows, [{ plans: [{ state: 'dead', blocked: 'rate_limit', error: /more than 1 events/ }] }])
})

t.test('a rule that was switched off says so, also when it is on again', async t => {
  const bench = await reactorBench(t, { files })
  await bench.reactor.rules.create({ id: 'ship', tag: 'n/*', sls: [`${bench.dir}/say.sls`], enabled: false }, me)
  const seq = await bench.fire('n/1')
  t.match(await passed(bench, seq), [{ rule: 'ship', version: 1, as_of: 'then', why: 'disabled' }])
  bench.clock.pass(1)
  await bench.reactor.rules.change('ship', { enabled: true }, me)
  t.match(await passed(bench, seq), [{ rule: 'ship', version: 1, why: 'disabled' }])
  t.strictSame(await passed(bench, await bench.fire('n/2')), [])
})

t.test('the version of the time of the event is asked, whatever the rule is now; a rule that did not exist then is not', async t => {
  const bench = await reactorBench(t, { files })
  const sls = [`${bench.dir}/say.sls`]
  await bench.reactor.rules.create({ id: 'old', tag: 'n/*', sls, when: 'data.n > 2' }, me)
  const seq = await bench.fire('n/1', { n: 1 })
  await bench.planned()
  bench.clock.pass(1)
  await bench.reactor.rules.change('old', { tag: 'elsewhere', when: null }, me)
  await bench.reactor.rules.create({ id: 'young', tag: 'n/*', sls, when: 'false' }, me)
  t.match(await passed(bench, seq), [{ rule: 'old', version: 1, as_of: 'then', why: 'when' }])
  t.equal((await passed(bench, seq)).length, 1)
})

t.test('of a rule of the configuration and an event before the last start the rule as it is now is asked, which is said', async t => {
  const first = await reactorBench(t, { files, reactor: rule({ when: 'data.n > 2' }) })
  const seq = await first.fire('n/1', { n: 1 })
  t.match(await passed(first, seq), [{ as_of: 'then' }])
  await first.kill()
  first.clock.pass(1)
  const second = await reactorBench(t, { reactor: rule({ when: 'data.n > 5' }), after: first })
  t.match(await passed(second, seq), [{ as_of: 'now', why: 'when' }])
  t.match(await passed(second, await second.fire('n/2', { n: 1 })), [{ as_of: 'then', why: 'when' }])
})

t.test('a rule whose files another rule has rendered already says so', async t => {
  const bench = await reactorBench(t, { files, reactor: [...rule({}), ...rule({}, '*/1')] })
  const [one, two] = bench.reactor.rules.all()
  const reason = `its files are rendered because of rule ${one!.id}`
  t.match(await passed(bench, await bench.fire('n/1')), [{ rule: two!.id, why: 'shared', reason }])
})

t.test("events of the reactor's own calls say that they are not reacted to", async t => {
  const bench = await reactorBench(t, { files, reactor: [...rule({}), ...rule({ sls: 'DIR/other.sls' }, 'salt/run/*')] })
  await bench.fire('n/1')
  const { seq } = await bench.event(({ tag }) => /^salt\/run\/\d+\/ret$/.test(tag))
  t.match(await passed(bench, seq), [{ why: 'own', reason: /user 'Reactor'/ }])
})

t.test('a plan that waits because the whole reactor is paused says so, as do events of windows', async t => {
  const bench = await reactorBench(t, { files, reactor: [...rule({}), ...rule({ accumulate: { within: '1h', threshold: 2 } }, 'w/*')] })
  await bench.reactor.pause(me)
  const seq = await bench.fire('n/1')
  const gathered = await bench.fire('w/1')
  await bench.fire('w/2')
  await bench.planned()
  t.match((await traced(bench, seq)).plans, [{ state: 'planned', held: 'reactor' }])
  t.match((await traced(bench, gathered)).windows, [{ plans: [{ state: 'planned', held: 'reactor' }] }])
})

t.test('what is no longer on record, or cannot be explained by the rule, is said to be unknown', async t => {
  const first = await reactorBench(t, { files, settings: { keep_jobs_seconds: 3600 } })
  const seq = await first.fire('n/1')
  await first.planned()
  await first.kill()
  first.clock.pass(60)
  const second = await reactorBench(t, { reactor: rule({}), settings: { keep_jobs_seconds: 3600 }, after: first })
  t.match(await passed(second, seq), [{ why: 'unknown', as_of: 'now', reason: /did not then/ }])
  first.clock.pass(3600)
  t.match(await passed(second, seq), [{ why: 'unknown', reason: /no longer on record/ }])
})

t.test('one trace explains two hundred rules at most', async t => {
  const many = Array.from({ length: 250 }, (_, n) => ({ 'n/*': { sls: `DIR/${n}.sls`, when: 'false' } }))
  const bench = await reactorBench(t, { files, reactor: many })
  t.equal((await passed(bench, await bench.fire('n/1'))).length, 200)
})
