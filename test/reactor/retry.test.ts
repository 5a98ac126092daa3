import t from 'tap'
import type { ReactionRecord } from '../../src/store/store.js'
import { obliging } from '../helpers/commands.js'
import { pack, type ReactorBench, reactorBench } from '../helpers/reactor.js'
import { newEvent } from '../helpers/store.js'

const RAISE = 'raise:\n  runner.error.error:\n    - args: [{name: Exception}, {message: not today}]\n'
const ECHO = "echo:\n  local.test.echo:\n    - tgt: 'web*'\n    - arg: [hi]\n"
const PING = 'ping:\n  local.test.ping:\n    - tgt: late\n'
const SLEEP = 'sleep:\n  runner.test.sleep:\n    - args: [{s_time: 600}]\n'
const files = { 'raise.sls': RAISE, 'echo.sls': ECHO, 'ping.sls': PING, 'sleep.sls': SLEEP }

const rule = (sls: string, options: object = {}) => [{ 'n/*': { sls: `DIR/${sls}`, ...options } }]
const state = (name: string) => (all: readonly ReactionRecord[]) => all.length === 1 && all[0]!.state === name
/** A second attempt waits for its time, the error of the first is with it. */
const waits = (all: readonly ReactionRecord[]) => all.length === 1 && all[0]!.state === 'planned' && all[0]!.error !== null
const FAILED = { return: 'no', success: false, retcode: 1 }

/** What was begun: the job ids of jobs and calls, oldest first. */
async function begun(bench: ReactorBench): Promise<string[]> {
  const jids = (await bench.log()).map(({ tag }) => /^salt\/(?:job|run|wheel)\/(\d+)\/new$/.exec(tag)?.[1])
  return jids.filter(jid => jid !== undefined)
}

/** Resolves once a call is told of: that it is made is on record before. */
async function newOf(bench: ReactorBench, { jid }: ReactionRecord): Promise<void> {
  await bench.event(({ tag }) => tag === `salt/run/${jid}/new`)
}

async function retries(bench: ReactorBench) {
  return (await bench.log()).filter(({ tag }) => /^salt\/reactor\/[^/]+\/retry$/.test(tag))
}

t.test('what was called is not called again where the rule does not say so, however it failed', async t => {
  for (const retry of [null, { attempts: 5 }, { attempts: 5, on: ['unmatched', 'absent', 'interrupted'] }]) {
    const bench = await reactorBench(t, { files, reactor: rule('raise.sls', { retry }) })
    await bench.fire('n/1')
    t.match(await bench.reactions(state('failed')), [{ attempts: 1, error: /not today/ }])
    t.equal((await begun(bench)).length, 1)
    t.strictSame(await retries(bench), [])
  }
})

t.test('a function that raised is called again under another job id, as often as the rule says; each attempt is told of', async t => {
  const bench = await reactorBench(t, { files, reactor: rule('raise.sls', { retry: { attempts: 3, pause: '10s', on: ['failed'] } }) })
  await bench.fire('n/1')
  for (let attempt = 1; attempt < 3; attempt++) {
    await bench.reactions(all => waits(all) && all[0]!.attempts === attempt)
    bench.clock.pass(60)
    await bench.reactor.look()
  }
  const [reaction] = await bench.reactions(state('failed'))
  t.match(reaction, { attempts: 3, error: /not today/ })
  const jids = await begun(bench)
  t.equal(new Set(jids).size, 3)
  t.equal(jids[2], reaction!.jid)
  t.equal((await bench.log()).filter(({ tag }) => /^salt\/run\/\d+\/ret$/.test(tag)).length, 3, 'each attempt has its return')
  const { id } = reaction!
  t.match(await retries(bench), [
    { data: { reactions: [id], attempt: 1, jid: jids[0], error: /not today/, user: 'Reactor' } },
    { data: { reactions: [id], attempt: 2, jid: jids[1] } }
  ])
})

t.test('a job is published again to the minions that failed, and to no others; then it has succeeded', async t => {
  const ids = ['web1', 'web2', 'web3']
  const bench = await reactorBench(t, { files, ids, reactor: rule('echo.sls', { retry: { pause: '1s', on: ['failed'] } }) })
  bench.minions.connect('web2', () => FAILED)
  await bench.fire('n/1')
  t.match(await bench.reactions(waits), [{ error: 'failed on web2', call: { tgt: 'web*', only: ['web2'] } }])
  bench.minions.connect('web2', obliging)
  bench.clock.pass(60)
  await bench.reactor.look()
  const [reaction] = await bench.reactions(state('succeeded'))
  t.match(reaction, { attempts: 2, error: null })
  const jids = await begun(bench)
  t.equal(jids.length, 2)
  t.strictSame((await bench.store.jobs.get(jids[0]!))!.minions, ids)
  t.strictSame((await bench.store.jobs.get(jids[1]!))!.minions, ['web2'])
})

t.test('a job is only tried again when all that went wrong with it may be', async t => {
  const ids = ['web1', 'web2']
  const reactor = rule('echo.sls', { retry: { pause: '1s', on: ['absent'] } })
  const bench = await reactorBench(t, { files, ids, reactor })
  bench.minions.connect('web1', () => null)
  bench.minions.connect('web2', () => FAILED)
  await bench.fire('n/1')
  await over(bench)
  t.match(await bench.reactions(state('failed')), [{ attempts: 1, error: 'failed on web2; no return from web1' }])

  bench.minions.connect('web2', obliging)
  await bench.fire('n/2')
  await over(bench)
  const second = (all: readonly ReactionRecord[]) => all.length === 2 && waits(all.slice(1))
  t.match((await bench.reactions(second))[1], { error: 'no return from web1', call: { only: ['web1'] } })
})

