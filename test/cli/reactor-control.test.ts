import t, { type Test } from 'tap'
import { reactorServer } from '../helpers/reactor-server.js'
import { brine } from '../helpers/terminal.js'

const SAY = 'say:\n  runner.test.arg:\n    - args: [{ns: {{ events | map(attribute="data") | map(attribute="n") | list }}}]\n'

async function server(t: Test, options: object = {}) {
  const { bench, http } = await reactorServer(t, {
    files: { 'say.sls': SAY },
    reactor: [{ 'n/*': { sls: 'DIR/say.sls', ...options } }]
  })
  const url = await http.listen()
  const run = (...args: string[]) => brine(['reactor', ...args], { env: { BRINE_URL: url, BRINE_TOKEN: http.token } })
  const runAs = async (user: string, ...args: string[]) => {
    return brine(['reactor', ...args], { env: { BRINE_URL: url, BRINE_TOKEN: await http.tokenOf(user) } })
  }
  return { bench, run, runAs, planned: bench.planned, rule: bench.reactor.rules.all()[0]!.id }
}

t.test('pause and resume of a rule say what they did, twice as well; status and reactions show what waits', async t => {
  const { bench, run, planned, rule } = await server(t)
  t.match(await run('pause', rule), { code: 0, out: `rule ${rule} is paused; what happens meanwhile is kept\n`, err: '' })
  t.match(await run('pause', rule), { code: 0, out: `rule ${rule} is paused; what happens meanwhile is kept (as before)\n` })
  await bench.fire('n/1', { n: 1 })
  await planned()
  const status = await run('status')
  t.equal(status.code, 0, 'the reactor itself runs')
  t.match(
    status.out,
    /^the reactor runs\n0 events to match, 1 plans to work on \(1 paused\), 0 calls under way\nRULE .*PAUSED .*BREAKER *\n/
  )
  t.match(status.out, new RegExp(`^${rule} +\\w+ \\d{4}-\\d\\d-\\d\\dT`, 'm'))
  t.match(await run('reactions', '--state', 'held'), { code: 0, out: /^plan 1 +paused .*say\.sls/m })
  t.match(await run('state', rule), { code: 0, out: /^waiting:\n {2}paused: 1\nwindows: \[\]\n/m })
  t.match(await run('resume', rule), { code: 0, out: `rule ${rule} goes on\n` })
  await bench.reactions(found => found.length === 1 && found[0]!.state === 'succeeded')
  t.match(await run('resume', rule, '--out', 'json'), { code: 0, out: /"changed": false/ })
})

t.test('status fails while the whole reactor is paused, and tells by whom, since when, and what waits', async t => {
  const { bench, run, planned } = await server(t)
  t.match(await run('pause'), { code: 0, out: 'the reactor is paused; what happens meanwhile is kept\n' })
  await bench.fire('n/1', { n: 1 })
  await planned()
  t.match(await run('status'), {
    code: 1,
    out: /^the reactor is paused by \w+ since \d{4}-\S+\n0 events to match, 1 plans to work on, 0 calls under way\n$/
  })
  t.match(await run('status', '--out', 'json'), { code: 1, out: /"waiting": \{\s*"due": 1\s*\}/ })
  t.match(await run('resume'), { code: 0, out: 'the reactor goes on\n' })
  await bench.reactions(found => found.length === 1 && found[0]!.state === 'succeeded')
  t.match(await run('status'), { code: 0, out: 'the reactor runs\n0 events to match, 0 plans to work on, 0 calls under way\n' })
})

t.test('a breaker is opened and closed by hand; what it blocks is listed and driven again', async t => {
  const { bench, run, planned, rule } = await server(t, { breaker: { failures: 2, within: '1m', rest: '1h' } })
  t.match(await run('breaker', rule, 'open'), { code: 0, out: `the breaker of rule ${rule} is open\n` })
  t.match(await run('status'), { code: 0, out: new RegExp(`^${rule} +open until \\d{4}-\\S+: `, 'm') })
  await bench.fire('n/1', { n: 1 })
  await planned()
  t.match(await run('reactions', '--state', 'blocked'), { code: 0, out: /^plan 1 +breaker /m })
  t.match(await run('breaker', rule, 'closed', '--out', 'yaml'), { code: 0, out: /state: closed/ })
  t.match(await run('retry', '--state', 'blocked'), { code: 0, out: '1 plans and 0 reactions are tried again\n' })
  await bench.reactions(found => found.length === 1 && found[0]!.state === 'succeeded')
  t.match(await run('retry', '--state', 'blocked'), { code: 1, out: '0 plans and 0 reactions are tried again\n' })
})

