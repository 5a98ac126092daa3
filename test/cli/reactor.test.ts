import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { httpServer } from '../helpers/http.js'
import { reactorBench } from '../helpers/reactor.js'
import { brine } from '../helpers/terminal.js'

const SLS = `
announce:
  local.test.echo:
    - tgt: 'web*'
    - arg:
      - {{ data['post']['status'] }}
{% if data['post'].get('clean') %}
forget:
  wheel.key.delete:
    - match: {{ data['post']['clean'] }}
{% endif %}
`

interface Tried {
  readonly rules: readonly {
    readonly rule: string
    readonly tag: string
    readonly sls: readonly {
      readonly file: string
      readonly error?: string
      readonly reactions: readonly { readonly section: string; readonly call: unknown }[]
    }[]
  }[]
}

t.test('reactor test renders what the configuration would do about an event, and does nothing', async t => {
  const dir = t.testdir({ 'brine.yaml': 'reactor:\n  - "salt/netapi/hook/ci/*": [r.sls]\n  - "other": [r.sls]\n', 'r.sls': SLS })
  const args = ['reactor', 'test', 'salt/netapi/hook/ci/build', '--json', '{"post": {"status": "a: b", "clean": "old1"}}', '--out', 'json']
  const { code, out, err } = await brine(args, { cwd: dir })
  t.strictSame([code, err], [0, ''])
  const { rules } = JSON.parse(out) as Tried
  t.equal(rules.length, 1)
  t.equal(rules[0]!.sls[0]!.file, join(dir, 'r.sls'))
  t.match(rules[0]!.sls[0]!.reactions, [
    { section: 'announce', call: { client: 'local', fun: 'test.echo', tgt: 'web*', arg: ['a: b'] } },
    { section: 'forget', call: { client: 'wheel', fun: 'key.delete', arg: ['old1'] } }
  ])
})

t.test('reactor test fails when no rule matches, a file is missing, or does not render; it says where', async t => {
  const dir = t.testdir({ 'brine.yaml': 'reactor:\n  - "a": [r.sls]\n  - "b": [gone.sls]\n', 'r.sls': SLS })
  t.equal((await brine(['reactor', 'test', 'nothing'], { cwd: dir })).code, 1)
  const missing = await brine(['reactor', 'test', 'b', '--out', 'json'], { cwd: dir })
  t.equal(missing.code, 1)
  t.match(missing.out, /gone\.sls cannot be read/)
  const broken = await brine(['reactor', 'test', 'a', 'x=1', '--out', 'json'], { cwd: dir })
  t.equal(broken.code, 1)
  t.match(broken.out, /r\.sls, line 6/)
  const unusable = await brine(['reactor', 'test', 'a\nb'], { cwd: dir })
  t.equal(unusable.code, 2)
})

