import t from 'tap'
import { ActiveTimes } from '../../src/reactor/active.js'
import { durationUs, optionFault } from '../../src/reactor/options.js'
import { readConfigRules } from '../../src/reactor/rules.js'

t.test('a duration is seconds, or a number with a unit', async t => {
  const cases: [unknown, number | null][] = [
    [5, 5e6],
    [0.5, 5e5],
    ['5', 5e6],
    ['500ms', 5e5],
    ['30s', 30e6],
    ['5 m', 300e6],
    ['1.5h', 5400e6],
    ['2d', 172_800e6],
    [0, null],
    [-1, null],
    ['0s', null],
    ['5 weeks', null],
    [Number.NaN, null],
    [null, null],
    [[], null]
  ]
  for (const [value, us] of cases) t.equal(durationUs(value), us, String(value))
})

t.test('options that cannot be are named with their place and the reason', async t => {
  const cases: [options: object, field: string, reason: RegExp][] = [
    [{ when: '' }, 'when', /expression/],
    [{ when: 'data.x >' }, 'when', /is no expression: .*column/],
    [{ when: '1 }} {{ 2' }, 'when', /is no expression/],
    [{ when: 'x'.repeat(2001) }, 'when', /longer/],
    [{ throttle: {} }, 'throttle', /either once_within or once_after/],
    [{ throttle: { once_within: 5, once_after: 5 } }, 'throttle', /either/],
    [{ throttle: { once_within: '5 parsecs' } }, 'throttle.once_within', /must be a time/],
    [{ throttle: { once_within: '32d' } }, 'throttle.once_within', /31 days/],
    [{ throttle: { once: 5 } }, 'throttle.once', /is not known/],
    [{ throttle: 5 }, 'throttle', /mapping/],
    [{ debounce: {} }, 'debounce.period', /is missing/],
    [{ debounce: { period: 10, max: 5 } }, 'debounce.max', /shorter/],
    [{ accumulate: { within: 5, threshold: 0 } }, 'accumulate.threshold', /between 1 and/],
    [{ accumulate: { within: 5, threshold: 10_001 } }, 'accumulate.threshold', /between 1 and 10000/],
    [{ accumulate: { threshold: 2 } }, 'accumulate.within', /missing/],
    [{ throttle: { once_within: 1 }, debounce: { period: 1 } }, 'debounce', /beside throttle/],
    [{ group_by: 'data.id' }, 'group_by', /needs throttle/],
    [{ concurrency: { limit: 1.5 } }, 'concurrency.limit', /whole/],
    [{ concurrency: { limit: 1, key: '(' } }, 'concurrency.key', /no expression/],
    [{ retry: { attempts: 0 } }, 'retry.attempts', /between/],
    [{ retry: { jitter: 2 } }, 'retry.jitter', /between 0 and 1/],
    [{ retry: { on: [] } }, 'retry.on', /unmatched, failed, absent, interrupted/],
    [{ retry: { on: ['succeeded'] } }, 'retry.on', /must be a list of/],
    [{ rate_limit: { limit: 5 } }, 'rate_limit.per', /missing/],
    [{ breaker: {} }, 'breaker.failures', /missing/],
    [{ outside: 'hold' }, 'outside', /needs active/],
    [{ outside: 'later', active: [{ days: ['mon'] }] }, 'outside', /skip or hold/],
    [{ active: [] }, 'active', /1 to/],
    [{ active: [{}] }, 'active[0]', /names no/],
    [{ active: [{ days: ['mon'] }, { days: ['monday'] }] }, 'active[1].days', /mon, tue/],
    [{ active: [{ from: '08:00' }] }, 'active[0].to', /missing/],
    [{ active: [{ from: '8:00', to: '09:00' }] }, 'active[0].from', /HH:MM/],
    [{ active: [{ days: ['mon'], timezone: 'Mars/Olympus' }] }, 'active[0].timezone', /no time zone/],
    [{ active: [{ cron: 'whenever' }] }, 'active[0].cron', /no cron/],
    [{ active: [{ cron: '* * * * *', days: ['mon'] }] }, 'active[0].cron', /alone/]
  ]
  for (const [options, field, reason] of cases) {
    const fault = optionFault(options)
    t.equal(fault?.field, field, JSON.stringify(options).slice(0, 80))
    t.match(fault?.reason, reason)
  }
  t.equal(optionFault({ when: null, throttle: { once_after: '5m' }, group_by: 'data.id', active: [{ from: '22:00', to: '06:00' }] }), null)
})

