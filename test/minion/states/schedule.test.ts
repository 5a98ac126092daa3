import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ScheduleBook } from '../../../src/minion/schedule/book.js'
import { kw, minionTest } from '../../helpers/executor.js'

type Result = { result: boolean | null; comment: string; changes: Record<string, unknown> }

/** Runs schedule states over a schedule of its own. */
async function scheduleTest(t: Test) {
  const book = new ScheduleBook({ config: {}, file: join(t.testdir(), '_schedule.conf'), fire: () => {} })
  const minion = await minionTest(t, { schedule: async (func, args) => book.manage(func, args) })
  const state = async (fun: string, args: Record<string, unknown>): Promise<Result> => {
    const results = (await minion.value('state.single', `schedule.${fun}`, kw(args))) as Record<string, Result>
    return Object.values(results)[0]!
  }
  return { book, state }
}

t.test('schedule states: each predicts, does, and does nothing the second time', async t => {
  const { book, state } = await scheduleTest(t)
  const job = { name: 'j', function: 'test.ping', seconds: 3600 }
  const steps: [string, Record<string, unknown>, string][] = [
    ['present', job, 'Adding new job j to schedule'],
    ['present', { ...job, seconds: 60, job_args: ['x'] }, 'Modifying job j in schedule'],
    ['disabled', { name: 'j' }, 'Disabled job j from schedule'],
    ['enabled', { name: 'j' }, 'Enabled job j from schedule'],
    ['absent', { name: 'j' }, 'Removed job j from schedule']
  ]
  for (const [fun, args, comment] of steps) {
    const before = JSON.stringify(book.jobs())
    const predicted = await state(fun, { ...args, test: true })
    t.equal(predicted.result, null, `${fun} predicts: ${predicted.comment}`)
    t.not(Object.keys(predicted.changes).length, 0)
    t.equal(JSON.stringify(book.jobs()), before, 'and changes nothing')
    const first = await state(fun, args)
    t.match(first, { result: true, comment })
    t.not(Object.keys(first.changes).length, 0)
    for (const again of [await state(fun, args), await state(fun, { ...args, test: true })])
      t.match(again, { result: true, changes: {} }, again.comment)
  }
  t.same(book.jobs(), {})
})

t.test('schedule states: what cannot be', async t => {
  const { state } = await scheduleTest(t)
  t.match(await state('enabled', { name: 'nix' }), { result: false, comment: 'Job nix not present in schedule' })
  t.match(await state('present', { name: 'j', function: 'test.ping', seconds: 1, cron: '* * * * *' }), { result: false })
})
