import { join } from 'node:path'
import t from 'tap'
import { ScheduleBook } from '../../../src/minion/schedule/book.js'
import type { Entry } from '../../../src/minion/schedule/entry.js'
import { Scheduler } from '../../../src/minion/schedule/scheduler.js'
import { inRange, localTime, nextCron, nextWhen, onceMoment, parseMoment } from '../../../src/minion/schedule/times.js'
import { silent } from '../../helpers/executor.js'

/** A scheduler over a clock that the test moves; each round is asked for. */
function scheduler(t: { testdir(): string }, config: Record<string, unknown>, ends: (name: string) => Promise<void> = async () => {}) {
  let now = new Date(2026, 10, 22, 12, 0, 0).getTime()
  const fired: string[] = []
  const told: string[] = []
  const book = new ScheduleBook({ config, file: join(t.testdir(), '_schedule.conf'), fire: tag => told.push(tag) })
  const runner = new Scheduler({
    ...{ book, log: silent, nowMs: () => now, random: () => 0.5 },
    fire: async name => {
      fired.push(name)
      await ends(name)
    }
  })
  return {
    ...{ book, runner, fired, told },
    async at(seconds: number) {
      now = new Date(2026, 10, 22, 12, 0, 0).getTime() + seconds * 1000
      await runner.tick()
      return fired.splice(0)
    }
  }
}

const every = (seconds: number, more: Entry = {}): Entry => ({ function: 'test.ping', seconds, ...more })

t.test('an interval begins when the job is known, and goes on from one fire time to the next', async t => {
  const { at } = scheduler(t, { a: every(10), b: { function: 'test.ping', minutes: 1, seconds: 30 }, c: every(10, { run_on_start: true }) })
  t.same(await at(0), ['c'])
  t.same(await at(9), [])
  t.same(await at(10), ['a', 'c'])
  t.same(await at(19), [])
  t.same(await at(25), ['a', 'c'], 'late')
  t.same(await at(30), ['a', 'c'], 'but not for ever: the next one is at its time')
  t.same(await at(90), ['a', 'b', 'c'], 'a machine that slept runs each once')
})

t.test('splay comes on top of each fire time', async t => {
  const { at, runner } = scheduler(t, { a: every(10, { splay: 4 }), b: every(10, { splay: { start: 6, end: 10 } }) })
  await at(0)
  t.equal(runner.nextFireTime('a')! - runner.nextFireTime('b')!, -6000)
  t.same(await at(11), [])
  t.same(await at(12), ['a'])
  t.same(await at(18), ['a', 'b'].slice(1))
})

t.test('a job that still runs is not started again beyond maxrunning', async t => {
  let end = () => {}
  const { at, runner } = scheduler(
    t,
    { a: every(10), b: every(10, { maxrunning: 2 }) },
    () =>
      new Promise(resolve => {
        end = resolve
      })
  )
  await at(0)
  t.same(await at(10), ['a', 'b'])
  t.same(await at(20), ['b'])
  t.match(runner.status('a'), { _running: 1, _skip_reason: 'maxrunning', _skipped: true, _skipped_time: '2026-11-22T12:00:20' })
  t.same(await at(30), [])
  end()
})

t.test('disabled jobs and a disabled schedule do not run, and go on when they are enabled', async t => {
  const { at, book } = scheduler(t, { a: every(10, { enabled: false }), b: every(10) })
  await at(0)
  t.same(await at(10), ['b'])
  await book.manage('enable_job', { name: 'a' })
  t.same(await at(20), ['a', 'b'])
  await book.manage('disable', {})
  t.same(await at(30), [])
  await book.manage('enable', {})
  t.same(await at(40), ['a', 'b'])
})

t.test('range, skip_during_range, after, until, once and cron', async t => {
  const { at } = scheduler(t, {
    inside: every(60, { range: { start: '12:02', end: '12:03' } }),
    outside: every(60, { range: { start: '12:02', end: '12:03', invert: true } }),
    skipping: every(60, { skip_during_range: { start: '12:00', end: '12:02' }, run_after_skip_range: true }),
    after: every(60, { after: '2026-11-22T12:02:30' }),
    until: every(60, { until: '2026-11-22T12:01:30' }),
    once: { function: 'test.ping', once: '2026-11-22T12:01:00' },
    cron: { function: 'test.ping', cron: '*/2 * * * *' },
    when: { function: 'test.ping', when: ['12:01pm', '12:03pm'] },
    broken: { function: 'test.ping', cron: 'never' }
  })
  t.same(await at(0), [])
  t.same(await at(60), ['outside', 'until', 'once', 'when'])
  t.same(await at(120), ['inside', 'cron'])
  t.same(await at(122), ['skipping'], 'once, when the range is over')
  t.same(await at(180), ['inside', 'skipping', 'after', 'when'])
  t.same(await at(240), ['outside', 'skipping', 'after', 'cron'])
})

