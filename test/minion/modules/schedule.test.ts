import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { ScheduleBook } from '../../../src/minion/schedule/book.js'
import { packageRoot } from '../../../src/shared/paths.js'
import { kw, minionTest, recorded } from '../../helpers/executor.js'

interface Case {
  readonly name: string
  readonly request: { readonly body: string }
  readonly response: { readonly body: unknown }
}

/** The functions against a book, as an agent has one. */
async function scheduled(t: Parameters<typeof minionTest>[0] & { testdir(): string }, config: Record<string, unknown> = {}) {
  const book = new ScheduleBook({ config, file: join(t.testdir(), '_schedule.conf') })
  return minionTest(t, { schedule: (func, args) => book.manage(func, args) })
}

t.test('every recorded call of a GUI is answered as recorded', async t => {
  const { value } = await scheduled(t)
  const cases = (JSON.parse(await readFile(join(packageRoot(), 'test/fixtures/golden/api/gui.json'), 'utf8')) as Case[]).filter(
    ({ name }) => name.startsWith('schedule-')
  )
  t.ok(cases.length > 10)
  for (const { name, request, response } of cases) {
    const [chunk] = JSON.parse(request.body) as [{ fun: string; arg?: unknown[]; kwarg?: Record<string, unknown> }]
    const answer = await value(chunk.fun, ...(chunk.arg ?? []), ...(chunk.kwarg ? [kw(chunk.kwarg)] : []))
    const expected = (response.body as { return: [{ m1: unknown }] }).return[0].m1
    t.same(answer, expected, name)
    if (typeof expected === 'object' && expected !== null)
      t.same(Object.keys(answer as object), Object.keys(expected), `${name}: order of keys`)
  }
})

t.test('the recorded jobs of the schedule scenario are answered as recorded', async t => {
  const { run } = await scheduled(t)
  for (const { tag, data } of await recorded('schedule_jobs')) {
    if (!tag.includes('/ret/') || !String(data.fun).startsWith('schedule.')) continue
    const args = (data.fun_args as unknown[]).map(arg => (typeof arg === 'object' ? kw(arg as Record<string, unknown>) : arg))
    const outcome = await run(String(data.fun), ...args)
    for (const field of ['return', 'retcode', 'success', 'fun_args'] as const) t.same(outcome[field], data[field], `${data.fun} ${field}`)
  }
})

t.test('what cannot be is said in Salt’s words, and test=True changes nothing', async t => {
  const { value } = await scheduled(t, { job1: { function: 'test.ping', seconds: 60 } })
  const comment = async (fun: string, ...args: unknown[]) => ((await value(fun, ...args)) as { comment: string }).comment
  t.equal(await comment('schedule.add', 'job1', kw({ function: 'test.ping', seconds: 1 })), 'Job job1 already exists in schedule.')
  const both = 'Unable to use "seconds", "minutes", "hours", or "days" with "when" or "cron" options.'
  t.equal(await comment('schedule.add', 'a', kw({ function: 'test.ping', seconds: 1, cron: '* * * * *' })), both)
  t.equal(
    await comment('schedule.add', 'a', kw({ function: 'test.ping', job_args: 'x' })),
    'job_args is not a list. please correct and try again.'
  )
  t.equal(await comment('schedule.modify', 'none', kw({ seconds: 1 })), 'Job none does not exist in schedule.')
  t.equal(await comment('schedule.modify', 'job1', kw({ seconds: 60 })), 'Job job1 in correct state')
  t.equal(await comment('schedule.enable_job', 'none'), 'Job none does not exist.')
  t.equal(await comment('schedule.delete', 'job1', kw({ test: true })), 'Job: job1 would be deleted from schedule.')
  t.equal(await comment('schedule.add', 'a', kw({ function: 'test.ping', seconds: 1, test: true })), 'Job: a would be added to schedule.')
  t.same(Object.keys((await value('schedule.list', kw({ return_yaml: false }))) as object), ['enabled', 'job1'])
  t.match(await value('schedule.is_enabled'), true)
  t.match(await value('schedule.is_enabled', 'job1'), { function: 'test.ping', enabled: true })
  t.same(await value('schedule.purge'), { comment: ['Deleted job: job1 from schedule.'], changes: { job1: 'removed' }, result: true })
})