t.test('state shows the open windows of a rule, as YAML or JSON', async t => {
  const { bench, run, planned, rule } = await server(t, { throttle: { once_after: '10s' }, group_by: 'data.key' })
  await bench.fire('n/1', { n: 1, key: 'a' })
  await bench.fire('n/1', { n: 2, key: 'a' })
  await planned()
  const asYaml = await run('state', rule)
  t.equal(asYaml.code, 0)
  for (const line of [/^rule: config-/m, /^paused: null$/m, /^ {2}state: closed$/m, /^ {2}events: 2$/m, /^ {2}key: '"a"'$/m])
    t.match(asYaml.out, line)
  const { windows } = JSON.parse((await run('state', rule, '--out', 'json')).out) as { windows: object[] }
  t.match(windows, [{ kind: 'once_after', events: 2 }])
})

t.test('unknown rules, rules without a breaker, and words that are none end with the exit code that says so', async t => {
  const { run, rule } = await server(t)
  for (const args of [
    ['pause', 'none'],
    ['resume', 'none'],
    ['state', 'none'],
    ['breaker', 'none', 'open'],
    ['show', 'none']
  ])
    t.match(await run(...args), { code: 4, out: '', err: /'rule none' was not found/ }, args.join(' '))
  t.match(await run('breaker', rule, 'open'), { code: 4, err: /has no breaker/ })
  t.match(await run('breaker', rule, 'half'), { code: 2, err: /Allowed choices are open, closed/ })
  t.match(await run('breaker', rule), { code: 2, err: /missing required argument 'state'/ })
  t.match(await run('state'), { code: 2, err: /missing required argument 'rule'/ })
  t.match(await run('pause', 'a', 'b'), { code: 2, err: /too many arguments/ })
  t.match(await run('status', '--out', 'xml'), { code: 2, err: /Allowed choices are/ })
  t.match(await run('reactions', '--state', 'lost'), { code: 2, err: /Allowed choices are/ })
  t.match(await run('reactions', '--since', 'soon'), { code: 2, err: /soon/ })
  t.match(await run('retry', '999'), { code: 4, err: /reaction 999/ })
  t.match(await run('retry', '999', '--plan'), { code: 4, err: /plan 999/ })
  t.match(await run('frobnicate'), { code: 2, err: /unknown command/ })
})

t.test('who may see rules may look and not control; without the permission, a token or a server nothing is told', async t => {
  const { runAs, rule, bench } = await server(t, { breaker: { failures: 2, within: '1m', rest: '1h' } })
  const before = await bench.store.events.head()
  for (const args of [['status'], ['state', rule], ['reactions'], ['list'], ['show', rule]]) {
    t.equal((await runAs('watcher', ...args)).code, 0, `watcher: ${args.join(' ')}`)
    t.match(await runAs('nobody', ...args), { code: 3, out: '', err: /'nobody' may not/ }, `nobody: ${args.join(' ')}`)
  }
  for (const args of [['pause'], ['resume'], ['pause', rule], ['resume', rule], ['breaker', rule, 'open'], ['retry', '1'], ['retry']])
    t.match(await runAs('watcher', ...args), { code: 3, out: '', err: /'watcher' may not/ }, `watcher: ${args.join(' ')}`)
  t.equal(await bench.store.events.head(), before, 'nothing happened')

  const nowhere = { env: { BRINE_URL: 'http://127.0.0.1:1', BRINE_TOKEN: 'x' } }
  for (const args of [
    ['pause'],
    ['resume', rule],
    ['status'],
    ['state', rule],
    ['breaker', rule, 'open'],
    ['reactions'],
    ['retry', '1'],
    ['list']
  ])
    t.match(await brine(['reactor', ...args], nowhere), { code: 5, out: '', err: /no brine server answers/ }, args.join(' '))
})
