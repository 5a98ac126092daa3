import { unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { pack, reactorBench } from '../helpers/reactor.js'

const PING = 'ping:\n  local.test.ping:\n    - tgt: web1\n'
const ended = (state: string) => state === 'succeeded' || state === 'failed' || state === 'dead'
const allEnded = (count: number) => (reactions: readonly { state: string }[]) =>
  reactions.length >= count && reactions.every(each => ended(each.state))

t.test("an event whose tag a rule matches has the rule's SLS rendered with it and the calls made, as user Reactor", async t => {
  const sls = `
echo:
  local.test.echo:
    - tgt: {{ data.id }}
    - arg:
      - {{ tag }} says {{ data.data.text }}
run:
  runner.test.arg:
    - args:
      - who: {{ data['id'] }}
keys:
  wheel.key.list_all: []
`
  const bench = await reactorBench(t, { files: { 'r.sls': sls }, reactor: [{ 'myco/*': 'DIR/r.sls' }] })
  const seq = await bench.fire('myco/deploy', { id: 'web1', data: { text: "it's {{ 1 }}: * \n x" } })
  const reactions = await bench.reactions(allEnded(3))
  t.match(pack(reactions), { echo: 'succeeded', run: 'succeeded', keys: 'succeeded' })
  const job = (await bench.event(event => /^salt\/job\/\d+\/new$/.test(event.tag)))!
  t.match(JSON.parse(job.json), { user: 'Reactor', fun: 'test.echo', arg: ["myco/deploy says it's {{ 1 }}: * \n x"], minions: ['web1'] })
  t.match(job, { cause: { seq, depth: 1 } })
  const returned = await bench.event(event => /^salt\/job\/\d+\/ret\/web1$/.test(event.tag))
  t.match(returned.cause, { seq, depth: 1 }, 'returns carry the cause')
  const run = await bench.event(event => /^salt\/run\/\d+\/ret$/.test(event.tag))
  t.match(JSON.parse(run.json), { user: 'Reactor', fun: 'runner.test.arg', success: true, return: { kwargs: { who: 'web1' } } })
  t.match(run, { source: 'reactor', cause: { seq, depth: 1 } })
})

t.test("an event's reactions go in Salt's order: by `order`, then by type, id and function, whatever their files", async t => {
  const files = {
    'a.sls': 'zz:\n  runner.test.arg: []\naa:\n  runner.test.arg: []\n',
    'b.sls': 'mm:\n  local.test.ping:\n    - tgt: web1\nfirst:\n  runner.test.arg:\n    - order: first\n'
  }
  const bench = await reactorBench(t, { files, reactor: [{ go: ['DIR/a.sls', 'DIR/b.sls'] }] })
  await bench.fire('go')
  const reactions = await bench.reactions(allEnded(4))
  const begun: string[] = []
  const sections = new Map(reactions.map(reaction => [reaction.jid, reaction.section]))
  for (const { tag } of await bench.log()) if (/^salt\/(job|run)\/\d+\/new$/.test(tag)) begun.push(sections.get(tag.split('/')[2]!)!)
  t.strictSame(begun, ['first', 'mm', 'aa', 'zz'])
})

t.test('the same SLS reached by two rules runs once, and a section of a later file replaces one of the same id, as in Salt', async t => {
  const files = {
    '1.sls': 'same:\n  local.test.echo:\n    - tgt: web1\n    - arg: [first]\n',
    '2.sls': 'same:\n  local.test.echo:\n    - tgt: web1\n    - arg: [second]\n'
  }
  const bench = await reactorBench(t, { files, reactor: [{ 'a/*': 'DIR/1.sls' }, { '*': ['DIR/1.sls', 'DIR/2.sls'] }] })
  await bench.fire('a/b')
  const reactions = await bench.reactions(allEnded(1))
  t.match(reactions, [{ section: 'same', call: { arg: ['second'] } }])
})

t.test('a glob of SLS files is expanded, and salt:// is looked up in the file roots', async t => {
  const files = {
    'g/a.sls': PING.replace('ping', 'pa'),
    'g/b.sls': PING.replace('ping', 'pb'),
    'g/c.txt': PING,
    'roots/r.sls': PING.replace('ping', 'pr')
  }
  const bench = await reactorBench(t, { files, reactor: [{ go: ['DIR/g/*.sls', 'salt://roots/r.sls'] }] })
  const seq = await bench.fire('go')
  const reactions = await bench.reactions(allEnded(3))
  t.strictSame(reactions.map(each => each.section).sort(), ['pa', 'pb', 'pr'])
  const plans = await bench.store.reactions.plansOf(seq)
  t.strictSame(
    plans.map(plan => [plan.sls.replace(bench.dir, ''), plan.state]),
    [
      ['/g/a.sls', 'rendered'],
      ['/g/b.sls', 'rendered'],
      ['salt://roots/r.sls', 'rendered']
    ]
  )
})

t.test('one bad SLS or reaction does not stop the others; each error is on the log with its place', async t => {
  const files = {
    'bad.sls': 'x: {{ nosuch }}\n',
    'half.sls':
      'good:\n  local.test.ping:\n    - tgt: web1\nbad:\n  local.test.ping: []\nodd:\n  bogus.test.ping: []\nnone:\n  runner.no.such: []\nabsent:\n  local.test.ping:\n    - tgt: absent\n',
    'ok.sls': PING
  }
  const bench = await reactorBench(t, { files, reactor: [{ go: ['DIR/bad.sls', 'DIR/half.sls', 'DIR/ok.sls'] }] })
  const seq = await bench.fire('go')
  const reactions = await bench.reactions(allEnded(6))
  t.strictSame(pack(reactions), { good: 'succeeded', bad: 'dead', odd: 'dead', none: 'dead', absent: 'dead', ping: 'succeeded' })
  const plans = await bench.store.reactions.plansOf(seq)
  t.match(plans[0], { state: 'dead', error: /bad\.sls.*line 1.*nosuch/ })
  const errors = (await bench.log()).filter(event => event.tag.endsWith('/error'))
  t.equal(errors.length, 5)
  t.match(errors[0]?.data, { sls: join(bench.dir, 'bad.sls'), state: 'dead', tag: 'go', error: /nosuch/, user: 'Reactor' })
  t.match(errors.find(event => event.data.section === 'absent')?.data.error, /no minion matches "absent"/)
  t.match(errors.find(event => event.data.section === 'odd')?.data.error, /bogus/)
})

t.test('a missing SLS is tried again with growing pauses until it is there, or a dead letter', async t => {
  const bench = await reactorBench(t, {
    files: {},
    reactor: [{ go: 'DIR/later.sls' }, { gone: 'DIR/never.sls' }],
    settings: { reactor_attempts: 3 }
  })
  const file = join(bench.dir, 'later.sls')
  const seq = await bench.fire('go')
  await bench.event(event => event.tag.endsWith('/error'))
  writeFileSync(file, PING)
  t.match(await bench.store.reactions.plansOf(seq), [{ state: 'failed', attempts: 1, error: /no such file/ }])
  bench.clock.pass(2)
  await bench.reactor.look()
  t.match(pack(await bench.reactions(allEnded(1))), { ping: 'succeeded' })

  unlinkSync(file)
  const gone = await bench.fire('gone')
  const dead = bench.event(event => event.tag.endsWith('/error') && event.data.state === 'dead')
  for (const attempts of [1, 2]) {
    while ((await bench.store.reactions.plansOf(gone))[0]?.attempts !== attempts) await new Promise(resolve => setImmediate(resolve))
    bench.clock.pass(100)
    await bench.reactor.look()
  }
  t.match(JSON.parse((await dead).json), { state: 'dead', attempts: 3 })
  t.match(await bench.store.reactions.plansOf(gone), [{ state: 'dead' }])
})

t.test('a chain of reactions that never ends is stopped at reactor_max_depth, and the end is a dead letter', async t => {
  const bench = await reactorBench(t, {
    files: {
      'loop.sls':
        "again:\n  runner.event.send:\n    - args:\n      - tag: loop/{{ data.get('n', 0) + 1 }}\n      - data: {n: {{ data.get('n', 0) + 1 }}}\n"
    },
    reactor: [{ 'loop/*': 'DIR/loop.sls' }],
    settings: { reactor_max_depth: 4 }
  })
  await bench.fire('loop/0')
  const error = await bench.event(event => event.tag.endsWith('/error'))
  t.match(JSON.parse(error.json), { tag: 'loop/4', state: 'dead', error: /more than 4 reactions/ })
  const tags = (await bench.log()).map(event => event.tag)
  t.strictSame(
    tags.filter(tag => tag.startsWith('loop/')),
    ['loop/0', 'loop/1', 'loop/2', 'loop/3', 'loop/4']
  )
  t.equal(error.cause?.depth, 5)
})

t.test(
  'events of reactions by runner and wheel are not reacted to, jobs of reactions are, and errors only by rules that name them',
  async t => {
    const files = {
      'run.sls': 'run:\n  runner.test.arg: []\n',
      'bad.sls': '{{ nosuch }}\n',
      'seen.sls': "seen:\n  local.test.echo:\n    - tgt: web1\n    - arg: ['{{ tag }}']\n",
      'ping.sls': PING
    }
    const bench = await reactorBench(t, {
      files,
      reactor: [
        { go: ['DIR/run.sls', 'DIR/ping.sls'] },
        { 'salt/run/*': 'DIR/seen.sls' },
        { 'salt/job/*/ret/*': 'DIR/run.sls' },
        { '*': 'DIR/bad.sls' },
        { 'salt/reactor/*/error': 'DIR/seen.sls' }
      ],
      settings: { reactor_max_depth: 2 }
    })
    await bench.fire('go')
    await bench.reactions(
      reactions => reactions.filter(each => each.section === 'run' && each.rule !== reactions[0]?.rule && ended(each.state)).length >= 1
    )
    const reactions = await bench.reactions(all => all.some(each => each.section === 'seen') && allEnded(4)(all))
    const seen = reactions.filter(each => each.section === 'seen').map(each => (each.call as { arg: string[] }).arg[0])
    t.ok(seen.length > 0 && seen.every(tag => tag!.startsWith('salt/reactor/')), String(seen))
  }
)

t.test('a reaction of type caller runs on the embedded minion, and is a dead letter where there is none', async t => {
  const files = { 'c.sls': 'echo:\n  caller.test.echo:\n    - args:\n      - text\n' }
  const reactor = [{ go: 'DIR/c.sls' }]
  const bench = await reactorBench(t, { files, reactor, ids: ['local'], settings: { embedded_minion: true, embedded_minion_id: 'local' } })
  await bench.fire('go')
  t.match(await bench.reactions(allEnded(1)), [{ state: 'succeeded' }])
  t.match(bench.minions.sent, [{ fun: 'test.echo', tgt: ['local'], tgtType: 'list' }])
  const without = await reactorBench(t, { files, reactor })
  await without.fire('go')
  t.match(await without.reactions(allEnded(1)), [{ state: 'dead', error: /embedded/ }])
})

t.test('a local reaction ends with its job: failed when a minion failed, or did not return in time', async t => {
  const files = { 'r.sls': 'fails:\n  local.no.such:\n    - tgt: web1\nsilent:\n  local.test.ping:\n    - tgt: web2\n' }
  const bench = await reactorBench(t, { files, reactor: [{ go: 'DIR/r.sls' }], ids: ['web1', 'web2'] })
  bench.minions.connect('web2', () => null)
  await bench.fire('go')
  await bench.reactions(all => all.some(each => each.state === 'failed') && all.some(each => each.state === 'dispatched'))
  bench.clock.pass(60)
  await bench.jobs.keep()
  await bench.reactor.look()
  const reactions = await bench.reactions(allEnded(2))
  t.match(
    reactions.find(each => each.section === 'fails'),
    { state: 'failed', error: 'failed on web1' }
  )
  t.match(
    reactions.find(each => each.section === 'silent'),
    { state: 'failed', error: 'no return from web2' }
  )
})

t.test('rules of the API apply to the next event, and no longer once they are removed', async t => {
  const bench = await reactorBench(t, { files: { 'p.sls': PING } })
  const author = { user: 'admin', source: 'user:admin' } as const
  await bench.reactor.rules.create({ id: 'r', tag: 'go', sls: [join(bench.dir, 'p.sls')] }, author)
  const first = await bench.fire('go')
  t.match(await bench.reactions(allEnded(1)), [{ rule: 'r', event: first, state: 'succeeded' }])
  await bench.reactor.rules.remove('r', author)
  await bench.fire('go')
  const last = await bench.fire('marker')
  while ((await bench.store.reactions.cursor()) < last) await new Promise(resolve => setImmediate(resolve))
  t.equal((await bench.store.reactions.list({ limit: 10 })).length, 1)
})

t.test('a reactor map in a file of its own is read; one that cannot be read stops the start', async t => {
  const dir = t.testdir({ 'map.yml': "- 'go':\n  - /nowhere.sls\n", 'bad.yml': "- 'go:\n" })
  const bench = await reactorBench(t, { reactor: join(dir, 'map.yml') })
  t.match(bench.reactor.rules.all(), [{ tag: 'go', sls: ['/nowhere.sls'] }])
  await t.rejects(reactorBench(t, { reactor: join(dir, 'bad.yml') }), { code: 'CONFIG_INVALID' })
})

t.test('the reactor can be started and stopped twice', async t => {
  const bench = await reactorBench(t)
  await bench.reactor.start()
  await bench.reactor.stop()
  await bench.reactor.stop()
  t.equal(bench.reactor.overloaded(), false)
})

t.test("a reaction ends by the returns of the minions that it is for, whatever others fire in the job's name", async t => {
  const bench = await reactorBench(t, { files: { 'r.sls': PING }, reactor: [{ go: 'DIR/r.sls' }], ids: ['web1', 'web2'] })
  bench.minions.connect('web1', () => null)
  await bench.fire('go')
  const [reaction] = await bench.reactions(all => all.some(each => each.state === 'dispatched'))
  const { jid } = reaction!
  const forged = { id: 'web2', cmd: '_minion_event', jid, success: false, retcode: 1 }
  await bench.events.fire(`salt/job/${jid}/ret/web2`, forged, { source: 'minion:web2' })
  await bench.events.fire(`salt/job/${jid}/ret/web1`, { ...forged, id: 'web1' }, { source: 'minion:web1' })
  await bench.jobs.recordReturn('web1', { jid, fun: 'test.ping', fun_args: [], return: true, retcode: 0, success: true })
  t.match(await bench.reactions(allEnded(1)), [{ state: 'succeeded', error: null }])
})
