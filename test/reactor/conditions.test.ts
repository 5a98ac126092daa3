import t from 'tap'
import { Conditions } from '../../src/reactor/conditions.js'
import type { GatedRule } from '../../src/reactor/gate.js'
import { NO_OPTIONS } from '../../src/reactor/options.js'
import { Windows } from '../../src/reactor/windows.js'
import { reactorBench } from '../helpers/reactor.js'

const HOSTILE = "range(100000) | map('string') | join | length > 0"
const HONEST = "data.id.startswith('web') and data.load | float > 3"

const ruleWith = (when: string, version = 1): GatedRule => ({ ...NO_OPTIONS, id: 'r', version, sls: ['a.sls'], when })
const event = { tag: 'a/b', json: '{"id": "web1", "load": 4}', seq: 1, stampUs: 0, cause: null } as never

t.test(
  'a condition that reaches its limits three times within a minute rests for a minute; another version of the rule is tried at once',
  async t => {
    let now = 0
    const conditions = new Conditions(() => now)
    const judged = (rule: GatedRule) => conditions.judge(rule, event, new Windows())
    for (let i = 0; i < 3; i++)
      t.match(judged(ruleWith(HOSTILE)), { kind: 'fault', limit: true, error: /^when: the template (?:takes|makes)/ })
    t.match(judged(ruleWith(HOSTILE)), { kind: 'resting', first: true, seconds: 60 })
    t.match(judged(ruleWith(HOSTILE)), { kind: 'resting', first: false })
    t.match(judged(ruleWith(HONEST, 2)), { kind: 'react' })
    now += 60_000
    t.match(judged(ruleWith(HOSTILE)), { kind: 'fault' }, 'it is tried again by itself')
  }
)

t.test('a condition that stays below its limits, yet takes a large part of the time, rests; a busy one that is quick does not', async t => {
  const judgedAt = (eachMs: number) => {
    let watch = 0
    const conditions = new Conditions(
      () => 0,
      () => {
        watch += eachMs
        return watch
      }
    )
    return Array.from({ length: 10_000 }, () => conditions.judge(ruleWith(HONEST), event, new Windows()).kind)
  }
  const slow = judgedAt(8)
  t.equal(slow.filter(kind => kind === 'react').length, 251, 'two seconds of ten')
  t.equal(slow.at(-1), 'resting')
  t.strictSame(new Set(judgedAt(0.4)), new Set(['react']), 'four seconds for ten thousand events')
})

t.test('a condition that was stopped once is asked again before it counts', async t => {
  let asked = 0
  const conditions = new Conditions(() => 0)
  const rule = ruleWith(HONEST)
  // The first look falls into a pause of the machine: the clock of the expression jumps.
  const now = performance.now.bind(performance)
  performance.now = () => (asked++ === 1 ? now() + 1e6 : now())
  t.teardown(() => {
    performance.now = now
  })
  t.match(conditions.judge(rule, event, new Windows()), { kind: 'react' })
})

t.test('conditions that only look are not watched', async t => {
  const watched: number[] = []
  const conditions = new Conditions(
    () => 0,
    () => watched.push(1)
  )
  for (const when of ["data.id == 'web1'", "tag in ['a/b'] and not data['load'] < 3", 'data.id and (data.load > 1 or none)'])
    t.match(conditions.judge(ruleWith(when), event, new Windows()), { kind: 'react' }, when)
  t.strictSame(watched, [])
})

t.test('beside a rule with a hostile condition others react to every event, and one event tells that it rests', async t => {
  const EVENTS = 200
  const say = 'say_{{ data.n }}:\n  runner.test.arg:\n    - args: [{n: {{ data.n }}}]\n'
  const bench = await reactorBench(t, {
    files: { 'say.sls': say },
    reactor: [{ 'n/*': { sls: 'DIR/say.sls', when: HOSTILE } }, { 'n/*': { sls: 'DIR/say.sls', when: 'data.n >= 0' } }]
  })
  const [hostile] = bench.reactor.rules.all()
  const fire = async () => {
    for (let n = 0; n < EVENTS; n++) await bench.fire(`n/${n}`, { n })
  }
  await fire()
  const succeeded = (count: number) => bench.reactions(all => all.filter(({ state }) => state === 'succeeded').length >= count)
  t.equal((await succeeded(EVENTS)).length, EVENTS)
  const told = await bench.event(({ tag }) => tag === `salt/reactor/${hostile!.id}/blocked`)
  t.match(JSON.parse(told.json), { blocked: 'quarantine', rule: hostile!.id, rest: 60, user: 'Reactor' })
  const blocked = await bench.store.reactions.plans({ state: 'blocked', limit: 1000 })
  t.equal(blocked.length, EVENTS - 3, 'three were tried; each of the others is on record')
  t.match(blocked[0], { blocked: 'quarantine', error: /quarantined.*again and again/ })
  bench.clock.pass(61)
  await fire()
  t.equal((await succeeded(2 * EVENTS)).length, 2 * EVENTS)
  t.equal((await bench.store.reactions.plans({ state: 'blocked', limit: 1000 })).length, 2 * (EVENTS - 3), 'tried again after its rest')
})
