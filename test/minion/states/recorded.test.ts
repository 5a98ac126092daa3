import t from 'tap'
import { jobOf, kw, minionTest, type RecordedEvent, recorded, type SentEvent } from '../../helpers/executor.js'
import { RECORDED_SLS } from '../../helpers/recorded-sls.js'

/** Times, durations and process ids differ from run to run. */
function masked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(masked)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      if (key === 'start_time' && /^\d\d:\d\d:\d\d\.\d{6}$/.test(String(item))) return [key, 'time']
      if (key === 'duration' && typeof item === 'number') return [key, 0]
      if (key === 'pid' && typeof item === 'number') return [key, 0]
      return [key, masked(item)]
    })
  )
}

/** The text, so that the order of keys is compared, too. */
function shown(value: unknown): string {
  return JSON.stringify(masked(value))
}

function jobs(
  events: readonly RecordedEvent[]
): { fun: string; arg: unknown[]; jid: string; ret: Record<string, unknown>; progress: RecordedEvent[] }[] {
  return events
    .filter(({ tag }) => /^salt\/job\/\d+\/new$/.test(tag))
    .flatMap(({ data }) => {
      const jid = String(data.jid)
      const ret = events.find(({ tag }) => tag === `salt/job/${jid}/ret/web1`)
      const progress = events.filter(({ tag, data: sent }) => sent.cmd === '_minion_event' && sent.id === 'web1' && tag !== 'minion_start')
      return ret ? [{ fun: data.fun as string, arg: data.arg as unknown[], jid, ret: ret.data, progress }] : []
    })
}

for (const scenario of [
  'state_apply_plain',
  'state_apply_events_ok',
  'state_apply_events_fail',
  'state_sls_fail_sub',
  'state_fire_event',
  'state_highstate',
  'state_empty_sls'
]) {
  t.test(`${scenario}: results, codes and progress events are those that Salt recorded`, async t => {
    const minion = await minionTest(t, { files: RECORDED_SLS })
    const found = jobs(await recorded(scenario))
    t.not(found.length, 0)
    for (const { fun, arg, jid, ret, progress } of found) {
      const outcome = await minion.invoke(jobOf(fun, arg, jid))
      t.equal(shown(outcome.return), shown(ret.return), 'return')
      for (const key of ['retcode', 'success', 'fun_args', 'out'] as const) t.same(outcome[key], ret[key], key)
      t.same(minion.sent.map(envelope).sort(byTag), progress.map(wanted).sort(byTag), 'events')
    }
  })
}

interface Shown {
  readonly tag: string
  readonly data: string
  readonly jid: unknown
}

function envelope({ tag, data, options }: SentEvent): Shown {
  return { tag, data: shown(data), jid: options?.preload?.jid }
}

function wanted({ tag, data }: RecordedEvent): Shown {
  return { tag, data: shown(data.data), jid: data.jid }
}

function byTag(a: Shown, b: Shown): number {
  return a.tag < b.tag ? -1 : 1
}

t.test('state_apply_file: a watched file, pillar from the argument, and the gap in the numbers of states', async t => {
  const minion = await minionTest(t)
  const path = `${minion.dir}/managed.txt`
  await minion.write(
    'roots/onemore.sls',
    `
hello:
  test.configurable_test_state:
    - changes: False
    - result: True
    - comment: configured
include_me:
  file.managed:
    - name: ${path}
    - contents: v={{ pillar['v'] }}
svc:
  test.nop:
    - watch:
      - file: include_me
`
  )
  const [job] = jobs(await recorded('state_apply_file'))
  const outcome = await minion.invoke(jobOf(job!.fun, job!.arg, job!.jid))
  t.equal(shown(outcome.return), shown(job!.ret.return).replaceAll('/etc/managed.txt', path))
  t.same(
    minion.sent.map(({ tag }) => tag.split('/').at(-1)),
    ['0', '1', '3']
  )
  t.equal(await minion.read('managed.txt'), 'v=9\n')
})

t.test('state_events of the configuration fires progress events without being asked', async t => {
  const minion = await minionTest(t, { files: RECORDED_SLS, options: { state_events: true } })
  await minion.run('state.apply', 'ok')
  t.equal(minion.sent.length, 3)
  await minion.run('state.apply', 'ok', kw({ state_events: false }))
  t.equal(minion.sent.length, 3, 'and the argument wins')
})

t.test('state_render_error: what is wrong with an SLS file, where, and retcode 1, as Salt recorded it', async t => {
  const minion = await minionTest(t, { files: { 'broken.sls': 'a:\n  test.nop:\n    - name: x\n - y\n' } })
  const [job] = jobs(await recorded('state_render_error'))
  const outcome = await minion.invoke(jobOf(job!.fun, job!.arg, job!.jid))
  for (const key of ['return', 'retcode', 'success', 'out'] as const) t.same(outcome[key], job!.ret[key], key)
})

t.test('an SLS file that is no YAML: a list of texts and retcode 1', async t => {
  const minion = await minionTest(t, { files: { 'broken.sls': 'a:\n  test.nop:\n   - x: 1\n  - y\n' } })
  const outcome = await minion.run('state.apply', 'broken')
  t.match(outcome, { retcode: 1, success: false, out: 'highstate' })
  t.match(outcome.return, [/^Rendering SLS 'base:broken' failed: /])
})

t.test('state.apply without a top file: one entry that says so', async t => {
  const minion = await minionTest(t)
  t.match(await minion.run('state.apply'), {
    retcode: 2,
    success: false,
    return: {
      'no_|-states_|-states_|-None': {
        result: false,
        comment: 'No Top file or master_tops data matches found. Please see master log for details.',
        name: 'No States',
        changes: {},
        __run_num__: 0
      }
    }
  })
})