/** The jobs under way are past their deadline, and that was noticed. */
async function over(bench: ReactorBench): Promise<void> {
  await bench.reactions(all => all.some(({ state }) => state === 'dispatched'))
  // Whoever is expected to return has: what is left are those that do not.
  while ((await bench.log()).filter(({ tag }) => /^salt\/job\/\d+\/ret\/web2$/.test(tag)).length < (await begun(bench)).length)
    await new Promise(resolve => setImmediate(resolve))
  bench.clock.pass(60)
  await bench.jobs.keep()
  await bench.reactor.look()
}

t.test('a target that matches nobody is tried again where the rule says so, until there is somebody', async t => {
  const bench = await reactorBench(t, {
    files,
    ids: ['web1', 'late'],
    reactor: rule('ping.sls', { retry: { on: ['unmatched'], pause: '1s' } })
  })
  await bench.keys.reject('late', ['accepted'])
  await bench.fire('n/1')
  t.match(await bench.reactions(waits), [{ error: /no minion matches "late"/, attempts: 1 }])
  t.strictSame(await begun(bench), [])
  await bench.keys.accept('late', ['rejected'])
  bench.clock.pass(60)
  await bench.reactor.look()
  await bench.reactions(state('succeeded'))
  t.equal((await begun(bench)).length, 1)
})

t.test('a function that a crash interrupted is called again where the rule says so, and only there', async t => {
  for (const [on, attempts] of [
    [['interrupted'], 2],
    [['failed'], 1]
  ] as const) {
    const retry = { on, pause: '1s' }
    const first = await reactorBench(t, { files, reactor: rule('sleep.sls', { retry }) })
    await first.fire('n/1')
    const [attempt] = await first.reactions(state('dispatched'))
    await newOf(first, attempt!)
    await first.kill()
    first.clock.pass(1)
    const second = await reactorBench(t, { files: { 'sleep.sls': SLEEP }, reactor: rule('sleep.sls', { retry }), after: first })
    if (attempts === 1) {
      t.match(await second.reactions(state('failed')), [{ attempts: 1, error: /interrupted by a restart/ }])
      continue
    }
    await second.reactions(waits)
    second.clock.pass(60)
    await second.reactor.look()
    const [reaction] = await second.reactions(state('dispatched'))
    await newOf(second, reaction!)
    const jids = await begun(second)
    t.equal(jids.length, 2)
    t.equal(jids[1], reaction!.jid)
    t.match(
      (await second.log()).filter(({ tag }) => tag.endsWith('/ret')),
      [{ tag: `salt/run/${jids[0]}/ret`, data: { success: false, return: /interrupted/ } }]
    )
  }
})

t.test('the next attempt is there after a crash, and made once', async t => {
  const reactor = rule('echo.sls', { retry: { pause: '1s', on: ['failed'] } })
  const first = await reactorBench(t, { files, reactor })
  first.minions.connect('web1', () => FAILED)
  await first.fire('n/1')
  await first.reactions(waits)
  await first.kill()
  first.clock.pass(60)
  const second = await reactorBench(t, { reactor, after: first })
  t.strictSame(pack(await second.reactions(state('succeeded'))), { echo: 'succeeded' })
  t.equal((await begun(second)).length, 2)
})

t.test(
  'a window that is tried again has its events, though the log has let go of them, and lies as deep as the deepest of them',
  async t => {
    const options = { accumulate: { within: '1h', threshold: 2 }, retry: { attempts: 2, pause: '1s', on: ['failed'] } }
    const bench = await reactorBench(t, { files, reactor: rule('raise.sls', options) })
    await bench.store.events.append([newEvent('n/1', {}, { cause: { seq: 0, depth: 3 } }), newEvent('n/2')])
    await bench.reactions(waits)
    const [before] = await begun(bench)
    await bench.store.events.trim({ keep: 0, limit: 100 })
    bench.clock.pass(60)
    await bench.reactor.look()
    t.match(await bench.reactions(state('failed')), [{ attempts: 2, error: /not today/ }])
    const again = await bench.event(({ tag }) => /^salt\/run\/\d+\/new$/.test(tag) && !tag.includes(before!))
    t.equal(again.cause?.depth, 4)
  }
)

t.test('while an attempt waits its event keeps its place in line, and the breaker counts nothing', async t => {
  const options = { retry: { attempts: 2, pause: '1s', on: ['failed'] }, concurrency: { limit: 1 }, breaker: { failures: 5 } }
  const bench = await reactorBench(t, { files, reactor: rule('raise.sls', options) })
  const { id } = bench.reactor.rules.all()[0]!
  await bench.fire('n/1')
  await bench.fire('n/2')
  await bench.reactions(waits)
  while ((await bench.store.reactions.cursor()) < 2) await bench.reactor.look()
  t.strictSame(await bench.store.reactions.waiting(id), { concurrency: 1 })
  t.equal(bench.reactor.guards.shown(id).breaker.failures, 0)
  bench.clock.pass(60)
  await bench.reactor.look()
  await bench.reactions(all => all.length === 2 && all[0]!.state === 'failed' && waits(all.slice(1)))
  t.equal(bench.reactor.guards.shown(id).breaker.failures, 1)
})