t.test('run_job, skip_job and postpone_job', async t => {
  const { at, book } = scheduler(t, { a: every(10), b: every(10, { enabled: false }) })
  await at(0)
  await book.manage('run_job', { name: 'b' })
  t.same(await at(1), ['b'], 'who asks for a disabled job gets it')
  await book.manage('skip_job', { name: 'a', time: '2026-11-22T12:00:10' })
  t.same(await at(10), [])
  await book.manage('postpone_job', { name: 'a', time: '2026-11-22T12:00:20', new_time: '2026-11-22T12:00:23' })
  t.same(await at(20), [])
  t.same(await at(23), ['a'])
  t.same(await at(30), ['a'])
})

t.test('what was changed is kept in the file and told on the bus; jobs of the pillar are neither kept nor lost', async t => {
  const { book, told, at } = scheduler(t, { a: every(10) })
  book.setPillar({ p: every(10) })
  await book.manage('add', { name: 'b', schedule: every(5, { args: ['x: y'] }) })
  await book.manage('disable_job', { name: 'p' })
  t.same(told, [
    ...['manage_schedule', '/salt/minion/minion_schedule_add_complete'],
    ...['manage_schedule', '/salt/minion/minion_schedule_disabled_job_complete']
  ])
  const again = await new ScheduleBook({ config: { a: every(10) }, file: join(t.testdirName, '_schedule.conf') }).load()
  t.same(again.jobs(), { a: every(10), b: every(5, { args: ['x: y'] }) })
  t.match((await again.manage('list', {})).schedule, { enabled: true, b: every(5) })
  book.setPillar({ p: every(10) })
  t.equal(book.jobs().p?.enabled, false, 'the same pillar changes nothing')
  book.setPillar({ q: every(10) })
  t.same(Object.keys(book.jobs()).sort(), ['a', 'b', 'q'])
  await at(0)
})

t.test('a configuration that is read anew does not disturb jobs that stayed the same', async t => {
  const { at, book } = scheduler(t, { a: every(10), gone: every(10) })
  await at(0)
  await at(7)
  book.setConfig({ a: every(10), gone: every(10) }, { a: every(10), fresh: every(10) })
  t.same(await at(10), ['a'])
  t.same(await at(20), ['a', 'fresh'])
})

t.test('moments as people write them', async t => {
  const now = new Date(2026, 10, 22, 12, 0, 0).getTime() // a Sunday
  const means = (text: unknown, expected: string | null) => {
    const moment = parseMoment(text, now)
    t.equal(moment === null ? null : localTime(moment), expected, String(text))
  }
  means('5:00pm', '2026-11-22T17:00:00')
  means('12am', '2026-11-22T00:00:00')
  means('17:05:09', '2026-11-22T17:05:09')
  means('Monday 5:00pm', '2026-11-23T17:00:00')
  means('Sunday 11:00', '2026-11-22T11:00:00')
  means('2026-12-24T18:30:00', '2026-12-24T18:30:00')
  means('12/24/2026 6:30pm', '2026-12-24T18:30:00')
  means('Dec 24, 2026 18:30', '2026-12-24T18:30:00')
  means('24 December 2026', '2026-12-24T00:00:00')
  means(now / 1000, '2026-11-22T12:00:00')
  means('tea time', null)
  means('', null)
  t.equal(localTime(nextWhen('11:00am', now)!), '2026-11-23T11:00:00', 'a time of day comes again tomorrow')
  t.equal(localTime(nextWhen('Sunday 11:00', now)!), '2026-11-29T11:00:00', 'a weekday in a week')
  t.equal(nextWhen('2026-11-22 11:00', now), null, 'a date does not')
  t.equal(localTime((await nextCron('30 3 * * mon', now))!), '2026-11-23T03:30:00')
  t.equal(localTime(onceMoment('22.11.2026 23:15', '%d.%m.%Y %H:%M', now)!), '2026-11-22T23:15:00')
  t.ok(inRange({ start: '23:00', end: '13:00' }, now), 'over midnight')
  t.throws(() => inRange({ start: 'x', end: 'y' }, now), /Invalid date/)
})
