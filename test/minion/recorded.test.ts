import t from 'tap'
import type { Job } from '../../src/minion/job.js'
import { SALT_VERSION } from '../../src/minion/version.js'
import { minionTest, type RecordedEvent, recorded } from '../helpers/executor.js'

/** Jobs that Salt recorded for web1, with their returns. */
function pairs(events: readonly RecordedEvent[]): { job: Job; ret: Record<string, unknown> }[] {
  return events
    .filter(({ tag }) => /^salt\/job\/\d+\/new$/.test(tag))
    .flatMap(({ data }) => {
      const {
        jid,
        fun,
        arg,
        tgt,
        tgt_type: tgtType,
        user
      } = data as { jid: string; fun: string; arg: unknown[]; tgt: unknown; tgt_type: string; user: string }
      const ret = events.find(({ tag }) => tag === `salt/job/${jid}/ret/web1`)
      return ret ? [{ job: { jid, fun, arg, tgt, tgtType, user, ret: '' }, ret: ret.data }] : []
    })
}

/** Frames of tracebacks and documentation texts are cut in the recordings and Salt's own here. */
function comparable(value: unknown): unknown {
  if (typeof value !== 'string') return value
  return value.replace(/\n {2}\(frames cut\)/, '').replace(/^(Passed invalid arguments to [^\n]*)\n\n[\s\S]*$/, '$1\n\n(documentation)')
}

const SCENARIOS = [
  ...[
    'job_args_kwargs',
    'job_async',
    'job_cmd_nonzero',
    'job_exception',
    'job_metadata',
    'job_missing_args',
    'job_ping_two',
    'job_ret_types'
  ],
  ...[
    'job_sync_all',
    'job_target_compound',
    'job_target_list',
    'job_target_nodegroup',
    'job_unknown_fun',
    'job_refresh_pillar',
    'job_grains_set'
  ],
  ...['event_fire_master_remote']
]

for (const scenario of SCENARIOS) {
  t.test(`${scenario}: return, retcode, success, fun_args and out are those that Salt recorded`, async t => {
    const minion = await minionTest(t)
    const found = pairs(await recorded(scenario))
    t.not(found.length, 0)
    for (const { job, ret } of found) {
      const outcome = await minion.invoke(job)
      t.same(comparable(outcome.return), job.fun === 'test.version' ? SALT_VERSION : comparable(ret.return), 'return')
      t.same(
        { retcode: outcome.retcode, success: outcome.success, fun_args: outcome.fun_args, out: outcome.out },
        { retcode: ret.retcode, success: ret.success, fun_args: ret.fun_args, out: ret.out }
      )
    }
  })
}

t.test('an exception is also told to the server as _salt_error', async t => {
  const minion = await minionTest(t)
  await minion.run('test.exception', 'boom: [x]')
  const told = (await recorded('job_exception')).find(({ tag }) => tag === '_salt_error')!.data.data as Record<string, unknown>
  const [{ tag, data } = { tag: '', data: {} }] = minion.sent
  t.equal(tag, '_salt_error')
  t.same(Object.keys(data as object), Object.keys(told))
  t.match(data, { message: told.message, args: told.args, _stamp: /^\d{4}-\d\d-\d\dT[\d:.]{15}$/ })
})

t.test('a compound job has a result, a retcode and a success for each function', async t => {
  const minion = await minionTest(t)
  const outcome = await minion.run(['test.ping', 'test.arg', 'no.such', 'test.retcode'], [], ['a'], [], [7])
  t.same(outcome.retcode, { 'test.ping': 0, 'test.arg': 0, 'no.such': 1, 'test.retcode': 7 })
  t.same(outcome.success, { 'test.ping': true, 'test.arg': true, 'no.such': false, 'test.retcode': false })
  t.same(outcome.fun_args, [[], ['a'], [], [7]])
  const { 'test.arg': shown, ...others } = outcome.return as Record<string, { kwargs: Record<string, unknown> }>
  t.same(others, { 'test.ping': true, 'no.such': "'no.such' is not available.", 'test.retcode': true })
  t.same(shown!.kwargs.__pub_fun, ['test.ping', 'test.arg', 'no.such', 'test.retcode'])
  t.same(shown!.kwargs.__pub_arg, [[], ['a'], [], [7]])
})

t.test('a mapping that says result: False is a failure with retcode 1', async t => {
  const minion = await minionTest(t)
  await minion.run('grains.setval', 'tmpg', [1, 2])
  t.match(await minion.run('grains.delkey', 'tmpg'), { retcode: 1, success: false, return: { result: false } })
})