t.test('reactor test warns of event data that reaches a command line without quote', async t => {
  const sls = (value: string) => `x:\n  local.cmd.run:\n    - tgt: web1\n    - arg:\n      - echo ${value}\n`
  const dir = t.testdir({
    'brine.yaml': 'reactor:\n  - "bare": [bare.sls]\n  - "quoted": [quoted.sls]\n',
    'bare.sls': sls("{{ data['x'] }}"),
    'quoted.sls': sls("{{ data['x'] | quote }}")
  })
  const bare = await brine(['reactor', 'test', 'bare', 'x=; rm -rf /', '--out', 'json'], { cwd: dir })
  t.match(bare.out, /"5:\d+: event data becomes part of the command of 'cmd\.run'/)
  t.notMatch((await brine(['reactor', 'test', 'quoted', 'x=1', '--out', 'json'], { cwd: dir })).out, /warnings/)
})

t.test('reactor test asks a server when one is named; SLS files that are given go along', async t => {
  const dir = t.testdir({ 'brine.yaml': 'reactor: []', 'r.sls': SLS })
  const asked: { url: string; body: unknown }[] = []
  const call = { client: 'local', fun: 'test.echo', tgt: '*', arg: [] }
  const answer = (error?: string) => ({
    event: { tag: 'a', data: {} },
    rules: [
      { rule: 'one', tag: 'a', source: 'api', sls: [{ file: 'r.sls', ...(error ? { error } : {}), reactions: [{ section: 's', call }] }] }
    ],
    calls: [{ rule: 'one', file: 'r.sls', section: 's', call }]
  })
  const url = await fakeServer(t, (request, body) => {
    asked.push({ url: request.url!, body: JSON.parse(body) })
    return answer(asked.length === 3 ? 'it is broken' : undefined)
  })
  const env = { BRINE_URL: url, BRINE_TOKEN: 'x' }
  const tested = await brine(['reactor', 'test', 'a', '--json', '{"post": {"status": "x"}}'], { cwd: dir, env })
  t.equal(tested.code, 0)
  t.match(tested.out, /^calls:\n *- 's: local\.test\.echo'/)
  t.equal((await brine(['reactor', 'test', '--event', 'aa-1', '--sls', 'r.sls'], { cwd: dir, env })).code, 0)
  t.equal((await brine(['reactor', 'test', '--event', 'aa-1'], { cwd: dir, env })).code, 1)
  t.strictSame(asked, [
    { url: '/reactor/test', body: { event: { tag: 'a', data: { post: { status: 'x' } } } } },
    {
      url: '/reactor/test',
      body: { event: 'aa-1', rules: [{ id: 'r.sls', tag: '*', sls: ['r.sls'] }], sls: { 'r.sls': SLS }, only: true }
    },
    { url: '/reactor/test', body: { event: 'aa-1' } }
  ])
  t.equal((await brine(['reactor', 'test', 'a', '--event', 'aa-1'], { cwd: dir, env })).code, 2)
})

t.test('reactor test looks at the options of the rules, here as on a server', async t => {
  const rule = '{sls: r.sls, when: "data.n > 1", throttle: {once_after: 10s}, group_by: data.id}'
  const sls = 'all:\n  local.test.echo:\n    - tgt: web1\n    - arg: [{{ events | length }}]\n'
  const lines = [
    { tag: 'a/1', data: { n: 1, _stamp: '2027-01-15T08:00:00' } },
    { tag: 'a/2', data: { n: 2, _stamp: '2027-01-15T08:00:01' } },
    { tag: 'a/3', data: { n: 3, _stamp: '2027-01-15T08:00:02' } }
  ].map(event => JSON.stringify({ ...event, data: { ...event.data, id: 'web1' } }))
  const dir = t.testdir({
    'brine.yaml': `reactor:\n  - "a/*": ${rule}\n`,
    'r.sls': sls,
    'events.ndjson': lines.join('\n'),
    'bad.json': '[{}]'
  })
  const one = await brine(['reactor', 'test', 'a/1', '{n: 1}'], { cwd: dir })
  t.equal(one.code, 0)
  t.match(one.out, /outcome: passed/)
  t.match(one.out, /- 'when stops: the condition does not hold'/)
  t.notMatch(one.out, /^calls:/m)
  const several = await brine(['reactor', 'test', '--events', 'events.ndjson', '--out', 'json'], { cwd: dir })
  t.equal(several.code, 0)
  const { events, calls } = JSON.parse(several.out)
  t.match(
    events.map(({ rules }: { rules: { outcome: string }[] }) => rules[0]!.outcome),
    ['passed', 'gathered', 'gathered']
  )
  t.match(events[2].windows, [{ key: '"web1"', events: 2, closes: '2027-01-15T08:00:11.000000', sls: [{ rendered: /\[2\]/ }] }])
  t.strictSame(calls, ['all: local.test.echo'])
  const list = await brine(['reactor', 'test', '--events', '-'], { cwd: dir, stdin: `[${lines.join(',')}]` })
  t.equal(list.code, 0)
  t.equal((await brine(['reactor', 'test', '--events', 'bad.json'], { cwd: dir })).code, 2)
  t.equal((await brine(['reactor', 'test', 'a', '--events', 'events.ndjson'], { cwd: dir })).code, 2)
})

t.test('reactor backtest -c sends the rules with their options', async t => {
  const dir = t.testdir({ 'c.yaml': 'reactor:\n  - "a/*": {sls: r.sls, when: data.n, accumulate: {within: 5m, threshold: 3}}\n' })
  const asked: string[] = []
  const counts = { calls: 0, failed: 0, refused: 0 }
  const url = await fakeServer(t, (_, body) => {
    asked.push(body)
    return { done: true, scanned: 0, total: 0, seconds: 0, counts }
  })
  t.equal((await brine(['reactor', 'backtest', '-c', 'c.yaml'], { cwd: dir, env: { BRINE_URL: url, BRINE_TOKEN: 'x' } })).code, 0)
  const [rule] = JSON.parse(asked[0]!).rules
  t.strictSame(Object.keys(rule), ['id', 'tag', 'match', 'sls', 'when', 'accumulate'])
  t.match(rule, { sls: [join(dir, 'r.sls')], when: 'data.n', accumulate: { within: '5m', threshold: 3 } })
})

t.test('reactor list shows all pages', async t => {
  const dir = t.testdir({ 'brine.yaml': 'reactor: []' })
  const rule = (id: string) => ({ id, tag: 'a', sls: ['/srv/r.sls'], enabled: id !== 'two', source: 'api' })
  const url = await fakeServer(t, request =>
    request.url!.includes('after=') ? { rules: [rule('two')] } : { rules: [rule('one')], next: 'one' }
  )
  const list = await brine(['reactor', 'list'], { cwd: dir, env: { BRINE_URL: url, BRINE_TOKEN: 'x' } })
  t.match(list.out, /^ID +STATE +FROM +TAG +SLS\none +on +api +a +.*r\.sls\ntwo +off/)
})

async function fakeServer(
  t: { teardown(undo: () => void): void },
  answer: (request: IncomingMessage, body: string) => unknown
): Promise<string> {
  const fake = createServer((request, response) => {
    text(request).then(body => response.end(JSON.stringify(answer(request, body))))
  }).listen(0, '127.0.0.1')
  await once(fake, 'listening')
  t.teardown(() => {
    fake.closeAllConnections()
    fake.close()
  })
  return `http://127.0.0.1:${(fake.address() as AddressInfo).port}`
}

t.test('event trace says of a rule that did nothing why, and of a window what it became part of', async t => {
  const say = { sls: 'DIR/say.sls' }
  const bench = await reactorBench(t, {
    files: { 'say.sls': 'say:\n  runner.test.arg: []\n' },
    reactor: [
      { 'n/*': { ...say, when: 'data.n > 2' } },
      { 'n/*': { ...say, throttle: { once_within: '1h' }, when: 'data.n < 2' } },
      { 'w/*': { ...say, accumulate: { within: '1h', threshold: 2 } } }
    ]
  })
  const { store, events, reactor, clock } = bench
  const http = await httpServer(t, { clock, services: { store, events, reactor } })
  const env = { BRINE_URL: await http.listen(), BRINE_TOKEN: http.token }
  const id = (seq: number) => `${store.events.epoch}-${seq}`
  const trace = async (seq: number) => (await brine(['event', 'trace', id(seq)], { env })).out

  const [first, again] = [await bench.fire('n/1', { n: 1 }), await bench.fire('n/2', { n: 1 })]
  const [joined, last] = [await bench.fire('w/1'), await bench.fire('w/2')]
  const [, reaction] = await bench.reactions(all => all.length === 2 && all.every(({ state }) => state === 'succeeded'))
  const out = await trace(again)
  t.match(out, /rule config-\w+ {2}passed over \(when\) {2}when: the condition does not hold\n/)
  t.match(out, `passed over (throttle)  throttle: another event was reacted to within 1h: ${id(first)}`)
  const window = await trace(joined)
  t.match(window, `in the window of ${id(joined)}, reacted to at ${id(last)}`)
  t.match(window, `say  succeeded  jid ${reaction!.jid}`)
})