const us = (iso: string) => Date.parse(iso) * 1000

t.test('a rule is active in its times, whose days are those on which they begin, in their time zone', async t => {
  const night = new ActiveTimes([{ days: ['fri'], from: '22:00', to: '06:00', timezone: 'Europe/Berlin' }])
  // 2026-11-27 is a Friday; Berlin is an hour ahead of UTC
  t.equal(night.at(us('2026-11-27T20:59:59Z')), false)
  t.equal(night.at(us('2026-11-27T21:00:00Z')), true)
  t.equal(night.at(us('2026-11-28T04:59:59Z')), true, 'Saturday morning belongs to the night of Friday')
  t.equal(night.at(us('2026-11-28T05:00:00Z')), false)
  t.equal(night.at(us('2026-11-27T03:00:00Z')), false, 'Friday morning belongs to the night of Thursday')
  t.equal(night.next(us('2026-11-28T05:00:00Z')), us('2026-12-04T21:00:00Z'))
  const office = new ActiveTimes([{ cron: '* 8-17 * * 1-5' }, { days: ['sun'] }])
  t.equal(office.at(us('2026-11-27T17:59:59Z')), true)
  t.equal(office.at(us('2026-11-27T18:00:00Z')), false)
  t.equal(office.at(us('2026-11-29T23:59:00Z')), true)
  t.equal(office.next(us('2026-11-27T18:00:30Z')), us('2026-11-29T00:00:00Z'))
})

t.test('times of a zone that changes its clock hold by the clock on the wall', async t => {
  const morning = new ActiveTimes([{ from: '08:00', to: '09:00', timezone: 'Europe/Berlin' }])
  t.equal(morning.at(us('2026-07-01T06:30:00Z')), true)
  t.equal(morning.at(us('2026-07-01T07:30:00Z')), false)
  t.equal(morning.at(us('2026-12-01T07:30:00Z')), true)
})

t.test('a rule of the configuration may have options beside its files, which are part of its version', async t => {
  const entry = {
    'salt/beacon/*/load/*': { sls: '/load.sls', when: 'data.load > 3', throttle: { once_within: '5m' }, group_by: 'data.id' }
  }
  const [rule] = readConfigRules([entry])
  t.match(rule, { tag: 'salt/beacon/*/load/*', sls: ['/load.sls'], when: 'data.load > 3', throttle: { once_within: '5m' }, debounce: null })
  const [plain] = readConfigRules([{ 'salt/beacon/*/load/*': '/load.sls' }])
  t.not(rule!.version, plain!.version)
  t.equal(plain!.when, null)
})

t.test('all options of the configuration that cannot be are told at once, each with its place', async t => {
  const wrong = [{ a: { sls: '/a.sls', throttle: 5 } }, { b: { sls: '/b.sls', trottle: {} } }, { c: { when: 'true' } }]
  t.throws(() => readConfigRules(wrong), { code: 'CONFIG_INVALID', message: /3 mistakes/ })
  try {
    readConfigRules(wrong)
  } catch (error) {
    const { message } = error as Error
    t.match(message, /reactor\[0\]\.a: throttle must be a mapping/)
    t.match(message, /reactor\[1\]\.b: trottle is no option/)
    t.match(message, /reactor\[2\]\.c: sls is missing/)
  }
})
